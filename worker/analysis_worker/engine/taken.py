"""What a batch of records brought besides windows: triggers, refused records, strays."""

import dataclasses

from analysis_worker.engine import progress
from analysis_worker.engine.records import Record, Refusal, TopicPartition
from analysis_worker.engine.stations import Station, Trigger


@dataclasses.dataclass(slots=True)
class Taken:
    """What a batch brought besides windows."""

    triggers: list[Trigger] = dataclasses.field(default_factory=list)
    refused: list["Refused"] = dataclasses.field(default_factory=list)
    strays: list["Stray"] = dataclasses.field(default_factory=list)
    muted: int = 0
    foreign: int = 0

    def of(self, station: Station, origin: TopicPartition, offset: int) -> Trigger | None:
        """The trigger that a record has brought to a station, if it is the newest record."""
        for trigger in reversed(self.triggers):
            if trigger.offset != offset or trigger.batch.origin != origin:
                return None
            if trigger.station is station:
                return trigger
        return None


@dataclasses.dataclass(frozen=True, slots=True)
class Refused:
    """A record for the dead-letter topic; done when that has it."""

    origin: TopicPartition
    record: Record
    refusal: Refusal
    pending: progress.Pending


@dataclasses.dataclass(frozen=True, slots=True)
class Stray:
    """A record found in an Aligned partition that is not its slot's: to be passed on to its owner."""

    origin: TopicPartition
    record: Record
    pending: progress.Pending
