"""Faults: what is injected is counted, what is called broken breaks the contract, nothing sound is lost.

The judge below reads a record as the seed system 2.1 says, on the standard library alone.
"""

import collections
import itertools
import json
from typing import Any

import pytest

from analysis_worker import simulation
from analysis_worker.simulation import faults, stations

START_MS = 1_762_480_000_000
SCALARS = {
    simulation.STATION_PARAM: "stationId stationTemp lat lng gunCount gridCapacity storageCapacity",
    simulation.STATION_REALTIME: "stationId gunId historyCurveGunAvg historyCurveGunMax"
    " historyCurveStationAvg historyCurveStationMax",
    simulation.METER: "meterId currentPower ratedPowerLimit",
    simulation.GUN: "hostId gunId gunStatus",
    simulation.CAR_ORDER: "stationId orderId chargerId gunId startSOC currentSOC",
    simulation.CAR_PRICE: "stationId periodNo startTime endTime periodType gridPrice serviceFee",
    simulation.DEVICE_ERROR: "stationId hostError acError dcError terminalError storageError",
    simulation.HOST_DCDC: "hostId",
    simulation.HOST_ACDC: "hostId acPower",
    simulation.STORAGE: "hostId storageId storagePower storageSOC",
    simulation.PV: "stationId pvId",
    simulation.WEATHER: "stationId weatherSituationYesterday seasonTomorrow weatherSituationTomorrow",
}
"""Declared scalar fields of each topic with a station (seed system 2.3)."""
IDS = ("stationId", "hostId", "meterId", "station_id", "host_id", "hostCode", "meter_id")


class Refused(Exception):
    """A record that the contract does not take."""


def refuse_constant(name: str) -> None:
    raise Refused(f"{name} is not JSON")


def objects(value: bytes | None) -> list[dict[str, Any]]:
    """Return the objects of a record, whatever its topic."""
    try:
        decoded = json.loads((value or b"").decode("utf-8"), parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:
        raise Refused(str(error)) from error
    elements = decoded if isinstance(decoded, list) else [decoded]
    if not all(isinstance(element, dict) for element in elements):
        raise Refused("not an object")
    return elements


def check_object(topic: str, element: dict[str, Any]) -> None:
    """Raise Refused unless the object names a station and holds scalars where they belong."""
    station = next((element[name] for name in IDS if element.get(name) not in (None, "")), None)
    if station is None or isinstance(station, dict):
        raise Refused("no station id")
    for name in SCALARS[topic].split():
        if isinstance(element.get(name), dict):
            raise Refused(f"{name} is an object")


def refused(topic: str, value: bytes | None) -> bool:
    try:
        for element in objects(value):
            check_object(topic, element)
    except Refused:
        return True
    return False


def refused_everywhere(value: bytes | None) -> bool:
    try:
        elements = objects(value)
    except Refused:
        return True
    return all(refused_object(topic, element) for topic in SCALARS for element in elements)


def refused_object(topic: str, element: dict[str, Any]) -> bool:
    try:
        check_object(topic, element)
    except Refused:
        return True
    return False


def a_stream(seconds: int = 20) -> list[simulation.SimulatedRecord]:
    """Return about 5,000 sound records."""
    return stations.Fleet(stations=5, seed=3, start_ms=START_MS).tick(START_MS + seconds * 1000)


def a_spoiled_stream(
    **shares: float,
) -> tuple[list[simulation.SimulatedRecord], list[simulation.SimulatedRecord], faults.FaultInjector]:
    """Return the sound records, what was delivered of them, and the injector."""
    sound = a_stream()
    injector = faults.FaultInjector(seed=4, **shares)
    return sound, list(faults.spoiled(sound, injector)), injector


def broken(records: list[simulation.SimulatedRecord]) -> list[simulation.SimulatedRecord]:
    return [record for record in records if record.topic in SCALARS and refused(record.topic, record.value)]


def test_the_judge_takes_every_sound_record() -> None:
    assert broken(a_stream()) == []


@pytest.mark.parametrize(
    "value",
    [
        b'{"stationId":"S1","note":{"unknown":"fields are ignored"}}',
        b'{"station_id":7}',
        b'{"stationId":"S1","historyCurveStationAvg":"any scalar is taken"}',
        b'[{"stationId":"S1"},{"stationId":"S2"}]',
    ],
)
def test_the_judge_takes_what_the_contract_takes(value: bytes) -> None:
    assert not refused(simulation.STATION_REALTIME, value)


def test_without_shares_a_stream_passes_unchanged() -> None:
    sound, delivered, injector = a_spoiled_stream(late=0, doubled=0, broken=0)
    assert delivered == sound
    assert injector.injected.total() == 0


def test_every_sound_record_arrives_whatever_is_injected() -> None:
    sound, delivered, _ = a_spoiled_stream(late=0.2, doubled=0.2, broken=0.2)
    assert collections.Counter(sound) - collections.Counter(delivered) == collections.Counter()


def test_the_doubled_are_those_that_come_once_more() -> None:
    sound, delivered, injector = a_spoiled_stream(late=0, broken=0)
    surplus = collections.Counter(delivered) - collections.Counter(sound)
    assert surplus.total() == injector.injected["doubled"] == len(delivered) - len(sound) > 0


def test_the_late_are_those_that_come_after_newer_ones() -> None:
    _, delivered, injector = a_spoiled_stream(doubled=0, broken=0)
    newest = list(itertools.accumulate((record.timestamp_ms for record in delivered), max))
    overtaken = sum(record.timestamp_ms < high for record, high in zip(delivered, newest, strict=True))
    assert overtaken == injector.injected["late"] > 0


def test_a_record_is_late_by_a_second_at_least() -> None:
    _, delivered, _ = a_spoiled_stream(late=0.1, doubled=0, broken=0)
    last_ms = max(record.timestamp_ms for record in delivered)
    newest = list(itertools.accumulate((record.timestamp_ms for record in delivered), max))
    late = [
        high - record.timestamp_ms for record, high in zip(delivered, newest, strict=True) if high < last_ms
    ]
    assert all(behind == 0 or behind >= 1_000 for behind in late)


def test_records_still_held_back_come_with_the_drain() -> None:
    injector = faults.FaultInjector(late=1, doubled=0, broken=0)
    record = simulation.as_record(simulation.GUN, {"hostId": "H1"}, key="H1", timestamp_ms=5)
    assert (injector.inject(record), injector.drain(), injector.drain()) == ([], [record], [])


def test_a_held_record_that_nothing_overtook_is_not_counted_as_late() -> None:
    injector = faults.FaultInjector(late=1, doubled=0, broken=0)
    list(faults.spoiled(a_stream(1), injector))
    assert injector.injected["late"] == 0


def test_the_broken_are_those_that_the_contract_refuses() -> None:
    _, delivered, injector = a_spoiled_stream(broken=0.05)
    assert len(broken(delivered)) == injector.broken > 0


def test_the_broken_of_each_topic_are_counted() -> None:
    _, delivered, injector = a_spoiled_stream(broken=0.05)
    assert collections.Counter(record.topic for record in broken(delivered)) == injector.broken_by_topic


def test_every_kind_of_breakage_is_injected_and_counted() -> None:
    _, _, injector = a_spoiled_stream(broken=0.1)
    kinds = {kind: injector.injected[kind] for kind in faults.BREAKAGES}
    assert min(kinds.values()) > 0
    assert sum(kinds.values()) == injector.broken


def test_a_broken_record_is_followed_by_the_sound_one() -> None:
    sound = [record for record in a_stream(1) if record.topic in SCALARS]
    delivered = list(faults.spoiled(sound, faults.FaultInjector(late=0, doubled=0, broken=1)))
    assert delivered[1::2] == sound
    assert broken(delivered) == delivered[0::2]


def test_the_global_calendar_is_never_broken() -> None:
    record = simulation.as_record(simulation.CALENDAR, {"workdayCode": 0}, key=None, timestamp_ms=0)
    assert faults.FaultInjector(broken=1, late=0, doubled=0).inject(record) == [record]


def test_shares_are_those_asked_for() -> None:
    sound, _, injector = a_spoiled_stream(late=0.02, doubled=0.05, broken=0.1)
    shares = {"doubled": injector.injected["doubled"], "broken": injector.broken}
    assert shares["doubled"] / len(sound) == pytest.approx(0.05, rel=0.25)
    assert shares["broken"] / len(sound) == pytest.approx(0.1, rel=0.25)


@pytest.mark.parametrize("seed", range(40))
def test_the_first_broken_record_is_within_the_first_hundred(seed: int) -> None:
    delivered = list(faults.spoiled(a_stream(1), faults.FaultInjector(seed=seed)))
    assert broken(delivered[:100])


def test_the_same_seed_injects_the_same() -> None:
    assert a_spoiled_stream()[1] == a_spoiled_stream()[1]


def test_another_seed_injects_otherwise() -> None:
    one, other = (list(faults.spoiled(a_stream(), faults.FaultInjector(seed=seed))) for seed in (1, 2))
    assert one != other


@pytest.mark.parametrize("kind", faults.BREAKAGES)
@pytest.mark.parametrize("topic", SCALARS)
def test_every_breakage_of_every_topic_is_refused(kind: str, topic: str) -> None:
    record = next(record for record in a_stream(5) if record.topic == topic)
    assert refused(topic, faults.BREAKAGES[kind](json.loads(record.value or b"")))


def test_a_huge_record_is_a_million_bytes_of_json() -> None:
    value = faults.BREAKAGES["huge"]({"stationId": "S1", "lat": 1})
    assert value is not None
    assert len(value) == faults.HUGE_BYTES == 1_000_000
    assert json.loads(value)["lat"] == 1


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"late": -0.1}, "late: a share of -0.1"),
        ({"doubled": 1.5}, "doubled: a share of 1.5"),
        ({"broken": float("nan")}, "broken: a share of nan"),
        ({"late": 0.6, "doubled": 0.6}, "sum to more than 1"),
    ],
)
def test_shares_that_are_none_are_refused(shares: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        faults.FaultInjector(**shares)


def test_each_of_ten_thousand_hostile_records_is_refused_on_every_topic() -> None:
    taken = [value for value in faults.hostile_records(10_000, 1) if not refused_everywhere(value)]
    assert taken == []


def test_hostile_records_are_as_many_as_asked_for() -> None:
    assert [len(list(faults.hostile_records(count, 1))) for count in (0, 3, 500)] == [0, 3, 500]


def test_hostile_records_are_the_same_for_the_same_seed_only() -> None:
    one, again, other = (list(faults.hostile_records(300, seed)) for seed in (1, 1, 2))
    assert one == again != other


def test_a_few_of_ten_thousand_hostile_records_are_huge() -> None:
    huge = [value for value in faults.hostile_records(10_000, 1) if value and len(value) > 900_000]
    assert 1 <= len(huge) <= 30
    assert max(len(value) for value in huge) <= faults.HUGE_BYTES


@pytest.mark.parametrize(
    "part",
    [b"\xff\xfe", b"NaN", b"Infinity", b"[[[[", b'{"value":', b'"stationId":null,"stationId"', b"9" * 400],
)
def test_hostile_records_hold_each_known_trick(part: bytes) -> None:
    assert any(part in value for value in faults.hostile_records(2_000, 1) if value)


def test_hostile_records_hold_nulls_empties_and_scalars() -> None:
    values = set(faults.hostile_records(2_000, 1))
    assert {None, b"", b"null", b"{}", b"true"} <= values
