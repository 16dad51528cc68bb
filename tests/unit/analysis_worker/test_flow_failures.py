"""Callbacks that fail, take too long or keep failing: what that costs, and whom."""

import asyncio
import itertools
import re
import time
from typing import Any

import pytest

from analysis_worker import flow
from tests.unit.analysis_worker.flowing import Flowing, Gate, Scripted, always
from tests.unit.analysis_worker.in_memory import until


async def test_a_failed_call_has_no_output_and_its_stations_next_record_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Flowing(Scripted(at_2=1)).running() as tried:
        tried.send("S1", 1, 2, 3)
        tried.send("S2", 4)
        await tried.drained()
        assert tried.open_offsets == 0
        assert tried.flow.records["S1"].last_error == "ValueError: no result for 2"
        assert tried.flow.records["S2"].last_error is None
    assert sorted(tried.outputs) == [1, 3, 4]
    assert tried.count("errors_total", error_type="callback_error") == 1
    told = (
        r"callback of station S1 failed at POWER/0 offset 1 after \d+\.\d{3} s: ValueError: no result for 2"
    )
    assert re.search(told, caplog.text)


async def test_retries_come_after_longer_and_longer_pauses_and_keep_the_stations_order() -> None:
    scripted = Scripted(at_2=3)
    errors = {"retries": 3, "backoffSeconds": 0.02, "maxBackoffSeconds": 0.04}
    async with Flowing(scripted, errors=errors).running() as tried:
        tried.send("S1", 1, 2, 3)
        await until(lambda: len(scripted.calls) >= 2, "the first failure")
        tried.send("S1", 4)
        await tried.drained()
        assert tried.open_offsets == 0
    assert tried.outputs == [1, 2, 3, 4]
    assert scripted.numbers == [1, 2, 2, 2, 2, 3, 4]
    times = [at for at, number in scripted.calls if number == 2]
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert pauses[0] >= 0.019
    assert min(pauses[1:]) >= 0.039
    assert tried.count("callback_retries_total") == 3


async def test_a_retry_holds_up_no_other_station() -> None:
    scripted = Scripted(at_1=1)
    async with Flowing(scripted, errors={"retries": 1, "backoffSeconds": 30.0}).running() as tried:
        tried.send("S1", 1)
        tried.send("S2", *range(10, 60))
        await until(lambda: len(tried.outputs) == 50, "the other station's outputs")
        assert tried.outputs == list(range(10, 60))
        assert tried.flow.in_flight == 1


async def test_what_fails_more_often_than_it_may_be_retried_is_given_up() -> None:
    scripted = Scripted(at_1=9)
    async with Flowing(scripted, errors={"retries": 2, "backoffSeconds": 0.0}).running() as tried:
        tried.send("S1", 1, 2)
        await tried.drained()
        assert tried.open_offsets == 0
    assert (scripted.numbers, tried.outputs) == ([1, 1, 1, 2], [2])


async def test_thousands_of_failures_of_one_station_are_settled_one_by_one() -> None:
    def fails(station_id: str, module_input: Any) -> None:
        raise ValueError

    turns = 0
    async with Flowing(fails).running() as tried:
        tried.send("S1", *range(1_500))
        while tried.flow.in_flight:
            turns += 1
            await asyncio.sleep(0)
        await tried.drained()
        assert tried.open_offsets == 0
    assert turns > 10, "the loop had its turns meanwhile"
    assert tried.count("errors_total", error_type="callback_error") == 1_500


async def test_a_plain_calls_timeout_is_an_error_of_its_own_kind_and_its_late_result_no_output() -> None:
    gate = Gate()
    async with Flowing(gate, callback={"timeoutSeconds": 0.05}).running() as tried:
        tried.send("S1", 1)
        await until(lambda: tried.flow.overdue() == 1, "the call is overdue")
        tried.send("S2", 2)
        assert tried.outputs == []
        gate.open.set()
        await tried.drained()
    assert tried.outputs == [2]
    assert tried.count("errors_total", error_type="callback_timeout") == 1
    assert tried.count("callback_timeouts_total") == 1


async def test_an_async_calls_timeout_is_retried_like_any_error() -> None:
    calls = 0

    async def slow_at_first(station_id: str, module_input: Any) -> str:
        nonlocal calls
        calls += 1
        if calls == 1:
            await asyncio.sleep(30)
        return "done"

    errors = {"retries": 1, "backoffSeconds": 0.0}
    async with Flowing(slow_at_first, callback={"timeoutSeconds": 0.05}, errors=errors).running() as tried:
        tried.send("S1", 1)
        await tried.drained()
    assert (tried.outputs, calls) == (["done"], 2)


# -- the breaker ------------------------------------------------------------------------------------


async def _until_a_probe_is_allowed(record: flow.StationRecord) -> None:
    await until(lambda: record.breaker.allows(time.monotonic()), "a probe is allowed")


async def test_a_breaker_opens_within_a_piece_of_work_and_no_call_follows() -> None:
    calls, fails = always(ValueError("broken"))
    breaker = {"failures": 3, "openSeconds": 60}
    async with Flowing(fails, errors={"breaker": breaker}).running() as tried:
        tried.send("S1", *range(200))
        await tried.drained()
        assert tried.open_offsets == 0
        assert tried.flow.records["S1"].breaker.is_open(time.monotonic())
    assert calls == [0, 1, 2]
    assert tried.count("errors_total", error_type="breaker_open") == 197


async def test_an_open_breaker_concerns_its_own_station_alone() -> None:
    def callback(station_id: str, module_input: Any) -> Any:
        return 1 / 0 if station_id == "S1" else module_input["power"]

    async with Flowing(callback, errors={"breaker": {"failures": 1}}).running() as tried:
        tried.send("S1", 1, 2, 3)
        tried.send("S2", 4, 5)
        await tried.drained()
    assert tried.outputs == [4, 5]


async def test_an_open_breaker_lets_one_probe_through_and_a_success_closes_it() -> None:
    scripted = Scripted(at_1=1, at_2=1)
    breaker = {"failures": 1, "openSeconds": 0.05}
    async with Flowing(scripted, errors={"breaker": breaker}).running() as tried:
        for number, probe in ((1, True), (2, True), (3, True), (4, False)):
            record = tried.flow.records.get("S1")
            if probe and record is not None:
                await _until_a_probe_is_allowed(record)
            tried.send("S1", number)
            await tried.drained()
    assert scripted.numbers == [1, 2, 3, 4]
    assert tried.outputs == [3, 4]


async def test_a_failed_probe_opens_the_breaker_again_for_the_records_behind_it() -> None:
    calls, fails = always(ValueError("broken"))
    breaker = {"failures": 2, "openSeconds": 0.05}
    async with Flowing(fails, errors={"breaker": breaker}).running() as tried:
        tried.send("S1", 1, 2, 3)
        await tried.drained()
        await _until_a_probe_is_allowed(tried.flow.records["S1"])
        tried.send("S1", 4, 5, 6)
        await tried.drained()
    assert calls == [1, 2, 4]


async def test_a_retry_that_an_open_breaker_forbids_is_given_up() -> None:
    calls, fails = always(ValueError("broken"))
    errors = {"retries": 5, "backoffSeconds": 0.0, "breaker": {"failures": 2, "openSeconds": 60}}
    async with Flowing(fails, errors=errors).running() as tried:
        tried.send("S1", 1, 2)
        await tried.drained()
        assert tried.open_offsets == 0
    assert calls == [1, 1]
