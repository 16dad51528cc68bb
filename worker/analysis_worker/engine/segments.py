"""The records of one topic of one station: rows as they came, then columns.

A window is the end of a segment: a pair (segment, count). A segment only grows, and rows become column
values in blocks or when a field is first read, so a pair taken earlier reads the same for ever; when a
segment is full a new one begins with a copy of the newest records. Appending belongs to one thread;
reading is safe from any.
"""

import operator
import threading
from collections.abc import Callable, Sequence
from typing import Any

from analysis_worker.engine import columns, padding, places
from analysis_worker.engine.records import ABSENT, Row

BLOCK_ROWS = 64
MOST_BLOCK_ROWS = 256
SMALL_WINDOW = 32
"""Windows up to this size are carried over as rows: no column is built for a field nobody reads."""


class FieldReader:
    """Reads one declared field from rows: the first of its attributes that is present, else null."""

    __slots__ = ("dtype", "first", "name", "others")

    def __init__(self, name: str, attributes: Sequence[str], dtype: str = "float64") -> None:
        self.name = name
        self.dtype = dtype
        self.first: Callable[[Row], Any] = operator.attrgetter(attributes[0])
        self.others = tuple(operator.attrgetter(attribute) for attribute in attributes[1:])

    def value(self, row: Row) -> Any:
        """The field's value in `row`."""
        value = self.first(row)
        if value is not ABSENT:
            return value
        for other in self.others:
            value = other(row)
            if value is not ABSENT:
                return value
        return None

    def values(self, rows: Sequence[Row]) -> list[Any]:
        """The field's value in each of `rows`."""
        values = list(map(self.first, rows))
        if type(ABSENT) in set(map(type, values)):
            return [self.value(row) for row in rows]
        return values

    def fitted(self, values: Sequence[Any]) -> Sequence[Any]:
        """The values as the field's column will give them back."""
        return values


class SingleReader(FieldReader):
    """Reads a field that is kept as float32: a value is the same from its row and from its column."""

    __slots__ = ()

    def value(self, row: Row) -> Any:
        """The field's value in `row`, rounded."""
        return columns.singles((super().value(row),))[0]

    def fitted(self, values: Sequence[Any]) -> Sequence[Any]:
        """The values, rounded."""
        return columns.singles(values)


class Readers(tuple[FieldReader, ...]):
    """The readers of a topic's declared fields, in order."""

    __slots__ = ()

    def columns(self, rows: Sequence[Row]) -> Sequence[Sequence[Any]]:
        """The values of every field, one sequence each; a subclass that knows its rows does it faster."""
        return [reader.values(rows) for reader in self]


class Segment:
    """An append-only run of records with one column per field."""

    __slots__ = ("_lock", "capacity", "columns", "fields", "home", "tail")

    def __init__(self, fields: Readers, capacity: int, home: places.Home | None = None) -> None:
        self.fields = fields
        self.capacity = capacity
        self.home = home or places.HeapHome(capacity)
        self.columns: list[columns.Column | None] = [None] * len(fields)
        # (count of the records before the first kept row, rows): swapped as one, so readers need no lock.
        self.tail: tuple[int, list[Row]] = (0, [])
        self._lock = threading.Lock()

    @property
    def count(self) -> int:
        """Records so far."""
        base, rows = self.tail
        return base + len(rows)

    def column(self, field: int, count: int) -> columns.Column:
        """The column of a field, holding at least the first `count` records."""
        column = self.columns[field]
        if column is not None and column.count >= count:
            return column
        with self._lock:
            return self._filled(field, count)

    def padded(self, field: int, front: float, *, missing: int, count: int) -> places.Array | None:
        """The first `count` records behind `missing` times `front`; None if they are not numbers."""
        column = self.column(field, count)
        if not isinstance(column, columns.NumberColumn):
            return None
        with self._lock:
            return column.padded(front, missing=missing, stop=count)

    def value(self, field: int, index: int) -> Any:
        """The value of a field in record `index`."""
        base, rows = self.tail
        if index >= base:
            return self.fields[field].value(rows[index - base])
        return self.column(field, index + 1).value(index)

    def rows_values(self, field: int, start: int, stop: int) -> Sequence[Any] | None:
        """The values of records start..stop, read from their rows; None if some are in columns alone."""
        base, rows = self.tail
        if start < base:
            return None
        reader = self.fields[field]
        return reader.fitted(reader.values(rows[start - base : stop - base]))

    def is_numeric(self, field: int, count: int) -> bool:
        """Whether each of the first `count` records has a number or a bool in this field."""
        column = self.column(field, count)
        if isinstance(column, columns.NumberColumn):
            return column.first_null >= count
        return padding.is_numeric(column.values(0, count))

    def settle(self) -> None:
        """Move all rows into columns."""
        with self._lock:
            base, rows = self.tail
            count = base + len(rows)
            for field, values in enumerate(self.fields.columns(rows) if rows else ()):
                column = self.columns[field]
                filled = base if column is None else column.count
                if filled < count:
                    self._extend(field, values[filled - base :] if filled > base else values)
            self.tail = (count, [])

    def _filled(self, field: int, count: int) -> columns.Column:
        column = self.columns[field]
        base, rows = self.tail
        filled = 0 if column is None else column.count
        if column is not None and filled >= count:
            return column
        return self._extend(field, self.fields[field].values(rows[filled - base : count - base]))

    def _extend(self, field: int, values: Sequence[Any]) -> columns.Column:
        column, reader = self.columns[field], self.fields[field]
        if column is None:
            column = columns.column_for(values, self.home.place(field), reader.dtype)
        column = self.columns[field] = column.extend(reader.fitted(values))
        return column

    @property
    def nbytes(self) -> int:
        """Bytes of the columns and, roughly, of the rows not yet in them."""
        kept = sum(column.nbytes for column in self.columns if column is not None)
        return kept + len(self.tail[1]) * (100 + 60 * len(self.fields))


def block_rows_for(window_size: int) -> int:
    """Rows that are moved into columns at once: more for a larger window, where they weigh less."""
    return max(BLOCK_ROWS, min(MOST_BLOCK_ROWS, window_size // 64))


def capacity_for(window_size: int) -> int:
    """Records a segment holds before the newest are copied on: a little more than the window."""
    return window_size + max(BLOCK_ROWS, window_size // 7)


def segment_for(fields: Readers, window_size: int, memory: places.Memory) -> Segment:
    """An empty segment for windows of `window_size`."""
    capacity = capacity_for(window_size)
    return Segment(fields, capacity, memory.home(fields=len(fields), size=window_size, capacity=capacity))


def successor(
    segment: Segment,
    window_size: int,
    fields: Readers | None = None,
    *,
    most: int | None = None,
    memory: places.Memory = places.HEAP,
) -> Segment:
    """A new segment for windows of `window_size` that begins with as many, or `most`, newest records.

    With other `fields`, columns are taken over by name and a new field is null in the records kept.
    """
    following = segment_for(fields or segment.fields, window_size, memory)
    count = segment.count
    start = max(0, count - (window_size if most is None else most))
    base, rows = segment.tail
    if fields is None and window_size <= SMALL_WINDOW and start >= base:
        following.tail = (0, rows[start - base :])
        return following
    segment.settle()
    by_name = {reader.name: column for reader, column in zip(segment.fields, segment.columns, strict=True)}
    for index, reader in enumerate(following.fields):
        column = by_name.get(reader.name) or columns.nulls(count)
        following.columns[index] = columns.renewed(
            column, start, following.home.place(index), dtype=reader.dtype
        )
    following.tail = (count - start, [])
    return following


def joined(first: Segment, second: Segment, window_size: int, memory: places.Memory = places.HEAP) -> Segment:
    """A new segment: the newest records of `first`, then those of `second` (same fields)."""
    joint = successor(first, window_size, memory=memory)
    joint.settle()
    second.settle()
    start = max(0, second.count - window_size)
    for index, column in enumerate(second.columns):
        if column is not None:
            held = joint.columns[index] or columns.nulls(joint.count)
            joint.columns[index] = held.extend(column.values(start, second.count))
    joint.tail = (joint.count + second.count - start, [])
    return joint
