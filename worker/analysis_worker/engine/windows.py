"""The sliding window of one topic of one station: what the engine appends to."""

import collections
from collections.abc import Mapping, Sequence

from analysis_worker.engine import places, segments
from analysis_worker.engine.records import Row, TopicPartition

_RUNS = 64
"""At most about so many runs of records are told apart in a window."""

Head = tuple[segments.Segment, int]
"""The state of a window at one moment: its segment, and how many records that had."""


class TopicWindow:
    """The last `size` records of one topic for one station; only the engine's thread appends."""

    __slots__ = ("fields", "memory", "most_rows", "noted", "origins", "segment", "size")

    def __init__(self, fields: segments.Readers, size: int, memory: places.Memory = places.HEAP) -> None:
        self.fields = fields
        self.size = size
        self.memory = memory
        self.segment = segments.segment_for(fields, size, memory)
        self.most_rows = segments.block_rows_for(size)
        self.origins = Origins(size, self.most_rows)
        self.noted: object = None  # whoever has noted the origin of a record of the present run, last

    @classmethod
    def of(
        cls, segment: segments.Segment, size: int, memory: places.Memory, floors: Mapping[TopicPartition, int]
    ) -> "TopicWindow":
        """A window that was kept: its segment, and how far back its records came from."""
        window = cls(segment.fields, size, places.HEAP)
        window.segment, window.memory = segment, memory
        for place, offset in floors.items():
            window.origins.note(place, offset)
        window.origins.next_run()
        return window

    def append(self, row: Row) -> Head:
        """Add one record, the oldest beyond `size` falls out; return the new head."""
        segment = self.segment
        base, rows = segment.tail
        rows.append(row)
        count = len(rows)
        return (segment, base + count) if count < self.most_rows else self.settled()

    def replace(self, rows: Sequence[Row]) -> Head | None:
        """Put `rows` in the place of all records so far.

        One record brings them back, so nothing but the heap is worth their while.
        """
        self.memory = places.HEAP
        self.segment = segments.segment_for(self.fields, max(self.size, len(rows)), self.memory)
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
        self.segment = segments.successor(self.segment, size, fields, most=kept, memory=self.memory)
        self.origins.resize(size, self.most_rows)
        return self.head

    def absorb(self, other: "TopicWindow") -> Head | None:
        """Add the records of another window of the same topic behind this one's own."""
        self.segment = segments.joined(self.segment, other.segment, self.size, self.memory)
        self.origins.join(other.origins)
        return self.head

    def settled(self) -> Head:
        """A block of rows is full: move it into columns, and start a new segment if there is no room."""
        segment = self.segment
        if self.size > segments.SMALL_WINDOW:
            segment.settle()
        if segment.count + self.most_rows > segment.capacity:
            self.segment = segments.successor(segment, self.size, memory=self.memory)
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

    Of each run of records (some blocks of rows) the lowest offset per partition counts, so the floor is at
    most a few runs older than the oldest record still in the window. `block_records` is how many records lie
    between two calls of `next_run`.
    """

    __slots__ = ("_blocks", "_blocks_per_run", "_lowest", "_most_runs", "_run")

    def __init__(self, size: int, block_records: int) -> None:
        self._run = self._blocks = 0
        # Per partition (run, lowest offset from that run on): both ascending, so the first is the floor.
        self._lowest: dict[TopicPartition, collections.deque[tuple[int, int]]] = {}
        self.resize(size, block_records)

    def resize(self, size: int, block_records: int) -> None:
        """Follow a window's new size.

        The runs so far, of another length, become one: it is given up when a window's worth has followed.
        """
        known = self.floors()
        self._blocks_per_run = max(1, size // block_records // _RUNS)
        # One run more than the window spans, for the oldest is only partly in it, and one for a run that a
        # new segment began short.
        self._most_runs = -(-size // (block_records * self._blocks_per_run)) + 2
        self._run = self._blocks = 0
        self._lowest = {}
        for partition, offset in known.items():
            self.note(partition, offset)
        if known:
            self._advance()

    def note(self, partition: TopicPartition, offset: int) -> None:
        """The window's newest records came from this offset."""
        lowest = self._lowest.setdefault(partition, collections.deque())
        while lowest and lowest[-1][1] >= offset:
            lowest.pop()
        if not lowest or lowest[-1][0] != self._run:
            lowest.append((self._run, offset))

    def next_run(self) -> None:
        """A block of records is full, and with the last block of a run the run."""
        self._blocks += 1
        if self._blocks >= self._blocks_per_run:
            self._advance()

    def _advance(self) -> None:
        self._blocks = 0
        self._run += 1
        gone = self._run - self._most_runs
        for partition, lowest in list(self._lowest.items()):
            while lowest and lowest[0][0] < gone:
                lowest.popleft()
            if not lowest:
                del self._lowest[partition]

    def join(self, other: "Origins") -> None:
        """Remember another window's origins too."""
        for partition, offset in other.floors().items():
            self.note(partition, offset)

    def floors(self) -> dict[TopicPartition, int]:
        """For each partition, the oldest offset that a rebuild of the window may need."""
        return {partition: lowest[0][1] for partition, lowest in self._lowest.items()}
