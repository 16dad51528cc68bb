"""The broker of a run, and the topics that are written once before anything is measured."""

import asyncio
import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import aiokafka

from analysis_worker.kafka import partitioning
from bench import records
from tests.infrastructure import kafka_cluster, kafka_tools

PARTITIONS = 4
_BATCH_BYTES = 512 * 1024


@contextlib.contextmanager
def running() -> Iterator[str]:
    """One real broker for the time of a run; its host:port. Raises KafkaDidNotStart or Unavailable."""
    with kafka_cluster.KafkaCluster(brokers=1) as cluster:
        yield cluster.bootstrap_servers


def preload(bootstrap: str, sizes: Iterable[int]) -> Mapping[int, str]:
    """Make one topic for each size and write that many records; size -> topic."""
    return {size: asyncio.run(_preloaded(bootstrap, size)) for size in sizes}


async def _preloaded(bootstrap: str, size: int) -> str:
    topic = make_topic(bootstrap, f"orders-{size}")
    # The last record is of now: a window in event time, or an expiry, finds nothing strange.
    first_ms = int(time.time() * 1000) - -(-size // records.STATIONS) * records.STEP_MS
    producer = aiokafka.AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", max_batch_size=_BATCH_BYTES, max_request_size=2 * _BATCH_BYTES
    )
    async with producer:
        batches = {partition: producer.create_batch() for partition in range(PARTITIONS)}
        for order in records.orders(size):
            partition = partitioning.partition_of(order.key, PARTITIONS)
            written = {"key": order.key, "value": order.value, "timestamp": first_ms + order.step * records.STEP_MS}
            if batches[partition].append(**written) is None:
                await (await producer.send_batch(batches[partition], topic, partition=partition))
                batches[partition] = producer.create_batch()
                batches[partition].append(**written)
        await _sent(producer, topic, batches)
    return topic


async def _sent(producer: Any, topic: str, batches: Mapping[int, Any]) -> None:
    for partition, batch in batches.items():
        if batch.record_count():
            await (await producer.send_batch(batch, topic, partition=partition))


def make_topic(bootstrap: str, name: str) -> str:
    """Create a topic with the partitions that every topic here has; its name."""
    return kafka_tools.create_topic(bootstrap, name, partitions=PARTITIONS)


def drop_topic(bootstrap: str, name: str) -> None:
    """Delete a topic: the broker's data lie in memory."""
    kafka_tools.delete_topics(bootstrap, [name])


def held(bootstrap: str, topic: str) -> int:
    """How many records a topic holds."""
    return sum(kafka_tools.end_offsets(bootstrap, topic).values())
