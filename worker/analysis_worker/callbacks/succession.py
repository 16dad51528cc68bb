"""One callback after another: the lanes in use, and former ones that end what they have.

A callback's `set_up` runs once before its first call and its `tear_down` once after its last, both where its
calls run.
"""

import asyncio
import contextlib
import logging
from typing import Final

from analysis_worker.callbacks import lanes, loading

log = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 0.05


class Succession:
    """The lanes of the callback that new calls are for (`current`), and of those before it."""

    def __init__(self, first: lanes.Lanes) -> None:
        self.current = first
        self._former: list[lanes.Lanes] = []
        self._ready: list[lanes.Lanes] = []

    async def set_up(self, fresh: lanes.Lanes) -> None:
        """Run `set_up` unless that was done; raises CallbackError, and then the lanes are of no use."""
        if fresh in self._ready:
            return
        try:
            await fresh.run_hook(fresh.callback.set_up)
        except Exception as error:
            if fresh is not self.current:
                await fresh.close()
            wrong = f"its set_up raised {type(error).__name__}: {error}"
            raise loading.CallbackError(f"callback: {wrong}; correct it, or what it needs") from error
        self._ready.append(fresh)

    def pass_to(self, fresh: lanes.Lanes) -> None:
        """New calls run in these from now on; what was submitted before ends where it is."""
        if fresh is not self.current:
            self._former.append(self.current)
            self.current = fresh

    def overdue(self) -> int:
        """Calls running past their timeout, in all lanes."""
        return sum(each.overdue() for each in (*self._former, self.current))

    async def stop(self, within_seconds: float) -> None:
        """Let running calls end within the bound."""
        await asyncio.gather(*(each.stop(within_seconds) for each in (*self._former, self.current)))

    async def tear_former_down(self) -> None:
        """Wait until the calls of former callbacks are over, then tear those down."""
        while self._former:
            for former in [each for each in self._former if each.at_rest()]:
                self._former.remove(former)
                await self._torn_down(former)
            await asyncio.sleep(_LOOK_SECONDS)

    async def tear_down(self, within_seconds: float) -> None:
        """Tear all callbacks down, within the bound; after `stop`."""
        every, self._former = (*self._former, self.current), []
        for each in every:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within_seconds / len(every)):
                    await self._torn_down(each)

    async def _torn_down(self, ended: lanes.Lanes) -> None:
        try:
            if ended in self._ready:
                self._ready.remove(ended)
                await ended.run_hook(ended.callback.tear_down)
        except Exception as error:  # the user's own; nothing depends on it any more
            log.error("the callback's tear_down failed: %s: %s", type(error).__name__, error, exc_info=error)
        finally:
            await ended.close()
