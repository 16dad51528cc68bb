"""Where callbacks run, apart from the worker's own loop: threads for plain functions, a loop for async ones.

Work is handed over per station, not per record, and results come back in bulk, so a fast callback costs
little more than its own time. A lane that is stuck in a call keeps only its own station: when nothing moves
and work is waiting, another lane takes the rest over, up to the concurrency. The worker's loop never waits
for a callback.
"""

import asyncio
import collections
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

from analysis_worker.callbacks import calling
from analysis_worker.engine.scheduling import Work

Deliver = Callable[[Sequence["Finished"]], None]
_STALL_SECONDS: Final = 0.005
_TIMEOUT_TICK_SECONDS: Final = 0.05
_MOST_THREADS: Final = 1024


class Finished:
    """Outcomes of a piece of work; `over` says that the station is free again.

    A failed trigger ends its piece of work, so that a retry keeps the station's order: `remaining` are the
    triggers not called.
    """

    __slots__ = ("outcomes", "over", "remaining", "work")

    def __init__(self, work: Work, outcomes: list[calling.Outcome], *, over: bool = True) -> None:
        self.work = work
        self.outcomes = outcomes
        self.over = over
        self.remaining = work.triggers[len(outcomes) :] if over else []


class Lanes(Protocol):
    """Runs work; calls `deliver` on the worker's loop."""

    def submit(self, works: Iterable[Work]) -> None:
        """Run these soon."""

    def overdue(self) -> int:
        """How many calls have run longer than the callback's timeout."""

    async def stop(self, within_seconds: float) -> bool:
        """Finish what is under way, if that takes no longer; whether all was finished."""


class _Delivery:
    """Brings finished work from other threads to the worker's loop, many pieces at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, deliver: Deliver) -> None:
        self._loop = loop
        self._deliver = deliver
        self._finished: collections.deque[Finished] = collections.deque()
        self._signalled = False

    def add(self, finished: Finished) -> None:
        self._finished.append(finished)
        if not self._signalled:
            self._signalled = True
            try:
                self._loop.call_soon_threadsafe(self._drain)
            except RuntimeError:
                self._signalled = False  # the loop is closed: nobody is left to tell

    def _drain(self) -> None:
        self._signalled = False
        ready = []
        while self._finished:
            ready.append(self._finished.popleft())
        if ready:
            self._deliver(ready)


class _Lane:
    """One thread's or task's state, read by the watcher: what it is calling, since when."""

    __slots__ = ("abandoned", "calls", "outcomes", "since", "task", "work")

    def __init__(self) -> None:
        self.work: Work | None = None
        self.outcomes: list[calling.Outcome] = []
        self.since = 0.0
        self.calls = 0
        self.abandoned = False
        self.task: asyncio.Task[None] | None = None


class ThreadLanes:
    """Threads that run plain functions."""

    def __init__(
        self, caller: calling.Caller, *, concurrency: int, timeout_seconds: float, deliver: Deliver
    ) -> None:
        self._caller = caller
        self._concurrency = concurrency
        self._timeout = timeout_seconds
        self._loop = asyncio.get_running_loop()
        self._delivery = _Delivery(self._loop, deliver)
        self._queue: collections.deque[Work] = collections.deque()
        self._ready = threading.Condition()
        self._lanes: list[_Lane] = []
        self._idle = 0
        self._woken = 0
        self._stopping = False
        self._watching: asyncio.TimerHandle | None = None
        self._calls_seen = -1

    def submit(self, works: Iterable[Work]) -> None:
        """Queue work and see that a lane is awake for it."""
        self._queue.extend(works)
        if not self._queue:
            return
        if self._busy() == 0:
            self._wake_one()
        self._watch_soon()

    def _busy(self) -> int:
        return len(self._lanes) - self._idle + self._woken

    def _watch_soon(self) -> None:
        if self._watching is None:
            self._watching = self._loop.call_later(_STALL_SECONDS, self._watch)

    def _watch(self) -> None:
        """Nothing moved since the last look while work waits: every lane is stuck, wake another."""
        self._watching = None
        calls = sum(lane.calls for lane in self._lanes)
        if self._queue and calls == self._calls_seen:
            for _ in range(max(1, self._busy())):
                self._wake_one()
        self._calls_seen = calls
        self._abandon_overdue()
        if self._queue or any(lane.work is not None for lane in self._lanes):
            delay = _STALL_SECONDS if self._queue else _TIMEOUT_TICK_SECONDS
            self._watching = self._loop.call_later(delay, self._watch)

    def _wake_one(self) -> None:
        with self._ready:
            if self._idle > self._woken:
                self._woken += 1
                self._ready.notify()
                return
        stuck = sum(1 for lane in self._lanes if lane.abandoned)
        if len(self._lanes) < min(self._concurrency + stuck, _MOST_THREADS):
            lane = _Lane()
            self._lanes.append(lane)
            threading.Thread(
                target=self._run, args=(lane,), name=f"callback-{len(self._lanes)}", daemon=True
            ).start()

    def _run(self, lane: _Lane) -> None:
        while True:
            try:
                work = self._queue.popleft()
            except IndexError:
                if not self._wait():
                    return
                continue
            self._run_work(lane, work)

    def _wait(self) -> bool:
        with self._ready:
            if self._stopping:
                return False
            if self._queue:
                return True
            self._idle += 1
            self._ready.wait()
            self._idle -= 1
            self._woken = max(0, self._woken - 1)
            return not self._stopping

    def _run_work(self, lane: _Lane, work: Work) -> None:
        outcomes: list[calling.Outcome] = []
        lane.outcomes, lane.work = outcomes, work
        call = self._caller.call
        for trigger in work.triggers:
            lane.since = time.monotonic()
            outcome = call(trigger)
            lane.calls += 1
            if lane.abandoned:
                # The trigger was given up meanwhile; its late result counts no more. Free the station.
                lane.abandoned = False
                outcome.error = calling.CallbackTimeout(f"no result within {self._timeout:g} s")
                outcome.payload = None
            outcomes.append(outcome)
            if outcome.error is not None:
                break
        lane.work = None
        self._delivery.add(Finished(work, outcomes))

    def _abandon_overdue(self) -> None:
        """A thread cannot be ended: its call is given up, others may use its place, its station waits."""
        now = time.monotonic()
        for lane in self._lanes:
            if lane.work is not None and not lane.abandoned and now - lane.since > self._timeout:
                lane.abandoned = True

    def overdue(self) -> int:
        """Calls given up that still hold their thread and their station."""
        return sum(1 for lane in self._lanes if lane.abandoned)

    async def stop(self, within_seconds: float) -> bool:
        """Let running calls finish, drop what is queued; whether all lanes came to rest."""
        self._queue.clear()
        self._stopping = True
        with self._ready:
            self._ready.notify_all()
        deadline = time.monotonic() + within_seconds
        while any(lane.work is not None for lane in self._lanes):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.01)
        if self._watching is not None:
            self._watching.cancel()
        return True


class LoopLanes:
    """Tasks on an event loop of their own, or on a given one, that run async functions."""

    def __init__(
        self,
        caller: calling.Caller,
        *,
        concurrency: int,
        timeout_seconds: float,
        deliver: Deliver,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._caller = caller
        self._concurrency = concurrency
        self._timeout = timeout_seconds
        self._delivery = _Delivery(asyncio.get_running_loop(), deliver)
        self._queue: collections.deque[Work] = collections.deque()
        self._lanes: set[_Lane] = set()
        self._owns_loop = loop is None
        self._loop = loop or _loop_in_thread()
        self._accepting = False
        self._checking = False
        self._ticking = False

    def submit(self, works: Iterable[Work]) -> None:
        """Queue work and see that a lane is awake for it."""
        self._queue.extend(works)
        if self._queue and not self._accepting:
            self._accepting = True
            self._loop.call_soon_threadsafe(self._accept)

    def _accept(self) -> None:
        self._accepting = False
        self._start_lane()
        if not self._ticking:
            self._ticking = True
            self._loop.call_later(_TIMEOUT_TICK_SECONDS, self._tick)

    def _start_lane(self) -> None:
        if self._queue and len(self._lanes) < self._concurrency:
            lane = _Lane()
            self._lanes.add(lane)
            lane.task = self._loop.create_task(self._run(lane))
            if not self._checking:
                self._checking = True
                self._loop.call_soon(self._check)

    def _check(self) -> None:
        """Runs once every lane has had its turn: if work is left, they are all waiting for something."""
        self._checking = False
        self._start_lane()

    async def _run(self, lane: _Lane) -> None:
        try:
            while self._queue:
                await self._run_work(lane, self._queue.popleft())
        finally:
            self._lanes.discard(lane)

    async def _run_work(self, lane: _Lane, work: Work) -> None:
        outcomes: list[calling.Outcome] = []
        lane.work = work
        for trigger in work.triggers:
            lane.since = time.monotonic()
            try:
                outcome = await self._caller.call_async(trigger)
            except asyncio.CancelledError:
                if not lane.abandoned:
                    raise
                assert lane.task is not None
                lane.task.uncancel()
                lane.abandoned = False
                error = calling.CallbackTimeout(f"no result within {self._timeout:g} s")
                outcome = calling.Outcome(trigger, error=error, seconds=time.monotonic() - lane.since)
            outcomes.append(outcome)
            if outcome.error is not None:
                break
        lane.work = None
        self._delivery.add(Finished(work, outcomes))
        if self._queue and not self._checking:
            self._checking = True
            self._loop.call_soon(self._check)

    def _tick(self) -> None:
        """Cancel calls that are overdue."""
        now = time.monotonic()
        for lane in self._lanes:
            if lane.work is not None and not lane.abandoned and now - lane.since > self._timeout:
                lane.abandoned = True
                assert lane.task is not None
                lane.task.cancel()
        self._ticking = bool(self._lanes)
        if self._ticking:
            self._loop.call_later(_TIMEOUT_TICK_SECONDS, self._tick)

    def overdue(self) -> int:
        """Calls being cancelled."""
        return sum(1 for lane in self._lanes if lane.abandoned)

    async def stop(self, within_seconds: float) -> bool:
        """Let running calls finish, cancel what is overdue, drop what is queued."""
        self._queue.clear()
        deadline = time.monotonic() + within_seconds
        while self._lanes and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        finished = not self._lanes
        if not finished:
            self._loop.call_soon_threadsafe(self._cancel_all)
            await asyncio.sleep(0.05)
        if self._owns_loop:
            self._loop.call_soon_threadsafe(self._loop.stop)
        return finished

    def _cancel_all(self) -> None:
        for lane in self._lanes:
            if lane.task is not None:
                lane.task.cancel()


def _loop_in_thread() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()

    def run() -> None:
        loop.run_forever()
        loop.close()

    threading.Thread(target=run, name="callback-loop", daemon=True).start()
    return loop
