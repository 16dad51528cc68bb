"""`module_input` is a dict in every way that a callback may use it, however little of it was read before."""

import copy
import json
import pickle
import pprint
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
import pytest

from analysis_worker.engine import inputs, views
from tests import builders

KEYS = ["stationId", "stationId_window", "power_window", "power", "_data_quality", "_topics"]
PLAIN = {
    "stationId": "S1",
    "stationId_window": [0, "S1", "S1"],
    "power_window": [0, 1, 2.5],
    "power": 2.5,
    "_data_quality": {
        "available_topics": ["POWER"],
        "missing_topics": [],
        "total_topics": 1,
        "availability_ratio": 1.0,
    },
    "_topics": {
        "POWER": {
            "stationId_window": [0, "S1", "S1"],
            "stationId": "S1",
            "power_window": [0, 1, 2.5],
            "power": 2.5,
        }
    },
}


def fresh() -> inputs.ModuleInput:
    driven = builders.an_engine()
    driven.take("POWER", {"stationId": "S1", "power": 1}, {"stationId": "S1", "power": 2.5})
    return driven.module_input()


def partly_read() -> inputs.ModuleInput:
    module_input = fresh()
    assert module_input["power"] == 2.5
    return module_input


def complete() -> inputs.ModuleInput:
    module_input = fresh()
    assert len(module_input) == len(KEYS)
    return module_input


MADE = pytest.mark.parametrize("made", [fresh, partly_read, complete])
Made = Callable[[], inputs.ModuleInput]


@MADE
def test_it_is_a_dict(made: Made) -> None:
    assert isinstance(made(), dict)


@MADE
def test_it_equals_the_plain_dict_of_its_values(made: Made) -> None:
    assert made() == PLAIN
    assert made() == PLAIN
    assert made() == fresh()
    assert made() != {**PLAIN, "power": 0}
    assert made().plain() == PLAIN


@MADE
def test_keys_values_and_items_come_in_contract_order(made: Made) -> None:
    assert list(made()) == list(made().keys()) == KEYS
    assert list(reversed(made())) == KEYS[::-1]
    assert list(made().values()) == list(PLAIN.values())
    assert dict(made().items()) == PLAIN
    assert len(made()) == len(KEYS)
    assert bool(made()) is True


@MADE
@pytest.mark.parametrize("key", KEYS)
def test_each_key_is_found_in_any_way(made: Made, key: str) -> None:
    assert made()[key] == PLAIN[key]
    assert made().get(key) == PLAIN[key]
    assert key in made()
    assert made().setdefault(key, "other") == PLAIN[key]
    assert made().pop(key) == PLAIN[key]


@MADE
def test_a_key_that_is_not_there_is_missing_in_any_way(made: Made) -> None:
    with pytest.raises(KeyError, match="nothing"):
        made()["nothing"]
    with pytest.raises(KeyError):
        made()[5]  # type: ignore[index]
    assert made().get("nothing") is None
    assert made().get("nothing", 7) == 7
    assert "nothing" not in made()
    assert made().pop("nothing", 7) == 7


@MADE
def test_dict_star_star_and_merging_take_all_of_it(made: Made) -> None:
    def arguments(**given: Any) -> dict[str, Any]:
        return given

    assert dict(made()) == PLAIN
    assert {**made()} == PLAIN
    assert arguments(**made()) == PLAIN
    assert made() | {"more": 1} == {**PLAIN, "more": 1}
    assert {"power": 0, "more": 1} | made() == {"more": 1, **PLAIN}
    merged = {"more": 1}
    merged.update(made())
    assert merged == {"more": 1, **PLAIN}


@MADE
def test_what_a_callback_sets_stays(made: Made) -> None:
    module_input = made()
    module_input["mine"] = 1
    module_input["power"] = 99
    module_input.update(more=2)
    module_input |= {"still_more": 3}
    expected = {**PLAIN, "power": 99, "mine": 1, "more": 2, "still_more": 3}
    assert module_input == expected
    assert list(module_input) == list(expected)


@MADE
def test_merging_into_it_at_once_loses_nothing(made: Made) -> None:
    module_input = made()
    module_input |= {"mine": 1}
    assert module_input == {**PLAIN, "mine": 1}


@MADE
def test_what_a_callback_removes_is_gone(made: Made) -> None:
    module_input = made()
    del module_input["power"]
    assert "power" not in module_input
    assert module_input.get("power") is None
    assert module_input.popitem()[0] == "_topics"
    module_input.clear()
    assert list(module_input) == []


@MADE
def test_copies_are_plain_and_independent(made: Made) -> None:
    module_input = made()
    for copied in (copy.copy(module_input), copy.deepcopy(module_input), module_input.copy()):
        assert copied == PLAIN
        copied["power"] = 0
        assert module_input["power"] == 2.5
    assert type(copy.copy(module_input)["power_window"]) is list


@MADE
def test_a_pickle_is_a_plain_dict_of_lists(made: Made) -> None:
    loaded = pickle.loads(pickle.dumps(made()))
    assert type(loaded) is dict
    assert type(loaded["power_window"]) is list
    assert loaded == PLAIN


@MADE
def test_json_with_default_list_writes_all_of_it(made: Made) -> None:
    assert json.loads(json.dumps(made(), default=list)) == PLAIN
    assert json.loads(json.dumps(made(), default=list, indent=1)) == PLAIN
    assert list(json.loads(json.dumps({"inner": made()}, default=list))["inner"]) == KEYS


@MADE
def test_it_prints_like_a_dict(made: Made) -> None:
    assert repr(made()).startswith("{'stationId': 'S1', 'stationId_window': Window([0, 'S1', 'S1'])")
    assert "'power': 2.5" in pprint.pformat(made())


def test_an_encoder_that_would_see_only_part_of_it_refuses_it_loudly() -> None:
    for made in (fresh, partly_read):
        with pytest.raises(TypeError):
            orjson.dumps(made(), default=list)
        with pytest.raises(TypeError):
            orjson.dumps(made(), default=list, option=orjson.OPT_NON_STR_KEYS)


def test_once_all_of_it_was_asked_for_any_encoder_sees_all_of_it() -> None:
    assert orjson.loads(orjson.dumps(complete(), default=list)) == PLAIN
    assert orjson.loads(orjson.dumps(dict(fresh()), default=list)) == PLAIN
    assert orjson.loads(orjson.dumps(fresh().plain())) == PLAIN


def test_reading_a_few_keys_builds_no_other() -> None:
    module_input = fresh()
    _ = module_input["power"], module_input["power_window"], module_input.get("stationId")
    built = [key for key in dict.keys(module_input) if isinstance(key, str)]
    assert built == ["power_window", "stationId"]  # a latest value is read anew, it costs no more


def test_a_value_is_built_once() -> None:
    module_input = fresh()
    assert module_input["power_window"] is module_input["power_window"]
    window = module_input["power_window"]
    assert dict(module_input)["power_window"] is window


def test_plain_has_lists_at_any_depth_and_nothing_of_ours() -> None:
    plain = fresh().plain()
    assert type(plain) is dict
    assert type(plain["power_window"]) is list
    assert type(plain["_topics"]["POWER"]["power_window"]) is list
    assert inputs.plain_value({"a": {"b": builders.a_view([1], 2)}, "c": "d"}) == {
        "a": {"b": [0, 1]},
        "c": "d",
    }


# -- a snapshot


@pytest.mark.parametrize("size", [1, 3, 40, 2000])
@pytest.mark.parametrize("kept", ["unread", "read"])
def test_a_kept_module_input_reads_the_same_after_10_000_more_records(size: int, kept: str) -> None:
    fields = ["stationId", "power", "mode", "list", "any"]
    source = {"topic": "POWER", "fields": fields, "arrays": ["list"], "windowSize": size}
    driven = builders.an_engine(inputs=[source], padding="Forward")
    values: list[Any] = [1, 2.5, None, "a", True, 2**60]

    def sample(number: int) -> dict[str, Any]:
        power = number if number < 100 else number + 0.5
        return {
            "stationId": "S1",
            "power": power,
            "mode": f"mode {number % 7}",
            "list": [number, "x"],
            "any": values[number % (3 if number < 100 else 6)],
        }

    snapshots = []
    for number in range(100):
        taken = driven.take("POWER", sample(number))
        if number in (0, 1, 50, 63, 64, 99):
            module_input = builders.input_of(taken.triggers[0])
            expected = builders.input_of(taken.triggers[0]).plain() if kept == "read" else None
            arrays = builders.input_of(taken.triggers[0])["power_window"].numpy().copy()
            snapshots.append((number, module_input, expected, arrays))
    driven.take("POWER", *(sample(number) for number in range(100, 10_100)))
    for number, module_input, expected, arrays in snapshots:
        assert module_input["power_window"][-min(size, number + 1) :] == [
            *range(max(0, number - size + 1), number + 1)
        ]
        assert all(type(value) is int for value in module_input["power_window"])
        np.testing.assert_array_equal(module_input["power_window"].numpy(), arrays)
        assert module_input["list"] == [number, "x"]
        assert module_input["mode"] == f"mode {number % 7}"
        if expected is not None:
            assert json.dumps(module_input.plain()) == json.dumps(expected)


def test_a_kept_module_input_survives_a_change_of_fields_and_window() -> None:
    driven = builders.an_engine()
    taken = driven.take("POWER", *({"stationId": "S1", "power": n} for n in range(5)))
    kept = builders.input_of(taken.triggers[-1])
    driven.reconfigure(
        {"module": "module", "inputs": [{"topic": "POWER", "fields": ["soc", "stationId"], "windowSize": 9}]}
    )
    assert kept["power_window"] == [2, 3, 4]
    assert isinstance(kept["power_window"], views.Window)
    assert "soc" not in kept
