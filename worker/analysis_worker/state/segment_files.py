"""One segment's columns in a memory-mapped file, which outlives the process that writes it.

The file has no header: what in it counts, and how far, says the checkpoint of its slot (`checkpoints`). Room
is allocated before it is written, so a full disk is an answer and no signal (posix_fallocate(3)).
"""

import dataclasses
import json
import mmap
import os
import pathlib
import zlib
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from analysis_worker.engine.places import Array, Heap, Part

_PAGE = mmap.PAGESIZE
_LEAST_ROWS, _MOST_ROWS = 512, 32_768
"""Bounds of how many rows more are allocated at once."""


def _pages(size: int) -> int:
    return -(-size // _PAGE) * _PAGE


@dataclasses.dataclass(frozen=True, slots=True)
class Shape:
    """A file's layout: for each field numbers (behind room for a window's padding), flags and codes."""

    fields: int
    size: int
    capacity: int

    def region(self, field: int, part: Part) -> tuple[int, int]:
        """Where a part of a field begins and ends, in bytes."""
        numbers = _pages(8 * (self.size + self.capacity))
        flags, codes = _pages(self.capacity), _pages(4 * self.capacity)
        begin = field * (numbers + flags + codes)
        if part is Part.NUMBERS:
            return begin, begin + numbers
        if part is Part.FLAGS:
            return begin + numbers, begin + numbers + flags
        return begin + numbers + flags, begin + numbers + flags + codes

    def first_row(self, field: int, part: Part, itemsize: int) -> int:
        """Where the first record's value of a part begins, in bytes."""
        return self.region(field, part)[0] + (self.size * itemsize if part is Part.NUMBERS else 0)

    @property
    def total(self) -> int:
        """The file's length in bytes; what was never written takes no room on the disk."""
        return self.region(self.fields, Part.NUMBERS)[0]


class Space(Protocol):
    """Gives bytes of the disk out."""

    def take(self, count: int) -> bool:
        """Whether so many more bytes may be allocated; they are counted then."""

    def give(self, count: int) -> None:
        """So many bytes were not allocated after all."""

    def failed(self, error: OSError) -> None:
        """A file could not be made or allocated."""


class Torn(ValueError):
    """A file does not hold what its checkpoint says: names the file and what is wrong with it."""


class SegmentFile:
    """A home of columns in a file, made when the first column needs room.

    `allocated` are the bytes that it takes of the disk.
    """

    def __init__(self, path: pathlib.Path, shape: Shape, space: Space) -> None:
        self.path = path
        self.shape = shape
        self.allocated = 0
        self._space = space
        self._map: mmap.mmap | None = None
        self._rows: dict[tuple[int, Part], int] = {}  # allocated, by field and part
        self._fronts: dict[int, float] = {}  # what is before the numbers of a field, if not zeros
        self._told = [0] * shape.fields  # distinct values of each field in the file beside this one
        self._checksums: dict[tuple[int, Part], tuple[int, int]] = {}  # rows, checksum of them

    @property
    def values_path(self) -> pathlib.Path:
        """The file of the distinct values that codes stand for: a line for each, [field, value]."""
        return self.path.with_suffix(".values")

    def place(self, field: int) -> "FilePlace":
        """Room for the column of a field."""
        return FilePlace(self, field)

    def open(self) -> None:
        """Map the file, which is made if there is none; raises OSError."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(descriptor).st_size != self.shape.total:
                os.ftruncate(descriptor, self.shape.total)
            self._map = mmap.mmap(descriptor, self.shape.total)
            self.allocated = os.fstat(descriptor).st_blocks * 512
        finally:
            os.close(descriptor)

    def view(self, field: int, part: Part, dtype: Any, rows: int | None = None) -> Array:
        """The values of a part, the first `rows`; numbers without what is before them."""
        whole = self._region(field, part, dtype)
        if part is Part.NUMBERS:
            whole = whole[self.shape.size :]
        return whole[: self.shape.capacity if rows is None else rows]

    def _region(self, field: int, part: Part, dtype: Any) -> Array:
        begin, end = self.shape.region(field, part)
        assert self._map is not None
        return np.frombuffer(self._map, dtype, count=(end - begin) // np.dtype(dtype).itemsize, offset=begin)

    def holds(self, field: int, part: Part, array: Array) -> bool:
        """Whether an array is this file's."""
        return self._map is not None and _address(array) == _address(self.view(field, part, array.dtype))

    def allocate(self, field: int, part: Part, itemsize: int, needed: int) -> int | None:
        """Room on the disk for at least `needed` rows; how many there are now, None if it cannot be had."""
        rows = self._rows.get((field, part), 0)
        if needed > self.shape.capacity:
            return None
        if needed <= rows:
            return rows
        more = min(self.shape.capacity, needed + max(_LEAST_ROWS, min(needed, _MOST_ROWS)))
        before = self.shape.size * itemsize if part is Part.NUMBERS else 0
        begin = self.shape.region(field, part)[0] + before
        if not self._allocated(begin + rows * itemsize, begin + more * itemsize):
            return None
        self._rows[field, part] = more
        return more

    def _allocated(self, begin: int, end: int) -> bool:
        first = begin // _PAGE * _PAGE
        size = _pages(end) - first
        if not self._space.take(size):
            return False
        try:
            if self._map is None:
                self.open()
            descriptor = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
            try:
                os.posix_fallocate(descriptor, first, size)
            finally:
                os.close(descriptor)
        except OSError as error:
            self._space.give(size)
            self._space.failed(error)
            return False
        self.allocated += size
        return True

    def fronted(self, field: int, array: Array, value: float) -> tuple[Array, int] | None:
        """The numbers behind a window's length of `value`; None if there was another value before."""
        size, itemsize = self.shape.size, array.itemsize
        known = self._fronts.get(field)
        if known is None:
            begin = self.shape.region(field, Part.NUMBERS)[0]
            # Zeros are allocated too: in a file system in memory even a read of what was never written needs
            # a page, and without one the process gets SIGBUS.
            if not self._allocated(begin, begin + size * itemsize):
                return None
            if value != 0.0 or self._has_front(field, itemsize):
                self._region(field, Part.NUMBERS, array.dtype)[:size] = value
        elif known is not None and not (known == value or (known != known and value != value)):
            return None
        self._fronts[field] = value
        return self._region(field, Part.NUMBERS, array.dtype)[: size + len(array)], size

    def _has_front(self, field: int, itemsize: int) -> bool:
        """Whether something may stand there from a process before."""
        begin = self.shape.region(field, Part.NUMBERS)[0]
        end = (begin + self.shape.size * itemsize) // _PAGE * _PAGE
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.lseek(descriptor, begin, os.SEEK_DATA) < end
        except OSError:  # no data from there on
            return False
        finally:
            os.close(descriptor)

    # -- what a checkpoint says of it ---------------------------------------------------------------

    def checksum(self, field: int, part: Part, dtype: Any, rows: int) -> int:
        """CRC-32 of a part's first rows; only those are read that have come since the last time."""
        known, checksum = self._checksums.get((field, part), (0, 0))
        if known > rows:
            known, checksum = 0, 0
        checksum = zlib.crc32(self.view(field, part, dtype, rows)[known:].data, checksum)
        self._checksums[field, part] = (rows, checksum)
        return checksum

    def known(self, field: int, part: Part, rows: int, checksum: int) -> None:
        """These rows of a reopened file are taken, and have this checksum: they need not be read again."""
        self._rows[field, part] = rows
        self._checksums.setdefault((field, part), (rows, checksum))

    def tell(self, field: int, distinct: Sequence[Any]) -> None:
        """Write the distinct values down that are not yet; raises OSError."""
        told = self._told[field]
        fresh = distinct[told:]
        if not fresh:
            return
        with self.values_path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps([field, value]) + "\n" for value in fresh)
        self._told[field] = told + len(fresh)

    def told(self) -> list[list[Any]]:
        """Of each field the distinct values written down; raises Torn."""
        if not self.values_path.exists():
            return [[] for _ in range(self.shape.fields)]
        return values_in(self.values_path, self.shape.fields)

    def keep(self, counts: Sequence[int]) -> list[list[Any]]:
        """Of each field the first `counts` distinct values, and only those from now on; raises Torn."""
        kept = [
            first_of(each, count, self.values_path.name)
            for each, count in zip(self.told(), counts, strict=True)
        ]
        if self.values_path.exists():  # what stands behind them would be taken for the next ones
            lines = [json.dumps([field, value]) + "\n" for field, each in enumerate(kept) for value in each]
            fresh = self.values_path.with_suffix(".fresh")
            fresh.write_text("".join(lines), encoding="utf-8")
            fresh.replace(self.values_path)
        self._told = list(counts)
        return kept

    def reopen(self) -> None:
        """Map a file that is there; `known` says what of it is taken. Raises Torn."""
        try:
            size = self.path.stat().st_size
            if size != self.shape.total:
                raise Torn(f"{self.path.name} has {size} bytes instead of {self.shape.total}")
            self.open()
        except OSError as error:
            raise Torn(f"{self.path.name} cannot be read: {error}") from error
        self._space.take(self.allocated)


def values_in(path: pathlib.Path, fields: int) -> list[list[Any]]:
    """Of each field the distinct values in a file of them; raises Torn.

    A last line that has no end is being written, or was when the process was killed: nothing counts it yet.
    """
    values: list[list[Any]] = [[] for _ in range(fields)]
    try:
        for line in path.read_text(encoding="utf-8").split("\n")[:-1]:
            field, value = json.loads(line)
            values[field].append(value)
    except (OSError, ValueError, TypeError, IndexError) as error:
        raise Torn(f"{path.name} cannot be read: {error}") from error
    return values


def first_of(values: Sequence[Any], count: int, name: str) -> list[Any]:
    """The first values of one field; raises Torn, which names the file, if there are fewer."""
    if len(values) < count:
        raise Torn(f"{name} has {len(values)} of {count} values")
    return list(values[:count])


class FilePlace:
    """Room for one column in a segment's file; on the heap if the file cannot have it."""

    __slots__ = ("_field", "_file")

    def __init__(self, file: SegmentFile, field: int) -> None:
        self._file = file
        self._field = field

    @property
    def capacity(self) -> int:
        """How many values there will be."""
        return self._file.shape.capacity

    def grown(self, part: Part, held: Array, needed: int) -> Array:
        """More of the file, where what is held stands already or is copied to."""
        rows = self._file.allocate(self._field, part, held.itemsize, needed)
        if rows is None:
            return Heap(self.capacity).grown(part, held, needed)
        room = self._file.view(self._field, part, held.dtype, rows)
        if _address(held) != _address(room):
            room[: len(held)] = held
        return room

    def fronted(self, array: Array, value: float) -> tuple[Array, int] | None:
        """The room before the numbers, filled; None if they are not in the file."""
        if not self._file.holds(self._field, Part.NUMBERS, array):
            return None
        return self._file.fronted(self._field, array, value)


def _address(array: Array) -> int:
    address: int = array.__array_interface__["data"][0]
    return address
