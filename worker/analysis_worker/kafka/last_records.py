"""The newest records of slow topics, kept in a compacted topic of the module's own.

Key = `<topic>/<station id, or * for every station's>/<n>`; value = the record's value, or of a record of many
stations the part of this one; headers tell where and when the record was written first, and its running
number among those kept under its topic and station. A key is written anew once a newer record takes its
place, so there are of a station about as many as its window has records.
"""

import dataclasses
import logging
from typing import Final

from analysis_worker.engine.records import Record, TopicPartition
from analysis_worker.kafka import ports, progress_log, whole_topics

log = logging.getLogger(__name__)

TOPIC_CONFIG: Final = progress_log.TOPIC_CONFIG
_EVERY_STATION: Final = "*"


@dataclasses.dataclass(frozen=True, slots=True)
class Owner:
    """Whose records are kept together: a topic's of one station, or (None) of all."""

    topic: str
    station_id: str | None

    def key(self, n: int) -> bytes:
        """The key of its n-th place."""
        station = _EVERY_STATION if self.station_id is None else self.station_id
        return f"{self.topic}/{station}/{n}".encode()


@dataclasses.dataclass(frozen=True, slots=True)
class Copy:
    """One kept record: `place` and `offset` tell where it was read, `timestamp` is its own, in ms."""

    owner: Owner
    n: int
    number: int
    place: TopicPartition
    offset: int
    timestamp: int
    value: bytes

    def message(self, topic: str) -> ports.Message:
        """The record that keeps it."""
        headers = [
            ("last-topic", self.place.topic.encode()),
            ("last-partition", str(self.place.partition).encode()),
            ("last-offset", str(self.offset).encode()),
            ("last-timestamp", str(self.timestamp).encode()),
            ("last-number", str(self.number).encode()),
        ]
        return ports.Message(topic, self.owner.key(self.n), self.value, headers)


def removal(topic: str, owner: Owner, n: int) -> ports.Message:
    """The record that takes the n-th away."""
    return ports.Message(topic, owner.key(n), None)


def read_copy(record: Record) -> Copy | None:
    """What a record keeps; None, with a warning, if it says nothing readable."""
    try:
        topic, _, rest = (record.key or b"").decode().partition("/")
        station, _, n = rest.rpartition("/")
        headers = dict(record.headers)
        return Copy(
            owner=Owner(topic, None if station == _EVERY_STATION else station),
            n=int(n),
            number=int(headers["last-number"]),
            place=TopicPartition(headers["last-topic"].decode(), int(headers["last-partition"])),
            offset=int(headers["last-offset"]),
            timestamp=int(headers["last-timestamp"]),
            value=record.value or b"",
        )
    except (ValueError, KeyError) as error:
        log.warning("the kept record at offset %s is unreadable and passed over: %r", record.offset, error)
        return None


async def load(source: ports.Source, topic: str, *, transactional: bool) -> list[Copy]:
    """All that is kept, oldest first under each owner; `source` is left assigned to the topic."""
    newest: dict[bytes | None, Record] = {}
    async for records in whole_topics.read(source, topic, transactional=transactional):
        newest.update((record.key, record) for record in records)
    copies = (read_copy(record) for record in newest.values() if record.value is not None)
    return sorted(filter(None, copies), key=lambda copy: copy.number)
