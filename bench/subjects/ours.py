"""Our worker, whole: routing, windows, callback, commits and metrics; with outputs, once or not, or without.

Every record is a trigger (the default policy) and all 13 fields are kept, in windows of ten records. With
outputs the span ends when the last one is acknowledged by the broker, in transactions when it is committed.
"""

import asyncio
from typing import Any

from prometheus_client import CollectorRegistry

from analysis_module import assignment, names, reading
from analysis_worker import service, settings
from analysis_worker.commands import running
from analysis_worker.kafka import connecting
from analysis_worker.observability.metrics import WorkerMetrics
from bench import records
from bench.subjects import measuring, station_mean

WINDOW = 10
VARIANTS = ("ingest", "mean", "output", "exactly_once")
_WITH_OUTPUTS = ("output", "exactly_once")
_ACKNOWLEDGED_WITHIN_SECONDS = 60.0


def manifest(job: measuring.Job) -> dict[str, Any]:
    """The AnalysisModule that the worker runs."""
    return {
        "apiVersion": names.API_GROUP_VERSION,
        "kind": names.KIND,
        "metadata": {"name": "bench"},
        "spec": {
            "module": "bench",
            "kafka": {
                "bootstrapServers": job.bootstrap.split(","),
                "groupId": job.group,
                "autoOffsetReset": "earliest",
            },
            "inputs": [{"topic": job.topic, "fields": list(records.FIELDS), "windowSize": WINDOW}],
            "callback": {"entrypoint": f"{station_mean.__name__}:{job.variant}"},
            "output": {"enabled": job.variant in _WITH_OUTPUTS, "topic": job.output_topic},
            "delivery": "ExactlyOnce" if job.variant == "exactly_once" else "AtLeastOnce",
        },
    }


def build(job: measuring.Job) -> service.Worker:
    """The worker, as `analysis-worker run` makes it."""
    _, _, module_spec = reading.read_manifest(manifest(job))
    whole = assignment.for_shard(module_spec, 0, 1)
    connection = connecting.connection_of(module_spec.kafka, job.group)
    metrics = WorkerMetrics(CollectorRegistry(), module=module_spec.module, owner=whole.owner)
    worker = service.Worker(
        whole,
        running.connector_of(connection),
        metrics=metrics,
        settings=settings.Settings(most_per_poll=connection.max_poll_records),
    )
    metrics.watch(worker.report)
    return worker


async def measure(job: measuring.Job) -> measuring.Span:
    """Run until the job's records had their callback and, where there are outputs, all are acknowledged."""
    span = station_mean.span
    span.records = job.records
    worker = build(job)
    finished = asyncio.Event()
    loop = asyncio.get_running_loop()
    span.on_last = lambda: loop.call_soon_threadsafe(finished.set)
    await worker.start()
    try:
        await first_of(finished, worker.stopped)
        if job.variant in _WITH_OUTPUTS:
            if not await worker.flow.drain(_ACKNOWLEDGED_WITHIN_SECONDS):
                raise TimeoutError(f"outputs are not acknowledged after {_ACKNOWLEDGED_WITHIN_SECONDS:g} s")
            if job.variant == "exactly_once":
                await worker.committer.commit([worker.feed])
            span.end()
    finally:
        await worker.stop()
    return span


async def first_of(*events: asyncio.Event) -> None:
    """Return when one of the events is set."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()


if __name__ == "__main__":
    measuring.report(asyncio.run(measure(measuring.job())).figures())
