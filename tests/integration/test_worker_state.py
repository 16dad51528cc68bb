"""Windows kept in files: a restart begins where they end, and whatever is wrong with them costs no record."""

import collections
import json
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.infrastructure import kafka_tools, kills, numbered_stream, programs, waiting
from tests.infrastructure.kafka_cluster import KafkaEndpoint
from tests.infrastructure.numbered_stream import NumberedStream
from tests.infrastructure.worker_process import WorkerProcess

WINDOW = 1_100
STATIONS = 8
CALLBACK = """
import numpy

def callback(station_id, module_input):
    window = numpy.asarray(module_input["number_window"])
    marks = [window[0], window[-1], window.sum(), (window * numpy.arange(len(window))).sum()]
    return {"number": module_input["number"], "marks": [int(mark) for mark in marks]}
"""
TAKEN = re.compile(r"(\d+) windows of (\d+) slots are taken from files")


def a_stream(kafka: KafkaEndpoint, name: str) -> NumberedStream:
    return numbered_stream.make(kafka.bootstrap_servers, name)


def changes(stream: NumberedStream, **more: Any) -> dict[str, Any]:
    inputs = [{"topic": stream.topic, "fields": ["stationId", "number"], "windowSize": WINDOW}]
    return {"inputs": inputs, "callback": {"source": CALLBACK}, **more}


def marks_at(number: int) -> list[int]:
    window = numbered_stream.window_at(number, WINDOW)
    return [window[0], window[-1], sum(window), sum(n * at for at, n in enumerate(window))]


def assert_whole(stream: NumberedStream, sent: Sequence[Any], *, doubles: bool = True) -> None:
    """Every record has its output, made of the window that a worker that never ended would have seen."""
    outputs = stream.outputs()
    found = numbered_stream.examine(outputs, sent, windows=False)
    assert (found.lost, found.doubled_unmarked) == ([], 0)
    assert doubles or found.doubled == 0
    results = [json.loads(output.value or b"")["output"] for output in outputs]
    assert [r for r in results if r["marks"] != marks_at(r["number"])] == []


def taken(log: str) -> list[int]:
    """How many windows each start has taken from files."""
    return [int(found[1]) for found in TAKEN.finditer(log)]


@pytest.mark.parametrize("delivery", ["AtLeastOnce", "ExactlyOnce"])
def test_a_worker_killed_twenty_times_takes_its_windows_from_files_and_they_are_as_they_were(
    kafka: KafkaEndpoint, tmp_path: Path, delivery: str
) -> None:
    stream = a_stream(kafka, "state-kills")
    sent = list(numbered_stream.records(20_000, STATIONS))
    state = tmp_path / "state"
    kills.run_killed(stream, sent, 20, tmp_path, state=state, **changes(stream, delivery=delivery))
    assert_whole(stream, sent, doubles=delivery == "AtLeastOnce")
    assert taken((tmp_path / "worker-21.log").read_text()) == [STATIONS], "a start after a kill found them"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    if os.geteuid() != 0:
        raise programs.Unavailable("a file system of its own is mounted by root: run the tests as root")
    directory = tmp_path / "small"
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(directory)], check=True)
    yield directory
    subprocess.run(["umount", "--lazy", str(directory)], check=True)


def test_a_full_disk_is_told_and_counted_and_costs_neither_a_record_nor_the_worker(
    kafka: KafkaEndpoint, tmp_path: Path, small_disk: Path
) -> None:
    stream = a_stream(kafka, "state-full")
    sent = list(numbered_stream.records(10_000, 100))
    kafka_tools.produce_all(stream.bootstrap, stream.topic, sent)
    with WorkerProcess(tmp_path).with_spec(stream.spec(**changes(stream))) as worker:
        worker.with_state(small_disk).start().wait_until_running()
        kills.until_answered(stream, sent)
        (metrics,) = [page for status, page in [worker.get("/metrics")] if status == 200]
        worker.stop()
        assert re.search(r'state_failures_total\{[^}]*reason="disk_full"[^}]*\} [1-9]', metrics)
        assert "no room for windows" in worker.log()
    assert_whole(stream, sent)


class Lived:
    """A stream of which a worker has answered a first part, with its windows in files."""

    def __init__(self, kafka: KafkaEndpoint, directory: Path) -> None:
        self.stream = a_stream(kafka, "state-topic")
        self.directory = directory
        self.first = list(numbered_stream.records(4_000, STATIONS))
        self.produce(self.first)
        self.run("first", self.first)

    def produce(self, sent: Sequence[Any]) -> None:
        kafka_tools.produce_all(self.stream.bootstrap, self.stream.topic, sent)

    def run(self, name: str, sent: Sequence[Any]) -> str:
        """What a worker logs that runs until all these records have outputs."""
        with WorkerProcess(self.directory, name).with_spec(
            self.stream.spec(**changes(self.stream))
        ) as worker:
            worker.with_state(self.directory / "state").start().wait_until_running()
            kills.until_answered(self.stream, sent)
            worker.stop()
            return worker.log()

    def more(self) -> list[Any]:
        """Records that go on where the first part ended."""
        counts = collections.Counter(json.loads(value)["stationId"] for _, value, *_ in self.first)
        return list(numbered_stream.records(500, STATIONS, seed=2, start=counts))


@pytest.fixture
def lived(kafka: KafkaEndpoint, tmp_path: Path) -> Lived:
    return Lived(kafka, tmp_path)


def test_windows_outlive_the_records_that_they_were_made_of(lived: Lived) -> None:
    """Trimmed away wholly: what the files hold is all that is left."""
    kafka_tools.delete_records(lived.stream.bootstrap, lived.stream.topic)
    more = lived.more()
    lived.produce(more)
    assert taken(lived.run("second", [*lived.first, *more])) == [STATIONS]
    assert_whole(lived.stream, [*lived.first, *more], doubles=False)


def test_records_that_were_trimmed_before_they_were_read_are_told_and_the_rest_is_answered(
    lived: Lived,
) -> None:
    unread = lived.more()
    lived.produce(unread)
    kafka_tools.delete_records(lived.stream.bootstrap, lived.stream.topic)
    newest = list(numbered_stream.records(500, STATIONS, seed=3, start={f"S{n}": 5_000 for n in range(8)}))
    lived.produce(newest)
    log = lived.run("second", [])
    assert "are lost to this module" in log


def test_a_topic_made_anew_is_read_from_its_beginning(lived: Lived) -> None:
    kafka_tools.delete_topics(lived.stream.bootstrap, [lived.stream.topic])
    waiting.until(
        lambda: lived.stream.topic not in kafka_tools.topics(lived.stream.bootstrap),
        what="the topic is gone",
        timeout_seconds=30,
    )
    kafka_tools.create_topic(lived.stream.bootstrap, lived.stream.topic, partitions=4)
    more = lived.more()
    lived.produce(more)
    log = lived.run("second", [*lived.first, *more])
    assert "it was made anew" in log
    assert_whole(lived.stream, [*lived.first, *more])


COMPACTED = {
    "cleanup.policy": "compact",
    "segment.ms": "1000",
    "min.cleanable.dirty.ratio": "0.01",
    "max.compaction.lag.ms": "1000",
}


def test_a_compacted_topic_costs_windows_in_files_nothing(kafka: KafkaEndpoint, tmp_path: Path) -> None:
    """Kafka keeps one record of each station, with gaps of offsets between them; the files have all."""
    lived = Lived(kafka, tmp_path)
    kafka_tools.configure_topic(kafka.bootstrap_servers, lived.stream.topic, COMPACTED)
    more = lived.more()
    lived.produce(more)  # into a new segment, for the one that is written to is not compacted
    waiting.until(
        lambda: len(kafka_tools.read_all(kafka.bootstrap_servers, lived.stream.topic)) < 3_000,
        what="the topic is compacted",
        timeout_seconds=120,
    )
    assert taken(lived.run("second", [*lived.first, *more])) == [STATIONS]
    assert_whole(lived.stream, [*lived.first, *more], doubles=False)
