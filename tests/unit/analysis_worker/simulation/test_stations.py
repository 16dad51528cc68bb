"""The fleet: which topics it fills, when, in which shapes, and that a seed repeats it to the byte."""

import collections
import datetime
import itertools
import json
from typing import Any

import pytest

from analysis_module import topics
from analysis_worker import simulation
from analysis_worker.simulation import stations

START_MS = 1_762_480_000_000  # Friday 2025-11-07, 09:46:40 on the sites' clock
HOUR_MS = 3_600_000

DOCUMENTED = {
    simulation.STATION_PARAM: "stationId stationTemp lat lng gunCount gridCapacity storageCount"
    " storageCapacity hostId meterId",
    simulation.STATION_REALTIME: "stationId gunId historyCurveGunAvg historyCurveGunMax"
    " historyCurveStationAvg historyCurveStationMax",
    simulation.CALENDAR: "workdayCode holidayCode",
    simulation.METER: "meterId currentPower ratedPowerLimit",
    simulation.GUN: "hostId gunId gunStatus",
    simulation.CAR_ORDER: "stationId orderId chargerId gunId chargerRatedCurrent startTime endTime startSOC"
    " currentSOC demandVoltage demandCurrent mileage carModel batteryCapacity",
    simulation.CAR_PRICE: "stationId periodNo startTime endTime periodType gridPrice serviceFee",
    simulation.DEVICE_ERROR: "stationId hostError acError dcError terminalError storageError",
    simulation.HOST_DCDC: "hostId dcWorkStatus dcPower",
    simulation.HOST_ACDC: "hostId acPower",
    simulation.STORAGE: "hostId storageId storagePower storageCurrent storageTempMax storageTempMin"
    " storageSOC storageSOH",
    simulation.PV: "stationId pvId pvPreDcPower",
    simulation.WEATHER: "stationId weatherSituationYesterday seasonTomorrow weatherSituationTomorrow",
}
"""The samples of the seed system 2.4 and, for PV and WEATHER, the fields of 2.3."""


DEVICES = (
    simulation.METER,
    simulation.GUN,
    simulation.HOST_DCDC,
    simulation.HOST_ACDC,
    simulation.STORAGE,
)


def payload(record: simulation.SimulatedRecord) -> dict[str, Any]:
    assert record.value is not None
    decoded = json.loads(record.value)
    assert isinstance(decoded, dict)
    return decoded


def sent(seconds: float, **fleet: Any) -> list[simulation.SimulatedRecord]:
    """Return what a fleet sends in so much delivery time."""
    given = {"stations": 3, "seed": 1, "start_ms": START_MS, **fleet}
    return stations.Fleet(**given).tick(given["start_ms"] + int(seconds * 1000))


def on(topic: str, records: list[simulation.SimulatedRecord]) -> list[dict[str, Any]]:
    return [payload(record) for record in records if record.topic == topic]


def days(count: float, **fleet: Any) -> list[simulation.SimulatedRecord]:
    """Return so many simulated days of a fleet, one per second, its steady sources thinned to 24 a day."""
    return sent(count, **{"speedup": 86_400, "cap_per_second": 24, **fleet})


@pytest.mark.parametrize("speedup", [1, 60, 600])
@pytest.mark.parametrize("seed", [0, 1])
def test_every_topic_has_records_within_a_few_seconds(speedup: int, seed: int) -> None:
    topics = {record.topic for record in sent(4, speedup=speedup, seed=seed)}
    assert topics == set(simulation.TOPICS)


def test_every_station_has_an_order_running_at_the_start_even_at_night() -> None:
    night_ms = START_MS - 6 * HOUR_MS
    opened = stations.Fleet(stations=20, start_ms=night_ms).tick(night_ms)
    assert len({order["stationId"] for order in on(simulation.CAR_ORDER, opened)}) == 20


def test_records_have_exactly_the_documented_fields() -> None:
    for record in sent(30):
        assert sorted(payload(record)) == sorted(DOCUMENTED[record.topic].split()), record.topic


def test_every_field_that_is_sent_is_declared_by_the_catalogue() -> None:
    for record in sent(10):
        declared = {field.name for field in topics.BY_NAME[record.topic].fields}
        assert payload(record).keys() <= declared, record.topic


def test_device_records_name_no_station() -> None:
    assert not any("stationId" in payload(record) for record in sent(10) if record.topic in DEVICES)


def test_the_parameters_name_every_host_and_meter_that_sends() -> None:
    records = sent(10)
    parameters = on(simulation.STATION_PARAM, records)
    named = {host for each in parameters for host in each["hostId"]}
    named |= {each["meterId"] for each in parameters}
    devices = [payload(record) for record in records if record.topic in DEVICES]
    assert {told.get("hostId") or told["meterId"] for told in devices} == named


def test_only_the_calendar_has_no_key() -> None:
    assert {record.topic for record in sent(10) if record.key is None} == {simulation.CALENDAR}


@pytest.mark.parametrize(
    ("topic", "count"),
    [
        (simulation.STATION_PARAM, 3),
        (simulation.CALENDAR, 1),
        (simulation.CAR_PRICE, 15),
        (simulation.PV, 3),
        (simulation.WEATHER, 3),
        (simulation.DEVICE_ERROR, 3),
    ],
)
def test_slow_topics_are_sent_once_at_the_start(topic: str, count: int) -> None:
    at_once = [record for record in sent(5, speedup=1) if record.topic == topic]
    assert [record.timestamp_ms for record in at_once] == [START_MS] * count


def test_records_come_in_time_order_and_never_from_the_future() -> None:
    fleet = stations.Fleet(stations=3, start_ms=START_MS)
    newest = START_MS
    for now_ms in range(START_MS, START_MS + 20_000, 700):
        for record in fleet.tick(now_ms):
            assert newest <= record.timestamp_ms <= now_ms
            newest = record.timestamp_ms


def test_the_same_seed_sends_the_same_bytes() -> None:
    assert sent(20, seed=7) == sent(20, seed=7)


def test_another_seed_sends_others() -> None:
    assert sent(1, seed=7) != sent(1, seed=8)


@pytest.mark.parametrize("step_ms", [90, 1_000, 7_000])
def test_what_is_sent_does_not_depend_on_how_often_the_fleet_is_asked(step_ms: int) -> None:
    fleet = stations.Fleet(stations=3, seed=1, start_ms=START_MS)
    ticks = [START_MS + ms for ms in range(0, 21_000, step_ms)] + [START_MS + 21_000]
    assert [record for now_ms in ticks for record in fleet.tick(now_ms)] == sent(21)


def test_a_tick_into_the_past_gives_nothing() -> None:
    fleet = stations.Fleet(stations=1, start_ms=START_MS)
    fleet.tick(START_MS + 5_000)
    assert fleet.tick(START_MS + 1_000) == []


def test_records_one_by_one_are_those_of_a_tick() -> None:
    fleet = stations.Fleet(stations=3, seed=1, start_ms=START_MS)
    assert list(fleet.records(START_MS + 5_000)) == sent(5)


def times(topic: str, records: list[simulation.SimulatedRecord], identity: str) -> dict[str, list[int]]:
    """Return the timestamps of a topic's records by the value of a field."""
    found = collections.defaultdict(list)
    for record in records:
        if record.topic == topic:
            found[payload(record)[identity]].append(record.timestamp_ms)
    return dict(found)


@pytest.mark.parametrize(
    ("topic", "identity", "gap_ms"),
    [
        (simulation.CAR_ORDER, "orderId", 1_000),
        (simulation.STATION_REALTIME, "stationId", 60_000),
        (simulation.METER, "meterId", 300_000),
        (simulation.STORAGE, "storageId", 15_000),
    ],
)
def test_at_speed_one_the_cadence_is_the_documented_one(topic: str, identity: str, gap_ms: int) -> None:
    for stamps in times(topic, sent(610, stations=1, speedup=1), identity).values():
        gaps = [b - a for a, b in itertools.pairwise(stamps)]
        assert set(gaps[:-1]) <= {gap_ms}


def test_a_host_sends_every_second_while_a_gun_charges_and_every_15_seconds_else() -> None:
    charging_at: dict[str, list[tuple[int, bool]]] = collections.defaultdict(list)
    for record in sent(60, stations=10, speedup=1):
        if record.topic == simulation.HOST_DCDC:
            told = payload(record)
            charging_at[told["hostId"]].append((record.timestamp_ms, any(told["dcPower"])))
    gaps = {
        (charging, later - earlier)
        for told in charging_at.values()
        for (earlier, charging), (later, _) in itertools.pairwise(told)
    }
    assert gaps == {(True, 1_000), (False, 15_000)}


def test_the_minute_is_a_simulated_one() -> None:
    stamps = times(simulation.STATION_REALTIME, sent(20, stations=1, speedup=60), "stationId")["station-001"]
    assert {b - a for a, b in itertools.pairwise(stamps)} == {1_000}


def test_no_order_is_told_more_often_than_the_cap() -> None:
    for stamps in times(simulation.CAR_ORDER, sent(30, speedup=600, cap_per_second=2), "orderId").values():
        assert all(b - a >= 500 for a, b in itertools.pairwise(stamps[:-1]))


def orders(records: list[simulation.SimulatedRecord]) -> dict[str, list[dict[str, Any]]]:
    found = collections.defaultdict(list)
    for order in on(simulation.CAR_ORDER, records):
        found[order["orderId"]].append(order)
    return dict(found)


def test_the_state_of_charge_of_an_order_rises_from_its_start() -> None:
    for told in orders(sent(30, speedup=120)).values():
        socs = [order["currentSOC"] for order in told]
        assert socs == sorted(socs)
        assert socs[0] >= told[0]["startSOC"]


def test_only_the_last_record_of_an_order_has_an_end() -> None:
    ended = 0
    for told in orders(sent(60, speedup=120)).values():
        ended += told[-1]["endTime"] is not None
        assert all(order["endTime"] is None for order in told[:-1])
    assert ended > 0


def test_no_current_flows_at_the_end_of_an_order_nor_more_than_the_charger_allows() -> None:
    for told in orders(days(2)).values():
        assert all(order["demandCurrent"] <= order["chargerRatedCurrent"] for order in told)
        if told[-1]["endTime"] is not None:
            assert told[-1]["demandCurrent"] == 0


def test_a_gun_turns_charging_when_an_order_starts_and_idle_when_it_ends() -> None:
    status: dict[tuple[str, str], int] = {}
    begun, ended = set(), 0
    for record in sent(60, speedup=120):
        told = payload(record)
        if record.topic == simulation.GUN:
            status[told["hostId"], told["gunId"]] = told["gunStatus"]
        if record.topic == simulation.CAR_ORDER and told["orderId"] not in begun:
            begun.add(told["orderId"])
            assert status[told["chargerId"], told["gunId"]] == 1
    records = sent(60, speedup=120)
    for index, record in enumerate(records):
        told = payload(record)
        if record.topic == simulation.CAR_ORDER and told["endTime"] is not None:
            ended += 1
            after = payload(records[index + 1])
            assert after == {"hostId": told["chargerId"], "gunId": told["gunId"], "gunStatus": 0}
    assert ended > 0


def test_a_gun_charges_one_car_at_a_time() -> None:
    free_at: dict[tuple[str, str], int] = {}
    for told in orders(days(2)).values():
        gun = (told[0]["chargerId"], told[0]["gunId"])
        assert told[0]["startTime"] >= free_at.get(gun, 0)
        free_at[gun] = told[-1]["endTime"] or 2**62


def test_more_cars_come_in_the_evening_than_at_night() -> None:
    clock = datetime.timezone(datetime.timedelta(hours=8))
    hours: collections.Counter[int] = collections.Counter()
    for told in orders(days(5, start_ms=START_MS - 4 * 24 * HOUR_MS)).values():
        hours[datetime.datetime.fromtimestamp(told[0]["startTime"], tz=clock).hour] += 1
    evening, night = (sum(hours[hour] for hour in span) for span in (range(18, 22), range(2, 6)))
    assert evening > 3 * night > 0


def test_a_terminal_error_closes_a_gun_until_it_is_mended() -> None:
    records = days(20, stations=4)
    closed = 0
    for station in {fault["stationId"] for fault in on(simulation.DEVICE_ERROR, records)}:
        faults = [each for each in on(simulation.DEVICE_ERROR, records) if each["stationId"] == station]
        raised = [sum(fault[field] for field in stations.ERROR_FIELDS) for fault in faults]
        assert raised == [index % 2 for index in range(len(raised))]
    for index, record in enumerate(records):
        if record.topic == simulation.DEVICE_ERROR and payload(record)["terminalError"]:
            after = records[index + 1]
            closed += after.topic == simulation.GUN and payload(after)["gunStatus"] == 2
    assert closed > 0
    assert payload([record for record in records if record.topic == simulation.GUN][-1])["gunStatus"] < 2


def test_the_realtime_peak_is_never_below_the_mean_nor_a_gun_above_its_station() -> None:
    for told in on(simulation.STATION_REALTIME, days(2)):
        assert told["historyCurveGunMax"] >= told["historyCurveGunAvg"] - 0.01
        assert told["historyCurveStationMax"] >= told["historyCurveStationAvg"] - 0.01
        assert told["historyCurveStationAvg"] >= told["historyCurveGunAvg"] - 0.01


def test_the_storage_fills_in_the_valley_and_empties_in_the_peak_within_its_limits() -> None:
    socs = [told["storageSOC"] for told in on(simulation.STORAGE, days(3, stations=1))]
    assert 10 <= min(socs) < 40 < 80 < max(socs) <= 95
    for before, after in itertools.pairwise(on(simulation.STORAGE, sent(600, stations=1))):
        assert (after["storageSOC"] - before["storageSOC"]) * before["storagePower"] <= 0


def test_the_calendar_is_sent_again_when_the_weekend_begins_and_ends() -> None:
    codes = [told["workdayCode"] for told in on(simulation.CALENDAR, days(7, stations=1))]
    assert codes == [0, 1, 0]


def test_pv_and_weather_are_sent_daily() -> None:
    records = days(3.5, stations=1)
    assert len(on(simulation.PV, records)) == len(on(simulation.WEATHER, records)) == 4


def test_prices_are_sent_again_with_the_month() -> None:
    numbers = [told["periodNo"] for told in on(simulation.CAR_PRICE, days(25, stations=1, cap_per_second=1))]
    assert numbers == [1, 2, 3, 4, 5] * 2


def test_parameters_are_sent_again_when_the_temperature_has_changed_by_a_degree() -> None:
    degrees = [told["stationTemp"] for told in on(simulation.STATION_PARAM, days(1, stations=1))]
    assert len(degrees) > 2
    assert all(abs(b - a) > 0.9 for a, b in itertools.pairwise(degrees))


@pytest.mark.parametrize("name", ["stations", "speedup", "cap_per_second"])
def test_a_fleet_of_nothing_is_refused_by_the_name_of_the_argument(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: 0 is not above 0"):
        sent(1, **{name: 0})
