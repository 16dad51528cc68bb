"""The driver runs a module as a worker does, without a broker."""

import asyncio
import gc
import time
from typing import Any

import pytest

from analysis_module import errors, reading
from analysis_worker.callbacks.loading import CallbackError
from analysis_worker.testing import ModuleTestDriver
from tests.unit.analysis_worker.driven import MODULE, results, sent, sleepy, window


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


# -- it is fast, and what it is given ---------------------------------------------------------------


async def doubled(station_id: str, module_input: Any) -> float:
    await asyncio.sleep(0)
    return 2 * float(module_input["power"])


@pytest.mark.parametrize("callback", [window, doubled])
def test_a_thousand_events_take_less_than_a_second(callback: Any) -> None:
    with ModuleTestDriver(MODULE, callback) as driver:
        began = time.perf_counter()
        for number in range(1_000):
            driver.send("POWER", {"stationId": f"S{number % 10}", "power": number})
        assert time.perf_counter() - began < 1.0
        assert len(driver.outputs()) == 1_000


def test_a_manifest_a_bare_spec_and_a_read_one_are_taken() -> None:
    manifest = {
        "apiVersion": "dataanalysis.io/v1alpha1",
        "kind": "AnalysisModule",
        "metadata": {"name": "watch"},
        "spec": MODULE,
    }
    for module in (manifest, MODULE, reading.read_spec(MODULE)):
        assert ModuleTestDriver(module, window).assembly.module_spec.module == "watch"


def test_a_wrong_spec_and_a_wrong_callback_are_refused_as_by_a_worker() -> None:
    with pytest.raises(errors.InvalidSpec, match=r"spec\.padding"):
        ModuleTestDriver({**MODULE, "padding": "Sideways"}, window)
    with pytest.raises(CallbackError, match="line 1"):
        ModuleTestDriver({**MODULE, "callback": {"source": "def callback(:"}})


def test_without_a_callback_the_specs_own_is_run_with_its_parameters() -> None:
    source = "def callback(station_id, module_input, parameters):\n    return parameters\n"
    driver = ModuleTestDriver({**MODULE, "callback": {"source": source, "parameters": {"a": 1}}})
    driver.send("POWER", {"stationId": "S1", "power": 1})
    assert driver.outputs()[0].value["output"] == {"a": 1}


def test_a_module_of_the_catalogue_runs_with_its_dependencies_and_global_topics() -> None:
    seen: dict[str, Any] = {}

    def look(station_id: str, module_input: Any) -> dict[str, Any]:
        seen.update(module_input)
        return {}

    driver = ModuleTestDriver({"module": "operation_optimization"}, look)
    dependency = driver.assembly.wiring.dependencies[0]
    envelope = {"stationId": "S1", "module": dependency.module, "output": {"x": 5}, "timestamp": 1.0}
    driver.send(dependency.topic, envelope, key="S1")
    assert seen[f"{dependency.module}_output"] == {"x": 5}


# -- failures ---------------------------------------------------------------------------------------


class Flaky:
    """A callback that fails so many times."""

    def __init__(self, times: int) -> None:
        self.left = times
        self.calls = 0

    def __call__(self, station_id: str, module_input: Any) -> float:
        self.calls += 1
        self.left -= 1
        if self.left >= 0:
            raise ValueError("not yet")
        return float(module_input["power"])


def test_a_retry_comes_when_its_pause_has_passed_on_the_drivers_clock() -> None:
    driver = ModuleTestDriver({**MODULE, "errors": {"retries": 2, "backoffSeconds": 10}}, Flaky(2))
    driver.send("POWER", {"stationId": "S1", "power": 7})
    driver.advance(9.9)
    assert (driver.outputs(), len(driver.failures())) == ([], 1)
    driver.advance(0.2)
    assert (driver.outputs(), len(driver.failures())) == ([], 2)
    driver.advance(20)
    assert [output.value["output"] for output in driver.outputs()] == [7.0]


def test_a_breaker_opens_and_lets_a_probe_through_on_the_drivers_clock() -> None:
    flaky = Flaky(2)
    breaker = {"failures": 2, "openSeconds": 60}
    driver = ModuleTestDriver({**MODULE, "errors": {"breaker": breaker}}, flaky)
    for number in range(4):
        driver.send("POWER", {"stationId": "S1", "power": number})
    assert (flaky.calls, driver.outputs()) == (2, [])
    driver.advance(61)
    driver.send("POWER", {"stationId": "S1", "power": 9})
    assert [output.value["output"] for output in driver.outputs()] == [9.0]


def test_a_result_that_is_no_json_is_a_failure() -> None:
    driver = ModuleTestDriver(MODULE, lambda station_id, module_input: object())
    driver.send("POWER", {"stationId": "S1", "power": 1})
    (failure,) = driver.failures()
    assert isinstance(failure.error, TypeError)


def test_a_dead_letter_keeps_the_record() -> None:
    driver = ModuleTestDriver(MODULE, window)
    driver.send("POWER", b"broken", key="S1")
    driver.send("POWER", None)
    driver.send("POWER", {"power": 1})
    letters = driver.dead_letters()
    assert {(letter.error_type, letter.key, letter.value) for letter in letters} == {
        ("invalid_json", b"S1", b"broken"),
        ("null_value", None, None),
        ("missing_station_id", None, b'{"power": 1}'),
    }


# -- what a worker does, it does --------------------------------------------------------------------


def test_newer_records_cover_older_ones_while_a_callback_sleeps() -> None:
    with ModuleTestDriver({**MODULE, "trigger": {"policy": "Latest"}}, sleepy) as driver:
        for number in range(1, 6):
            driver.send("POWER", {"stationId": "S1", "power": number})
        driver.advance(60)
        assert [output.value["output"] for output in driver.outputs()] == [1.0, 5.0]


def test_a_record_in_a_wrong_partition_of_an_aligned_topic_finds_its_station() -> None:
    module = {**MODULE, "partitioning": {"slots": 8, "routing": "Aligned"}}
    driver = ModuleTestDriver(module, window)
    for key in ("S1", "S2", "S3", None):
        driver.send("POWER", {"stationId": "S1", "power": 1}, key=key)
    assert len(driver.outputs("S1")) == 4
    assert len({output.id for output in driver.outputs()}) == 4


def test_a_device_is_filed_under_its_station() -> None:
    power = {**MODULE["inputs"][0], "stationKey": {"via": "PARAM"}}
    driver = ModuleTestDriver({**MODULE, "inputs": [power]}, window)
    driver.send("PARAM", {"stationId": "S9", "hostId": "H1"})
    driver.send("POWER", {"hostId": "H1", "power": 4})
    assert [output.station_id for output in driver.outputs()] == ["S9"]


def test_a_module_without_outputs_has_none() -> None:
    driver = ModuleTestDriver({**MODULE, "output": {"enabled": False}}, window)
    driver.send("POWER", {"stationId": "S1", "power": 1})
    assert (driver.outputs(), driver.failures()) == ([], [])


def test_an_unknown_station_has_no_input() -> None:
    assert sent(1).module_input("S2") is None


# -- where it is used -------------------------------------------------------------------------------


@pytest.mark.parametrize("callback", [window, doubled])
async def test_it_may_be_driven_from_within_a_running_loop(callback: Any) -> None:
    with ModuleTestDriver(MODULE, callback) as driver:
        driver.send("POWER", {"stationId": "S1", "power": 1})
        driver.advance(5)
        driver.restart()
        driver.send("POWER", {"stationId": "S1", "power": 2})
        assert len(driver.outputs()) == 2


def test_a_driver_that_is_only_dropped_leaves_nothing_open() -> None:
    """Warnings are errors here: an open loop or socket would be one."""
    for callback in (window, sleepy):
        driver = ModuleTestDriver(MODULE, callback)
        driver.send("POWER", {"stationId": "S1", "power": 1})
        del driver
        gc.collect()


def test_a_driver_may_be_closed_twice() -> None:
    driver = sent(1)
    driver.close()
    driver.close()
