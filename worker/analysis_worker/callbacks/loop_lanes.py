"""Tasks on an event loop that run async functions."""

import asyncio
import collections
import contextlib
import inspect
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from analysis_worker.callbacks import calling, lanes
from analysis_worker.engine.scheduling import Work

_STOP_LOOK_SECONDS: Final = 0.005


class LoopLanes(lanes.Calls):
    """Up to `concurrency` tasks on an event loop of their own, or on a given one."""

    def __init__(
        self,
        caller: calling.Caller,
        *,
        concurrency: int,
        timeout_seconds: float,
        deliver: lanes.Deliver,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._delivery = lanes.Delivery(asyncio.get_running_loop(), deliver)
        self._queue: collections.deque[Work] = collections.deque()
        self._lanes: set[lanes.Lane] = set()
        self._owns_loop = loop is None
        self._loop = loop or _loop_in_thread()
        self._accepting = False
        self._checking = False
        self._ticking = False
        self.configure(caller, concurrency=concurrency, timeout_seconds=timeout_seconds)

    def submit(self, works: Iterable[Work]) -> None:
        """Queue work and see that a lane is awake for it."""
        self._queue.extend(works)
        if self._queue and not self._accepting:
            self._accepting = True
            self._loop.call_soon_threadsafe(self._accept)

    def at_rest(self) -> bool:
        """Whether nothing is queued and no call is under way."""
        return not self._queue and not self._lanes

    def _accept(self) -> None:
        self._accepting = False
        self._start_lane()
        if not self._ticking:
            self._ticking = True
            self._loop.call_later(lanes.TICK_SECONDS, self._tick)

    def _start_lane(self) -> None:
        if self._queue and len(self._lanes) < self._concurrency:
            lane = lanes.Lane()
            self._lanes.add(lane)
            lane.task = self._loop.create_task(self._run(lane))
            if not self._checking:
                self._checking = True
                self._loop.call_soon(self._check)

    def _check(self) -> None:
        """Runs once every lane has had its turn: if work is left, they are all waiting for something."""
        self._checking = False
        self._start_lane()

    async def _run(self, lane: lanes.Lane) -> None:
        try:
            while self._queue and len(self._lanes) <= self._concurrency:
                await self._run_work(lane, self._queue.popleft())
        finally:
            self._lanes.discard(lane)

    async def _run_work(self, lane: lanes.Lane, work: Work) -> None:
        caller, finished, timeout = self._caller, calling.Finished(work), self._timeout
        function, make_input, clock = caller.callback.function, caller.module_input, time.perf_counter
        take = lane.taking(caller, finished)
        lane.begun = started = clock()
        lane.abandoned = False
        lane.work = work
        try:
            for trigger in work.triggers:
                module_input = make_input(trigger)
                result = await function(trigger.station.id, module_input)
                if lane.abandoned:  # it took no notice of its cancellation; its result counts no more
                    break
                take(finished, trigger, module_input, result)
                lane.begun = clock()
        except asyncio.CancelledError as error:
            assert lane.task is not None
            if not lane.abandoned and lane.task.cancelling():
                raise
            finished.error = error  # else it awaited something that was cancelled: its own affair
        except (
            Exception,
            SystemExit,
            KeyboardInterrupt,
        ) as error:  # the isolation wall: it stays with its station
            finished.error = error
        if lane.abandoned:
            assert lane.task is not None
            lane.task.uncancel()
            lane.abandoned = False
            finished.error = calling.CallbackTimeout(f"no result within {timeout:g} s")
        ended = clock()
        finished.seconds, finished.failed_seconds = ended - started, ended - lane.begun
        lane.work = None
        self._delivery.add(finished)
        if self._queue and not self._checking:
            self._checking = True
            self._loop.call_soon(self._check)

    def _tick(self) -> None:
        """Cancel calls that are overdue."""
        now = self._loop.time()
        for lane in self._lanes:
            if lane.look(now, self._timeout):
                assert lane.task is not None
                lane.task.cancel()
        self._ticking = bool(self._lanes)
        if self._ticking:
            self._loop.call_later(lanes.TICK_SECONDS, self._tick)

    def overdue(self) -> int:
        """Calls being cancelled."""
        return sum(1 for lane in tuple(self._lanes) if lane.abandoned)

    async def run_hook(self, hook: Callable[[], Any] | None) -> None:
        """Run a hook on the loop of the calls, to which what it opens will belong."""
        if hook is not None:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_called(hook), self._loop))

    async def stop(self, within_seconds: float) -> bool:
        """Let running calls finish, cancel those that take longer, drop what is queued."""
        self._queue.clear()
        deadline = time.monotonic() + within_seconds
        while True:
            if not self._lanes or time.monotonic() > deadline:
                break
            await asyncio.sleep(_STOP_LOOK_SECONDS)
        finished = not self._lanes
        if not finished:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._cancel_all)
            await asyncio.sleep(0.05)
        return finished

    def _cancel_all(self) -> None:
        for lane in self._lanes:
            if lane.task is not None:
                lane.task.cancel()

    async def close(self) -> None:
        """End the loop, if it is these lanes' own."""
        if self._owns_loop:
            self._owns_loop = False
            self._loop.call_soon_threadsafe(self._loop.stop)


async def _called(hook: Callable[[], Any]) -> None:
    made = hook()
    if inspect.isawaitable(made):
        await made


def _loop_in_thread() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()

    def run() -> None:
        loop.run_forever()
        loop.close()

    threading.Thread(target=run, name="callback-loop", daemon=True).start()
    return loop
