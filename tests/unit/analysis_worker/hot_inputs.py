"""Cases of hot fields: which stations, inputs and dependencies a module has."""

import asyncio

from tests.unit.analysis_worker.hot import POWER, Hot, hot
from tests.unit.analysis_worker.in_memory import OUTPUT, until

# -- stations ---------------------------------------------------------------------------------------


@hot("spec.stations.include")
async def include(it: Hot) -> None:
    assert await it.taken(stationId="S1") == 1
    await it.change(stations={"include": ["S2*"]})
    assert await it.taken(stationId="S1") == 0
    assert await it.taken(stationId="S21") == 1
    assert set(it.worker.engine.stations) == {"S21"}


@hot("spec.stations.exclude")
async def exclude(it: Hot) -> None:
    assert await it.taken(stationId="S1") == 1
    await it.change(stations={"exclude": ["S1"]})
    assert await it.taken(stationId="S1") == 0
    assert await it.taken(stationId="S2") == 1


# -- inputs -----------------------------------------------------------------------------------------


@hot("spec.inputs[].topic")
async def topic(it: Hot) -> None:
    it.topic("ELSEWHERE")
    await it.output()
    await it.change(inputs=[{**POWER, "topic": "ELSEWHERE"}])
    assert (await it.output("ELSEWHERE", power=5))["power"] == 5
    await until(lambda: {place.topic for place in it.worker.feed.parts} == {"ELSEWHERE"}, "POWER is left")


@hot("spec.inputs[].fields")
async def fields(it: Hot) -> None:
    assert (await it.output(extra=7))["input"]["extra"] is None
    await it.change(inputs=[{**POWER, "fields": ["stationId", "power", "extra"]}])
    after = await it.output(power=2, extra=8)
    assert (after["input"]["extra"], after["window"]) == (8, [0, 1, 2])


@hot("spec.inputs[].arrays", inputs=[{**POWER, "fields": ["stationId", "power", "cells"]}])
async def arrays(it: Hot) -> None:
    assert (await it.output(cells=[1, 2, 3]))["input"]["cells"] == 3
    await it.change(inputs=[{**it.serving.spec["inputs"][0], "arrays": ["cells"]}])
    assert (await it.output(cells=[4, 5, 6]))["input"]["cells"] == [4, 5, 6]


@hot("spec.inputs[].aliases")
async def aliases(it: Hot) -> None:
    assert (await it.output(power=None, watts=5))["power"] != 5
    await it.change(inputs=[{**POWER, "aliases": {"power": ["watts"]}}])
    assert (await it.output(power=None, watts=5))["power"] == 5


@hot("spec.inputs[].dtypes")
async def dtypes(it: Hot) -> None:
    assert (await it.output(power=0.1))["window"][-1] == 0.1
    await it.change(inputs=[{**POWER, "dtypes": {"power": "float32"}}])
    await it.output(power=0.1)
    narrow = await it.output(power=0.2)
    assert narrow["window"] != [0.1, 0.1, 0.2]
    assert [round(value, 6) for value in narrow["window"]] == [0.1, 0.1, 0.2]


@hot("spec.inputs[].windowSize")
async def window_size(it: Hot) -> None:
    for number in (1, 2, 3, 4):
        await it.output(power=number)
    await it.change(inputs=[{**POWER, "windowSize": 5}])
    assert (await it.output(power=5))["window"][-4:] == [2, 3, 4, 5]
    await it.change(inputs=[{**POWER, "windowSize": 2}])
    assert (await it.output(power=6))["window"] == [5, 6]


@hot("spec.inputs[].stationKey.fields")
async def station_key_fields(it: Hot) -> None:
    assert (await it.record(site="here")).key == b"S1"
    await it.change(inputs=[{**POWER, "stationKey": {"fields": ["site"]}}])
    assert (await it.record(site="here")).key == b"here"


@hot("spec.inputs[].stationKey.via")
async def station_key_via(it: Hot) -> None:
    it.topic("PARAM")
    it.serving.cluster.produce("PARAM", {"stationId": "S9", "hostId": "H1"})
    assert (await it.record(stationId=None, hostId="H1")).key == b"H1"
    await it.change(inputs=[{**POWER, "stationKey": {"via": "PARAM"}}])
    await until(lambda: it.worker.engine.devices.get("PARAM"), "the devices are learnt")
    assert (await it.record(stationId=None, hostId="H1")).key == b"S9"


@hot("spec.inputs[].scope", inputs=[POWER, {"topic": "DAYS", "fields": ["day"], "windowSize": 1}])
async def scope(it: Hot) -> None:
    await until(lambda: it.worker.feed.missing == {"DAYS"}, "DAYS is looked for")
    it.topic("DAYS")
    await it.change(inputs=[POWER, {**it.serving.spec["inputs"][1], "scope": "Global"}])
    it.serving.cluster.produce("DAYS", {"day": 3})
    await until(lambda: it.worker.engine._global_windows, "the day is there for all")
    assert (await it.output(stationId="S1"))["input"]["day"] == 3
    assert (await it.output(stationId="S2"))["input"]["day"] == 3


@hot("spec.inputs[].trigger")
async def trigger(it: Hot) -> None:
    assert await it.taken() == 1
    await it.change(inputs=[{**POWER, "trigger": False}])
    assert await it.taken(power=2) == 0
    await it.change(inputs=[{**POWER, "trigger": True}])
    assert (await it.output(power=3))["window"] == [1, 2, 3]


@hot("spec.inputs[].padding")
async def input_padding(it: Hot) -> None:
    assert (await it.output())["window"] == [0, 0, 1]
    await it.change(inputs=[{**POWER, "padding": "Missing"}])
    assert (await it.output(power=2))["window"] == [None, 1, 2]


@hot("spec.inputs[].keepLast")
async def keep_last(it: Hot) -> None:
    await it.output(power=1)
    await it.change(inputs=[{**POWER, "keepLast": True}])
    kept = await it.record(to="module-last", power=2)
    assert (kept.key, kept.json()["power"]) == (b"POWER/S1/0", 2)
    await it.change(inputs=[{**POWER, "keepLast": False}])
    await it.output(power=3)
    assert it.count("module-last") == 1


@hot("spec.padding")
async def padding(it: Hot) -> None:
    assert (await it.output())["window"] == [0, 0, 1]
    await it.change(padding="Forward")
    assert (await it.output(power=2))["window"] == [1, 1, 2]


# -- dependencies -----------------------------------------------------------------------------------


def _depending(it: Hot, value: int, topic: str = "A", module: str = "a") -> None:
    envelope = {"stationId": "S1", "module": module, "output": {"x": value}, "timestamp": 1.0}
    it.serving.cluster.produce(topic, envelope)


async def _joined(it: Hot, key: str, value: int) -> None:
    async def joined() -> bool:
        return bool((await it.output())["input"][key] == {"x": value})

    for _ in range(200):
        if await joined():
            return
        await asyncio.sleep(0.005)
    raise TimeoutError(f"{key} is never {value}")


QUIET = {"module": "a", "topic": "A", "trigger": False}


@hot("spec.dependencies[].module")
async def dependency_module(it: Hot) -> None:
    it.topic("A")
    await it.change(dependencies=[QUIET])
    _depending(it, 1)
    await _joined(it, "a_output", 1)
    await it.change(dependencies=[{**QUIET, "module": "b"}])
    _depending(it, 2, module="b")
    await _joined(it, "b_output", 2)


@hot("spec.dependencies[].topic")
async def dependency_topic(it: Hot) -> None:
    it.topic("A", "A2")
    await it.change(dependencies=[QUIET])
    _depending(it, 1)
    await _joined(it, "a_output", 1)
    await it.change(dependencies=[{**QUIET, "topic": "A2"}])
    _depending(it, 2, "A2")
    await _joined(it, "a_output", 2)


@hot("spec.dependencies[].windowSize")
async def dependency_window_size(it: Hot) -> None:
    it.topic("A")
    await it.change(dependencies=[QUIET])
    for value in range(5):
        _depending(it, value)
    await _joined(it, "a_output", 4)
    assert len((await it.output())["outputs"]) == 5
    await it.change(dependencies=[{**QUIET, "windowSize": 2}])
    assert (await it.output())["outputs"] == [{"x": 3}, {"x": 4}]


@hot("spec.dependencies[].trigger")
async def dependency_trigger(it: Hot) -> None:
    it.topic("A")
    await it.change(dependencies=[{**QUIET, "trigger": True}])
    await it.output()
    before = it.count()
    _depending(it, 1)
    await until(lambda: it.count() == before + 1, "the dependency's output triggers")
    await it.change(dependencies=[QUIET])
    _depending(it, 2)
    await _joined(it, "a_output", 2)
    await it.quiet()
    powers = [record.json()["output"]["input"]["a_output"] for record in it.serving.cluster.records(OUTPUT)]
    assert powers.count({"x": 2}) == 1
