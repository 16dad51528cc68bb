"""What lies in a directory of windows' files, read beside the workers that write there.

Rows that a checkpoint counts never change, so they may be read while more come. A checkpoint may be replaced
meanwhile and the files that only it named be deleted: what seems wrong is looked at again under the new one.
"""

import dataclasses
import os
import pathlib
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from analysis_worker.engine.places import Part
from analysis_worker.state import checkpoints, describing, segment_files

_MOST_LOOKS = 10
_BLOCK_BYTES = 1 << 20
_READ_ANEW = (
    "the worker reads these windows from Kafka at its next start; delete the file, or import a snapshot"
)


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a file, and what to do about it."""

    file: pathlib.Path
    wrong: str
    mend: str = _READ_ANEW


@dataclasses.dataclass(frozen=True, slots=True)
class SlotFiles:
    """What a slot's checkpoint counts; `disk_bytes` are those that its files take of the disk."""

    slot: int
    topics: tuple[str, ...]
    stations: int
    records: int
    disk_bytes: int
    written_at: float


def directories(state_directory: pathlib.Path) -> list[pathlib.Path]:
    """Each worker's own, which are `<group>/<owner>`; raises OSError if there is no such directory."""
    found = [
        owner
        for group in sorted(state_directory.iterdir())
        if group.is_dir()
        for owner in sorted(group.iterdir())
        if owner.is_dir()
    ]
    return [each for each in found if (each / "lock").exists() or slot_paths(each)]


def slot_paths(directory: pathlib.Path) -> list[pathlib.Path]:
    """The checkpoints' files, by slot."""
    return sorted(directory.glob("slot-*.checkpoint"))


def read(path: pathlib.Path) -> checkpoints.Checkpoint | None:
    """A checkpoint; None if there is none any more. Raises OSError or NotACheckpoint."""
    try:
        return checkpoints.decode(path.read_bytes())
    except FileNotFoundError:
        return None


def slot_files(path: pathlib.Path) -> SlotFiles | None:
    """What a checkpoint's file counts; None if it is gone. Raises OSError or NotACheckpoint."""
    checkpoint = read(path)
    if checkpoint is None:
        return None
    windows = [window for topic in checkpoint.topics.values() for window in topic.windows]
    files = [path.parent / window.file for window in windows]
    beside = [file.with_suffix(".values") for file in files]
    return SlotFiles(
        checkpoint.slot,
        tuple(sorted(checkpoint.topics)),
        len({window.station for window in windows}),
        sum(window.count for window in windows),
        sum(map(disk_bytes, [path, *files, *beside])),
        checkpoint.written_at,
    )


def disk_bytes(path: pathlib.Path) -> int:
    """What a file takes of the disk; nothing if it is gone."""
    try:
        return path.stat().st_blocks * 512
    except FileNotFoundError:
        return 0


Seen = Callable[[int], None]
"""Is told how many bytes more have been looked at."""


def verify(path: pathlib.Path, seen: Seen) -> list[Fault]:
    """What is wrong with a checkpoint and the files that it names; reads all that counts of them."""
    faults: list[Fault] = []
    for _ in range(_MOST_LOOKS):
        try:
            before = path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            return [Fault(path, f"it cannot be read: {error.strerror}", "make it readable for this user")]
        faults = _faults(path, before, seen)
        if not faults or _is_still(path, before):
            return faults
    return faults


def _is_still(path: pathlib.Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except OSError:
        return False


def _faults(path: pathlib.Path, content: bytes, seen: Seen) -> list[Fault]:
    try:
        checkpoint = checkpoints.decode(content)
    except checkpoints.NotACheckpoint as error:
        return [Fault(path, str(error))]
    if path.name != f"slot-{checkpoint.slot:04}.checkpoint":
        return [
            Fault(path, f"it is of slot {checkpoint.slot}", "give it that slot's name again, or delete it")
        ]
    faults = []
    for topic in checkpoint.topics.values():
        for window in topic.windows:
            file = path.parent / window.file
            try:
                _check(WindowFile(path.parent, topic, window), seen)
            except segment_files.Torn as error:
                faults.append(Fault(file, str(error)))
    return faults


def _check(file: "WindowFile", seen: Seen) -> None:
    for field, column in enumerate(file.window.columns):
        for (part, dtype), told in zip(describing.parts_of(column).items(), column.checksums, strict=True):
            checksum = 0
            for block in file.blocks(field, part, dtype, _BLOCK_BYTES // np.dtype(dtype).itemsize):
                checksum = zlib.crc32(block, checksum)
                seen(len(block))
            if checksum != told:
                raise segment_files.Torn(
                    f"field {field}, {part.value}: the checksum of {file.window.count:,} rows is wrong"
                )
    file.values()


class WindowFile:
    """One window's file, only read; what a checkpoint says of it is known."""

    def __init__(self, directory: pathlib.Path, topic: checkpoints.Topic, window: checkpoints.Window) -> None:
        self.path = directory / window.file
        self.window = window
        self.shape = segment_files.Shape(len(window.columns), topic.size, topic.capacity)

    def blocks(self, field: int, part: Part, dtype: str, rows: int, first: int = 0) -> Iterator[bytes]:
        """The rows that count from `first` on, so many at once; raises Torn if the file has them not."""
        itemsize = np.dtype(dtype).itemsize
        begin = self.shape.first_row(field, part, itemsize)
        try:
            with self.path.open("rb") as file:
                length = os.fstat(file.fileno()).st_size
                if length != self.shape.total:
                    raise segment_files.Torn(f"it has {length:,} bytes instead of {self.shape.total:,}")
                for row in range(first, self.window.count, rows):
                    size = min(rows, self.window.count - row) * itemsize
                    yield os.pread(file.fileno(), size, begin + row * itemsize)
        except OSError as error:
            raise segment_files.Torn(f"it cannot be read: {error.strerror}") from error

    def values(self) -> list[list[Any]]:
        """Of each field the distinct values that its codes stand for; raises Torn."""
        wanted = [column.distinct for column in self.window.columns]
        if not any(wanted):
            return [[] for _ in wanted]
        path = self.path.with_suffix(".values")
        values = segment_files.values_in(path, len(wanted))
        return [segment_files.first_of(values[field], count, path.name) for field, count in enumerate(wanted)]


def size_of(path: pathlib.Path) -> int:
    """Bytes of columns that a checkpoint counts; 0 if it cannot be read."""
    try:
        checkpoint = read(path)
    except (OSError, checkpoints.NotACheckpoint):
        return 0
    return sum(
        window.count * np.dtype(dtype).itemsize
        for topic in (checkpoint.topics.values() if checkpoint else ())
        for window in topic.windows
        for column in window.columns
        for dtype in describing.parts_of(column).values()
    )
