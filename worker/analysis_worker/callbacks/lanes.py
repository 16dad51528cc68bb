"""Where callbacks run, apart from the worker's own loop: what all lanes promise, and the way back from them.

Work is handed over per station, not per record, and results come back in bulk, so a fast callback costs
little more than its own time. A lane that is stuck in a call keeps only its own station: when nothing moves
and work is waiting, another lane takes the rest over, up to the concurrency. The worker's loop never waits
for a callback.
"""

import asyncio
import collections
import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Protocol

from analysis_worker.callbacks import calling, loading
from analysis_worker.engine.scheduling import Work
from analysis_worker.engine.stations import Trigger

Deliver = Callable[[Sequence[calling.Finished]], None]
Take = Callable[[calling.Finished, Trigger, Any, Any], None]
TICK_SECONDS: Final = 0.05
"""How often lanes look for calls that are overdue."""
WHATEVER_IT_RAISES: Final = (Exception, SystemExit, KeyboardInterrupt)
"""What a callback may raise at the cost of its own call alone: `sys.exit` must not end a thread or a loop."""


class Lanes(Protocol):
    """Runs work; calls `deliver` on the worker's loop."""

    @property
    def callback(self) -> loading.LoadedCallback:
        """Whose calls run here."""

    def configure(self, caller: calling.Caller, *, concurrency: int, timeout_seconds: float) -> None:
        """Call like this from the next piece of work on; the callback is the same."""

    def submit(self, works: Iterable[Work]) -> None:
        """Run these soon."""

    def overdue(self) -> int:
        """How many calls have run longer than the callback's timeout."""

    def at_rest(self) -> bool:
        """Whether nothing is queued and no call is under way."""

    async def run_hook(self, hook: Callable[[], Any] | None) -> None:
        """Run a callback's `set_up` or `tear_down` where its calls run; raises what it raises."""

    async def stop(self, within_seconds: float) -> bool:
        """Finish what is under way, if that takes no longer; whether all was finished."""

    async def close(self) -> None:
        """End what hooks may have needed; nothing runs here any more."""


class Calls:
    """What all lanes have alike: the caller and its bounds, which a hot change may replace."""

    def configure(self, caller: calling.Caller, *, concurrency: int, timeout_seconds: float) -> None:
        """Call like this from now on; of too many lanes each ends with its piece of work."""
        self._caller = caller
        self._concurrency = concurrency
        self._timeout = timeout_seconds

    @property
    def callback(self) -> loading.LoadedCallback:
        """Whose calls run here."""
        return self._caller.callback


class Delivery:
    """Brings finished work from other threads to the worker's loop, many pieces at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, deliver: Deliver) -> None:
        self._loop = loop
        self._deliver = deliver
        self._finished: collections.deque[calling.Finished] = collections.deque()
        self._signalled = False
        self.awaited = False  # the loop's thread itself is about to look
        self.delivering = False

    def add(self, finished: calling.Finished) -> None:
        """Bring this soon; from any thread."""
        self._finished.append(finished)
        if not self._signalled and not self.awaited:
            self._signalled = True
            try:
                self._loop.call_soon_threadsafe(self.drain)
            except RuntimeError:
                self._signalled = False  # the loop is closed: nobody is left to tell

    def drain(self) -> None:
        """Deliver what is there; on the loop's thread."""
        self._signalled = False
        ready = []
        while self._finished:
            ready.append(self._finished.popleft())
        if ready:
            self.delivering = True
            try:
                self._deliver(ready)
            finally:
                self.delivering = False


class Lane:
    """One thread's or task's state; a watcher that sees `begun` stay as it is tells how long a call lasts.

    `begun` is when the call under way began, by `time.perf_counter`.
    """

    __slots__ = ("abandoned", "begun", "seen_at", "seen_begun", "task", "work")

    def __init__(self) -> None:
        self.work: Work | None = None
        self.begun = 0.0
        self.abandoned = False
        self.task: asyncio.Task[None] | None = None
        self.seen_begun = -1.0
        self.seen_at = 0.0

    def look(self, now: float, timeout_seconds: float) -> bool:
        """Whether a call has just been found to be overdue; it is abandoned then. Times in s."""
        if self.work is None or self.begun != self.seen_begun:
            self.seen_begun, self.seen_at = self.begun, now
            return False
        if self.abandoned or now - self.seen_at <= timeout_seconds:
            return False
        self.abandoned = True
        return True

    def taking(self, caller: calling.Caller, finished: calling.Finished) -> Take:
        """How successes are to be taken: with the time of each, if somebody is to read them."""
        take, times = caller.take, finished.times
        if times is None:
            return take

        def timed(finished: calling.Finished, trigger: Trigger, module_input: Any, result: Any) -> None:
            take(finished, trigger, module_input, result)
            times.append(time.perf_counter() - self.begun)

        return timed


async def in_thread(function: Callable[[], Any]) -> Any:
    """What a function gives or raises, run in a thread that cannot keep the process from ending."""
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[Any] = loop.create_future()

    def settle(result: Any, error: BaseException | None) -> None:
        if outcome.done():
            return  # nobody waits any more
        if error is None:
            outcome.set_result(result)
        else:
            outcome.set_exception(error)

    def run() -> None:
        result, error = None, None
        try:
            result = function()
        except BaseException as raised:  # handed on to who waits
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="callback-hook", daemon=True).start()
    return await outcome
