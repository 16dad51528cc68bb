"""The sliding window of one topic of one station: what the engine appends to."""

import collections
from collections.abc import Sequence

from analysis_worker.engine import segments
from analysis_worker.engine.records import Row, TopicPartition

Head = tuple[segments.Segment, int]
"""The state of a window at one moment: its segment, and how many records that had."""


class TopicWindow:
    """The last `size` records of one topic for one station; only the engine's thread appends."""

    __slots__ = ("_most_rows", "fields", "origins", "received", "segment", "size")

    def __init__(self, fields: segments.Readers, size: int) -> None:
        self.fields = fields
        self.size = size
        self.segment = segments.Segment(fields, segments.capacity_for(size))
        self.received = 0
        self.origins = Origins(size)
        self._most_rows = segments.block_rows_for(size)

    def append(self, row: Row) -> Head:
        """Add one record, the oldest beyond `size` falls out; return the new head."""
        segment = self.segment
        base, rows = segment.tail
        rows.append(row)
        count = base + len(rows)
        self.received += 1
        if len(rows) >= self._most_rows:
            return self._settled()
        return (segment, count)

    def replace(self, rows: Sequence[Row]) -> Head:
        """Put `rows` in the place of all records so far."""
        self.segment = segments.Segment(self.fields, segments.capacity_for(max(self.size, len(rows))))
        self.segment.tail = (0, list(rows))
        self.received += len(rows)
        self.origins = Origins(self.size)
        return (self.segment, len(rows))

    def resize(self, size: int, fields: segments.Readers) -> Head:
        """Change size and fields, keeping as many of the newest records as the new size holds."""
        self.size, self.fields = size, fields
        self._most_rows = segments.block_rows_for(size)
        self.segment = segments.successor(self.segment, size, fields)
        self.origins.resize(size)
        return self.head

    def absorb(self, other: "TopicWindow") -> Head:
        """Add the records of another window of the same topic behind this one's own."""
        self.segment = segments.joined(self.segment, other.segment, self.size)
        self.received += other.received
        self.origins.join(other.origins)
        return self.head

    def _settled(self) -> Head:
        """Move rows into columns; start a new segment when there is no room for another block."""
        segment = self.segment
        if self.size > segments.SMALL_WINDOW:
            segment.settle()
        if segment.count + self._most_rows > segment.capacity:
            self.segment = segments.successor(segment, self.size)
        return self.head

    @property
    def head(self) -> Head:
        """The window as it is now."""
        return (self.segment, self.segment.count)


class Origins:
    """Which offsets a window's records came from, coarsely: enough to know how far back a replay must go.

    Records are grouped in runs of size/32; of each run the first offset per partition is kept, so the
    floor is at most one run older than the oldest record still in the window.
    """

    __slots__ = ("_left", "_runs", "_stride")

    _RUNS = 32

    def __init__(self, size: int) -> None:
        self._runs: collections.deque[dict[TopicPartition, int]] = collections.deque()
        self.resize(size)

    def resize(self, size: int) -> None:
        """Follow a window's new size; the new stride holds from the next record on."""
        self._stride = max(1, size // self._RUNS)
        self._left = 0
        # One run more than the window spans: the oldest is only partly in it.
        self._runs = collections.deque(self._runs, maxlen=-(-size // self._stride) + 1)

    def note(self, partition: TopicPartition, offset: int) -> None:
        """Remember that the window's newest record came from this offset."""
        if self._left == 0:
            self._left = self._stride
            self._runs.append({})
        self._left -= 1
        self._runs[-1].setdefault(partition, offset)

    def join(self, other: "Origins") -> None:
        """Remember another window's origins too."""
        self._runs.extend(other._runs)
        self._left = 0

    def floors(self) -> dict[TopicPartition, int]:
        """For each partition, the oldest offset that a rebuild of the window may need."""
        floors: dict[TopicPartition, int] = {}
        for run in self._runs:
            for partition, offset in run.items():
                floors[partition] = min(offset, floors.get(partition, offset))
        return floors
