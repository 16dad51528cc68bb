"""Where the columns of a window lie: on the heap, or wherever a `Memory` puts them (in files: `state/`)."""

import enum
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_FIRST_ALLOCATION = 64


class Part(enum.Enum):
    """What of a column needs room."""

    NUMBERS = "numbers"
    FLAGS = "flags"  # of each number, whether it came as an int
    CODES = "codes"


class Place(Protocol):
    """Room for one column of at most `capacity` values, more only if they are held already."""

    @property
    def capacity(self) -> int:
        """How many values there will be."""

    def grown(self, part: Part, held: Array, needed: int) -> Array:
        """Room for at least `needed` values that begins with those of `held`, which stays as it is.

        What was returned for the same part before may be the beginning of it: the values in it stay.
        """

    def fronted(self, array: Array, value: float) -> tuple[Array, int] | None:
        """The numbers in `array` with as many `value` before them as there is room for, and how many.

        None if there is no such room: the caller makes it.
        """


class Home(Protocol):
    """Where the columns of one segment lie."""

    def place(self, field: int) -> Place:
        """Room for the column of a field."""


class Memory(Protocol):
    """Makes homes for the segments of one window, one after the other."""

    def home(self, *, fields: int, size: int, capacity: int) -> Home:
        """A home for a segment of a window of `size` records."""


class Heap:
    """Room on the heap."""

    __slots__ = ("capacity",)

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity

    def grown(self, part: Part, held: Array, needed: int) -> Array:
        """A larger copy of `held`, doubled as long as the capacity is more."""
        length = max(_FIRST_ALLOCATION, len(held))
        while length < needed:
            length *= 2
        larger = np.empty(max(needed, min(length, self.capacity)), dtype=held.dtype)
        larger[: len(held)] = held
        return larger

    def fronted(self, array: Array, value: float) -> None:
        """There is none."""
        return None


class HeapHome:
    """A segment whose columns are all on the heap."""

    __slots__ = ("_capacity",)

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity

    def place(self, field: int) -> Heap:
        """Room of its own for each column."""
        return Heap(self._capacity)


class _HeapMemory:
    """Everything is on the heap."""

    def home(self, *, fields: int, size: int, capacity: int) -> HeapHome:
        """A home on the heap."""
        return HeapHome(capacity)


HEAP: Final[Memory] = _HeapMemory()
