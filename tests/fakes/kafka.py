"""Kafka in memory, fitting the worker's ports, with faults on command.

The suite in `tests/contract` runs on it and on real brokers, so that a test may believe it. Everything
happens on the loop of the test; nothing here is for more than one thread.
"""

from analysis_worker import delivery
from tests.fakes.cluster import BATCH_BYTES, FakeCluster
from tests.fakes.kafka_clients import FakeSink, FakeSource, FakeTopics, FakeTransactionalSink


class FakeKafka(FakeCluster):
    """A cluster, and the clients of it."""

    def __init__(self, *, batch_bytes: int = BATCH_BYTES) -> None:
        super().__init__(batch_bytes=batch_bytes)
        self.sources: list[FakeSource] = []

    def source(self, group: str = "group") -> FakeSource:
        """A consumer of a group."""
        source = FakeSource(self, group)
        self.sources.append(source)
        return source

    def sink(self) -> FakeSink:
        """A producer."""
        return FakeSink(self)

    def transactional_sink(self, transactional_id: str) -> FakeTransactionalSink:
        """A producer of a transactional id."""
        return FakeTransactionalSink(self, transactional_id)

    def topic_creation(self) -> FakeTopics:
        """What makes topics."""
        return FakeTopics(self)

    def connector(self, group: str = "group") -> delivery.Connector:
        """What a Worker asks for."""
        return delivery.Connector(
            lambda: self.source(group), self.sink, self.topic_creation, self.transactional_sink
        )
