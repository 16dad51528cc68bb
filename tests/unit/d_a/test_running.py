"""A worker in a thread of its own: told to stop, failed, committed early."""

import asyncio
from typing import Any

import prometheus_client
import pytest

from analysis_module import assignment
from analysis_worker import service
from analysis_worker.callbacks import loading
from analysis_worker.observability.metrics import WorkerMetrics
from analysis_worker.settings import Settings
from d_a import configuration, errors, named, running
from tests.fakes import kafka as fake_kafka
from tests.unit.d_a import offline

PROGRESS = "group.load_prediction-progress"


def worker(cluster: fake_kafka.FakeKafka, **settings: Any) -> service.Worker:
    read = configuration.read(named.of_mapping(offline.SETTINGS))
    return service.Worker(
        assignment.for_shard(read.specs["load_prediction"], 0, 1),
        cluster.connector(),
        metrics=WorkerMetrics(prometheus_client.CollectorRegistry(), module="m", owner="o"),
        settings=Settings(**settings),
        callback=loading.from_callable(lambda s, i: 1),
    )


def runner(made: service.Worker, **options: Any) -> running.Runner:
    options = {"name": "under-test", "last": lambda: None, "calls": lambda: 0, **options}
    return running.Runner(made, **options)


def test_it_runs_until_it_is_told_to_stop() -> None:
    over: list[int] = []
    run = runner(worker(offline.cluster()), last=lambda: over.append(1))
    run.begin()
    run.started.result(10)
    assert run.alive
    assert over == []
    run.tell_stop()
    run.ended.result(10)
    run.tell_stop()
    assert (run.alive, over, run.worker.state) == (False, [1], "stopped")


def test_work_is_done_on_the_workers_loop() -> None:
    run = runner(worker(offline.cluster()))
    run.begin()
    run.started.result(10)

    async def where() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    assert run.submit(where()).result(10) is run.submit(where()).result(10)
    run.tell_stop()
    run.ended.result(10)


def test_a_stop_while_it_connects_ends_the_start_without_an_error() -> None:
    cluster = offline.cluster()
    cluster.delay("sink.start", 60.0)
    run = runner(worker(cluster))
    run.begin()
    offline.until(lambda: cluster.calls["sink.start"], "it is connecting")
    run.tell_stop()
    run.ended.result(10)
    with pytest.raises(errors.DataAnalysisError, match="stopped before it had started"):
        run.started.result(10)


def test_kafka_out_of_reach_is_a_kafka_connection_error_in_both_futures() -> None:
    cluster = offline.cluster()
    cluster.disconnect()
    run = runner(worker(cluster, connect_within_seconds=0.05))
    run.begin()
    for future in (run.started, run.ended):
        with pytest.raises(errors.KafkaConnectionError, match="no Kafka at in-memory:1"):
            future.result(10)


def test_a_worker_that_fails_ends_with_the_reason() -> None:
    cluster = offline.cluster()
    run = runner(worker(cluster, commit_interval_seconds=0.01))
    run.begin()
    offline.until(lambda: run.worker.state == "running", "it runs")
    cluster.fail_next(1, "source.poll", ZeroDivisionError("a defect"))
    with pytest.raises(errors.DataAnalysisError, match="could not go on: ZeroDivisionError: a defect"):
        run.ended.result(10)
    assert run.worker.state == "failed"


def test_nobody_who_waits_can_cancel_it() -> None:
    run = runner(worker(offline.cluster()))
    assert not run.started.cancel()
    assert not run.ended.cancel()
    run.begin()
    run.started.result(10)
    run.tell_stop()
    run.ended.result(10)


def test_progress_is_committed_early_after_so_many_calls() -> None:
    cluster, calls = offline.cluster(), [0]
    run = runner(worker(cluster, commit_interval_seconds=600.0), calls=lambda: calls[0], commit_size=3)
    run.begin()
    offline.until(lambda: run.started.done() and not run.worker.feed.restoring, "it takes records")

    async def write() -> None:
        cluster.produce(offline.TOPIC, {"stationId": "S1", "power": 1})

    run.submit(write()).result(10)
    offline.until(lambda: run.worker.box.sent > 64, "the output is sent")
    committed = run.worker.committer.commits
    calls[0] = 3
    offline.until(lambda: run.worker.committer.commits > committed, "progress is committed")
    run.tell_stop()
    run.ended.result(10)
