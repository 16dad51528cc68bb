"""Slots that are about to arrive: followed behind their owner until they are this worker's, or never will."""

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping

from analysis_worker import starting
from analysis_worker.engine import intake
from analysis_worker.engine.engine import Engine
from analysis_worker.following import FollowingFeed
from analysis_worker.kafka import ports, progress_log

log = logging.getLogger(__name__)

_PAUSE_SECONDS = 1.0
_POLL_SECONDS = 0.2
_MOST = 5000


class ProgressTail:
    """The newest progress of every slot, kept up while `run` runs."""

    def __init__(self, topic: str, make_source: Callable[[], ports.Source]) -> None:
        self.newest: dict[int, progress_log.SlotProgress] = {}
        self._topic = topic
        self._make_source = make_source

    async def run(self) -> None:
        """Read what owners write, until cancelled."""
        self.newest.clear()  # what it said when it was last read is no measure
        while True:
            source = self._make_source()
            try:
                await source.start()
                self.newest.update(await progress_log.load(source, self._topic))
                while True:
                    batches = await source.poll(wait_seconds=_POLL_SECONDS, most=_MOST)
                    for records in batches.values():
                        progress_log.remember(self.newest, records)
            except (ports.KafkaUnavailable, ports.KafkaRefused, ports.OffsetsOutOfRange) as error:
                log.warning("following waits for the progress of other workers: %s", error)
                await asyncio.sleep(_PAUSE_SECONDS)
            finally:
                await source.close()


@dataclasses.dataclass(frozen=True)
class Needs:
    """What followers need of their worker.

    `restore` puts windows that were kept somewhere into the engine, `spawn` does work beside all else.
    """

    engine: Engine
    tail: ProgressTail
    make_feed: Callable[[intake.Reader], FollowingFeed]
    restore: Callable[[Mapping[int, progress_log.SlotProgress]], Awaitable[starting.Kept]]
    spawn: Callable[[Callable[[], Awaitable[None]]], asyncio.Task[None]]


class Follower:
    """Follows some slots, with one feed; `is_up` once that has come as far as their owners, and stays so."""

    def __init__(self, slots: set[int], needs: Needs) -> None:
        self.slots = slots
        self.begun = False
        self.is_up = False
        self._needs = needs
        self._task: asyncio.Task[None] | None = None
        self.feed = self._feed_of(slots)

    def _feed_of(self, slots: set[int]) -> FollowingFeed:
        return self._needs.make_feed(intake.Reader(self._needs.engine, slots, keeps_unclaimed=False))

    def start(self) -> None:
        """Follow, from where it is."""
        self._task = self._needs.spawn(self._run)

    async def pause(self) -> None:
        """Follow no further: what was taken is in the windows."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def leave(self, slots: set[int]) -> FollowingFeed:
        """Another feed of some of the slots, while paused; it is as far as this one."""
        other = self._feed_of(slots)
        self.feed.split(slots, other)
        self.slots -= slots
        return other

    async def _run(self) -> None:
        while True:
            try:
                if not self.begun:
                    await self._begin()
                else:
                    self.feed.allow(self._needs.tail.newest)
                    await self.feed.step()
                    self.is_up = self.is_up or self.feed.is_up
                if self._needs.engine.mistaken_slots & self.slots:
                    await self._anew()
            except ports.OffsetsOutOfRange:
                log.warning("records that slots %s need are no longer held: read again", sorted(self.slots))
                await self._anew()
            except (ports.KafkaUnavailable, ports.KafkaRefused) as error:
                log.warning("following waits: %s", error)
                await asyncio.sleep(_PAUSE_SECONDS)
                await self._reconnect()

    async def _begin(self) -> None:
        """Take the positions up, once every slot has some progress."""
        held = {slot: self._needs.tail.newest[slot] for slot in self.slots if slot in self._needs.tail.newest}
        if len(held) < len(self.slots):
            await asyncio.sleep(_POLL_SECONDS)
            return
        await self.feed.begin(held, await self._needs.restore(held))
        self.begun = True

    async def _anew(self) -> None:
        await self.feed.close()
        self._needs.engine.unfollow(self.slots)
        self._needs.engine.follow(self.slots)
        self.feed = self._feed_of(set(self.slots))
        self.begun = self.is_up = False

    async def _reconnect(self) -> None:
        if self.begun:
            with contextlib.suppress(ports.KafkaUnavailable, ports.KafkaRefused):
                await self.feed.reconnect()


class Followers:
    """Follows the slots that a worker's Assignment says are arriving."""

    def __init__(self, needs: Needs) -> None:
        self._needs = needs
        self._followers: list[Follower] = []
        self._reading: asyncio.Task[None] | None = None

    @property
    def slots(self) -> set[int]:
        """The slots that are followed."""
        return {slot for each in self._followers for slot in each.slots}

    @property
    def up(self) -> set[int]:
        """Those whose windows have come as far as their owners."""
        return {slot for each in self._followers if each.is_up for slot in each.slots}

    def progress(self) -> float:
        """How much of what is read again is read, 0 to 1, by the one that is furthest behind."""
        return min((each.feed.restore_progress() for each in self._followers), default=1.0)

    async def follow(self, arriving: Iterable[int]) -> None:
        """Follow these slots, and no others."""
        wanted = set(arriving)
        unwanted = self.slots - wanted
        for feed, _ in await self._leave(unwanted):
            await feed.close()
        self._needs.engine.unfollow(unwanted)
        if fresh := wanted - self.slots:
            self._needs.engine.follow(fresh)
            follower = Follower(fresh, self._needs)
            self._followers.append(follower)
            follower.start()
            log.info("slots %s are followed, to be taken over", sorted(fresh))
        await self._read_progress()

    async def hand_over(self, slots: Iterable[int]) -> list[FollowingFeed]:
        """Of these slots, which are this worker's now, the feeds that have windows: each is to `go_on`."""
        feeds = []
        for feed, begun in await self._leave(set(slots)):
            if begun:
                feeds.append(feed)
            else:
                self._needs.engine.unfollow(feed.reader.slots)
                await feed.close()
        await self._read_progress()
        return feeds

    async def anew(self) -> None:
        """Begin again: what is read, or into which windows, is another by now."""
        slots = self.slots
        await self.follow(())
        await self.follow(slots)

    async def close(self) -> None:
        """Follow nothing any more."""
        await self.follow(())

    async def _leave(self, slots: set[int]) -> list[tuple[FollowingFeed, bool]]:
        """Follow these no more; feeds of theirs, and whether they have begun."""
        left = []
        for each in list(self._followers):
            if own := each.slots & slots:
                await each.pause()
                if own == each.slots:
                    self._followers.remove(each)
                    left.append((each.feed, each.begun))
                else:
                    left.append((each.leave(own), each.begun))
                    each.start()
        return left

    async def _read_progress(self) -> None:
        """Read what others write as long as something is followed."""
        if self._followers and self._reading is None:
            self._reading = self._needs.spawn(self._needs.tail.run)
        elif not self._followers and self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
            self._reading = None
