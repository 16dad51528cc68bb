"""A feed of slots that another worker still has: their windows are brought up behind that owner.

It reads what the owner's progress says is done, and no more: into windows, without callbacks, dead letters or
copies. Once the slots are this worker's own it goes on as the feed that takes them over, with nothing left to
restore but what came last: so the gap of a slot that moves does not depend on how long its windows are.
"""

import bisect
import operator
import time
from collections.abc import Mapping, Sequence
from typing import Any

from analysis_worker import feeding, starting
from analysis_worker.engine import intake, progress
from analysis_worker.engine.records import Record, TopicPartition
from analysis_worker.kafka import progress_log

_POLL_SECONDS = 0.1
_ALWAYS_DONE = 1 << 62
_OFFSET = operator.attrgetter("offset")

Newest = Mapping[int, progress_log.SlotProgress]
"""The progress of each slot that its owner has written."""


class FollowingFeed(feeding.Feed):
    """Follows until `go_on`; from then on it is a feed like others."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.following = True
        self._limits: dict[TopicPartition, int] = {}
        self._beyond: dict[TopicPartition, Sequence[Record]] = {}  # fetched, and not allowed yet

    async def _place(
        self, places: Sequence[TopicPartition], held: starting.Progress, kept: starting.Kept
    ) -> None:
        await super()._place(places, held, kept)
        if self.following:
            for part in self.parts.values():
                _mute(part)

    async def _recall(self) -> None:
        await self._flow.keeper.recall(self, first=False, writes=not self.following)

    def allow(self, newest: Newest) -> None:
        """Read all that is done by now, of every slot: one that is further ahead waits for the others.

        Of a partition that some slot's progress does not name yet nothing may be read.
        """
        for place, part in self.parts.items():
            slots = part.progress.pending.keys() & newest.keys()
            done = [newest[slot].offsets[place] for slot in slots if place in newest[slot].offsets]
            if len(done) == len(part.progress.pending):
                self._limits[place] = min(done, default=part.progress.position)

    @property
    def is_up(self) -> bool:
        """Whether all that is allowed is in the windows."""
        return all(
            part.progress.position >= self._limits.get(p, _ALWAYS_DONE) for p, part in self.parts.items()
        )

    async def step(self) -> int:
        """One poll, and what is allowed of it; how many records went into windows."""
        if not self.following:
            return await super().step()
        if self._reassign:
            self._beyond.clear()
            await self._assign()
        batches = self._set_free() or await self.source.poll(wait_seconds=_POLL_SECONDS, most=self._most)
        self.polled_at = time.monotonic()
        brought = 0
        for place, records in batches.items():
            allowed = self._allowed(place, records)
            brought += len(allowed)
            if allowed:
                await self._take(self.parts[place], allowed)
        for place, part in self.parts.items():
            if place not in batches and place not in self._beyond:  # gaps bring no record
                part.progress.position = max(part.progress.position, await self.source.position(place))
        return brought

    def _set_free(self) -> dict[TopicPartition, Sequence[Record]]:
        """What waited and is allowed by now."""
        places = [p for p, records in self._beyond.items() if records[0].offset < self._limits.get(p, 0)]
        self.source.resume(places)
        return {place: self._beyond.pop(place) for place in places}

    def _allowed(self, place: TopicPartition, records: Sequence[Record]) -> Sequence[Record]:
        """The records below the limit; the others wait, and nothing more is fetched meanwhile."""
        count = bisect.bisect_left(records, self._limits.get(place, 0), key=_OFFSET)
        if count < len(records):
            self._beyond[place] = records[count:]
            self.source.pause([place])
        return records[:count]

    def _pause(self, place: TopicPartition) -> None:
        if not self.following:  # copies that another owner writes hold nothing up
            super()._pause(place)

    async def reconnect(self) -> None:
        """Connect anew, as credentials or brokers may be others by now."""
        self._reassign = True
        await self.source.start()

    def split(self, slots: set[int], other: "FollowingFeed") -> None:
        """Leave some of the slots to another feed, which follows them from here."""
        for place, part in list(self.parts.items()):
            own = slots & part.progress.pending.keys()
            if own:
                other.parts[place] = _split(part, own)
                other.lags[place] = self.lags[place]
            if not part.progress.pending:
                del self.parts[place]
                self._reassign = True
        self.reader.slots -= slots

    async def go_on(self, held: starting.Progress) -> None:
        """The slots are this worker's from now on, done as far as `held` says; may be tried again."""
        self.following = False
        if not self.connected:
            await self.source.start()
        places = await self._found()
        bounds = await self.source.bounds(places)
        await self._place([place for place in places if place not in self.parts], held, {})
        for place, part in self.parts.items():
            start = starting.Start(place, bounds[place], None, self._reset(place, held))
            starting.go_on(part, start, held)
            self._replayed[place] = starting.replayed(part)
            self.lags[place].end_offset = bounds[place][1]
        await self._flow.keeper.remember(self)
        await self._assign()
        self.connected, self._look_at = True, 0.0


def _mute(part: intake.PartitionIntake) -> None:
    part.done = progress.Done(dict.fromkeys(part.progress.pending, _ALWAYS_DONE))


def _split(part: intake.PartitionIntake, slots: set[int]) -> intake.PartitionIntake:
    """Another intake of the partition, which has these slots from now on; as far as this one is."""
    other = intake.PartitionIntake(
        part.source, part.origin.partition, position=part.progress.position, slots=()
    )
    other.restoring, other.last_timestamp = part.restoring, part.last_timestamp
    for slot in slots:
        other.progress.pending[slot] = part.progress.pending.pop(slot)
        if slot in part.progress.skip:
            other.progress.skip[slot] = part.progress.skip.pop(slot)
    part.done.forget(slots)
    return other
