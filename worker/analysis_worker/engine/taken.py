"""What a batch of records brought besides windows: triggers, refused records, strays."""

import dataclasses
from typing import Protocol

from analysis_worker.engine import progress
from analysis_worker.engine.records import Arrival, Decoder, Record, Refusal, TopicPartition
from analysis_worker.engine.stations import Station, Trigger


@dataclasses.dataclass(slots=True)
class Taken:
    """What a batch brought besides windows."""

    triggers: list[Trigger] = dataclasses.field(default_factory=list)
    refused: list["Refused"] = dataclasses.field(default_factory=list)
    strays: list["Stray"] = dataclasses.field(default_factory=list)
    kept: list["Kept"] = dataclasses.field(default_factory=list)
    muted: int = 0
    foreign: int = 0

    def keep(self, kept: "Kept") -> None:
        """One more record to be kept."""
        kept.begin()
        self.kept.append(kept)

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


class Slow(Protocol):
    """The intake of a topic whose newest `keep` records per station the module keeps itself."""

    @property
    def topic(self) -> str:
        """Its name."""

    @property
    def decoder(self) -> Decoder:
        """What reads its records."""

    @property
    def keep(self) -> int:
        """How many."""


@dataclasses.dataclass(frozen=True, slots=True)
class Kept:
    """What a record of a slow topic brought to a station, or (None) to all, to be kept.

    `origin` is where it was read. Done when the copy is written; without `pending` another worker writes it.
    """

    source: Slow
    station_id: str | None
    slot: int
    arrival: Arrival
    origin: TopicPartition
    record: Record
    pending: progress.Pending | None

    def begin(self) -> None:
        """The record's offset waits for the copy."""
        if self.pending is not None:
            self.pending.begin(self.record.offset, progress.copys(self.record.offset))

    def settle(self) -> None:
        """There is nothing left to do about it."""
        if self.pending is not None:
            self.pending.done(self.record.offset, progress.copys(self.record.offset))
