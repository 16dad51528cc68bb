"""Topics in memory behind the Kafka ports, for a module that is driven by hand."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

from analysis_worker.engine.records import Record, TopicPartition
from analysis_worker.kafka import ports


@dataclasses.dataclass(slots=True)
class KeptRecord:
    """A record as it lies in a topic; `timestamp` in ms since the epoch."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class MemoryTopics:
    """All records of all topics, for ever. A topic that is written first has one partition."""

    def __init__(self) -> None:
        self._logs: dict[str, list[list[KeptRecord]]] = {}

    def create(self, topic: str, partitions: int) -> None:
        """Make a topic unless it is there."""
        self._logs.setdefault(topic, [[] for _ in range(partitions)])

    def count(self, topic: str) -> int:
        """How many partitions a topic has, 0 if there is none."""
        return len(self._logs.get(topic, ()))

    def append(self, message: ports.Message, partition: int, now_ms: int) -> None:
        """Write a record."""
        self.create(message.topic, 1)
        log = self._logs[message.topic][partition]
        timestamp = now_ms if message.timestamp is None else message.timestamp
        log.append(KeptRecord(len(log), timestamp, message.key, message.value, list(message.headers)))

    def records(self, place: TopicPartition) -> list[KeptRecord]:
        """A partition's records."""
        return self._logs[place.topic][place.partition]

    def all_records(self, topic: str) -> list[KeptRecord]:
        """A topic's records, partition after partition."""
        return [record for log in self._logs.get(topic, ()) for record in log]


class MemorySource:
    """The Source port; a poll never waits."""

    def __init__(self, topics: MemoryTopics) -> None:
        self._topics = topics
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()

    async def start(self) -> None:
        """Nothing to connect."""

    async def close(self) -> None:
        """Nothing to disconnect."""

    async def partitions(self, topics: Iterable[str]) -> Mapping[str, int]:
        """Partition counts of the topics that exist."""
        return {topic: count for topic in topics if (count := self._topics.count(topic))}

    async def bounds(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, tuple[int, int]]:
        """0 and the end."""
        return {place: (0, len(self._topics.records(place))) for place in partitions}

    async def committed(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        """There is no group."""
        return {}

    async def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        """Read these from these offsets."""
        self._positions, self._paused = dict(positions), set()

    async def poll(self, *, wait_seconds: float, most: int) -> Mapping[TopicPartition, Sequence[Record]]:
        """What there is."""
        found: dict[TopicPartition, Sequence[Record]] = {}
        for place, position in self._positions.items():
            if place not in self._paused and most > 0:
                records = self._topics.records(place)[position : position + most]
                most -= len(records)
                if records:
                    found[place] = records
                    self._positions[place] = position + len(records)
        return found

    async def position(self, partition: TopicPartition) -> int:
        """The next offset."""
        return self._positions[partition]

    def end_offset(self, partition: TopicPartition) -> int | None:
        """The end."""
        return len(self._topics.records(partition))

    def silent_seconds(self) -> float:
        """Memory always answers."""
        return 0.0

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """Bring nothing of these."""
        self._paused.update(partitions)

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        """Bring these again."""
        self._paused.difference_update(partitions)

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """There is no group."""


class MemorySink:
    """The Sink port; `now_ms` is asked for the time of a record that has none."""

    def __init__(self, topics: MemoryTopics, now_ms: Callable[[], int]) -> None:
        self._topics = topics
        self._now_ms = now_ms

    async def start(self) -> None:
        """Nothing to connect."""

    async def close(self) -> None:
        """Nothing to disconnect."""

    async def partitions(self, topic: str) -> int:
        """Partition count; the topic is made if it is not there."""
        self._topics.create(topic, 1)
        return self._topics.count(topic)

    async def send(self, topic: str, partition: int, messages: Sequence[ports.Message]) -> int:
        """Write them all."""
        for message in messages:
            self._topics.append(message, partition, self._now_ms())
        return len(messages)
