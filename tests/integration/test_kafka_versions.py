"""A worker on brokers of older Kafka: what it promises, it keeps on each version that the guide asks for."""

from pathlib import Path

import pytest

from tests.infrastructure import kafka_cluster, numbered_stream, waiting
from tests.infrastructure.worker_process import WorkerProcess

VERSIONS = ["2.8.2", "3.9.1", "4.0.0"]
"""The oldest that the guide advises, on ZooKeeper; the last before 4; the one before the other tests'."""
BEFORE_KILL, AFTER_KILL = 300, 500
PATIENCE_SECONDS = 120.0


def until_outputs(stream: numbered_stream.NumberedStream, count: int) -> None:
    waiting.until(
        lambda: stream.output_count() >= count, what=f"{count} outputs", timeout_seconds=PATIENCE_SECONDS
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_a_worker_killed_once_and_stopped_in_order_answers_every_record(version: str, tmp_path: Path) -> None:
    with (
        kafka_cluster.KafkaCluster(version=version, data_root=tmp_path) as cluster,
        WorkerProcess(tmp_path) as worker,
    ):
        assert f"Kafka version: {version}\n" in cluster.log_tail(0, lines=10_000)
        stream = numbered_stream.make(cluster.bootstrap_servers, "versions")
        worker.with_spec(stream.spec()).start().wait_until_running()

        with numbered_stream.SteadyStream(stream) as steady:
            until_outputs(stream, BEFORE_KILL)
            worker.kill()
            worker.start()
            until_outputs(stream, BEFORE_KILL + AFTER_KILL)
        waiting.until(
            lambda: not numbered_stream.examine(stream.outputs(), steady.sent).lost,
            what="every record has its output",
            timeout_seconds=PATIENCE_SECONDS,
        )
        worker.stop()

        found = numbered_stream.examine(stream.outputs(), steady.sent)
    assert (found.lost, found.doubled_unmarked, found.wrong_windows) == ([], 0, [])
