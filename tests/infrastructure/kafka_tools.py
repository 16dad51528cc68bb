"""What tests do at a Kafka cluster from outside: make topics, write records, read them back; all of it sync.

Made with kafka-python, so that it shares no code with the worker's own client. `bootstrap` is always the
plain listeners, host:port with commas between.
"""

import contextlib
import dataclasses
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import kafka
from kafka import admin as kafka_admin

from tests.infrastructure import kafka_connections

Isolation = Literal["read_committed", "read_uncommitted"]

BROKER_DEFAULT = -1
TIMEOUT_SECONDS = 30.0
_POLL_MS = 200


class Outgoing(NamedTuple):
    """A record to write; a plain tuple of the same five does as well.

    Without `timestamp_ms` (epoch) it is now; without `partition` the key's murmur2 hash decides, as in Java.
    """

    key: bytes | None = None
    value: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()
    timestamp_ms: int | None = None
    partition: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """A record that was read; `timestamp_ms` is the Kafka timestamp (epoch)."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


def unique_name(prefix: str) -> str:
    """`prefix` and twelve random hexadecimal digits: a topic, group or module name nobody else has."""
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


def create_topic(
    bootstrap: str,
    name: str,
    *,
    partitions: int = 1,
    replication: int = BROKER_DEFAULT,
    config: Mapping[str, str] | None = None,
) -> str:
    """Creates a topic, waits until each partition has a leader, and returns its name.

    `config` holds topic settings such as {"cleanup.policy": "compact"}. Raises
    `kafka.errors.TopicAlreadyExistsError`, or what else the broker answers.
    """
    wanted = {
        "num_partitions": partitions,
        "replication_factor": replication,
        "configs": dict(config or {}),
    }
    with _admin(bootstrap) as admin:
        admin.create_topics({name: wanted}, wait_for_metadata=True)
    return name


def ensure_topics(bootstrap: str, names: Iterable[str], *, partitions: int) -> None:
    """Creates those of the topics that are not there."""
    for name in sorted({*names} - topics(bootstrap)):
        create_topic(bootstrap, name, partitions=partitions)


@dataclasses.dataclass(frozen=True)
class TopicFactory:
    """Makes topics with names of their own in the cluster `bootstrap`; `made` lists them."""

    bootstrap: str
    made: list[str] = dataclasses.field(default_factory=list)

    def __call__(
        self,
        prefix: str = "topic",
        *,
        partitions: int = 1,
        replication: int = BROKER_DEFAULT,
        config: Mapping[str, str] | None = None,
    ) -> str:
        """Creates a topic as `create_topic` does and returns its name, which begins with `prefix`."""
        name = unique_name(prefix)
        create_topic(self.bootstrap, name, partitions=partitions, replication=replication, config=config)
        self.made.append(name)
        return name


def configure_topic(bootstrap: str, name: str, config: Mapping[str, str]) -> None:
    """Changes settings of a topic such as {"cleanup.policy": "compact"}; the others stay."""
    with _admin(bootstrap) as admin:
        resource = kafka_admin.ConfigResource(kafka_admin.ConfigResourceType.TOPIC, name, dict(config))
        admin.alter_configs([resource])


def delete_topics(bootstrap: str, names: Iterable[str]) -> None:
    """Deletes the topics; one that is gone already is no error."""
    with _admin(bootstrap) as admin:
        admin.delete_topics(list(names), raise_errors=False)


def delete_records(bootstrap: str, topic: str, before: Mapping[int, int] | None = None) -> None:
    """Deletes each partition's records before an offset, as retention does; all if it is not said."""
    wanted = end_offsets(bootstrap, topic) if before is None else before
    with _admin(bootstrap) as admin:
        admin.delete_records({kafka.TopicPartition(topic, each): offset for each, offset in wanted.items()})


def topics(bootstrap: str) -> frozenset[str]:
    """The names of all topics, internal ones too."""
    with _admin(bootstrap) as admin:
        return frozenset(admin.list_topics())


def set_password(bootstrap: str, user: str, password: str) -> None:
    """Make a user of SCRAM-SHA-512, or give it another password: the former opens no new connection then."""
    mechanism = kafka_admin.ScramMechanism.SCRAM_SHA_512
    change = kafka_admin.UserScramCredentialUpsertion(user, mechanism, password.encode(), iterations=4096)
    with _admin(bootstrap) as admin:
        assert admin.alter_user_scram_credentials([change]) == {user: None}


def leaders(bootstrap: str, topic: str) -> dict[int, int]:
    """Partition -> id of the broker that leads it, -1 for none; LookupError without the topic."""
    return {number: each["leader_id"] for number, each in _partitions(bootstrap, topic).items()}


def in_sync_replicas(bootstrap: str, topic: str) -> dict[int, frozenset[int]]:
    """Partition -> ids of the brokers that have all of it."""
    return {number: frozenset(each["isr_nodes"]) for number, each in _partitions(bootstrap, topic).items()}


def produce_all(
    bootstrap: str,
    topic: str,
    records: Iterable[tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes]], int | None, int | None]],
) -> int:
    """Writes `Outgoing` records (or such tuples) with acks from all in-sync replicas; returns how many.

    Order within a partition is kept. Returns when all are acknowledged; raises the first `KafkaError`, which
    for a topic that does not exist is KafkaTimeoutError. Writes some 20,000 records a second.
    """
    failures: list[BaseException] = []
    count = 0
    settings = kafka_connections.settings(
        bootstrap,
        linger_ms=20,
        batch_size=256 * 1024,
        max_request_size=4 * 2**20,
        max_block_ms=15_000,
        request_timeout_ms=4_000,  # how long it waits for a killed broker before it asks another
    )
    with contextlib.closing(kafka.KafkaProducer(**settings)) as producer:
        for key, value, headers, timestamp_ms, partition in records:
            sent = producer.send(topic, value, key, list(headers), partition, timestamp_ms)
            sent.add_errback(failures.append)
            count += 1
        producer.flush(timeout=2 * TIMEOUT_SECONDS)
    if failures:
        raise failures[0]
    return count


def end_offsets(bootstrap: str, topic: str, isolation: Isolation = "read_uncommitted") -> dict[int, int]:
    """Partition -> the offset after its last record (for read_committed: its last stable offset)."""
    with _reader(bootstrap, topic, isolation) as consumer:
        return {each.partition: offset for each, offset in _ends(consumer).items()}


def read_all(bootstrap: str, topic: str, isolation: Isolation = "read_committed") -> list[Record]:
    """All records from the first one to the end offsets at call time, by partition and offset.

    Raises TimeoutError when the end is not reached within TIMEOUT_SECONDS.
    """
    records: list[Record] = []
    deadline = time.monotonic() + TIMEOUT_SECONDS
    with _reader(bootstrap, topic, isolation) as consumer:
        ends = _ends(consumer)
        while any(consumer.position(each) < end for each, end in ends.items()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{topic}: {len(records)} records read, not yet at the ends {ends}")
            records += _poll(consumer)
    last = {each.partition: end for each, end in ends.items()}
    records = [each for each in records if each.offset < last[each.partition]]
    return sorted(records, key=lambda each: (each.partition, each.offset))


def wait_for_records(
    bootstrap: str,
    topic: str,
    until: int | Callable[[list[Record]], bool],
    *,
    timeout_seconds: float = TIMEOUT_SECONDS,
    isolation: Isolation = "read_committed",
) -> list[Record]:
    """Reads from the first record on until there are `until` records, or `until(records)` is true.

    Returns the records in the order in which they arrived here. Raises TimeoutError after `timeout_seconds`,
    saying how many came and which was the last.
    """
    enough = until if callable(until) else lambda records: len(records) >= until
    records: list[Record] = []
    deadline = time.monotonic() + timeout_seconds
    with _reader(bootstrap, topic, isolation) as consumer:
        while not enough(records):
            if time.monotonic() > deadline:
                wanted = "the condition" if callable(until) else f"{until} records"
                last = records[-1] if records else None
                raise TimeoutError(
                    f"{topic}: waited {timeout_seconds:g} s in vain for {wanted}; "
                    f"{len(records)} came, the last was {last}"
                )
            records += _poll(consumer)
    return records


def _admin(bootstrap: str) -> contextlib.AbstractContextManager[Any]:
    return contextlib.closing(kafka.KafkaAdminClient(**kafka_connections.settings(bootstrap)))


def _partitions(bootstrap: str, topic: str) -> dict[int, Any]:
    with _admin(bootstrap) as admin:
        (described,) = admin.describe_topics([topic])
    if described["error_code"]:
        problem = kafka.errors.for_code(described["error_code"]).__name__
        raise LookupError(f"topic {topic!r} at {bootstrap}: {problem}; create it first")
    return {each["partition_index"]: each for each in described["partitions"]}


@contextlib.contextmanager
def _reader(bootstrap: str, topic: str, isolation: Isolation) -> Iterator[Any]:
    """A consumer outside any group, at the first record of every partition."""
    partitions = [kafka.TopicPartition(topic, number) for number in sorted(_partitions(bootstrap, topic))]
    settings = kafka_connections.settings(
        bootstrap,
        isolation_level=isolation,
        group_id=None,
        enable_auto_commit=False,
        allow_auto_create_topics=False,
        max_poll_records=10_000,
        fetch_max_wait_ms=100,
        check_crcs=False,  # the broker checked them; in Python they cost more than all the rest
    )
    with contextlib.closing(kafka.KafkaConsumer(**settings)) as consumer:
        consumer.assign(partitions)
        consumer.seek_to_beginning()
        yield consumer


def _ends(consumer: Any) -> dict[Any, int]:
    ends: dict[Any, int] = consumer.end_offsets(list(consumer.assignment()))
    return ends


def _poll(consumer: Any) -> list[Record]:
    fetched = consumer.poll(timeout_ms=_POLL_MS)
    return [
        Record(each.partition, each.offset, each.timestamp, each.key, each.value, tuple(each.headers))
        for batch in fetched.values()
        for each in batch
    ]
