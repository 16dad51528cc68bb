"""Two workers of one module in memory, and slots that go from one to the other."""

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Iterable
from typing import Any

from analysis_worker import service
from tests.unit.analysis_worker.in_memory import until
from tests.unit.analysis_worker.serving import SLOTS, Serving, stations_of

FIRST, SECOND = frozenset(range(4)), frozenset(range(4, 8))
MOVED = frozenset({2, 3})
ALL = stations_of(range(SLOTS))


class Pair:
    """Two workers of one module, and slots that go from one to the other."""

    def __init__(self, serving: Serving, a: service.Worker, b: service.Worker) -> None:
        self.serving = serving
        self.workers = {"a": a, "b": b}
        self.epoch = 0

    async def arriving(self, **slots: Iterable[int]) -> None:
        """Slots that are about to arrive; what each owns stays."""
        for owner, arriving in slots.items():
            told = dataclasses.replace(self.workers[owner].assignment, arriving=frozenset(arriving))
            await self.workers[owner].apply(told)

    async def follow(self, **slots: Iterable[int]) -> None:
        """Slots that are about to arrive, followed until that owner is up with theirs."""
        await self.arriving(**slots)
        for owner, arriving in slots.items():
            await self.followed(owner, arriving)

    async def followed(self, owner: str, slots: Iterable[int]) -> None:
        """Wait until a worker is up with the owners of these slots."""
        report, wanted = self.workers[owner].report, tuple(sorted(slots))
        await until(lambda: report.status().followed_slots == wanted, "the slots are followed")

    async def tell(self, **slots: Iterable[int]) -> None:
        """New slots for workers, in this order, all of one epoch."""
        self.epoch += 1
        for owner, owned in slots.items():
            told = self.serving.told(owner, owned, self.epoch)
            await self.workers[owner].apply(told)

    async def move(self, slots: frozenset[int], *, wait: bool = True) -> None:
        """From a to b."""
        a, b = (self.workers[name].assignment.slots for name in "ab")
        await self.tell(a=a - slots, b=b | slots)
        if wait:
            await self.settled()

    async def settled(self) -> None:
        """Wait until nothing is being taken over."""
        await until(
            lambda: not any(worker.moves.gains for worker in self.workers.values()), "slots are taken over"
        )

    def stations(self, name: str) -> set[str]:
        """The stations that a worker has."""
        return {s.id for s in self.workers[name].engine.stations.values() if s.owned}


@contextlib.asynccontextmanager
async def a_pair(serving: Serving, **options: Any) -> AsyncIterator[Pair]:
    async with (
        serving.running(serving.told("a", FIRST), **options) as a,
        serving.running(serving.told("b", SECOND), **options) as b,
    ):
        yield Pair(serving, a, b)
