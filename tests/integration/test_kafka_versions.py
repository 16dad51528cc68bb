"""A worker on brokers of older Kafka: what it promises, it keeps on each version that the guide asks for."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.infrastructure import kafka_cluster, kills, numbered_stream
from tests.infrastructure.worker_process import WorkerProcess

VERSIONS = ["2.8.2", "3.9.1", "4.0.0"]
"""The oldest that the guide advises, on ZooKeeper; the last before 4; the one before the other tests'."""
BEFORE_KILL, AFTER_KILL = 300, 500


@pytest.fixture(scope="module", params=VERSIONS)
def brokers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[kafka_cluster.KafkaCluster]:
    """A broker of one version, which its own log confirms."""
    root = tmp_path_factory.mktemp("kafka")
    with kafka_cluster.KafkaCluster(version=request.param, data_root=root) as cluster:
        assert f"Kafka version: {request.param}\n" in cluster.log_tail(0, lines=10_000)
        yield cluster


def killed_once(
    cluster: kafka_cluster.KafkaCluster, directory: Path, **changes: Any
) -> numbered_stream.Findings:
    """A worker under a steady stream, killed and started again, then stopped in order; what came of it."""
    with WorkerProcess(directory) as worker:
        stream = numbered_stream.make(cluster.bootstrap_servers, "versions")
        worker.with_spec(stream.spec(**changes)).start().wait_until_running()
        with numbered_stream.SteadyStream(stream) as steady:
            kills.until_written(stream, BEFORE_KILL)
            worker.kill()
            worker.start()
            kills.until_written(stream, BEFORE_KILL + AFTER_KILL)
        kills.until_answered(stream, steady.sent)
        worker.stop()
        return numbered_stream.examine(stream.outputs(), steady.sent)


def test_a_worker_killed_once_and_stopped_in_order_answers_every_record(
    brokers: kafka_cluster.KafkaCluster, tmp_path: Path
) -> None:
    found = killed_once(brokers, tmp_path)
    assert (found.lost, found.doubled_unmarked, found.wrong_windows) == ([], 0, [])


def test_with_exactly_once_it_answers_every_record_once(
    brokers: kafka_cluster.KafkaCluster, tmp_path: Path
) -> None:
    found = killed_once(brokers, tmp_path, delivery="ExactlyOnce")
    assert (found.lost, found.doubled, found.doubled_unmarked, found.wrong_windows) == ([], 0, 0, [])
