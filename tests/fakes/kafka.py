"""Kafka in memory, fitting the worker's ports, with faults on command.

The suite in `tests/contract` runs on it and on real brokers, so that a test may believe it. Everything
happens on the loop of the test; nothing here is for more than one thread.
"""

import asyncio
import bisect
import collections
import dataclasses
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from analysis_worker import service
from analysis_worker.engine.records import Record, TopicPartition
from analysis_worker.kafka import partitioning, ports
from tests.fakes.faults import Fault, Faults, Operation

BATCH_BYTES = 512 * 1024
MESSAGE_BYTES = 1_048_588
"""The brokers' default of `max.message.bytes`."""
_OVERHEAD_BYTES = 70
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
class _Log:
    """One partition: offsets from `first` to before `end`, of which some may have no record."""

    records: list[FakeRecord] = dataclasses.field(default_factory=list)
    first: int = 0
    end: int = 0

    def since(self, offset: int, most: int) -> list[FakeRecord]:
        start = bisect.bisect_left(self.records, offset, key=lambda record: record.offset)
        return self.records[start : start + most]


class FakeKafka(Faults):
    """A cluster: topics, groups' offsets, and what goes wrong next."""

    def __init__(self, *, batch_bytes: int = BATCH_BYTES) -> None:
        super().__init__()
        self.batch_bytes = batch_bytes
        self.configs: dict[str, dict[str, str]] = {}
        self.groups: dict[str, dict[TopicPartition, int]] = collections.defaultdict(dict)
        self.before_workers: dict[str, dict[TopicPartition, int]] = collections.defaultdict(dict)
        self.sources: list[FakeSource] = []
        self._logs: dict[str, list[_Log]] = {}
        self._next_partition = 0

    # -- topics, from outside -----------------------------------------------------------------------

    def create_topic(self, name: str, *, partitions: int = 1, config: Mapping[str, str] | None = None) -> str:
        """A new topic; returns its name."""
        assert name not in self._logs, f"topic {name} exists"
        self._logs[name] = [_Log() for _ in range(partitions)]
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
        self._logs[name] += [_Log() for _ in range(total - len(self._logs[name]))]

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

    # -- the ports ----------------------------------------------------------------------------------

    def source(self, group: str = "group") -> "FakeSource":
        """A consumer of a group."""
        source = FakeSource(self, group)
        self.sources.append(source)
        return source

    def sink(self) -> "FakeSink":
        """A producer."""
        return FakeSink(self)

    def topic_creation(self) -> "FakeTopics":
        """What makes topics."""
        return FakeTopics(self)

    def connector(self, group: str = "group") -> service.Connector:
        """What a Worker asks for."""
        return service.Connector(lambda: self.source(group), self.sink, self.topic_creation)

    def log(self, partition: TopicPartition) -> _Log | None:
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


class FakeSource:
    """The Source port."""

    def __init__(self, cluster: FakeKafka, group: str) -> None:
        self.positions: dict[TopicPartition, int] = {}
        self.paused: set[TopicPartition] = set()
        self.started = False
        self._cluster = cluster
        self._group = group
        self._ends: dict[TopicPartition, int] = {}
        self._turn = 0

    async def start(self) -> None:
        """Connect."""
        await self._cluster.reached("source.start")
        await self.close()  # what is connected connects anew
        self.started = True

    async def close(self) -> None:
        """Disconnect."""
        self.started = False
        self.positions, self.paused, self._ends = {}, set(), {}

    async def partitions(self, topics: Iterable[str]) -> Mapping[str, int]:
        """Partition counts of the topics that exist."""
        await self._reached("source.partitions")
        counts = {topic: self._cluster.partition_count(topic) for topic in topics}
        return {topic: count for topic, count in counts.items() if count}

    async def bounds(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, tuple[int, int]]:
        """First and end offsets; KafkaUnavailable if one of the partitions is not there."""
        wanted = list(partitions)
        await self._reached("source.bounds")
        return {partition: self._bounds(partition) for partition in wanted}

    def _bounds(self, partition: TopicPartition) -> tuple[int, int]:
        log = self._cluster.log(partition)
        if log is None:
            raise ports.KafkaUnavailable(f"there is no {partition}")
        return log.first, log.end

    async def committed(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Where the group stood before any worker committed."""
        await self._reached("source.committed")
        offsets = self._cluster.before_workers[self._group]
        return {partition: offsets[partition] for partition in partitions if partition in offsets}

    async def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        """Read these from these offsets; nothing is paused."""
        positions = dict(positions)
        await self._reached("source.assign")
        self.positions, self.paused, self._ends = positions, set(), {}
        self._answered_at = time.monotonic()

    async def poll(self, *, wait_seconds: float, most: int) -> Mapping[TopicPartition, Sequence[Record]]:
        """The next records, of each partition in turn."""
        await self._reached("source.poll")
        deadline = asyncio.get_running_loop().time() + wait_seconds
        while True:
            found = self._fetched(most)
            left = deadline - asyncio.get_running_loop().time()
            if found or left <= 0:
                return found
            await self._cluster.news(left)

    def _fetched(self, most: int) -> dict[TopicPartition, Sequence[Record]]:
        if not self._cluster.connected:
            return {}
        self._answered_at = time.monotonic()
        places = [place for place in self.positions if place not in self.paused]
        self._check(places)
        self._turn += 1
        found: dict[TopicPartition, Sequence[Record]] = {}
        for index in range(len(places)):
            place = places[(index + self._turn) % len(places)]
            records = self._read(place, most)
            most -= len(records)
            if records:
                found[place] = records
        return found

    def _check(self, places: Iterable[TopicPartition]) -> None:
        outside = {}
        for place in places:
            log = self._cluster.log(place)
            if log is not None and not log.first <= self.positions[place] <= log.end:
                outside[place] = self.positions[place]
        if outside:
            raise ports.OffsetsOutOfRange(outside)

    def _read(self, place: TopicPartition, most: int) -> list[FakeRecord]:
        log = self._cluster.log(place)
        if log is None or most <= 0:
            return []
        self._ends[place] = log.end
        records = log.since(self.positions[place], most)
        self.positions[place] = records[-1].offset + 1 if records else log.end
        return records

    async def position(self, partition: TopicPartition) -> int:
        """The next offset; KafkaUnavailable if the partition is not assigned."""
        await self._reached("source.position")
        if partition not in self.positions:
            raise ports.KafkaUnavailable(f"{partition} is not assigned")
        return self.positions[partition]

    def end_offset(self, partition: TopicPartition) -> int | None:
        """The end as of the last fetch."""
        return self._ends.get(partition)

    def silent_seconds(self) -> float:
        """Since the cluster last answered a fetch, or was assigned from."""
        return time.monotonic() - self._answered_at

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """Stop fetching these."""
        partitions = list(partitions)
        assert all(partition in self.positions for partition in partitions), "only what is assigned"
        self.paused.update(partitions)

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        """Fetch these again."""
        partitions = list(partitions)
        assert all(partition in self.positions for partition in partitions), "only what is assigned"
        self.paused.difference_update(partitions)

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Keep the group's offsets."""
        offsets = dict(offsets)
        await self._reached("source.commit")
        self._cluster.groups[self._group].update(offsets)

    async def _reached(self, operation: Operation) -> None:
        assert self.started, f"{operation} before start or after close"
        await self._cluster.reached(operation)


class FakeSink:
    """The Sink port."""

    def __init__(self, cluster: FakeKafka) -> None:
        self._cluster = cluster
        self._started = False

    async def start(self) -> None:
        """Connect."""
        await self._cluster.reached("sink.start")
        self._started = True

    async def close(self) -> None:
        """Disconnect."""
        self._started = False

    async def partitions(self, topic: str) -> int:
        """Partition count."""
        await self._reached("sink.partitions")
        count = self._cluster.partition_count(topic)
        if not count:
            raise ports.KafkaUnavailable(f"there is no topic {topic}")
        return count

    async def send(self, topic: str, partition: int, messages: Sequence[ports.Message]) -> int:
        """Write as many as fit one batch."""
        fault = await self._reached("sink.send")
        if self._cluster.log(TopicPartition(topic, partition)) is None:
            raise ports.KafkaUnavailable(f"there is no {topic}/{partition}")
        batch = self._batch(messages)
        limit = int(self._cluster.configs[topic].get("max.message.bytes", MESSAGE_BYTES))
        if sum(map(_size, batch)) > limit:
            raise ports.KafkaRefused(f"{topic} takes no batch of more than {limit} bytes")
        self._cluster.write(topic, partition, batch)
        if fault is not None:
            raise fault.error
        return len(batch)

    def _batch(self, messages: Sequence[ports.Message]) -> Sequence[ports.Message]:
        """The first, however large, and as many more as stay within a batch's bytes."""
        left = self._cluster.batch_bytes
        for count, message in enumerate(messages):
            left -= _size(message)
            if left < 0 and count:
                return messages[:count]
        return messages

    async def _reached(self, operation: Operation) -> Fault | None:
        if not self._started:
            raise ports.KafkaUnavailable("this producer is closed")
        return await self._cluster.reached(operation)


class FakeTopics:
    """The Topics port."""

    def __init__(self, cluster: FakeKafka) -> None:
        self._cluster = cluster

    async def ensure(self, topic: str, *, partitions: int, config: Mapping[str, str]) -> None:
        """Create a topic unless it exists."""
        await self._cluster.reached("topics.ensure")
        if topic not in self._cluster.topics():
            self._cluster.create_topic(topic, partitions=partitions, config=config)


def _size(message: ports.Message) -> int:
    headers = sum(len(key) + len(value) for key, value in message.headers)
    return len(message.key or b"") + len(message.value or b"") + headers + _OVERHEAD_BYTES
