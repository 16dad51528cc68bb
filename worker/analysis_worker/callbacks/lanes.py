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

Deliver = Callable[[Sequence[calling.Finished]], None]
_STALL_SECONDS: Final = 0.01
_PATIENCE_SECONDS: Final = 0.01
_IMPATIENCE_SECONDS: Final = 1.0
_TICK_SECONDS: Final = 0.05
_MOST_THREADS: Final = 1024


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
        self._finished: collections.deque[calling.Finished] = collections.deque()
        self._signalled = False
        self.awaited = False  # the loop's thread itself is about to look

    def add(self, finished: calling.Finished) -> None:
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
            self._deliver(ready)


class _Lane:
    """One thread's or task's state; it counts its calls, and a watcher tells from that how long one lasts."""

    __slots__ = ("abandoned", "calls", "seen_at", "seen_calls", "task", "work")

    def __init__(self) -> None:
        self.work: Work | None = None
        self.calls = 0
        self.abandoned = False
        self.task: asyncio.Task[None] | None = None
        self.seen_calls = -1
        self.seen_at = 0.0

    def look(self, now: float, timeout_seconds: float) -> bool:
        """Whether a call has just been found to be overdue; it is abandoned then."""
        if self.work is None or self.calls != self.seen_calls:
            self.seen_calls, self.seen_at = self.calls, now
            return False
        if self.abandoned or now - self.seen_at <= timeout_seconds:
            return False
        self.abandoned = True
        return True


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
        self._rest = threading.Event()
        self._impatient_until = 0.0
        self._stopping = False
        self._watching: asyncio.TimerHandle | None = None
        self._calls_seen = -1

    def submit(self, works: Iterable[Work]) -> None:
        """Queue work, see that a lane is awake for it, and give it a moment.

        Most callbacks are over in microseconds: waiting for them, no longer than a few milliseconds, spares
        both threads the fight for the interpreter. Where that was in vain it is not tried for a while.
        """
        self._rest.clear()
        self._queue.extend(works)
        if not self._queue:
            return
        patient = not self._delivery.awaited and time.monotonic() > self._impatient_until
        self._delivery.awaited = patient or self._delivery.awaited
        if self._busy() == 0:
            self._wake_one()
        if patient:
            if not self._rest.wait(_PATIENCE_SECONDS):
                self._impatient_until = time.monotonic() + _IMPATIENCE_SECONDS
            self._delivery.awaited = False
            self._delivery.drain()
        if self._queue or any(lane.work is not None for lane in self._lanes):
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
            delay = _STALL_SECONDS if self._queue else _TICK_SECONDS
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
            if self._idle == len(self._lanes):
                self._rest.set()
            self._ready.wait()
            self._idle -= 1
            self._woken = max(0, self._woken - 1)
            return not self._stopping

    def _run_work(self, lane: _Lane, work: Work) -> None:
        caller, finished = self._caller, calling.Finished(work)
        function, make_input, take = caller.callback.function, caller.module_input, caller.take
        lane.calls += 1
        lane.work = work
        started = time.perf_counter()
        try:
            for trigger in work.triggers:
                module_input = make_input(trigger)
                result = function(trigger.station.id, module_input)
                lane.calls += 1
                if lane.abandoned:
                    break
                take(finished, trigger, module_input, result)
        except Exception as error:  # the isolation wall: whatever a callback raises stays with its station
            finished.error = error
        if lane.abandoned:
            # The call was given up meanwhile: its late result counts no more, and its station is free again.
            lane.abandoned = False
            finished.error = calling.CallbackTimeout(f"no result within {self._timeout:g} s")
        finished.seconds = time.perf_counter() - started
        lane.work = None
        self._delivery.add(finished)

    def _abandon_overdue(self) -> None:
        """A thread cannot be ended: its call is given up, others may use its place, its station waits."""
        now = time.monotonic()
        for lane in self._lanes:
            lane.look(now, self._timeout)

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
            self._loop.call_later(_TICK_SECONDS, self._tick)

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
        caller, finished = self._caller, calling.Finished(work)
        function, make_input, take = caller.callback.function, caller.module_input, caller.take
        lane.calls += 1
        lane.work = work
        started = time.perf_counter()
        try:
            for trigger in work.triggers:
                module_input = make_input(trigger)
                result = await function(trigger.station.id, module_input)
                lane.calls += 1
                take(finished, trigger, module_input, result)
        except asyncio.CancelledError:
            if not lane.abandoned:
                raise
            assert lane.task is not None
            lane.task.uncancel()
            finished.error = calling.CallbackTimeout(f"no result within {self._timeout:g} s")
        except Exception as error:  # the isolation wall, as above
            finished.error = error
        lane.abandoned = False
        finished.seconds = time.perf_counter() - started
        lane.work = None
        self._delivery.add(finished)
        if self._queue and not self._checking:
            self._checking = True
            self._loop.call_soon(self._check)

    def _tick(self) -> None:
        """Cancel calls that are overdue."""
        now = time.monotonic()
        for lane in self._lanes:
            if lane.look(now, self._timeout):
                assert lane.task is not None
                lane.task.cancel()
        self._ticking = bool(self._lanes)
        if self._ticking:
            self._loop.call_later(_TICK_SECONDS, self._tick)

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
