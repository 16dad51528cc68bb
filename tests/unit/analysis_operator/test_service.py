"""The operator works on its queue: whose turn it is after a pass, and which passes have failed."""

import asyncio
from typing import cast

import pytest

from analysis_operator.cluster.api import ApiError, NamespaceEnding
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


class Failing:
    """A reconciler whose first pass ends with this error and whose second one ends the work."""

    def __init__(self, error: Exception) -> None:
        self._errors = [error, asyncio.CancelledError()]

    async def reconcile(self, key: Key) -> float:
        """One more pass."""
        raise self._errors.pop(0)


@pytest.mark.parametrize(
    ("error", "failed"),
    [(NamespaceEnding(403, "it is being deleted"), 0), (ApiError(403, "forbidden"), 1)],
    ids=["namespace that is being deleted", "missing right"],
)
async def test_what_cannot_be_made_in_a_namespace_that_is_being_deleted_is_no_failure(
    error: Exception, failed: int
) -> None:
    operator = Operator(Settings(), Place())
    operator._reconciler = cast(Reconciler, Failing(error))
    for name in ("first", "second"):
        operator._queue.add(Key("default", name))
    with pytest.raises(asyncio.CancelledError):
        await operator._work()
    assert operator.metrics.errors.labels("http-403")._value.get() == failed
    assert operator._queue.failing() == failed
