"""Fills a worker's files to full windows, by the worker's own code: what a week of records would have left.

A worker has run on a few real records and was stopped in order; its checkpoints have true positions. Each
window's file is replaced by one of the full size that ends with those records; invented ones are before them.
"""

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from analysis_module import reading
from analysis_worker import assembling
from analysis_worker.engine import columns, cuts, segments
from analysis_worker.engine.places import Array, Part
from analysis_worker.engine.records import TopicPartition
from analysis_worker.state import checkpoints, describing, segment_files, store

LEAST_WINDOW = store.LEAST_ROWS
"""Smaller windows have no files."""
_MOST_BYTES = 2**50
_ROW_BYTES = 4 + 8 + 8
"""A station's code and two numbers."""


def needed_bytes(stations: int, window: int) -> int:
    """What the full windows of both topics take of a disk, with room for the records that come on top."""
    return int(2 * stations * window * _ROW_BYTES * 1.2)


def free_bytes(directory: Path) -> int:
    """What a file system has left for them; a part of it the worker leaves to others."""
    usage = shutil.disk_usage(directory)
    return max(0, usage.free - int(usage.total * store.LEAVE_FREE))


def own_directory(root: Path) -> Path:
    """Where below the state directory the only worker has its files; ValueError without exactly one."""
    (only,) = {path.parent for path in root.rglob("slot-*.checkpoint")}
    return only


def fill(root: Path, spec: Mapping[str, Any], told: Callable[[int], None] = lambda done: None) -> int:
    """Make all windows full; how many there are. Raises OSError if the disk does not have the room."""
    assembly = assembling.assemble(reading.read_spec(dict(spec)))
    readers = {
        source.topic: assembly.engine_settings.readers[index]
        for index, source in enumerate(assembly.wiring.inputs)
    }
    files = store.Store(own_directory(root), _MOST_BYTES)
    files.open()
    done = 0
    try:
        for slot, checkpoint in files.find(sorted(files.slots()), _source(files)).checkpoints.items():
            topics = {}
            for name, topic in checkpoint.topics.items():
                windows = []
                for window in topic.windows:
                    windows.append(_full(files, topic, window, readers[name]))
                    done += 1
                    told(done)
                topics[name] = msgspec.structs.replace(topic, windows=windows)
            files.write(msgspec.structs.replace(checkpoint, slot=slot, topics=topics))
        files.sweep()
        files.proven()
    finally:
        files.close()
    return done


def _source(files: store.Store) -> str:
    path = next(files.directory.glob("slot-*.checkpoint"))
    return checkpoints.decode(path.read_bytes()).source


def _full(
    files: store.Store, topic: checkpoints.Topic, kept: checkpoints.Window, readers: segments.Readers
) -> checkpoints.Window:
    """A window that ends with the records of the one that was kept, in a file of its own."""
    small = files.segment(kept, topic, readers, check=True)
    home = files.home(fields=len(readers), size=topic.size, capacity=topic.capacity)
    assert isinstance(home, segment_files.SegmentFile)
    full = segments.Segment(readers, topic.capacity, home)
    for field, column in enumerate(small.columns):
        assert column is not None
        full.columns[field] = _filled(home, field, column, topic.size)
    full.tail = (topic.size, [])
    floors = {TopicPartition(name, number): offset for name, number, offset in kept.floors}
    told = describing.described(cuts.WindowCut(kept.station, kept.seen, full, topic.size, floors))
    assert told is not None
    return told


def _filled(home: segment_files.SegmentFile, field: int, column: columns.Column, size: int) -> columns.Column:
    assert not isinstance(column, columns.ObjectColumn)
    part = Part.CODES if isinstance(column, columns.CodeColumn) else Part.NUMBERS
    kept = column.array[: column.count]
    if home.allocate(field, part, kept.itemsize, size) is None:
        raise OSError(f"no room for {home.path}")
    room = home.view(field, part, kept.dtype, size)
    room[: size - len(kept)] = 0 if part is Part.CODES else invented(size - len(kept), seed=len(kept) + field)
    room[size - len(kept) :] = kept
    if isinstance(column, columns.CodeColumn):
        return columns.CodeColumn.of(home.place(field), room, column.distinct)
    return columns.NumberColumn.of(home.place(field), room, kinds=column.kinds, first_null=column.first_null)


def invented(count: int, *, seed: int) -> Array:
    """Numbers as a station may have sent them: no whole ones, none the same as the one before."""
    steps: Array = (np.arange(count, dtype="float64") * 7 + seed) % 160 + 20.25
    return steps


def as_after_reboot(root: Path) -> None:
    """Let the checkpoints say that they were written before a reboot: each value's checksum is looked at."""
    for path in own_directory(root).glob("slot-*.checkpoint"):
        written = checkpoints.decode(path.read_bytes())
        path.write_bytes(checkpoints.encode(msgspec.structs.replace(written, boot="another")))


def forget_cached(root: Path) -> None:
    """Have the files written to the disk and out of the page cache, as on a machine that just started."""
    for path in own_directory(root).iterdir():
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def disk_bytes(root: Path) -> int:
    """What the files take of the disk."""
    return sum(path.stat().st_blocks * 512 for path in own_directory(root).iterdir())


def remove(root: Path) -> None:
    """Give the room back at once."""
    shutil.rmtree(root)
