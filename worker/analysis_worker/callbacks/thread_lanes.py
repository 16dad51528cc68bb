"""Threads that run plain functions."""

import asyncio
import collections
import inspect
import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from analysis_worker.callbacks import calling, lanes
from analysis_worker.engine.scheduling import Work

log = logging.getLogger(__name__)

_STALL_SECONDS: Final = 0.01
_PATIENCE_SECONDS: Final = 0.01
_IMPATIENCE_SECONDS: Final = 1.0
_MOST_THREADS: Final = 1024
IDLE_SECONDS: Final = 60.0
"""How long a thread waits for work before it ends; one always stays."""
_STOP_LOOK_SECONDS: Final = 0.005


class ThreadLanes(lanes.Calls):
    """Up to `concurrency` threads, and one more for each that is stuck in an overdue call."""

    def __init__(
        self, caller: calling.Caller, *, concurrency: int, timeout_seconds: float, deliver: lanes.Deliver
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._delivery = lanes.Delivery(self._loop, deliver)
        self._queue: collections.deque[Work] = collections.deque()
        self._ready = threading.Condition()
        self._lanes: list[lanes.Lane] = []
        self._idle = 0
        self._woken = 0
        self._rest = threading.Event()
        self._impatient_until = 0.0
        self._stopping = False
        self._watching: asyncio.TimerHandle | None = None
        self._newest_seen = -1.0
        self.configure(caller, concurrency=concurrency, timeout_seconds=timeout_seconds)

    def submit(self, works: Iterable[Work]) -> None:
        """Queue work, see that a lane is awake for it, and give it a moment.

        Most callbacks are over in microseconds: waiting for them, no longer than a few milliseconds, spares
        both threads the fight for the interpreter. Where that was in vain it is not tried for a while, and
        never for what a delivery leads to: the loop must have its turn, however much is waiting.
        """
        self._rest.clear()
        self._queue.extend(works)
        if not self._queue:
            return
        patient = not self._delivery.delivering and time.monotonic() > self._impatient_until
        self._delivery.awaited = patient
        with self._ready:  # a lane is awake and will look at the queue again, or asleep: never in between
            nobody = self._busy() == 0
        if nobody:
            self._wake_one()
        if patient:
            if not self._rest.wait(_PATIENCE_SECONDS):
                self._impatient_until = time.monotonic() + _IMPATIENCE_SECONDS
            self._delivery.awaited = False
            self._delivery.drain()
        if not self.at_rest():
            self._watch_soon()

    def _busy(self) -> int:
        return len(self._lanes) - self._idle + self._woken

    def at_rest(self) -> bool:
        """Whether nothing is queued and every thread waits for work."""
        return not self._queue and not self._busy()

    def _watch_soon(self) -> None:
        if self._watching is None:
            self._watching = self._loop.call_later(_STALL_SECONDS, self._watch)

    def _watch(self) -> None:
        """Nothing moved since the last look while work waits: every lane is stuck, wake another."""
        self._watching = None
        newest = max((lane.begun for lane in self._lanes), default=0.0)
        if self._queue and newest == self._newest_seen:
            for _ in range(max(1, self._busy())):
                self._wake_one()
        self._newest_seen = newest
        self._abandon_overdue()
        if not self.at_rest():
            delay = _STALL_SECONDS if self._queue else lanes.TICK_SECONDS
            self._watching = self._loop.call_later(delay, self._watch)

    def _wake_one(self) -> None:
        with self._ready:
            if self._idle > self._woken:
                self._woken += 1
                self._ready.notify()
                return
            if len(self._lanes) >= min(self._concurrency + self.overdue(), _MOST_THREADS):
                return
            lane = lanes.Lane()
            self._lanes.append(lane)
        threading.Thread(
            target=self._run, args=(lane,), name=f"callback-{len(self._lanes)}", daemon=True
        ).start()

    def _run(self, lane: lanes.Lane) -> None:
        while not self._is_surplus():
            try:
                work = self._queue.popleft()
            except IndexError:
                if not self._wait(lane):
                    return
                continue
            self._run_work(lane, work)
        with self._ready:
            self._lanes.remove(lane)

    def _is_surplus(self) -> bool:
        """Whether there are too many: those whose places others took are back, or fewer are allowed."""
        return len(self._lanes) > self._concurrency and len(self._lanes) - self.overdue() > self._concurrency

    def _wait(self, lane: lanes.Lane) -> bool:
        """Wait for work; False for a lane that is one no longer, as there was none for long."""
        with self._ready:
            if self._queue and not self._stopping:
                return True
            self._idle += 1
            if self._idle == len(self._lanes):
                self._rest.set()
            called = self._stopping or self._ready.wait(IDLE_SECONDS)
            self._idle -= 1
            spare = not called and not self._woken and not self._queue and len(self._lanes) > 1
            self._woken = max(0, self._woken - 1)
            if self._stopping or spare:
                self._lanes.remove(lane)
                return False
            return True

    def _run_work(self, lane: lanes.Lane, work: Work) -> None:
        caller, finished, timeout = self._caller, calling.Finished(work), self._timeout
        function, make_input, clock = caller.callback.function, caller.module_input, time.perf_counter
        take = lane.taking(caller, finished)
        lane.begun = started = clock()
        lane.abandoned = False
        lane.work = work
        try:
            for trigger in work.triggers:
                module_input = make_input(trigger)
                result = function(trigger.station.id, module_input)
                if lane.abandoned:
                    break
                take(finished, trigger, module_input, result)
                lane.begun = clock()
        except (
            Exception,
            SystemExit,
            KeyboardInterrupt,
        ) as error:  # the isolation wall: it stays with its station
            finished.error = error
        lane.work = None
        if lane.abandoned and len(finished.payloads) < len(work.triggers):
            # The call was given up meanwhile: its late result counts no more, and its station is free again.
            finished.error = calling.CallbackTimeout(f"no result within {timeout:g} s")
        lane.abandoned = False
        ended = clock()
        finished.seconds, finished.failed_seconds = ended - started, ended - lane.begun
        self._delivery.add(finished)

    def _abandon_overdue(self) -> None:
        """A thread cannot be ended: its call is given up, others may use its place, its station waits."""
        now = time.monotonic()
        for lane in self._lanes:
            work = lane.work
            if lane.look(now, self._timeout) and work is not None:
                self._tell_overdue(work.station.id, time.perf_counter() - lane.begun)

    @staticmethod
    def _tell_overdue(station_id: str, seconds: float) -> None:
        log.warning(
            "callback of station %s has run for %.3f s and is given up: its station waits until it returns",
            station_id,
            seconds,
            extra={
                "station_id": station_id,
                "processing_time": round(seconds, 6),
                "error_type": "callback_timeout",
            },
        )

    def overdue(self) -> int:
        """Calls given up that still hold their thread and their station."""
        return sum(1 for lane in self._lanes if lane.abandoned)

    async def run_hook(self, hook: Callable[[], Any] | None) -> None:
        """Run a hook in a thread: what it takes long for holds up nothing else."""
        if hook is not None:
            made = await lanes.in_thread(hook)
            if inspect.isawaitable(made):
                await made

    async def stop(self, within_seconds: float) -> bool:
        """Let running calls finish, drop what is queued; whether all threads ended."""
        self._queue.clear()
        self._stopping = True
        with self._ready:
            self._ready.notify_all()
        deadline = time.monotonic() + within_seconds
        while True:
            if not self._lanes or time.monotonic() > deadline:
                break
            await asyncio.sleep(_STOP_LOOK_SECONDS)
        if self._watching is not None:
            self._watching.cancel()
        return not self._lanes

    async def close(self) -> None:
        """End the threads that wait for work; a stuck one ends with its call."""
        await self.stop(0.0)
