"""One field's values, oldest first, as an append-only column.

Three kinds, each able to hold what the one before cannot: numbers (float64 or float32, null as NaN),
codes (int32 into a list of distinct scalars), objects (anything). A column that meets a value it cannot
hold returns the next kind holding all values; views taken before stay valid, for no buffer is ever
changed below the count that it was viewed at.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_NUMERIC_TYPES = frozenset({int, float, type(None)})
_SCALAR_TYPES = frozenset({int, float, bool, str, type(None)})
_PLAIN_KEY_TYPES = frozenset({str, type(None)})
_EXACT_INTEGERS = 2.0**53  # float64 holds every smaller integer exactly
_EXACT_INTEGERS_SINGLE = 2.0**24
_FIRST_ALLOCATION = 64
_COMPACT_ABOVE = 256


def _grown(array: Array, needed: int, capacity: int) -> Array:
    """A larger copy of `array` with room for `needed` values, at most `capacity` if that is enough."""
    length = max(_FIRST_ALLOCATION, len(array))
    while length < needed:
        length *= 2
    larger = np.empty(max(needed, min(length, capacity)), dtype=array.dtype)
    larger[: len(array)] = array
    return larger


class NumberColumn:
    """Numbers and nulls. Reads give ints as long as every number was one, else floats.

    A short window is padded by a `front` kept before the first value, so that reading it padded copies
    nothing; a front of zeros is memory that the system hands out untouched.
    """

    __slots__ = ("_front", "_front_size", "array", "capacity", "count", "integral")

    def __init__(self, capacity: int, dtype: str = "float64") -> None:
        self.capacity = capacity
        self.array: Array = np.empty(0, dtype=dtype)
        self.count = 0
        self.integral = True
        self._front: Array = self.array
        self._front_size = 0

    def extend(self, values: Sequence[Any]) -> "Column":
        """Append `values`; return the column that holds all of them, this one or its successor."""
        if len(values) == 1 and type(values[0]) is float and self.count < len(self.array):
            self.array[self.count] = values[0]
            self.integral = False
            self.count += 1
            return self
        types = set(map(type, values))
        if not types <= _NUMERIC_TYPES:
            return _successor(self).extend(values)
        end = self.count + len(values)
        if end > len(self.array):
            self._move(_grown(self.array, end, self.capacity))
        try:
            self.array[self.count : end] = values
        except OverflowError:
            return _successor(self).extend(values)
        if int in types and (np.abs(self.array[self.count : end]) >= self._exact_below()).any():
            return _successor(self).extend(values)
        if float in types:
            self.integral = False
        self.count = end
        return self

    def _exact_below(self) -> float:
        return _EXACT_INTEGERS if self.array.itemsize == 8 else _EXACT_INTEGERS_SINGLE

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
            size = missing
            whole = np.zeros(size + max(len(self.array), self.capacity), dtype=self.array.dtype)
            if front != 0.0:
                whole[:size] = front
            whole[size : size + self.count] = self.array[: self.count]
            self._front, self._front_size, self.array = whole, size, whole[size:]
        view = self._front[size - missing : size + stop]
        view.flags.writeable = False
        return view

    def value(self, index: int) -> Any:
        """One value as a Python scalar."""
        number = float(self.array[index])
        if number != number:
            return None
        return int(number) if self.integral else number

    def values(self, start: int, stop: int) -> list[Any]:
        """Values start..stop as Python scalars."""
        view = self.array[start:stop]
        numbers: list[Any] = view.tolist()
        if self.integral:
            return [None if number != number else int(number) for number in numbers]
        if not np.isnan(view).any():
            return numbers
        return [None if number != number else number for number in numbers]

    def tail(self, start: int, capacity: int) -> "NumberColumn":
        """A new column with a copy of the values from `start` on."""
        column = NumberColumn(capacity, str(self.array.dtype))
        kept = self.array[start : self.count]
        array = np.empty(max(capacity, len(kept)), dtype=self.array.dtype)
        array[: len(kept)] = kept
        column._move(array)
        column.count, column.integral = len(kept), self.integral
        return column

    @property
    def nbytes(self) -> int:
        """Bytes of the values; what was reserved beyond them is not in memory until it is written."""
        return self.count * self.array.itemsize


class CodeColumn:
    """Scalars of any type, each distinct one kept once."""

    __slots__ = ("array", "capacity", "codes", "count", "distinct")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.array: Array = np.empty(0, dtype=np.int32)
        self.count = 0
        self.distinct: list[Any] = []
        self.codes: dict[Any, int] = {}

    def extend(self, values: Sequence[Any]) -> "Column":
        """Append `values`; return the column that holds all of them, this one or its successor."""
        types = set(map(type, values))
        if not types <= _SCALAR_TYPES:
            return _successor(self).extend(values)
        end = self.count + len(values)
        if end > len(self.array):
            self.array = _grown(self.array, end, self.capacity)
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
        return object_array(self.values(start, stop))

    def value(self, index: int) -> Any:
        """One value as it came."""
        return self.distinct[self.array[index]]

    def values(self, start: int, stop: int) -> list[Any]:
        """Values start..stop as they came."""
        return [self.distinct[code] for code in self.array[start:stop].tolist()]

    def tail(self, start: int, capacity: int) -> "CodeColumn":
        """A new column with a copy of the values from `start` on, and no distinct value they lack."""
        column = CodeColumn(capacity)
        kept = self.array[start : self.count]
        column.array = np.empty(max(capacity, len(kept)), dtype=np.int32)
        if len(self.distinct) > _COMPACT_ABOVE:
            used, kept = np.unique(kept, return_inverse=True)
            column.distinct = [self.distinct[code] for code in used.tolist()]
        else:
            column.distinct = list(self.distinct)
        for value in column.distinct:
            column.codes[_key(value)] = len(column.codes)
        column.array[: len(kept)] = kept
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

    __slots__ = ("array", "capacity", "count")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.array: Array = np.empty(0, dtype=object)
        self.count = 0

    def extend(self, values: Sequence[Any]) -> "Column":
        """Append `values`; this kind holds anything."""
        end = self.count + len(values)
        if end > len(self.array):
            self.array = _grown(self.array, end, self.capacity)
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

    def tail(self, start: int, capacity: int) -> "ObjectColumn":
        """A new column with the values from `start` on."""
        column = ObjectColumn(capacity)
        kept = self.array[start : self.count]
        column.array = np.empty(max(capacity, len(kept)), dtype=object)
        column.array[: len(kept)] = kept
        column.count = len(kept)
        return column

    @property
    def nbytes(self) -> int:
        """Bytes of the buffer, and of the objects roughly."""
        return self.array.nbytes + 64 * self.count


Column = NumberColumn | CodeColumn | ObjectColumn


def column_for(values: Sequence[Any], *, capacity: int, dtype: str = "float64") -> Column:
    """The narrowest empty column for a field whose first values are these."""
    types = set(map(type, values))
    if types <= _NUMERIC_TYPES:
        return NumberColumn(capacity, dtype)
    return CodeColumn(capacity) if types <= _SCALAR_TYPES else ObjectColumn(capacity)


def nulls(count: int, capacity: int) -> Column:
    """A column of `count` nulls."""
    return NumberColumn(capacity).extend([None] * count)


def _successor(column: NumberColumn | CodeColumn) -> Column:
    """The next wider kind, holding the same values."""
    wider: Column = (
        CodeColumn(column.capacity) if isinstance(column, NumberColumn) else ObjectColumn(column.capacity)
    )
    return wider.extend(column.values(0, column.count))


def object_array(values: Iterable[Any]) -> Array:
    """A one-dimensional array of the values as they are, lists included."""
    kept = list(values)
    array = np.empty(len(kept), dtype=object)
    for index, value in enumerate(kept):
        array[index] = value
    return array
