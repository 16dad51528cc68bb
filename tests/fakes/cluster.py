"""The topics and records of a Kafka in memory, transactions and all, with faults on command."""

import bisect
import collections
import dataclasses
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from analysis_worker.engine.records import TopicPartition
from analysis_worker.kafka import partitioning, ports
from tests.fakes.faults import Faults

BATCH_BYTES = 512 * 1024
MESSAGE_BYTES = 1_048_588
"""The brokers' default of `max.message.bytes`."""
OVERHEAD_BYTES = 70
"""What Kafka's format adds to a record and its batch, about."""


@dataclasses.dataclass(slots=True)
class FakeRecord:
    """A record as a source gives it; `timestamp` in ms since the epoch."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()

    def json(self) -> Any:
        """The value, decoded."""
        return json.loads(self.value or b"null")


@dataclasses.dataclass(slots=True)
class Log:
    """One partition: offsets from `first` to before `end`, of which some may have no record."""

    records: list[FakeRecord] = dataclasses.field(default_factory=list)
    first: int = 0
    end: int = 0
    open: dict[str, int] = dataclasses.field(default_factory=dict)  # transactional id -> its first offset

    @property
    def stable(self) -> int:
        """Where the first open transaction begins: nothing is read from there on."""
        return min([self.end, *self.open.values()])

    def since(self, offset: int, most: int) -> list[FakeRecord]:
        start = bisect.bisect_left(self.records, offset, key=lambda record: record.offset)
        end = bisect.bisect_left(self.records, self.stable, key=lambda record: record.offset)
        return self.records[start : min(end, start + most)]


class TransactionalWriter(Protocol):
    """Who writes by a transactional id, until another does."""

    def bar(self) -> None:
        """Another writes by this id."""


class FakeCluster(Faults):
    """A cluster: topics, groups' offsets, and what goes wrong next."""

    def __init__(self, *, batch_bytes: int = BATCH_BYTES) -> None:
        super().__init__()
        self.batch_bytes = batch_bytes
        self.configs: dict[str, dict[str, str]] = {}
        self.groups: dict[str, dict[TopicPartition, int]] = collections.defaultdict(dict)
        self.before_workers: dict[str, dict[TopicPartition, int]] = collections.defaultdict(dict)
        self.writers: dict[str, TransactionalWriter] = {}  # by transactional id
        self._logs: dict[str, list[Log]] = {}
        self._next_partition = 0

    # -- topics, from outside -----------------------------------------------------------------------

    def create_topic(self, name: str, *, partitions: int = 1, config: Mapping[str, str] | None = None) -> str:
        """A new topic; returns its name."""
        assert name not in self._logs, f"topic {name} exists"
        self._logs[name] = [Log() for _ in range(partitions)]
        self.configs[name] = dict(config or {})
        return name

    def delete_topic(self, name: str) -> None:
        """The topic and its records are gone."""
        del self._logs[name], self.configs[name]

    def recreate_topic(self, name: str) -> None:
        """The same topic anew: as many partitions, offsets from 0, no records."""
        partitions, config = len(self._logs[name]), self.configs[name]
        self.delete_topic(name)
        self.create_topic(name, partitions=partitions, config=config)

    def add_partitions(self, name: str, total: int) -> None:
        """Give a topic more partitions."""
        self._logs[name] += [Log() for _ in range(total - len(self._logs[name]))]

    def topics(self) -> frozenset[str]:
        """The names of all topics."""
        return frozenset(self._logs)

    # -- records, from outside ----------------------------------------------------------------------

    def produce(
        self,
        topic: str,
        value: bytes | Mapping[str, Any] | None,
        *,
        key: bytes | None = None,
        partition: int | None = None,
        headers: ports.Headers = (),
        timestamp: int | None = None,
    ) -> int:
        """Append a record, a mapping as JSON; returns its offset. Without a partition the key decides."""
        if isinstance(value, Mapping):
            value = json.dumps(value).encode()
        if partition is None:
            partition = self._partition_for(topic, key)
        return self._append(topic, partition, ports.Message(topic, key, value, headers, timestamp))

    def _partition_for(self, topic: str, key: bytes | None) -> int:
        count = len(self._logs[topic])
        if key is not None:
            return partitioning.partition_of(key, count)
        self._next_partition += 1
        return self._next_partition % count

    def _append(self, topic: str, partition: int, message: ports.Message) -> int:
        log = self._logs[topic][partition]
        timestamp = int(time.time() * 1000) if message.timestamp is None else message.timestamp
        record = FakeRecord(partition, log.end, timestamp, message.key, message.value, tuple(message.headers))
        log.records.append(record)
        log.end += 1
        self.tell()
        return record.offset

    def mark(self, topic: str, partition: int = 0) -> None:
        """Take an offset without a record, as the end of a transaction does."""
        self._logs[topic][partition].end += 1

    def trim(self, topic: str, partition: int, before: int) -> None:
        """Drop all records before an offset, as retention does."""
        log = self._logs[topic][partition]
        log.records = [record for record in log.records if record.offset >= before]
        log.first = before

    def compact(self, topic: str) -> None:
        """Keep the last record of each key only; offsets stay."""
        for log in self._logs[topic]:
            last = {record.key: record.offset for record in log.records}
            log.records = [record for record in log.records if last[record.key] == record.offset]

    def records(self, topic: str) -> list[FakeRecord]:
        """All records held, by partition and offset; none if there is no such topic."""
        return [record for log in self._logs.get(topic, ()) for record in log.records]

    def bounds(self, topic: str, partition: int = 0) -> tuple[int, int]:
        """First offset held and end."""
        log = self._logs[topic][partition]
        return log.first, log.end

    def commit_as_another(self, group: str, place: TopicPartition, offset: int) -> None:
        """A group's offset as some other program commits it."""
        self.groups[group][place] = self.before_workers[group][place] = offset

    # -- from the clients ---------------------------------------------------------------------------

    def log(self, partition: TopicPartition) -> Log | None:
        """A partition's records, None if there is no such partition."""
        logs = self._logs.get(partition.topic, [])
        return logs[partition.partition] if partition.partition < len(logs) else None

    def partition_count(self, topic: str) -> int:
        """How many partitions a topic has, 0 without it."""
        return len(self._logs.get(topic, ()))

    def write(self, topic: str, partition: int, messages: Sequence[ports.Message]) -> None:
        """Append acknowledged records."""
        for message in messages:
            self._append(topic, partition, message)
