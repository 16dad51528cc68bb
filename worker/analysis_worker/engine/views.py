"""A window as a callback sees it: exactly `size` values of one field, oldest first, padded, never changing.

It acts like a list (length, index, slice, iteration, equality, JSON by `list(window)`) and like an ndarray
(`numpy.asarray`, arithmetic, methods such as `mean`). Nothing is copied or computed before it is asked for.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.mixins import NDArrayOperatorsMixin

from analysis_module.spec import Padding
from analysis_worker.engine import columns, padding
from analysis_worker.engine.windows import Head

Array = npt.NDArray[Any]
_LINEAR = Padding.LINEAR
_NAN = float("nan")


class Window(NDArrayOperatorsMixin, Sequence[Any]):
    """A read-only window of one field."""

    __slots__ = ("_array", "_field", "_head", "_padding", "_size", "_stretched")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, head: Head | None, field: int, size: int, padding: Padding) -> None:
        self._head = head
        self._field = field
        self._size = size
        self._padding = padding
        self._array: Array | None = None
        self._stretched: list[Any] | None = None

    def __len__(self) -> int:
        return self._size

    @property
    def present(self) -> int:
        """How many of the values came from records; the others are padding, in front."""
        return 0 if self._head is None else min(self._head[1], self._size)

    def tolist(self) -> list[Any]:
        """The values as a new list of Python values."""
        return padding.padded(self._values(), self._size, self._padding)

    def numpy(self) -> Array:
        """The values as a read-only array.

        float64, or float32 where the field asks for it, with null as NaN and a bool as 0 or 1; objects if
        a value is something else, or an integer from 2**53 on.
        """
        if self._array is None:
            self._array = self._computed()
            self._array.flags.writeable = False
        return self._array

    def _column(self) -> tuple[columns.Column, int, int] | None:
        if self._head is None or not self._head[1]:
            return None
        segment, count = self._head
        return segment.column(self._field, count), max(0, count - self._size), count

    def _values(self) -> Sequence[Any]:
        if self._head is None:
            return []
        segment, count = self._head
        start = max(0, count - self._size)
        values = segment.rows_values(self._field, start, count)
        return segment.column(self._field, count).values(start, count) if values is None else values

    def _computed(self) -> Array:
        held = self._column()
        if held is None:
            filler = padding.filler(self._padding, None, 0)
            return np.full(self._size, _NAN if filler is None else float(filler))
        column, start, stop = held
        full = stop - start == self._size
        if isinstance(column, columns.NumberColumn):
            if full:
                return column.view(start, stop)
            if self._padding is not Padding.LINEAR and (padded := self._padded(column)) is not None:
                return padded
        return _as_array(column.view(start, stop) if full else self.tolist())

    def _padded(self, column: columns.NumberColumn) -> Array | None:
        front = padding.filler(self._padding, column.value(0), column.count)
        assert self._head is not None
        segment, count = self._head
        number = float("nan") if front is None else float(front)
        return segment.padded(self._field, number, missing=self._size - count, count=count)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, int):
            return self._item(index)
        if isinstance(index, slice):
            return self._slice(index)
        return self.numpy()[index]

    def _slice(self, index: slice) -> list[Any]:
        """A slice of the values: what is not in it is not looked at, but for every n-th or interpolated."""
        start, stop, step = index.indices(self._size)
        missing = self._size - self.present
        if step != 1 or (missing and self._padding is Padding.LINEAR):
            return self.tolist()[index]
        front = [self._item(0)] * (min(stop, missing) - start) if start < missing else []
        return front + self._between(max(start, missing), stop)

    def _between(self, start: int, stop: int) -> list[Any]:
        if self._head is None or start >= stop:
            return []
        segment, count = self._head
        before = count - self._size
        values = segment.rows_values(self._field, before + start, before + stop)
        if values is None:
            values = segment.column(self._field, count).values(before + start, before + stop)
        return list(values)

    def _item(self, index: int) -> Any:
        size, head = self._size, self._head
        position = index + size if index < 0 else index
        if not 0 <= position < size:
            raise IndexError(f"window index {index} is outside a window of {size}")
        if head is not None and head[1] >= size:
            return head[0].value(self._field, head[1] - size + position)
        missing = self._size - self.present
        if missing and self._padding is Padding.LINEAR:
            if self._stretched is None:
                self._stretched = self.tolist()
            return self._stretched[position]
        if self._head is None or not self._head[1]:
            return padding.filler(self._padding, None, 0)
        segment, count = self._head
        if position < missing:
            return padding.filler(self._padding, segment.value(self._field, 0), count)
        return segment.value(self._field, count - self._size + position)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.tolist())

    def __eq__(self, other: object) -> Any:
        if isinstance(other, np.ndarray):
            return self.numpy() == other
        if isinstance(other, Sequence) and not isinstance(other, str | bytes):
            return self.tolist() == list(other)
        return NotImplemented

    def __ne__(self, other: object) -> Any:
        equal = self.__eq__(other)
        if isinstance(equal, np.ndarray):
            return ~equal
        return equal if equal is NotImplemented else not equal

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        array = self.numpy()
        if copy is False and dtype is not None and np.dtype(dtype) != array.dtype:
            raise ValueError(f"a window of {array.dtype} cannot become {dtype} without a copy")
        return np.array(array, dtype=dtype, copy=True) if copy or dtype is not None else array

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        arrays = [value.numpy() if isinstance(value, Window) else value for value in inputs]
        return getattr(ufunc, method)(*arrays, **options)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.numpy(), name)

    def __repr__(self) -> str:
        return f"Window({self.tolist()!r})"

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return (list, (self.tolist(),))


def latest(head: Head | None, field: int, size: int, pad: Padding) -> Any:
    """The last value of the window: what `<field>` is in `module_input`."""
    if head is None or not head[1]:
        return padding.filler(pad, None, 0)
    segment, count = head
    value = segment.value(field, count - 1)
    if pad is _LINEAR and count < size and segment.is_numeric(field, count):
        return float(value)
    return value


def _as_array(values: Sequence[Any] | Array) -> Array:
    if all(map(columns.is_exact, values)):
        return np.array([_NAN if value is None else value for value in values], dtype=np.float64)
    return values if isinstance(values, np.ndarray) else columns.object_array(values)
