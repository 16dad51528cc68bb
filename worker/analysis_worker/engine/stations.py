"""One station's state: its windows, and what is under way for it."""

import collections
from typing import Any

from analysis_worker.engine import progress
from analysis_worker.engine.layout import Layout
from analysis_worker.engine.records import TopicPartition
from analysis_worker.engine.windows import TopicWindow


class Station:
    """Windows per input, heads per input and dependency, and the triggers that wait for a callback.

    `last_seen` is in ms since the epoch: the last time that any topic brought something.
    """

    __slots__ = ("heads", "id", "in_flight", "last_seen", "next_due", "owned", "slot", "waiting", "windows")

    def __init__(self, station_id: str, slot: int, *, inputs: int, dependencies: int, owned: bool) -> None:
        self.id = station_id
        self.slot = slot
        self.owned = owned
        self.windows: list[TopicWindow | None] = [None] * inputs
        self.heads: list[Any] = [None] * (inputs + dependencies)
        self.last_seen = 0
        self.in_flight = False
        self.waiting: collections.deque[Trigger] = collections.deque()
        self.next_due = 0

    def __repr__(self) -> str:
        return f"Station({self.id!r}, slot={self.slot})"


class Trigger:
    """A record that asks for a callback: the station's heads as they were then, and where it came from.

    `heads` are indexed as `layout` says, whatever layout the module has when the callback runs.

    It owes its record's offset to the progress: done when the output is acknowledged or given up for
    good. A coalesced trigger hands what it owes on to the newer one.
    """

    __slots__ = (
        "_inherited",
        "attempt",
        "due_offset",
        "heads",
        "layout",
        "offset",
        "origin",
        "pending",
        "station",
        "timestamp",
    )

    def __init__(
        self,
        station: Station,
        layout: Layout,
        origin: TopicPartition,
        offset: int,
        timestamp: int,
        pending: progress.Pending,
    ) -> None:
        self.station = station
        self.layout = layout
        self.origin = origin
        self.offset = offset
        self.due_offset = offset  # a stray is due where it is read, known by where it was first written
        self.timestamp = timestamp
        self.heads = tuple(station.heads)
        self.pending = pending
        self.attempt = 0
        self._inherited: list[tuple[progress.Pending, int]] | None = None

    def cover(self, older: "Trigger") -> None:
        """This trigger's output stands for the older one's too."""
        inherited = older._inherited or []
        inherited.append((older.pending, older.due_offset))
        self._inherited = inherited + (self._inherited or [])

    def settle(self) -> None:
        """All that was owed is done."""
        self.pending.done(self.due_offset)
        if self._inherited is not None:
            for pending, offset in self._inherited:
                pending.done(offset)
            self._inherited = None

    def __repr__(self) -> str:
        return f"Trigger({self.station.id!r}, {self.origin.topic}/{self.origin.partition}/{self.offset})"
