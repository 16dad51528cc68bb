"""The state benchmark's arithmetic and table, and that its filled files are a worker's; no timing."""

import json
from pathlib import Path
from typing import Any

import pytest

from analysis_module import reading
from analysis_worker import assembling
from analysis_worker.engine import segments
from analysis_worker.engine.cuts import WindowCut
from analysis_worker.engine.records import TopicPartition
from analysis_worker.state import checkpoints, describing, segment_files, store
from bench import state, state_figures, state_files, state_records, state_starts

SIZE, REAL = 2_000, 3


def a_start(ready: float, output: float) -> dict[str, Any]:
    memory = {"rss_mib": 200.0, "anonymous_mib": 80.0, "file_mib": 120.0, "shared_mib": 0.0}
    return {"ready_seconds": ready, "first_output_seconds": output, "memory": memory}


def measured() -> dict[str, Any]:
    start = a_start(1.0, 1.5)
    full = {
        "records": 1_000_000,
        "restarts": [start, a_start(2.0, 1.0), start],
        "cold": start,
        "reboot": start,
    }
    memories = {"loaded_memory": start["memory"], "whole_memory": start["memory"]}
    quix = {"records": 2_000, "recovery_seconds": 24.0, "few_records": 1_000, "few_seconds": 4.0}
    return {
        "full": {**full, **memories},
        "rewind": {"records": 100_000, **a_start(11.0, 11.0)},
        "quix": {**quix, "ours": [a_start(1.0, 1.2)]},
        "snapshot": {"seconds": 5.0, "export_seconds": 3.0, **a_start(5.0, 4.0)},
        "delivery": {"eos_vs_alo": 0.9, "rounds": []},
    }


class TestFigures:
    def test_the_result_has_each_key_and_the_raw_figures(self) -> None:
        found = state_figures.summary(measured())

        assert {*state_figures.KEYS, "computed", "unmeasured", *measured()} == set(found)
        assert json.loads(json.dumps(found)) == found

    def test_a_restart_is_done_when_it_is_ready_and_has_answered(self) -> None:
        assert state_figures.summary(measured())["restart_seconds"] == 1.5

    def test_the_rewind_of_all_records_is_computed_from_the_measured_rate(self) -> None:
        found = state_figures.summary(measured())

        assert found["computed"]["rewind_seconds"] == 1.0 + 1_000_000 / 10_000
        assert found["restart_vs_rewind"] == 101.0 / 1.5
        assert found["snapshot_vs_rewind"] == 101.0 / 5.0

    def test_recoveries_are_compared_at_the_size_at_which_both_were_measured(self) -> None:
        found = state_figures.summary(measured())

        assert found["restore_vs_quix"] == 24.0 / 1.2
        assert found["computed"]["quix_seconds"] == pytest.approx(4.0 + 999_000 / 50)

    def test_what_is_left_out_is_null_and_no_missed_goal_of_it(self) -> None:
        raw = measured()
        del raw["quix"]
        found = state_figures.summary(raw)

        assert found["restore_vs_quix"] is None
        assert state_figures.missed(found, frozenset({"restore_vs_quix"})) == []
        assert "restore_vs_quix was not measured; the goal is >= 10" in state_figures.missed(found)

    def test_a_goal_that_is_missed_is_told(self) -> None:
        raw = measured() | {"rewind": {"records": 100_000, **a_start(2.0, 2.0)}}

        assert state_figures.missed(state_figures.summary(raw)) == [
            "restart_vs_rewind is 7.33; the goal is >= 50",
            "snapshot_vs_rewind is 2.20; the goal is >= 10",
        ]

    def test_the_table_says_what_is_measured_and_what_is_computed(self) -> None:
        table = state_figures.markdown(state_figures.summary(measured()))

        assert "| rewind, to ready | 11.00 | measured, 100,000 records |" in table
        assert "| rewind, to ready | 101.00 | computed from that rate, 1,000,000 records |" in table


class TestMemory:
    def test_it_is_read_from_the_status_of_a_process(self) -> None:
        status = "Name:\tpython\nVmRSS:\t 2048 kB\nRssAnon:\t 1024 kB\nRssFile:\t 512 kB\nRssShmem:\t 0 kB\n"

        assert state_starts.memory_in(status) == {
            "rss_mib": 2.0,
            "anonymous_mib": 1.0,
            "file_mib": 0.5,
            "shared_mib": 0.0,
        }

    def test_a_start_says_how_many_windows_it_took_from_files(self) -> None:
        assert state_starts.taken("600 windows of 64 slots are taken from files in 0.25 s; 0") == (600, 0.25)
        assert state_starts.taken("nothing") == (0, 0.0)


class TestFiles:
    def test_a_filled_window_is_full_and_ends_with_the_records_that_were_real(self, tmp_path: Path) -> None:
        fleet = state_records.Fleet("nowhere:1", "g", 1, SIZE)
        a_worker_was_here(tmp_path, fleet)

        assert state_files.fill(tmp_path, fleet.spec()) == 1

        files = store.Store(state_files.own_directory(tmp_path), 2**40)
        (topic,) = files.find([0], "source").checkpoints[0].topics.values()
        (window,) = topic.windows
        segment = files.segment(window, topic, readers_of(fleet), check=True)
        assert segment.count == SIZE
        assert segment.column(1, SIZE).values(SIZE - REAL - 1, SIZE) == [
            state_files.invented(SIZE - REAL, seed=REAL + 1)[-1],
            *[380.5 + 7 * step for step in range(REAL)],
        ]
        assert topic.positions == {0: REAL}
        assert len(list(files.directory.glob("*.window"))) == 1

    def test_the_room_is_known_before(self) -> None:
        assert 7 * 2**30 < state_files.needed_bytes(300, 604_800) < 10 * 2**30


class TestCommand:
    @pytest.mark.parametrize(
        ("arguments", "problem"),
        [
            (["--window", "1000"], "give at least 1024"),
            (["--rewind-records", "5"], "give at least 614400"),
            (["--stations", "0"], "give 1 or more"),
        ],
    )
    def test_wrong_arguments_are_told_with_the_mend(
        self, arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit) as ended:
            state.main(arguments)

        assert ended.value.code == 2
        assert problem in capsys.readouterr().err

    def test_too_small_a_disk_is_told_before_anything_is_done(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert state.main(["--window", str(10**12), "--scratch", str(tmp_path)]) == 2
        assert "too little room" in capsys.readouterr().err


def readers_of(fleet: state_records.Fleet) -> segments.Readers:
    return assembling.assemble(reading.read_spec(fleet.spec())).engine_settings.readers[0]


def a_worker_was_here(root: Path, fleet: state_records.Fleet) -> None:
    """The files and the checkpoint that a worker leaves after a few records of one station."""
    files = store.Store(root / "group" / "owner", 2**40)
    files.open()
    segment = segments.segment_for(readers_of(fleet), SIZE, files)
    records = [json.loads(state_records.value(0, step, 0)) for step in range(REAL)]
    for field, name in enumerate(("stationId", *state_records.FIELDS[0])):
        segment._extend(field, [record[name] for record in records])
    segment.tail = (REAL, [])
    assert isinstance(segment.home, segment_files.SegmentFile)
    place = TopicPartition(fleet.topics[0], 0)
    kept = describing.described(WindowCut("S000", 5, segment, REAL, {place: 0}))
    assert kept is not None
    topic = checkpoints.Topic("meaning", SIZE, segment.capacity, {0: REAL}, [kept])
    files.write(checkpoints.Checkpoint(0, "source", files.boot, 1.0, {fleet.topics[0]: topic}))
    files.close()
