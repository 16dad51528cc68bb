"""The driver runs a module as a worker does, without a broker."""

import asyncio
from typing import Any

import pytest

from analysis_worker.testing import ModuleTestDriver

MODULE = {
    "module": "watch",
    "inputs": [{"topic": "POWER", "fields": ["stationId", "power"], "windowSize": 3}],
}


def window(station_id: str, module_input: dict[str, Any]) -> dict[str, Any]:
    return {"window": list(module_input["power_window"])}


def sent(count: int, **changes: Any) -> ModuleTestDriver:
    driver = ModuleTestDriver({**MODULE, **changes}, window)
    for number in range(1, count + 1):
        driver.send("POWER", {"stationId": "S1", "power": number})
    return driver


def results(driver: ModuleTestDriver) -> list[list[float]]:
    return [output.value["output"]["window"] for output in driver.outputs()]


def test_every_record_brings_an_output_of_the_window_as_it_was_then() -> None:
    assert results(sent(4)) == [[0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 4]]


def test_an_output_has_the_id_and_the_time_of_its_record() -> None:
    driver = ModuleTestDriver(MODULE, window)
    driver.send("POWER", {"stationId": "S1", "power": 1}, timestamp=1000.5)
    (output,) = driver.outputs()
    assert (output.id, output.timestamp) == ("watch/S1/POWER/0/0", 1000.5)
    assert output.value["timestamp"] == 1000.5


def test_after_a_restart_windows_are_back_and_no_output_is_doubled() -> None:
    driver = sent(4)
    driver.restart()
    assert len(driver.outputs()) == 4
    driver.send("POWER", {"stationId": "S1", "power": 5})
    assert results(driver)[4:] == [[3, 4, 5]]


def test_a_record_that_cannot_be_used_is_a_dead_letter_and_the_next_goes_on() -> None:
    driver = ModuleTestDriver(MODULE, window)
    driver.send("POWER", b'{"stationId": "\xff"}')
    driver.send("POWER", {"stationId": "S1", "power": 1})
    (letter,) = driver.dead_letters()
    assert (letter.topic, letter.offset, letter.error_type) == ("POWER", 0, "invalid_utf8")
    assert len(driver.outputs()) == 1


def test_an_exception_stays_with_its_station() -> None:
    def fails(station_id: str, module_input: Any) -> int:
        if station_id == "S1":
            raise ValueError("no")
        return 1

    driver = ModuleTestDriver(MODULE, fails)
    for station in ("S1", "S2"):
        driver.send("POWER", {"stationId": station, "power": 1})
    assert [failure.station_id for failure in driver.failures()] == ["S1"]
    assert [output.station_id for output in driver.outputs()] == ["S2"]


def test_async_callbacks_run_too() -> None:
    async def doubled(station_id: str, module_input: Any) -> float:
        await asyncio.sleep(0)
        return 2 * float(module_input["power"])

    with ModuleTestDriver(MODULE, doubled) as driver:
        driver.send("POWER", {"stationId": "S1", "power": 4})
        assert driver.outputs()[0].value["output"] == 8.0


def test_interval_triggers_fall_due_as_the_clock_is_advanced() -> None:
    driver = sent(3, trigger={"policy": "Interval", "intervalSeconds": 60})
    assert results(driver) == [[0, 0, 1]]
    driver.advance(60)
    assert results(driver) == [[0, 0, 1], [1, 2, 3]]


def test_a_silent_station_expires() -> None:
    driver = sent(3, expireAfterSeconds=600)
    driver.advance(601)
    assert driver.module_input("S1") is None


def test_module_input_is_what_the_callback_would_get_now() -> None:
    module_input = sent(2).module_input("S1")
    assert module_input is not None
    assert module_input["power_window"] == [0, 1, 2]


def test_a_topic_that_the_module_does_not_read_is_named() -> None:
    with pytest.raises(KeyError, match="OTHER: the module reads POWER"):
        ModuleTestDriver(MODULE, window).send("OTHER", {})
