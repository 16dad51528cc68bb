"""Taking slots over: once whoever had them let go of them, or after a time if it never does.

With transactions a former owner that may still live is barred first, by its own transactional id, and the
slots are claimed by that id too: either the claim is committed, or the former owner has come back before it
and the claim is tried again. So what it had under way is given up, and it can write nothing any more.
"""

import asyncio
import dataclasses
import functools
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol, TypeVar

from analysis_worker.kafka import ports, progress_log, transactions

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.1
_T = TypeVar("_T")


class Reached(Protocol):
    """Tries until Kafka answers."""

    def __call__(self, attempt: Callable[[], Awaitable[_T]], /) -> Awaitable[_T]:
        """What the attempt gives at last."""


@dataclasses.dataclass(frozen=True)
class Transactional:
    """Producers by transactional id, each of which bars whoever else writes by it."""

    group_id: str
    make_sink: Callable[[str], ports.TransactionalSink]

    def sink_of(self, owner: str) -> ports.TransactionalSink:
        """A producer that writes as this owner."""
        return self.make_sink(transactions.transactional_id(self.group_id, owner))


@dataclasses.dataclass(frozen=True)
class Claimant:
    """Who takes slots over: an owner, the epoch of its Assignment, and the process (see `SlotProgress`)."""

    owner: str
    epoch: int
    process: str

    def lacks(self, held: progress_log.SlotProgress) -> bool:
        """Whether another owner has not let go of the slot."""
        return not held.released and held.owner != self.owner

    def claim(self, held: progress_log.SlotProgress) -> progress_log.SlotProgress:
        """The same progress as this one's own."""
        epoch = max(self.epoch, held.epoch)  # a resource made anew counts from 1 again
        return dataclasses.replace(
            held, owner=self.owner, epoch=epoch, released=False, process=self.process, number=0
        )


class Claims:
    """Finds out how far slots have got, and makes sure that nobody else goes on with them."""

    def __init__(
        self,
        topic: str,
        make_source: Callable[[], ports.Source],
        reached: Reached,
        transactional: Transactional | None = None,
    ) -> None:
        self._topic = topic
        self._make_source = make_source
        self._reached = reached
        self._transactional = transactional

    async def take(
        self, slots: Iterable[int], claimant: Claimant, takeover_after_seconds: float
    ) -> dict[int, progress_log.SlotProgress]:
        """Progress of slots, once whoever had them let go; a dead owner is waited for only so long."""
        wanted = set(slots)
        source = self._make_source()
        deadline = time.monotonic() + takeover_after_seconds
        try:
            await self._reached(source.start)
            while True:
                # What is open and stuck may be what has to be barred: it is not waited for before that.
                newest, busy = await self._look(source, wanted, claimant, settled=False)
                if not busy and self._transactional is not None:
                    newest, busy = await self._look(source, wanted, claimant, settled=True)
                if not busy:
                    break
                if time.monotonic() < deadline:
                    await asyncio.sleep(_LOOK_SECONDS)
                    continue
                numbers = sorted(progress.slot for progress in busy)
                log.warning("slots %s were never let go of by their owner; taken over", numbers)
                if self._transactional is None:
                    break
                claim = functools.partial(self._claim, busy[0].owner, wanted, claimant, source)
                await self._reached(claim)
        finally:
            await source.close()
        return {slot: newest[slot] for slot in wanted if slot in newest}

    async def _look(
        self, source: ports.Source, wanted: set[int], claimant: Claimant, *, settled: bool
    ) -> tuple[dict[int, progress_log.SlotProgress], list[progress_log.SlotProgress]]:
        """The newest progress, and that of the wanted slots which another owner has not let go of."""
        newest = await self._reached(functools.partial(self._load, source, settled=settled))
        return newest, [newest[slot] for slot in wanted if slot in newest and claimant.lacks(newest[slot])]

    async def newest(self) -> dict[int, progress_log.SlotProgress]:
        """The progress of all slots as it is committed now; raises KafkaUnavailable or KafkaRefused."""
        source = self._make_source()
        try:
            await source.start()
            return await self._load(source, settled=True)
        finally:
            await source.close()

    async def _load(self, source: ports.Source, *, settled: bool) -> dict[int, progress_log.SlotProgress]:
        try:
            return await progress_log.load(source, self._topic, transactional=settled)
        except (ports.KafkaUnavailable, ports.KafkaRefused):
            await source.start()  # anew: by now there may be other credentials
            raise

    async def _claim(self, former: str, slots: set[int], claimant: Claimant, source: ports.Source) -> None:
        """Bar a former owner, and claim those of the slots that are still its own."""
        assert self._transactional is not None
        sink = self._transactional.sink_of(former)
        await sink.start()
        try:
            newest = await self._load(source, settled=True)
            left = [each for each in newest.values() if each.slot in slots and each.owner == former]
            claims = [claimant.claim(each) for each in left if not each.released]
            await transactions.send_keyed(sink, [claim.message(self._topic) for claim in claims])
            await sink.commit()
        finally:
            await sink.close()
