"""Outputs as the seed system's 5.4 has them, and whatever a callback returns as plain JSON."""

import collections
import dataclasses
import datetime
import decimal
import enum
import json
import math
from typing import Any

import numpy as np
import pytest

from analysis_module import spec
from analysis_worker.kafka import encoding
from tests import builders


class Colour(enum.IntEnum):
    RED = 1


class Text(str):
    __slots__ = ()


class Number(float):
    __slots__ = ()


Point = collections.namedtuple("Point", "x y")


@dataclasses.dataclass
class Result:
    power: Any


CYCLE: list[Any] = []
CYCLE.append(CYCLE)


def written(value: Any) -> str:
    return encoding.encode_json(value).decode()


def test_an_output_is_the_envelope_with_the_triggering_records_time_in_seconds() -> None:
    trigger = builders.a_trigger(builders.a_station("S1"), at=1_762_480_005.2)
    value = encoding.encode_output(
        "load_prediction", trigger, {"load_forecast": [70.1, 72.4]}, spec.Envelope.STANDARD
    )
    assert value.decode() == (
        '{"stationId":"S1","module":"load_prediction",'
        '"output":{"load_forecast":[70.1,72.4]},"timestamp":1762480005.2}'
    )


def test_the_1_0_envelope_writes_its_names() -> None:
    trigger = builders.a_trigger(at=5.0)
    value = json.loads(encoding.encode_output("m", trigger, [1], spec.Envelope.V1_0))
    assert value == {"station_id": "S1", "module": "m", "output": [1], "timestamp": 5.0}


def test_the_id_names_module_station_topic_partition_and_offset() -> None:
    trigger = builders.a_trigger(builders.a_station("深圳/1"), 42, topic="POWER")
    assert encoding.output_id("m", trigger) == "m/深圳/1/POWER/0/42"
    assert encoding.output_ids("m", [trigger]) == ["m/深圳/1/POWER/0/42".encode()]


def test_the_same_record_gives_the_same_id_and_another_one_another() -> None:
    ids = [encoding.output_id("m", builders.a_trigger(offset=offset)) for offset in (1, 1, 2)]
    assert ids[0] == ids[1] != ids[2]


def test_the_ids_of_many_triggers_are_those_of_each() -> None:
    station = builders.a_station()
    triggers = [builders.a_trigger(station, offset, topic=topic) for topic in "AAB" for offset in (1, 2)]
    expected = [encoding.output_id("m", trigger).encode() for trigger in triggers]
    assert encoding.output_ids("m", triggers) == expected
    assert len(set(expected)) == 4


def test_text_is_utf_8_without_escapes() -> None:
    assert encoding.encode_json({"城市": "深圳 ⚡"}) == '{"城市":"深圳 ⚡"}'.encode()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (np.float64(1.5), "1.5"),
        (np.float32(0.5), "0.5"),
        (np.float16(1.5), "1.5"),
        (np.int64(-5), "-5"),
        (np.uint8(5), "5"),
        (np.bool_(True), "true"),
        (np.str_("a"), '"a"'),
        (np.array([1, 2, 3]), "[1,2,3]"),
        (np.array([1.5, 2.0], dtype=np.float32), "[1.5,2.0]"),
        (np.array([[1, 2], [3, 4]]), "[[1,2],[3,4]]"),
        (np.arange(6)[::2], "[0,2,4]"),
        (np.arange(4).reshape(2, 2).T, "[[0,2],[1,3]]"),
        (np.array(["a", None, 1.5], dtype=object), '["a",null,1.5]'),
        (np.array(["a", "b"]), '["a","b"]'),
        (np.array([True, False]), "[true,false]"),
        (np.array(7.0), "7.0"),
        (np.array([]), "[]"),
        ({"deep": [{"down": np.float64(2.5)}]}, '{"deep":[{"down":2.5}]}'),
    ],
)
def test_numpy_values_are_plain_json(value: Any, text: str) -> None:
    assert written(value) == text


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_null(bad: float) -> None:
    everywhere = [bad, np.float64(bad), np.float32(bad), np.array([bad, 1.0]), Number(bad)]
    everywhere += [np.array([1.0, bad, 2.0])[::2], np.array([bad, None], dtype=object), {"a": bad}]
    assert written(everywhere) == '[null,null,null,[null,1.0],null,[1.0,2.0],[null,null],{"a":null}]'
    assert written({"with a huge integer": 2**70, "bad": bad}) == (
        '{"with a huge integer":1180591620717411303424,"bad":null}'
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ((1, 2), "[1,2]"),
        (Point(1, 2), "[1,2]"),
        ({1}, "[1]"),
        (frozenset({"a"}), '["a"]'),
        (Colour.RED, "1"),
        (Text("a"), '"a"'),
        (Number(1.5), "1.5"),
        (collections.OrderedDict(b=1, a=2), '{"b":1,"a":2}'),
        (collections.defaultdict(list, a=[1]), '{"a":[1]}'),
        ({1: "a", 2.5: "b", None: "c", False: "d"}, '{"1":"a","2.5":"b","null":"c","false":"d"}'),
        ({np.int64(1): np.int64(2), np.float64(1.5): 1}, '{"1":2,"1.5":1}'),
        ({np.str_("a"): 1, True: 2**64, None: (2**70,)}, None),
        (Result(np.int64(3)), '{"power":3}'),
        (datetime.datetime(2025, 11, 7, 1, 46, 40), '"2025-11-07T01:46:40"'),
        ([2**63, 2**64, -(2**64), 10**30], None),
        (Result(2**70), '{"power":1180591620717411303424}'),
    ],
)
def test_what_callbacks_return_is_written_plainly(value: Any, text: str | None) -> None:
    if text is not None:
        assert written(value) == text
    elif isinstance(value, dict):
        assert written(value) == '{"a":1,"true":18446744073709551616,"null":[1180591620717411303424]}'
    else:
        assert json.loads(written(value)) == value


def test_a_window_and_a_whole_module_input_are_written_as_lists_and_dicts() -> None:
    driven = builders.an_engine()
    driven.take("POWER", {"stationId": "S1", "power": 1.5}, {"stationId": "S1", "power": None})
    made = {"window": driven.module_input()["power_window"], "all": driven.module_input()}
    read = json.loads(written(made))
    assert read["window"] == [0, 1.5, None]
    assert read["all"] == driven.module_input().plain()
    assert list(read["all"]) == list(driven.module_input())


def test_an_integer_beyond_64_bits_in_a_window_does_not_cost_the_output() -> None:
    driven = builders.an_engine()
    driven.take("POWER", {"stationId": "S1", "power": 10**30})
    read = json.loads(written({"output": driven.module_input()}))
    assert read["output"]["power_window"] == [0, 0, 10**30]


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (decimal.Decimal("1.5"), "Decimal"),
        ({"a": [object()]}, "object"),
        (1j, "complex"),
        (b"bytes", "bytes"),
        ({(1, 2): 3}, "tuple"),
        ({"a": 2**70, "b": object()}, "object"),
    ],
)
def test_what_has_no_json_form_is_an_error_that_names_its_type(value: Any, named: str) -> None:
    with pytest.raises(TypeError, match=named):
        encoding.encode_json(value)


def test_a_result_that_holds_itself_is_an_error_and_no_crash() -> None:
    with pytest.raises((TypeError, RecursionError)):
        encoding.encode_json(CYCLE)
    with pytest.raises((TypeError, UnicodeEncodeError)):
        encoding.encode_json("\ud800")
