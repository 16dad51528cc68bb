"""Slots that come and go: lost ones are let go of, gained ones taken over, arriving ones followed."""

import asyncio
import functools
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from analysis_module import assignment as assignments
from analysis_worker import feeding, followers, following, starting
from analysis_worker.engine import intake

if TYPE_CHECKING:
    from analysis_worker.service import Worker

log = logging.getLogger(__name__)


class Moves:
    """Brings a worker's slots to what its newest Assignment says.

    `gains` are feeds that bring slots up, until the worker's first feed carries on with them. `releasing` are
    slots that are no longer owned but have something under way, `released` those that were let go of.
    """

    def __init__(self, worker: "Worker") -> None:
        self.gains: list[feeding.Feed] = []
        self.releasing: tuple[int, ...] = ()
        self.released: tuple[int, ...] = ()
        self.followers = followers.Followers(
            followers.Needs(
                worker.engine,
                followers.ProgressTail(worker.assembly.wiring.progress_topic, worker.connector.source),
                functools.partial(worker.make_feed, following.FollowingFeed),
                functools.partial(worker.checkpoints.restore, worker.engine, gained=True),
                worker.spawn,
            )
        )
        self._worker = worker
        self._arrivals: dict[feeding.Feed, asyncio.Task[None]] = {}

    async def move(self, before: assignments.Assignment, now: assignments.Assignment) -> None:
        """From what an Assignment said to what another says."""
        lost, gained = before.slots - now.slots, now.slots - before.slots
        self.releasing = tuple(sorted(lost))
        if lost:
            await self._lose(lost)
        if gained:
            await self._gain(gained)
        await self.followers.follow(now.arriving)

    def settling(self) -> set[int]:
        """Slots whose stations are not what they will be: their records are still replayed."""
        return {slot for gain in self.gains for slot in gain.reader.slots}

    async def _lose(self, slots: frozenset[int]) -> None:
        """Let go of slots: take no more, finish what is under way, say how far, and only then forget."""
        worker = self._worker
        arriving = [task for gain, task in self._arrivals.items() if gain.reader.slots & slots]
        if arriving:  # what is being taken over is let go of once it is
            await asyncio.wait(arriving)
        await worker.feed.live.wait()  # records held while windows are restored are not lost sight of
        worker.committer.refresh_floors([worker.feed])
        left = worker.feed.lose(slots)
        worker.flow.keeper.lose(slots)
        gone = worker.engine.disown(slots)
        if not await worker.committer.release(left, slots, worker.settings.release_within_seconds):
            log.error("slots %s are released with callbacks still under way", sorted(slots))
            if worker.delivery.ledger is not None:
                worker.delivery.ledger.give_way()  # another takes them over: not both may write what they ask
        worker.flow.forget(gone)
        await worker.checkpoints.forget(slots)
        self.released = tuple(sorted((set(self.released) | slots) - worker.assignment.slots))
        self.releasing = ()

    async def _gain(self, slots: frozenset[int]) -> None:
        """Take slots over, and let the first feed carry on: what was not followed is restored beside it."""
        worker = self._worker
        held = await worker.take_slots(slots)
        self.released = tuple(slot for slot in self.released if slot not in slots)
        followed = await self.followers.hand_over(slots)
        fresh = slots.difference(*(feed.reader.slots for feed in followed))
        restored = [self._feed_of(fresh)] if fresh else []
        self.gains += [*followed, *restored]
        worker.engine.own(slots)
        worker.feed.expect(slots)
        for feed in followed:
            await worker.reached(functools.partial(feed.go_on, held))
            await worker.committer.initial(feed)
            self._arrive(feed)
        for gain in restored:
            await self.restore(gain, held)
            self._arrive(gain)

    def _feed_of(self, slots: frozenset[int]) -> feeding.Feed:
        reader = intake.Reader(self._worker.engine, slots, keeps_unclaimed=False)
        return self._worker.make_feed(feeding.Feed, reader)

    def _arrive(self, gain: feeding.Feed) -> None:
        self._arrivals[gain] = self._worker.spawn(functools.partial(self._bring_up, gain))

    async def restore(self, feed: feeding.Feed, held: starting.Progress) -> None:
        """Put the windows that were kept of a feed's slots into the engine, and let it begin."""
        worker = self._worker
        own = {slot: each for slot, each in held.items() if slot in feed.reader.slots}
        kept = await worker.checkpoints.restore(worker.engine, own, gained=feed in self.gains)
        await worker.reached(functools.partial(feed.begin, own, kept))
        await worker.committer.initial(feed)

    def recover(self, parts: Sequence[frozenset[int]], held: starting.Progress) -> None:
        """Bring slots back part by part at a start, while the first feed is at work already."""
        worker = self._worker
        gains = [self._feed_of(part) for part in parts]
        for gain in gains:
            worker.feed.expect(gain.reader.slots)
        self.gains += gains
        if gains:
            self._arrivals |= dict.fromkeys(gains, worker.spawn(lambda: self._recover(gains, held)))

    async def _recover(self, gains: Sequence[feeding.Feed], held: starting.Progress) -> None:
        for gain in gains:
            await self.restore(gain, held)
            await self._bring_up(gain)

    async def _bring_up(self, gain: feeding.Feed) -> None:
        while gain.restoring or not self._worker.feed.take_over(gain):
            await gain.attempt()
        self.gains.remove(gain)
        del self._arrivals[gain]
        await gain.close()
        log.info("slots %s are taken over", sorted(gain.reader.slots))
