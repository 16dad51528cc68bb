"""The worker's ports on a Kafka in memory."""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence

from analysis_worker.engine.records import Record, TopicPartition
from analysis_worker.kafka import ports
from tests.fakes.cluster import MESSAGE_BYTES, OVERHEAD_BYTES, FakeCluster, FakeRecord, Log
from tests.fakes.faults import Fault, Operation


class FakeSource:
    """The Source port."""

    def __init__(self, cluster: FakeCluster, group: str) -> None:
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
        return log.first, log.stable

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
        self.positions[place] = records[-1].offset + 1 if records else max(log.stable, self.positions[place])
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

    def __init__(self, cluster: FakeCluster) -> None:
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
        self._write(topic, partition, batch)
        if fault is not None:
            raise fault.error
        return len(batch)

    def _write(self, topic: str, partition: int, messages: Sequence[ports.Message]) -> None:
        self._cluster.write(topic, partition, messages)

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


class FakeTransactionalSink(FakeSink):
    """The TransactionalSink port."""

    def __init__(self, cluster: FakeCluster, transactional_id: str) -> None:
        super().__init__(cluster)
        self._id = transactional_id
        self._barred = False
        self._touched: dict[int, Log] = {}
        self._records: list[tuple[Log, FakeRecord]] = []
        self._gaps: set[tuple[str, int]] = set()

    async def start(self) -> None:
        """Connect; the one before of this id is barred, and what it has open given up."""
        await super().start()
        former = self._cluster.writers.get(self._id)
        if former is not None and former is not self:
            former.bar()
        self._cluster.writers[self._id] = self

    def bar(self) -> None:
        """Another writes by this id."""
        self._barred = True
        self._end(keep=False)

    async def close(self) -> None:
        """Give up what is open."""
        await super().close()
        self._end(keep=False)

    async def send(self, topic: str, partition: int, messages: Sequence[ports.Message]) -> int:
        """One batch; a refused one leaves a gap in the sequence, and the partition takes no more by this."""
        if (topic, partition) in self._gaps:
            raise ports.KafkaUnavailable(f"{topic}/{partition}: out of sequence")
        try:
            return await super().send(topic, partition, messages)
        except ports.KafkaRefused:
            self._gaps.add((topic, partition))
            raise

    async def commit(self) -> None:
        """What was sent can be read."""
        fault = await self._reached("sink.commit")
        self._end(keep=True)
        if fault is not None:
            raise fault.error

    def _write(self, topic: str, partition: int, messages: Sequence[ports.Message]) -> None:
        if self._barred:
            raise ports.KafkaUnavailable("another producer of this transactional id has started")
        log = self._cluster.log(TopicPartition(topic, partition))
        assert log is not None
        log.open.setdefault(self._id, log.end)
        self._touched[id(log)] = log
        super()._write(topic, partition, messages)
        self._records += [(log, record) for record in log.records[-len(messages) :]]

    def _end(self, *, keep: bool) -> None:
        for log, record in self._records:
            if not keep:
                log.records.remove(record)
        for log in self._touched.values():
            del log.open[self._id]
            log.end += 1  # the marker
        self._records, self._touched = [], {}
        self._cluster.tell()

    async def _reached(self, operation: Operation) -> Fault | None:
        fault = await super()._reached(operation)
        if self._barred and operation != "sink.partitions":
            raise ports.KafkaUnavailable("another producer of this transactional id has started")
        return fault


class FakeTopics:
    """The Topics port."""

    def __init__(self, cluster: FakeCluster) -> None:
        self._cluster = cluster

    async def ensure(self, topic: str, *, partitions: int, config: Mapping[str, str]) -> None:
        """Create a topic unless it exists."""
        await self._cluster.reached("topics.ensure")
        if topic not in self._cluster.topics():
            self._cluster.create_topic(topic, partitions=partitions, config=config)


def _size(message: ports.Message) -> int:
    headers = sum(len(key) + len(value) for key, value in message.headers)
    return len(message.key or b"") + len(message.value or b"") + headers + OVERHEAD_BYTES
