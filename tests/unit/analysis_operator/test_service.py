"""The operator works on its queue: passes that wait for nothing leave the Lease and the probes their turn."""

import asyncio
from typing import cast

import pytest

from analysis_operator.decisions.observed import Key
from analysis_operator.reconciling.reconciler import Reconciler
from analysis_operator.service import Operator, Place
from analysis_operator.settings import Settings

PASSES = 100


class Endless:
    """A reconciler whose passes need nothing and are due again at once; the last one ends the work."""

    def __init__(self) -> None:
        self.passes = 0

    async def reconcile(self, key: Key) -> float:
        """One more pass."""
        self.passes += 1
        if self.passes == PASSES:
            raise asyncio.CancelledError
        return 0.0


async def test_others_have_their_turn_between_passes_that_are_due_without_end() -> None:
    operator, endless = Operator(Settings(), Place()), Endless()
    operator._reconciler = cast(Reconciler, endless)
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(take_turns())
    operator._queue.add(Key("default", "demo"))
    with pytest.raises(asyncio.CancelledError):
        await operator._work()
    other.cancel()
    assert turns >= PASSES - 1
