"""Two workers on topics not keyed by station: each station has one owner, also while slots move."""

import collections
import contextlib
import json
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from analysis_module import names
from tests.infrastructure import kafka_tools, kills, numbered_stream, waiting
from tests.infrastructure.kafka_cluster import KafkaEndpoint
from tests.infrastructure.worker_process import WorkerProcess, told

RECORDS = 6_000
STATIONS = 40
HALVES = frozenset(range(32)), frozenset(range(32, 64))
MOVED = frozenset(range(16, 32))
CALLBACK = """
import os
def callback(station_id, module_input):
    number = module_input["number"]
    return {"number": number, "window": list(module_input["number_window"]), "by": os.getpid()}
"""


def _owners(stream: numbered_stream.NumberedStream) -> dict[str, list[int]]:
    owners: dict[str, list[int]] = collections.defaultdict(list)
    for output in stream.outputs():
        envelope = json.loads(output.value or b"")
        if envelope["output"]["by"] not in owners[envelope["stationId"]]:
            owners[envelope["stationId"]].append(envelope["output"]["by"])
    return owners


@pytest.mark.parametrize("partitions", [1, 3])
def test_without_keys_every_station_is_handled_by_exactly_one_of_two_workers(
    kafka: KafkaEndpoint, tmp_path: Path, partitions: int
) -> None:
    stream = numbered_stream.make(kafka.bootstrap_servers, "shards", partitions=partitions)
    spec = stream.spec(callback={"source": CALLBACK})
    sent = list(numbered_stream.records(RECORDS, STATIONS, keyed=False))
    with (
        WorkerProcess(tmp_path, "first").with_spec(spec, shard=0, shards=2) as first,
        WorkerProcess(tmp_path, "second").with_spec(spec, shard=1, shards=2) as second,
    ):
        first.start()
        second.start()
        kafka_tools.produce_all(stream.bootstrap, stream.topic, sent)
        waiting.until(lambda: stream.output_count() >= RECORDS, what="all outputs", timeout_seconds=60)
        first.stop()
        second.stop()
    # Without keys a station's records have an order only where there is one partition.
    found = numbered_stream.examine(stream.outputs(), sent, windows=partitions == 1)
    assert (found.lost, found.doubled, found.doubled_unmarked, found.wrong_windows) == ([], 0, 0, [])
    owners = _owners(stream)
    assert len(owners) == STATIONS
    assert all(len(by) == 1 for by in owners.values())
    assert len({by[0] for by in owners.values()}) == 2


@contextlib.contextmanager
def two(directory: Path, spec: Mapping[str, Any]) -> Iterator[tuple[WorkerProcess, WorkerProcess]]:
    """Two workers that run, each with half of the slots, and windows in files."""
    with (
        WorkerProcess(directory, "first").with_assignment(told(spec, "a", HALVES[0])) as first,
        WorkerProcess(directory, "second").with_assignment(told(spec, "b", HALVES[1])) as second,
    ):
        for worker in (first, second):
            worker.with_state(directory / "state").start()
        for worker in (first, second):
            worker.wait_until_running()
        yield first, second


@contextlib.contextmanager
def in_mid_stream(
    kafka: KafkaEndpoint, directory: Path, delivery: str
) -> Iterator[
    tuple[numbered_stream.NumberedStream, list[Any], Mapping[str, Any], WorkerProcess, WorkerProcess]
]:
    """A stream, its records, the module and its workers, while records come; at the end all have outputs."""
    stream = numbered_stream.make(kafka.bootstrap_servers, "moves", partitions=1)
    spec = stream.spec(callback={"source": CALLBACK}, delivery=delivery)
    sent = list(numbered_stream.records(RECORDS, STATIONS, keyed=False))
    producing = threading.Thread(target=_produce_slowly, args=(stream, sent), daemon=True)
    with two(directory, spec) as (first, second):
        producing.start()
        waiting.until(lambda: stream.output_count() > RECORDS // 5, what="a first part", timeout_seconds=60)
        yield stream, sent, spec, first, second
        producing.join()
        kills.until_answered(stream, sent)
        first.stop()
        second.stop()


def follow(second: WorkerProcess, spec: Mapping[str, Any]) -> None:
    """Let the second worker follow the slots that will move, until it is up with their owner."""
    second.replace(told(spec, "b", HALVES[1], 1, arriving=MOVED))
    waiting.until(
        lambda: set(second.status()["followed_slots"]) == MOVED,
        what="the slots are followed",
        timeout_seconds=60,
    )


def take_over(second: WorkerProcess, spec: Mapping[str, Any]) -> None:
    """Give the second worker the slots that move."""
    second.replace(told(spec, "b", HALVES[1] | MOVED, 2))
    waiting.until(
        lambda: (
            set(second.status().get("slots", ())) == HALVES[1] | MOVED
            and not second.status().get("restoring_slots")
        ),
        what="the slots have moved",
        timeout_seconds=60,
    )


@pytest.mark.parametrize("followed", [False, True], ids=["at-once", "followed"])
@pytest.mark.parametrize("delivery", ["AtLeastOnce", "ExactlyOnce"])
def test_slots_moved_in_mid_stream_lose_and_double_nothing(
    kafka: KafkaEndpoint, tmp_path: Path, delivery: str, followed: bool
) -> None:
    with in_mid_stream(kafka, tmp_path, delivery) as (stream, sent, spec, first, second):
        if followed:
            follow(second, spec)
        first.replace(told(spec, "a", HALVES[0] - MOVED, 2))
        take_over(second, spec)
    found = numbered_stream.examine(stream.outputs(), sent)
    assert (found.lost, found.doubled, found.doubled_unmarked) == ([], 0, 0)
    assert found.wrong_windows == []
    assert any(len(by) == 2 for by in _owners(stream).values())


@pytest.mark.parametrize("window", [numbered_stream.WINDOW, 2_000], ids=["in memory", "in files"])
def test_a_followed_slot_moves_without_reading_its_windows_again(
    kafka: KafkaEndpoint, tmp_path: Path, window: int
) -> None:
    stream = numbered_stream.make(kafka.bootstrap_servers, "followed", partitions=2)
    numbered = {"topic": stream.topic, "fields": ["stationId", "number"], "windowSize": window}
    spec = stream.spec(callback={"source": CALLBACK}, inputs=[numbered])
    sent = list(numbered_stream.records(RECORDS, STATIONS))
    with two(tmp_path, spec) as (first, second):
        kafka_tools.produce_all(stream.bootstrap, stream.topic, sent[: RECORDS // 2])
        waiting.until(lambda: stream.output_count() >= RECORDS // 2, what="the half", timeout_seconds=60)
        follow(second, spec)
        before = second.metric("data_analysis_consumed_records_total")
        first.replace(told(spec, "a", HALVES[0] - MOVED, 2))
        take_over(second, spec)
        assert second.metric("data_analysis_consumed_records_total") == before > 0
        kafka_tools.produce_all(stream.bootstrap, stream.topic, sent[RECORDS // 2 :])
        kills.until_answered(stream, sent)
        first.stop()
        second.stop()
    found = numbered_stream.examine(stream.outputs(), sent, windows=window == numbered_stream.WINDOW)
    assert (found.lost, found.doubled, found.doubled_unmarked, found.wrong_windows) == ([], 0, 0, [])


@pytest.mark.parametrize("delivery", ["AtLeastOnce", "ExactlyOnce"])
def test_an_owner_killed_while_it_is_followed_costs_no_record(
    kafka: KafkaEndpoint, tmp_path: Path, delivery: str
) -> None:
    with in_mid_stream(kafka, tmp_path, delivery) as (stream, sent, spec, first, second):
        follow(second, spec)
        first.kill()
        first.with_assignment(told(spec, "a", HALVES[0] - MOVED, 2)).start()
        take_over(second, spec)
    found = numbered_stream.examine(stream.outputs(), sent)
    assert (found.lost, found.doubled_unmarked, found.wrong_windows) == ([], 0, [])
    if delivery == "ExactlyOnce":
        assert found.doubled == 0


def _produce_slowly(stream: numbered_stream.NumberedStream, sent: list[object]) -> None:
    for begin in range(0, len(sent), 100):
        kafka_tools.produce_all(stream.bootstrap, stream.topic, sent[begin : begin + 100])


def test_the_progress_of_a_released_slot_says_so(kafka: KafkaEndpoint, tmp_path: Path) -> None:
    stream = numbered_stream.make(kafka.bootstrap_servers, "release", partitions=1)
    spec = stream.spec()
    with WorkerProcess(tmp_path).with_assignment(told(spec, "a", frozenset({0, 1}), 1)) as worker:
        worker.start().wait_until_running()
        worker.replace(told(spec, "a", frozenset({0}), 2))
        waiting.until(
            lambda: worker.status()["released_slots"] == [1], what="slot 1 is released", timeout_seconds=30
        )
        worker.stop()
    newest = {
        record.key: json.loads(record.value or b"")
        for record in kafka_tools.read_all(stream.bootstrap, names.progress_topic(stream.group))
    }
    assert newest[b"1"]["released"] is True
    assert newest[b"0"]["released"] is False
