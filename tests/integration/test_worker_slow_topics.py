"""Slow topics outlive their retention on real Kafka: restarts, kills and moves see what the source lost."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analysis_module import names, slots
from analysis_worker.kafka import progress_log
from tests.infrastructure import kafka_tools, kills, numbered_stream, waiting
from tests.infrastructure.kafka_cluster import KafkaEndpoint
from tests.infrastructure.numbered_stream import NumberedStream
from tests.infrastructure.worker_process import WorkerProcess, told

CALLBACK = """
def callback(station_id, module_input):
    return {key: list(module_input[f"{key}_window"]) for key in ("number", "price", "day")}
"""
DELIVERIES = pytest.mark.parametrize("delivery", ["AtLeastOnce", "ExactlyOnce"])
ENDS = pytest.mark.parametrize("end", [WorkerProcess.stop, WorkerProcess.kill], ids=["stopped", "killed"])
STATION = "S1"
PATIENCE_SECONDS = 60.0


class Tariffs:
    """A module of a fast topic, and a price list and a calendar that are written seldom."""

    def __init__(self, kafka: KafkaEndpoint, delivery: str) -> None:
        self.stream = numbered_stream.make(kafka.bootstrap_servers, "slow", partitions=1)
        self.delivery = delivery
        self.price, self.day = f"{self.stream.group}-price", f"{self.stream.group}-day"
        for topic in (self.price, self.day):
            kafka_tools.create_topic(self.stream.bootstrap, topic)
        self._number = 0

    @property
    def spec(self) -> dict[str, Any]:
        fast = {"topic": self.stream.topic, "fields": ["stationId", "number"], "windowSize": 2}
        price = {"topic": self.price, "fields": ["stationId", "price"], "windowSize": 3}
        day = {"topic": self.day, "fields": ["day"], "windowSize": 2, "scope": "Global"}
        slow = {"keepLast": True, "trigger": False}
        inputs = [fast, {**price, **slow}, {**day, **slow}]
        return self.stream.spec(inputs=inputs, callback={"source": CALLBACK}, delivery=self.delivery)

    def write(self, topic: str, *values: dict[str, Any]) -> None:
        records = [(None, json.dumps(value).encode(), [], None, None) for value in values]
        kafka_tools.produce_all(self.stream.bootstrap, topic, records)

    def write_slow(self, numbers: range) -> None:
        self.write(self.price, *({"stationId": STATION, "price": n} for n in numbers))
        self.write(self.day, *({"day": n} for n in numbers))

    def seen(self) -> dict[str, Any]:
        """What the callback sees at the next record."""
        self._number += 1
        self.write(self.stream.topic, {"stationId": STATION, "number": self._number})

        def outputs() -> list[Any]:
            results = [json.loads(each.value or b"")["output"] for each in self.stream.outputs()]
            return [result for result in results if result["number"][-1] == self._number]

        waiting.until(lambda: outputs() != [], what="the output", timeout_seconds=PATIENCE_SECONDS)
        result: dict[str, Any] = outputs()[-1]
        return {key: result[key] for key in ("price", "day")}

    def until_kept(self, price: int) -> None:
        """Wait until this price and this day are kept and their offsets done."""
        last = names.last_topic(self.stream.group)

        def done() -> bool:
            kept = [
                json.loads(each.value)
                for each in kafka_tools.read_all(self.stream.bootstrap, last)
                if each.value
            ]
            lowest = lowest_progress(self.stream)
            ends = {t: kafka_tools.end_offsets(self.stream.bootstrap, t)[0] for t in (self.price, self.day)}
            return (
                {"stationId": STATION, "price": price} in kept
                and {"day": price} in kept
                and all(lowest.get((topic, 0)) == end for topic, end in ends.items())
            )

        waiting.until(done, what="it is kept", timeout_seconds=PATIENCE_SECONDS)

    def trim(self) -> None:
        for topic in (self.price, self.day):
            kafka_tools.delete_records(self.stream.bootstrap, topic)


def lowest_progress(stream: NumberedStream) -> dict[tuple[str, int], int]:
    """Of each partition the first offset that is not done for some slot."""
    newest: dict[int, progress_log.SlotProgress] = {}
    for record in kafka_tools.read_all(stream.bootstrap, names.progress_topic(stream.group)):
        progress = progress_log.read_progress(record)  # type: ignore[arg-type]
        assert progress is not None
        newest[progress.slot] = progress
    lowest: dict[tuple[str, int], int] = {}
    for progress in newest.values():
        for place, offset in progress.offsets.items():
            lowest[place] = min(offset, lowest.get(place, offset))
    return lowest


def until_done(stream: NumberedStream, records: int) -> dict[int, int]:
    """Wait until so many of the stream's records are done; how far each of its partitions is."""

    def done() -> dict[int, int]:
        lowest = lowest_progress(stream).items()
        return {partition: offset for (topic, partition), offset in lowest if topic == stream.topic}

    waiting.until(
        lambda: sum(done().values()) >= records, what="it is done", timeout_seconds=PATIENCE_SECONDS
    )
    return done()


@ENDS
@DELIVERIES
def test_a_restart_sees_the_windows_of_slow_topics_though_retention_took_their_records(
    kafka: KafkaEndpoint, tmp_path: Path, delivery: str, end: Callable[[WorkerProcess], None]
) -> None:
    tariffs = Tariffs(kafka, delivery)
    tariffs.write_slow(range(1, 6))
    with WorkerProcess(tmp_path).with_spec(tariffs.spec) as worker:
        worker.start().wait_until_running()
        tariffs.until_kept(5)
        assert tariffs.seen() == {"price": [3, 4, 5], "day": [4, 5]}
        end(worker)
        tariffs.trim()
        worker.start().wait_until_running()
        assert tariffs.seen() == {"price": [3, 4, 5], "day": [4, 5]}
        assert "no longer held" not in worker.log()
        tariffs.write_slow(range(6, 7))
        tariffs.until_kept(6)
        assert tariffs.seen() == {"price": [4, 5, 6], "day": [5, 6]}
        end(worker)
        worker.start().wait_until_running()
        assert tariffs.seen() == {"price": [4, 5, 6], "day": [5, 6]}
        worker.stop()


@DELIVERIES
def test_nothing_is_doubled_while_the_source_still_holds_what_is_kept(
    kafka: KafkaEndpoint, tmp_path: Path, delivery: str
) -> None:
    tariffs = Tariffs(kafka, delivery)
    tariffs.write_slow(range(1, 3))
    with WorkerProcess(tmp_path).with_spec(tariffs.spec) as worker:
        for _ in range(2):
            worker.start().wait_until_running()
            tariffs.until_kept(2)
            assert tariffs.seen() == {"price": [0, 1, 2], "day": [1, 2]}
            worker.kill()
    kept = kafka_tools.read_all(tariffs.stream.bootstrap, names.last_topic(tariffs.stream.group))
    assert len(kept) == 4


@DELIVERIES
def test_a_slot_that_moves_to_another_shard_takes_the_windows_of_slow_topics_along(
    kafka: KafkaEndpoint, tmp_path: Path, delivery: str
) -> None:
    tariffs = Tariffs(kafka, delivery)
    tariffs.write_slow(range(1, 6))
    slot = slots.slot_of(STATION, 64)
    first, rest = frozenset({slot}), frozenset(range(64)) - {slot}
    with (
        WorkerProcess(tmp_path, "a").with_assignment(told(tariffs.spec, "a", first, 1)) as a,
        WorkerProcess(tmp_path, "b").with_assignment(told(tariffs.spec, "b", rest, 1)) as b,
    ):
        a.start().wait_until_running()
        b.start().wait_until_running()
        tariffs.until_kept(5)
        assert tariffs.seen() == {"price": [3, 4, 5], "day": [4, 5]}
        tariffs.trim()
        a.replace(told(tariffs.spec, "a", frozenset(), 2))
        b.replace(told(tariffs.spec, "b", first | rest, 2))
        waiting.until(
            lambda: len(b.status().get("slots", ())) == 64 and not b.status().get("restoring_slots"),
            what="the slot is b's",
            timeout_seconds=PATIENCE_SECONDS,
        )
        assert tariffs.seen() == {"price": [3, 4, 5], "day": [4, 5]}
        a.stop()
        tariffs.write_slow(range(6, 7))
        tariffs.until_kept(6)
        b.kill()
        tariffs.trim()
        b.start().wait_until_running()
        assert tariffs.seen() == {"price": [4, 5, 6], "day": [5, 6]}
        b.stop()


@DELIVERIES
def test_killed_again_and_again_over_a_source_that_holds_only_what_is_not_done_no_window_is_wrong(
    kafka: KafkaEndpoint, tmp_path: Path, delivery: str
) -> None:
    stream = numbered_stream.make(kafka.bootstrap_servers, "slow-kills", partitions=2)
    sent = list(numbered_stream.records(3_000, 20))
    numbered = {
        "topic": stream.topic,
        "fields": ["stationId", "number"],
        "windowSize": numbered_stream.WINDOW,
        "keepLast": True,
    }
    with WorkerProcess(tmp_path).with_spec(stream.spec(inputs=[numbered], delivery=delivery)) as worker:
        worker.start().wait_until_running()
        for begin in range(0, len(sent), 500):
            kafka_tools.delete_records(stream.bootstrap, stream.topic, until_done(stream, begin))
            before = stream.output_count()
            kafka_tools.produce_all(stream.bootstrap, stream.topic, sent[begin : begin + 500])
            kills.until_written(stream, before + 250)
            worker.kill()
            worker.start().wait_until_running()
        kills.until_answered(stream, sent)
        worker.stop()
    found = numbered_stream.examine(stream.outputs(), sent)
    assert (found.lost, found.doubled_unmarked, found.wrong_windows) == ([], 0, [])
    if delivery == "ExactlyOnce":
        assert found.doubled == 0
