"""The ceiling: what aiokafka's batches and one orjson call per record leave possible, with no work at all."""

import asyncio

import aiokafka
import orjson

from bench.subjects import measuring


async def measure(job: measuring.Job) -> measuring.Span:
    """Read and parse; the records of the last batch beyond the job's number are not parsed."""
    span = measuring.Span(job.records)
    consumer = aiokafka.AIOKafkaConsumer(
        job.topic,
        bootstrap_servers=job.bootstrap,
        group_id=job.group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        check_crcs=True,  # the default, and what every subject does
    )
    async with consumer:
        while span.count < job.records:
            batches = await consumer.getmany(timeout_ms=1000, max_records=2000)
            if batches and span.count == 0:
                span.begin()
            for records in batches.values():
                wanted = records[: job.records - span.count]
                for record in wanted:
                    orjson.loads(record.value)
                span.count += len(wanted)
        span.end()
    return span


if __name__ == "__main__":
    measuring.report(asyncio.run(measure(measuring.job())).figures())
