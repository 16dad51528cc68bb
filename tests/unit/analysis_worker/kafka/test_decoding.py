"""Every shape of a record that the seed system's 2.1 accepts."""

import json
from typing import Any

import pytest

from analysis_module import spec
from analysis_worker.engine.records import Refusal
from tests import builders
from tests.unit.analysis_worker.kafka.decoded import SCALARS, decoder, read, refusal_of, sample, told

# -- an object of scalars


@pytest.mark.parametrize("value", SCALARS)
def test_an_object_of_scalars_is_one_sample_and_any_scalar_is_taken_as_it_is(value: Any) -> None:
    samples = [sample(stationId="S1", power=value)]
    assert read({"stationId": "S1", "power": value}) == [("S1", samples, False)]


def test_undeclared_keys_are_ignored_whatever_they_are() -> None:
    document = {"stationId": "S1", "power": 1, "other": {"deep": [1]}, "meterId": {"a": 1}, "list": [{}]}
    assert read(document) == [("S1", [sample(stationId="S1", power=1)], False)]


def test_names_are_matched_exactly() -> None:
    document = {"stationId": "S1", "Power": 1, "POWER": 2, "power ": 3}
    assert read(document) == [("S1", [sample(stationId="S1")], False)]


@pytest.mark.parametrize(
    ("values", "power"),
    [
        ({"power": 1, "kw": 2, "p": 3}, 1),
        ({"kw": 2, "p": 3}, 2),
        ({"p": 3}, 3),
        ({"power": None, "kw": 2}, None),
        ({}, None),
    ],
)
def test_the_first_name_that_is_present_wins(values: dict[str, Any], power: Any) -> None:
    assert read({"stationId": "S1", **values})[0][1][0]["power"] == power


@pytest.mark.parametrize(
    ("field", "value", "wrong"),
    [
        ("power", {"value": 1}, "power is a JSON object"),
        ("kw", {}, "kw is a JSON object"),
        ("modules", {"a": 1}, "modules is a JSON object"),
        ("modules", [1, {}], r"modules\[1\] is a JSON object"),
        ("modules", [[1]], r"modules\[0\] is a JSON array"),
        ("power", [1, [2]], r"power\[1\] is a JSON array"),
        ("power", [{}], r"power\[0\] is a JSON object"),
    ],
)
def test_what_is_no_scalar_is_refused_by_its_name(field: str, value: Any, wrong: str) -> None:
    refusal = refusal_of({"stationId": "S1", field: value})
    assert refusal.error_type == "wrong_type"
    with pytest.raises(Refusal, match=wrong):
        raise refusal


# -- whole windows


def test_a_list_valued_field_is_a_whole_window_and_scalars_hold_for_each_sample() -> None:
    document = {"stationId": "S1", "power": [1, 2, 3], "soc": 50}
    samples = [sample(stationId="S1", power=power, soc=50) for power in (1, 2, 3)]
    assert read(document) == [("S1", samples, True)]


def test_shorter_lists_are_right_aligned() -> None:
    document = {"stationId": "S1", "power": [1, 2, 3], "soc": [7]}
    samples = [
        sample(stationId="S1", power=1),
        sample(stationId="S1", power=2),
        sample(stationId="S1", power=3, soc=7),
    ]
    assert read(document) == [("S1", samples, True)]


def test_a_list_under_an_alias_is_a_whole_window_too() -> None:
    assert read({"stationId": "S1", "kw": [1, 2]})[0][1:] == (
        [sample(stationId="S1", power=1), sample(stationId="S1", power=2)],
        True,
    )


def test_an_empty_list_is_a_window_of_no_samples() -> None:
    assert read({"stationId": "S1", "power": []}) == [("S1", [], True)]


def test_an_array_by_nature_is_one_value_and_holds_for_each_sample() -> None:
    assert read({"stationId": "S1", "modules": ["01", "00"]}) == [
        ("S1", [sample(stationId="S1", modules=["01", "00"])], False)
    ]
    assert read({"stationId": "S1", "modules": ["01"], "power": [1, 2]})[0][1] == [
        sample(stationId="S1", modules=["01"], power=1),
        sample(stationId="S1", modules=["01"], power=2),
    ]


def test_a_list_of_one_is_a_window_and_not_a_scalar() -> None:
    driven = builders.an_engine()
    driven.take("POWER", {"stationId": "S1", "power": 1}, {"stationId": "S1", "power": [9]})
    assert driven.module_input()["power_window"] == [0, 0, 9]


def test_a_whole_window_replaces_and_later_samples_are_appended() -> None:
    driven = builders.an_engine()
    driven.take("POWER", *({"stationId": "S1", "power": n} for n in (1, 2, 3)))
    driven.take("POWER", {"stationId": "S1", "power": [7, 8]})
    assert driven.module_input()["power_window"] == [0, 7, 8]
    driven.take("POWER", {"stationId": "S1", "power": 9})
    assert driven.module_input()["power_window"] == [7, 8, 9]
    driven.take("POWER", {"stationId": "S1", "power": [1, 2, 3, 4, 5]})
    assert driven.module_input()["power_window"] == [3, 4, 5]


# -- records of many


def test_each_element_of_an_array_is_a_record_of_its_own_station() -> None:
    document = [{"stationId": "S1", "power": 1}, {"stationId": "S2", "power": 2}]
    assert read(document) == [
        ("S1", [sample(stationId="S1", power=1)], False),
        ("S2", [sample(stationId="S2", power=2)], False),
    ]


def test_a_stations_elements_come_in_order_and_a_whole_window_among_them_starts_anew() -> None:
    document = [
        {"stationId": "S1", "power": 1},
        {"stationId": "S2", "power": 2},
        {"stationId": "S1", "power": [3, 4]},
        {"stationId": "S1", "power": 5},
    ]
    first, second = read(document)
    assert [each["power"] for each in first[1]] == [3, 4, 5]
    assert (first[2], second[2]) == (True, False)


@pytest.mark.parametrize(("name", "replaces"), [("realTimeData", True), ("fee", False), ("weather", False)])
def test_a_named_list_is_grouped_by_station_and_sorted_by_send_time(name: str, replaces: bool) -> None:
    elements = [
        {"stationId": "S1", "power": 3, "sendTime": "2025-11-07 10:00:00"},
        {"stationId": "S2", "power": 9, "sendTime": "2025-11-07 08:00:00"},
        {"stationId": "S1", "power": 1, "sendTime": "2025-11-07 08:00:00"},
        {"stationId": "S1", "power": 2, "sendTime": "2025-11-07 09:00:00"},
        {"stationId": "S1", "power": 0},
        {"stationId": "S1", "power": -1, "sendTime": None},
    ]
    arrivals = read({name: elements})
    assert [(station, [each["power"] for each in rows], replace) for station, rows, replace in arrivals] == [
        ("S1", [0, -1, 1, 2, 3], replaces),
        ("S2", [9], replaces),
    ]


def test_elements_without_an_id_have_that_of_the_object_around_them() -> None:
    arrivals = read({"stationId": "S1", "realTimeData": [{"power": 1}, {"stationId": "S2", "power": 2}]})
    assert [(station, rows[0]["power"]) for station, rows, _ in arrivals] == [("S1", 1), ("S2", 2)]


def test_a_named_list_is_recognised_however_many_records_came_before_it() -> None:
    driven = builders.an_engine()
    driven.take("POWER", *({"stationId": "S1", "kw": n} for n in range(1500)))
    driven.take("POWER", {"stationId": "S1", "power": 1})
    driven.take("POWER", {"stationId": "S1", "realTimeData": [{"power": 7}, {"power": 8}]})
    assert driven.module_input()["power_window"] == [0, 7, 8]


def test_a_declared_field_of_such_a_name_is_a_field() -> None:
    arrivals = read({"stationId": "S1", "fee": [1, 2]}, fields=["fee"])
    assert arrivals == [("S1", [{"fee": 1}, {"fee": 2}], True)]


@pytest.mark.parametrize("document", [[], {"realTimeData": []}, {"fee": []}])
def test_a_list_of_no_records_brings_none(document: Any) -> None:
    assert read(document) == []


@pytest.mark.parametrize(
    ("document", "where"),
    [
        ([{"stationId": "S1", "power": 1}, {"power": 2}], r"\[1\]\.none of"),
        ([3, {"stationId": "S1", "power": 1}], r"\[0\] is a JSON number"),
        ({"fee": [{"stationId": "S1", "power": 1}, None]}, r"fee\[1\] is a JSON null"),
        ({"fee": [{"stationId": "S2", "soc": {}}, {"stationId": "S1", "power": 1}]}, r"fee\[0\]\.soc"),
        ([{}, {"stationId": "S1", "power": 1}, {}], r"\[0\]\.none .* \(and 1 more like it\)"),
    ],
)
def test_what_is_wrong_with_one_element_is_told_and_the_sound_ones_come_along(
    document: Any, where: str
) -> None:
    refusal = refusal_of(document)
    with pytest.raises(Refusal, match=where):
        raise refusal
    assert told(decoder(), refusal.usable) == [("S1", [sample(stationId="S1", power=1)], False)]


# -- Global


def test_a_global_record_has_no_station() -> None:
    assert read({"stationId": "S1", "power": 1}, scope=spec.Scope.GLOBAL)[0][0] is None
    assert read({"power": 1}, scope=spec.Scope.GLOBAL)[0][0] is None
    assert read([{"power": 1}, {"power": 2}], scope=spec.Scope.GLOBAL) == [
        (None, [sample(power=1), sample(power=2)], False)
    ]


def test_a_calendar_is_delivered_as_three_lists() -> None:
    days = [
        {"date": "2026-01-01", "isHoliday": 1, "isWeekend": 0},
        {"date": "2026-01-02", "isHoliday": 0, "isWeekend": 1},
    ]
    fields = [{"topic": "DAYS", "scope": "Global", "windowSize": 1}]
    names = ["date", "isHoliday", "isWeekend"]
    driven = builders.an_engine(
        inputs=[
            {"topic": "POWER", "fields": ["power"], "windowSize": 1},
            {**fields[0], "fields": names, "arrays": names},
        ]
    )
    driven.take("POWER", {"stationId": "S1", "power": 1})
    driven.take("DAYS", {"calendar": days})
    module_input = driven.module_input()
    assert {name: module_input[name] for name in names} == {
        "date": ["2026-01-01", "2026-01-02"],
        "isHoliday": [1, 0],
        "isWeekend": [0, 1],
    }


# -- a record of many, cut into parts

S1, S2, H1 = ("S1", False), ("S2", False), ("H1", True)
MANY = [
    {"stationId": "S1", "power": 1},
    {"stationId": "S2"},
    7,
    {"hostId": "H1"},
    {"stationId": "S1", "x": 2},
]


def cut(document: Any, *wanted: set[tuple[str | None, bool]]) -> list[Any]:
    parts = decoder().cut(json.dumps(document).encode(), wanted)
    return [json.loads(part) for part in parts]


def test_an_array_is_cut_into_the_elements_of_each_set_of_ids() -> None:
    assert cut(MANY, {S1}, {S2, H1}) == [[MANY[0], MANY[4]], [MANY[1], MANY[3]]]


def test_a_list_under_a_name_is_cut_and_what_stands_beside_it_stays() -> None:
    document = {"stationId": "S2", "site": "A", "fee": [{"power": 1}, {"stationId": "S1", "power": 2}]}
    assert cut(document, {S1}, {S2}) == [
        {"stationId": "S2", "site": "A", "fee": [{"stationId": "S1", "power": 2}]},
        {"stationId": "S2", "site": "A", "fee": [{"power": 1}]},
    ]


@pytest.mark.parametrize(
    "value",
    [b' {"stationId" : "S1", "power":1}', b' [ {"stationId":"S1"} ]', b'{"stationId":"S1","power":[1,2]}'],
)
def test_a_record_of_one_station_stays_as_it_came(value: bytes) -> None:
    assert decoder().cut(value, [{S1}]) == [value]
