"""The broker of a run, and the topics that are written once before anything is measured."""

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import aiokafka

from analysis_worker.kafka import partitioning
from bench import records
from tests.infrastructure import kafka_cluster, kafka_tools

PARTITIONS = 4
_BATCH_BYTES = 512 * 1024


@dataclasses.dataclass(frozen=True)
class Broker:
    """Where a run reads and writes; everything that it makes there has a name that begins with `prefix`."""

    bootstrap: str
    prefix: str

    def make_topic(self, name: str) -> str:
        """Create a topic with the partitions that every topic here has; its whole name."""
        return kafka_tools.create_topic(self.bootstrap, f"{self.prefix}-{name}", partitions=PARTITIONS)

    def drop_topic(self, name: str) -> None:
        """Delete a topic by its whole name: the data of a broker of ours lie in memory."""
        kafka_tools.delete_topics(self.bootstrap, [name])

    def held(self, topic: str) -> int:
        """How many records a topic holds."""
        return sum(kafka_tools.end_offsets(self.bootstrap, topic).values())

    def preload(self, sizes: Iterable[int]) -> Mapping[int, str]:
        """Make one topic for each size and write that many records; size -> topic."""
        topics = {size: self.make_topic(f"orders-{size}") for size in sizes}
        for size, topic in topics.items():
            asyncio.run(_preload(self.bootstrap, topic, size))
        return topics

    def clear(self) -> None:
        """Delete every topic that this run made, and those that its subjects made for themselves."""
        made = [topic for topic in kafka_tools.topics(self.bootstrap) if topic.startswith(self.prefix)]
        kafka_tools.delete_topics(self.bootstrap, made)


@contextlib.contextmanager
def reached(bootstrap: str | None) -> Iterator[Broker]:
    """A broker of our own for the time of a run, or the cluster at `bootstrap`, cleared of the run's topics.

    Raises KafkaDidNotStart or Unavailable.
    """
    prefix = kafka_tools.unique_name("bench")
    if bootstrap is None:
        with kafka_cluster.KafkaCluster(brokers=1) as cluster:
            yield Broker(cluster.bootstrap_servers, prefix)
    else:
        given = Broker(bootstrap, prefix)
        try:
            yield given
        finally:
            given.clear()


async def _preload(bootstrap: str, topic: str, size: int) -> None:
    # The last record is of now: a window in event time, or an expiry, finds nothing strange.
    first_ms = int(time.time() * 1000) - -(-size // records.STATIONS) * records.STEP_MS
    producer = aiokafka.AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        acks="all",
        max_batch_size=_BATCH_BYTES,
        max_request_size=2 * _BATCH_BYTES,
    )
    async with producer:
        batches = {partition: producer.create_batch() for partition in range(PARTITIONS)}
        for order in records.orders(size):
            partition = partitioning.partition_of(order.key, PARTITIONS)
            written = {
                "key": order.key,
                "value": order.value,
                "timestamp": first_ms + order.step * records.STEP_MS,
            }
            if batches[partition].append(**written) is None:
                await (await producer.send_batch(batches[partition], topic, partition=partition))
                batches[partition] = producer.create_batch()
                batches[partition].append(**written)
        await _sent(producer, topic, batches)


async def _sent(producer: Any, topic: str, batches: Mapping[int, Any]) -> None:
    for partition, batch in batches.items():
        if batch.record_count():
            await (await producer.send_batch(batch, topic, partition=partition))
