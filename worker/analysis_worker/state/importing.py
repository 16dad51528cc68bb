"""Windows' files and checkpoints made from a snapshot, as if the worker had written them."""

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent import futures
from typing import Any, Final

import msgspec
import numpy as np

from analysis_worker.state import (
    checkpoints,
    describing,
    exporting,
    inspecting,
    objects,
    segment_files,
    snapshots,
    store,
)

_AT_ONCE: Final = 8
"""Windows that are read from the store at the same time: each waits for it most of the time."""


class Stopped(Exception):
    """It was to end before all was taken."""


class NoRoom(OSError):
    """The files would take more than they may."""


@dataclasses.dataclass(frozen=True, slots=True)
class Wrong:
    """What of a snapshot cannot be used; all of the slot without a topic."""

    slot: int
    topic: str | None
    why: str

    def __str__(self) -> str:
        return f"slot {self.slot}{f', {self.topic}' if self.topic else ''}: {self.why}"


@dataclasses.dataclass(slots=True)
class Taken:
    """What was made: slots and windows, bytes of the chunks read; and what could not be."""

    slots: int = 0
    windows: int = 0
    size: int = 0
    wrong: list[Wrong] = dataclasses.field(default_factory=list)

    @contextlib.contextmanager
    def told(self, slot: int, topic: str) -> Iterator[None]:
        """What a snapshot says of a topic and cannot be used is told, and the next one tried."""
        try:
            yield
        except snapshots.NotASnapshot as error:
            self.wrong.append(Wrong(slot, topic, str(error)))


Usable = Callable[[int, str, checkpoints.Topic | snapshots.Topic], bool]
"""Whether a worker could use windows of a slot and topic."""


def room_in(directory: pathlib.Path, most: int) -> int:
    """Bytes that files may still take: of `most` together, and of the disk what is not left to others."""
    used = sum(inspecting.disk_bytes(path) for path in directory.glob("*.window"))
    usage = shutil.disk_usage(directory)
    return min(most - used, int(usage.free - usage.total * store.LEAVE_FREE))


def slots_at(source: objects.Objects, group: str) -> list[int]:
    """The slots that a snapshot has; raises Failed."""
    names = [each.name.rpartition("/")[2] for each in source.list(f"{group}/slots")]
    return sorted(int(name.removesuffix(".json")) for name in names if name.removesuffix(".json").isdecimal())


class Importer:
    """Makes files in a store's directory, of at most `room` bytes; the directory must be one's own.

    `stopping` is asked before each chunk whether to end.
    """

    def __init__(
        self,
        source: objects.Objects,
        group: str,
        files: store.Store,
        room: int,
        *,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._source = source
        self._group = group
        self._files = files
        self._room = room
        self._lock = threading.Lock()
        self._stopping = stopping

    def take(
        self,
        slots: Iterable[int],
        taken: Taken,
        *,
        module: str | None = None,
        usable: Usable = lambda slot, name, topic: True,
        force: bool = False,
    ) -> None:
        """Of each slot the topics of which the snapshot holds more than files do, or all with `force`.

        `module` is the source that windows must be of. Raises Failed, NoRoom, Stopped or OSError; what was
        made until then stays.
        """
        for slot in slots:
            try:
                found = self._found(slot)
            except snapshots.NotASnapshot as error:
                taken.wrong.append(Wrong(slot, None, str(error)))
                continue
            if found is not None and module in (None, found.source):
                self._slot(found, taken, usable, force)

    def sizes(self, slots: Iterable[int], module: str, usable: Usable) -> dict[int, int]:
        """How many records the usable windows of each of these slots hold; raises Failed."""
        sizes = {}
        for slot in slots:
            with contextlib.suppress(snapshots.NotASnapshot):
                found = self._found(slot)
                if found is not None and found.source == module:
                    topics = [topic for name, topic in found.topics.items() if usable(slot, name, topic)]
                    sizes[slot] = sum(window.count for topic in topics for window in topic.windows)
        return {slot: size for slot, size in sizes.items() if size}

    def _found(self, slot: int) -> snapshots.Slot | None:
        try:
            found = snapshots.decode(self._source.get(exporting.name_of_slot(self._group, slot)))
        except objects.Missing:
            return None
        if found.slot != slot:
            raise snapshots.NotASnapshot(f"it is of slot {found.slot}")
        return found

    def _slot(self, found: snapshots.Slot, taken: Taken, usable: Usable, force: bool) -> None:
        slot, kept = found.slot, self._kept(found)
        topics = kept.topics if kept is not None else {}
        good = {name: topic for name, topic in topics.items() if usable(slot, name, topic)}
        made: dict[str, checkpoints.Topic] = {}
        with self._files.making() as new_path:
            try:
                for name, topic in (found.topics if force else snapshots.ahead(good, found)).items():
                    if usable(slot, name, topic):
                        with taken.told(slot, name):
                            made[name] = self._topic(topic, new_path, taken)
            finally:
                if made:
                    self._keep(found, kept, made)
                    taken.slots += 1
                    taken.windows += sum(len(topic.windows) for topic in made.values())

    def _keep(
        self,
        found: snapshots.Slot,
        kept: checkpoints.Checkpoint | None,
        made: Mapping[str, checkpoints.Topic],
    ) -> None:
        topics = kept.topics if kept is not None else {}
        boot, written_at = self._files.boot, found.written_at
        if kept is not None and not topics.keys() <= made.keys():
            boot, written_at = kept.boot, max(written_at, kept.written_at)
        both = {**topics, **made}
        self._files.write(checkpoints.Checkpoint(found.slot, found.source, boot, written_at, both))

    def _kept(self, found: snapshots.Slot) -> checkpoints.Checkpoint | None:
        """What files hold of a slot, if they are of the same source."""
        with contextlib.suppress(OSError, checkpoints.NotACheckpoint):
            kept = inspecting.read(self._files.path_of(found.slot))
            if kept is not None and kept.source == found.source:
                return kept
        return None

    def _topic(
        self, topic: snapshots.Topic, new_path: Callable[[], pathlib.Path], taken: Taken
    ) -> checkpoints.Topic:
        snapshots.check(topic)
        paths = [new_path() for _ in topic.windows]
        try:
            with futures.ThreadPoolExecutor(_AT_ONCE) as pool:
                made = [
                    pool.submit(self._window, path, topic, window, taken)
                    for path, window in zip(paths, topic.windows, strict=True)
                ]
                try:
                    windows = [each.result() for each in made]
                except BaseException:
                    pool.shutdown(cancel_futures=True)
                    raise
        except BaseException:
            for path in paths:
                for each in (path, path.with_suffix(".values")):
                    with contextlib.suppress(OSError):
                        each.unlink(missing_ok=True)
            raise
        return checkpoints.Topic(topic.meaning, topic.size, topic.capacity, topic.positions, windows)

    def _window(
        self, path: pathlib.Path, topic: snapshots.Topic, window: snapshots.Window, taken: Taken
    ) -> checkpoints.Window:
        shape = segment_files.Shape(len(window.columns), topic.size, topic.capacity)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        values: list[list[Any]] = []
        try:
            os.ftruncate(descriptor, shape.total)
            for field, column in enumerate(window.columns):
                parts = zip(describing.parts_of(column).items(), column.chunks, column.checksums, strict=True)
                for (part, dtype), chunks, told in parts:
                    begin = shape.first_row(field, part, np.dtype(dtype).itemsize)
                    self._part(
                        descriptor, begin, chunks, window.count * np.dtype(dtype).itemsize, told, taken
                    )
                values.append(self._values(column, taken))
        finally:
            os.close(descriptor)
        lines = [json.dumps([field, value]) + "\n" for field, each in enumerate(values) for value in each]
        if lines:
            path.with_suffix(".values").write_text("".join(lines), encoding="utf-8")
        columns = [snapshots.plain(column) for column in window.columns]
        return checkpoints.Window(
            window.station, window.seen, path.name, window.count, window.floors, columns
        )

    def _part(
        self, descriptor: int, begin: int, chunks: Sequence[str], size: int, told: int, taken: Taken
    ) -> None:
        checksum, at = 0, begin
        for name in chunks:
            chunk = self._chunk(name, taken)
            checksum = zlib.crc32(chunk, checksum)
            if at + len(chunk) > begin + size:
                raise snapshots.NotASnapshot(f"chunk {name} holds more rows than there are")
            with self._lock:
                self._room -= len(chunk)
            if self._room < 0:
                raise NoRoom("the snapshot's windows take more than state.maxBytes or the disk allow")
            if os.pwrite(descriptor, chunk, at) != len(chunk):
                raise NoRoom("the disk is full")
            at += len(chunk)
        if at != begin + size or checksum != told:
            raise snapshots.NotASnapshot("the chunks are not the rows that were counted")

    def _values(self, column: snapshots.Column, taken: Taken) -> list[Any]:
        if column.values is None:
            return []
        try:
            values = msgspec.json.decode(self._chunk(column.values, taken), type=list[Any])
        except msgspec.DecodeError as error:
            raise snapshots.NotASnapshot(f"the values of codes cannot be read: {error}") from error
        if len(values) != column.distinct:
            raise snapshots.NotASnapshot(f"there are {len(values)} of {column.distinct} values of codes")
        return values

    def _chunk(self, name: str, taken: Taken) -> bytes:
        if self._stopping():
            raise Stopped
        try:
            chunk = self._source.get(f"{self._group}/chunks/{name}")
        except objects.Missing as error:
            raise snapshots.NotASnapshot(f"chunk {name} is not there") from error
        if snapshots.name_of(chunk) != name:
            raise snapshots.NotASnapshot(f"chunk {name} is broken: its bytes are others")
        with self._lock:
            taken.size += len(chunk)
        return chunk
