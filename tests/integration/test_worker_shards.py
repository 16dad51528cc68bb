"""Two workers on topics not keyed by station: each station has one owner, also while slots move."""

import collections
import json
import threading
from pathlib import Path

import pytest

from analysis_module import names
from tests.infrastructure import kafka_tools, numbered_stream, waiting
from tests.infrastructure.kafka_cluster import KafkaEndpoint
from tests.infrastructure.worker_process import WorkerProcess, told

RECORDS = 6_000
STATIONS = 40
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


def test_slots_moved_in_mid_stream_lose_and_double_nothing(kafka: KafkaEndpoint, tmp_path: Path) -> None:
    stream = numbered_stream.make(kafka.bootstrap_servers, "moves", partitions=1)
    spec = stream.spec(callback={"source": CALLBACK})
    sent = list(numbered_stream.records(RECORDS, STATIONS, keyed=False))
    halves = frozenset(range(32)), frozenset(range(32, 64))
    moved = frozenset(range(16, 32))
    producing = threading.Thread(target=_produce_slowly, args=(stream, sent), daemon=True)
    with (
        WorkerProcess(tmp_path, "first").with_assignment(told(spec, "a", halves[0], 1)) as first,
        WorkerProcess(tmp_path, "second").with_assignment(told(spec, "b", halves[1], 1)) as second,
    ):
        first.start().wait_until_running()
        second.start().wait_until_running()
        producing.start()
        waiting.until(lambda: stream.output_count() > RECORDS // 5, what="a first part", timeout_seconds=60)
        first.replace(told(spec, "a", halves[0] - moved, 2))
        second.replace(told(spec, "b", halves[1] | moved, 2))
        waiting.until(
            lambda: (
                set(second.status().get("slots", ())) == halves[1] | moved
                and not second.status().get("restoring_slots")
            ),
            what="the slots have moved",
            timeout_seconds=60,
        )
        producing.join()
        waiting.until(lambda: stream.output_count() >= RECORDS, what="all outputs", timeout_seconds=60)
        first.stop()
        second.stop()
    found = numbered_stream.examine(stream.outputs(), sent)
    assert (found.lost, found.doubled, found.doubled_unmarked) == ([], 0, 0)
    assert found.wrong_windows == []
    assert any(len(by) == 2 for by in _owners(stream).values())


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
