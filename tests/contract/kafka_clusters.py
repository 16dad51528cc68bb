"""The two clusters that the ports' contract is tried on, the fake and real brokers, with the same methods."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

import kafka

from analysis_worker.engine.records import Record, TopicPartition
from analysis_worker.kafka import clients, connecting, ports
from tests.fakes.kafka import FakeKafka
from tests.infrastructure import kafka_cluster, kafka_connections, kafka_tools

REQUEST_TIMEOUT_MS = 3_000
BOUND_SECONDS = 20.0
"""How long a call may take that Kafka does not answer: a few request timeouts."""
_SETTINGS = {"request_timeout_ms": REQUEST_TIMEOUT_MS}


class Cluster(Protocol):
    """What a contract test does to a cluster beside using the ports."""

    def source(self, group: str = "group") -> ports.Source:
        """A consumer of a group."""

    def sink(self) -> ports.Sink:
        """A producer."""

    def transactional_sink(self, transactional_id: str) -> ports.TransactionalSink:
        """A producer of a transactional id."""

    def topics(self) -> ports.Topics:
        """What makes topics."""

    def create(self, *, partitions: int = 1, config: dict[str, str] | None = None) -> str:
        """A new topic's name."""

    def write(self, topic: str, values: Sequence[bytes], partition: int = 0) -> None:
        """Records of these values."""

    def write_transaction(self, topic: str, value: bytes) -> None:
        """One record and the marker of its transaction, an offset without a record."""

    def trim(self, topic: str, before: int) -> None:
        """Drop the records of partition 0 before an offset."""

    def partition_count(self, topic: str) -> int:
        """How many partitions a topic has."""

    def commit_as_another(self, group: str, place: TopicPartition, offset: int) -> None:
        """What some other program commits to a group."""

    def lag_tools_see(self, group: str, place: TopicPartition) -> int | None:
        """A group's offset as other programs read it."""


class Losable(Protocol):
    """A cluster whose brokers go away and come back."""

    def source(self, group: str = "group") -> ports.Source:
        """A consumer of a group."""

    def sink(self) -> ports.Sink:
        """A producer."""

    def topics(self) -> ports.Topics:
        """What makes topics."""

    def create(self) -> str:
        """A new topic's name."""

    def lose(self) -> None:
        """No broker answers."""

    def bring_back(self) -> None:
        """They are there again."""


class InMemory:
    """The fake."""

    def __init__(self) -> None:
        self.fake = FakeKafka()

    def source(self, group: str = "group") -> ports.Source:
        return self.fake.source(group)

    def sink(self) -> ports.Sink:
        return self.fake.sink()

    def transactional_sink(self, transactional_id: str) -> ports.TransactionalSink:
        return self.fake.transactional_sink(transactional_id)

    def topics(self) -> ports.Topics:
        return self.fake.topic_creation()

    def create(self, *, partitions: int = 1, config: dict[str, str] | None = None) -> str:
        name = kafka_tools.unique_name("contract")
        return self.fake.create_topic(name, partitions=partitions, config=config)

    def write(self, topic: str, values: Sequence[bytes], partition: int = 0) -> None:
        for value in values:
            self.fake.produce(topic, value, partition=partition)

    def write_transaction(self, topic: str, value: bytes) -> None:
        self.fake.produce(topic, value, partition=0)
        self.fake.mark(topic)

    def trim(self, topic: str, before: int) -> None:
        self.fake.trim(topic, 0, before)

    def partition_count(self, topic: str) -> int:
        return self.fake.partition_count(topic)

    def commit_as_another(self, group: str, place: TopicPartition, offset: int) -> None:
        self.fake.commit_as_another(group, place, offset)

    def lag_tools_see(self, group: str, place: TopicPartition) -> int | None:
        return self.fake.groups[group].get(place)

    def lose(self) -> None:
        self.fake.disconnect()

    def bring_back(self) -> None:
        self.fake.reconnect()


class Brokers:
    """Real ones."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap

    def _connection(self, group: str = "group") -> connecting.Connection:
        servers = tuple(self._bootstrap.split(","))
        return connecting.Connection(servers, group, consumer=_SETTINGS, producer=_SETTINGS)

    def source(self, group: str = "group") -> ports.Source:
        return clients.KafkaSource(self._connection(group))

    def sink(self) -> ports.Sink:
        return clients.KafkaSink(self._connection())

    def transactional_sink(self, transactional_id: str) -> ports.TransactionalSink:
        return clients.TransactionalKafkaSink(self._connection(), transactional_id)

    def topics(self) -> ports.Topics:
        return clients.KafkaTopics(self._connection())

    def create(self, *, partitions: int = 1, config: dict[str, str] | None = None) -> str:
        name = kafka_tools.unique_name("contract")
        return kafka_tools.create_topic(self._bootstrap, name, partitions=partitions, config=config)

    def write(self, topic: str, values: Sequence[bytes], partition: int = 0) -> None:
        records = [kafka_tools.Outgoing(value=value, partition=partition) for value in values]
        kafka_tools.produce_all(self._bootstrap, topic, records)

    def write_transaction(self, topic: str, value: bytes) -> None:
        settings = kafka_connections.settings(self._bootstrap, transactional_id=topic)
        producer = kafka.KafkaProducer(**settings)
        try:
            producer.init_transactions()
            producer.begin_transaction()
            producer.send(topic, value, partition=0)
            producer.commit_transaction()
        finally:
            producer.close()

    def trim(self, topic: str, before: int) -> None:
        admin = kafka.KafkaAdminClient(**kafka_connections.settings(self._bootstrap))
        try:
            admin.delete_records({kafka.TopicPartition(topic, 0): before})
        finally:
            admin.close()

    def partition_count(self, topic: str) -> int:
        return len(kafka_tools.end_offsets(self._bootstrap, topic))

    def commit_as_another(self, group: str, place: TopicPartition, offset: int) -> None:
        settings = kafka_connections.settings(self._bootstrap, group_id=group, enable_auto_commit=False)
        consumer = kafka.KafkaConsumer(**settings)
        try:
            partition = kafka.TopicPartition(*place)
            consumer.assign([partition])
            consumer.commit({partition: kafka.OffsetAndMetadata(offset, "", -1)})
        finally:
            consumer.close()

    def lag_tools_see(self, group: str, place: TopicPartition) -> int | None:
        settings = kafka_connections.settings(self._bootstrap, group_id=group, enable_auto_commit=False)
        consumer = kafka.KafkaConsumer(**settings)
        try:
            offset: int | None = consumer.committed(kafka.TopicPartition(*place))
        finally:
            consumer.close()
        return offset


class LosableBrokers(Brokers):
    """A broker of its own that a test may kill."""

    def __init__(self, cluster: kafka_cluster.KafkaCluster) -> None:
        super().__init__(cluster.bootstrap_servers)
        self._cluster = cluster

    def lose(self) -> None:
        self._cluster.kill(0)

    def bring_back(self) -> None:
        self._cluster.restart(0)


@contextlib.asynccontextmanager
async def started(client: ports.Source | ports.Sink) -> AsyncIterator[None]:
    """The client connected, and closed at the end."""
    await client.start()
    try:
        yield
    finally:
        await client.close()


async def polled(source: ports.Source, count: int) -> dict[TopicPartition, list[Record]]:
    """Poll until `count` records have come; AssertionError after ten seconds."""
    found: dict[TopicPartition, list[Record]] = {}
    deadline = time.monotonic() + 10
    while sum(map(len, found.values())) < count:
        assert time.monotonic() < deadline, f"only {found} came"
        for place, records in (await source.poll(wait_seconds=0.2, most=1000)).items():
            found.setdefault(place, []).extend(records)
    return found


async def settled(check: Any, what: str, timeout_seconds: float = 10.0) -> None:
    """Wait until the awaitable that `check` makes gives true."""
    deadline = time.monotonic() + timeout_seconds
    while not await check():
        assert time.monotonic() < deadline, f"in vain until {what}"
        await asyncio.sleep(0.02)
