"""Snapshots of a worker's windows: written every so often, and taken at a start where files lack them.

Nothing here holds records up: without the store the worker goes on, and a start reads the windows from Kafka.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Mapping
from typing import Final

from analysis_module import spec
from analysis_worker.callbacks import lanes
from analysis_worker.kafka import progress_log
from analysis_worker.observability.metrics import WorkerMetrics
from analysis_worker.state import checkpoints, exporting, importing, inspecting, objects, snapshots, store

log = logging.getLogger(__name__)

_FETCH_SECONDS: Final = 120.0
"""How long a start or a hand-over takes windows from a snapshot; the rest is read from Kafka."""
_TOLD_SECONDS: Final = 60.0


class Snapshotting:
    """The snapshots of one worker's files; `snapshotted_at` is when the newest whole one was begun."""

    def __init__(
        self,
        asked: spec.Snapshots,
        group: str,
        files: store.Store,
        *,
        source: str,
        max_bytes: int,
        metrics: WorkerMetrics,
    ) -> None:
        self.snapshotted_at: float | None = None
        self._url = asked.url or ""
        self._interval = asked.interval_seconds
        self._group = group
        self._files = files
        self._source = source
        self._max_bytes = max_bytes
        self._metrics = metrics
        metrics.snapshots_every(asked.interval_seconds)
        self._exporter: exporting.Exporter | None = None
        self._ending = threading.Event()
        self._told_at = -_TOLD_SECONDS

    # -- at a start ---------------------------------------------------------------------------------

    async def sizes(
        self, meanings: Mapping[str, str], held: Mapping[int, progress_log.SlotProgress]
    ) -> Mapping[int, int]:
        """Of the slots that `fetch` would take, how many records the windows hold; {} if nobody knows."""
        found: Mapping[int, int] = await lanes.in_thread(lambda: self._sizes(meanings, held))
        return found

    def _sizes(
        self, meanings: Mapping[str, str], held: Mapping[int, progress_log.SlotProgress]
    ) -> Mapping[int, int]:
        usable = _usable(meanings, held)
        wanted = [slot for slot in sorted(held) if not self._has(slot, usable)]
        if not wanted:
            return {}
        try:
            importer = importing.Importer(objects.at(self._url, make=True), self._group, self._files, 0)
            return importer.sizes(wanted, self._source, usable)
        except Exception as error:  # `fetch` tells it
            log.debug("what the snapshot holds is not known: %s", _worded(error))
            return {}

    async def fetch(self, meanings: Mapping[str, str], held: Mapping[int, progress_log.SlotProgress]) -> None:
        """Make files of the windows that a snapshot has and files have not; of topics read as `meanings` say.

        Windows that are ahead of a slot's progress are not taken.
        """
        await lanes.in_thread(lambda: self._fetch(meanings, held))

    def _fetch(self, meanings: Mapping[str, str], held: Mapping[int, progress_log.SlotProgress]) -> None:
        usable = _usable(meanings, held)
        wanted = [slot for slot in sorted(held) if not self._has(slot, usable)]
        if not wanted:
            return
        began = time.monotonic()
        taken = importing.Taken()
        try:
            importer = importing.Importer(
                objects.at(self._url, make=True),
                self._group,
                self._files,
                importing.room_in(self._files.directory, self._max_bytes),
                stopping=lambda: self._ending.is_set() or time.monotonic() - began > _FETCH_SECONDS,
            )
            importer.take(wanted, taken, module=self._source, usable=usable)
        except importing.Stopped:
            self._failed(f"the store was too slow: not all was taken within {_FETCH_SECONDS:g} s")
        except Exception as error:  # the windows are in Kafka: whatever it is, a start goes on without
            self._failed(f"windows are read from Kafka: {_worded(error)}")
        for wrong in taken.wrong:
            self._failed(f"{wrong}; these windows are read from Kafka")
        log.info(
            "%s windows of %s slots are taken from the snapshot in %.2f s",
            taken.windows,
            taken.slots,
            time.monotonic() - began,
        )

    def _has(self, slot: int, usable: importing.Usable) -> bool:
        """Whether files hold as much of a slot as any snapshot: they are usable, and younger than one."""
        try:
            kept = inspecting.read(self._files.path_of(slot))
        except (OSError, checkpoints.NotACheckpoint):
            return False
        if kept is None or kept.source != self._source or time.time() - kept.written_at > self._interval:
            return False
        return all(usable(slot, name, topic) for name, topic in kept.topics.items())

    # -- while running ------------------------------------------------------------------------------

    async def run(self) -> None:
        """Write a snapshot every so often, in a thread, until cancelled."""
        try:
            while True:
                await asyncio.sleep(self._interval)
                await lanes.in_thread(self._write)
        finally:
            self.end()

    def end(self) -> None:
        """What is under way in a thread ends at its next chunk."""
        self._ending.set()

    def _write(self) -> None:
        began = time.time()
        try:
            if self._exporter is None:
                found = objects.at(self._url, make=True)
                self._exporter = exporting.Exporter(found, self._group, stopping=self._ending.is_set)
            done = self._exporter.round(inspecting.slot_paths(self._files.directory))
        except exporting.Stopped:
            return
        except Exception as error:  # no failure of a copy may end the worker
            self._failed(f"no snapshot was written: {_worded(error)}")
            return
        for fault in done.faults:
            self._failed(f"{fault.file.name}: {fault.wrong}; {fault.mend}")
        self.snapshotted_at = began
        log.debug("snapshot: %s slots, %s chunks of %s bytes written", done.slots, done.chunks, done.size)

    def _failed(self, why: str) -> None:
        self._metrics.state_failed("snapshot")
        if time.monotonic() - self._told_at >= _TOLD_SECONDS:
            self._told_at = time.monotonic()
            log.error("state.snapshots: %s", why)


def _usable(meanings: Mapping[str, str], held: Mapping[int, progress_log.SlotProgress]) -> importing.Usable:
    """Whether windows are of a topic as it is read now, and not ahead of their slot."""

    def usable(slot: int, name: str, topic: checkpoints.Topic | snapshots.Topic) -> bool:
        covered = checkpoints.is_covered(name, topic.positions, held[slot].offsets)
        return covered and topic.meaning == meanings.get(name)

    return usable


def _worded(error: Exception) -> str:
    return str(error) if isinstance(error, (OSError, ValueError)) else repr(error)
