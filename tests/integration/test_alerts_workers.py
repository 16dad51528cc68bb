"""Each alert on workers fires by its real fault: real workers on real Kafka, watched by a real Prometheus."""

import contextlib
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kafka
import pytest

from analysis_module import names, slots
from analysis_worker.kafka import progress_log
from tests.infrastructure import kafka_connections, kafka_tools, numbered_stream, watched_scenes
from tests.infrastructure.kafka_cluster import KafkaCluster, KafkaEndpoint
from tests.infrastructure.watched import Watched
from tests.infrastructure.watched_scenes import PER_SECOND, STATIONS, Scenes

SLOTS = 8
BACKLOG = 30_000
"""More than the 20,000 records of a partition that a worker takes before one of them is done."""
MOST_CRASHES = 20
FAILING = """
def callback(station_id, module_input):
    raise ValueError("no such tariff")
"""
WAITING = """
import time
def callback(station_id, module_input):
    time.sleep({seconds})
"""
GREEDY = """
import ctypes
import time
interpreter_is_kept = ctypes.PyDLL(None)
def callback(station_id, module_input):
    interpreter_is_kept.usleep(1_500_000)
    time.sleep(0.2)
"""
"""Leaves less time than passes between two beats of the main loop, and enough to answer a scrape."""


@pytest.fixture(scope="module")
def prometheus() -> Iterator[Watched]:
    with Watched() as prometheus:
        yield prometheus


@pytest.fixture
def scenes(prometheus: Watched, tmp_path: Path) -> Iterator[Scenes]:
    """The scenes of one test."""
    with watched_scenes.Scenes(prometheus, tmp_path) as scenes:
        yield scenes


def test_a_worker_that_is_gone_is_told_and_one_that_crashes_again_and_again_too(
    prometheus: Watched, kafka: KafkaEndpoint, scenes: Scenes
) -> None:
    scene = scenes("crashing", kafka.bootstrap_servers)
    prometheus.until_quiet("AnalysisWorkerDown", "AnalysisWorkerRestarting")

    scene.worker.kill()

    scene.until_firing("AnalysisWorkerDown", pod=scene.pod)
    for _ in range(MOST_CRASHES):
        scene.worker.start()
        prometheus.until_scraped(scene.worker, scene.pod)
        if prometheus.firing("AnalysisWorkerRestarting"):
            break
        scene.worker.kill()
    scene.until_firing("AnalysisWorkerRestarting", pod=scene.pod)
    prometheus.until_quiet("AnalysisWorkerDown")


def test_a_worker_whose_broker_has_died_is_told_as_disconnected_until_it_is_back(
    prometheus: Watched, kafka_lone: KafkaCluster, scenes: Scenes
) -> None:
    scene = scenes("disconnected", kafka_lone.bootstrap_servers)
    prometheus.until_quiet("AnalysisWorkerDisconnected")

    kafka_lone.kill(0)

    scene.until_firing("AnalysisWorkerDisconnected", pod=scene.pod)
    kafka_lone.restart(0)
    prometheus.until_quiet("AnalysisWorkerDisconnected")


def test_a_module_whose_callbacks_never_end_reads_no_more_and_is_told(
    prometheus: Watched, kafka: KafkaEndpoint, scenes: Scenes
) -> None:
    endless = {"source": WAITING.format(seconds=3600), "timeoutSeconds": 3600}
    scene = scenes("endless", kafka.bootstrap_servers, callback=endless)
    prometheus.until_quiet("AnalysisWorkerNoRecords")

    # Written while it is away: of what it does not read it looks for the end every 30 s only.
    scene.worker.stop()
    backlog = numbered_stream.records(BACKLOG, STATIONS)
    kafka_tools.produce_all(scene.stream.bootstrap, scene.stream.topic, backlog)
    scene.start()

    scene.until_firing("AnalysisWorkerNoRecords")


def test_a_worker_that_reads_while_its_progress_topic_takes_no_writes_is_told_until_it_does(
    prometheus: Watched, kafka: KafkaEndpoint, scenes: Scenes
) -> None:
    scene = scenes("uncommitted", kafka.bootstrap_servers)
    with scene.steadily():
        scene.until_outputs(PER_SECOND)
        prometheus.until_quiet("AnalysisWorkerCommitsOld")

        progress = names.progress_topic(scene.module)
        kafka_tools.delete_topics(scene.stream.bootstrap, [progress])

        scene.until_firing("AnalysisWorkerCommitsOld", pod=scene.pod)
        kafka_tools.create_topic(scene.stream.bootstrap, progress, config=progress_log.TOPIC_CONFIG)
        prometheus.until_quiet("AnalysisWorkerCommitsOld")


def test_one_callback_that_never_ends_is_told_by_the_progress_of_its_slot_while_others_go_on(
    prometheus: Watched, kafka: KafkaEndpoint, scenes: Scenes
) -> None:
    one = 'if station_id == "S1":\n        time.sleep(3600)'
    source = WAITING.format(seconds=3600).replace("time.sleep(3600)", one)
    scene = scenes("stuck", kafka.bootstrap_servers, callback={"source": source, "timeoutSeconds": 3600})
    prometheus.until_quiet("AnalysisWorkerCommitsOld")
    with scene.steadily():
        scene.until_firing("AnalysisWorkerCommitsOld", pod=scene.pod)


def test_records_that_kafka_deleted_before_the_worker_read_them_are_told_by_topic(
    prometheus: Watched, kafka: KafkaEndpoint, scenes: Scenes
) -> None:
    scene = scenes("lost", kafka.bootstrap_servers)
    numbered = numbered_stream.records(1_000, STATIONS)
    place = (scene.stream.bootstrap, scene.stream.topic)
    kafka_tools.produce_all(*place, itertools.islice(numbered, 100))
    scene.until_outputs(100)
    scene.worker.stop()
    prometheus.until_quiet("AnalysisWorkerRecordsLost")

    kafka_tools.produce_all(*place, itertools.islice(numbered, 100))
    delete_records_before(*place, offset=150)
    scene.start()

    scene.until_firing("AnalysisWorkerRecordsLost", topic=scene.stream.topic)


def test_a_callback_that_always_fails_is_told_by_its_errors_and_its_open_breakers(
    prometheus: Watched, kafka: KafkaEndpoint, scenes: Scenes
) -> None:
    scene = scenes("failing", kafka.bootstrap_servers)
    with scene.steadily():
        scene.until_outputs(PER_SECOND)
        prometheus.until_quiet("AnalysisWorkerErrors", "AnalysisWorkerBreakersOpen")

        scene.edit(callback={"source": FAILING}, errors={"breaker": {"failures": 3, "openSeconds": 600}})

        scene.until_firing("AnalysisWorkerErrors")
        scene.until_firing("AnalysisWorkerBreakersOpen")


def test_records_that_cannot_be_read_are_told_by_the_kind_of_their_fault(
    prometheus: Watched, kafka: KafkaEndpoint, scenes: Scenes
) -> None:
    scene = scenes("unreadable", kafka.bootstrap_servers)
    prometheus.until_quiet("AnalysisWorkerDeadLetters")

    broken = [kafka_tools.Outgoing(b"S1", b'{"stationId": "S1", "number":')] * 20
    kafka_tools.produce_all(scene.stream.bootstrap, scene.stream.topic, broken)

    scene.until_firing("AnalysisWorkerDeadLetters", error_type="invalid_json")
    prometheus.until_quiet("AnalysisWorkerDeadLetters")


def test_callbacks_that_wait_too_long_are_told_as_slow_and_as_stopped_until_they_are_mended(
    prometheus: Watched, kafka: KafkaEndpoint, scenes: Scenes
) -> None:
    scene = scenes("slow", kafka.bootstrap_servers)
    with scene.steadily():
        scene.until_outputs(PER_SECOND)
        prometheus.until_quiet("AnalysisWorkerCallbackTimeouts", "AnalysisWorkerCallbacksSlow")

        scene.edit(callback={"source": WAITING.format(seconds=3), "timeoutSeconds": 1})

        scene.until_firing("AnalysisWorkerCallbackTimeouts")
        scene.until_firing("AnalysisWorkerCallbacksSlow")
        scene.edit()
        prometheus.until_quiet("AnalysisWorkerCallbackTimeouts", "AnalysisWorkerCallbacksSlow")


def test_a_callback_that_does_not_give_up_the_interpreter_is_told_by_the_main_loops_delay(
    prometheus: Watched, kafka: KafkaEndpoint, scenes: Scenes
) -> None:
    scene = scenes("greedy", kafka.bootstrap_servers, every_seconds=3.0)
    with scene.steadily():
        scene.until_outputs(PER_SECOND)
        prometheus.until_quiet("AnalysisWorkerLoopSlow")

        scene.edit(callback={"source": GREEDY, "concurrency": 1})

        scene.until_firing("AnalysisWorkerLoopSlow", pod=scene.pod)


def test_records_of_an_aligned_topic_in_the_wrong_partitions_are_told_by_topic(
    prometheus: Watched, kafka: KafkaEndpoint, scenes: Scenes
) -> None:
    aligned = {"slots": SLOTS, "routing": "Aligned"}
    scene = scenes("aligned", kafka.bootstrap_servers, partitions=SLOTS, partitioning=aligned)
    prometheus.until_quiet("AnalysisWorkerWrongPartition")

    with scene.steadily(map(strayed, numbered_stream.records(1_000_000, STATIONS))):
        scene.until_firing("AnalysisWorkerWrongPartition", topic=scene.stream.topic)


def strayed(record: Any) -> kafka_tools.Outgoing:
    """The same record in the partition after its slot's."""
    key, value, *_ = record
    slot = slots.slot_of(json.loads(value)["stationId"], SLOTS)
    return kafka_tools.Outgoing(key, value, partition=(slot + 1) % SLOTS)


def delete_records_before(bootstrap: str, topic: str, *, offset: int) -> None:
    """Have Kafka forget the first records of a topic's first partition, as its retention does."""
    with contextlib.closing(kafka.KafkaAdminClient(**kafka_connections.settings(bootstrap))) as client:
        client.delete_records({kafka.TopicPartition(topic, 0): offset})
