"""The work queue on a clock that is moved by hand: who gets a pass, when, and who never waits for whom."""

import asyncio
from collections.abc import Iterator

import pytest

from analysis_operator.decisions.observed import Key
from analysis_operator.reconciling.queue import Queue
from analysis_worker.virtual_time import VirtualLoop

A, B, C = (Key("default", name) for name in "abc")


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    made = VirtualLoop()
    yield made
    made.shut()


@pytest.fixture
def queue(loop: VirtualLoop) -> Queue:
    return Queue(loop.time)


def got(loop: VirtualLoop, queue: Queue) -> Key | None:
    """The next module if there is one now."""
    task = loop.create_task(queue.get())
    loop.run_until_idle()
    if task.done():
        return task.result()
    task.cancel()
    loop.run_until_idle()
    return None


def all_got(loop: VirtualLoop, queue: Queue) -> list[Key]:
    found = []
    while (key := got(loop, queue)) is not None:
        found.append(key)
    return found


def due_in(loop: VirtualLoop, queue: Queue, most: float = 1000.0) -> float:
    """The seconds until a pass is given."""
    task, began = loop.create_task(queue.get()), loop.now
    loop.run_until_idle()
    while not task.done() and loop.now - began < most:
        loop.advance(0.25)
    assert task.done(), "no pass is due"
    return loop.now - began


class TestAdd:
    def test_first_asked_is_first_served(self, loop: VirtualLoop, queue: Queue) -> None:
        for key in (B, A, C):
            queue.add(key)
        assert all_got(loop, queue) == [B, A, C]

    def test_asked_for_twice_is_served_once(self, loop: VirtualLoop, queue: Queue) -> None:
        for _ in range(5):
            queue.add(A)
        assert queue.depth == 1
        assert all_got(loop, queue) == [A]

    def test_wakes_who_waits(self, loop: VirtualLoop, queue: Queue) -> None:
        task = loop.create_task(queue.get())
        loop.run_until_idle()
        queue.add(A)
        loop.run_until_idle()
        assert task.result() == A

    def test_each_of_several_that_wait_gets_another(self, loop: VirtualLoop, queue: Queue) -> None:
        tasks = [loop.create_task(queue.get()) for _ in range(3)]
        loop.run_until_idle()
        for key in (A, B, C):
            queue.add(key)
        loop.run_until_idle()
        assert {task.result() for task in tasks} == {A, B, C}


class TestOneAtATime:
    def test_while_a_module_is_worked_on_nobody_else_gets_it(self, loop: VirtualLoop, queue: Queue) -> None:
        queue.add(A)
        assert got(loop, queue) == A
        queue.add(A)
        assert got(loop, queue) is None
        queue.done(A)
        assert got(loop, queue) == A

    def test_asked_for_while_worked_on_it_runs_again_once(self, loop: VirtualLoop, queue: Queue) -> None:
        queue.add(A)
        got(loop, queue)
        for _ in range(3):
            queue.add(A)
        assert queue.done(A, again_after=60) == 0.0
        assert all_got(loop, queue) == [A]

    def test_not_asked_for_it_does_not_run_again(self, loop: VirtualLoop, queue: Queue) -> None:
        queue.add(A)
        got(loop, queue)
        assert queue.done(A) is None
        loop.advance(10_000)
        assert got(loop, queue) is None

    def test_many_workers_and_asks_never_meet_in_one_module(self, loop: VirtualLoop, queue: Queue) -> None:
        working: set[Key] = set()
        passes = 0

        async def work() -> None:
            nonlocal passes
            while True:
                key = await queue.get()
                assert key not in working
                working.add(key)
                await asyncio.sleep(0.3)
                working.discard(key)
                passes += 1
                queue.done(key, failed=passes % 7 == 0, again_after=1.0 if passes % 3 else None)

        tasks = [loop.create_task(work()) for _ in range(8)]
        for turn in range(200):
            for key in (A, B, C)[: turn % 4]:
                queue.add(key)
            loop.advance(0.1)
        assert not any(task.done() for task in tasks)
        assert passes > 50


class TestLater:
    def test_it_comes_when_it_is_due(self, loop: VirtualLoop, queue: Queue) -> None:
        queue.add_after(A, 10)
        assert got(loop, queue) is None
        assert due_in(loop, queue) == 10

    def test_the_earliest_wins(self, loop: VirtualLoop, queue: Queue) -> None:
        for seconds in (30, 10, 20):
            queue.add_after(A, seconds)
        assert due_in(loop, queue) == 10
        queue.done(A)
        loop.advance(100)
        assert got(loop, queue) is None

    def test_an_ask_for_now_replaces_it(self, loop: VirtualLoop, queue: Queue) -> None:
        queue.add_after(A, 10)
        queue.add(A)
        assert got(loop, queue) == A
        queue.done(A)
        loop.advance(100)
        assert got(loop, queue) is None

    def test_it_does_not_replace_an_ask_for_now(self, loop: VirtualLoop, queue: Queue) -> None:
        queue.add(A)
        queue.add_after(A, 10)
        assert got(loop, queue) == A
        queue.done(A)
        loop.advance(100)
        assert got(loop, queue) is None

    def test_a_sooner_one_wakes_who_waits_for_a_later_one(self, loop: VirtualLoop, queue: Queue) -> None:
        queue.add_after(A, 100)
        task = loop.create_task(queue.get())
        loop.run_until_idle()
        queue.add_after(B, 5)
        loop.advance(5)
        assert task.result() == B

    def test_a_pass_may_say_when_the_next_one_is_due(self, loop: VirtualLoop, queue: Queue) -> None:
        queue.add(A)
        got(loop, queue)
        assert queue.done(A, again_after=15) == 15
        assert due_in(loop, queue) == 15


class TestBackOff:
    def fail(self, loop: VirtualLoop, queue: Queue) -> float:
        assert got(loop, queue) == A
        pause = queue.done(A, failed=True)
        assert pause is not None
        loop.advance(pause)
        return pause

    def test_pauses_double_up_to_two_minutes(self, loop: VirtualLoop, queue: Queue) -> None:
        queue.add(A)
        assert [self.fail(loop, queue) for _ in range(11)] == [0.5, 1, 2, 4, 8, 16, 32, 64, 120, 120, 120]

    def test_a_pass_that_succeeds_resets_them(self, loop: VirtualLoop, queue: Queue) -> None:
        queue.add(A)
        for _ in range(5):
            self.fail(loop, queue)
        assert queue.failing() == 1
        assert got(loop, queue) == A
        queue.done(A)
        assert queue.failing() == 0
        queue.add(A)
        assert self.fail(loop, queue) == 0.5

    def test_a_server_that_asks_for_more_patience_gets_it(self, loop: VirtualLoop, queue: Queue) -> None:
        queue.add(A)
        got(loop, queue)
        assert queue.done(A, failed=True, again_after=30) == 30

    def test_after_ever_so_many_failures_the_pause_is_the_longest(
        self, loop: VirtualLoop, queue: Queue
    ) -> None:
        for _ in range(2000):
            loop.advance(120)
            queue.done(A, failed=True)
        loop.advance(120)
        assert queue.done(A, failed=True) == 120

    def test_passes_that_edits_ask_for_during_a_pause_do_not_lengthen_it(
        self, loop: VirtualLoop, queue: Queue
    ) -> None:
        queue.add(A)
        assert [self.fail(loop, queue) for _ in range(3)] == [0.5, 1, 2]
        assert got(loop, queue) == A
        assert queue.done(A, failed=True) == 4
        for left in (3, 2, 1):
            loop.advance(1)
            queue.add(A)
            assert got(loop, queue) == A
            assert queue.done(A, failed=True) == left
        loop.advance(1)
        assert self.fail(loop, queue) == 8

    def test_asked_for_while_it_failed_it_waits_for_its_pause(self, loop: VirtualLoop, queue: Queue) -> None:
        queue.add(A)
        got(loop, queue)
        queue.add(A)
        assert queue.done(A, failed=True) == 0.5
        assert got(loop, queue) is None
        assert queue.depth == 0
        assert due_in(loop, queue) == 0.5

    def test_news_end_the_pause(self, loop: VirtualLoop, queue: Queue) -> None:
        queue.add(A)
        for _ in range(8):
            self.fail(loop, queue)
        assert got(loop, queue) == A
        queue.done(A, failed=True)
        queue.add(A)
        assert got(loop, queue) == A


def test_one_that_hangs_and_one_that_fails_delay_none_of_200(loop: VirtualLoop, queue: Queue) -> None:
    served: dict[Key, float] = {}
    keys = [Key("default", f"module-{number:03}") for number in range(200)]

    async def work() -> None:
        while True:
            key = await queue.get()
            if key == keys[0]:
                await asyncio.Event().wait()
            await asyncio.sleep(0.01)
            failed = key == keys[1]
            if not failed:
                served[key] = loop.now
            queue.done(key, failed=failed)

    for _ in range(4):
        loop.create_task(work())
    for key in keys:
        queue.add(key)
    loop.advance(5)
    assert len(served) == 198
    assert max(served.values()) <= 0.01 * (199 / 3 + 2)


def test_depth_and_age_tell_of_those_that_wait(loop: VirtualLoop, queue: Queue) -> None:
    assert (queue.depth, queue.oldest_seconds()) == (0, 0.0)
    queue.add(A)
    loop.advance(3)
    queue.add(B)
    loop.advance(2)
    assert (queue.depth, queue.oldest_seconds()) == (2, 5)
    got(loop, queue)
    assert (queue.depth, queue.oldest_seconds()) == (1, 2)
