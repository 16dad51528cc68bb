"""`module_input` key by key, as the seed system's 3.2 lists it, and the worked example of its 3.3."""

import json
from typing import Any

import pytest

from analysis_worker.engine import inputs, layout
from tests import builders
from tests.builders import CALENDAR, NOW, ORDER, PARAM, REALTIME

PARAMETERS = {"stationId": "S1", "lat": 30.27}
LOAD_TOPIC = "MODULE-OUTPUT-LOAD-PREDICTION"
CUT_TO_3 = [
    {"topic": PARAM},
    {"topic": REALTIME, "windowSize": 3},
    {"topic": CALENDAR},
    {"topic": ORDER, "windowSize": 3},
]


def output(module: str, result: Any, station_id: str = "S1", timestamp: Any = 7.0) -> dict[str, Any]:
    return {"stationId": station_id, "module": module, "output": result, "timestamp": timestamp}


def as_json(value: Any) -> str:
    return json.dumps(value, default=list, separators=(",", ":"))


# -- the worked example


def worked_example() -> inputs.ModuleInput:
    driven = builders.an_engine("load_prediction", inputs=CUT_TO_3)
    driven.take(PARAM, PARAMETERS)
    for power in (74.0, 80.0):
        sample = {"stationId": "S1", "gunId": "G2", "historyCurveStationAvg": power}
        taken = driven.take(REALTIME, sample)
    return builders.input_of(taken.triggers[0])


SHOWN = (
    '{"stationId":"S1","lat_window":[30.27],"lat":30.27,'
    '"historyCurveStationAvg_window":[0,74.0,80.0],"historyCurveStationAvg":80.0,'
    '"gunId_window":[0,"G2","G2"],"gunId":"G2","workdayCode_window":[0],"workdayCode":0,'
    '"currentSOC_window":[0,0,0],"currentSOC":0,"load_forecast":null,"timestamp":1762480000.0,'
    '"_data_quality":{"available_topics":["SCHEDULE-STATION-PARAM","SCHEDULE-STATION-REALTIME-DATA"],'
    '"missing_topics":["SCHEDULE-ENVIRONMENT-CALENDAR","SCHEDULE-CAR-ORDER"],'
    '"total_topics":4,"availability_ratio":0.5}}'
)


def test_the_worked_example_reads_as_the_seed_system_shows_it() -> None:
    module_input = worked_example()
    assert as_json({key: module_input[key] for key in json.loads(SHOWN)}) == SHOWN


def test_the_worked_example_is_the_same_read_key_by_key_or_all_at_once() -> None:
    whole = worked_example().plain()
    assert as_json({key: whole[key] for key in json.loads(SHOWN)}) == SHOWN
    lazily = worked_example()
    assert as_json({key: lazily[key] for key in whole}) == as_json(whole)


def test_the_keys_of_the_worked_example_come_in_contract_order() -> None:
    keys = list(worked_example())
    assert keys[:4] == ["stationId", "stationId_window", "stationTemp_window", "stationTemp"]
    assert keys[-4:] == ["load_forecast", "timestamp", "_data_quality", "_topics"]
    assert keys.index("lat") < keys.index("historyCurveStationAvg_window") < keys.index("workdayCode_window")


def test_every_declared_field_has_its_window_and_its_latest_value() -> None:
    driven = builders.an_engine("load_prediction", inputs=CUT_TO_3)
    driven.take(PARAM, PARAMETERS)
    module_input = driven.module_input()
    for source in driven.engine.layout.inputs:
        values = module_input["_topics"][source.topic]
        for field in source.fields:
            assert len(values[f"{field.name}_window"]) == source.window_size
            assert values[field.name] == values[f"{field.name}_window"][-1]
            assert f"{field.name}_window" in module_input
            assert field.name in module_input


def test_operation_optimization_after_two_outputs_of_load_prediction() -> None:
    driven = builders.an_engine("operation_optimization")
    driven.take(LOAD_TOPIC, output("load_prediction", {"load_forecast": [1]}, timestamp=1.5))
    taken = driven.take(LOAD_TOPIC, output("load_prediction", {"load_forecast": [2]}, timestamp=2.5))
    module_input = builders.input_of(taken.triggers[0])
    assert module_input["load_prediction_output_window"] == [{"load_forecast": [1]}, {"load_forecast": [2]}]
    assert module_input["load_prediction_output"] == {"load_forecast": [2]}
    assert module_input["load_prediction_timestamp"] == 2.5
    assert module_input["load_prediction_load_forecast"] == [2]
    assert module_input["load_forecast"] == [2]
    keys = list(module_input)
    order = ["load_prediction_output_window", "load_prediction_output", "load_prediction_timestamp"]
    order += ["load_prediction_load_forecast", "load_forecast", "storage_power", "charge_power", "timestamp"]
    assert [key for key in keys if key in order] == order


# -- dependencies


def test_a_dependency_without_output_has_empty_keys() -> None:
    driven = builders.an_engine("operation_optimization")
    driven.take(ORDER, {"stationId": "S1"})
    module_input = driven.module_input()
    assert module_input["load_prediction_output_window"] == []
    assert module_input["load_prediction_output"] is None
    assert module_input["load_prediction_timestamp"] is None
    assert "load_prediction_load_forecast" not in module_input


def test_outputs_are_not_padded_and_at_most_the_dependency_window() -> None:
    driven = builders.an_engine("operation_optimization", padding="Linear")
    for number in range(15):
        driven.take(LOAD_TOPIC, output("load_prediction", {"n": number}))
        held = [envelope["n"] for envelope in driven.module_input()["load_prediction_output_window"]]
        assert held == list(range(max(0, number - 11), number + 1))


def test_an_output_that_is_no_object_brings_no_keys_of_its_own() -> None:
    driven = builders.an_engine("operation_optimization")
    driven.take(LOAD_TOPIC, output("load_prediction", [1, 2, 3]))
    module_input = driven.module_input()
    assert module_input["load_prediction_output"] == [1, 2, 3]
    assert module_input["load_forecast" if "load_forecast" in module_input else "storage_power"] is None


def test_a_later_dependency_does_not_overwrite_an_earlier_one() -> None:
    driven = builders.an_engine(
        dependencies=[{"module": "first", "topic": "FIRST"}, {"module": "second", "topic": "SECOND"}],
        inputs=[{"topic": "POWER", "fields": ["stationId", "power"], "windowSize": 3}],
    )
    driven.take("SECOND", output("second", {"shared": 2, "own": 3, "power": 9}))
    driven.take("FIRST", output("first", {"shared": 1, "output": "x", "stationId": "other"}))
    module_input = driven.module_input()
    assert (module_input["shared"], module_input["own"]) == (1, 3)
    assert (module_input["first_shared"], module_input["second_shared"]) == (1, 2)
    assert module_input["power"] == 0, "a topic's field is not overwritten"
    assert module_input["second_power"] == 9
    assert module_input["stationId"] == "S1"
    assert module_input["first_output"] == {"shared": 1, "output": "x", "stationId": "other"}


# -- summary keys


def test_summary_keys_are_there_from_the_first_call() -> None:
    driven = builders.an_engine("station_guidance")
    driven.take(ORDER, {"stationId": "S1"}, at=NOW)
    module_input = driven.module_input(at=NOW + 1)
    expected = {"guidance_info": None, "load_forecast": None, "power_gap": None, "station_cost": None}
    assert {key: module_input[key] for key in expected} == expected
    assert module_input["timestamp"] == NOW + 1


def test_a_summary_key_is_that_of_the_first_dependency_that_has_it() -> None:
    driven = builders.an_engine("electricity_price")
    driven.take("MODULE-OUTPUT-SOH-MODEL", output("SOH_model", {"SOH": 97, "power_gap": 5}))
    driven.take("MODULE-OUTPUT-EVALUATION-MODEL", output("evaluation_model", {"power_gap": 1}))
    module_input = driven.module_input()
    assert (module_input["SOH"], module_input["power_gap"]) == (97, 1)
    assert (module_input["price_curve"], module_input["pv_forecast"]) == (None, None)


def test_only_the_newest_output_tells_a_summary_key() -> None:
    driven = builders.an_engine("station_guidance")
    driven.take(LOAD_TOPIC, output("load_prediction", {"load_forecast": [1]}))
    driven.take(LOAD_TOPIC, output("load_prediction", {"other": 1}))
    assert driven.module_input()["load_forecast"] is None


def test_the_timestamp_is_the_triggering_records_not_the_dependencys() -> None:
    driven = builders.an_engine("thermal_management")
    taken = driven.take(LOAD_TOPIC, output("load_prediction", {"timestamp": 1, "a": 2}), at=NOW + 0.25)
    module_input = builders.input_of(taken.triggers[0])
    assert module_input["timestamp"] == NOW + 0.25
    assert module_input["load_prediction_timestamp"] == 7.0


def test_a_topics_field_keeps_the_name_of_a_summary_key() -> None:
    source = {"topic": "POWER", "fields": ["stationId", "timestamp", "load_forecast"], "windowSize": 1}
    driven = builders.an_engine("load_prediction", inputs=[source])
    driven.take("POWER", {"stationId": "S1", "timestamp": 5, "load_forecast": "x"})
    for module_input in (driven.module_input(), driven.module_input().plain()):
        assert (module_input["timestamp"], module_input["load_forecast"]) == (5, "x")


# -- collisions


COLLIDING = [
    {"topic": "FIRST", "fields": ["stationId", "gunId"], "windowSize": 2},
    {"topic": "SECOND", "fields": ["stationId", "gunId"], "windowSize": 3},
    {"topic": "THIRD", "fields": ["stationId", "gunId"], "windowSize": 1},
]


@pytest.mark.parametrize(
    ("sent", "gun", "window"),
    [
        ([], 0, [0]),
        (["FIRST"], "FIRST", [0, "FIRST"]),
        (["SECOND"], "SECOND", [0, 0, "SECOND"]),
        (["SECOND", "FIRST"], "SECOND", [0, 0, "SECOND"]),
        (["THIRD", "FIRST", "SECOND"], "THIRD", ["THIRD"]),
    ],
)
def test_a_shared_name_holds_the_last_topic_in_order_that_has_data(
    sent: list[str], gun: Any, window: list[Any]
) -> None:
    driven = builders.an_engine(inputs=[*COLLIDING, {"topic": "OTHER", "fields": ["x"], "windowSize": 1}])
    driven.take("OTHER", {"stationId": "S1", "x": 1})
    for topic in sent:
        driven.take(topic, {"stationId": "S1", "gunId": topic})
    module_input = driven.module_input()
    assert (module_input["gunId"], module_input["gunId_window"]) == (gun, window)


def test_topics_has_every_value_without_collisions() -> None:
    driven = builders.an_engine(inputs=COLLIDING)
    driven.take("FIRST", {"stationId": "S1", "gunId": "a"})
    driven.take("SECOND", {"stationId": "S1", "gunId": "b"})
    topics = driven.module_input().plain()["_topics"]
    assert topics == {
        "FIRST": {
            "stationId_window": [0, "S1"],
            "stationId": "S1",
            "gunId_window": [0, "a"],
            "gunId": "a",
        },
        "SECOND": {
            "stationId_window": [0, 0, "S1"],
            "stationId": "S1",
            "gunId_window": [0, 0, "b"],
            "gunId": "b",
        },
        "THIRD": {"stationId_window": [0], "stationId": 0, "gunId_window": [0], "gunId": 0},
    }


def test_station_id_is_the_station_whatever_topics_say() -> None:
    driven = builders.an_engine()
    driven.take("POWER", {"stationId": 17, "power": 1})
    module_input = driven.module_input("17")
    assert module_input["stationId"] == "17"
    assert module_input["stationId_window"] == [0, 0, 17]


# -- quality


def test_available_is_a_topic_with_a_record_however_old_dependencies_too() -> None:
    driven = builders.an_engine(inputs=COLLIDING, dependencies=[{"module": "load_prediction"}])
    driven.take("THIRD", {"stationId": "S1", "gunId": None}, at=NOW)
    driven.take(LOAD_TOPIC, output("load_prediction", None), at=NOW + 500)
    assert driven.module_input(at=NOW + 1000)["_data_quality"] == {
        "available_topics": ["THIRD", LOAD_TOPIC],
        "missing_topics": ["FIRST", "SECOND"],
        "total_topics": 4,
        "availability_ratio": 0.5,
    }


def test_a_window_replaced_by_none_is_missing() -> None:
    driven = builders.an_engine()
    driven.take("POWER", {"stationId": "S1", "power": 1}, {"stationId": "S1", "power": []})
    module_input = driven.module_input()
    assert module_input["_data_quality"]["missing_topics"] == ["POWER"]
    assert module_input["power_window"] == [0, 0, 0]


def test_without_topics_the_ratio_is_nought() -> None:
    station = builders.a_station(sources=0)
    wiring = builders.a_wiring()
    bare = layout.Layout(inputs=(), dependencies=(), summary_keys=wiring.summary_keys, topics=(), keys={})
    quality = inputs.ModuleInput(bare, "S1", tuple(station.heads), NOW)["_data_quality"]
    assert (quality["total_topics"], quality["availability_ratio"]) == (0, 0.0)


@pytest.mark.parametrize("padding", ["Zero", "Linear", "Forward", "Missing"])
def test_the_modules_padding_holds_unless_an_input_has_its_own(padding: str) -> None:
    sources: list[dict[str, Any]] = [
        {"topic": "A", "fields": ["a"], "windowSize": 2},
        {"topic": "B", "fields": ["b"], "windowSize": 2, "padding": "Missing"},
    ]
    driven = builders.an_engine(padding=padding, inputs=sources)
    driven.take("A", {"stationId": "S1", "a": 4})
    driven.take("B", {"stationId": "S1", "b": 4})
    front = {"Zero": 0, "Linear": 4.0, "Forward": 4, "Missing": None}[padding]
    assert driven.module_input()["a_window"] == [front, 4]
    assert driven.module_input()["b_window"] == [None, 4]
