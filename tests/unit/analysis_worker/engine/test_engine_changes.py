"""A new spec is taken over while running: no record is lost, windows fit the new one at once."""

from typing import Any

import pytest

from analysis_worker.engine.records import TopicPartition
from tests import builders

POWER = {"topic": "POWER", "fields": ["stationId", "power"], "windowSize": 3}


def reconfigured(
    before: list[dict[str, Any]], after: list[dict[str, Any]], **spec: Any
) -> builders.HandDriven:
    driven = builders.an_engine(inputs=before)
    samples = [{"stationId": "S1", "power": n, "soc": 10 * n} for n in range(1, 6)]
    for source in before:
        driven.take(source["topic"], *samples)
    driven.reconfigure({"module": "module", "inputs": after, **spec})
    return driven


@pytest.mark.parametrize(("size", "window"), [(2, [4, 5]), (3, [3, 4, 5]), (5, [0, 0, 3, 4, 5])])
def test_a_window_grows_or_shrinks_and_keeps_its_records(size: int, window: list[int]) -> None:
    driven = reconfigured([POWER], [{**POWER, "windowSize": size}])
    assert driven.module_input()["power_window"] == window
    driven.take("POWER", {"stationId": "S1", "power": 6})
    assert driven.module_input()["power_window"] == [*window[1:], 6]


def test_floors_hold_for_records_that_come_after_the_change() -> None:
    driven = reconfigured([POWER], [{**POWER, "windowSize": 100}])
    driven.take("POWER", *({"stationId": "S1", "power": n} for n in range(2_000)))
    (floors,) = driven.engine.floors().values()
    (floor,) = floors.values()
    assert 5 + 2_000 - 100 - 3 * 64 <= floor <= 5 + 2_000 - 100


def test_fields_come_null_and_go_and_the_others_stay() -> None:
    driven = reconfigured([POWER], [{**POWER, "fields": ["soc", "stationId", "power"]}])
    driven.take("POWER", {"stationId": "S1", "power": 6, "soc": 60})
    assert driven.module_input()["power_window"] == [4, 5, 6]
    assert driven.module_input()["soc_window"] == [None, None, 60]
    driven.reconfigure({"module": "module", "inputs": [{**POWER, "fields": ["soc"]}]})
    assert "power" not in driven.module_input()
    assert driven.module_input()["soc_window"] == [None, None, 60]


def test_topics_come_empty_and_go_and_change_places_and_the_others_stay() -> None:
    other, third = {**POWER, "topic": "OTHER"}, {**POWER, "topic": "THIRD"}
    driven = reconfigured([POWER, other], [third, other])
    topics = driven.module_input()["_topics"]
    assert list(topics) == ["THIRD", "OTHER"]
    assert topics["OTHER"]["power_window"] == [3, 4, 5]
    assert topics["THIRD"]["power_window"] == [0, 0, 0]


def test_another_padding_holds_at_once() -> None:
    driven = reconfigured([{**POWER, "windowSize": 7}], [{**POWER, "windowSize": 7}], padding="Missing")
    assert driven.module_input()["power_window"][:2] == [None, None]


def test_stations_no_longer_told_of_are_gone() -> None:
    assert reconfigured([POWER], [POWER], stations={"exclude": ["S1"]}).engine.stations == {}


def test_a_topic_that_becomes_everyones_begins_anew_and_back_again() -> None:
    driven = reconfigured([POWER], [{**POWER, "scope": "Global"}])
    assert driven.module_input()["power_window"] == [0, 0, 0]
    driven.take("POWER", {"power": 8})
    assert driven.module_input()["power_window"] == [0, 0, 8]
    driven.reconfigure({"module": "module", "inputs": [POWER]})
    assert driven.module_input()["power_window"] == [0, 0, 0]
    driven.take("POWER", {"stationId": "S1", "power": 9})
    assert driven.module_input()["power_window"] == [0, 0, 9]


def test_everyones_windows_stay_through_a_change() -> None:
    everyones = {"topic": "HOLIDAY", "fields": ["day"], "windowSize": 2, "scope": "Global"}
    driven = builders.an_engine(inputs=[POWER, everyones])
    driven.take("POWER", {"stationId": "S1", "power": 1})
    driven.take("HOLIDAY", {"day": 1}, {"day": 2})
    driven.reconfigure({"module": "module", "inputs": [{**everyones, "windowSize": 3}, POWER]})
    driven.take("POWER", {"stationId": "S2", "power": 1})
    for station in ("S1", "S2"):
        assert driven.module_input(station)["day_window"] == [0, 1, 2]


def test_a_dependencys_outputs_stay_as_many_as_the_new_window_holds() -> None:
    dependency = {"module": "load_prediction", "windowSize": 3}
    driven = builders.an_engine(dependencies=[dependency])
    for number in range(3):
        driven.take("MODULE-OUTPUT-LOAD-PREDICTION", {"stationId": "S1", "output": number})
    spec = {"module": "module", "inputs": [POWER], "dependencies": [{**dependency, "windowSize": 2}]}
    driven.reconfigure(spec)
    assert driven.module_input()["load_prediction_output_window"] == [1, 2]


def test_a_rebuild_goes_back_to_the_oldest_output_of_a_dependency_that_is_still_joined() -> None:
    dependency = {"module": "load_prediction", "topic": "LOAD", "windowSize": 2}
    driven = builders.an_engine(
        inputs=[{"topic": "POWER", "fields": ["stationId", "power"], "windowSize": 1}],
        dependencies=[dependency],
    )
    for hour in range(5):
        driven.take("LOAD", {"stationId": "S1", "output": {"load_forecast": [hour]}})
    (floors,) = driven.engine.floors().values()
    joined = driven.module_input()["load_prediction_output_window"]
    assert [output["load_forecast"] for output in joined] == [[3], [4]]
    assert floors[TopicPartition("LOAD", 0)] <= 3
