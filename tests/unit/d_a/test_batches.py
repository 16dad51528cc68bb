"""Results as batches: complete when nothing is under way, each station once, none lost."""

import asyncio
from typing import Any

from d_a import batches, errands


class Gathered:
    def __init__(self, longest_seconds: float = batches.LONGEST_SECONDS) -> None:
        self.batches: list[tuple[str, dict[str, Any]]] = []
        self.idle = False
        self.run = errands.Errands()
        self.batches_made = batches.Batches(
            self._take, lambda: self.idle, self.run, longest_seconds=longest_seconds
        )

    def _take(self, batch_id: str, results: dict[str, Any]) -> None:
        self.batches.append((batch_id, results))

    async def wait(self, count: int) -> list[dict[str, Any]]:
        async with asyncio.timeout(5):
            while len(self.batches) < count:
                await asyncio.sleep(0.01)
        return [results for _, results in self.batches]


async def test_a_batch_is_handed_over_when_nothing_is_under_way() -> None:
    gathered = Gathered()
    gathered.batches_made.add("S1", {"a": 1})
    gathered.batches_made.add("S2", {"a": 2})
    await asyncio.sleep(0.1)
    assert gathered.batches == []
    gathered.idle = True
    assert await gathered.wait(1) == [{"S1": {"a": 1}, "S2": {"a": 2}}]


async def test_a_result_of_none_is_left_out() -> None:
    gathered = Gathered()
    gathered.idle = True
    gathered.batches_made.add("S1", None)
    gathered.batches_made.add("S2", 0)
    assert await gathered.wait(1) == [{"S2": 0}]


async def test_a_second_result_of_a_station_begins_the_next_batch() -> None:
    gathered = Gathered()
    for number in (1, 2, 3):
        gathered.batches_made.add("S1", number)
    gathered.batches_made.close()
    assert await gathered.wait(3) == [{"S1": 1}, {"S1": 2}, {"S1": 3}]
    assert len({batch_id for batch_id, _ in gathered.batches}) == 3


async def test_a_batch_is_not_held_longer_than_its_bound() -> None:
    gathered = Gathered(longest_seconds=0.05)
    gathered.batches_made.add("S1", 1)
    assert not gathered.idle
    assert await gathered.wait(1) == [{"S1": 1}]


async def test_closing_without_a_result_calls_nobody() -> None:
    gathered = Gathered()
    gathered.batches_made.close()
    assert gathered.run.finish(0)
    assert gathered.batches == []
