"""One station's state: its windows, and what is under way for it."""

import collections
import dataclasses
from collections.abc import Mapping
from typing import Any

from analysis_worker.engine import progress
from analysis_worker.engine.layout import Layout
from analysis_worker.engine.records import TopicPartition
from analysis_worker.engine.windows import Origins, TopicWindow


class Station:
    """Windows per input, heads per input and dependency, and the triggers that wait for a callback.

    `last_seen` is in ms since the epoch: the last time that any topic brought something. One that is
    `followed` is another worker's for now.
    """

    __slots__ = (
        "followed",
        "heads",
        "id",
        "in_flight",
        "last_seen",
        "next_due",
        "output_origins",
        "owned",
        "slot",
        "waiting",
        "windows",
    )

    def __init__(self, station_id: str, slot: int, *, inputs: int, dependencies: int, owned: bool) -> None:
        self.id = station_id
        self.slot = slot
        self.owned = owned
        self.followed = False
        self.windows: list[TopicWindow | None] = [None] * inputs
        self.heads: list[Any] = [None] * (inputs + dependencies)
        self.output_origins: dict[str, Origins] = {}  # by the dependency's topic
        self.last_seen = 0
        self.in_flight = False
        self.waiting: collections.deque[Trigger] = collections.deque()
        self.next_due = 0

    @property
    def unclaimed(self) -> bool:
        """Whether it is a device that no `via` topic has named yet, kept in case that it does."""
        return not (self.owned or self.followed)

    def __repr__(self) -> str:
        return f"Station({self.id!r}, slot={self.slot})"


@dataclasses.dataclass(frozen=True, slots=True)
class Batch:
    """What the triggers of one batch have in common: the layout their heads are indexed by, where their
    records were first written, and, per slot, the progress that waits for their outputs (None: each trigger
    says itself what it owes)."""

    layout: Layout
    origin: TopicPartition
    pending: Mapping[int, progress.Pending] | None


class Trigger:
    """A record that asks for a callback: the station's heads as they were then, and where it came from.

    It owes its record's offset to the progress: done when the output is acknowledged or given up for good.
    A coalesced trigger hands what it owes on to the newer one. `timestamp` is the record's, in ms.
    """

    __slots__ = ("_owed", "attempt", "batch", "heads", "offset", "station", "timestamp")

    def __init__(self, station: Station, batch: Batch, offset: int, timestamp: int) -> None:
        self.station = station
        self.batch = batch
        self.offset = offset
        self.timestamp = timestamp
        self.heads = tuple(station.heads)
        self.attempt = 0
        self._owed: list[tuple[progress.Pending, int]] | None = None

    def owe(self, pending: progress.Pending, offset: int) -> None:
        """Another offset is done with this trigger's output."""
        if self._owed is None:
            self._owed = []
        self._owed.append((pending, offset))

    def cover(self, older: "Trigger") -> None:
        """This trigger's output stands for the older one's too."""
        if older.batch.pending is not None:
            self.owe(older.batch.pending[older.station.slot], older.offset)
        for pending, offset in older._owed or ():
            self.owe(pending, offset)

    def settle(self) -> None:
        """All that was owed is done."""
        if self.batch.pending is not None:
            self.batch.pending[self.station.slot].done(self.offset, self.station.id)
        if self._owed is not None:
            for pending, offset in self._owed:
                pending.done(offset, self.station.id)
            self._owed = None

    def __repr__(self) -> str:
        origin = self.batch.origin
        return f"Trigger({self.station.id!r}, {origin.topic}/{origin.partition}/{self.offset})"
