"""Snapshots of windows' files, written beside the worker whose files they are.

What a slot's JSON names is there before the JSON is, so a snapshot is whole or absent. A chunk may be taken
as there only while nobody deletes it: it is named already, or too young.
"""

import dataclasses
import logging
import pathlib
import time
import zlib
from collections.abc import Callable, Iterable
from typing import Final

import msgspec
import numpy as np

from analysis_worker.engine.places import Part
from analysis_worker.state import checkpoints, describing, inspecting, objects, segment_files, snapshots

log = logging.getLogger(__name__)

KEEP_SECONDS: Final = 3_600.0
"""How old a chunk that nothing names is before it is deleted: another worker may be about to name it."""
_YOUNG_SECONDS: Final = KEEP_SECONDS / 2
_MOST_LOOKS = 5


@dataclasses.dataclass(slots=True)
class Round:
    """What was done: slots and chunks written, bytes of these, chunks deleted, and what was wrong."""

    slots: int = 0
    chunks: int = 0
    size: int = 0
    deleted: int = 0
    faults: list[inspecting.Fault] = dataclasses.field(default_factory=list)


_Sealed = tuple[tuple[str, ...], int]
"""Names of full chunks from the first row on, and the CRC-32 of their rows."""


class Stopped(Exception):
    """The round was to end before all was written."""


class Exporter:
    """Writes snapshots of one group's slots, and remembers what it wrote.

    `stopping` is asked between two chunks whether to go on. With `yields` a slot of which the store has a
    newer checkpoint is left: its owner writes it. One thread may use it.
    """

    def __init__(
        self,
        store: objects.Objects,
        group: str,
        *,
        now: Callable[[], float] = time.time,
        stopping: Callable[[], bool] = lambda: False,
        yields: bool = False,
    ) -> None:
        self._store = store
        self._group = group
        self._now = now
        self._stopping = stopping
        self._yields = yields
        self._modified: dict[str, float] = {}  # chunks that are there, and since when
        self._named: frozenset[str] = frozenset()  # by the JSON that is there of the slot under way
        self._sealed: dict[tuple[str, int, Part], _Sealed] = {}

    def round(self, paths: Iterable[pathlib.Path]) -> Round:
        """Write what these checkpoints say, then delete what nothing names; raises Failed or Stopped."""
        done = Round()
        self._modified = self._listed()
        files: set[str] = set()
        for path in paths:
            files |= self._slot(path, done)
        self._sealed = {key: sealed for key, sealed in self._sealed.items() if key[0] in files}
        done.deleted = self._clean()
        return done

    def _listed(self) -> dict[str, float]:
        found = self._store.list(f"{self._group}/chunks")
        return {each.name.rpartition("/")[2]: each.modified for each in found}

    # -- a slot -------------------------------------------------------------------------------------

    def _slot(self, path: pathlib.Path, done: Round) -> set[str]:
        """Write a slot; the names of its files."""
        try:
            for looks in range(_MOST_LOOKS):
                checkpoint = inspecting.read(path)
                if checkpoint is None:
                    return set()
                faults: list[inspecting.Fault] = []
                if not self._is_written(checkpoint):
                    slot = self._described(path, checkpoint, done, faults)
                    if faults and looks + 1 < _MOST_LOOKS and inspecting.read(path) != checkpoint:
                        continue  # it was replaced, and files that only it named may be gone
                    self._put_slot(path, slot, done)
                done.faults += faults
                return {window.file for topic in checkpoint.topics.values() for window in topic.windows}
        except (objects.Failed, Stopped):
            raise
        except (OSError, checkpoints.NotACheckpoint) as error:
            done.faults.append(inspecting.Fault(path, str(error)))
        return set()

    def _is_written(self, checkpoint: checkpoints.Checkpoint) -> bool:
        """Whether the store has this of the slot; it is asked each time, for another may have written it."""
        self._named = frozenset()
        try:
            former = snapshots.decode(self._store.get(self._name(checkpoint.slot)))
        except (objects.Missing, snapshots.NotASnapshot):
            return False
        self._named = former.chunks
        known = former.written_at == checkpoint.written_at
        newer = self._yields and former.written_at > checkpoint.written_at
        same = former.source == checkpoint.source
        return same and (known or newer) and self._named <= self._modified.keys()

    def _described(
        self,
        path: pathlib.Path,
        checkpoint: checkpoints.Checkpoint,
        done: Round,
        faults: list[inspecting.Fault],
    ) -> snapshots.Slot:
        topics = {}
        for name, topic in checkpoint.topics.items():
            try:
                windows = [
                    self._window(inspecting.WindowFile(path.parent, topic, window), done)
                    for window in topic.windows
                ]
            except segment_files.Torn as error:
                wrong = f"slot {checkpoint.slot}, {name}: {error}"
                faults.append(inspecting.Fault(path, wrong, "its windows are not in the snapshot"))
                continue
            topics[name] = snapshots.Topic(
                topic.meaning, topic.size, topic.capacity, topic.positions, windows
            )
        return snapshots.Slot(checkpoint.slot, checkpoint.source, checkpoint.written_at, topics)

    def _window(self, file: inspecting.WindowFile, done: Round) -> snapshots.Window:
        window, values = file.window, file.values()
        columns = []
        for field, column in enumerate(window.columns):
            parts = zip(describing.parts_of(column).items(), column.checksums, strict=True)
            chunks = [self._part(file, field, *part, told, done) for part, told in parts]
            named = self._put(msgspec.json.encode(values[field]), done) if column.distinct else None
            columns.append(snapshots.column_of(column, chunks, named))
        return snapshots.Window(window.station, window.seen, window.count, window.floors, columns)

    def _part(
        self,
        file: inspecting.WindowFile,
        field: int,
        part: Part,
        dtype: str,
        told: int,
        done: Round,
    ) -> list[str]:
        key = (file.path.name, field, part)
        sealed, checksum = self._sealed.get(key, ((), 0))
        rows = len(sealed) * snapshots.CHUNK_ROWS
        if rows > file.window.count or not all(self._is_there(name) for name in sealed):
            sealed, checksum, rows = (), 0, 0
        names, full = list(sealed), (sealed, checksum)
        for block in file.blocks(field, part, dtype, snapshots.CHUNK_ROWS, rows):
            checksum = zlib.crc32(block, checksum)
            names.append(self._put(block, done))
            if len(block) == snapshots.CHUNK_ROWS * np.dtype(dtype).itemsize:
                full = (tuple(names), checksum)
        if checksum != told:
            raise segment_files.Torn(f"{file.path.name}, field {field}: the checksum is wrong")
        self._sealed[key] = full
        return names

    # -- chunks -------------------------------------------------------------------------------------

    def _put(self, chunk: bytes, done: Round) -> str:
        """Write a chunk if it is not there; its name."""
        if self._stopping():
            raise Stopped
        name = snapshots.name_of(chunk)
        if not self._is_there(name):
            self._store.put(f"{self._group}/chunks/{name}", chunk)
            self._modified[name] = self._now()
            done.chunks += 1
            done.size += len(chunk)
        return name

    def _is_there(self, name: str) -> bool:
        since = self._modified.get(name)
        if since is None:
            return False
        return self._now() - since < _YOUNG_SECONDS or name in self._named

    def _put_slot(self, path: pathlib.Path, slot: snapshots.Slot, done: Round) -> None:
        if not path.exists():
            return  # the slot is another's by now
        self._store.put(self._name(slot.slot), snapshots.encode(slot))
        done.slots += 1

    def _name(self, slot: int) -> str:
        return name_of_slot(self._group, slot)

    def _clean(self) -> int:
        """Delete chunks that no slot names and that are old; how many."""
        if not any(self._is_old(since) for since in self._modified.values()):
            return 0
        named: set[str] = set()
        for each in self._store.list(f"{self._group}/slots"):
            try:
                named |= snapshots.decode(self._store.get(each.name)).chunks
            except (objects.Missing, snapshots.NotASnapshot) as error:
                log.warning("%s: no chunk is deleted, for nobody knows what it names: %s", each.name, error)
                return 0
        # Listed anew: another worker may have written one again, to name it in a moment.
        old = [name for name, since in self._listed().items() if name not in named and self._is_old(since)]
        self._store.delete(f"{self._group}/chunks/{name}" for name in old)
        for name in old:
            self._modified.pop(name, None)
        return len(old)

    def _is_old(self, since: float) -> bool:
        return self._now() - since > KEEP_SECONDS


def name_of_slot(group: str, slot: int) -> str:
    """Where a snapshot says what it has of a slot."""
    return f"{group}/slots/{slot:04}.json"
