"""What the log says of a callback's runs: whose it was and how long it took, in text and in JSON."""

import asyncio
import json
import logging
import time
from typing import Any

import pytest

from analysis_module import spec
from analysis_worker.callbacks import calling, lanes, loading
from analysis_worker.engine.scheduling import Work
from analysis_worker.observability import log_lines
from tests import builders
from tests.unit.analysis_worker.callbacks.called import plain_or_async
from tests.unit.analysis_worker.flowing import Flowing, Gate, always
from tests.unit.analysis_worker.in_memory import until

ROUNDED = 1e-6


class Timed:
    """A callback that rests for as long as a record says, fails at -1, and notes when it came and went."""

    def __init__(self) -> None:
        self.came: list[float] = []
        self.went: list[float] = []

    def __call__(self, station_id: str, module_input: Any) -> Any:
        self.came.append(time.perf_counter())
        power = module_input["power"]
        try:
            if power < 0:
                raise ValueError("broken")
            time.sleep(power)
            return power
        finally:
            self.went.append(time.perf_counter())

    def took(self, call: int, seconds: float, ended: float) -> bool:
        """Whether so many seconds are this call's: no less than it, and nothing of the calls beside it."""
        before = self.went[call - 1] if call else 0.0
        after = self.came[call + 1] if call + 1 < len(self.came) else ended
        least, most = self.went[call] - self.came[call], after - before
        return least - ROUNDED <= seconds <= most + ROUNDED


def as_json(record: logging.LogRecord) -> dict[str, Any]:
    line: dict[str, Any] = json.loads(log_lines.JsonLines({}).format(record))
    return line


def lines(caplog: pytest.LogCaptureFixture, beginning: str) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.getMessage().startswith(beginning)]


@pytest.mark.parametrize("kind", ["plain", "async"])
async def test_the_line_of_a_failed_call_has_its_station_and_the_time_of_that_call_alone(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    timed = Timed()
    async with Flowing(plain_or_async(kind, timed)).running() as tried:
        tried.send("S1", 0.1, 0.1, -1)
        await tried.drained()
        ended = time.perf_counter()

    (failed,) = lines(caplog, "callback of station S1 failed")
    line = as_json(failed)
    assert (line["level"], line["station_id"], line["error_type"]) == ("ERROR", "S1", "callback_error")
    assert (line["topic"], line["partition"], line["offset"]) == ("POWER", 0, 2)
    assert timed.took(2, line["processing_time"], ended)
    text = log_lines.text_lines().format(failed)
    assert f"station S1 failed at POWER/0 offset 2 after {line['processing_time']:.3f} s: ValueError" in text


@pytest.mark.parametrize("kind", ["plain", "async"])
async def test_at_debug_each_completed_call_has_a_line_with_its_station_and_its_own_time(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    timed = Timed()
    async with Flowing(plain_or_async(kind, timed)).running() as tried:
        tried.send("S1", 0.1, 0, 0.1)
        await tried.drained()
        ended = time.perf_counter()

    told = lines(caplog, "callback of station S1 took")
    found = [as_json(record) for record in told]
    assert [line["offset"] for line in found] == [0, 1, 2]
    assert [(line["level"], line["station_id"]) for line in found] == [("DEBUG", "S1")] * 3
    assert [timed.took(call, line["processing_time"], ended) for call, line in enumerate(found)] == [True] * 3
    text = log_lines.text_lines().format(told[0])
    assert text.endswith(f"station S1 took {found[0]['processing_time']:.6f} s for POWER/0 offset 0")


async def test_a_failed_call_has_one_line_at_debug_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with Flowing(Timed()).running() as tried:
        tried.send("S1", 0, -1, 0)
        await tried.drained()
    assert [as_json(record)["offset"] for record in lines(caplog, "callback of station S1 took")] == [0, 2]
    assert [as_json(record)["offset"] for record in lines(caplog, "callback of station S1 failed")] == [1]


async def test_from_info_on_a_completed_call_has_no_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with Flowing(Timed()).running() as tried:
        tried.send("S1", 0, 0)
        await tried.drained()
        assert tried.outputs == [0, 0]
    assert lines(caplog, "callback of station") == []


@pytest.mark.parametrize(("level", "direct"), [(logging.INFO, True), (logging.DEBUG, False)])
def test_without_debug_nothing_stands_between_a_call_and_its_output(
    level: int, direct: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(level)
    station = builders.a_station("S1")
    finished = calling.Finished(Work(station, [builders.a_trigger(station)]))
    caller = calling.Caller(loading.from_callable(lambda s, i: 1), spec.InputFormat.NUMPY, None)
    assert (lanes.Lane().taking(caller, finished) == caller.take) is direct
    assert (finished.times is None) is direct


async def test_the_line_of_a_cancelled_call_has_its_station_and_no_less_than_the_timeout(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def sleeps(station_id: str, module_input: Any) -> None:
        await asyncio.sleep(600)

    async with Flowing(sleeps, callback={"timeoutSeconds": 0.05}).running() as tried:
        tried.send("S1", 1)
        await tried.drained()
    (line,) = map(as_json, lines(caplog, "callback of station S1 failed"))
    assert (line["station_id"], line["error_type"]) == ("S1", "callback_timeout")
    assert line["processing_time"] >= 0.05


async def test_a_plain_call_that_does_not_return_is_told_once_while_it_runs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gate = Gate()
    async with Flowing(gate, callback={"timeoutSeconds": 0.05}).running() as tried:
        tried.send("S1", 1)
        await until(lambda: lines(caplog, "callback of station S1 has run for"), "it is told of")
        assert not gate.open.is_set()
        gate.open.set()
        await tried.drained()
    (line,) = map(as_json, lines(caplog, "callback of station S1 has run for"))
    assert (line["level"], line["station_id"], line["error_type"]) == ("WARNING", "S1", "callback_timeout")
    assert line["processing_time"] >= 0.05


async def test_a_breaker_that_opens_is_told_with_its_station_and_the_time_of_the_last_call(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls, fails = always(ValueError("broken"))
    breaker = {"failures": 2, "openSeconds": 60}
    async with Flowing(fails, errors={"breaker": breaker}).running() as tried:
        tried.send("S1", 1, 2, 3)
        await tried.drained()
    (opened,) = lines(caplog, "breaker of")
    line = as_json(opened)
    assert calls == [1, 2]
    assert line["message"] == "breaker of station S1 is open for 60 s after 2 failures in a row"
    assert (line["level"], line["station_id"], line["error_type"]) == ("WARNING", "S1", "breaker_open")
    failed = as_json(lines(caplog, "callback of station S1 failed")[-1])
    assert line["processing_time"] == failed["processing_time"]
