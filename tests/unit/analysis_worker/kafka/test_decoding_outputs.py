"""Every envelope of another module's output (seed system 5.4), and what cannot be read at all."""

import json
from typing import Any

import pytest

from analysis_module import wiring
from analysis_worker.engine.records import Arrival, Refusal
from analysis_worker.kafka import decoding
from tests import builders
from tests.unit.analysis_worker.kafka.decoded import refusal_of

# -- what cannot be read


@pytest.mark.parametrize(
    ("value", "error_type"),
    [
        (b"", "invalid_json"),
        (b"{", "invalid_json"),
        (b"nonsense", "invalid_json"),
        (b'{"stationId":"S1"}{}', "invalid_json"),
        (b'{"stationId":"S1","power":NaN}', "invalid_json"),
        (b'{"stationId":"\xff"}', "invalid_utf8"),
        (b'{"stationId":"S1","power":' + b"9" * 5000 + b"}", "invalid_json"),
        (b'{"stationId":"S1","power":1e999}', "invalid_json"),
        (b"[" * 20_000 + b"]" * 20_000, "invalid_json"),
        (b'{"a":' * 20_000 + b"1" + b"}" * 20_000, "invalid_json"),
        (b"null", "wrong_type"),
        (b"7", "wrong_type"),
        (b'"text"', "wrong_type"),
        (b"[[]]", "wrong_type"),
    ],
)
def test_what_cannot_be_read_is_refused_by_kind(value: bytes, error_type: str) -> None:
    assert refusal_of(value).error_type == error_type
    with pytest.raises(Refusal) as caught:
        decoding.OutputDecoder().arrivals(value)
    assert caught.value.error_type in {error_type, "wrong_type"}


# -- outputs of other modules


def outputs(document: Any) -> list[tuple[str | None, Any, float | None]]:
    arrivals = decoding.OutputDecoder().arrivals(json.dumps(document).encode())
    return [(arrival.station_id, *row) for arrival in arrivals for row in arrival.rows]


OUTPUT = {"load_forecast": [70.1, 72.4]}


@pytest.mark.parametrize(
    "envelope",
    [
        {"stationId": "S1", "module": "load_prediction", "output": OUTPUT, "timestamp": 7.5},
        {"station_id": "S1", "output": OUTPUT, "timestamp": 7.5},
        {"station_id": "S1", "module": "load_prediction", "result": OUTPUT, "timestamp": 7.5},
    ],
    ids=["ours", "1.0", "1.1"],
)
def test_an_envelope_is_unwrapped(envelope: dict[str, Any]) -> None:
    assert outputs(envelope) == [("S1", OUTPUT, 7.5)]


def test_a_batch_of_results_is_unwrapped_for_each_station() -> None:
    results = [
        {"station_id": "S1", "result": OUTPUT, "timestamp": 8},
        {"station_id": "S2", "output": None},
        {"station_id": 3, "load_forecast": [1]},
    ]
    batch = {"batch_id": "b", "module": "m", "timestamp": 7.5, "stations_count": 3, "results": results}
    assert outputs(batch) == [("S1", OUTPUT, 8.0), ("S2", None, 7.5), ("3", results[2], 7.5)]


def test_a_bare_object_with_an_id_is_the_output_itself() -> None:
    bare = {"stationId": "S1", **OUTPUT}
    assert outputs(bare) == [("S1", bare, None)]
    assert outputs({"hostId": 5, "results": [1]}) == [("5", {"hostId": 5, "results": [1]}, None)]


@pytest.mark.parametrize("envelope", range(5))
def test_any_of_the_five_gives_the_dependant_the_same_keys(envelope: int) -> None:
    written: list[dict[str, Any]] = [
        {"stationId": "S1", "module": "load_prediction", "output": OUTPUT, "timestamp": 7.5},
        {"station_id": "S1", "output": OUTPUT, "timestamp": 7.5},
        {"station_id": "S1", "module": "load_prediction", "result": OUTPUT, "timestamp": 7.5},
        {"batch_id": "b", "timestamp": 7.5, "results": [{"station_id": "S1", "result": OUTPUT}]},
        {"stationId": "S1", **OUTPUT, "timestamp": 7.5},
    ]
    driven = builders.an_engine("operation_optimization")
    driven.take("MODULE-OUTPUT-LOAD-PREDICTION", written[envelope])
    module_input = driven.module_input()
    assert module_input["load_prediction_load_forecast"] == module_input["load_forecast"] == [70.1, 72.4]
    assert module_input["load_prediction_output"]["load_forecast"] == [70.1, 72.4]
    assert module_input["load_prediction_timestamp"] == 7.5


@pytest.mark.parametrize(
    ("time", "seconds"),
    [(7, 7.0), (7.5, 7.5), (None, None), ("2025-11-07 08:00:00", None), (True, None), (10**400, None)],
)
def test_an_envelopes_time_is_a_number_of_seconds_or_none(time: Any, seconds: float | None) -> None:
    assert outputs({"stationId": "S1", "output": 1, "timestamp": time}) == [("S1", 1, seconds)]


def test_an_output_without_a_station_is_refused_and_the_others_of_its_batch_come_along() -> None:
    results = [{"station_id": "S1", "result": 1}, {"result": 2}, 3]
    made = decoding.OutputDecoder()
    with pytest.raises(Refusal, match=r"names no station.* \(and 1 more like it\)") as caught:
        made.arrivals(json.dumps({"batch_id": "b", "results": results}).encode())
    assert caught.value.usable == (Arrival("S1", ((1, None),)),)


def test_outputs_have_no_quick_way_and_name_no_devices() -> None:
    made = decoding.OutputDecoder()
    with pytest.raises(ValueError, match="envelopes"):
        made.row(b"{}")
    assert made.devices(({"hostId": "H1"}, None)) == ()


@pytest.mark.parametrize(
    ("value", "text"),
    [("a", "a"), ("", None), (None, None), (5, "5"), (5.0, "5"), (5.25, "5.25"), (True, None), ([], None)],
)
def test_an_id_is_text_or_a_number_in_decimal(value: Any, text: str | None) -> None:
    assert decoding.id_text(value) == text


def test_every_json_kind_has_its_name() -> None:
    values = [{}, [], "", True, None, 1, 1.5]
    names = ["object", "array", "string", "boolean", "null", "number", "number"]
    assert [decoding.kind_of(value) for value in values] == names


def test_a_row_is_made_of_decoded_keys_only() -> None:
    shape = decoding.RowShape([wiring.FieldWiring("power", ("kw",))], ["stationId"])
    row = shape.make({"stationId": "S1", "kw": 3, "other": 4})
    assert (row.key0, shape.readers[0].value(row)) == ("S1", 3)
