"""Async functions on a loop: those that wait hold up nobody, those that take too long are cancelled."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.unit.analysis_worker.callbacks.called import Calls, Lanes
from tests.unit.analysis_worker.in_memory import until

Make = Callable[..., Lanes]


class Sleeper:
    """A callback that waits for some stations, for ever or until it is woken."""

    def __init__(self, *asleep: str) -> None:
        self.asleep = set(asleep)
        self.calls = Calls()
        self.cancelled: list[str] = []
        self.awake = False

    async def __call__(self, station_id: str, module_input: Any) -> str:
        self.calls.enter(station_id)
        try:
            while station_id in self.asleep and not self.awake:
                await asyncio.sleep(0.005)
        except asyncio.CancelledError:
            self.cancelled.append(station_id)
            raise
        finally:
            self.calls.leave(station_id)
        return station_id


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    made: list[Lanes] = []

    def lanes_of(function: Any, **bounds: Any) -> Lanes:
        made.append(Lanes(function, **bounds))
        return made[-1]

    yield lanes_of
    for each in made:
        each.lanes.callback.function.__dict__["awake"] = True
        await each.end()


async def test_a_waiting_call_holds_up_its_own_station_alone(make: Make) -> None:
    sleeper = Sleeper("S0")
    tried = make(sleeper)
    tried.submit(*(tried.work(f"S{number}") for number in range(50)))
    await tried.all_back(49)
    assert tried.of("S0") == []
    sleeper.awake = True
    await tried.all_back(50)


async def test_no_more_calls_are_under_way_than_the_concurrency_allows(make: Make) -> None:
    sleeper = Sleeper(*(f"S{number}" for number in range(20)))
    tried = make(sleeper, concurrency=3)
    tried.submit(*(tried.work(f"S{number}") for number in range(20)))
    await until(lambda: sleeper.calls.running == 3, "three calls are under way")
    sleeper.awake = True
    await tried.all_back(20)
    assert sleeper.calls.most == 3


async def test_a_lower_concurrency_holds_for_the_calls_after(make: Make) -> None:
    sleeper = Sleeper(*(f"S{number}" for number in range(20)))
    tried = make(sleeper, concurrency=6)
    tried.submit(*(tried.work(f"S{number}") for number in range(20)))
    await until(lambda: sleeper.calls.running == 6, "six calls are under way")
    tried.lanes.configure(tried.caller(sleeper), concurrency=1, timeout_seconds=60.0)
    sleeper.awake = True
    await tried.all_back(20)
    sleeper.awake, sleeper.calls.most = False, 0
    tried.submit(*(tried.work(f"S{number}") for number in range(3)))
    await until(lambda: sleeper.calls.running == 1, "one call is under way")
    sleeper.awake = True
    await tried.all_back(23)
    assert sleeper.calls.most == 1


async def test_an_overdue_call_is_cancelled_and_its_station_free_again(make: Make) -> None:
    sleeper = Sleeper("S0")
    tried = make(sleeper, timeout_seconds=0.05)
    tried.submit(tried.work("S0", 2))
    await tried.all_back(1)
    (finished,) = tried.finished
    assert sleeper.cancelled == ["S0"]
    assert str(finished.error) == "no result within 0.05 s"
    assert isinstance(finished.error, TimeoutError)
    assert finished.remaining == finished.work.triggers[1:]
    sleeper.asleep.clear()
    tried.submit(tried.work("S0"))
    await tried.all_back(2)
    assert tried.finished[1].payloads == [b"'S0'"]
    assert tried.lanes.overdue() == 0


async def test_a_call_that_ignores_its_cancellation_has_timed_out_all_the_same(make: Make) -> None:
    async def stubborn(station_id: str, module_input: Any) -> str:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            return "late"
        return "never"

    tried = make(stubborn, timeout_seconds=0.05)
    tried.submit(tried.work("S0"))
    await tried.all_back(1)
    assert isinstance(tried.finished[0].error, TimeoutError)
    assert tried.finished[0].payloads == []
    assert tried.lanes.overdue() == 0


async def test_after_a_stubborn_call_the_next_ones_timeout_holds_again(make: Make) -> None:
    calls = 0

    async def stubborn(station_id: str, module_input: Any) -> None:
        nonlocal calls
        calls += 1
        while True:
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                return

    tried = make(stubborn, timeout_seconds=0.05)
    for count in (1, 2):
        tried.submit(tried.work("S0"))
        await tried.all_back(count)
    assert [type(finished.error).__name__ for finished in tried.finished] == ["CallbackTimeout"] * 2
    assert calls == 2


async def test_a_timeout_of_the_callbacks_own_is_its_own_affair(make: Make) -> None:
    async def careful(station_id: str, module_input: Any) -> str:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.sleep(30)
        except TimeoutError:
            return "gave up"
        return "never"

    tried = make(careful)
    tried.submit(tried.work("S0", 2))
    await tried.all_back(1)
    assert tried.finished[0].payloads == [b"'gave up'"] * 2


async def test_a_callback_that_blocks_its_loop_does_not_block_the_workers(make: Make) -> None:
    blocked = threading.Event()

    async def blocking(station_id: str, module_input: Any) -> str:
        blocked.wait(30)
        return "done"

    tried = make(blocking)
    tried.submit(tried.work("S0"))
    began = time.monotonic()
    await asyncio.sleep(0.01)
    assert time.monotonic() - began < 5.0
    blocked.set()
    await tried.all_back(1)


async def test_calls_run_on_a_given_loop_and_leave_it_running() -> None:
    loop = asyncio.get_running_loop()
    seen = []

    async def callback(station_id: str, module_input: Any) -> None:
        seen.append(asyncio.get_running_loop())

    tried = Lanes(callback, loop=loop)
    tried.submit(tried.work("S0"))
    await tried.all_back(1)
    await tried.lanes.run_hook(lambda: seen.append(asyncio.get_running_loop()))
    await tried.end()
    assert seen == [loop, loop]
    assert loop.is_running()


async def test_a_stop_cancels_what_takes_longer_and_is_bounded(make: Make) -> None:
    sleeper = Sleeper("S0")
    tried = make(sleeper, concurrency=1)
    tried.submit(tried.work("S0"), tried.work("S1"))
    await until(lambda: sleeper.calls.running == 1, "the call is under way")
    began = time.monotonic()
    assert not await tried.lanes.stop(0.05)
    assert time.monotonic() - began < 1.0
    await until(lambda: sleeper.cancelled == ["S0"], "the call was cancelled")
    assert tried.finished == []


async def test_a_stop_is_bounded_even_if_the_loop_is_blocked(make: Make) -> None:
    blocked = threading.Event()

    entered = threading.Event()

    async def blocking(station_id: str, module_input: Any) -> None:
        entered.set()
        blocked.wait(30)

    tried = make(blocking)
    tried.submit(tried.work("S0"))
    await until(entered.is_set, "the loop is blocked")
    began = time.monotonic()
    assert not await tried.lanes.stop(0.05)
    await tried.lanes.close()
    assert time.monotonic() - began < 1.0
    blocked.set()


async def test_the_loops_thread_ends_with_the_lanes() -> None:
    async def callback(station_id: str, module_input: Any) -> None: ...

    before = set(threading.enumerate())
    tried = Lanes(callback)
    (thread,) = set(threading.enumerate()) - before
    await tried.end()
    await until(lambda: not thread.is_alive(), "the thread has ended")
