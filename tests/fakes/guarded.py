"""Kafka in memory that wants a password: which it takes, and which connections it has cut."""

import asyncio
from collections.abc import Mapping, Sequence

from analysis_module import spec
from analysis_worker import delivery
from analysis_worker.engine.records import Record, TopicPartition
from analysis_worker.kafka import credentials, ports
from tests.fakes.faults import Fault, Operation
from tests.fakes.kafka import FakeKafka
from tests.fakes.kafka_clients import FakeSink, FakeSource


class GuardedKafka(FakeKafka):
    """A cluster whose clients prove the password of the module's settings each time that they connect."""

    def __init__(self, kafka: spec.Kafka, password: str) -> None:
        super().__init__()
        self.passwords = {password}
        self.sinks: list[GuardedSink] = []
        self._kafka = kafka
        self._cut: set[str] = set()

    def cut_others(self) -> None:
        """Break the connections that were made with a password which is not taken any longer."""
        self._cut |= set(self.in_use()) - self.passwords
        self.tell()

    def in_use(self) -> list[str]:
        """The password of each client that is connected."""
        proven = [source.proven for source in self.sources if isinstance(source, GuardedSource)]
        proven += [sink.proven for sink in self.sinks]
        return [password for password in proven if password]

    def connector(self, group: str = "group") -> delivery.Connector:
        """What one Worker asks for: its clients read the secrets anew."""
        secrets = credentials.Credentials(self._kafka, group)
        return delivery.Connector(
            lambda: self._guarded_source(group, secrets),
            lambda: self._guarded_sink(secrets),
            self.topic_creation,
            self.transactional_sink,
            secrets,
        )

    def _guarded_source(self, group: str, secrets: credentials.Credentials) -> "GuardedSource":
        source = GuardedSource(self, group, secrets)
        self.sources.append(source)
        return source

    def _guarded_sink(self, secrets: credentials.Credentials) -> "GuardedSink":
        sink = GuardedSink(self, secrets)
        self.sinks.append(sink)
        return sink

    async def let_in(self, secrets: credentials.Credentials) -> str:
        """The password that was proven; raises KafkaRefused for one that is not taken."""
        password: str = secrets.current().security["sasl_plain_password"]
        await asyncio.sleep(0)
        if password not in self.passwords:
            raise ports.KafkaRefused("connect: SaslAuthenticationFailed: invalid credentials")
        self._cut.discard(password)
        return password

    def cuts(self, password: str) -> bool:
        """Whether connections that were made with it are broken."""
        return password in self._cut


class GuardedSource(FakeSource):
    """A source that proves who it is; on a connection that was cut it finds nothing, as a real one."""

    def __init__(self, cluster: GuardedKafka, group: str, secrets: credentials.Credentials) -> None:
        super().__init__(cluster, group)
        self.proven = ""
        self._guard = cluster
        self._secrets = secrets

    async def start(self) -> None:
        """Connect."""
        proven = await self._guard.let_in(self._secrets)
        await super().start()
        self.proven = proven

    async def close(self) -> None:
        """Disconnect."""
        self.proven = ""
        await super().close()

    async def poll(self, *, wait_seconds: float, most: int) -> Mapping[TopicPartition, Sequence[Record]]:
        """The next records."""
        if self._guard.cuts(self.proven):
            await asyncio.sleep(wait_seconds)
            return {}
        return await super().poll(wait_seconds=wait_seconds, most=most)

    async def _reached(self, operation: Operation) -> None:
        if self._guard.cuts(self.proven):
            raise ports.KafkaUnavailable(f"{operation}: the connection is broken")
        await super()._reached(operation)


class GuardedSink(FakeSink):
    """A sink that proves who it is."""

    def __init__(self, cluster: GuardedKafka, secrets: credentials.Credentials) -> None:
        super().__init__(cluster)
        self.proven = ""
        self._guard = cluster
        self._secrets = secrets

    async def start(self) -> None:
        """Connect."""
        proven = await self._guard.let_in(self._secrets)
        await super().start()
        self.proven = proven

    async def close(self) -> None:
        """Disconnect."""
        self.proven = ""
        await super().close()

    async def _reached(self, operation: Operation) -> Fault | None:
        if self._guard.cuts(self.proven):
            raise ports.KafkaUnavailable(f"{operation}: the connection is broken")
        return await super()._reached(operation)
