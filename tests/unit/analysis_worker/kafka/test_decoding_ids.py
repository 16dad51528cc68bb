"""Whose record it is, and the quick way that complete records are read."""

import json
from typing import Any

import pytest

from analysis_module import spec
from analysis_worker.engine.records import Refusal
from tests.unit.analysis_worker.kafka.decoded import a_field, decoder, read, refusal_of

# -- whose record it is


@pytest.mark.parametrize(
    ("ids", "station"),
    [
        ({"stationId": "S", "hostId": "H", "meterId": "M", "station_id": "s"}, "S"),
        ({"hostId": "H", "meterId": "M", "station_id": "s"}, "H"),
        ({"meterId": "M", "station_id": "s", "hostCode": "c"}, "M"),
        ({"station_id": "s", "host_id": "h", "hostCode": "c"}, "s"),
        ({"host_id": "h", "hostCode": "c", "meter_id": "m"}, "h"),
        ({"hostCode": "c", "meter_id": "m"}, "c"),
        ({"meter_id": "m"}, "m"),
        ({"stationId": None, "hostId": "", "meterId": "M"}, "M"),
        ({"stationId": "", "station_id": "s"}, "s"),
        ({"stationId": 17}, "17"),
        ({"stationId": 0}, "0"),
        ({"stationId": -3}, "-3"),
        ({"stationId": 17.0}, "17"),
        ({"stationId": 1.5}, "1.5"),
        ({"stationId": 10**25}, "1" + "0" * 25),
        ({"stationId": True, "hostId": "H"}, "H"),
        ({"stationId": " S "}, " S "),
        ({"stationId": "深圳"}, "深圳"),
    ],
)
def test_the_station_is_the_first_id_that_is_neither_null_nor_empty(
    ids: dict[str, Any], station: str
) -> None:
    assert read(ids)[0][0] == station


@pytest.mark.parametrize(
    "ids",
    [{}, {"stationId": None}, {"stationId": "", "hostId": None}, {"StationId": "S"}, {"stationId": False}],
)
def test_without_any_id_a_record_is_refused_and_told_what_to_add(ids: dict[str, Any]) -> None:
    refusal = refusal_of({**ids, "power": 1})
    assert refusal.error_type == "missing_station_id"
    assert str(refusal).startswith("none of stationId, hostId, meterId, ")


def test_an_input_may_name_its_own_key_fields() -> None:
    key = spec.StationKey(fields=("siteId", "hostId"))
    assert read({"siteId": "A", "stationId": "S", "hostId": "H"}, station_key=key)[0][0] == "A"
    assert read({"stationId": "S", "hostId": "H"}, station_key=key)[0][0] == "H"
    assert refusal_of({"stationId": "S"}, station_key=key).error_type == "missing_station_id"


@pytest.mark.parametrize(
    ("ids", "key", "device"),
    [
        ({"stationId": "S"}, spec.StationKey(), False),
        ({"station_id": "S"}, spec.StationKey(), False),
        ({"hostId": "H"}, spec.StationKey(), True),
        ({"meter_id": "M"}, spec.StationKey(), True),
        ({"hostId": "H"}, spec.StationKey(fields=("hostId",)), True),
        ({"siteId": "A"}, spec.StationKey(fields=("siteId",)), False),
        ({"siteId": "A"}, spec.StationKey(fields=("siteId",), via="PARAM"), True),
        ({"stationId": "S"}, spec.StationKey(via="PARAM"), False),
    ],
)
def test_a_devices_id_is_told_from_a_stations(ids: Any, key: spec.StationKey, device: bool) -> None:
    made = decoder(station_key=key)
    arrivals = made.arrivals(json.dumps(ids).encode())
    assert [arrival.device for arrival in arrivals] == [device]
    if key.fields[0] in ids:
        assert made.by_device is device


@pytest.mark.parametrize(
    ("document", "devices"),
    [
        ({"hostId": "H1", "meterId": "M1"}, ["H1", "M1"]),
        ({"hostId": ["H1", "H2", "", None], "meterId": 5}, ["H1", "H2", "5"]),
        ({"hostCode": "H3", "host_id": "H4", "meter_id": "M2"}, ["H3", "H4", "M2"]),
        ({}, []),
    ],
)
def test_devices_are_the_host_and_meter_ids_a_record_names(document: Any, devices: list[str]) -> None:
    made = decoder(fields=[a_field("stationId"), a_field("hostId", array=True)])
    arrivals = made.arrivals(json.dumps({"stationId": "S1", **document}).encode())
    assert made.devices(arrivals[0].rows[0]) == devices


# -- the quick way


COMPLETE = {"stationId": "S1", "power": 1.5, "soc": "x", "modules": ["01", None]}


def test_a_complete_record_is_read_the_quick_way_to_the_same_values() -> None:
    made = decoder()
    value = json.dumps({**COMPLETE, "undeclared": {"a": [1]}}).encode()
    row = made.row(value)
    assert row.key0 == "S1"
    assert {reader.name: reader.value(row) for reader in made.readers} == COMPLETE
    quick = [list(values) for values in made.readers.columns([row, row])]
    careful = list(made.arrivals(value)[0].rows)
    assert quick == [list(values) for values in made.readers.columns(careful * 2)]
    mixed = made.readers.columns([row, *careful])
    assert [list(values) for values in mixed] == quick


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{",
        b"[1]",
        b"null",
        b"\xff",
        json.dumps({**COMPLETE, "power": [1]}).encode(),
        json.dumps({**COMPLETE, "power": {}}).encode(),
        json.dumps([COMPLETE]).encode(),
    ],
)
def test_whatever_is_no_object_of_scalars_the_quick_way_refuses(value: bytes) -> None:
    made = decoder()
    with pytest.raises((ValueError, TypeError)):
        made.row(value)
    for _ in range(1100):
        made.arrivals(b'{"stationId":"S1"}')
    with pytest.raises((ValueError, TypeError)):
        made.row(value)


def test_records_that_lack_fields_are_read_the_quick_way_once_they_are_the_rule() -> None:
    made, value = decoder(), b'{"stationId":"S1","kw":2}'
    with pytest.raises(ValueError, match="missing"):
        made.row(value)
    for _ in range(1000):
        made.arrivals(value)
    row = made.row(value)
    assert [reader.value(row) for reader in made.readers] == ["S1", 2, None, None]


def test_complete_records_however_many_keep_the_quickest_way() -> None:
    made = decoder()
    for _ in range(1100):
        made.arrivals(json.dumps(COMPLETE).encode())
        with pytest.raises(Refusal):
            made.arrivals(b"broken")
    with pytest.raises(ValueError, match="missing"):
        made.row(b'{"stationId":"S1"}')
