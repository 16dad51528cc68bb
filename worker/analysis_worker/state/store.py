"""The directory of one worker's windows: files within a budget, checkpoints, and what belongs to nobody."""

import collections
import contextlib
import dataclasses
import logging
import os
import pathlib
import shutil
import sys
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Literal

from analysis_worker.engine import places
from analysis_worker.engine.segments import Readers, Segment
from analysis_worker.state import checkpoints, describing, segment_files

log = logging.getLogger(__name__)

LEAST_ROWS: Final = 1_024
"""Smaller windows are read again: that takes less than their files would cost."""
MOST_STARTS: Final = 3
"""So many starts in a row that did not get to live records, and the files are no longer believed."""
LEAVE_FREE: Final = 0.05
"""Of the file system: what is left to others."""
_TOLD_SECONDS = 60.0
_BOOT_ID = pathlib.Path("/proc/sys/kernel/random/boot_id")

Reason = Literal["budget", "disk_full", "disk_error", "torn"]


class InUse(OSError):
    """Another process keeps its windows in the directory."""


def locked(directory: pathlib.Path) -> int:
    """A descriptor that keeps others from the directory until it is closed; raises InUse.

    Raises OSError for what else is wrong, and elsewhere than on Linux.
    """
    if sys.platform != "linux":
        raise OSError("files of windows need Linux, for posix_fallocate and shared mappings")
    import fcntl

    held = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(held)
        raise InUse(f"another process keeps its windows in {directory}") from error
    return held


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """What a directory holds of the slots that were asked for; `distrusted` after another boot."""

    checkpoints: dict[int, checkpoints.Checkpoint]
    distrusted: frozenset[int]


class Store:
    """Files of windows in one directory, of at most `max_bytes`; `failures` says why what was not had.

    It is the engine's `Memory`. Any thread may ask it.
    """

    def __init__(self, directory: pathlib.Path, max_bytes: int, *, least_rows: int = LEAST_ROWS) -> None:
        self.directory = directory
        self.used = 0
        self.failures: collections.Counter[Reason] = collections.Counter()
        self.boot = _boot()
        self._max_bytes = max_bytes
        self._least_rows = least_rows
        self._lock = threading.Lock()
        self._held: int | None = None
        self._told_at = 0.0
        self._files: dict[str, weakref.ref[segment_files.SegmentFile]] = {}
        self._named: dict[int, frozenset[str]] = {}  # files that the checkpoint of a slot names
        self._made: set[str] = set()  # files that are being made, which a checkpoint will name

    # -- its life -----------------------------------------------------------------------------------

    def open(self) -> None:
        """Make the directory one's own; raises InUse or OSError."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._held = locked(self.directory)
        starts = self._starts() + 1
        if starts > MOST_STARTS:
            log.error("%s starts in a row did not survive the files in %s", starts - 1, self.directory)
            self.clear()
            starts = 1
        (self.directory / "starts").write_text(str(starts), encoding="ascii")

    def _starts(self) -> int:
        try:
            return int((self.directory / "starts").read_text(encoding="ascii"))
        except (OSError, ValueError):
            return 0

    def close(self) -> None:
        """Let go of the directory; what is mapped stays so as long as it is used."""
        if self._held is not None:
            os.close(self._held)
            self._held = None

    def clear(self) -> None:
        """Delete all windows and checkpoints."""
        for path in self.directory.iterdir():
            if path.suffix in (".window", ".values", ".checkpoint", ".fresh"):
                path.unlink(missing_ok=True)
        self._named.clear()

    # -- files for segments -------------------------------------------------------------------------

    def home(self, *, fields: int, size: int, capacity: int) -> places.Home:
        """A file, if the window is large enough."""
        if size < self._least_rows:
            return places.HeapHome(capacity)
        path = self._new_path()
        shape = segment_files.Shape(fields, size, capacity)
        return self._counted(segment_files.SegmentFile(path, shape, self))

    def _counted(self, file: segment_files.SegmentFile) -> segment_files.SegmentFile:
        """The file, whose room is counted in `used`."""
        with self._lock:
            self._files[file.path.name] = weakref.ref(file)
        return file

    def take(self, count: int) -> bool:
        """Whether so many bytes more may be allocated: within the budget and what the disk has."""
        with self._lock:
            if self.used + count > self._max_bytes:
                reason: Reason = "budget"
            elif (wrong := _wrong_with(self.directory, count)) is not None:
                reason = wrong
            else:
                self.used += count
                return True
        self._tell(reason, f"{self.used >> 20} MiB are used, of {self._max_bytes >> 20} MiB allowed")
        return False

    def give(self, count: int) -> None:
        """So many bytes were not allocated after all, or are free again."""
        with self._lock:
            self.used = max(0, self.used - count)

    def failed(self, error: OSError) -> None:
        """A file could not be made or allocated: its columns go to the heap."""
        self._tell("disk_error", str(error))

    def _tell(self, reason: Reason, why: str) -> None:
        self._count(reason)
        if time.monotonic() - self._told_at > _TOLD_SECONDS:
            self._told_at = time.monotonic()
            log.error(
                "no room for windows in %s (%s): %s. They are kept in memory, and a restart reads them from"
                " Kafka; give the volume more room, or state.maxBytes",
                self.directory,
                reason,
                why,
            )

    def _count(self, reason: Reason) -> None:
        with self._lock:
            self.failures[reason] += 1

    # -- checkpoints --------------------------------------------------------------------------------

    def find(self, slots: Iterable[int], source: str) -> Found:
        """Checkpoints of these slots that can be read and are of the same source."""
        found: dict[int, checkpoints.Checkpoint] = {}
        for slot in slots:
            checkpoint = self._read(slot)
            if checkpoint is not None and checkpoint.source != source:
                log.warning("slot %s: its files are of another module or cluster and are not used", slot)
            elif checkpoint is not None:
                found[slot] = checkpoint
                self._names(slot, _files_of(checkpoint))
        return Found(found, frozenset(slot for slot, each in found.items() if each.boot != self.boot))

    def slots(self) -> set[int]:
        """The slots that have a checkpoint."""
        return {int(path.stem.removeprefix("slot-")) for path in self.directory.glob("slot-*.checkpoint")}

    def _read(self, slot: int) -> checkpoints.Checkpoint | None:
        path = self.path_of(slot)
        try:
            return checkpoints.decode(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, checkpoints.NotACheckpoint) as error:
            self._count("torn")
            log.error("%s is not used, the slot's windows are read from Kafka: %s", path.name, error)
            return None

    def segment(
        self, kept: checkpoints.Window, topic: checkpoints.Topic, readers: Readers, *, check: bool
    ) -> Segment:
        """The segment of a window that was kept; raises Torn if its file is not what it should be."""
        shape = segment_files.Shape(len(readers), topic.size, topic.capacity)
        file = segment_files.SegmentFile(self.directory / kept.file, shape, self)
        file.reopen()
        self._counted(file)
        if check:
            describing.verify(file, kept)
        return describing.segment_of(file, kept, readers)

    def torn(self, slot: int, topic: str, error: Exception) -> None:
        """A topic's windows of a slot cannot be used."""
        self._count("torn")
        log.error("slot %s: windows of %s are read from Kafka instead of files: %s", slot, topic, error)

    def write(self, checkpoint: checkpoints.Checkpoint) -> None:
        """Keep a checkpoint in the place of the slot's former one; raises OSError, the former stays then."""
        path = self.path_of(checkpoint.slot)
        fresh = path.with_suffix(".fresh")
        fresh.write_bytes(checkpoints.encode(checkpoint))
        fresh.replace(path)
        self._names(checkpoint.slot, _files_of(checkpoint))

    def proven(self) -> None:
        """The files have carried a worker as far as live records."""
        with contextlib.suppress(OSError):
            (self.directory / "starts").write_text("0", encoding="ascii")

    def forget(self, slots: Iterable[int]) -> None:
        """These slots are another's."""
        for slot in slots:
            with self._lock:
                self._named.pop(slot, None)
            with contextlib.suppress(OSError):
                self.path_of(slot).unlink(missing_ok=True)

    @contextlib.contextmanager
    def making(self) -> Iterator[Callable[[], pathlib.Path]]:
        """Paths for files that are filled meanwhile; at the end a checkpoint names what is to stay."""
        names: set[str] = set()

        def path() -> pathlib.Path:
            fresh = self._new_path()
            with self._lock:
                self._made.add(fresh.name)
            names.add(fresh.name)
            return fresh

        try:
            yield path
        finally:
            with self._lock:
                self._made -= names

    def sweep(self) -> None:
        """Delete the files that neither a checkpoint nor a living segment needs, and nobody makes."""
        for slot in self.slots() - self._named.keys():  # not asked for yet
            with contextlib.suppress(OSError, checkpoints.NotACheckpoint):
                self._names(slot, _files_of(checkpoints.decode(self.path_of(slot).read_bytes())))
        for path in self.directory.glob("*.window"):
            with self._lock:
                if self._needs(path.name):
                    continue
                counted = self._files.pop(path.name, None) is not None
            with contextlib.suppress(OSError):
                allocated = path.stat().st_blocks * 512
                path.unlink()
                path.with_suffix(".values").unlink(missing_ok=True)
                if counted:  # what a former process left is not, unless it was taken
                    self.give(allocated)

    def _new_path(self) -> pathlib.Path:
        return self.directory / f"{uuid.uuid4().hex}.window"

    def _names(self, slot: int, files: frozenset[str]) -> None:
        with self._lock:
            self._named[slot] = files

    def _needs(self, name: str) -> bool:
        living = self._files.get(name)
        return (
            name in self._made
            or (living is not None and living() is not None)
            or any(name in names for names in self._named.values())
        )

    def path_of(self, slot: int) -> pathlib.Path:
        """The file of a slot's checkpoint."""
        return self.directory / f"slot-{slot:04}.checkpoint"


def _files_of(checkpoint: checkpoints.Checkpoint) -> frozenset[str]:
    return frozenset(window.file for topic in checkpoint.topics.values() for window in topic.windows)


def _wrong_with(directory: pathlib.Path, count: int) -> Reason | None:
    """Why the disk cannot have so many bytes more."""
    try:
        usage = shutil.disk_usage(directory)
    except OSError:
        return "disk_error"
    return "disk_full" if usage.free - count < usage.total * LEAVE_FREE else None


def _boot() -> str:
    """Which run of the machine this is: what was mapped in another may not have got to the disk."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return uuid.uuid4().hex
