"""A worker from start to stop: what it makes, what it survives, and that its end is bounded and in order."""

import asyncio
import dataclasses
import threading
import time
from typing import Any

import pytest

from analysis_worker.callbacks.loading import CallbackError
from analysis_worker.engine.records import TopicPartition
from analysis_worker.kafka import ports, progress_log
from analysis_worker.settings import Settings
from tests.unit.analysis_worker.in_memory import INPUT, OUTPUT, SPEC, until
from tests.unit.analysis_worker.serving import QUICK, Serving, stations_of

PLACE = TopicPartition(INPUT, 0)
HOOKS = """
import threading
notes = []
def set_up():
    notes.append("set_up")
def tear_down():
    notes.append("tear_down")
def callback(station_id, module_input):
    return list(notes)
"""


class Stuck:
    """A callback that waits for one station until it is let go."""

    def __init__(self, station: str = "S0") -> None:
        self.station = station
        self.entered = threading.Event()
        self.free = threading.Event()

    def __call__(self, station_id: str, module_input: Any) -> list[Any]:
        if station_id == self.station:
            self.entered.set()
            self.free.wait(30)
        return list(module_input["power_window"])


# -- start ------------------------------------------------------------------------------------------


async def test_a_start_makes_the_modules_own_topics_and_leaves_others_alone() -> None:
    serving = Serving()
    serving.cluster.create_topic("module-dead-letters", partitions=5)
    async with serving.running():
        pass
    assert serving.cluster.topics() == {INPUT, OUTPUT, "module-progress", "module-dead-letters"}
    assert serving.cluster.configs["module-progress"] == progress_log.TOPIC_CONFIG
    assert serving.cluster.partition_count("module-dead-letters") == 5


async def test_it_runs_as_soon_as_windows_are_restored_before_anything_is_committed() -> None:
    serving = Serving()
    serving.send(["S1"], 3)
    async with serving.running(settings=dataclasses.replace(QUICK, commit_interval_seconds=60.0)) as worker:
        await until(lambda: worker.state == "running", "it runs")
        assert worker.committer.committed_at is None


async def test_a_module_without_outputs_makes_no_output_topic() -> None:
    serving = Serving(output={"enabled": False})
    async with serving.running():
        pass
    assert OUTPUT not in serving.cluster.topics()


async def test_a_start_waits_for_kafka_within_its_bound() -> None:
    serving = Serving()
    serving.cluster.fail_next(2, "sink.start")
    serving.cluster.fail_next(1, "topics.ensure")
    serving.cluster.fail_next(1, "source.start")
    serving.cluster.fail_next(1, "source.bounds")
    serving.send(["S1"])
    async with serving.running():
        await serving.all_out()
    serving.assert_exact()


async def test_credentials_that_are_refused_end_a_start_at_once() -> None:
    serving = Serving()
    serving.cluster.fail_next(1, "sink.start", ports.KafkaRefused("wrong password"))
    worker = serving.worker()
    with pytest.raises(ports.KafkaRefused):
        await worker.start()
    await worker.stop()
    assert worker.state == "stopped"


async def test_a_callback_that_cannot_be_loaded_ends_a_start() -> None:
    worker = Serving(callback={"source": "def callback(:"}).worker()
    with pytest.raises(CallbackError, match="line 1"):
        await worker.start()
    await worker.stop()


async def test_a_failing_set_up_ends_a_start_and_is_not_torn_down() -> None:
    source = HOOKS.replace('notes.append("set_up")', "raise OSError('no database')").replace(
        'notes.append("tear_down")', "raise AssertionError('torn down')"
    )
    worker = Serving(callback={"source": source}).worker()
    with pytest.raises(CallbackError, match="set_up raised OSError: no database"):
        await worker.start()
    await worker.stop()
    assert worker.state == "stopped"


async def test_the_hooks_run_once_before_the_first_and_after_the_last_call() -> None:
    serving = Serving(callback={"source": HOOKS})
    async with serving.running() as worker:
        serving.send(["S1", "S2"], 3)
        await serving.all_out()
        notes = worker.flow.callback.function.__globals__["notes"]
    assert [result for _, result in serving.outputs] == [["set_up"]] * 6
    assert notes == ["set_up", "tear_down"]


async def test_async_hooks_run_on_the_loop_of_the_calls() -> None:
    source = """
import asyncio
loop = None
async def set_up():
    global loop
    loop = asyncio.get_running_loop()
async def tear_down():
    assert loop is asyncio.get_running_loop()
    print("torn down there")
async def callback(station_id, module_input):
    return loop is asyncio.get_running_loop()
"""
    serving = Serving(callback={"source": source})
    async with serving.running():
        serving.send(["S1"])
        await serving.all_out()
    assert serving.outputs == [("S1", True)]


# -- while it runs ----------------------------------------------------------------------------------


async def test_an_outage_loses_and_doubles_nothing_once_sends_succeed_or_fail_as_a_whole() -> None:
    serving = Serving(partitions=2)
    stations = stations_of(range(8))
    async with serving.running() as worker:
        serving.send(stations, 5)
        await serving.all_out()
        serving.cluster.disconnect()
        serving.send(stations, 20)
        await until(lambda: not worker.box.connected or worker.box.pending == 0, "the outage is felt")
        serving.cluster.reconnect()
        serving.send(stations, 5)
        await serving.all_out()
    serving.assert_exact()


async def test_outputs_whose_acknowledgement_is_lost_are_written_again_with_the_same_id() -> None:
    serving = Serving()
    async with serving.running():
        serving.cluster.fail_next(1, "sink.send", written=True)
        serving.send(["S1"], 10)
        await until(lambda: set(serving.powers("S1")) == set(range(1, 11)), "every output")
    ids = [dict(record.headers)["output-id"] for record in serving.cluster.records(OUTPUT)]
    assert len(set(ids)) == 10


async def test_a_restart_goes_on_where_the_stop_was_with_the_same_windows() -> None:
    serving = Serving(partitions=3)
    stations = stations_of(range(8))
    for _ in range(4):
        async with serving.running():
            serving.send(stations, 3)
            await serving.all_out()
    serving.assert_exact()


async def test_records_that_come_while_no_worker_runs_are_not_lost_to_latest() -> None:
    serving = Serving(kafka={**SPEC["kafka"], "autoOffsetReset": "latest"})
    serving.send(["S1"], 2)
    async with serving.running():
        serving.send(["S1"], 2)
        await until(lambda: serving.powers("S1") == [3, 4], "what came after the start")
    serving.send(["S1"], 2)
    async with serving.running():
        await until(lambda: serving.powers("S1") == [3, 4, 5, 6], "what came meanwhile")
    assert serving.outputs[-1] == ("S1", [4, 5, 6])


async def test_a_shard_that_starts_later_misses_nothing_of_what_its_fellow_has_gone_past() -> None:
    """The group's offset is then how far the fellow is; the late one's slots begin where the group stood."""
    serving = Serving()
    stations = stations_of(range(8))
    serving.send(stations, 10)
    async with serving.running(serving.told("a", range(4))) as early:
        await serving.some_out(10 * len(stations_of(range(4))))
        await until(lambda: serving.cluster.groups["group"].get(PLACE) == 160, "the group is at the end")
        async with serving.running(serving.told("b", range(4, 8))):
            await serving.all_out()
        assert early.failure is None
    serving.assert_exact()


async def test_an_output_too_large_is_a_dead_letter_and_its_neighbours_pass() -> None:
    source = """
def callback(station_id, module_input):
    return "x" * 2_000_000 if module_input["power"] == 2 else module_input["power"]
"""
    serving = Serving(callback={"source": source})
    async with serving.running():
        serving.send(["S1"], 3)
        await until(lambda: len(serving.cluster.records("module-dead-letters")) == 1, "the dead letter")
        await serving.some_out(2)
        await until(lambda: serving.cluster.groups["group"].get(PLACE) == 3, "all is committed")
    (letter,) = serving.cluster.records("module-dead-letters")
    assert len(letter.value or b"") == 1024
    assert dict(letter.headers)["output-id"] == b"module/S1/POWER/0/1"


async def test_stations_not_seen_for_too_long_are_dropped() -> None:
    settings = Settings(commit_interval_seconds=0.02, stop_within_seconds=2.0, expiry_interval_seconds=0.02)
    serving = Serving(expireAfterSeconds=0.1)
    async with serving.running(settings=settings) as worker:
        serving.send(["S1"])
        await serving.all_out()
        assert "S1" in worker.engine.stations
        await until(lambda: worker.engine.stations == {}, "the station is dropped")
        assert worker.flow.records == {}
        serving.send(["S1"])
        await serving.all_out()
    assert serving.outputs[-1] == ("S1", [0, 0, 2])


async def test_a_defect_ends_the_worker_as_failed_with_the_reason_and_nothing_more_is_committed() -> None:
    serving = Serving()
    worker = serving.worker()
    await worker.start()
    serving.send(["S1"])
    await serving.all_out()
    serving.cluster.fail_next(1, "source.poll", ZeroDivisionError("a defect"))
    async with asyncio.timeout(5):
        await worker.stopped.wait()
    assert isinstance(worker.failure, ZeroDivisionError)
    assert worker.report.status().state == "failed"
    await worker.stop()
    assert worker.state == "failed"
    await worker.stop()


# -- stop -------------------------------------------------------------------------------------------


async def test_a_stop_commits_what_is_done_and_says_so() -> None:
    serving = Serving()
    slow = Settings(commit_interval_seconds=60.0, stop_within_seconds=2.0)
    async with serving.running(settings=slow) as worker:
        worker.state = "running"
        serving.send(["S1"], 5)
        await serving.all_out()
    assert {progress.offsets[PLACE] for progress in (await serving.progress()).values()} == {5}
    assert worker.report.status().state == "stopped"


async def test_a_stop_may_be_asked_for_twice_at_once() -> None:
    serving = Serving()
    worker = serving.worker()
    await worker.start()
    await asyncio.gather(worker.stop(), worker.stop())
    await worker.stop()
    assert worker.state == "stopped"


async def test_a_stop_before_a_start_ends_at_once() -> None:
    worker = Serving().worker()
    await worker.stop()
    assert worker.state == "stopped"


async def test_a_stop_with_a_stuck_callback_is_bounded_and_the_others_are_committed() -> None:
    serving, stuck = Serving(), Stuck("S1")
    settings = Settings(commit_interval_seconds=0.02, stop_within_seconds=0.5)
    worker = serving.worker(callback=stuck, settings=settings)
    await worker.start()
    serving.send(["S1"])
    serving.send(["S2"], 3)
    await until(lambda: len(serving.outputs) == 3 and stuck.entered.is_set(), "the others' outputs")
    began = time.monotonic()
    await worker.stop()
    assert time.monotonic() - began < 2.0
    stuck.free.set()
    progress = await serving.progress()
    assert sorted({each.offsets[PLACE] for each in progress.values()}) == [0, 4]
    async with serving.running():
        await serving.all_out()
    assert serving.powers("S1") == [1]
    assert serving.powers("S2") == [1, 2, 3]


async def test_a_stop_while_kafka_is_away_is_bounded() -> None:
    serving = Serving()
    settings = Settings(commit_interval_seconds=0.02, stop_within_seconds=0.5)
    worker = serving.worker(settings=settings)
    await worker.start()
    serving.cluster.disconnect()
    serving.send(["S1"])
    began = time.monotonic()
    await worker.stop()
    assert time.monotonic() - began < 2.0
    assert worker.state == "stopped"


async def test_a_stop_in_the_middle_of_a_start_ends_it() -> None:
    serving = Serving()
    gate = serving.cluster.hold("source.bounds")
    worker = serving.worker()
    starting = asyncio.create_task(worker.start())
    await until(lambda: serving.cluster.calls["source.bounds"], "the start is under way")
    starting.cancel()
    await asyncio.wait([starting])
    await worker.stop()
    gate.set()
    assert worker.state == "stopped"


async def test_no_task_outlives_a_stop() -> None:
    before = asyncio.all_tasks()
    serving = Serving()
    async with serving.running():
        serving.send(stations_of(range(8)), 3)
        await serving.all_out()
    left = asyncio.all_tasks() - before
    assert left == set()


def test_the_quick_settings_of_these_tests_are_quicker_than_the_real_ones() -> None:
    assert QUICK.takeover_after_seconds < Settings().takeover_after_seconds
