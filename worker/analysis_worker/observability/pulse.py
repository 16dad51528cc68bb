"""The pulse of the main loop: how late it runs its timers, told to other threads.

Run `beat` as a task of the main loop; any thread may ask at any time, also while the loop is blocked.
"""

import asyncio
import time
from collections.abc import Callable


class LoopPulse:
    """Wakes every `interval_seconds` and keeps how late it was woken."""

    def __init__(
        self, interval_seconds: float = 0.25, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._interval = interval_seconds
        self._clock = clock
        self._lag = 0.0
        self._due: float | None = None

    async def beat(self) -> None:
        """Beat until cancelled."""
        try:
            while True:
                due = self._due = self._clock() + self._interval
                await asyncio.sleep(self._interval)
                self._lag = max(0.0, self._clock() - due)
        finally:
            self._due = None

    @property
    def alive(self) -> bool:
        """Whether the loop beats, or would if it were not blocked."""
        return self._due is not None

    def lag_seconds(self) -> float | None:
        """How late the last beat was, or the next one already is, in seconds; None while not beating."""
        due = self._due
        return None if due is None else max(self._lag, self._clock() - due)
