"""Progress of each slot, kept in a compacted topic: key = slot, value = JSON.

A consumer group holds one offset per partition; a slot needs its own, so that it changes hands exactly
whatever the routing. A record says: next offset per partition, the floor that a rebuild of the windows
starts from, whose slot it is, since which epoch, and whether the owner has let go of it.
"""

import dataclasses
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from analysis_worker.engine.records import Record, TopicPartition
from analysis_worker.kafka import ports, whole_topics

log = logging.getLogger(__name__)

TOPIC_CONFIG: Final = {
    "cleanup.policy": "compact",
    "segment.bytes": str(4 * 1024 * 1024),
    "segment.ms": "600000",
    "min.cleanable.dirty.ratio": "0.1",
    "delete.retention.ms": "60000",
}

Offsets = dict[TopicPartition, int]


@dataclasses.dataclass(frozen=True)
class Ahead:
    """What is done in a partition beyond its next offset: all before `reached`, but for these stations.

    `behind` is the first offset of each that is not done; a station's outputs are written in order.
    """

    reached: int
    behind: Mapping[str, int]


@dataclasses.dataclass(frozen=True)
class SlotProgress:
    """How far a slot has got: `offsets` are next offsets, `floors` where a rebuild of its windows starts.

    `process` and `number` tell who wrote it in which of its transactions, if it was one (ExactlyOnce).
    """

    slot: int
    owner: str
    epoch: int
    offsets: Mapping[TopicPartition, int]
    floors: Mapping[TopicPartition, int]
    released: bool = False
    ahead: Mapping[TopicPartition, Ahead] = dataclasses.field(default_factory=dict)
    process: str = ""
    number: int = 0

    def message(self, topic: str) -> ports.Message:
        """The record that keeps this."""
        value: dict[str, Any] = {
            "owner": self.owner,
            "epoch": self.epoch,
            "released": self.released,
            "offsets": _nested(self.offsets),
            "floors": _nested(self.floors),
        }
        if self.ahead:
            value["ahead"] = [[*place, ahead.reached, ahead.behind] for place, ahead in self.ahead.items()]
        if self.process:
            value |= {"process": self.process, "number": self.number}
        return ports.Message(topic, str(self.slot).encode(), msgspec.json.encode(value))


def read_progress(record: Record) -> SlotProgress | None:
    """What a record of the progress topic says; None, with a warning, if it says nothing readable."""
    if record.key is None or record.value is None:
        return None
    try:
        value = msgspec.json.decode(record.value)
        return SlotProgress(
            slot=int(record.key),
            owner=str(value["owner"]),
            epoch=int(value["epoch"]),
            offsets=_flat(value["offsets"]),
            floors=_flat(value["floors"]),
            released=bool(value["released"]),
            ahead={
                TopicPartition(str(topic), int(partition)): Ahead(int(reached), dict(behind))
                for topic, partition, reached, behind in value.get("ahead", ())
            },
            process=str(value.get("process", "")),
            number=int(value.get("number", 0)),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        log.warning("progress record at offset %s is unreadable and passed over: %s", record.offset, error)
        return None


async def load(source: ports.Source, topic: str, *, transactional: bool = False) -> dict[int, SlotProgress]:
    """The newest progress of every slot; `source` stays assigned to the topic (see `whole_topics`)."""
    newest: dict[int, SlotProgress] = {}
    async for records in whole_topics.read(source, topic, transactional=transactional):
        remember(newest, records)
    return newest


def remember(newest: dict[int, SlotProgress], records: Iterable[Record]) -> None:
    """Later records replace earlier ones, but an owner of an older epoch replaces nothing."""
    for record in records:
        progress = read_progress(record)
        if progress is not None:
            held = newest.get(progress.slot)
            if held is None or progress.epoch >= held.epoch:
                newest[progress.slot] = progress


def _nested(offsets: Mapping[TopicPartition, int]) -> dict[str, dict[str, int]]:
    nested: dict[str, dict[str, int]] = {}
    for (topic, partition), offset in offsets.items():
        nested.setdefault(topic, {})[str(partition)] = offset
    return nested


def _flat(nested: Any) -> Offsets:
    return {
        TopicPartition(str(topic), int(partition)): int(offset)
        for topic, partitions in nested.items()
        for partition, offset in partitions.items()
    }


__all__: Sequence[str] = ("TOPIC_CONFIG", "Ahead", "SlotProgress", "load", "read_progress", "remember")
