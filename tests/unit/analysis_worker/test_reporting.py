"""What a worker says of itself is what is so: the state, how far it is, each station, and why it waits."""

import asyncio
import threading
import time

import pytest

from analysis_worker import reporting
from analysis_worker.engine.records import TopicPartition
from analysis_worker.settings import Settings
from tests.fakes.kafka import FakeKafka
from tests.unit.analysis_worker.in_memory import INPUT, until
from tests.unit.analysis_worker.serving import Serving, stations_of

FAILING = """
def callback(station_id, module_input):
    if station_id == "S1":
        raise ValueError("no result")
    return list(module_input["power_window"])
"""


async def test_before_its_start_a_worker_is_starting_and_knows_its_assignment() -> None:
    serving = Serving()
    told = serving.told("a", [1, 2], 7)
    status = serving.worker(told).report.status()
    assert (status.state, status.module, status.owner, status.slots) == ("starting", "module", "a", (1, 2))
    assert (status.config.applied_hash, status.config.desired_hash) == (None, told.config_hash)
    assert status.config.epoch == 7
    assert serving.worker(told).report.stations(10) == []
    assert serving.worker(told).report.station("S1") is None


async def test_a_running_worker_tells_what_it_runs_and_that_all_is_connected() -> None:
    serving = Serving()
    async with serving.running() as worker:
        serving.send(["S1", "S2"], 3)
        await serving.all_out()
        await until(lambda: worker.state == "running", "it runs")
        await until(lambda: worker.committer.committed_at is not None, "it has committed")
        worker.report.refresh()
        status = worker.report.status()
    assert (status.state, status.main_loop_alive) == ("running", True)
    assert (status.consumer_connected, status.producer_connected) == (True, True)
    assert (status.station_count, status.in_flight, status.waiting, status.held) == (2, 0, 0, 0)
    assert status.config.applied_hash == serving.told().config_hash
    assert status.committed_at is not None
    assert status.restore_progress == 1.0
    assert status.explain == "every record is taken as it comes"
    assert status.last_poll_age_seconds is not None
    assert 0 <= status.last_poll_age_seconds < 5
    assert status.loop_lag_seconds is not None


async def test_the_status_is_kept_current_by_itself() -> None:
    serving = Serving()
    async with serving.running() as worker:
        assert worker.report.status().station_count == 0
        serving.send(["S1"])
        await until(lambda: worker.report.status().station_count == 1, "the station shows")


async def test_lag_is_told_per_partition_in_records_and_seconds() -> None:
    serving = Serving(partitions=2)
    async with serving.running() as worker:
        serving.cluster.produce(INPUT, {"stationId": "S1", "power": 1}, partition=0, timestamp=1_000)
        await serving.some_out(1)
        part = worker.feed.parts[TopicPartition(INPUT, 0)]
        worker.feed.lags[part.origin].end_offset = 11
        worker.report.refresh()
        first, second = worker.report.status().partitions
    assert (first.position, first.end_offset, first.lag_records) == (1, 11, 10)
    assert first.lag_seconds == pytest.approx(time.time() - 1, abs=60)
    assert (second.position, second.lag_records, second.lag_seconds) == (0, 0, 0.0)


async def test_while_windows_are_restored_that_is_told_with_how_far_it_is() -> None:
    serving = Serving()
    serving.send(["S1"], 2_000)
    async with serving.running():
        await serving.all_out()
    worker = serving.worker(settings=Settings(commit_interval_seconds=0.02, most_per_poll=100))
    await worker.start()
    seen: list[float] = []
    while worker.feed.restoring:
        worker.report.refresh()
        status = worker.report.status()
        assert status.state == "restoring"
        assert status.restoring_slots == tuple(range(8))
        assert status.explain.startswith("restoring windows: ")
        seen.append(status.restore_progress)
        await asyncio.sleep(0)
    await worker.stop()
    assert seen == sorted(seen)
    assert any(0 < progress < 1 for progress in seen)


async def test_a_worker_that_has_failed_explains_why_without_a_secret_that_the_error_names() -> None:
    serving = Serving()
    async with serving.running() as worker:
        serving.cluster.fail_next(1, "source.poll", ZeroDivisionError("a defect, password=hunter2"))
        await until(worker.stopped.is_set, "the worker gives up")
        status = worker.report.status()
        assert (status.state, status.explain) == ("failed", "ZeroDivisionError: a defect, password=***")


async def test_a_missing_topic_explains_why_nothing_comes() -> None:
    serving = Serving(FakeKafka())
    async with serving.running() as worker:
        worker.report.refresh()
        assert worker.report.status().explain == "waiting for topics that do not exist: POWER"


async def test_windows_are_told_as_bytes_and_as_how_full_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "_BYTES_SECONDS", -1.0)
    serving = Serving()
    async with serving.running() as worker:
        serving.send(["S1"], 3)
        serving.send(["S2"])
        await serving.all_out()
        worker.report.refresh()
        status = worker.report.status()
    assert status.window_bytes > 0
    (topic,) = status.topics
    assert topic.topic == INPUT
    assert topic.fill_ratio == pytest.approx((1 + 1 / 3) / 2)
    assert topic.padded_ratio == pytest.approx((0 + 2 / 3) / 2)


async def test_a_station_tells_its_fill_its_last_call_and_its_last_error() -> None:
    depends = [{"module": "a", "topic": "A", "windowSize": 4}]
    serving = Serving(callback={"source": FAILING}, dependencies=depends)
    serving.cluster.create_topic("A")
    async with serving.running() as worker:
        serving.send(["S1", "S2"], 2)
        await serving.some_out(2)
        await until(lambda: worker.flow.in_flight == 0, "all calls are over")
        bad, good = worker.report.station("S1"), worker.report.station("S2")
        assert bad is not None
        assert good is not None
        assert (bad.last_error, good.last_error) == ("ValueError: no result", None)
        assert good.fill == {INPUT: (2, 3), "A": (0, 4)}
        assert good.last_callback == pytest.approx(time.time(), abs=60)
        assert (good.in_flight, good.waiting, good.breaker_open) == (False, 0, False)
        assert worker.report.station("S3") is None


async def test_an_open_breaker_shows_at_its_station_and_in_the_count() -> None:
    errors = {"breaker": {"failures": 1, "openSeconds": 60}}
    serving = Serving(callback={"source": FAILING}, errors=errors)
    async with serving.running() as worker:
        serving.send(["S1"])
        await until(lambda: worker.flow.records.get("S1"), "the call has failed")
        worker.report.refresh()
        station = worker.report.station("S1")
        assert station is not None
        assert station.breaker_open
        assert worker.report.status().breakers_open == 1


async def test_stations_are_listed_by_id_up_to_a_limit_and_by_prefix() -> None:
    serving = Serving()
    stations = stations_of(range(8))
    async with serving.running() as worker:
        serving.send(stations)
        await serving.all_out()
        report = worker.report
        assert [station.station_id for station in report.stations(100)] == sorted(stations)
        assert [station.station_id for station in report.stations(2)] == sorted(stations)[:2]
        chosen = stations[0]
        assert [station.station_id for station in report.stations(100, chosen)] == sorted(
            name for name in stations if name.startswith(chosen)
        )


async def test_other_threads_may_ask_at_any_time_while_stations_come_and_go() -> None:
    serving = Serving(expireAfterSeconds=0.02)
    settings = Settings(commit_interval_seconds=0.02, expiry_interval_seconds=0.005, stop_within_seconds=2.0)
    problems: list[BaseException] = []
    enough = threading.Event()

    async with serving.running(settings=settings) as worker:

        def ask() -> None:
            while not enough.is_set():
                try:
                    worker.report.status()
                    for station in worker.report.stations(50):
                        worker.report.station(station.station_id)
                except BaseException as error:  # told below
                    problems.append(error)
                    return

        asking = threading.Thread(target=ask)
        asking.start()
        for number in range(60):
            serving.send(f"S{number * 50 + other}" for other in range(50))
            await asyncio.sleep(0.001)
        await serving.all_out()
        enough.set()
        asking.join()
    assert problems == []


async def test_slots_being_taken_over_are_told() -> None:
    serving = Serving()
    serving.send(stations_of(range(8)), 20)
    async with serving.running(serving.told("a", range(4))) as worker:
        await serving.some_out(20 * len(stations_of(range(4))))
        gate = serving.cluster.hold("source.committed")
        gaining = asyncio.create_task(worker.apply(serving.told("a", range(8), 1)))
        await until(lambda: worker.moves.gains, "the gain has begun")
        worker.report.refresh()
        status = worker.report.status()
        assert status.restoring_slots == (4, 5, 6, 7)
        assert status.explain == "taking slots over: 50% of the windows are there"
        gate.set()
        await gaining
        await until(lambda: not worker.moves.gains, "it is done")
        await serving.all_out()
        worker.report.refresh()
        assert worker.report.status().restoring_slots == ()


async def test_an_outage_shows_as_a_lost_producer() -> None:
    serving = Serving()
    async with serving.running() as worker:
        serving.send(["S1"])
        await serving.all_out()
        serving.cluster.disconnect()
        serving.cluster.fail_next(3, "source.poll")
        serving.send(["S1"])
        await until(lambda: not worker.feed.connected, "the reader notices")
        await until(lambda: not worker.box.connected, "the writer notices")
        worker.report.refresh()
        status = worker.report.status()
        assert (status.consumer_connected, status.producer_connected) == (False, False)
        serving.cluster.reconnect()
        await serving.all_out()
