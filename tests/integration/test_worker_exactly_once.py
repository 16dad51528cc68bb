"""ExactlyOnce on real Kafka: each output is seen once, whoever is killed, frozen or replaced meanwhile."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from analysis_module import names
from tests.infrastructure import kafka_tools, kills, numbered_stream, waiting
from tests.infrastructure.kafka_cluster import KafkaCluster, KafkaEndpoint
from tests.infrastructure.numbered_stream import NumberedStream
from tests.infrastructure.worker_process import WorkerProcess, told

RECORDS = 20_000
STATIONS = 50
KILLS = 20
EXACTLY_ONCE = {"delivery": "ExactlyOnce"}
PATIENCE_SECONDS = 120.0


def require_each_once(stream: NumberedStream, sent: list[Any]) -> None:
    """Every record has one output, of the right window; nothing comes any more for a while."""
    found = numbered_stream.examine(stream.outputs(), sent)
    assert found.lost == []
    assert (found.doubled, found.doubled_unmarked) == (0, 0)
    assert found.wrong_windows == []
    assert found.out_of_order == []


def produce(stream: NumberedStream, records: list[Any]) -> None:
    kafka_tools.produce_all(stream.bootstrap, stream.topic, records)


def test_killed_twenty_times_under_load_each_output_is_seen_once(
    kafka: KafkaEndpoint, tmp_path: Path
) -> None:
    stream = numbered_stream.make(kafka.bootstrap_servers, "once-kills")
    sent = list(numbered_stream.records(RECORDS, STATIONS))
    kills.run_killed(stream, sent, KILLS, tmp_path, **EXACTLY_ONCE)
    require_each_once(stream, sent)


def test_a_worker_frozen_replaced_and_woken_writes_nothing_more_and_ends(
    kafka: KafkaEndpoint, tmp_path: Path
) -> None:
    stream = numbered_stream.make(kafka.bootstrap_servers, "once-zombie")
    sent = list(numbered_stream.records(6_000, STATIONS))
    assert "another process" in kills.run_replaced(stream, sent, tmp_path, **EXACTLY_ONCE)
    require_each_once(stream, sent)


def test_slots_of_a_frozen_owner_are_taken_over_and_it_writes_nothing_for_them_when_it_wakes(
    kafka: KafkaEndpoint, tmp_path: Path
) -> None:
    stream = numbered_stream.make(kafka.bootstrap_servers, "once-takeover")
    sent = list(numbered_stream.records(6_000, STATIONS))
    spec = stream.spec(**EXACTLY_ONCE)
    with (
        WorkerProcess(tmp_path, "a").with_assignment(told(spec, "a", frozenset(range(64)))) as a,
        WorkerProcess(tmp_path, "b").with_assignment(told(spec, "b", frozenset(range(32, 64)), 2)) as b,
    ):
        a.start().wait_until_running()
        produce(stream, sent[:2_000])
        kills.until_written(stream, 1_000)
        a.signal(signal.SIGSTOP)
        produce(stream, sent[2_000:4_000])
        a.replace(told(spec, "a", frozenset(range(32)), 2))
        b.start().wait_until_running()
        a.signal(signal.SIGCONT)
        waiting.until(lambda: not a.is_running, what="it ends", timeout_seconds=60)
        a.kill()
        a.start().wait_until_running()
        produce(stream, sent[4_000:])
        kills.until_answered(stream, sent)
        a.stop()
        b.stop()
    require_each_once(stream, sent)


def test_slots_that_change_hands_in_order_are_answered_once(kafka: KafkaEndpoint, tmp_path: Path) -> None:
    stream = numbered_stream.make(kafka.bootstrap_servers, "once-moves")
    sent = list(numbered_stream.records(8_000, STATIONS))
    spec = stream.spec(**EXACTLY_ONCE)
    with (
        WorkerProcess(tmp_path, "a").with_assignment(told(spec, "a", frozenset(range(32)))) as a,
        WorkerProcess(tmp_path, "b").with_assignment(told(spec, "b", frozenset(range(32, 64)))) as b,
    ):
        a.start().wait_until_running()
        b.start().wait_until_running()
        for begin in range(0, len(sent), 500):
            produce(stream, sent[begin : begin + 500])
            if begin == 2_000:
                a.replace(told(spec, "a", frozenset(range(16)), 2))
                b.replace(told(spec, "b", frozenset(range(16, 64)), 2))
            if begin == 5_000:
                b.replace(told(spec, "b", frozenset(range(40, 64)), 3))
                a.replace(told(spec, "a", frozenset(range(40)), 3))
        kills.until_answered(stream, sent)
        a.stop()
        b.stop()
    require_each_once(stream, sent)


def test_a_broker_of_three_killed_in_mid_stream_doubles_nothing(
    kafka_trio: KafkaCluster, tmp_path: Path
) -> None:
    stream = numbered_stream.make(kafka_trio.bootstrap_servers, "once-broker", replication=3)
    sent = list(numbered_stream.records(10_000, STATIONS))
    with WorkerProcess(tmp_path).with_spec(stream.spec(**EXACTLY_ONCE)) as worker:
        worker.start().wait_until_running()
        for begin in range(0, len(sent), 500):
            produce(stream, sent[begin : begin + 500])
            if begin == 4_000:
                kills.until_written(stream, 2_000)
                kafka_trio.kill(1)
        kills.until_answered(stream, sent)
        kafka_trio.restart(1)
        worker.stop()
    require_each_once(stream, sent)


@pytest.mark.parametrize("policy", [{"policy": "EveryRecord"}, {"policy": "Latest"}])
def test_slow_callbacks_killed_on_the_way_are_done_again_without_a_double(
    kafka: KafkaEndpoint, tmp_path: Path, policy: dict[str, str]
) -> None:
    slow = numbered_stream.CALLBACK.replace(
        "    return", "    import random, time; time.sleep(random.random() / 50)\n    return"
    )
    stream = numbered_stream.make(kafka.bootstrap_servers, "once-slow")
    sent = list(numbered_stream.records(4_000, STATIONS))
    spec = stream.spec(**EXACTLY_ONCE, callback={"source": slow, "concurrency": 8}, trigger=policy)
    with WorkerProcess(tmp_path).with_spec(spec) as worker:
        worker.start().wait_until_running()
        for begin in range(0, len(sent), 1_000):
            before = stream.output_count()
            produce(stream, sent[begin : begin + 1_000])
            kills.until_written(stream, before + STATIONS // 2)
            worker.kill()
            worker.start().wait_until_running()
        newest = {station: _count(sent, station) for station in {_station(each) for each in sent}}
        waiting.until(
            lambda: _newest(stream) == newest, what="the newest of each", timeout_seconds=PATIENCE_SECONDS
        )
        worker.stop()
    outputs = stream.outputs()
    ids = [dict(each.headers)[names.HEADER_OUTPUT_ID] for each in outputs]
    assert len(ids) == len(set(ids))
    if policy["policy"] == "EveryRecord":
        require_each_once(stream, sent)


def _station(record: Any) -> str:
    return str(json.loads(record[1])["stationId"])


def _count(sent: list[Any], station: str) -> int:
    return sum(1 for each in sent if _station(each) == station)


def _newest(stream: NumberedStream) -> dict[str, int]:
    newest: dict[str, int] = {}
    for output in stream.outputs():
        envelope = json.loads(output.value or b"")
        newest[envelope["stationId"]] = max(
            newest.get(envelope["stationId"], 0), envelope["output"]["number"]
        )
    return newest
