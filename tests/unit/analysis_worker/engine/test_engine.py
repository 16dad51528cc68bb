"""Stations and their windows: who is one, what is everyone's, what belongs to whom, and what goes when."""

import collections
import random
from typing import Any

import pytest

from analysis_module import slots as slot_math
from analysis_worker.engine import inputs
from analysis_worker.engine.records import TopicPartition
from tests import builders
from tests.builders import CALENDAR, GUN, METER, NOW, PARAM, REALTIME

VIA = {"stationKey": {"via": PARAM}}
GUNS = {"topic": GUN, "windowSize": 4, **VIA}
METERS = {"topic": METER, "windowSize": 4, **VIA}
POWER = {"topic": "POWER", "fields": ["stationId", "power"], "windowSize": 3}


def gun(host: str, number: Any, **more: Any) -> dict[str, Any]:
    return {"hostId": host, "gunId": number, **more}


# -- Global


def test_the_newest_global_value_is_every_stations_present_and_future() -> None:
    driven = builders.an_engine("load_prediction")
    driven.take(PARAM, {"stationId": "present"})
    driven.take(CALENDAR, {"workdayCode": 1, "holidayCode": 0})
    driven.take(PARAM, {"stationId": "future"})
    for station in ("present", "future"):
        assert driven.module_input(station)["workdayCode"] == 1
    driven.take(CALENDAR, {"workdayCode": 0, "holidayCode": 2})
    for station in ("present", "future"):
        module_input = driven.module_input(station)
        assert (module_input["workdayCode"], module_input["holidayCode_window"]) == (0, [2])
        assert CALENDAR in module_input["_data_quality"]["available_topics"]


def test_a_global_record_needs_no_station_and_makes_none() -> None:
    driven = builders.an_engine("load_prediction")
    taken = driven.take(CALENDAR, {"workdayCode": 1}, {"stationId": "S1", "workdayCode": 0})
    assert (taken.refused, taken.triggers, driven.engine.stations) == ([], [], {})


def test_a_global_record_triggers_only_if_configured() -> None:
    source = {"topic": "HOLIDAY", "fields": ["day"], "windowSize": 2, "scope": "Global"}
    for configured in (None, False, True):
        asked = source if configured is None else {**source, "trigger": configured}
        driven = builders.an_engine(inputs=[POWER, asked])
        driven.take("POWER", {"stationId": "S1", "power": 1}, {"stationId": "S2", "power": 1})
        triggered = [trigger.station.id for trigger in driven.take("HOLIDAY", {"day": 1}).triggers]
        assert triggered == (["S1", "S2"] if configured else [])


def test_global_data_never_expire() -> None:
    driven = builders.an_engine("load_prediction")
    driven.take(CALENDAR, {"workdayCode": 1}, at=NOW)
    a_year_later = NOW + 365 * 86_400
    driven.engine.expire(round(a_year_later * 1000))
    driven.take(PARAM, {"stationId": "S1"}, at=a_year_later)
    assert driven.module_input()["workdayCode"] == 1


# -- expiry (the example of 5.3)


def the_example(driven: builders.HandDriven, *, live: bool, now: float) -> list[Any]:
    """PARAM at t=0, REALTIME each minute until t=3000; what a callback sees at the end."""
    for topic in (PARAM, REALTIME):
        driven.part(topic).caught_up = live
    steps = [(PARAM, 0.0), *((REALTIME, 60.0 * minute) for minute in range(51))]
    for topic, seconds in steps:
        part = driven.part(topic)
        value = {"stationId": "S1", "lat": 30.0, "historyCurveStationAvg": seconds}
        record = builders.a_record(value, offset=part.progress.position, at=seconds)
        driven.reader.take(part, [record], round((seconds if live else now) * 1000))
        if live:
            driven.engine.expire(round(seconds * 1000))
    module_input = driven.module_input()
    return [module_input["lat"], module_input["historyCurveStationAvg_window"].tolist()]


@pytest.mark.parametrize(("live", "now"), [(True, 0.0), (False, 3_000.0), (False, 3_600.0)])
def test_a_station_keeps_all_it_has_while_any_topic_brings_something(live: bool, now: float) -> None:
    driven = builders.an_engine("load_prediction", inputs=[{"topic": PARAM}, {"topic": REALTIME}])
    seen = the_example(driven, live=live, now=now)
    assert seen == [30.0, [0] * (10_080 - 51) + [60.0 * minute for minute in range(51)]]


@pytest.mark.parametrize(("live", "now"), [(True, 0.0), (False, 3_000.0)])
def test_a_station_that_no_topic_brought_anything_for_longer_is_gone_live_or_replayed(
    live: bool, now: float
) -> None:
    driven = builders.an_engine("load_prediction", inputs=[{"topic": PARAM}, {"topic": REALTIME}])
    the_example(driven, live=live, now=now)
    assert driven.engine.expire(3_600_000) == []
    assert [station.id for station in driven.engine.expire(3_601_000)] == ["S1"]
    assert (driven.engine.stations, driven.engine.expired) == ({}, 1)


def test_a_replay_long_afterwards_does_not_lose_a_slow_topic_to_the_gap_before_a_fast_one() -> None:
    driven = builders.an_engine("load_prediction", inputs=[{"topic": PARAM}, {"topic": REALTIME}])
    for topic, seconds in ((PARAM, NOW - 2_000_000), (REALTIME, NOW - 500), (REALTIME, NOW - 400)):
        part = driven.part(topic)
        part.caught_up = False
        record = builders.a_record(
            {"stationId": "S1", "lat": 30.0}, offset=part.progress.position, at=seconds
        )
        driven.reader.take(part, [record], round(NOW * 1000))
    assert driven.module_input()["lat"] == 30.0


def test_what_a_backlog_brings_is_as_old_as_its_records() -> None:
    driven = builders.an_engine()
    driven.take("POWER", {"stationId": "S1", "power": 1}, at=NOW)
    part = driven.part("POWER")
    part.caught_up = False
    for offset in (1, 2):
        record = builders.a_record({"stationId": "S1", "power": 2}, offset=offset, at=NOW + 100 * offset)
        driven.reader.take(part, [record], round((NOW + 9_000) * 1000))
    assert driven.station().last_seen == round((NOW + 200) * 1000)
    early = builders.a_record({"stationId": "S1", "power": 2}, offset=3, at=NOW + 99_999)
    driven.reader.take(part, [early], round((NOW + 300) * 1000))
    assert driven.station().last_seen == round((NOW + 300) * 1000), "never later than now"


def test_a_later_record_starts_an_expired_station_anew() -> None:
    driven = builders.an_engine(expireAfterSeconds=600)
    driven.take("POWER", {"stationId": "S1", "power": 1}, at=NOW)
    driven.engine.expire(round((NOW + 601) * 1000))
    for power in (2, 3):
        driven.take("POWER", {"stationId": "S1", "power": power}, at=NOW + 600 + power)
    assert driven.module_input()["power_window"] == [0, 2, 3]


@pytest.mark.parametrize(("gap", "window"), [(600.0, [0, 1, 2]), (600.001, [0, 0, 2])])
def test_expiry_does_not_depend_on_when_it_is_looked_for(gap: float, window: list[int]) -> None:
    driven = builders.an_engine(expireAfterSeconds=600)
    driven.take("POWER", {"stationId": "S1", "power": 1}, at=NOW)
    taken = driven.take("POWER", {"stationId": "S1", "power": 2}, at=NOW + gap)
    assert builders.input_of(taken.triggers[0])["power_window"] == window


@pytest.mark.parametrize("busy", ["in flight", "waiting"])
def test_a_station_with_work_under_way_does_not_expire(busy: str) -> None:
    driven = builders.an_engine()
    trigger = driven.take("POWER", {"stationId": "S1", "power": 1}).triggers[0]
    driven.station().in_flight = busy == "in flight"
    if busy == "waiting":
        driven.station().waiting.append(trigger)
    assert driven.engine.expire(round((NOW + 10_000) * 1000)) == []


# -- devices


def test_without_via_a_device_is_a_station_of_its_own() -> None:
    driven = builders.an_engine(inputs=[{"topic": PARAM}, {"topic": GUN, "windowSize": 4}])
    driven.take(PARAM, {"stationId": "S1", "hostId": "H1"})
    driven.take(GUN, gun("H1", 1))
    assert set(driven.engine.stations) == {"S1", "H1"}


@pytest.mark.parametrize("first", [PARAM, GUN])
def test_via_leads_a_device_to_its_station_in_either_order(first: str) -> None:
    driven = builders.an_engine(inputs=[{"topic": PARAM}, GUNS])
    taught = (PARAM, [{"stationId": "S1", "hostId": "H1"}])
    steps = [taught, (GUN, [gun("H1", 1), gun("H1", 2)])]
    for topic, values in steps if first == PARAM else steps[::-1]:
        driven.take(topic, *values)
    driven.take(GUN, gun("H1", 3))
    assert driven.module_input()["gunId_window"] == [0, 1, 2, 3]
    assert set(driven.engine.stations) == {"S1"}


def test_an_unknown_device_is_a_station_under_its_own_id_until_it_is_claimed() -> None:
    driven = builders.an_engine(inputs=[{"topic": PARAM}, GUNS])
    taken = driven.take(GUN, gun("H1", 1))
    assert [trigger.station.id for trigger in taken.triggers] == ["H1"]
    assert driven.module_input("H1")["gunId_window"] == [0, 0, 0, 1]


def test_several_hosts_and_a_meter_lead_to_one_station() -> None:
    driven = builders.an_engine(inputs=[{"topic": PARAM}, GUNS, METERS])
    driven.take(GUN, gun("H2", "early"))
    driven.take(PARAM, {"stationId": "S1", "hostId": ["H1", "H2"], "meterId": "M1"})
    driven.take(GUN, gun("H1", 1), gun("H2", 2))
    driven.take(METER, {"meterId": "M1", "currentPower": 88.4})
    driven.take(PARAM, {"stationId": "S1", "hostId": "H3"})
    driven.take(GUN, gun("H3", 3))
    module_input = driven.module_input()
    assert module_input["gunId_window"] == ["early", 1, 2, 3]
    assert module_input["currentPower"] == 88.4
    assert set(driven.engine.stations) == {"S1"}


def test_a_record_of_two_devices_of_a_station_asks_for_one_output_of_both() -> None:
    driven = builders.an_engine(inputs=[{"topic": PARAM}, GUNS])
    driven.take(PARAM, {"stationId": "S1", "hostId": ["H1", "H2"]}, {"stationId": "S2", "hostId": "H3"})
    taken = driven.take(GUN, [gun("H1", 1), gun("H3", 9), gun("H2", 2)], gun("H1", 3))
    asked = [(trigger.station.id, trigger.offset) for trigger in taken.triggers]
    assert asked == [("S1", 0), ("S2", 0), ("S1", 1)]
    seen = inputs.ModuleInput(driven.engine.layout, "S1", taken.triggers[0].heads, NOW)
    assert seen["gunId_window"] == [0, 0, 1, 2]
    taken.triggers[0].settle()
    assert driven.part(GUN).progress.next_offset(taken.triggers[0].station.slot) == 1


def test_refiled_records_come_behind_those_the_station_had() -> None:
    driven = builders.an_engine(inputs=[{"topic": PARAM}, GUNS])
    driven.take(PARAM, {"stationId": "S1", "hostId": "H1"})
    driven.take(GUN, gun("H2", "a"), gun("H1", 1), gun("H2", "b"))
    driven.take(PARAM, {"stationId": "S1", "hostId": "H2"})
    assert driven.module_input()["gunId_window"] == [0, 1, "a", "b"]


def test_a_via_topic_that_is_no_input_is_read_for_its_devices_alone() -> None:
    driven = builders.an_engine(inputs=[GUNS])
    driven.take(GUN, gun("H1", 1))
    taken = driven.take(PARAM, {"stationId": "S1", "hostId": "H1"})
    assert taken.triggers == []
    driven.take(GUN, gun("H1", 2))
    assert driven.module_input()["gunId_window"] == [0, 0, 1, 2]
    assert driven.engine.layout.topics == (GUN,)


def test_a_device_that_moves_brings_later_records_to_its_new_station() -> None:
    driven = builders.an_engine(inputs=[{"topic": PARAM}, GUNS])
    driven.take(PARAM, {"stationId": "S1", "hostId": "H1"})
    driven.take(GUN, gun("H1", 1))
    driven.take(PARAM, {"stationId": "S2", "hostId": "H1"})
    driven.take(GUN, gun("H1", 2))
    assert driven.module_input("S1")["gunId_window"] == [0, 0, 0, 1]
    assert driven.module_input("S2")["gunId_window"] == [0, 0, 0, 2]


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_a_device_may_bear_the_id_of_a_station_that_is_not_its_own(order: list[int]) -> None:
    driven = builders.an_engine(inputs=[{"topic": PARAM}, GUNS])
    driven.take(PARAM, {"stationId": "S1", "hostId": "7"}, {"stationId": "7", "hostId": "H9"})
    both = [gun("7", "of S1"), {"stationId": "7", "gunId": "of 7"}]
    driven.take(GUN, *(both[index] for index in order * 2))
    assert driven.module_input("S1")["gunId_window"] == [0, 0, "of S1", "of S1"]
    assert driven.module_input("7")["gunId_window"] == [0, 0, "of 7", "of 7"]


@pytest.mark.parametrize("fields", [["hostId"], ["hostId", "stationId"], ["chargerCode"]])
def test_via_leads_on_from_whatever_field_is_the_key(fields: list[str]) -> None:
    key = {"fields": fields, "via": PARAM}
    driven = builders.an_engine(inputs=[{"topic": PARAM}, {**GUNS, "stationKey": key}])
    driven.take(PARAM, {"stationId": "S1", "hostId": "H1"})
    for number in (1, 2, 3):
        driven.take(GUN, {fields[0]: "H1", "gunId": number})
    assert driven.module_input()["gunId_window"] == [0, 1, 2, 3]


def test_a_record_that_names_no_station_teaches_no_device() -> None:
    driven = builders.an_engine(inputs=[{"topic": PARAM}, METERS])
    driven.take(PARAM, {"hostId": "H1", "meterId": "M1"})
    assert driven.engine.claimant(PARAM, "M1") is None


def test_a_refiled_device_keeps_its_station_alive() -> None:
    driven = builders.an_engine(inputs=[{"topic": PARAM}, GUNS])
    driven.take(PARAM, {"stationId": "S1"}, at=NOW)
    driven.take(GUN, gun("H1", 1), at=NOW + 590)
    driven.engine.learn(PARAM, "S1", ["H1"])
    assert driven.engine.expire(round((NOW + 1000) * 1000)) == []


# -- shards


def shards_of(station: str) -> tuple[list[int], list[int]]:
    """Slots of two shards: the first owns the station."""
    own = [slot_math.slot_of(station, 64)]
    return own, [slot for slot in range(64) if slot not in own]


def test_a_device_is_kept_by_every_shard_until_claimed_but_called_by_one() -> None:
    of_station, of_device = (builders.an_engine(slots=each, inputs=[GUNS]) for each in shards_of("S1"))
    assert slot_math.slot_of("H1", 64) in of_device.slots
    assert of_station.take(GUN, gun("H1", 1)).triggers == []
    assert len(of_device.take(GUN, gun("H1", 1)).triggers) == 1
    for driven in (of_station, of_device):
        driven.take(PARAM, {"stationId": "S1", "hostId": "H1"})
    assert len(of_station.take(GUN, gun("H1", 2)).triggers) == 1
    assert of_device.take(GUN, gun("H1", 2)).triggers == []
    assert of_station.module_input()["gunId_window"] == [0, 0, 1, 2]
    assert of_device.engine.stations == {}


def test_stations_of_slots_that_are_let_go_are_gone_and_of_those_gained_may_come() -> None:
    driven = builders.an_engine()
    driven.take("POWER", {"stationId": "S1", "power": 1}, {"stationId": "S2", "power": 1})
    lost = slot_math.slot_of("S1", 64)
    assert [station.id for station in driven.engine.disown([lost])] == ["S1"]
    assert driven.engine.station("S1", 0) is None
    driven.engine.own([lost])
    assert driven.engine.station("S1", 0) is not None


@pytest.mark.parametrize(
    ("stations", "admitted"),
    [
        ({}, ["S1", "S2", "T1"]),
        ({"include": ["S*"]}, ["S1", "S2"]),
        ({"exclude": ["S2"]}, ["S1", "T1"]),
        ({"include": ["S?"], "exclude": ["S2"]}, ["S1"]),
        ({"include": ["s1"]}, []),
    ],
)
def test_a_module_runs_for_the_stations_it_is_told(stations: dict[str, Any], admitted: list[str]) -> None:
    driven = builders.an_engine(stations=stations)
    taken = driven.take("POWER", *({"stationId": each, "power": 1} for each in ("S1", "S2", "T1")))
    assert [trigger.station.id for trigger in taken.triggers] == admitted
    assert list(driven.engine.stations) == admitted
    assert taken.foreign == 3 - len(admitted)


def test_a_device_kept_for_its_station_makes_none_of_a_station_it_is_not_told() -> None:
    driven = builders.an_engine(inputs=[GUNS, POWER], stations={"include": ["S*"]})
    driven.take(GUN, gun("H1", 1))
    taken = driven.take("POWER", {"stationId": "H1", "power": 1}, {"stationId": "H1", "power": 1})
    assert (taken.triggers, taken.foreign) == ([], 2)
    driven.engine.own(range(64))
    assert driven.take(GUN, gun("H1", 2)).triggers == []


def test_devices_of_the_stations_it_is_told_are_kept_before_they_are_known_to_be_theirs() -> None:
    driven = builders.an_engine(inputs=[{"topic": PARAM}, GUNS], stations={"include": ["S*"]})
    assert driven.take(GUN, gun("H1", 1)).triggers == []
    driven.take(PARAM, {"stationId": "S1", "hostId": "H1"})
    assert len(driven.take(GUN, gun("H1", 2)).triggers) == 1
    assert driven.module_input()["gunId_window"] == [0, 0, 1, 2]


# -- what reports read


def test_floors_say_per_slot_and_partition_how_far_back_a_rebuild_must_go() -> None:
    driven = builders.an_engine()
    driven.take("POWER", {"stationId": "S1", "power": 1}, {"stationId": "S2", "power": 1})
    driven.take("POWER", {"stationId": "S2", "power": 1}, partition=1)
    first, second = (slot_math.slot_of(each, 64) for each in ("S1", "S2"))
    assert driven.engine.floors() == {
        first: {TopicPartition("POWER", 0): 0},
        second: {TopicPartition("POWER", 0): 1, TopicPartition("POWER", 1): 0},
    }


@pytest.mark.parametrize("size", [3, 40, 200])
def test_no_floor_is_newer_than_the_oldest_record_of_its_partition(size: int) -> None:
    chance = random.Random(size)
    driven = builders.an_engine(inputs=[{**POWER, "windowSize": size}])
    held: collections.deque[tuple[TopicPartition, int]] = collections.deque(maxlen=size)
    for number in range(1_500):
        partition = chance.choices([0, 1, 2], [90, 9, 1])[0]
        place = TopicPartition("POWER", partition)
        held.append((place, driven.part("POWER", partition).progress.position))
        driven.take("POWER", {"stationId": "S1", "power": number}, partition=partition)
        if number % 10 == 0:
            (floors,) = driven.engine.floors().values()
            for place, offset in held:
                assert floors[place] <= offset


def test_global_windows_have_a_floor_of_their_own() -> None:
    driven = builders.an_engine("load_prediction")
    driven.take(CALENDAR, {"workdayCode": 1}, {"workdayCode": 0})
    assert driven.engine.floors() == {-1: {TopicPartition(CALENDAR, 0): 0}}


def test_window_bytes_are_those_of_all_windows() -> None:
    driven = builders.an_engine("load_prediction")
    assert driven.engine.window_bytes() == 0
    driven.take(CALENDAR, {"workdayCode": 1})
    everyones = driven.engine.window_bytes()
    driven.take(PARAM, {"stationId": "S1"})
    assert driven.engine.window_bytes() > everyones > 0
