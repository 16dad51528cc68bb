"""What a killed worker and a killed broker cost: nothing but duplicates that can be known."""

from pathlib import Path

from tests.infrastructure import kafka_tools, kills, numbered_stream, waiting
from tests.infrastructure.kafka_cluster import KafkaCluster, KafkaEndpoint
from tests.infrastructure.worker_process import WorkerProcess

RECORDS = 20_000
STATIONS = 50
KILLS = 20


def test_a_worker_killed_twenty_times_loses_no_record_and_marks_every_duplicate(
    kafka: KafkaEndpoint, tmp_path: Path
) -> None:
    stream = numbered_stream.make(kafka.bootstrap_servers, "kills")
    sent = list(numbered_stream.records(RECORDS, STATIONS))
    kills.run_killed(stream, sent, KILLS, tmp_path)
    found = numbered_stream.examine(stream.outputs(), sent)
    assert found.lost == []
    assert found.doubled_unmarked == 0
    assert found.wrong_windows == []


def test_a_broker_of_three_killed_in_mid_stream_loses_no_record(
    kafka_trio: KafkaCluster, tmp_path: Path
) -> None:
    stream = numbered_stream.make(kafka_trio.bootstrap_servers, "broker-loss", replication=3)
    sent = list(numbered_stream.records(RECORDS, STATIONS, seed=2))
    producing = kills.Producing(stream, sent)
    producing.start()
    with WorkerProcess(tmp_path).with_spec(stream.spec()) as worker:
        worker.start().wait_until_running()
        for begin in range(0, RECORDS, kills.SLICE):
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
