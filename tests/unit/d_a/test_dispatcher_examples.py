"""DataDispatcher on the worked examples of the seed system's contract: 3.3, 5.2, 5.3 and 5.4."""

import json
from typing import Any

import pytest

from d_a import config, dispatcher

PARAM, REALTIME = "SCHEDULE-STATION-PARAM", "SCHEDULE-STATION-REALTIME-DATA"
CALENDAR, ORDER, DCDC = "SCHEDULE-ENVIRONMENT-CALENDAR", "SCHEDULE-CAR-ORDER", "SCHEDULE-DEVICE-HOST-DCDC"
OUTPUT = "MODULE-OUTPUT-LOAD-PREDICTION"
T = 1_762_480_000.0


def cut(size: int, **settings: Any) -> dict[str, Any]:
    """The catalogue with windows of `size` records at most."""
    detail = {t: {**d, "window_size": min(size, d["window_size"])} for t, d in config.TOPIC_DETAIL.items()}
    return {"TOPIC_DETAIL": detail, **settings}


def padded(strategy: str, values: list[Any], size: int = 5) -> tuple[list[Any], Any]:
    entry = {"fields": ["value"], "modules": ["load_prediction"], "window_size": size}
    made = dispatcher.DataDispatcher(config={"TOPIC_DETAIL": {"MINE": entry}})
    made.set_padding_strategy(strategy)
    for value in values:
        made.update_topic_data("S1", "MINE", {"value": value}, T)
    if not values:
        made.update_topic_data("S1", PARAM, {}, T)
    given = made.get_module_input("S1", "load_prediction")
    assert given is not None
    return list(given["value_window"]), given["value"]


@pytest.fixture
def made() -> dispatcher.DataDispatcher:
    return dispatcher.DataDispatcher(config=cut(3))


# -- the worked example of 3.3 --------------------------------------------------------------------


@pytest.fixture
def worked(made: dispatcher.DataDispatcher) -> dispatcher.DataDispatcher:
    made.update_topic_data("S1", PARAM, {"stationId": "S1", "lat": 30.27}, T)
    for power in (74, 80):
        sample = {"stationId": "S1", "gunId": "G2", "historyCurveStationAvg": float(power)}
        made.update_topic_data("S1", REALTIME, sample, T)
    return made


def test_the_worked_example_has_its_windows_and_latest_values(worked: dispatcher.DataDispatcher) -> None:
    given = worked.get_module_input("S1", "load_prediction")
    assert given is not None
    expected = {
        "stationId": "S1",
        "lat_window": [30.27],
        "lat": 30.27,
        "historyCurveStationAvg_window": [0, 74.0, 80.0],
        "historyCurveStationAvg": 80.0,
        "gunId_window": [0, "G2", "G2"],
        "gunId": "G2",
        "workdayCode_window": [0],
        "workdayCode": 0,
        "currentSOC_window": [0, 0, 0],
        "currentSOC": 0,
        "load_forecast": None,
        "timestamp": T,
    }
    assert {key: given[key] for key in expected} == expected


def test_the_worked_example_tells_the_quality_of_its_data(worked: dispatcher.DataDispatcher) -> None:
    given = worked.get_module_input("S1", "load_prediction")
    assert given is not None
    assert given["_data_quality"] == {
        "available_topics": [PARAM, REALTIME],
        "missing_topics": [CALENDAR, ORDER],
        "total_topics": 4,
        "availability_ratio": 0.5,
    }


def test_two_outputs_of_a_dependency_are_joined_newest_last(worked: dispatcher.DataDispatcher) -> None:
    for forecast in ([1], [2]):
        worked.update_topic_data("S1", OUTPUT, {"load_forecast": forecast}, T)
    given = worked.get_module_input("S1", "operation_optimization")
    assert given is not None
    assert given["load_prediction_output_window"] == [{"load_forecast": [1]}, {"load_forecast": [2]}]
    assert given["load_prediction_output"] == {"load_forecast": [2]}
    assert given["load_prediction_load_forecast"] == given["load_forecast"] == [2]


def test_module_input_goes_to_json_as_a_plain_dict(worked: dispatcher.DataDispatcher) -> None:
    given: Any = worked.get_module_input("S1", "load_prediction")
    assert json.loads(json.dumps(given.plain()))["gunId_window"] == [0, "G2", "G2"]


# -- envelopes of 5.4 -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "envelope",
    [
        {"stationId": "S1", "module": "load_prediction", "output": {"load_forecast": [7]}, "timestamp": 5},
        {"station_id": "S1", "output": {"load_forecast": [7]}, "timestamp": 5},
        {"station_id": "S1", "module": "load_prediction", "result": {"load_forecast": [7]}, "timestamp": 5},
    ],
)
def test_every_envelope_is_unwrapped(made: dispatcher.DataDispatcher, envelope: dict[str, Any]) -> None:
    made.update_topic_data("S1", OUTPUT, envelope, T)
    given = made.get_module_input("S1", "operation_optimization")
    assert given is not None
    assert given["load_prediction_output"] == {"load_forecast": [7]}
    assert given["load_prediction_timestamp"] == 5


def test_of_a_batch_of_outputs_a_station_gets_its_own(made: dispatcher.DataDispatcher) -> None:
    results = [{"station_id": "S1", "result": {"n": 1}}, {"station_id": "S2", "result": {"n": 2}}]
    made.update_topic_data("S2", OUTPUT, {"batch_id": "b", "timestamp": 5, "results": results}, T)
    assert made.get_topic_window("S2", OUTPUT) == [{"n": 2}]


def test_the_window_of_outputs_holds_twelve() -> None:
    made = dispatcher.DataDispatcher(config={})
    for number in range(15):
        made.update_topic_data("S1", OUTPUT, {"number": number}, T)
    assert [output["number"] for output in made.get_topic_window("S1", OUTPUT)] == list(range(3, 15))


# -- padding of 5.2 -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "zero", "linear", "forward", "missing"),
    [
        ([10, 20], [0, 0, 0, 10, 20], [10.0, 12.5, 15.0, 17.5, 20.0], [10, 10, 10, 10, 20],
         [None, None, None, 10, 20]),
        ([10, 20, 40], [0, 0, 10, 20, 40], [10.0, 15.0, 20.0, 30.0, 40.0], [10, 10, 10, 20, 40],
         [None, None, 10, 20, 40]),
        ([10], [0, 0, 0, 0, 10], [10.0] * 5, [10] * 5, [None, None, None, None, 10]),
        (["a", "b"], [0, 0, 0, "a", "b"], ["a", "a", "a", "a", "b"], ["a", "a", "a", "a", "b"],
         [None, None, None, "a", "b"]),
        ([1, None], [0, 0, 0, 1, None], [1, 1, 1, 1, None], [1, 1, 1, 1, None],
         [None, None, None, 1, None]),
        ([True, 3], [0, 0, 0, True, 3], [1.0, 1.5, 2.0, 2.5, 3.0], [True, True, True, True, 3],
         [None, None, None, True, 3]),
        ([1, 2, 3, 4, 5, 6, 7], [3, 4, 5, 6, 7], [3, 4, 5, 6, 7], [3, 4, 5, 6, 7], [3, 4, 5, 6, 7]),
    ],
)  # fmt: skip
def test_a_short_window_is_padded_as_the_table_says(
    values: list[Any], zero: list[Any], linear: list[Any], forward: list[Any], missing: list[Any]
) -> None:
    found = {s: padded(s, values) for s in ("zero", "linear", "forward", "missing")}
    expected = {"zero": zero, "linear": linear, "forward": forward, "missing": missing}
    for strategy, window in expected.items():
        assert found[strategy] == (window, window[-1])
        assert list(map(type, found[strategy][0])) == list(map(type, window))


@pytest.mark.parametrize(
    ("strategy", "value"), [("zero", 0), ("linear", 0), ("forward", 0), ("missing", None)]
)
def test_a_topic_without_a_record_is_all_padding(strategy: str, value: Any) -> None:
    assert padded(strategy, []) == ([value] * 5, value)


def test_linear_padding_interpolates_over_the_whole_window() -> None:
    assert padded("linear", [1, 3], size=4)[0] == pytest.approx([1.0, 1.667, 2.333, 3.0], abs=0.001)


# -- expiry of 5.3 --------------------------------------------------------------------------------


def test_the_example_of_600_seconds() -> None:
    made = dispatcher.DataDispatcher(600, config=cut(100))
    made.update_topic_data("S1", PARAM, {"lat": 1.5}, 0)
    for second in range(60, 3001, 60):
        made.update_topic_data("S1", REALTIME, {}, second)
        made.clean_expired(second)
    assert made.get_topic_window("S1", PARAM)[0]["lat"] == 1.5
    assert made.clean_expired(3600) == []
    assert made.clean_expired(3601) == ["S1"]
    assert made.get_all_inputs("S1") == {}


def test_a_later_record_starts_an_expired_station_anew() -> None:
    made = dispatcher.DataDispatcher(600, config=cut(3))
    made.update_topic_data("S1", ORDER, {"gunId": "old"}, 0)
    made.update_topic_data("S1", "UNKNOWN", {"a": 1}, 0)
    made.update_topic_data("S1", ORDER, {"gunId": "new"}, 700)
    assert [row["gunId"] for row in made.get_topic_window("S1", ORDER)] == ["new"]
    assert made.get_topic_window("S1", "UNKNOWN") == []


def test_the_expiry_may_be_changed_at_any_time(made: dispatcher.DataDispatcher) -> None:
    made.update_topic_data("S1", PARAM, {}, 0)
    assert made.data_expire_seconds == 600
    made.data_expire_seconds = 5
    assert made.clean_expired(6) == ["S1"]


def test_global_data_never_expire(made: dispatcher.DataDispatcher) -> None:
    made.update_topic_data(None, CALENDAR, {"workdayCode": 1}, 0)
    made.clean_expired(1e9)
    made.update_topic_data("S1", PARAM, {}, 1e9)
    assert made.get_topic_window("S1", CALENDAR)[0]["workdayCode"] == 1
