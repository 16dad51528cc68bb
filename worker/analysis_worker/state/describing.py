"""Between a segment in a file and what a checkpoint says of it, both ways."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from analysis_worker.engine import columns
from analysis_worker.engine.cuts import WindowCut
from analysis_worker.engine.places import Array, Part
from analysis_worker.engine.segments import Readers, Segment
from analysis_worker.state import checkpoints, segment_files


def parts_of(column: checkpoints.Column) -> Mapping[Part, str]:
    """The parts of a column with their types, in the order of its checksums."""
    if column.kind == "codes":
        return {Part.CODES: "int32"}
    numbers = {Part.NUMBERS: column.dtype}
    return numbers | {Part.FLAGS: "bool"} if column.ints == "flags" else numbers


def described(cut: WindowCut) -> checkpoints.Window | None:
    """What a checkpoint says of a window as it was; None if not all of it is in a file.

    Distinct values are written down meanwhile; raises OSError.
    """
    segment, file = cut.segment, cut.segment.home
    if not isinstance(file, segment_files.SegmentFile):
        return None
    kept = []
    for field, column in enumerate(segment.columns):
        told = _told(file, field, column, cut.count)
        if told is None:
            return None
        if isinstance(column, columns.CodeColumn):
            file.tell(field, column.distinct[: told.distinct])
        sums = [file.checksum(field, part, dtype, cut.count) for part, dtype in parts_of(told).items()]
        kept.append(
            checkpoints.Column(told.kind, told.dtype, sums, told.ints, told.first_null, told.distinct)
        )
    floors = [(*place, offset) for place, offset in cut.floors.items()]
    return checkpoints.Window(cut.station, cut.seen, file.path.name, cut.count, floors, kept)


def _told(
    file: segment_files.SegmentFile, field: int, column: columns.Column | None, count: int
) -> checkpoints.Column | None:
    """What kind of column it is, without its checksums; None if not all of it is in the file."""
    if isinstance(column, columns.CodeColumn) and file.holds(field, Part.CODES, column.array):
        return checkpoints.Column("codes", "int32", [], distinct=len(column.distinct))
    if not isinstance(column, columns.NumberColumn) or not file.holds(field, Part.NUMBERS, column.array):
        return None
    kinds = column.kinds  # once: another thread may be adding values
    if isinstance(kinds, np.ndarray) and not file.holds(field, Part.FLAGS, kinds):
        return None
    ints: bool | Literal["flags"] | None = "flags"
    if kinds is None or isinstance(kinds, bool):
        ints = kinds
    first_null = column.first_null if column.first_null < count else -1
    return checkpoints.Column("numbers", str(column.array.dtype), [], ints, first_null)


def verify(file: segment_files.SegmentFile, kept: checkpoints.Window) -> None:
    """Raises Torn if the values are not those that were written."""
    for field, column in enumerate(kept.columns):
        sums = [file.checksum(field, part, dtype, kept.count) for part, dtype in parts_of(column).items()]
        if sums != column.checksums:
            raise segment_files.Torn(f"{kept.file}, field {field}: the checksum is wrong")


def segment_of(file: segment_files.SegmentFile, kept: checkpoints.Window, readers: Readers) -> Segment:
    """The segment whose columns a reopened file holds; raises Torn."""
    if len(kept.columns) != len(readers):
        raise segment_files.Torn(f"{kept.file} has {len(kept.columns)} fields instead of {len(readers)}")
    distinct = file.keep([column.distinct for column in kept.columns])
    segment = Segment(readers, file.shape.capacity, file)
    for field, column in enumerate(kept.columns):
        arrays = {part: file.view(field, part, dtype, kept.count) for part, dtype in parts_of(column).items()}
        segment.columns[field] = _column(file.place(field), column, arrays, distinct[field])
        for part, checksum in zip(arrays, column.checksums, strict=True):
            file.known(field, part, kept.count, checksum)
    segment.tail = (kept.count, [])
    return segment


def _column(
    place: segment_files.FilePlace,
    kept: checkpoints.Column,
    arrays: Mapping[Part, Array],
    distinct: Sequence[Any],
) -> columns.Column:
    if kept.kind == "codes":
        return columns.CodeColumn.of(place, arrays[Part.CODES], distinct)
    kinds = arrays[Part.FLAGS] if kept.ints == "flags" else kept.ints
    first_null = sys.maxsize if kept.first_null < 0 else kept.first_null
    return columns.NumberColumn.of(place, arrays[Part.NUMBERS], kinds=kinds, first_null=first_null)
