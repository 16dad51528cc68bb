"""Whole workers that keep windows in files: what a start takes from them, and what it does if it cannot."""

import asyncio
import dataclasses
import fcntl
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from analysis_worker import service
from analysis_worker.state import checkpoints, store
from tests.unit.analysis_worker.in_memory import INPUT, until
from tests.unit.analysis_worker.serving import QUICK, SLOTS, Serving, stations_of

STATIONS = stations_of(range(SLOTS), each=1)
WINDOW = 1_030
INPUTS = [{"topic": INPUT, "fields": ["stationId", "power"], "windowSize": WINDOW}]


class Keeping(Serving):
    """A module whose windows are large enough for files; its outputs are the values that are no padding."""

    def __init__(self, directory: pathlib.Path, **spec: Any) -> None:
        super().__init__(inputs=INPUTS, padding="Missing", **spec)
        self.directory = directory
        self.settings = dataclasses.replace(
            QUICK, state_directory=directory, checkpoint_interval_seconds=0.01
        )
        self.seen: list[tuple[str, list[Any]]] = []

    def note(self, station_id: str, module_input: Any) -> int:
        """The callback."""
        window = module_input["power_window"]
        self.seen.append((station_id, [value for value in window if value is not None]))
        return 1

    async def run(
        self, times: int, *, stations: Sequence[str] = STATIONS, stop: bool = True, **changes: Any
    ) -> service.Worker:
        """Send each station so many records, and run a worker until all have their outputs."""
        worker = self.worker(self.told(**changes), callback=self.note, settings=self.settings)
        await worker.start()
        self.send(stations, times)
        await self.all_out()
        if stop:
            await worker.stop()
        return worker

    @property
    def own(self) -> pathlib.Path:
        """The one worker's part of the directory."""
        return self.directory / "module" / "a"

    def files(self, suffix: str) -> list[pathlib.Path]:
        return sorted(self.own.glob(f"*.{suffix}"))

    def assert_windows_are_whole(self) -> None:
        """Each callback saw all of its station's records up to then."""
        counts = dict.fromkeys(STATIONS, 0)
        for station, window in self.seen:
            counts[station] += 1
            assert window == list(range(1, counts[station] + 1))
        assert counts == self.sent


def read_again(worker: service.Worker) -> int:
    """How many records a start had to read again."""
    return int(sample(worker, "data_analysis_muted_total"))


def failures(worker: service.Worker) -> dict[str, int]:
    """How often windows could not be in files, by reason."""
    reasons = ("budget", "disk_full", "disk_error", "torn")
    counts = {
        reason: sample(worker, "data_analysis_state_failures_total", reason=reason) for reason in reasons
    }
    return {reason: int(count) for reason, count in counts.items() if count}


def sample(worker: service.Worker, name: str, **labels: str) -> float:
    for family in worker.metrics.collect():
        for found in family.samples:
            if found.name == name and labels.items() <= found.labels.items():
                return found.value
    raise AssertionError(f"there is no {name} {labels}")


@pytest.fixture
def keeping(tmp_path: pathlib.Path) -> Keeping:
    return Keeping(tmp_path / "state")


async def taken_from_files(keeping: Keeping, caplog: pytest.LogCaptureFixture, **changes: Any) -> bool:
    """Whether one more worker takes all windows from files; its callbacks see whole windows in any case."""
    caplog.clear()
    with caplog.at_level("INFO"):
        await keeping.run(2, **changes)
    keeping.assert_windows_are_whole()
    return f"{len(STATIONS)} windows of {SLOTS} slots are taken from files" in caplog.text


async def test_a_start_after_an_orderly_stop_takes_all_windows_from_files(
    keeping: Keeping, caplog: pytest.LogCaptureFixture
) -> None:
    await keeping.run(30)
    assert await taken_from_files(keeping, caplog)


async def test_a_start_after_an_orderly_stop_reads_nothing_again(keeping: Keeping) -> None:
    await keeping.run(30)
    assert read_again(await keeping.run(2)) == 0


async def test_slots_without_stations_do_not_make_a_start_read_what_the_others_hold(keeping: Keeping) -> None:
    worker = await keeping.run(30, stations=STATIONS[:1], stop=False)
    await until(lambda: len(keeping.files("checkpoint")) == SLOTS, "every slot has a checkpoint")
    await worker.stop()
    again = await keeping.run(2, stations=STATIONS[:1])
    assert sample(again, "data_analysis_consumed_records_total", topic=INPUT) == 2


async def test_without_a_directory_all_is_read_again(keeping: Keeping) -> None:
    keeping.settings = QUICK
    await keeping.run(30)
    assert read_again(await keeping.run(2)) == 30 * len(STATIONS)
    keeping.assert_windows_are_whole()


async def test_what_came_after_the_last_checkpoint_is_read_again_and_is_in_the_window_once(
    keeping: Keeping,
) -> None:
    await keeping.run(20)
    older = {path: path.read_bytes() for path in keeping.files("checkpoint")}
    await keeping.run(10)
    for path, content in older.items():
        path.write_bytes(content)
    assert read_again(await keeping.run(2)) == 10 * len(STATIONS)
    keeping.assert_windows_are_whole()


def torn_checkpoints(keeping: Keeping) -> None:
    for path in keeping.files("checkpoint"):
        path.write_bytes(path.read_bytes()[:-40])


def changed_checkpoints(keeping: Keeping) -> None:
    for path in keeping.files("checkpoint"):
        path.write_bytes(path.read_bytes().replace(b'"count":', b'"Count":', 1))


def foreign_checkpoints(keeping: Keeping) -> None:
    for path in keeping.files("checkpoint"):
        path.write_text("no checkpoint")


def another_format(keeping: Keeping) -> None:
    for path in keeping.files("checkpoint"):
        path.write_bytes(path.read_bytes().replace(b"state 1 ", b"state 9 ", 1))


def truncated_files(keeping: Keeping) -> None:
    for path in keeping.files("window"):
        with path.open("r+b") as file:
            file.truncate(4_096)


def missing_files(keeping: Keeping) -> None:
    for path in keeping.files("window"):
        path.unlink()


def torn_values(keeping: Keeping) -> None:
    for path in keeping.files("values"):
        path.write_text(path.read_text()[:-3])


def missing_values(keeping: Keeping) -> None:
    for path in keeping.files("values"):
        path.unlink()


DAMAGES = (
    torn_checkpoints,
    changed_checkpoints,
    foreign_checkpoints,
    another_format,
    truncated_files,
    missing_files,
    torn_values,
    missing_values,
)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
async def test_damaged_files_are_told_and_counted_and_the_windows_are_read_from_kafka(
    keeping: Keeping, damage: Callable[[Keeping], None], caplog: pytest.LogCaptureFixture
) -> None:
    await keeping.run(30)
    damage(keeping)
    worker = await keeping.run(2)
    assert failures(worker) == {"torn": SLOTS}
    assert "from Kafka" in caplog.text
    assert read_again(worker) == 30 * len(STATIONS)
    keeping.assert_windows_are_whole()


async def test_files_of_another_boot_are_used_if_their_checksums_are_right(
    keeping: Keeping, caplog: pytest.LogCaptureFixture
) -> None:
    await keeping.run(30)
    rewritten(keeping, boot="another")
    assert await taken_from_files(keeping, caplog)


async def test_files_of_another_boot_whose_values_did_not_reach_the_disk_are_not_used(
    keeping: Keeping,
) -> None:
    await keeping.run(30)
    rewritten(keeping, boot="another")
    for path in keeping.files("window"):
        content = bytearray(path.read_bytes())
        path.write_bytes(bytes(len(content)))
    worker = await keeping.run(2)
    assert failures(worker) == {"torn": SLOTS}
    keeping.assert_windows_are_whole()


async def test_files_of_another_cluster_are_not_used(keeping: Keeping) -> None:
    await keeping.run(30)
    rewritten(keeping, source="module@another:1")
    assert read_again(await keeping.run(2)) == 30 * len(STATIONS)
    keeping.assert_windows_are_whole()


async def test_windows_ahead_of_the_progress_are_not_used(keeping: Keeping) -> None:
    """What is in them and not done is to come once more, and can be taken out of no window."""
    await keeping.run(30)
    for path in keeping.files("checkpoint"):
        checkpoint = checkpoints.decode(path.read_bytes())
        topics = {
            name: replaced(topic, positions={0: topic.positions[0] + 1})
            for name, topic in checkpoint.topics.items()
        }
        path.write_bytes(checkpoints.encode(replaced(checkpoint, topics=topics)))
    assert read_again(await keeping.run(2)) == 30 * len(STATIONS)
    keeping.assert_windows_are_whole()


@pytest.mark.parametrize(
    "changed",
    [
        {"fields": ["stationId", "power", "soc"]},
        {"windowSize": WINDOW + 1},
        {"dtypes": {"power": "float32"}},
        {"aliases": {"power": ["kW"]}},
    ],
    ids=str,
)
async def test_windows_of_another_meaning_are_read_again(keeping: Keeping, changed: dict[str, Any]) -> None:
    await keeping.run(30)
    worker = await keeping.run(2, inputs=[{**INPUTS[0], **changed}])
    assert read_again(worker) == 30 * len(STATIONS)
    keeping.assert_windows_are_whole()


async def test_a_directory_that_another_process_keeps_is_left_to_it(keeping: Keeping) -> None:
    await keeping.run(30)
    with (keeping.own / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = {path: path.read_bytes() for path in keeping.files("checkpoint")}
        worker = await keeping.run(2)
        assert {path: path.read_bytes() for path in keeping.files("checkpoint")} == before
    assert failures(worker) == {"disk_error": 1}
    keeping.assert_windows_are_whole()


async def test_a_directory_that_cannot_be_made_costs_only_the_files(keeping: Keeping) -> None:
    keeping.directory.write_text("a file stands in its place")
    worker = await keeping.run(30)
    assert failures(worker) == {"disk_error": 1}
    keeping.assert_windows_are_whole()


async def test_windows_beyond_the_budget_stay_in_memory_and_are_read_again(keeping: Keeping) -> None:
    small = {"state": {"maxBytes": 2**20}}
    wide = [{**INPUTS[0], "windowSize": 1_000_000, "fields": ["stationId", "power", *map(str, range(60))]}]
    worker = await keeping.run(30, inputs=wide, **small)
    assert failures(worker).keys() == {"budget"}
    blocks = sum(path.stat().st_blocks for path in keeping.files("window"))
    assert blocks * 512 <= 2**20 * 1.05, "the file system's own blocks are counted here too"
    assert read_again(await keeping.run(2, inputs=wide, **small)) > 0
    keeping.assert_windows_are_whole()


async def test_a_disk_that_refuses_files_costs_no_record(keeping: Keeping) -> None:
    worker = keeping.worker(callback=keeping.note, settings=keeping.settings)
    await worker.start()
    keeping.own.rename(keeping.directory / "away")  # whatever is to be made there fails from now on
    keeping.send(STATIONS, 30)
    await keeping.all_out()
    await worker.stop()
    assert failures(worker).keys() == {"disk_error"}
    keeping.assert_windows_are_whole()


async def test_slots_that_went_to_another_worker_leave_no_files(keeping: Keeping) -> None:
    worker = await keeping.run(30, stop=False)
    await until(lambda: len(keeping.files("checkpoint")) == SLOTS, "every slot has a checkpoint")
    await worker.apply(keeping.told(slots=[0, 1], epoch=1))
    assert [path.stem for path in keeping.files("checkpoint")] == ["slot-0000", "slot-0001"]
    keeping.send(stations_of([0, 1], each=1))  # whatever looks stations up has heard of it then
    await until(lambda: len(keeping.files("window")) == 2, "the files of others are swept")
    await worker.stop()


async def test_starts_that_never_get_to_live_records_put_the_files_away(
    keeping: Keeping, caplog: pytest.LogCaptureFixture
) -> None:
    await keeping.run(30)
    (keeping.own / "starts").write_text(str(store.MOST_STARTS))
    worker = await keeping.run(2)
    assert "did not survive the files" in caplog.text
    assert read_again(worker) == 30 * len(STATIONS)
    assert (keeping.own / "starts").read_text() == "0"
    keeping.assert_windows_are_whole()


async def test_what_is_not_done_yet_is_in_no_checkpoint(keeping: Keeping) -> None:
    held = asyncio.Event()

    async def waiting(station_id: str, module_input: Any) -> int:
        await held.wait()
        return 1

    worker = keeping.worker(callback=waiting, settings=keeping.settings)
    await worker.start()
    keeping.send(STATIONS, 3)
    await until(lambda: worker.flow.in_flight >= len(STATIONS), "callbacks are under way")
    rounds = worker.committer.commits
    await until(lambda: worker.committer.commits > rounds + 20, "many rounds went by")
    assert keeping.files("checkpoint") == []
    held.set()
    await until(lambda: len(keeping.files("checkpoint")) == SLOTS, "they are written once all is done")
    await worker.stop()


async def test_the_status_tells_bytes_and_the_age_of_the_oldest_checkpoint(keeping: Keeping) -> None:
    worker = await keeping.run(30, stop=False)
    await until(lambda: worker.report.status().checkpointed_at, "a checkpoint")
    await until(lambda: worker.report.status().state_bytes > 0, "bytes")
    await worker.stop()


def rewritten(keeping: Keeping, **changes: Any) -> None:
    for path in keeping.files("checkpoint"):
        checkpoint = replaced(checkpoints.decode(path.read_bytes()), **changes)
        path.write_bytes(checkpoints.encode(checkpoint))


def replaced(made: Any, **changes: Any) -> Any:
    return type(made)(**{name: getattr(made, name) for name in made.__struct_fields__} | changes)
