"""The driver's clock moves only when it is told, and a crash loses and doubles nothing."""

import asyncio
import time
from typing import Any

from analysis_worker.testing import ModuleTestDriver
from tests.unit.analysis_worker.driven import MODULE, results, sent, sleepy, window

# -- time -------------------------------------------------------------------------------------------


def test_a_sleeping_callback_wakes_when_the_clock_gets_there_and_not_before() -> None:
    with ModuleTestDriver(MODULE, sleepy) as driver:
        driver.send("POWER", {"stationId": "S1", "power": 1})
        driver.send("POWER", {"stationId": "S1", "power": 2})
        began = time.perf_counter()
        driver.advance(29)
        assert driver.outputs() == []
        driver.advance(1)
        assert [output.value["output"] for output in driver.outputs()] == [1.0]
        driver.advance(30)
        assert [output.value["output"] for output in driver.outputs()] == [1.0, 2.0]
        assert time.perf_counter() - began < 5.0


def test_an_async_call_that_takes_too_long_is_cancelled_on_the_drivers_clock() -> None:
    with ModuleTestDriver({**MODULE, "callback": {"timeoutSeconds": 10}}, sleepy) as driver:
        driver.send("POWER", {"stationId": "S1", "power": 1})
        driver.advance(11)
        (failure,) = driver.failures()
        assert isinstance(failure.error, TimeoutError)
        assert driver.outputs() == []


def test_work_that_a_callback_gives_to_a_thread_is_waited_for() -> None:
    async def threaded(station_id: str, module_input: Any) -> float:
        await asyncio.to_thread(time.sleep, 0.02)
        return float(module_input["power"])

    with ModuleTestDriver(MODULE, threaded) as driver:
        driver.send("POWER", {"stationId": "S1", "power": 3})
        assert driver.outputs()[0].value["output"] == 3.0


def test_records_have_the_drivers_time_unless_they_say_otherwise() -> None:
    driver = ModuleTestDriver(MODULE, window, start=1_000.0)
    driver.send("POWER", {"stationId": "S1", "power": 1})
    driver.advance(50)
    driver.send("POWER", {"stationId": "S1", "power": 2})
    driver.send("POWER", {"stationId": "S1", "power": 3}, timestamp=7.5)
    assert [output.timestamp for output in driver.outputs()] == [1_000.0, 1_050.0, 7.5]
    assert driver.now == 1_050.0


def test_a_station_heard_of_in_time_does_not_expire() -> None:
    driver = sent(1, expireAfterSeconds=600)
    for _ in range(5):
        driver.advance(599)
        driver.send("POWER", {"stationId": "S1", "power": 2})
    assert driver.module_input("S1") is not None


# -- crashes ----------------------------------------------------------------------------------------


def test_windows_after_many_restarts_are_those_of_a_run_without_any() -> None:
    straight, crashing = sent(40), sent(0)
    for number in range(1, 41):
        crashing.send("POWER", {"stationId": "S1", "power": number})
        if number % 7 == 0:
            crashing.restart()
    assert results(crashing) == results(straight)
    assert [output.id for output in crashing.outputs()] == [output.id for output in straight.outputs()]


def test_what_was_under_way_in_a_crash_is_called_again() -> None:
    with ModuleTestDriver(MODULE, sleepy) as driver:
        driver.send("POWER", {"stationId": "S1", "power": 1})
        driver.advance(10)
        driver.restart()
        driver.advance(29)
        assert driver.outputs() == []
        driver.advance(1)
        assert [output.value["output"] for output in driver.outputs()] == [1.0]


def test_the_clock_goes_on_over_a_restart() -> None:
    driver = sent(1)
    driver.advance(100)
    now = driver.now
    driver.restart()
    assert driver.now == now


def test_hooks_are_run_at_the_start_after_each_crash_and_at_the_end() -> None:
    source = """
notes = []
def set_up():
    notes.append("set_up")
async def tear_down():
    notes.append("tear_down")
def callback(station_id, module_input):
    return list(notes)
"""
    with ModuleTestDriver({**MODULE, "callback": {"source": source}}) as driver:
        driver.restart()
        driver.send("POWER", {"stationId": "S1", "power": 1})
        notes = driver.outputs()[0].value["output"]
        function: Any = driver._callback.function
    assert notes == ["set_up", "set_up"]
    assert function.__globals__["notes"] == ["set_up", "set_up", "tear_down"]
