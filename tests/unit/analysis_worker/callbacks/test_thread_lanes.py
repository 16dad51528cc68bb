"""Plain functions in threads: one that sleeps keeps only its own station, and what comes late is dropped."""

import asyncio
import random
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from analysis_worker.callbacks import thread_lanes
from tests.unit.analysis_worker.callbacks.called import Calls, Lanes
from tests.unit.analysis_worker.in_memory import until

Make = Callable[..., Lanes]


@pytest.fixture
def threads() -> Callable[[], int]:
    """How many threads there are more than when the test began."""
    before = set(threading.enumerate())
    return lambda: len(set(threading.enumerate()) - before)


class Sleeper:
    """A callback that sleeps for some stations until it is woken."""

    def __init__(self, *asleep: str) -> None:
        self.asleep = set(asleep)
        self.awake = threading.Event()
        self.calls = Calls()

    def __call__(self, station_id: str, module_input: Any) -> str:
        self.calls.enter(station_id)
        if station_id in self.asleep:
            self.awake.wait(30)
        self.calls.leave(station_id)
        return station_id


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    made: list[Lanes] = []
    sleepers: list[Sleeper] = []

    def lanes_of(function: Any, **bounds: Any) -> Lanes:
        if isinstance(function, Sleeper):
            sleepers.append(function)
        made.append(Lanes(function, **bounds))
        return made[-1]

    yield lanes_of
    for sleeper in sleepers:
        sleeper.awake.set()
    for each in made:
        await each.end()


async def test_a_sleeping_call_holds_up_its_own_station_alone(make: Make) -> None:
    sleeper = Sleeper("S0")
    tried = make(sleeper)
    tried.submit(*(tried.work(f"S{number}") for number in range(50)))
    await tried.all_back(49)
    assert tried.of("S0") == []
    sleeper.awake.set()
    await tried.all_back(50)
    assert tried.of("S0")[0].payloads == [b"'S0'"]


async def test_no_more_calls_run_at_once_than_the_concurrency_allows(
    make: Make, threads: Callable[[], int]
) -> None:
    sleeper = Sleeper(*(f"S{number}" for number in range(20)))
    tried = make(sleeper, concurrency=3)
    tried.submit(*(tried.work(f"S{number}") for number in range(20)))
    await until(lambda: sleeper.calls.running == 3, "three calls are under way")
    for _ in range(10):
        tried.lanes._watch()  # type: ignore[attr-defined]
    assert threads() == 3
    sleeper.awake.set()
    await tried.all_back(20)
    assert sleeper.calls.most == 3


async def test_an_overdue_call_keeps_its_station_and_gives_its_place_to_others(make: Make) -> None:
    sleeper = Sleeper("S0", "S1")
    tried = make(sleeper, concurrency=2, timeout_seconds=0.05)
    tried.submit(tried.work("S0"), tried.work("S1"), *(tried.work(f"S{n}") for n in range(2, 10)))
    await tried.all_back(8)
    await until(lambda: tried.lanes.overdue() == 2, "both are overdue")
    assert tried.of("S0") == tried.of("S1") == []
    sleeper.awake.set()
    await tried.all_back(10)
    assert tried.lanes.overdue() == 0


async def test_the_late_result_of_an_overdue_call_is_dropped_for_a_timeout(make: Make) -> None:
    sleeper = Sleeper("S0")
    tried = make(sleeper, timeout_seconds=0.05)
    tried.submit(tried.work("S0", 3))
    await until(lambda: tried.lanes.overdue() == 1, "the call is overdue")
    sleeper.awake.set()
    await tried.all_back(1)
    (finished,) = tried.finished
    assert finished.payloads == []
    assert isinstance(finished.error, TimeoutError)
    assert str(finished.error) == "no result within 0.05 s"
    assert finished.remaining == finished.work.triggers[1:]


async def test_a_lone_call_is_found_overdue_though_no_other_work_comes(make: Make) -> None:
    for _ in range(5):
        sleeper = Sleeper("S0")
        tried = make(sleeper, timeout_seconds=0.01)
        tried.submit(tried.work("S0"))
        await until(tried.lanes.overdue, "the call is overdue")
        sleeper.awake.set()


async def test_calls_that_are_slow_but_in_time_are_not_overdue(make: Make) -> None:
    tried = make(lambda station_id, module_input: time.sleep(0.02), timeout_seconds=0.5)
    tried.submit(tried.work("S0", 10))
    await tried.all_back(1)
    assert tried.finished[0].error is None


async def test_once_stuck_calls_are_back_no_more_run_at_once_than_before(
    make: Make, threads: Callable[[], int]
) -> None:
    stuck, later = Sleeper("A", "B"), Sleeper(*(f"S{number}" for number in range(12)))

    def either(station_id: str, module_input: Any) -> str:
        return (stuck if station_id in "AB" else later)(station_id, module_input)

    tried = make(either, concurrency=2, timeout_seconds=0.02)
    tried.submit(tried.work("A"), tried.work("B"))
    await until(lambda: tried.lanes.overdue() == 2, "both are stuck")
    tried.submit(tried.work("C"), tried.work("D"))
    await tried.all_back(2)
    stuck.awake.set()
    await tried.all_back(4)
    tried.lanes.configure(tried.caller(either), concurrency=2, timeout_seconds=60.0)
    tried.submit(*(tried.work(f"S{number}") for number in range(12)))
    await until(lambda: later.calls.running == 2, "two calls are under way")
    for _ in range(10):
        tried.lanes._watch()  # type: ignore[attr-defined]
    assert threads() == 2
    later.awake.set()
    await tried.all_back(16)
    assert later.calls.most == 2


async def test_a_lower_concurrency_holds_once_the_calls_under_way_are_over(make: Make) -> None:
    sleeper = Sleeper(*(f"S{number}" for number in range(30)))
    tried = make(sleeper, concurrency=6)
    tried.submit(*(tried.work(f"S{number}") for number in range(6)))
    await until(lambda: sleeper.calls.running == 6, "six calls are under way")
    tried.lanes.configure(tried.caller(sleeper), concurrency=1, timeout_seconds=60.0)
    sleeper.awake.set()
    await tried.all_back(6)
    sleeper.awake.clear()
    sleeper.calls.most = 0
    tried.submit(*(tried.work(f"S{number}") for number in range(6, 12)))
    await until(lambda: sleeper.calls.running == 1, "one call is under way")
    sleeper.awake.set()
    await tried.all_back(12)
    assert sleeper.calls.most == 1


async def test_a_stuck_call_bounds_a_stop_and_what_was_queued_is_dropped(make: Make) -> None:
    sleeper = Sleeper("S0")
    tried = make(sleeper, concurrency=1)
    tried.submit(tried.work("S0"), tried.work("S1"))
    await until(lambda: sleeper.calls.running == 1, "the call is under way")
    began = time.monotonic()
    assert not await tried.lanes.stop(0.05)
    assert time.monotonic() - began < 1.0
    sleeper.awake.set()
    await tried.all_back(1)
    assert sleeper.calls.by_station == {"S0": 1}


async def test_a_stop_waits_for_calls_that_end_in_time(make: Make) -> None:
    def slow(station_id: str, module_input: Any) -> str:
        time.sleep(0.05)
        return "done"

    tried = make(slow)
    tried.submit(tried.work("S0"))
    assert await tried.lanes.stop(5.0)
    await tried.all_back(1)
    assert tried.finished[0].payloads == [b"'done'"]


async def test_threads_end_with_the_lanes(make: Make, threads: Callable[[], int]) -> None:
    sleeper = Sleeper("S0", "S1", "S2")
    tried = make(sleeper)
    tried.submit(*(tried.work(f"S{number}") for number in range(3)))
    await until(lambda: sleeper.calls.running == 3, "three calls are under way")
    assert threads() >= 3
    sleeper.awake.set()
    await tried.end()
    await until(lambda: threads() == 0, "the threads have ended")


async def test_quick_calls_use_one_thread_however_much_there_is(make: Make) -> None:
    names: set[str] = set()

    def callback(station_id: str, module_input: Any) -> None:
        names.add(threading.current_thread().name)

    tried = make(callback, concurrency=32)
    for number in range(100):
        tried.submit(tried.work(f"S{number}"))
        await asyncio.sleep(0)
    await tried.all_back(100)
    assert len(names) == 1


async def test_what_a_delivery_leads_to_is_not_waited_for_within_it(make: Make) -> None:
    """Else a long chain of quick calls would be one long turn of the loop, and one deep stack."""
    tried = make(lambda station_id, module_input: None)
    left = 1_000
    original = tried._deliver

    def deliver_and_go_on(ready: Any) -> None:
        nonlocal left
        original(ready)
        for finished in ready:
            if left:
                left -= 1
                tried.submit(tried.work(finished.work.station.id))

    tried.lanes._delivery._deliver = deliver_and_go_on  # type: ignore[attr-defined]
    turns = 0
    tried.submit(tried.work("S0"))
    while left:
        turns += 1
        await asyncio.sleep(0)
    assert turns > 10
    await tried.all_back(1_001)


async def test_threads_that_have_long_had_no_work_end_but_for_one(
    make: Make, threads: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thread_lanes, "IDLE_SECONDS", 0.05)
    sleeper = Sleeper("S0", "S1", "S2", "S3")
    tried = make(sleeper, concurrency=8)
    tried.submit(*(tried.work(f"S{number}") for number in range(5)))
    await tried.all_back(1)
    assert threads() >= 5
    sleeper.awake.set()
    await tried.all_back(5)
    await until(lambda: threads() == 1, "the others have ended")
    tried.submit(*(tried.work(f"S{number}") for number in range(5, 10)))
    await tried.all_back(10)


async def test_work_that_comes_as_a_thread_gives_up_waiting_is_done(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thread_lanes, "IDLE_SECONDS", 0.0005)
    chance = random.Random(1)
    tried = make(lambda station_id, module_input: station_id)
    for number in range(2_000):
        tried.submit(tried.work(f"S{number}"))
        await asyncio.sleep(chance.uniform(0.0, 0.001))
    await tried.all_back(2_000)
