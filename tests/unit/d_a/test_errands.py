"""Handlers run apart: in order per key, keys at once, and nothing they raise ends their threads."""

import asyncio
import threading

import pytest

from d_a import errands


def test_functions_of_one_key_run_in_order() -> None:
    run = errands.Errands()
    done: list[int] = []
    for number in range(100):
        run.submit("S1", lambda number=number: done.append(number))  # type: ignore[misc]
    assert run.finish(5.0)
    assert done == list(range(100))


def test_a_slow_key_holds_up_no_other() -> None:
    run = errands.Errands()
    gate, passed = threading.Event(), threading.Event()
    run.submit("slow", gate.wait)
    run.submit("quick", passed.set)
    assert passed.wait(5.0)
    assert not run.finish(0.01)
    gate.set()
    assert run.finish(5.0)


def test_what_a_function_raises_is_logged_and_the_next_one_runs(caplog: pytest.LogCaptureFixture) -> None:
    run = errands.Errands()
    done: list[int] = []

    def fail() -> None:
        raise SystemExit("no")

    run.submit("S1", fail)
    run.submit("S1", lambda: done.append(1))
    assert run.finish(5.0)
    assert done == [1]
    assert "SystemExit: no [handler of S1]" in caplog.text


def test_without_a_loop_a_coroutine_is_run_on_one_of_its_own() -> None:
    done: list[int] = []

    async def later() -> None:
        await asyncio.sleep(0)
        done.append(1)

    run = errands.Errands()
    run.submit("S1", later)
    assert run.finish(5.0)
    assert done == [1]


async def test_with_a_loop_a_coroutine_runs_there() -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    async def later() -> None:
        loops.append(asyncio.get_running_loop())

    run = errands.Errands(asyncio.get_running_loop())
    run.submit("S1", later)
    assert await asyncio.to_thread(run.finish, 5.0)
    assert loops == [asyncio.get_running_loop()]


def test_more_waiting_than_should_be_is_told_and_waited_for() -> None:
    run = errands.Errands()
    gate = threading.Event()
    run.submit("S1", gate.wait)
    for _ in range(10_000):
        run.submit("S1", int)
    assert run.overloaded
    gate.set()
    run.wait_for_room()
    assert not run.overloaded
    assert run.finish(5.0)
