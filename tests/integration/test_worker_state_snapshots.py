"""Snapshots of windows: a worker on another node begins where they end, and sees the same windows."""

import re
from pathlib import Path

from tests.infrastructure import kafka_tools, kills, numbered_stream, waiting
from tests.infrastructure.kafka_cluster import KafkaEndpoint
from tests.infrastructure.worker_process import WorkerProcess
from tests.integration.test_worker_state import STATIONS, a_stream, assert_whole, changes, taken

COPIED = re.compile(r"(\d+) windows of (\d+) slots are taken from the snapshot")
PATIENCE_SECONDS = 60.0


def test_a_worker_on_an_empty_directory_takes_its_windows_from_the_snapshot_and_they_are_as_they_were(
    kafka: KafkaEndpoint, tmp_path: Path
) -> None:
    stream = a_stream(kafka, "state-snapshots")
    place = (stream.bootstrap, stream.topic)
    sent = list(numbered_stream.records(12_000, STATIONS))
    url = (tmp_path / "snapshots").as_uri()
    spec = stream.spec(**changes(stream, state={"snapshots": {"url": url, "intervalSeconds": 1}}))
    with WorkerProcess(tmp_path, "first").with_spec(spec) as first:
        first.with_state(tmp_path / "first").start().wait_until_running()
        kafka_tools.produce_all(*place, sent[:8_000])
        kills.until_answered(stream, sent[:8_000])
        checkpointed = first.status()["worker"]["checkpointed_at"]
        waiting.until(
            lambda: (first.status()["worker"]["snapshotted_at"] or 0) > checkpointed + 1,
            what="a snapshot of the newest checkpoints is written",
            timeout_seconds=PATIENCE_SECONDS,
        )
        first.kill()
    kafka_tools.produce_all(*place, sent[8_000:])
    with WorkerProcess(tmp_path, "second").with_spec(spec) as second:
        second.with_state(tmp_path / "second").start().wait_until_running()
        kills.until_answered(stream, sent)
        second.stop()
    log = second.log()
    assert sum(int(found[1]) for found in COPIED.finditer(log)) == STATIONS
    assert sum(taken(log)) == STATIONS
    assert_whole(stream, sent)
