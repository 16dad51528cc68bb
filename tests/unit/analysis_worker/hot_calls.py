"""Cases of hot fields: when and what is called, and what becomes of results and errors."""

import asyncio
import logging
import pathlib
from typing import Any

from analysis_module import names
from tests.unit.analysis_worker.hot import OTHER, POWER, SOURCE, Hot, hot
from tests.unit.analysis_worker.in_memory import INPUT, OUTPUT, until

FAILING = """
failed = set()
def callback(station_id, module_input):
    if (station_id, module_input["power"]) not in failed:
        failed.add((station_id, module_input["power"]))
        raise ValueError("the first time")
    return {"power": module_input["power"]}
"""
FAILING_TWELVE_TIMES = """
left = 12
def callback(station_id, module_input):
    global left
    left -= 1
    if left >= 0:
        raise ValueError("not yet")
    return {"power": module_input["power"]}
"""
ALWAYS_FAILING = """
calls = []
def callback(station_id, module_input):
    calls.append(module_input["power"])
    raise ValueError("always")
"""
WAITING = """
import threading
entered, free = [], threading.Event()
def callback(station_id, module_input):
    entered.append(station_id)
    free.wait(5)
    return {"power": module_input["power"]}
"""


def answer(station_id: str, module_input: Any) -> dict[str, bool]:
    """What an entrypoint leads to."""
    return {"entrypoint": True}


# -- when a callback runs ---------------------------------------------------------------------------


@hot("spec.trigger.policy", callback={"source": WAITING})
async def policy(it: Hot) -> None:
    await it.change(trigger={"policy": "Latest"})
    free = it.globals["free"]
    it.send()
    await until(lambda: it.globals["entered"], "the first call is under way")
    for number in (2, 3, 4):
        it.send(power=number)
    await until(lambda: it.worker.flow.coalesced == 2, "two are covered by the newest")
    free.set()
    await until(lambda: it.count() == 2, "two outputs")


@hot("spec.trigger.intervalSeconds", trigger={"policy": "Interval", "intervalSeconds": 3_600})
async def interval(it: Hot) -> None:
    await it.output(power=1)
    it.send(power=2)
    await until(lambda: it.worker.flow.waiting == 1, "the interval holds it back")
    await it.change(trigger={"policy": "Interval", "intervalSeconds": 0.01})
    await until(lambda: it.count() == 2, "it is due")


@hot("spec.trigger.requiredTopics", inputs=[POWER, OTHER])
async def required_topics(it: Hot) -> None:
    assert await it.taken() == 1
    it.topic("OTHER")
    await it.change(trigger={"requiredTopics": ["OTHER"]})
    assert await it.taken() == 0
    assert (await it.output("OTHER", other=5))["input"]["other"] == 5


# -- the callback -----------------------------------------------------------------------------------


@hot("spec.callback.entrypoint")
async def entrypoint(it: Hot) -> None:
    await it.output()
    await it.change(callback={"entrypoint": f"{__name__}:answer"})
    assert await it.output() == {"entrypoint": True}


@hot("spec.callback.file")
async def file(it: Hot) -> None:
    await it.output()
    for edition in (1, 2):
        path = it.directory / f"{edition}.py"
        path.write_text(f"def callback(station_id, module_input):\n    return {edition}\n")
        await it.change(callback={"file": str(path)})
        assert await it.output() == edition


async def _mounted(it: Hot, references: list[dict[str, str]]) -> None:
    for edition, reference in enumerate(references):
        path = pathlib.Path(names.callback_path(reference["key"]))
        path.write_text(f"def callback(station_id, module_input):\n    return {edition}\n")
        await it.change(callback={"configMapRef": reference})
        assert await it.output() == edition


@hot("spec.callback.configMapRef.name")
async def config_map_name(it: Hot) -> None:
    await _mounted(it, [{"name": "one", "key": "callback.py"}, {"name": "two", "key": "callback.py"}])


@hot("spec.callback.configMapRef.key")
async def config_map_key(it: Hot) -> None:
    await _mounted(it, [{"name": "one", "key": "a.py"}, {"name": "one", "key": "b.py"}])


@hot("spec.callback.source")
async def source(it: Hot) -> None:
    await it.output()
    await it.change(callback={"source": "def callback(station_id, module_input):\n    return 'new'\n"})
    assert await it.output() == "new"


@hot("spec.callback.function")
async def function(it: Hot) -> None:
    await it.output()
    await it.change(callback={"source": SOURCE, "function": "renamed"})
    assert await it.output() == {"renamed": True}


@hot("spec.callback.parameters")
async def parameters(it: Hot) -> None:
    assert (await it.output())["parameters"] == {}
    await it.change(callback={"source": SOURCE, "parameters": {"limit": [1, 2]}})
    assert (await it.output())["parameters"] == {"limit": [1, 2]}


@hot("spec.callback.timeoutSeconds", callback={"source": WAITING})
async def timeout_seconds(it: Hot) -> None:
    before = it.worker.flow.callback
    await it.change(callback={"source": WAITING, "timeoutSeconds": 0.05})
    assert it.worker.flow.callback is before, "the same callback, not loaded anew"
    it.send()
    await until(lambda: it.worker.flow.overdue() == 1, "the call is overdue")
    it.globals["free"].set()
    await until(lambda: it.failed("callback_timeout") == 1, "it is counted")


@hot("spec.callback.concurrency", callback={"source": WAITING, "concurrency": 1})
async def concurrency(it: Hot) -> None:
    it.send(stationId="S1")
    it.send(stationId="S2")
    await until(lambda: it.globals["entered"] == ["S1"], "one call is under way")
    await it.change(callback={"source": WAITING, "concurrency": 2})
    await until(lambda: it.globals["entered"] == ["S1", "S2"], "two calls are under way")
    it.globals["free"].set()


@hot("spec.callback.inputFormat")
async def input_format(it: Hot) -> None:
    assert (await it.output())["kind"] == "Window"
    await it.change(callback={"source": SOURCE, "inputFormat": "list"})
    after = await it.output(power=2)
    assert (after["kind"], after["window"]) == ("list", [0, 1, 2])
    assert len(it.globals["calls"]) == 2, "the same callback goes on"


# -- outputs ----------------------------------------------------------------------------------------


@hot("spec.output.enabled")
async def output_enabled(it: Hot) -> None:
    assert await it.taken() == 1
    await it.change(output={"enabled": False, "topic": OUTPUT})
    assert await it.taken() == 0
    await it.change(output={"topic": OUTPUT})
    assert await it.taken() == 1


@hot("spec.output.topic")
async def output_topic(it: Hot) -> None:
    await it.output()
    await it.change(output={"topic": "ELSEWHERE"})
    assert (await it.record(to="ELSEWHERE")).key == b"S1"
    assert it.count() == 1


@hot("spec.output.topicStyle", module="my_module", output={})
async def topic_style(it: Hot) -> None:
    assert await it.record(to="MODULE-OUTPUT-MY-MODULE")
    await it.change(output={"topicStyle": "underscore"})
    assert await it.record(to="MODULE-OUTPUT-MY_MODULE")


@hot("spec.output.envelope")
async def envelope(it: Hot) -> None:
    assert "stationId" in (await it.record()).json()
    await it.change(output={"topic": OUTPUT, "envelope": "v1.0"})
    assert (await it.record()).json()["station_id"] == "S1"


# -- errors -----------------------------------------------------------------------------------------


@hot("spec.errors.retries", callback={"source": FAILING})
async def retries(it: Hot) -> None:
    assert await it.taken(power=1) == 0
    await it.change(errors={"retries": 1, "backoffSeconds": 0.0})
    assert await it.output(power=2) == {"power": 2}


@hot(
    "spec.errors.backoffSeconds",
    callback={"source": FAILING},
    errors={"retries": 1, "backoffSeconds": 3_600, "maxBackoffSeconds": 3_600},
)
async def backoff_seconds(it: Hot) -> None:
    await it.change(errors={"retries": 1, "backoffSeconds": 0.01, "maxBackoffSeconds": 3_600})
    assert await it.output(power=2) == {"power": 2}


@hot(
    "spec.errors.maxBackoffSeconds",
    callback={"source": FAILING_TWELVE_TIMES},
    errors={"retries": 12, "backoffSeconds": 0.01, "maxBackoffSeconds": 3_600},
)
async def max_backoff_seconds(it: Hot) -> None:
    await it.change(errors={"retries": 12, "backoffSeconds": 0.01, "maxBackoffSeconds": 0.01})
    assert await it.output(power=2) == {"power": 2}, "after 12 short pauses, not 41 s"


@hot("spec.errors.breaker.failures", callback={"source": ALWAYS_FAILING})
async def breaker_failures(it: Hot) -> None:
    await it.taken(power=1)
    await it.change(errors={"breaker": {"failures": 2}})
    for number in (2, 3, 4):
        await it.taken(power=number)
    assert it.globals["calls"] == [1, 2]


@hot(
    "spec.errors.breaker.openSeconds",
    callback={"source": ALWAYS_FAILING},
    errors={"breaker": {"failures": 1, "openSeconds": 3_600}},
)
async def breaker_open_seconds(it: Hot) -> None:
    await it.change(errors={"breaker": {"failures": 1, "openSeconds": 0.01}})
    await it.taken(power=1)
    station = it.worker.flow.records["S1"]
    await until(lambda: station.breaker.allows(asyncio.get_running_loop().time()), "a probe is allowed")
    await it.taken(power=2)
    assert it.globals["calls"] == [1, 2]


@hot("spec.errors.deadLetterTopic")
async def dead_letter_topic(it: Hot) -> None:
    await it.change(errors={"deadLetterTopic": "LETTERS"})
    it.serving.cluster.produce(INPUT, b"broken")
    await until(lambda: it.count("LETTERS") == 1, "the dead letter")


@hot("spec.expireAfterSeconds")
async def expire_after_seconds(it: Hot) -> None:
    await it.output()
    await it.change(expireAfterSeconds=0.05)
    await until(lambda: it.worker.engine.stations == {}, "the station is dropped")


# -- observability ----------------------------------------------------------------------------------


@hot("spec.observability.logLevel")
async def log_level(it: Hot) -> None:
    await it.change(observability={"logLevel": "DEBUG"})
    assert logging.getLogger("analysis_worker.flow").getEffectiveLevel() == logging.DEBUG
    await it.change(observability={"logLevel": "WARNING"})
    assert logging.getLogger("analysis_worker.flow").getEffectiveLevel() == logging.WARNING


@hot("spec.observability.perStationSeries")
async def per_station_series(it: Hot) -> None:
    await it.output()
    assert it.station_series() == {}
    await it.change(observability={"perStationSeries": True})
    await it.output()
    assert it.station_series()["S1"] == 1


@hot("spec.observability.maxStationSeries", observability={"perStationSeries": True})
async def max_station_series(it: Hot) -> None:
    for station in ("S1", "S2", "S3"):
        await it.output(stationId=station)
    assert {"S1", "S2", "S3"} <= set(it.station_series())
    await it.change(observability={"perStationSeries": True, "maxStationSeries": 1})
    assert len([name for name in it.station_series() if name.startswith("S")]) == 1
