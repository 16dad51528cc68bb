"""What the worker asks of Kafka: three small ports, for the aiokafka clients and the in-memory fake alike.

Every method may raise KafkaUnavailable: the brokers cannot be reached now, and trying again later is right.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from analysis_worker.engine.records import Record, TopicPartition

Headers = Sequence[tuple[str, bytes]]


class KafkaUnavailable(Exception):
    """Kafka did not answer, or answered that it cannot serve now; try again after a pause."""


class KafkaRefused(Exception):
    """Kafka answered no for good: wrong credentials, no permission, an invalid request."""


class OffsetsOutOfRange(Exception):
    """Positions that the brokers no longer, or do not yet, have."""

    def __init__(self, positions: Mapping[TopicPartition, int]) -> None:
        super().__init__(f"offsets out of range: {dict(positions)}")
        self.positions = dict(positions)


class Message(NamedTuple):
    """A record to be written; `timestamp` in ms since the epoch, None for now."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    timestamp: int | None = None


class Source(Protocol):
    """Reads partitions from given offsets; no consumer group takes part."""

    async def start(self) -> None:
        """Connect; one that is connected does so anew, to be assigned again, or stays as it was."""

    async def close(self) -> None:
        """Disconnect."""

    async def partitions(self, topics: Iterable[str]) -> Mapping[str, int]:
        """How many partitions each of these topics has; a topic that does not exist is left out."""

    async def bounds(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, tuple[int, int]]:
        """First offset held, and the offset after the last record, per partition."""

    async def committed(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Where the group stood before any `commit` of ours; a partition without an offset is left out."""

    async def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        """Read exactly these partitions, each from its offset on."""

    async def poll(self, *, wait_seconds: float, most: int) -> Mapping[TopicPartition, Sequence[Record]]:
        """At most `most` records, waiting for the first if need be; raises OffsetsOutOfRange."""

    async def position(self, partition: TopicPartition) -> int:
        """The offset of the next record to be polled, past what compaction and transactions left out."""

    def end_offset(self, partition: TopicPartition) -> int | None:
        """The partition's end as of the last fetch, None before the first."""

    def silent_seconds(self) -> float:
        """How long ago a broker last answered a fetch, or since the assignment if none has yet."""

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """Fetch no more from these partitions for now."""

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        """Fetch from these partitions again."""

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit offsets to the group, for lag tools to read; `committed` stays what it was."""


class Sink(Protocol):
    """Writes records in batches."""

    async def start(self) -> None:
        """Connect."""

    async def close(self) -> None:
        """Disconnect; what was not acknowledged is lost to this client."""

    async def partitions(self, topic: str) -> int:
        """How many partitions a topic has; raises KafkaUnavailable while it has none."""

    async def send(self, topic: str, partition: int, messages: Sequence[Message]) -> int:
        """Write as many messages, from the first on, as fit a batch; return how many, acknowledged."""


class TransactionalSink(Sink, Protocol):
    """Writes in transactions (KIP-98), one after the other: what is sent belongs to the one that is open.

    `start` ends what any other sink of the same transactional id has open, and bars that sink for good:
    whatever it does from then on raises KafkaUnavailable. `close` gives up what is open.
    """

    async def commit(self) -> None:
        """End the transaction: all that was sent can be read from here on.

        After KafkaUnavailable nobody knows whether it has ended or was given up, until another sink of
        this id has started.
        """


class Topics(Protocol):
    """Creates the module's own topics."""

    async def ensure(self, topic: str, *, partitions: int, config: Mapping[str, str]) -> None:
        """Create the topic if it does not exist; raises KafkaRefused with the reason and the mend."""
