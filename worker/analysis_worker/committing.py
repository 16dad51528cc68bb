"""Progress to Kafka: what is done, per slot, and the lowest of it to the consumer group for lag tools."""

import asyncio
import dataclasses
import logging
import time
from collections.abc import Iterable, Mapping

from analysis_worker.engine.engine import Engine
from analysis_worker.engine.records import TopicPartition
from analysis_worker.feeding import Feed, Left
from analysis_worker.kafka import outbox, ports, progress_log

log = logging.getLogger(__name__)

_FLOOR_SECONDS = 20.0


class Committer:
    """Writes progress records; knows the newest of every slot it wrote."""

    def __init__(self, engine: Engine, box: outbox.Outbox, *, topic: str, owner: str) -> None:
        self.epoch = 0
        self.committed_at: float | None = None  # when all that was done was last known to be in Kafka
        self.commits = 0
        self._engine = engine
        self._box = box
        self._topic = topic
        self._owner = owner
        self._written: dict[int, progress_log.SlotProgress] = {}
        self._floors: dict[int, dict[TopicPartition, int]] = {}
        self._floors_at = time.monotonic()
        self._group_warned = False

    def remember(self, held: Mapping[int, progress_log.SlotProgress]) -> None:
        """What the progress topic already says."""
        self._written.update(held)

    async def commit(self, feeds: Iterable[Feed]) -> None:
        """Write what has moved since the last time; returns when Kafka has it."""
        feeds = list(feeds)
        incomplete = {slot for feed in feeds if feed.restoring for slot in feed.reader.slots}
        feeds = [feed for feed in feeds if not feed.restoring]
        offsets = {slot: places for slot, places in _offsets(feeds).items() if slot not in incomplete}
        if time.monotonic() - self._floors_at > _FLOOR_SECONDS or not self._floors_known(offsets):
            self.refresh_floors(feeds)
        entries = [self._progress(slot, offsets[slot]) for slot in offsets]
        entries = [entry for entry in entries if self._written.get(entry.slot) != entry]
        is_further = any(self._has_moved(entry) for entry in entries)
        await self._write(entries)
        for feed in feeds:
            if not feed.closed:  # else it has ended meanwhile, and what it brought is another's
                await self._commit_group(feed)
        if is_further or not any(part.progress.outstanding for feed in feeds for part in feed.parts.values()):
            self.committed_at = time.time()
        self.commits += 1

    def _has_moved(self, entry: progress_log.SlotProgress) -> bool:
        before = self._written.get(entry.slot)
        return before is None or before.offsets != entry.offsets

    def _progress(self, slot: int, offsets: Mapping[TopicPartition, int]) -> progress_log.SlotProgress:
        held = self._floors.get(slot, {})
        floors = {place: min(offset, held.get(place, offset)) for place, offset in offsets.items()}
        before = self._written.get(slot)
        # A resource made anew counts from 1 again: what it writes must not look older than what is there.
        epoch = max(self.epoch, before.epoch) if before is not None else self.epoch
        return progress_log.SlotProgress(slot, self._owner, epoch, offsets, floors)

    def _floors_known(self, offsets: Mapping[int, Mapping[TopicPartition, int]]) -> bool:
        return all(self._floors.get(slot, {}).keys() >= places.keys() for slot, places in offsets.items())

    def refresh_floors(self, feeds: Iterable[Feed]) -> None:
        """Look up how far back a rebuild would have to go; an older floor only makes it longer.

        Where a slot has no window its floor is its progress: whatever it takes next is not before that.
        """
        self._floors_at = time.monotonic()
        of_windows = self._engine.floors()
        shared = of_windows.get(-1, {})
        for slot, offsets in _offsets(feeds).items():
            own = of_windows.get(slot, {})
            self._floors[slot] = {
                place: min(offset, own.get(place, offset), shared.get(place, offset))
                for place, offset in offsets.items()
            }

    async def initial(self, feed: Feed) -> None:
        """Keep where new slots start, before a record is taken: a crash must not move `latest` on."""
        entries = []
        for slot in feed.reader.slots:
            parts = {place: part for place, part in feed.parts.items() if slot in part.resume}
            self._floors[slot] = {place: part.progress.position for place, part in parts.items()}
            if slot not in self._written:
                entries.append(self._progress(slot, {p: part.resume[slot] for p, part in parts.items()}))
        await self._write(entries)

    async def release(
        self, left: Mapping[TopicPartition, Mapping[int, Left]], slots: Iterable[int], within_seconds: float
    ) -> bool:
        """Wait until lost slots have nothing pending, then say how far they got and let go of them."""
        deadline = time.monotonic() + within_seconds
        slots = sorted(slots)
        while any(pending for places in left.values() for _, pending in places.values()):
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(0.01)
        entries = []
        for slot in slots:
            own = {place: slots_left[slot] for place, slots_left in left.items() if slot in slots_left}
            offsets = {place: next(iter(pending), reached) for place, (reached, pending) in own.items()}
            entries.append(dataclasses.replace(self._progress(slot, offsets), released=True))
        await self._write(entries)
        return time.monotonic() <= deadline

    async def _write(self, entries: Iterable[progress_log.SlotProgress]) -> None:
        acknowledged = asyncio.Event()
        entries = list(entries)
        left = len(entries)

        def done() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                acknowledged.set()

        for entry in entries:
            self._written[entry.slot] = entry
            self._box.put(entry.message(self._topic), done)
        if entries:
            await acknowledged.wait()

    async def _commit_group(self, feed: Feed) -> None:
        lowest = {place: part.progress.lowest() for place, part in feed.parts.items()}
        try:
            await feed.source.commit(lowest)
            self._group_warned = False
        except (ports.KafkaUnavailable, ports.KafkaRefused) as error:
            if not self._group_warned:
                log.warning("the group's offsets, kept for lag tools only, were not committed: %s", error)
            self._group_warned = True


def _offsets(feeds: Iterable[Feed]) -> dict[int, dict[TopicPartition, int]]:
    """Next offset of each slot in each partition, from whichever feed brings it."""
    offsets: dict[int, dict[TopicPartition, int]] = {}
    for feed in feeds:
        for place, part in feed.parts.items():
            for slot in part.progress.pending:
                offsets.setdefault(slot, {})[place] = part.progress.next_offset(slot)
    return offsets
