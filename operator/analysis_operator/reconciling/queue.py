"""The work queue: each module at most once in it, never two passes for one module at a time.

An ask for a module that is being worked on is kept until that pass is over; a pass that failed comes back
with growing pauses of its own, so that one bad resource delays no other. A pause grows only if it has passed:
passes that edits ask for meanwhile find out nothing new of what is in the way.
"""

import asyncio
import heapq
import time
from collections import deque
from collections.abc import Callable

from analysis_operator.decisions.observed import Key

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 120.0
_EARLY = 1e-6
"""An event loop's timers run up to its clock's resolution too early: seconds that are no reason to wait."""


class Queue:
    """Modules to reconcile, first asked first served; `clock` gives seconds that only grow."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ready: deque[Key] = deque()
        self._asked_at: dict[Key, float] = {}
        self._working: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._again_at: dict[Key, float] = {}  # when the pause of one that failed is over
        self._later: list[tuple[float, Key]] = []
        self._due: dict[Key, float] = {}
        self._wake = asyncio.Event()

    # -- asking -------------------------------------------------------------------------------------

    def add(self, key: Key) -> None:
        """Ask for a pass now; asked for twice it is still one."""
        self._due.pop(key, None)
        if key in self._asked_at:
            return
        self._asked_at[key] = self._clock()
        if key not in self._working:
            self._ready.append(key)
            self._wake.set()

    def add_after(self, key: Key, seconds: float) -> None:
        """Ask for a pass in a while, if nothing asks for one sooner."""
        due = self._clock() + seconds
        if key in self._asked_at or self._due.get(key, due + 1) <= due:
            return
        self._due[key] = due
        heapq.heappush(self._later, (due, key))
        self._wake.set()

    # -- working ------------------------------------------------------------------------------------

    async def get(self) -> Key:
        """Wait for the next module; `done` must follow."""
        while True:
            self._promote()
            if self._ready:
                key = self._ready.popleft()
                self._asked_at.pop(key, None)
                self._working.add(key)
                return key
            self._wake.clear()
            pause = max(0.0, self._later[0][0] - self._clock()) if self._later else None
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def done(self, key: Key, *, failed: bool = False, again_after: float | None = None) -> float | None:
        """End a pass; the seconds until the next one if that is known already."""
        self._working.discard(key)
        if failed:
            again_after = max(again_after or 0.0, self._pause_after_failure(key))
        else:
            self._failures.pop(key, None)
            self._again_at.pop(key, None)
        if key in self._asked_at:  # asked for while it was worked on
            if failed:
                del self._asked_at[key]
            else:
                self._ready.append(key)
                self._wake.set()
                return 0.0
        if again_after is not None:
            self.add_after(key, again_after)
        return again_after

    def _pause_after_failure(self, key: Key) -> float:
        now = self._clock()
        left = self._again_at.get(key, now) - now
        if left > _EARLY:
            return left
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        pause = min(_FIRST_PAUSE * 2.0 ** min(failures - 1, 16), _LONGEST_PAUSE)
        self._again_at[key] = now + pause
        return pause

    def _promote(self) -> None:
        """Move what has become due to the ready ones."""
        soon = self._clock() + _EARLY
        while self._later and self._later[0][0] <= soon:
            due, key = heapq.heappop(self._later)
            if self._due.get(key) == due:
                self.add(key)

    # -- measures -----------------------------------------------------------------------------------

    @property
    def depth(self) -> int:
        """Modules that wait for a pass."""
        return len(self._asked_at)

    def oldest_seconds(self) -> float:
        """How long the longest waiting one has waited."""
        return self._clock() - min(self._asked_at.values()) if self._asked_at else 0.0

    def failing(self) -> int:
        """Modules whose last pass failed."""
        return len(self._failures)
