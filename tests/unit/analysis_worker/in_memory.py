"""A whole worker on Kafka in memory: started, crashed, started again, within one test's loop."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry

from analysis_module import assignment, reading
from analysis_worker import service
from analysis_worker.callbacks import loading
from analysis_worker.observability.metrics import WorkerMetrics
from analysis_worker.settings import Settings
from tests.fakes import cluster, kafka

INPUT, OUTPUT, DEAD_LETTERS = "POWER", "OUTPUT", "module-dead-letters"
SPEC: dict[str, Any] = {
    "module": "module",
    "kafka": {"bootstrapServers": ["in-memory:1"], "autoOffsetReset": "earliest"},
    "inputs": [{"topic": INPUT, "fields": ["stationId", "power"], "windowSize": 3}],
    "output": {"topic": OUTPUT},
}
SETTINGS = Settings(commit_interval_seconds=0.05, stop_within_seconds=2.0, connect_within_seconds=2.0)


def a_cluster(*topics: str, partitions: int = 1) -> kafka.FakeKafka:
    """A cluster with the input topic, or these."""
    cluster = kafka.FakeKafka()
    for topic in topics or (INPUT,):
        cluster.create_topic(topic, partitions=partitions)
    return cluster


def power(callback_input: Mapping[str, Any]) -> list[Any]:
    """The window of a module's one field, as a result."""
    return list(callback_input["power_window"])


def a_worker(
    cluster: kafka.FakeKafka,
    callback: Callable[[str, Any], Any],
    *,
    slots: Iterable[int] = range(64),
    settings: Settings = SETTINGS,
    limits: Mapping[str, Any] | None = None,
    **spec: Any,
) -> service.Worker:
    """A worker that is not started yet; its owner is the same each time, as after a restart.

    `limits` are those of the spec's `callback`.
    """
    module_spec = reading.read_spec({**SPEC, "callback": dict(limits or {}), **spec})
    told = assignment.Assignment(module_spec, f"owner of {min(slots)}", 0, frozenset(slots))
    return service.Worker(
        told,
        cluster.connector(),
        metrics=WorkerMetrics(CollectorRegistry(), module=module_spec.module, owner=told.owner),
        settings=settings,
        callback=loading.from_callable(callback),
    )


@contextlib.asynccontextmanager
async def running(
    cluster: kafka.FakeKafka, callback: Callable[[str, Any], Any], **options: Any
) -> AsyncIterator[service.Worker]:
    """A worker from start to orderly stop."""
    worker = a_worker(cluster, callback, **options)
    try:
        await worker.start()
        await asyncio.sleep(0)  # its tasks have begun
        yield worker
    finally:
        await worker.stop()


async def until(condition: Callable[[], Any], what: str) -> None:
    """Wait until a condition holds; raises TimeoutError that names `what` after 10 s."""
    try:
        async with asyncio.timeout(10.0):
            while not condition():
                await asyncio.sleep(0.002)
    except TimeoutError:
        raise TimeoutError(f"waited in vain until {what}") from None


def outputs(cluster: kafka.FakeKafka) -> list[Any]:
    """(station, result) of every output so far."""
    return [(value["stationId"], value["output"]) for value in map(_json, cluster.records(OUTPUT))]


def _json(record: cluster.FakeRecord) -> Any:
    return record.json()
