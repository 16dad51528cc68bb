"""What lanes of both kinds promise: order, isolation, bounds, hooks and an end."""

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from analysis_worker.callbacks import lanes
from tests.unit.analysis_worker.callbacks import called
from tests.unit.analysis_worker.callbacks.called import Lanes, plain_or_async
from tests.unit.analysis_worker.in_memory import until

Make = Callable[..., Lanes]


@pytest.fixture(params=["plain", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture
async def make(kind: str) -> AsyncIterator[Make]:
    made: list[Lanes] = []

    def lanes_of(function: Callable[[str, Any], Any], **bounds: Any) -> Lanes:
        made.append(Lanes(plain_or_async(kind, function), **bounds))
        return made[-1]

    yield lanes_of
    for each in made:
        await each.end()


async def test_every_trigger_is_called_in_order_and_its_result_comes_back(make: Make) -> None:
    numbers = iter(range(5))
    tried = make(lambda station_id, module_input: next(numbers))
    work = tried.work("S1", 5)
    tried.submit(work)
    await tried.all_back(1)
    (finished,) = tried.finished
    assert (finished.work, finished.payloads, finished.error) == (work, [b"0", b"1", b"2", b"3", b"4"], None)
    assert (finished.called, finished.remaining, finished.failed) == (5, [], None)


async def test_all_pieces_of_work_come_back_however_many(make: Make) -> None:
    tried = make(lambda station_id, module_input: station_id)
    tried.submit(*(tried.work(f"S{number}", 3) for number in range(300)))
    for number in range(300, 500):
        tried.submit(tried.work(f"S{number}"))
    await tried.all_back(500)
    assert all(finished.payloads[0] == repr(finished.work.station.id).encode() for finished in tried.finished)
    await until(tried.lanes.at_rest, "the last task has ended, after its work came back")


async def test_a_failure_ends_its_piece_of_work_and_the_rest_is_not_called(make: Make) -> None:
    numbers = {"S1": iter([1, 2, 0, 4, 5]), "S2": iter([4])}
    tried = make(lambda station_id, module_input: 1 / next(numbers[station_id]))
    tried.submit(tried.work("S1", 5), tried.work("S2"))
    await tried.all_back(2)
    (failed,) = tried.of("S1")
    assert isinstance(failed.error, ZeroDivisionError)
    assert failed.failed is failed.work.triggers[2]
    assert failed.remaining == failed.work.triggers[3:]
    assert [payload for finished in tried.of("S2") for payload in finished.payloads] == [b"0.25"]


@pytest.mark.parametrize("raised", [SystemExit(1), KeyboardInterrupt(), RecursionError("deep")])
async def test_whatever_a_callback_raises_costs_its_own_call_alone(make: Make, raised: BaseException) -> None:
    def callback(station_id: str, module_input: Any) -> str:
        if station_id == "S1":
            raise raised
        return "fine"

    tried = make(callback)
    tried.submit(tried.work("S1"), tried.work("S2"))
    await tried.all_back(2)
    tried.submit(tried.work("S3"))
    await tried.all_back(3)
    assert tried.of("S1")[0].error is raised
    assert [tried.of(station)[0].payloads for station in ("S2", "S3")] == [[b"'fine'"]] * 2


async def test_a_result_that_cannot_be_encoded_is_a_failure_of_its_call(make: Make) -> None:
    class Unprintable:
        def __repr__(self) -> str:
            raise TypeError("it has no text")

    tried = make(lambda station_id, module_input: Unprintable())
    tried.submit(tried.work("S1"))
    await tried.all_back(1)
    assert isinstance(tried.finished[0].error, TypeError)


async def test_new_settings_hold_for_the_work_that_comes_after(make: Make, kind: str) -> None:
    tried = make(lambda station_id, module_input: "before")
    tried.submit(tried.work("S1"))
    await tried.all_back(1)
    after = plain_or_async(kind, lambda station_id, module_input: "after")
    tried.lanes.configure(tried.caller(after), concurrency=1, timeout_seconds=9.0)
    tried.submit(tried.work("S1"))
    await tried.all_back(2)
    assert [finished.payloads for finished in tried.finished] == [[b"'before'"], [b"'after'"]]
    assert tried.lanes.callback.function is after


async def test_hooks_run_where_the_calls_do_and_what_they_raise_is_told(make: Make, kind: str) -> None:
    places: list[Any] = []

    def place() -> Any:
        if kind == "plain":
            return threading.current_thread().name.split("-")[0]
        return asyncio.get_running_loop()

    async def hook() -> None:
        places.append(place())

    tried = make(lambda station_id, module_input: places.append(place()))
    await tried.lanes.run_hook(hook if kind == "async" else lambda: places.append(place()))
    tried.submit(tried.work("S1"))
    await tried.all_back(1)
    assert places[0] == places[1] != asyncio.get_running_loop()
    with pytest.raises(ZeroDivisionError):
        await tried.lanes.run_hook(lambda: 1 / 0)
    await tried.lanes.run_hook(None)


async def test_a_hook_may_be_plain_or_async_whatever_the_callback_is(make: Make) -> None:
    ran = []

    async def awaited() -> None:
        await asyncio.sleep(0)
        ran.append("async")

    tried = make(lambda station_id, module_input: None)
    await tried.lanes.run_hook(lambda: ran.append("plain"))
    await tried.lanes.run_hook(awaited)
    assert ran == ["plain", "async"]


async def test_a_stop_with_nothing_under_way_is_done_at_once(make: Make) -> None:
    tried = make(lambda station_id, module_input: None)
    tried.submit(tried.work("S1"))
    await tried.all_back(1)
    assert await tried.lanes.stop(5.0)
    assert await tried.lanes.stop(5.0), "and may be asked for again"


async def test_in_thread_gives_or_raises_what_the_function_does() -> None:
    assert await lanes.in_thread(lambda: threading.current_thread().name) == "callback-hook"
    with pytest.raises(SystemExit):
        await lanes.in_thread(lambda: sys.exit(2))


async def test_in_thread_can_be_given_up_while_the_function_never_returns() -> None:
    for_ever = threading.Event()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await lanes.in_thread(for_ever.wait)
    for_ever.set()


def test_calls_of_a_helper_are_counted_right() -> None:
    calls = called.Calls()
    calls.enter("S1")
    calls.enter("S2")
    calls.leave("S1")
    assert (calls.running, calls.most) == (1, 2)
