"""What a killed worker and a killed broker cost: nothing but duplicates that can be known."""

import random
import threading
from pathlib import Path

from tests.infrastructure import kafka_tools, numbered_stream, waiting
from tests.infrastructure.kafka_cluster import KafkaCluster, KafkaEndpoint
from tests.infrastructure.worker_process import WorkerProcess

RECORDS = 20_000
STATIONS = 50
KILLS = 10
SLICE = 250


class Producing(threading.Thread):
    """Writes records slice by slice, as fast as `gate` lets it."""

    def __init__(self, stream: numbered_stream.NumberedStream, sent: list[object]) -> None:
        super().__init__(daemon=True)
        self.allowed = threading.Semaphore(0)
        self._stream = stream
        self._sent = sent

    def run(self) -> None:
        for begin in range(0, len(self._sent), SLICE):
            self.allowed.acquire()
            kafka_tools.produce_all(
                self._stream.bootstrap, self._stream.topic, self._sent[begin : begin + SLICE]
            )


def test_a_worker_killed_ten_times_loses_no_record_and_marks_every_duplicate(
    kafka: KafkaEndpoint, tmp_path: Path
) -> None:
    stream = numbered_stream.make(kafka.bootstrap_servers, "kills")
    sent = list(numbered_stream.records(RECORDS, STATIONS))
    chance = random.Random(20_000)
    kill_at = sorted(chance.sample(range(1_000, RECORDS - 1_000), KILLS))
    producing = Producing(stream, sent)
    producing.start()
    released = 0
    with WorkerProcess(tmp_path).with_spec(stream.spec()) as worker:
        worker.start().wait_until_running()
        for target in [*kill_at, RECORDS]:
            while released * SLICE < min(RECORDS, target + SLICE):
                producing.allowed.release()
                released += 1
            waiting.until(
                lambda target=target: stream.output_count() >= target,
                what=f"{target} outputs",
                timeout_seconds=90,
            )
            if target < RECORDS:
                worker.kill()
                worker.start()
        producing.join()
        waiting.until(
            lambda: not numbered_stream.examine(stream.outputs(), sent).lost,
            what="every record has its output",
            timeout_seconds=90,
        )
        worker.stop()
    found = numbered_stream.examine(stream.outputs(), sent)
    assert found.lost == []
    assert found.doubled_unmarked == 0
    assert found.wrong_windows == []


def test_a_broker_of_three_killed_in_mid_stream_loses_no_record(
    kafka_trio: KafkaCluster, tmp_path: Path
) -> None:
    stream = numbered_stream.make(kafka_trio.bootstrap_servers, "broker-loss", replication=3)
    sent = list(numbered_stream.records(RECORDS, STATIONS, seed=2))
    producing = Producing(stream, sent)
    producing.start()
    with WorkerProcess(tmp_path).with_spec(stream.spec()) as worker:
        worker.start().wait_until_running()
        for begin in range(0, RECORDS, SLICE):
            producing.allowed.release()
            if begin == RECORDS // 2:
                waiting.until(
                    lambda: stream.output_count() >= RECORDS // 4, what="a first part", timeout_seconds=90
                )
                kafka_trio.kill(1)
        producing.join()
        waiting.until(
            lambda: not numbered_stream.examine(stream.outputs(), sent).lost,
            what="every record has its output",
            timeout_seconds=120,
        )
        kafka_trio.restart(1)
        worker.stop()
    found = numbered_stream.examine(stream.outputs(), sent)
    assert found.lost == []
    assert found.doubled_unmarked == 0
    assert found.wrong_windows == []


def test_a_worker_whose_only_broker_is_gone_says_so_and_lives_on(
    kafka_lone: KafkaCluster, tmp_path: Path
) -> None:
    stream = numbered_stream.make(kafka_lone.bootstrap_servers, "outage")
    before, after = (list(numbered_stream.records(500, 10, seed=seed)) for seed in (3, 3))
    with WorkerProcess(tmp_path).with_spec(stream.spec()) as worker:
        worker.start().wait_until_running()
        kafka_tools.produce_all(stream.bootstrap, stream.topic, before)
        waiting.until(lambda: stream.output_count() >= 500, what="outputs", timeout_seconds=60)
        kafka_lone.kill(0)
        waiting.until(
            lambda: worker.status()["consumer_connected"] is False, what="it is told", timeout_seconds=60
        )
        assert worker.get("/health")[0] == 503
        assert worker.get("/livez")[0] == 200
        kafka_lone.restart(0)
        kafka_tools.produce_all(stream.bootstrap, stream.topic, after)
        waiting.until(lambda: stream.output_count() >= 1000, what="all outputs", timeout_seconds=90)
        waiting.until(lambda: worker.get("/health")[0] == 200, what="it is healthy again", timeout_seconds=30)
        worker.stop()
    assert len({dict(output.headers)["output-id"] for output in stream.outputs()}) == 1000
