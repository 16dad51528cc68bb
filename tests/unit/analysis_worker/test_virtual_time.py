"""A loop whose time passes when it is told: timers run at their own times, threads are waited for."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from analysis_worker.virtual_time import VirtualLoop


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    made = VirtualLoop()
    yield made
    made.shut()


def test_time_stands_still_until_it_is_moved(loop: VirtualLoop) -> None:
    loop.run_until_idle()
    assert loop.time() == 0.0
    loop.advance(12.5)
    assert loop.time() == 12.5


def test_timers_run_at_their_own_times_in_order(loop: VirtualLoop) -> None:
    ran: list[tuple[str, float]] = []

    def note(name: str) -> None:
        ran.append((name, loop.time()))

    for name, at in (("b", 20.0), ("a", 10.0), ("c", 30.0)):
        loop.call_later(at, note, name)
    loop.advance(25.0)
    assert ran == [("a", 10.0), ("b", 20.0)]
    loop.advance(5.0)
    assert ran[-1] == ("c", 30.0)


def test_timers_that_timers_set_run_within_the_same_advance(loop: VirtualLoop) -> None:
    async def ticking() -> int:
        for _ in range(1_000):
            await asyncio.sleep(1.0)
        return 1_000

    task = loop.create_task(ticking())
    began = time.perf_counter()
    loop.advance(999.5)
    assert not task.done()
    loop.advance(1.0)
    assert task.result() == 1_000
    assert time.perf_counter() - began < 5.0


def test_a_day_and_more_may_pass_at_once(loop: VirtualLoop) -> None:
    task = loop.create_task(asyncio.sleep(40 * 86_400))
    loop.advance(40 * 86_400 - 1)
    assert not task.done()
    loop.advance(1)
    assert task.done()


def test_finish_gives_or_raises_what_the_coroutine_does(loop: VirtualLoop) -> None:
    async def gives() -> int:
        await asyncio.sleep(0)
        return 5

    async def raises() -> None:
        raise KeyError("x")

    assert loop.finish(gives()) == 5
    with pytest.raises(KeyError):
        loop.finish(raises())


def test_finish_refuses_to_wait_for_a_timer(loop: VirtualLoop) -> None:
    with pytest.raises(RuntimeError, match="advance the clock"):
        loop.finish(asyncio.sleep(1.0))


def test_work_in_threads_is_waited_for_while_time_stands_still(loop: VirtualLoop) -> None:
    async def threaded() -> str:
        await asyncio.to_thread(time.sleep, 0.02)
        return "done"

    assert loop.finish(threaded()) == "done"
    assert loop.time() == 0.0


def test_calls_from_other_threads_are_heard(loop: VirtualLoop) -> None:
    heard: list[int] = []
    loop.call_soon_threadsafe(heard.append, 1)
    loop.run_until_idle()
    assert heard == [1]


async def test_it_runs_where_another_loop_runs_already() -> None:
    loop = VirtualLoop()
    task = loop.create_task(asyncio.sleep(3))
    loop.advance(3)
    assert task.done()
    loop.shut()


def test_shutting_cancels_what_waits_and_may_be_repeated() -> None:
    loop = VirtualLoop()
    task = loop.create_task(asyncio.sleep(3))
    loop.run_until_idle()
    loop.shut()
    loop.shut()
    assert task.cancelled()
    assert loop.is_closed()
