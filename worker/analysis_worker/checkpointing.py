"""Windows kept in files while the worker runs, and taken from them when it starts.

Of each slot a cut is made every few seconds, and written down as its checkpoint as soon as the progress topic
says that all of it is done: so a restart takes nothing back, and begins to read where the checkpoint ends.
"""

import asyncio
import collections
import contextlib
import functools
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from analysis_module import assignment as assignments
from analysis_module import spec, wiring
from analysis_worker import slot_cuts, snapshotting, starting
from analysis_worker.callbacks import lanes
from analysis_worker.engine import cuts, places, segments
from analysis_worker.engine.engine import Engine
from analysis_worker.engine.records import TopicPartition
from analysis_worker.engine.windows import TopicWindow
from analysis_worker.feeding import Feed
from analysis_worker.kafka import progress_log
from analysis_worker.observability.metrics import WorkerMetrics
from analysis_worker.settings import Settings
from analysis_worker.state import checkpoints, describing, segment_files, store

log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
_PASSES = 16


def source_of(module: wiring.Wiring, kafka: spec.Kafka) -> str:
    """Whose records windows are made of: another group or cluster has other offsets."""
    return f"{module.group_id}@{','.join(sorted(kafka.bootstrap_servers))}"


Held = Mapping[int, progress_log.SlotProgress]
Written = Callable[[int], progress_log.SlotProgress | None]
"""The progress of a slot that Kafka has."""


class Checkpointing(Protocol):
    """Keeps a worker's windows beyond its process."""

    @property
    def memory(self) -> places.Memory:
        """Where the engine's columns lie."""

    @property
    def used(self) -> int:
        """Bytes on the disk."""

    @property
    def checkpointed_at(self) -> float | None:
        """When the oldest of the slots' checkpoints was cut, in seconds since the epoch."""

    @property
    def snapshotted_at(self) -> float | None:
        """When the newest whole snapshot was begun, in seconds since the epoch."""

    async def apart(self, engine: Engine, held: Held) -> Mapping[int, int]:
        """Slots whose windows are not at hand, and can be restored one after the other; their records."""

    async def restore(self, engine: Engine, held: Held, *, gained: bool = False) -> starting.Kept:
        """Put the windows that were kept into the engine; where to read on, per slot and partition.

        With `gained` other slots are at work already.
        """

    async def run(self, engine: Engine, feed: Feed, written: Written) -> None:
        """Keep them, until cancelled."""

    async def forget(self, slots: Iterable[int]) -> None:
        """These slots are another's from now on."""

    async def last(self, engine: Engine, feed: Feed, written: Written) -> None:
        """Everything is done: keep it, so that the next start has nothing to read again."""

    async def close(self) -> None:
        """Nothing is kept any more."""


class NoCheckpoints:
    """Keeps nothing: each start reads the windows from Kafka."""

    memory = places.HEAP
    used = 0
    checkpointed_at = None
    snapshotted_at = None

    async def apart(self, engine: Engine, held: Held) -> Mapping[int, int]:
        """None: they all are in Kafka."""
        return {}

    async def restore(self, engine: Engine, held: Held, *, gained: bool = False) -> starting.Kept:
        """There are none."""
        return {}

    async def run(self, engine: Engine, feed: Feed, written: Written) -> None:
        """Ends at once."""

    async def forget(self, slots: Iterable[int]) -> None:
        """Nothing to forget."""

    async def last(self, engine: Engine, feed: Feed, written: Written) -> None:
        """Nothing to keep."""

    async def close(self) -> None:
        """Nothing to close."""


def of(
    settings: Settings,
    assignment: assignments.Assignment,
    wired: wiring.Wiring,
    metrics: WorkerMetrics,
) -> Checkpointing:
    """In the worker's own part of a directory; none without one, or if it cannot be had."""
    if settings.state_directory is None:
        return NoCheckpoints()
    asked = assignment.module_spec.state
    own = settings.state_directory / wired.group_id / assignment.owner
    files = store.Store(own, asked.max_bytes)
    try:
        files.open()
    except OSError as error:
        metrics.state_failed("disk_error")
        log.error("windows are not kept in files, restarts read them from Kafka: %s", error)
        return NoCheckpoints()
    _allow_open_files()
    source, copies = source_of(wired, assignment.module_spec.kafka), None
    if asked.snapshots.url is not None:
        copies = snapshotting.Snapshotting(
            asked.snapshots, wired.group_id, files, source=source, max_bytes=asked.max_bytes, metrics=metrics
        )
    return FileCheckpoints(files, source, metrics, settings.checkpoint_interval_seconds, copies)


def _meanings(inputs: Mapping[int, wiring.InputWiring]) -> dict[str, str]:
    return {source.topic: checkpoints.meaning(source) for source in inputs.values()}


def _allow_open_files() -> None:
    """Each window takes a descriptor: as many as this process may have."""
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class FileCheckpoints:
    """Keeps windows in a store; cuts of a slot are `interval_seconds` apart."""

    def __init__(
        self,
        files: store.Store,
        source: str,
        metrics: WorkerMetrics,
        interval_seconds: float,
        snapshots: snapshotting.Snapshotting | None = None,
    ) -> None:
        self.memory = files
        self._snapshots = snapshots
        self._files = files
        self._source = source
        self._metrics = metrics
        self._interval = interval_seconds
        self._open: dict[int, slot_cuts.SlotCut] = {}
        self._positions: dict[int, Mapping[TopicPartition, int]] = {}  # of each slot's newest checkpoint
        self._cut_at = time.monotonic()
        self._written_at: dict[int, float] = {}
        self._told: collections.Counter[store.Reason] = collections.Counter()
        self._writing = asyncio.Lock()

    @property
    def used(self) -> int:
        """Bytes on the disk."""
        return self._files.used

    @property
    def checkpointed_at(self) -> float | None:
        """When the slot whose checkpoint is the oldest got it, in seconds since the epoch."""
        return min(self._written_at.values(), default=None)

    @property
    def snapshotted_at(self) -> float | None:
        """When the newest whole snapshot was begun, in seconds since the epoch."""
        return self._snapshots.snapshotted_at if self._snapshots is not None else None

    # -- at the start -------------------------------------------------------------------------------

    async def apart(self, engine: Engine, held: Held) -> Mapping[int, int]:
        """Slots whose windows only a snapshot has; not where devices are kept whose station is not known."""
        inputs = slot_cuts.kept_inputs(engine)
        if self._snapshots is None or any(source.station_key.via for source in engine.layout.inputs):
            return {}
        return await self._snapshots.sizes(_meanings(inputs), held)

    async def restore(self, engine: Engine, held: Held, *, gained: bool = False) -> starting.Kept:
        """Put the windows that are in files into the engine; where to read on, per slot and partition."""
        restored: list[tuple[str, int, int, TopicWindow]] = []
        kept: dict[int, dict[TopicPartition, int]] = {}
        began = time.monotonic()
        inputs = slot_cuts.kept_inputs(engine)
        if gained:  # of devices that nobody had claimed the engine holds records already
            inputs = {index: each for index, each in inputs.items() if each.station_key.via is None}
        if self._snapshots is not None:
            await self._snapshots.fetch(_meanings(inputs), held)
        await lanes.in_thread(lambda: self._restore(engine, inputs, held, kept, restored))
        for station, seen, index, window in restored:
            engine.adopt(station, seen, index, window)
        self._positions.update(kept)
        self._tell_failures()
        log.info(
            "%s windows of %s slots are taken from files in %.2f s; %s of %s slots are read from Kafka alone",
            len(restored),
            len(kept),
            time.monotonic() - began,
            len(held) - len(kept),
            len(held),
        )
        return kept

    def _restore(
        self,
        engine: Engine,
        inputs: Mapping[int, wiring.InputWiring],
        held: Mapping[int, progress_log.SlotProgress],
        kept: dict[int, dict[TopicPartition, int]],
        restored: list[tuple[str, int, int, TopicWindow]],
    ) -> None:
        self._files.forget(self._files.slots() - engine.owned_slots - engine.followed_slots)
        found = self._files.find(held, self._source)
        for slot, checkpoint in found.checkpoints.items():
            done, check = checkpoints.covered(checkpoint, held[slot].offsets), slot in found.distrusted
            for index, source in inputs.items():
                topic = done.get(source.topic)
                if topic is None or topic.meaning != checkpoints.meaning(source):
                    continue
                try:
                    windows = [
                        (each.station, each.seen, index, self._window(engine, index, topic, each, check))
                        for each in topic.windows
                    ]
                except segment_files.Torn as error:
                    self._files.torn(slot, source.topic, error)
                    continue
                restored += windows
                places = {TopicPartition(source.topic, n): offset for n, offset in topic.positions.items()}
                kept.setdefault(slot, {}).update(places)

    def _window(
        self, engine: Engine, index: int, topic: checkpoints.Topic, kept: checkpoints.Window, check: bool
    ) -> TopicWindow:
        segment = self._files.segment(kept, topic, engine.settings.readers[index], check=check)
        floors = {TopicPartition(name, number): offset for name, number, offset in kept.floors}
        return TopicWindow.of(segment, topic.size, self._files, floors)

    # -- while running ------------------------------------------------------------------------------

    async def run(self, engine: Engine, feed: Feed, written: Written) -> None:
        """Cut and write down, until cancelled."""
        await feed.live.wait()
        await lanes.in_thread(self._files.proven)
        copying = asyncio.create_task(self._snapshots.run()) if self._snapshots is not None else None
        try:
            await self._run(engine, feed, written)
        finally:
            if copying is not None:
                copying.cancel()

    async def _run(self, engine: Engine, feed: Feed, written: Written) -> None:
        while True:
            await asyncio.sleep(min(_LOOK_SECONDS, self._interval))
            await self._write_down(written)
            if time.monotonic() - self._cut_at >= self._interval and not feed.restoring:
                self._cut_at = time.monotonic()
                await self._cut(engine, feed)
                await self._write_down(written)
                await lanes.in_thread(self._files.sweep)
            self._tell_failures()

    def _tell_failures(self) -> None:
        failures = self._files.failures.copy()
        for reason, count in (failures - self._told).items():
            self._metrics.state_failed(reason, count)
        self._told = failures

    async def _cut(self, engine: Engine, feed: Feed) -> None:
        """Note the windows of every slot as they are now: of some slots at once, so that records go on."""
        slots = sorted(feed.settled_slots - self._open.keys())
        for begin in range(_PASSES):
            stations = cuts.by_slot(engine.stations.values())
            for slot in feed.settled_slots.intersection(slots[begin::_PASSES]):
                self._note(slot_cuts.cut_of(engine, feed, slot, stations.get(slot, ())))
            await asyncio.sleep(0)

    def _note(self, found: slot_cuts.SlotCut) -> None:
        if found.positions != self._positions.get(found.slot, {}):
            self._open[found.slot] = found
        elif found.slot in self._written_at:
            self._written_at[found.slot] = found.at  # nothing has come: it is as good as new

    async def _write_down(self, written: Written) -> None:
        """Write the checkpoints of the slots whose cut is done by now."""
        async with self._writing:
            done = [each for slot, each in self._open.items() if each.is_done(written(slot))]
            for each in done:
                if await lanes.in_thread(functools.partial(self._write, each)):
                    self._positions[each.slot] = each.positions
                    self._written_at[each.slot] = each.at
                self._open.pop(each.slot, None)

    def _write(self, cut: slot_cuts.SlotCut) -> bool:
        try:
            topics = {}
            for name, (source, positions, windows) in cut.topics.items():
                described = [describing.described(window) for window in windows]
                kept = [window for window in described if window is not None]
                if len(kept) == len(windows):
                    shape = (source.window_size, segments.capacity_for(source.window_size))
                    topics[name] = checkpoints.Topic(
                        checkpoints.meaning(source), *shape, dict(positions), kept
                    )
            self._files.write(
                checkpoints.Checkpoint(cut.slot, self._source, self._files.boot, time.time(), topics)
            )
        except OSError as error:
            self._files.failed(error)
            return False
        return True

    async def forget(self, slots: Iterable[int]) -> None:
        """These slots are another's from now on."""
        async with self._writing:
            lost = list(slots)
            for slot in lost:
                self._open.pop(slot, None)
                self._positions.pop(slot, None)
                self._written_at.pop(slot, None)
            await lanes.in_thread(lambda: self._files.forget(lost))

    async def last(self, engine: Engine, feed: Feed, written: Written) -> None:
        """Everything is done: write it down, so that the next start has nothing to read again."""
        if not feed.restoring:
            self._open.clear()
            await self._cut(engine, feed)
            await self._write_down(written)
            await lanes.in_thread(self._files.proven)

    async def close(self) -> None:
        """Another process may have the directory."""
        self._tell_failures()
        if self._snapshots is not None:
            self._snapshots.end()
        self._files.close()
