"""The sliding window of one topic of one station: what the engine appends to."""

import collections
from collections.abc import Sequence

from analysis_worker.engine import segments
from analysis_worker.engine.records import Row, TopicPartition

Head = tuple[segments.Segment, int]
"""The state of a window at one moment: its segment, and how many records that had."""


class TopicWindow:
    """The last `size` records of one topic for one station; only the engine's thread appends."""

    __slots__ = ("fields", "most_rows", "noted", "origins", "segment", "size")

    def __init__(self, fields: segments.Readers, size: int) -> None:
        self.fields = fields
        self.size = size
        self.segment = segments.Segment(fields, segments.capacity_for(size))
        self.most_rows = segments.block_rows_for(size)
        self.origins = Origins(size, self.most_rows)
        self.noted: object = None  # whoever has noted the origin of a record of the present run, last

    def append(self, row: Row) -> Head:
        """Add one record, the oldest beyond `size` falls out; return the new head."""
        segment = self.segment
        base, rows = segment.tail
        rows.append(row)
        count = len(rows)
        return (segment, base + count) if count < self.most_rows else self.settled()

    def replace(self, rows: Sequence[Row]) -> Head | None:
        """Put `rows` in the place of all records so far."""
        self.segment = segments.Segment(self.fields, segments.capacity_for(max(self.size, len(rows))))
        self.segment.tail = (0, list(rows))
        self.noted = None
        self.origins = Origins(self.size, self.most_rows)
        return self.head

    def resize(self, size: int, fields: segments.Readers) -> Head | None:
        """Change size and fields, keeping as many of the newest records as the new size holds."""
        kept = min(self.size, size)  # what had fallen out of a smaller window does not come back
        self.size, self.fields = size, fields
        self.most_rows = segments.block_rows_for(size)
        self.noted = None
        self.segment = segments.successor(self.segment, size, fields, most=kept)
        self.origins.resize(size, self.most_rows)
        return self.head

    def absorb(self, other: "TopicWindow") -> Head | None:
        """Add the records of another window of the same topic behind this one's own."""
        self.segment = segments.joined(self.segment, other.segment, self.size)
        self.origins.join(other.origins)
        return self.head

    def settled(self) -> Head:
        """A block of rows is full: move it into columns, and start a new segment if there is no room."""
        segment = self.segment
        if self.size > segments.SMALL_WINDOW:
            segment.settle()
        if segment.count + self.most_rows > segment.capacity:
            self.segment = segments.successor(segment, self.size)
        self.origins.next_run()
        self.noted = None
        return (self.segment, self.segment.count)

    @property
    def head(self) -> Head | None:
        """The window as it is now; None if no record is in it."""
        count = self.segment.count
        return (self.segment, count) if count else None


class Origins:
    """Which offsets a window's records came from, coarsely: enough to know how far back a replay must go.

    Of each run of records (a block of rows) the first offset per partition is kept, so the floor is at most
    a few runs older than the oldest record still in the window.
    """

    __slots__ = ("_past", "run")

    def __init__(self, size: int, run_records: int) -> None:
        self.run: dict[TopicPartition, int] = {}
        self._past: collections.deque[dict[TopicPartition, int]] = collections.deque()
        self.resize(size, run_records)

    def resize(self, size: int, run_records: int) -> None:
        """Follow a window's new size.

        The runs so far, of another length, become one: it is given up when a window's worth has followed.
        """
        known = self.floors()
        # One run more than the window spans, for the oldest is only partly in it, and one for a run that a
        # new segment began short.
        self._past = collections.deque([known] if known else (), maxlen=-(-size // run_records) + 2)
        self.run = {}

    def note(self, partition: TopicPartition, offset: int) -> None:
        """The window's newest records came from this offset."""
        self.run.setdefault(partition, offset)

    def next_run(self) -> None:
        """The run that was gathered is full."""
        self._past.append(self.run)
        self.run = {}

    def join(self, other: "Origins") -> None:
        """Remember another window's origins too."""
        for partition, offset in other.floors().items():
            self.run[partition] = min(offset, self.run.get(partition, offset))

    def floors(self) -> dict[TopicPartition, int]:
        """For each partition, the oldest offset that a rebuild of the window may need."""
        floors: dict[TopicPartition, int] = {}
        for run in (*self._past, self.run):
            for partition, offset in run.items():
                floors[partition] = min(offset, floors.get(partition, offset))
        return floors
