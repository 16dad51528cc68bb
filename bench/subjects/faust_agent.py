"""Faust (faust-streaming): an agent that keeps the last ten values of each station and yields their mean.

Set for speed as far as its documentation goes: `cython_optimizations` on, the stream buffer at the size that
its documentation names for throughput, orjson (which it takes by itself when it is installed), the values in
a dict of deques rather than in a table, which would add a changelog record per event; no web server, no
monitoring.
"""

import asyncio
import collections
from typing import Any

import faust

from bench.subjects import measuring

WINDOW = 10


def build(job: measuring.Job, span: measuring.Span) -> faust.App:
    """The application: one agent on the job's topic."""
    app = faust.App(
        job.group,
        broker=f"aiokafka://{job.bootstrap}",
        datadir=job.scratch,
        store="memory://",
        consumer_auto_offset_reset="earliest",
        stream_buffer_maxsize=131_072,
        stream_wait_empty=False,
        broker_max_poll_records=2000,
        topic_disable_leader=True,
        web_enabled=False,
        cython_optimizations=True,
    )
    last: dict[str, collections.deque[float]] = collections.defaultdict(
        lambda: collections.deque(maxlen=WINDOW)
    )

    async def mean(stream: Any) -> None:
        async for record in stream:
            values = last[record["stationId"]]
            values.append(record["demandCurrent"])
            _ = record["currentSOC"], sum(values) / len(values)
            span.tick()

    app.agent(app.topic(job.topic, key_type=bytes, value_serializer="json"))(mean)
    return app


async def measure(job: measuring.Job) -> measuring.Span:
    """Run until the job's records were through the agent."""
    span = measuring.Span(job.records)
    app = build(job, span)
    finished = asyncio.Event()
    span.on_last = finished.set
    await app.start()
    await finished.wait()
    await app.stop()
    return span


if __name__ == "__main__":
    measuring.report(asyncio.run(measure(measuring.job())).figures())
