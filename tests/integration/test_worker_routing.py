"""Aligned routing: a shard reads its slots' partitions, and a record in a wrong one finds its owner."""

import json
from pathlib import Path

import pytest

from analysis_module import slots
from tests.infrastructure import kafka_tools, numbered_stream, waiting
from tests.infrastructure.kafka_cluster import KafkaEndpoint
from tests.infrastructure.worker_process import WorkerProcess

RECORDS = 2_000
STATIONS = 40
SLOTS = 8


def _in_partitions(stray_every: int) -> list[tuple[bytes, bytes, list[tuple[str, bytes]], None, int]]:
    """Numbered records in the partitions of their slots, each station's every n-th in the next one."""
    placed = []
    for index, (_, value, *_) in enumerate(numbered_stream.records(RECORDS, STATIONS)):
        station = json.loads(value)["stationId"]
        partition = slots.slot_of(station, SLOTS)
        if stray_every and index % stray_every == 0:
            partition = (partition + 1) % SLOTS
        placed.append((station.encode(), value, [], None, partition))
    return placed


@pytest.mark.parametrize("stray_every", [0, 50])
def test_with_aligned_routing_two_workers_give_every_record_one_output(
    kafka: KafkaEndpoint, tmp_path: Path, stray_every: int
) -> None:
    stream = numbered_stream.make(kafka.bootstrap_servers, "aligned", partitions=SLOTS)
    spec = stream.spec(partitioning={"slots": SLOTS, "routing": "Aligned"})
    sent = _in_partitions(stray_every)
    strays = RECORDS // stray_every if stray_every else 0
    with (
        WorkerProcess(tmp_path, "first").with_spec(spec, shard=0, shards=2) as first,
        WorkerProcess(tmp_path, "second").with_spec(spec, shard=1, shards=2) as second,
    ):
        first.start().wait_until_running()
        second.start().wait_until_running()
        kafka_tools.produce_all(stream.bootstrap, stream.topic, sent)
        waiting.until(lambda: stream.output_count() >= RECORDS, what="all outputs", timeout_seconds=60)
        read = {
            (part["topic"], part["partition"])
            for part in first.status()["partitions"]
            if part["topic"] == stream.topic
        }
        waiting.until(
            lambda: sum(worker.status()["wrong_partition"] for worker in (first, second)) == strays,
            what=f"{strays} strays are counted",
            timeout_seconds=10,
        )
        first.stop()
        second.stop()
    assert read == {(stream.topic, partition) for partition in range(SLOTS // 2)}
    # A stray takes a way round, so it may come after newer records of its station.
    found = numbered_stream.examine(stream.outputs(), sent, windows=not stray_every)
    assert (found.lost, found.doubled, found.doubled_unmarked, found.wrong_windows) == ([], 0, 0, [])


def test_a_topic_with_another_number_of_partitions_than_slots_is_read_whole_and_told(
    kafka: KafkaEndpoint, tmp_path: Path
) -> None:
    stream = numbered_stream.make(kafka.bootstrap_servers, "misaligned", partitions=3)
    spec = stream.spec(partitioning={"slots": SLOTS, "routing": "Aligned"})
    sent = list(numbered_stream.records(300, 10))
    with WorkerProcess(tmp_path).with_spec(spec) as worker:
        worker.start().wait_until_running()
        kafka_tools.produce_all(stream.bootstrap, stream.topic, sent)
        waiting.until(lambda: stream.output_count() >= 300, what="all outputs", timeout_seconds=30)
        worker.stop()
    assert "read as Filtered: make them equal" in worker.log()
    assert numbered_stream.examine(stream.outputs(), sent).lost == []
