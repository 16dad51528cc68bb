"""DataDispatcher: data in, inputs out, parsers, configuration, threads."""

import threading
import types
from typing import Any

import pytest

from d_a import config, dispatcher
from d_a.errors import ConfigurationError, DataAnalysisError, DispatcherError

PARAM, REALTIME = "SCHEDULE-STATION-PARAM", "SCHEDULE-STATION-REALTIME-DATA"
CALENDAR, ORDER, DCDC = "SCHEDULE-ENVIRONMENT-CALENDAR", "SCHEDULE-CAR-ORDER", "SCHEDULE-DEVICE-HOST-DCDC"
OUTPUT = "MODULE-OUTPUT-LOAD-PREDICTION"
T = 1_762_480_000.0


def cut(size: int, **settings: Any) -> dict[str, Any]:
    """The catalogue with windows of `size` records at most."""
    detail = {t: {**d, "window_size": min(size, d["window_size"])} for t, d in config.TOPIC_DETAIL.items()}
    return {"TOPIC_DETAIL": detail, **settings}


@pytest.fixture
def made() -> dispatcher.DataDispatcher:
    return dispatcher.DataDispatcher(config=cut(3))


@pytest.fixture
def worked(made: dispatcher.DataDispatcher) -> dispatcher.DataDispatcher:
    made.update_topic_data("S1", PARAM, {"stationId": "S1", "lat": 30.27}, T)
    for power in (74, 80):
        sample = {"stationId": "S1", "gunId": "G2", "historyCurveStationAvg": float(power)}
        made.update_topic_data("S1", REALTIME, sample, T)
    return made


def test_an_unknown_padding_is_an_assertion_error_and_changes_nothing(
    made: dispatcher.DataDispatcher,
) -> None:
    with pytest.raises(AssertionError, match="give zero, linear, forward or missing"):
        made.set_padding_strategy("cubic")
    assert made.padding_strategy == "zero"


# -- data in --------------------------------------------------------------------------------------


def test_a_record_of_a_station_asks_for_a_callback_and_a_global_one_does_not(
    made: dispatcher.DataDispatcher,
) -> None:
    assert made.update_topic_data("S1", PARAM, {"lat": 1}) is True
    assert made.update_topic_data("S1", OUTPUT, {"x": 1}) is True
    assert made.update_topic_data("S1", CALENDAR, {"workdayCode": 1}) is False
    assert made.update_topic_data("S1", "UNKNOWN", {"a": 1}) is False


def test_the_given_station_is_the_one_whatever_the_data_say(made: dispatcher.DataDispatcher) -> None:
    made.update_topic_data("S1", ORDER, {"stationId": "S9", "gunId": "G1"})
    assert list(made.data_cache) == ["S1"]
    assert made.get_topic_window("S1", ORDER)[0]["stationId"] == "S9"


def test_a_number_as_id_is_its_decimal_text(made: dispatcher.DataDispatcher) -> None:
    made.update_topic_data(7, ORDER, {"gunId": "G1"})
    assert made.get_module_input("7", "customer_mining") == made.get_module_input(7, "customer_mining")


def test_a_list_valued_field_replaces_the_window(made: dispatcher.DataDispatcher) -> None:
    made.update_topic_data("S1", REALTIME, {"gunId": "old"})
    made.update_topic_data("S1", REALTIME, {"gunId": ["a", "b"], "historyCurveStationAvg": [1, 2, 3, 4]})
    window = made.get_topic_window("S1", REALTIME)
    assert [row["gunId"] for row in window] == [None, "a", "b"]
    assert [row["historyCurveStationAvg"] for row in window] == [2, 3, 4]


def test_an_array_by_nature_is_one_value(made: dispatcher.DataDispatcher) -> None:
    made.update_topic_data("H1", DCDC, {"dcWorkStatus": ["01", "00"], "dcPower": [30.0, 0.0]})
    given = made.get_module_input("H1", "evaluation_model")
    assert given is not None
    assert (given["dcWorkStatus"], given["dcPower"]) == (["01", "00"], [30.0, 0.0])


def test_aliases_of_older_producers_lead_to_the_field(made: dispatcher.DataDispatcher) -> None:
    made.update_topic_data("S1", ORDER, {"gunNo": "G3", "beginSOC": 20, "demand_voltage": 400})
    (row,) = made.get_topic_window("S1", ORDER)
    assert (row["gunId"], row["startSOC"], row["demandVoltage"]) == ("G3", 20, 400)


def test_a_global_record_belongs_to_stations_present_and_future(made: dispatcher.DataDispatcher) -> None:
    made.update_topic_data("S1", PARAM, {})
    made.update_topic_data(None, CALENDAR, {"workdayCode": 1})
    made.update_topic_data("S2", PARAM, {})
    for station in ("S1", "S2"):
        given = made.get_module_input(station, "load_prediction")
        assert given is not None
        assert given["workdayCode"] == 1


def test_a_topic_that_is_not_configured_is_kept_with_window_one(made: dispatcher.DataDispatcher) -> None:
    for number in (1, 2):
        made.update_topic_data("S1", "UNKNOWN", {"number": number, "deep": {"er": 1}})
    assert made.get_topic_window("S1", "UNKNOWN") == [{"number": 2, "deep": {"er": 1}}]


@pytest.mark.parametrize(
    ("station", "topic", "data", "told"),
    [
        ("S1", ORDER, "text", "the data is a str, not an object; give a dict"),
        ("S1", ORDER, None, "the data is a NoneType"),
        ("", ORDER, {}, "the station id is ''; give its id as text"),
        (None, ORDER, {}, "the station id is None"),
        ("S1", ORDER, {"gunId": {"a": 1}}, "gunId is a JSON object; send a scalar"),
        ("S1", ORDER, {"gunId": object()}, "has no JSON form"),
        ("S1", OUTPUT, [1], "the value is a JSON array"),
    ],
)
def test_a_bad_record_is_a_data_analysis_error_that_says_what_is_wrong(
    made: dispatcher.DataDispatcher, station: Any, topic: str, data: Any, told: str
) -> None:
    with pytest.raises(DataAnalysisError, match=told):
        made.update_topic_data(station, topic, data)


# -- data out -------------------------------------------------------------------------------------


def test_of_an_unknown_station_there_is_nothing(made: dispatcher.DataDispatcher) -> None:
    assert made.get_module_input("S9", "load_prediction") is None
    assert made.get_all_inputs("S9") == {}
    assert made.get_topic_window("S9", PARAM) == []


def test_of_a_known_station_every_module_has_its_input(worked: dispatcher.DataDispatcher) -> None:
    given = worked.get_all_inputs("S1")
    assert list(given) == list(config.MODULE_DEPENDENCIES)
    assert given["load_prediction"] == worked.get_module_input("S1", "load_prediction")


def test_an_unknown_module_is_a_dispatcher_error_that_lists_the_modules(
    worked: dispatcher.DataDispatcher,
) -> None:
    with pytest.raises(DispatcherError, match=r"no module weather .* the modules are load_prediction"):
        worked.get_module_input("S1", "weather")


def test_the_cache_shows_stations_topics_and_records(worked: dispatcher.DataDispatcher) -> None:
    assert "S1" in worked.data_cache
    assert len(worked.data_cache) == 1
    assert list(worked.data_cache["S1"]) == [PARAM, REALTIME]
    assert worked.data_cache["S1"][PARAM][0]["lat"] == 30.27
    with pytest.raises(KeyError):
        worked.data_cache["S9"]


def test_an_input_read_later_is_that_of_its_moment(worked: dispatcher.DataDispatcher) -> None:
    given = worked.get_module_input("S1", "load_prediction")
    worked.update_topic_data("S1", REALTIME, {"historyCurveStationAvg": 99.0}, T)
    assert given is not None
    assert given["historyCurveStationAvg_window"] == [0, 74.0, 80.0]


# -- parsers --------------------------------------------------------------------------------------


class Doubling(dispatcher.ParserBase):
    def parse(self, raw: Any) -> dict[str, Any] | None:
        return {**raw, "currentSOC": raw["currentSOC"] * 2} if raw["currentSOC"] else None


def test_a_parser_of_a_topic_takes_each_record_first(made: dispatcher.DataDispatcher) -> None:
    made.parsers[ORDER] = Doubling()
    assert made.update_topic_data("S1", ORDER, {"currentSOC": 20}) is True
    assert made.update_topic_data("S1", ORDER, {"currentSOC": 0}) is False
    assert [row["currentSOC"] for row in made.get_topic_window("S1", ORDER)] == [40]


def test_a_parser_that_fails_costs_only_its_record(made: dispatcher.DataDispatcher) -> None:
    made.parsers[ORDER] = Doubling()
    with pytest.raises(DispatcherError, match=r"parser of SCHEDULE-CAR-ORDER raised KeyError: 'currentSOC'"):
        made.update_topic_data("S1", ORDER, {})
    assert made.update_topic_data("S1", PARAM, {}) is True


def test_a_parser_of_a_module_takes_its_input(worked: dispatcher.DataDispatcher) -> None:
    class Picking(dispatcher.ParserBase):
        def parse(self, raw: Any) -> dict[str, Any]:
            return {"lat": raw["lat"]}

    worked.parsers["load_prediction"] = Picking()
    assert worked.get_module_input("S1", "load_prediction") == {"lat": 30.27}


def test_a_module_whose_parser_fails_is_left_out_of_all_and_logged(
    worked: dispatcher.DataDispatcher, caplog: pytest.LogCaptureFixture
) -> None:
    worked.parsers["load_prediction"] = dispatcher.ParserBase()
    assert "load_prediction" not in worked.get_all_inputs("S1")
    assert "the parser of load_prediction raised NotImplementedError" in caplog.text
    with pytest.raises(DispatcherError):
        worked.get_module_input("S1", "load_prediction")


# -- configuration --------------------------------------------------------------------------------


def test_a_reload_keeps_all_data_and_resizes_windows(worked: dispatcher.DataDispatcher) -> None:
    worked.reload_config(types.SimpleNamespace(**cut(2)))
    assert len(worked.get_topic_window("S1", REALTIME)) == 2
    worked.reload_config(cut(4))
    given = worked.get_module_input("S1", "load_prediction")
    assert given is not None
    assert given["historyCurveStationAvg_window"] == [0, 0, 74.0, 80.0]
    assert given["lat"] == 30.27


def test_a_reload_makes_an_unknown_topic_known() -> None:
    made = dispatcher.DataDispatcher(config={})
    made.update_topic_data("S1", "MINE", {"power": 1})
    entry = {"fields": ["power"], "modules": ["load_prediction"], "window_size": 2}
    made.reload_config({"TOPIC_DETAIL": {"MINE": entry}})
    assert made.get_topic_window("S1", "MINE") == []
    assert made.update_topic_data("S1", "MINE", {"power": 2}) is True


def test_a_wrong_configuration_is_refused_and_the_old_one_stays(worked: dispatcher.DataDispatcher) -> None:
    with pytest.raises(ConfigurationError, match=r"TOPIC_DETAIL\.SCHEDULE-CAR-ORDER\.window_size"):
        worked.reload_config({"TOPIC_DETAIL": {ORDER: {"window_size": 0}}})
    assert len(worked.get_topic_window("S1", REALTIME)) == 2


def test_a_padding_that_was_set_outlasts_a_reload(worked: dispatcher.DataDispatcher) -> None:
    worked.set_padding_strategy("forward")
    worked.reload_config(cut(3))
    given = worked.get_module_input("S1", "load_prediction")
    assert given is not None
    assert given["historyCurveStationAvg_window"] == [74.0, 74.0, 80.0]


def test_snake_names_are_given_beside_the_others() -> None:
    made = dispatcher.DataDispatcher(config={"names": "snake"})
    made.update_topic_data("S1", ORDER, {"gun_id": "G1"})
    given = made.get_module_input("S1", "customer_mining")
    assert given is not None
    assert (given["gun_id"], given["gunId"], given["station_id"]) == ("G1", "G1", "S1")


# -- threads --------------------------------------------------------------------------------------


def test_many_threads_write_and_read_without_losing_a_record() -> None:
    made = dispatcher.DataDispatcher(config=cut(1000))
    failures: list[BaseException] = []

    def work(name: str) -> None:
        try:
            for number in range(200):
                made.update_topic_data(name, ORDER, {"currentSOC": number})
                made.update_topic_data("S0", ORDER, {"currentSOC": number})
                list((made.get_module_input(name, "customer_mining") or {})["currentSOC_window"])
                made.set_padding_strategy("zero" if number % 2 else "forward") if number % 50 == 0 else None
                made.clean_expired()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(f"S{number}",)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(made.get_topic_window("S0", ORDER)) == 800
    assert [row["currentSOC"] for row in made.get_topic_window("S3", ORDER)] == list(range(200))
