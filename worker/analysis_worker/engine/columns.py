"""One field's values, oldest first, as an append-only column.

Three kinds, each able to hold what the one before cannot: numbers (float64 or float32, null as NaN),
codes (int32 into a list of distinct scalars), objects (anything). A column that meets a value it cannot
hold returns the next kind holding all values; views taken before stay valid, for no buffer is ever
changed below the count that it was viewed at.
"""

import array
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from analysis_worker.engine.places import Array, Heap, Part, Place

_NULL = type(None)
_NUMERIC_TYPES = frozenset({int, float, _NULL})
_SCALAR_TYPES = frozenset({int, float, bool, str, _NULL})
_PLAIN_KEY_TYPES = frozenset({str, _NULL})
_EXACT_INTEGERS = 2.0**53  # float64 holds every smaller integer exactly
_EXACT_INTEGERS_SINGLE = 2.0**24


class NumberColumn:
    """Numbers and nulls, each read back as the int or the float that it came as.

    A short window is padded by a `front` kept before the first value, so that reading it padded copies
    nothing; a front of zeros is memory that the system hands out untouched.
    """

    __slots__ = ("_front", "_front_size", "_ints", "array", "count", "first_null", "place")

    def __init__(self, place: Place, dtype: str = "float64") -> None:
        self.place = place
        self.array: Array = np.empty(0, dtype=dtype)
        self.count = 0
        self.first_null = sys.maxsize  # index of the oldest null
        # Which are ints: not known while all are null, all of them, none, or a flag for each value.
        self._ints: bool | Array | None = None
        self._front: Array = self.array
        self._front_size = 0

    @classmethod
    def of(cls, place: Place, array: Array, *, kinds: bool | Array | None, first_null: int) -> "NumberColumn":
        """A column that was kept: its values, and what `kinds` and `first_null` were."""
        column = cls(place, str(array.dtype))
        column._move(array)
        column.count, column._ints, column.first_null = len(array), kinds, first_null
        return column

    @property
    def kinds(self) -> bool | Array | None:
        """Which of the values came as ints: all, none, a flag for each, or None while all are null."""
        return self._ints

    def extend(self, values: Sequence[Any]) -> "Column":
        """Append `values`; return the column that holds all of them, this one or its successor."""
        if (
            len(values) == 1
            and type(values[0]) is float
            and self._ints is False
            and self.count < len(self.array)
        ):
            self.array[self.count] = values[0]
            self.count += 1
            return self
        types = set(map(type, values))
        if not types <= _NUMERIC_TYPES:
            return _successor(self).extend(values)
        end = self.count + len(values)
        if end > len(self.array):
            self._move(self.place.grown(Part.NUMBERS, self.array, end))
        try:
            self.array[self.count : end] = values
        except OverflowError:
            return _successor(self).extend(values)
        if int in types and self._rounds(values, self.array[self.count : end]):
            return _successor(self).extend(values)
        ints = self._ints
        if (ints is not False or int in types) and (ints is not True or float in types):
            self._note_kinds(values, types, end)
        if _NULL in types and self.first_null == sys.maxsize:
            self.first_null = self.count + values.index(None)
        self.count = end
        return self

    def _note_kinds(self, values: Sequence[Any], types: set[type], end: int) -> None:
        """Remember which of the new values are ints: one by one only if there are floats too."""
        flags = self._ints
        if not isinstance(flags, np.ndarray):
            kinds = {kind is int for kind in types if kind is not _NULL}
            if flags is not None:
                kinds.add(flags)
            if len(kinds) < 2:
                self._ints = kinds.pop() if kinds else None
                return
            before = np.full(self.count, bool(flags))  # all that came before are of one kind
            flags = self.place.grown(Part.FLAGS, before, len(self.array))
        elif len(flags) < end:
            flags = self.place.grown(Part.FLAGS, flags, end)
        flags[self.count : end] = [type(value) is int for value in values]
        self._ints = flags

    def _rounds(self, values: Sequence[Any], stored: Array) -> bool:
        """Whether an integer among the values may not be what was stored for it."""
        exact_below = _EXACT_INTEGERS if stored.itemsize == 8 else _EXACT_INTEGERS_SINGLE
        if not (np.abs(stored) >= exact_below).any():
            return False
        return any(type(value) is int and abs(value) >= exact_below for value in values)

    def _move(self, array: Array) -> None:
        self.array = self._front = array
        self._front_size = 0

    def view(self, start: int, stop: int) -> Array:
        """Values start..stop as a read-only view."""
        view = self.array[start:stop]
        view.flags.writeable = False
        return view

    def padded(self, front: float, *, missing: int, stop: int) -> Array:
        """The first `stop` values behind `missing` times `front`, as a read-only view.

        The first call for a front costs the padding's length, the next ones nothing.
        """
        size = self._front_size
        if size < missing or (
            self._front[size - 1] != front and not (front != front and np.isnan(self._front[size - 1]))
        ):
            whole, size = self.place.fronted(self.array, front) or self._fronted(front, missing)
            self._front, self._front_size, self.array = whole, size, whole[size:]
        view = self._front[size - missing : size + stop]
        view.flags.writeable = False
        return view

    def _fronted(self, front: float, size: int) -> tuple[Array, int]:
        whole = np.zeros(size + max(len(self.array), self.place.capacity), dtype=self.array.dtype)
        if front != 0.0:
            whole[:size] = front
        whole[size : size + self.count] = self.array[: self.count]
        return whole, size

    def value(self, index: int) -> Any:
        """One value as a Python scalar."""
        number = float(self.array[index])
        if number != number:
            return None
        ints = self._ints
        return int(number) if ints is True or (isinstance(ints, np.ndarray) and ints[index]) else number

    def values(self, start: int, stop: int) -> list[Any]:
        """Values start..stop as Python scalars."""
        view = self.array[start:stop]
        numbers: list[Any] = view.tolist()
        ints = self._ints
        if isinstance(ints, np.ndarray):
            flagged = zip(numbers, ints[start:stop].tolist(), strict=True)
            return [None if number != number else int(number) if flag else number for number, flag in flagged]
        if ints:
            return [None if number != number else int(number) for number in numbers]
        if not np.isnan(view).any():
            return numbers
        return [None if number != number else number for number in numbers]

    def tail(self, start: int, place: Place) -> "Column":
        """A new column with a copy of the values from `start` on."""
        column = NumberColumn(place, str(self.array.dtype))
        kept = self.array[start : self.count]
        column._move(place.grown(Part.NUMBERS, kept, max(place.capacity, len(kept))))
        column.count, column._ints = len(kept), self._ints
        if isinstance(self._ints, np.ndarray):
            flags = self._ints[start : self.count]
            column._ints = place.grown(Part.FLAGS, flags, len(column.array)) if flags.any() else False
        if self.first_null < self.count:
            nulls = np.flatnonzero(np.isnan(kept))
            column.first_null = int(nulls[0]) if len(nulls) else sys.maxsize
        return column

    @property
    def nbytes(self) -> int:
        """Bytes of the values; what was reserved beyond them is not in memory until it is written."""
        return self.count * (self.array.itemsize + isinstance(self._ints, np.ndarray))


class CodeColumn:
    """Scalars of any type, each distinct one kept once."""

    __slots__ = ("array", "codes", "count", "distinct", "place")

    def __init__(self, place: Place) -> None:
        self.place = place
        self.array: Array = np.empty(0, dtype=np.int32)
        self.count = 0
        self.distinct: list[Any] = []
        self.codes: dict[Any, int] = {}

    @classmethod
    def of(cls, place: Place, array: Array, distinct: Sequence[Any]) -> "CodeColumn":
        """A column that was kept: its codes, and the values that they stand for."""
        column = cls(place)
        column.array, column.count, column.distinct = array, len(array), list(distinct)
        column.codes = {_key(value): code for code, value in enumerate(distinct)}
        return column

    def extend(self, values: Sequence[Any]) -> "Column":
        """Append `values`; return the column that holds all of them, this one or its successor."""
        types = set(map(type, values))
        if not types <= _SCALAR_TYPES:
            return _successor(self).extend(values)
        end = self.count + len(values)
        if end > len(self.array):
            self.array = self.place.grown(Part.CODES, self.array, end)
        self.array[self.count : end] = self._codes(values, types)
        self.count = end
        return self

    def _codes(self, values: Sequence[Any], types: set[type]) -> list[int]:
        if types <= _PLAIN_KEY_TYPES:
            try:
                return list(map(self.codes.__getitem__, values))
            except KeyError:
                pass
        return [self._code(value) for value in values]

    def _code(self, value: Any) -> int:
        key = _key(value)
        code = self.codes.get(key)
        if code is None:
            code = self.codes[key] = len(self.distinct)
            self.distinct.append(value)
        return code

    def view(self, start: int, stop: int) -> Array:
        """Values start..stop as a new object array."""
        distinct: Array = object_array(self.distinct)[self.array[start:stop]]
        return distinct

    def value(self, index: int) -> Any:
        """One value as it came."""
        return self.distinct[self.array[index]]

    def values(self, start: int, stop: int) -> list[Any]:
        """Values start..stop as they came."""
        return [self.distinct[code] for code in self.array[start:stop].tolist()]

    def tail(self, start: int, place: Place) -> "Column":
        """A new column of the values from `start` on, with no distinct value that none of them has.

        Numbers again if no other value is left: one stray text costs no more than its window.
        """
        kept = self.array[start : self.count]
        used = np.flatnonzero(np.bincount(kept, minlength=len(self.distinct)))
        distinct = [self.distinct[code] for code in used.tolist()]
        if all(type(value) in _NUMERIC_TYPES and is_exact(value) for value in distinct):
            return NumberColumn(place).extend(self.values(start, self.count))
        renumbered = np.empty(len(self.distinct), dtype=np.int32)
        renumbered[used] = np.arange(len(used), dtype=np.int32)
        room = place.grown(Part.CODES, renumbered[kept], max(place.capacity, len(kept)))
        column = CodeColumn.of(place, room, distinct)
        column.count = len(kept)
        return column

    @property
    def nbytes(self) -> int:
        """Bytes of the buffer, and of the distinct values roughly."""
        return self.array.nbytes + 100 * len(self.distinct)


def _key(value: Any) -> Any:
    # True, 1 and 1.0 are equal and hash alike: numbers carry their type in the key.
    return value if type(value) in _PLAIN_KEY_TYPES else (type(value), value)


class ObjectColumn:
    """Values of any kind: lists, objects."""

    __slots__ = ("array", "count", "place")

    def __init__(self, place: Place) -> None:
        self.place = place
        self.array: Array = np.empty(0, dtype=object)
        self.count = 0

    def extend(self, values: Sequence[Any]) -> "Column":
        """Append `values`; this kind holds anything."""
        end = self.count + len(values)
        if end > len(self.array):
            self.array = Heap(self.place.capacity).grown(Part.CODES, self.array, end)  # no file holds objects
        self.array[self.count : end] = object_array(values)
        self.count = end
        return self

    def view(self, start: int, stop: int) -> Array:
        """Values start..stop as a read-only view."""
        view = self.array[start:stop]
        view.flags.writeable = False
        return view

    def value(self, index: int) -> Any:
        """One value as it came."""
        return self.array[index]

    def values(self, start: int, stop: int) -> list[Any]:
        """Values start..stop as they came."""
        values: list[Any] = self.array[start:stop].tolist()
        return values

    def tail(self, start: int, place: Place) -> "Column":
        """A new column with the values from `start` on, of a narrower kind if that holds them."""
        values = self.values(start, self.count)
        return column_for(values, place).extend(values)

    @property
    def nbytes(self) -> int:
        """Bytes of the buffer, and of the objects roughly."""
        return self.array.nbytes + 64 * self.count


Column = NumberColumn | CodeColumn | ObjectColumn


def column_for(values: Sequence[Any], place: Place, dtype: str = "float64") -> Column:
    """The narrowest empty column for a field whose first values are these."""
    types = set(map(type, values))
    if types <= _NUMERIC_TYPES:
        return NumberColumn(place, dtype)
    return CodeColumn(place) if types <= _SCALAR_TYPES else ObjectColumn(place)


def nulls(count: int) -> Column:
    """A column of `count` nulls."""
    return NumberColumn(Heap(count)).extend([None] * count)


def renewed(column: Column, start: int, place: Place, *, dtype: str) -> Column:
    """A new column of the values from `start` on, in the width that is asked for now."""
    kept = column.tail(start, place)
    if not isinstance(kept, NumberColumn) or kept.array.dtype == dtype:
        return kept
    values = kept.values(0, kept.count)
    return NumberColumn(place, dtype).extend(values if dtype == "float64" else singles(values))


def is_exact(value: Any) -> bool:
    """Whether a float64 holds the value as it is: a number, bool or null, and no integer from 2**53 on."""
    if isinstance(value, int):
        return -_EXACT_INTEGERS < value < _EXACT_INTEGERS
    return value is None or isinstance(value, float)


def singles(values: Sequence[Any]) -> list[Any]:
    """The values with floats rounded to what a float32 holds; infinite beyond its range."""
    return [array.array("f", (value,))[0] if type(value) is float else value for value in values]


def _successor(column: NumberColumn | CodeColumn) -> Column:
    """The next wider kind, holding the same values."""
    wider: Column = (
        CodeColumn(column.place) if isinstance(column, NumberColumn) else ObjectColumn(column.place)
    )
    return wider.extend(column.values(0, column.count))


def object_array(values: Iterable[Any]) -> Array:
    """A one-dimensional array of the values as they are, lists included."""
    kept = list(values)
    array = np.empty(len(kept), dtype=object)
    for index, value in enumerate(kept):
        array[index] = value
    return array
