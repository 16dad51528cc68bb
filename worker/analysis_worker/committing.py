"""Progress to Kafka: what is done, per slot, and the lowest of it to the consumer group for lag tools."""

import asyncio
import dataclasses
import logging
import math
import time
from collections.abc import Iterable, Mapping

from analysis_worker import progress_writing
from analysis_worker.engine import progress
from analysis_worker.engine.engine import Engine
from analysis_worker.engine.records import TopicPartition
from analysis_worker.feeding import Feed, Left
from analysis_worker.kafka import ports, progress_log

log = logging.getLogger(__name__)

_FLOOR_SECONDS = 20.0


class Committer:
    """Writes progress records; knows the newest of every slot it wrote."""

    def __init__(self, engine: Engine, writer: progress_writing.ProgressWriter, *, owner: str) -> None:
        self.epoch = 0
        self.committed_at: float | None = None  # when the slot that is furthest behind last got further
        self.commits = 0
        self._engine = engine
        self._moved_at: dict[int, float] = {}
        self._writer = writer
        self._writing = asyncio.Lock()
        self._owner = owner
        self._written: dict[int, progress_log.SlotProgress] = {}
        self._floors: dict[int, dict[TopicPartition, int]] = {}
        self._leaving: dict[int, dict[TopicPartition, Left]] = {}  # lost, and not yet let go of
        self._floors_at = time.monotonic()
        self._group_warned = False

    def remember(self, held: Mapping[int, progress_log.SlotProgress]) -> None:
        """What the progress topic already says."""
        self._written.update(held)

    def newest(self, slot: int) -> progress_log.SlotProgress | None:
        """The newest progress of a slot that Kafka has."""
        return self._written.get(slot)

    def written(self, slot: int, place: TopicPartition) -> int:
        """Up to where a slot is done in a partition by what is written; 0 if that says nothing."""
        held = self._written.get(slot)
        return held.offsets.get(place, 0) if held is not None else 0

    async def commit(self, feeds: Iterable[Feed]) -> None:
        """Write what has moved since the last time; returns when Kafka has it."""
        feeds = list(feeds)
        incomplete = {slot for feed in feeds if feed.restoring for slot in feed.reader.slots}
        feeds = [feed for feed in feeds if not feed.restoring]
        moving: dict[int, bool] = {}

        def due() -> list[progress_log.SlotProgress]:
            places = {slot: own for slot, own in _places(feeds).items() if slot not in incomplete}
            places |= self._leaving
            if time.monotonic() - self._floors_at > _FLOOR_SECONDS or not self._floors_known(places):
                self.refresh_floors(feeds)
            entries = [self._progress(slot, own) for slot, own in places.items()]
            moving.update({entry.slot: not entry.ahead or self._has_moved(entry) for entry in entries})
            return [entry for entry in entries if not _is_same(entry, self._written.get(entry.slot))]

        await self._write(due)
        for feed in feeds:
            if not feed.closed:  # else it has ended meanwhile, and what it brought is another's
                await self._commit_group(feed)
        self._note_age(moving)
        self.commits += 1

    def _note_age(self, moving: Mapping[int, bool]) -> None:
        """Slots that got further, or have nothing under way, are as new as can be."""
        now = time.time()
        self._moved_at = {
            slot: now if moves else self._moved_at.get(slot, now) for slot, moves in moving.items()
        }
        self.committed_at = min(self._moved_at.values(), default=now)

    def _has_moved(self, entry: progress_log.SlotProgress) -> bool:
        before = self._written.get(entry.slot)
        return before is None or before.offsets != entry.offsets

    def _progress(self, slot: int, places: Mapping[TopicPartition, Left]) -> progress_log.SlotProgress:
        held = self._floors.get(slot, {})
        offsets = {place: next(iter(pending), reached) for place, (reached, pending) in places.items()}
        floors = {place: min(offset, held.get(place, offset)) for place, offset in offsets.items()}
        ahead = {
            place: progress_log.Ahead(reached, pending.behind())
            for place, (reached, pending) in places.items()
            if pending
        }
        before = self._written.get(slot)
        # A resource made anew counts from 1 again: what it writes must not look older than what is there.
        epoch = max(self.epoch, before.epoch) if before is not None else self.epoch
        return progress_log.SlotProgress(slot, self._owner, epoch, offsets, floors, ahead=ahead)

    def _floors_known(self, places: Mapping[int, Mapping[TopicPartition, Left]]) -> bool:
        return all(self._floors.get(slot, {}).keys() >= own.keys() for slot, own in places.items())

    def refresh_floors(self, feeds: Iterable[Feed]) -> None:
        """Look up how far back a rebuild would have to go; an older floor only makes it longer.

        Where a slot has no window its floor is its progress: whatever it takes next is not before that.
        """
        self._floors_at = time.monotonic()
        of_windows = self._engine.floors()
        shared = of_windows.get(-1, {})
        for slot, places in _places(feeds).items():
            own = of_windows.get(slot, {})
            offsets = {place: next(iter(pending), reached) for place, (reached, pending) in places.items()}
            self._floors[slot] = {
                place: min(offset, own.get(place, offset), shared.get(place, offset))
                for place, offset in offsets.items()
            }

    async def initial(self, feed: Feed) -> None:
        """Keep where new slots start, before a record is taken: a crash must not move `latest` on.

        In transactions it says of all the slots whose they are from now on.
        """
        self._floors_at = -math.inf  # look them up once the windows are there, and not only in a while
        entries = []
        for slot in feed.reader.slots:
            parts = {place: part for place, part in feed.parts.items() if slot in part.done.before}
            held = self._written[slot].floors if slot in self._written else {}
            self._floors[slot] = {
                place: min(part.progress.position, held.get(place, part.progress.position))
                for place, part in parts.items()
            }
            if slot not in self._written:
                start = {p: (part.done.before[slot], progress.Pending()) for p, part in parts.items()}
                entries.append(self._progress(slot, start))
            elif self._writer.is_transactional:
                entries.append(self._claimed(self._written[slot]))
        await self._write(lambda: entries)

    def _claimed(self, held: progress_log.SlotProgress) -> progress_log.SlotProgress:
        epoch = max(self.epoch, held.epoch)
        return dataclasses.replace(held, owner=self._owner, epoch=epoch, released=False)

    async def release(
        self, left: Mapping[TopicPartition, Mapping[int, Left]], slots: Iterable[int], within_seconds: float
    ) -> bool:
        """Wait until lost slots have nothing pending, then say how far they got and let go of them.

        False if time was over first; in transactions they are not let go of then, for what is under way
        would be written by two.
        """
        deadline = time.monotonic() + within_seconds
        slots = sorted(slots)
        for slot in slots:
            self._leaving[slot] = {place: own[slot] for place, own in left.items() if slot in own}
        while any(pending for places in left.values() for _, pending in places.values()):
            if time.monotonic() > deadline:
                if self._writer.is_transactional:
                    return False
                break
            await asyncio.sleep(0.01)

        def due() -> list[progress_log.SlotProgress]:
            return [
                dataclasses.replace(self._progress(slot, self._leaving[slot]), released=True)
                for slot in slots
            ]

        await self._write(due)
        return time.monotonic() <= deadline

    async def _write(self, due: progress_writing.Due) -> None:
        async with self._writing:  # what is let go of must not be written again
            for entry in await self._writer.write(due):
                self._written[entry.slot] = entry
                if entry.released:
                    self._leaving.pop(entry.slot, None)

    async def _commit_group(self, feed: Feed) -> None:
        lowest = {place: part.progress.lowest() for place, part in feed.parts.items()}
        try:
            await feed.source.commit(lowest)
            self._group_warned = False
        except (ports.KafkaUnavailable, ports.KafkaRefused) as error:
            if not self._group_warned:
                log.warning("the group's offsets, kept for lag tools only, were not committed: %s", error)
            self._group_warned = True


def _places(feeds: Iterable[Feed]) -> dict[int, dict[TopicPartition, Left]]:
    """How far each slot was taken in each partition and what of that is not done, from whichever feed."""
    places: dict[int, dict[TopicPartition, Left]] = {}
    for feed in feeds:
        for place, part in feed.parts.items():
            for slot, pending in part.progress.pending.items():
                places.setdefault(slot, {})[place] = (part.progress.reached(slot), pending)
    return places


def _is_same(entry: progress_log.SlotProgress, before: progress_log.SlotProgress | None) -> bool:
    """Whether it says nothing new; who wrote it when is no news."""
    return before is not None and entry == dataclasses.replace(before, process="", number=0)
