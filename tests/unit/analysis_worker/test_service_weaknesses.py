"""Weaknesses of the old system (seed system 8): what proves that this one does without each.

Here: a whole worker on Kafka in memory. Engine: `engine/test_engine_weaknesses.py`. Other places are below
tests/, those without a tier below tests/unit/analysis_worker/.

| # | proved by |
|---|---|
| W1 | here; engine; integration/test_worker_isolation.py (10,000 hostile records) |
| W2 | here; engine; unit/d_a/test_sync_service.py and test_async_service.py (both faces on the same worker) |
| W3 | engine; test_assembling_samples.py (every sample, every module, every key) |
| W4 | engine; project/test_bench.py and bench/ (cost at 604,800 against 10) |
| W5 | engine; engine/test_engine.py (the example of 5.3, live and replayed) |
| W6, W6b | here; engine; integration/test_worker_shards.py, test_worker_routing.py |
| W7 | engine; unit/d_a/test_configuration.py (each module of one configuration has a group of its own) |
| W8 | here; engine; properties/test_progress.py; integration/test_worker_crashes.py |
| W9 | observability/test_status.py, test_http.py; unit/d_a/test_sync_service.py (never started, running) |
| W10 | here; unit/d_a/test_async_service.py (an unreachable Kafka), test_errors.py (recover is awaited) |
| W11 | here; engine; integration/test_worker_isolation.py |
| W12 | here; engine; integration/test_worker_crashes.py |
| W13 | here; engine; kafka/test_decoding_outputs.py (all envelopes), kafka/test_encoding.py |
| W14 | engine; engine/test_inputs.py (collisions) |
| W15 | engine; engine/test_engine.py (devices, Global) |
| W16 | engine; kafka/test_decoding.py |
| W17 | here; properties/test_scheduling.py; unit/d_a/test_sync_service.py (more stations than workers) |
| W18 | here; unit/d_a/test_signals.py; every `worker.stop()` of integration/ is a SIGTERM |
| W19 | unit/d_a/test_init.py (importing writes no file), test_log_files.py; observability/test_logs.py |
| W20 | engine/test_engine_changes.py; unit/d_a/test_sync_service.py; integration/test_worker_hot_edits.py |
| W21 | here; unit/analysis_module/test_wiring_rules.py, test_catalogue.py; commands/test_together.py |
| W22 | here; contract/test_kafka_ports.py (polls bring batches and do not wait for the quiet) |
| W23 | here; contract/test_kafka_ports.py (batched sends), test_kafka_outages.py |
| W24 | engine; engine/test_columns.py (a stray text, distinct values); engine/test_intake.py |
| W25 | contract/test_kafka_security.py; unit/d_a/test_kafka_settings.py |
| W26 | here; unit/d_a/test_batches.py |
| W27 | engine; engine/test_scheduling.py; properties/test_scheduling.py |
"""

import asyncio
import collections
import random
import re
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from analysis_module import catalogue, errors, reading
from analysis_worker.kafka import ports
from analysis_worker.settings import Settings
from tests.fakes import cluster, kafka
from tests.unit.analysis_worker import in_memory
from tests.unit.analysis_worker.in_memory import DEAD_LETTERS, INPUT, OUTPUT, outputs, running, until


def test_the_table_has_every_weakness_and_names_only_files_that_are_there() -> None:
    table = [line for line in (__doc__ or "").splitlines() if line.startswith("| W")]
    named = [number for line in table for number in line.split("|")[1].replace(" ", "").split(",")]
    assert named == ["W6b" if number == 0 else f"W{number}" for number in (*range(1, 7), 0, *range(7, 28))]
    here = Path(__file__).parent
    folders = [here, *(path for path in here.iterdir() if path.is_dir()), here.parent / "d_a"]
    folders += [
        here.parent / "analysis_module",
        *(path for path in here.parents[1].iterdir() if path.is_dir()),
    ]
    tests = {path.name for folder in folders for path in folder.glob("test_*.py")}
    assert set(re.findall(r"test_\w+\.py", __doc__ or "")) <= tests


def windows(station_id: str, module_input: Any) -> Any:
    return list(module_input["power_window"])


def sample(station: Any, power: Any) -> dict[str, Any]:
    return {"stationId": station, "power": power}


async def test_w01_a_record_without_a_station_is_dead_lettered_with_its_origin_and_counted() -> None:
    cluster = in_memory.a_cluster()
    for value in (sample("S1", 1), {"power": 2}, {"gunId": "G1", "power": 3}, {"hostId": "H1", "power": 4}):
        cluster.produce(INPUT, value)
    async with running(cluster, windows):
        await until(lambda: len(outputs(cluster)) == 2, "both outputs")
        await until(lambda: len(cluster.records(DEAD_LETTERS)) == 2, "both dead letters")
    letters = [dict(record.headers) for record in cluster.records(DEAD_LETTERS)]
    assert [letter["dead-letter-offset"] for letter in letters] == [b"1", b"2"]
    assert {letter["dead-letter-error-type"] for letter in letters} == {b"missing_station_id"}
    assert sorted(station for station, _ in outputs(cluster)) == ["H1", "S1"]


@pytest.mark.parametrize("kind", ["plain", "async"])
async def test_w02_w13_each_record_becomes_an_output_keyed_by_its_station(kind: str) -> None:
    async def awaited(station_id: str, module_input: Any) -> Any:
        return windows(station_id, module_input)

    cluster = in_memory.a_cluster()
    cluster.produce(INPUT, sample("S1", 1), timestamp=1_762_480_005_200)
    cluster.produce(INPUT, sample("S1", 2), timestamp=1_762_480_006_000)
    async with running(cluster, windows if kind == "plain" else awaited):
        await until(lambda: len(outputs(cluster)) == 2, "both outputs")
    first, second = cluster.records(OUTPUT)
    assert first.json() == {
        "stationId": "S1",
        "module": "module",
        "output": [0, 0, 1],
        "timestamp": 1762480005.2,
    }
    assert (first.key, second.json()["output"]) == (b"S1", [0, 1, 2])
    assert dict(first.headers) == {"output-id": b"module/S1/POWER/0/0"}


async def test_w06_every_station_of_unkeyed_records_has_one_owner_and_whole_windows() -> None:
    cluster = in_memory.a_cluster(partitions=3)
    numbers: collections.Counter[str] = collections.Counter()
    chance = random.Random(6)
    for _ in range(400):
        station = f"S{chance.randrange(20)}"
        numbers[station] += 1
        cluster.produce(INPUT, sample(station, numbers[station]), partition=0)
    async with (
        running(cluster, windows, slots=range(0, 64, 2)) as one,
        running(cluster, windows, slots=range(1, 64, 2)) as other,
    ):
        await until(lambda: len(outputs(cluster)) >= 400, "all outputs")
        owned = [set(worker.engine.stations) for worker in (one, other)]
    assert all(owned)
    assert not owned[0] & owned[1]
    assert len(outputs(cluster)) == 400
    for station, window in outputs(cluster):
        assert window == [max(0, number) for number in range(window[-1] - 2, window[-1] + 1)]
        assert station in owned[0] | owned[1]


def slow_windows(station_id: str, module_input: Any) -> Any:
    time.sleep(0.001)
    return windows(station_id, module_input)


async def test_w08_w12_crashes_lose_no_output_mark_every_duplicate_and_keep_every_window() -> None:
    cluster = in_memory.a_cluster(partitions=2)
    quick = Settings(commit_interval_seconds=0.002, stop_within_seconds=0.1)
    expected = []
    for run in range(5):
        for number in range(120 * run, 120 * (run + 1)):
            station = f"S{number % 5}"
            cluster.produce(INPUT, sample(station, number), key=station.encode())
            expected.append((station, (max(0, number - 10), max(0, number - 5), number)))
        worker = in_memory.a_worker(cluster, slow_windows, settings=quick)
        await worker.start()
        await asyncio.sleep(0)
        enough = 120 * run + 40 if run < 4 else 600
        await until(lambda enough=enough: _seen(cluster) >= enough, f"{enough} outputs")  # type: ignore[misc]
        if run < 4:
            cluster.disconnect()  # nothing more is sent or committed
        await worker.stop()
        cluster.reconnect()
    # A record that was taken again saw the same window and has the same id: nothing else is doubled.
    assert sorted(set(map(_frozen, outputs(cluster)))) == sorted(expected)
    assert _seen(cluster) == 600


def _seen(cluster: kafka.FakeKafka) -> int:
    """Outputs so far, each once."""
    return len({_id(record) for record in cluster.records(OUTPUT)})


def _id(record: cluster.FakeRecord) -> bytes:
    return dict(record.headers)["output-id"]


def _frozen(output: tuple[str, list[Any]]) -> tuple[str, tuple[Any, ...]]:
    return output[0], tuple(output[1])


async def test_w10_a_start_without_kafka_fails_within_its_bound_and_says_why() -> None:
    cluster = in_memory.a_cluster()
    cluster.disconnect()
    impatient = Settings(connect_within_seconds=0.3, stop_within_seconds=0.2)
    worker = in_memory.a_worker(cluster, windows, settings=impatient)
    with pytest.raises(ConnectionError, match="no Kafka at in-memory:1"):
        await worker.start()
    await worker.stop()


async def test_w10_once_started_a_worker_outlasts_an_outage_and_loses_nothing() -> None:
    cluster = in_memory.a_cluster()
    async with running(cluster, windows) as worker:
        cluster.produce(INPUT, sample("S1", 1))
        await until(lambda: len(outputs(cluster)) == 1, "the first output")
        cluster.disconnect()
        cluster.produce(INPUT, sample("S1", 2))
        await asyncio.sleep(0)
        cluster.reconnect()
        cluster.fail_next(2, "sink.send", ports.KafkaUnavailable("the leader is gone"))
        await until(lambda: len(outputs(cluster)) == 2, "the output after the outage")
        assert worker.failure is None
    assert [window for _, window in outputs(cluster)] == [[0, 0, 1], [0, 1, 2]]


async def test_w10_a_worker_whose_loop_cannot_go_on_says_so_and_does_not_look_alive() -> None:
    cluster = in_memory.a_cluster()
    async with running(cluster, windows) as worker:
        cluster.fail_next(1, "source.poll", ZeroDivisionError("a bug"))
        await until(worker.stopped.is_set, "the worker gives up")
        assert isinstance(worker.failure, ZeroDivisionError)
        assert worker.state == "failed"


@pytest.mark.parametrize("poison", [b"\xff\xfe", b"{", b"[" * 20_000, None, b"[1,2]", b'{"stationId":"S1"'])
async def test_w11_poison_goes_to_the_dead_letters_and_is_not_met_again(poison: bytes | None) -> None:
    cluster = in_memory.a_cluster()
    for value in (sample("S1", 1), poison, sample("S1", 2)):
        cluster.produce(INPUT, value)
    for _ in range(2):
        async with running(cluster, windows):
            await until(lambda: len(outputs(cluster)) == 2, "both outputs")
            await until(lambda: len(cluster.records(DEAD_LETTERS)) == 1, "the dead letter")
    letter = cluster.records(DEAD_LETTERS)[0]
    assert letter.value == poison
    assert dict(letter.headers)["dead-letter-topic"] == INPUT.encode()


async def test_w13_none_gives_the_input_and_an_exception_gives_nothing() -> None:
    def callback(station_id: str, module_input: Any) -> Any:
        if module_input["power"] == 2:
            raise ValueError("no result")

    cluster = in_memory.a_cluster()
    for power in (1, 2, 3):
        cluster.produce(INPUT, sample("S1", power))
    async with running(cluster, callback):
        await until(lambda: len(outputs(cluster)) == 2, "both outputs")
    results = [result for _, result in outputs(cluster)]
    assert [result["power_window"] for result in results] == [[0, 0, 1], [1, 2, 3]]
    assert set(results[0]) >= {"stationId", "power", "_data_quality"}


async def test_w17_more_stations_than_threads_are_all_served() -> None:
    cluster = in_memory.a_cluster()
    for turn in range(3):
        for number in range(200):
            cluster.produce(INPUT, sample(f"S{number}", turn))
    async with running(cluster, windows, limits={"concurrency": 2}):
        await until(lambda: len(outputs(cluster)) == 600, "all outputs")
    assert collections.Counter(station for station, _ in outputs(cluster)) == {
        f"S{number}": 3 for number in range(200)
    }


async def test_w18_a_stop_ends_within_its_bound_though_a_callback_does_not() -> None:
    never, started = threading.Event(), threading.Event()

    def callback(station_id: str, module_input: Any) -> Any:
        started.set()
        never.wait(20.0)

    cluster = in_memory.a_cluster()
    cluster.produce(INPUT, sample("S1", 1))
    bounded = Settings(commit_interval_seconds=0.05, stop_within_seconds=0.4)
    worker = in_memory.a_worker(cluster, callback, settings=bounded)
    await worker.start()
    await until(started.is_set, "the callback runs")
    async with asyncio.timeout(2.0):
        await worker.stop()
    assert worker.state == "stopped"


def test_w21_a_module_without_topics_is_an_error_that_says_so_and_a_cycle_is_named_in_full() -> None:
    with pytest.raises(errors.InvalidSpec, match="inputs"):
        catalogue.resolve(reading.read_spec({"module": "unheard_of"}))
    cycle = catalogue.dependency_cycle({"a": ["b"], "b": ["c"], "c": ["a"]})
    assert cycle == ("a", "b", "c", "a")


async def test_w22_a_busy_topic_is_read_in_batches_and_waits_for_no_quiet_one() -> None:
    cluster = in_memory.a_cluster(INPUT, "QUIET")
    for number in range(5_000):
        cluster.produce(INPUT, sample(f"S{number % 50}", number))
    quiet = {"topic": "QUIET", "fields": ["stationId", "x"], "windowSize": 1}
    async with running(cluster, windows, inputs=[*in_memory.SPEC["inputs"], quiet]):
        polls = cluster.calls["source.poll"]
        began = asyncio.get_running_loop().time()
        await until(lambda: len(outputs(cluster)) == 5_000, "all outputs")
        assert asyncio.get_running_loop().time() - began < 5.0
        assert cluster.calls["source.poll"] - polls < 50


async def test_w23_outputs_are_sent_in_batches() -> None:
    cluster = in_memory.a_cluster()
    for number in range(2_000):
        cluster.produce(INPUT, sample(f"S{number % 50}", number))
    async with running(cluster, windows):
        await until(lambda: len(outputs(cluster)) == 2_000, "all outputs")
    assert cluster.calls["sink.send"] < 500


async def test_w26_every_record_of_a_batch_has_an_output_of_its_own() -> None:
    cluster = in_memory.a_cluster()
    for number in range(30):
        cluster.produce(INPUT, sample("S1", number))
    async with running(cluster, windows):
        await until(lambda: len(outputs(cluster)) == 30, "all outputs")
    assert [window[-1] for _, window in outputs(cluster)] == list(range(30))
    assert len({_id(record) for record in cluster.records(OUTPUT)}) == 30
