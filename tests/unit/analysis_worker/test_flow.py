"""From triggers to outputs: in order per station, failures settled, offsets done with what they asked for."""

import asyncio
import time
from typing import Any

import pytest

from analysis_worker.callbacks import loading
from tests import builders
from tests.unit.analysis_worker.flowing import INPUT, OUTPUT, POWER_INPUT, Flowing, Gate, always
from tests.unit.analysis_worker.in_memory import until


def power(station_id: str, module_input: Any) -> Any:
    return module_input["power"]


# -- outputs ----------------------------------------------------------------------------------------


async def test_every_trigger_becomes_an_output_with_its_key_id_and_time() -> None:
    async with Flowing(power).running() as tried:
        tried.send("S1", 1.5, 2)
        await tried.drained()
    first, second = tried.kafka.records(OUTPUT)
    assert first.json() == {"stationId": "S1", "module": "module", "output": 1.5, "timestamp": builders.NOW}
    assert [record.key for record in (first, second)] == [b"S1", b"S1"]
    assert dict(second.headers) == {"output-id": b"module/S1/POWER/0/1"}
    assert tried.count("processed_total") == 2
    assert tried.count("outputs_total") == 2


async def test_a_result_of_none_sends_the_input_itself() -> None:
    async with Flowing(lambda station_id, module_input: None).running() as tried:
        tried.send("S1", 7)
        await tried.drained()
    assert tried.outputs[0]["power_window"] == [0, 0, 7]


async def test_outputs_of_a_station_keep_the_order_of_its_records() -> None:
    async with Flowing(power).running() as tried:
        for number in range(1_000):
            tried.send(f"S{number % 7}", number)
        await tried.drained()
    by_station: dict[bytes | None, list[int]] = {}
    for record in tried.kafka.records(OUTPUT):
        by_station.setdefault(record.key, []).append(record.json()["output"])
    assert by_station == {f"S{n}".encode(): list(range(n, 1_000, 7)) for n in range(7)}


async def test_an_offset_is_done_only_when_its_output_is_acknowledged() -> None:
    async with Flowing(power).running() as tried:
        gate = tried.kafka.hold("sink.send")
        tried.send("S1", 1, 2, 3)
        await until(lambda: tried.box.pending == 3, "the outputs are on their way")
        assert tried.open_offsets == 3
        gate.set()
        await tried.drained()
        assert tried.open_offsets == 0


async def test_without_an_output_an_offset_is_done_with_its_call() -> None:
    async with Flowing(power, output={"enabled": False}).running() as tried:
        tried.send("S1", 1, 2)
        await tried.drained()
        assert (tried.open_offsets, tried.count("processed_total")) == (0, 2)
    assert tried.kafka.calls["sink.send"] == 0


@pytest.mark.parametrize("output", [{"topic": OUTPUT}, {"enabled": False}])
async def test_a_result_handler_hears_of_every_result_in_order(output: dict[str, Any]) -> None:
    async with Flowing(power, output=output).running(handler=True) as tried:
        tried.send("S1", 1, 2, 3)
        await tried.drained()
    assert tried.handled == [("S1", 1), ("S1", 2), ("S1", 3)]


async def test_a_result_handler_hears_of_no_output_that_is_not_acknowledged() -> None:
    async with Flowing(power).running(handler=True) as tried:
        gate = tried.kafka.hold("sink.send")
        tried.send("S1", 1)
        await until(lambda: tried.kafka.calls["sink.send"] == 1, "the output is on its way")
        assert tried.handled == []
        gate.set()
        await tried.drained()
    assert tried.handled == [("S1", 1)]


async def test_refused_records_go_to_the_dead_letters_and_are_done_with_them() -> None:
    async with Flowing(power).running() as tried:
        gate = tried.kafka.hold("sink.send")
        tried.take(b"not JSON", {"power": 1}, {"stationId": "S1", "power": 2})
        await until(lambda: tried.kafka.calls["sink.send"] >= 2, "both are on their way")
        assert tried.open_offsets == 3
        gate.set()
        await tried.drained()
        assert tried.open_offsets == 0
    assert [dict(letter.headers)["dead-letter-error-type"] for letter in tried.letters] == [
        b"invalid_json",
        b"missing_station_id",
    ]
    assert tried.outputs == [2]
    assert tried.count("dead_letters_total", error_type="invalid_json") == 1
    assert tried.count("errors_total", error_type="missing_station_id") == 1


# -- policies ---------------------------------------------------------------------------------------


async def test_latest_runs_the_newest_record_once_the_callback_is_free_and_counts_the_others() -> None:
    gate = Gate()
    async with Flowing(gate, trigger={"policy": "Latest"}).running() as tried:
        tried.send("S1", 1)
        await until(lambda: gate.entered == [1], "the first call is under way")
        tried.send("S1", 2, 3, 4)
        assert (tried.flow.waiting, tried.flow.coalesced) == (1, 2)
        gate.open.set()
        await tried.drained()
        assert tried.open_offsets == 0
    assert tried.outputs == [1, 4]
    assert tried.count("coalesced_total") == 2


async def test_latest_holds_the_covered_offsets_open_until_the_covering_output_is_written() -> None:
    gate = Gate()
    async with Flowing(gate, trigger={"policy": "Latest"}).running() as tried:
        tried.send("S1", 1)
        await until(lambda: gate.entered == [1], "the first call is under way")
        tried.send("S1", 2, 3)
        held = tried.kafka.hold("sink.send")
        gate.open.set()
        await until(lambda: tried.box.pending == 2, "both outputs are on their way")
        assert tried.open_offsets == 3
        held.set()
        await tried.drained()
        assert tried.open_offsets == 0


async def test_interval_runs_at_most_once_per_interval_and_then_by_itself() -> None:
    trigger = {"policy": "Interval", "intervalSeconds": 0.1}
    clock = time.time

    async with Flowing(power, trigger=trigger).running() as tried:
        for number in range(5):
            taken = tried.by_hand.take(INPUT, {"stationId": "S1", "power": number})
            tried.flow.take(taken, int(clock() * 1000))
        assert tried.flow.waiting == 1
        await tried.drained()
    assert tried.outputs == [0, 4]


async def test_a_shorter_interval_or_none_releases_what_the_longer_one_held_back() -> None:
    trigger = {"policy": "Interval", "intervalSeconds": 3_600}
    for change in ({"policy": "EveryRecord"}, {"policy": "Interval", "intervalSeconds": 0.01}):
        async with Flowing(power, trigger=trigger).running() as tried:
            for number in (1, 2):
                taken = tried.by_hand.take(INPUT, {"stationId": "S1", "power": number})
                tried.flow.take(taken, int(time.time() * 1000))
            assert tried.flow.waiting == 1
            tried.configure(trigger=change, output={"topic": OUTPUT})
            await tried.drained()
        assert tried.outputs == [1, 2]


# -- changes and the end ----------------------------------------------------------------------------


async def test_calls_under_way_end_as_they_began_and_later_triggers_get_the_new_callback() -> None:
    gate = Gate()
    async with Flowing(gate).running() as tried:
        tried.send("S1", 1)
        await until(lambda: gate.entered == [1], "the first call is under way")
        after = loading.from_callable(lambda station_id, module_input: "new")
        fresh = tried.flow.lanes_for(tried.assembly(), after)
        await tried.flow.callbacks.set_up(fresh)
        tried.flow.configure(tried.assembly(), fresh)
        assert tried.flow.callback is after
        tried.send("S1", 2)
        tried.send("S2", 3)
        await until(lambda: tried.outputs == ["new"], "the other station has the new one")
        gate.open.set()
        await tried.drained()
    assert tried.outputs == ["new", 1, "new"]


async def test_new_bounds_and_formats_hold_from_the_next_piece_of_work_on() -> None:
    kinds = []

    def kind(station_id: str, module_input: Any) -> None:
        kinds.append(type(module_input["power_window"]).__name__)

    async with Flowing(kind).running() as tried:
        tried.send("S1", 1)
        await tried.drained()
        tried.configure(callback={"inputFormat": "list"}, output={"topic": OUTPUT})
        tried.send("S1", 2)
        await tried.drained()
        tried.configure(output={"enabled": False})
        tried.send("S1", 3)
        await tried.drained()
    assert kinds == ["Window", "list", "Window"]
    assert len(tried.outputs) == 2


async def test_new_breaker_settings_hold_for_stations_that_are_known() -> None:
    calls, fails = always(ValueError("broken"))
    async with Flowing(fails).running() as tried:
        tried.send("S1", 1)
        await tried.drained()
        tried.configure(errors={"breaker": {"failures": 2}}, output={"topic": OUTPUT})
        tried.send("S1", 2, 3)
        await tried.drained()
    assert calls == [1, 2]


async def test_after_a_stop_nothing_new_runs_and_what_was_not_called_stays_open() -> None:
    gate = Gate()
    tried = Flowing(gate, callback={"concurrency": 1})
    async with tried.running():
        tried.send("S1", 1)
        tried.send("S2", 2)
        await until(lambda: gate.entered == [1], "the first call is under way")
        stopping = asyncio.create_task(tried.flow.stop(5.0))
        await until(lambda: not tried.flow.callbacks.current._queue, "the queue is dropped")  # type: ignore[attr-defined]
        gate.open.set()
        await stopping
        assert await tried.box.flush(5)
        assert tried.outputs == [1]
        assert tried.open_offsets == 1


async def test_a_stop_leaves_retries_open_and_is_bounded_with_a_stuck_call() -> None:
    gate = Gate()

    def callback(station_id: str, module_input: Any) -> Any:
        return gate(station_id, module_input) if station_id == "S1" else 1 / 0

    async with Flowing(callback, errors={"retries": 5, "backoffSeconds": 30.0}).running() as tried:
        tried.send("S1", 1)
        tried.send("S2", 2)
        await until(lambda: tried.count("callback_retries_total") == 1, "the other waits for a retry")
        began = time.monotonic()
        await tried.flow.stop(0.1)
        assert time.monotonic() - began < 2.0
        assert tried.open_offsets == 2
        gate.open.set()


async def test_drain_tells_whether_all_was_done_in_time() -> None:
    gate = Gate()
    async with Flowing(gate).running() as tried:
        tried.send("S1", 1)
        assert not await tried.flow.drain(0.02)
        gate.open.set()
        assert await tried.flow.drain(5.0)
    assert tried.outputs == [1]


async def test_stations_that_are_gone_are_forgotten() -> None:
    async with Flowing(power).running() as tried:
        tried.send("S1", 1)
        await tried.drained()
        tried.flow.forget([tried.by_hand.station("S1")])
        assert tried.flow.records == {}


async def test_dependencies_found_and_missing_are_counted() -> None:
    spec = {
        "inputs": [POWER_INPUT],
        "dependencies": [{"module": "load_prediction", "topic": "LOAD", "trigger": False}],
    }
    async with Flowing(power, **spec).running() as tried:
        tried.send("S1", 1)
        await tried.drained()
        load = {"stationId": "S1", "module": "load_prediction", "output": {"x": 1}, "timestamp": 1}
        tried.flow.take(tried.by_hand.take("LOAD", load), 0)
        tried.send("S1", 2)
        await tried.drained()
    counts = [
        tried.count("dependency_aggregation_total", dependency="load_prediction", result=result)
        for result in ("hit", "miss")
    ]
    assert counts == [1, 1]
