"""Weaknesses of the old system (seed system 8) that the engine has to do without: each test states the fact.

The table of all of them, with what proves each, stands in `unit/analysis_worker/test_service_weaknesses.py`.
"""

import collections
import json
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from analysis_module import catalogue
from analysis_module.spec import TriggerPolicy
from analysis_worker.engine import intake, progress, scheduling
from analysis_worker.engine.taken import Taken
from tests import builders
from tests.builders import CALENDAR, GUN, NOW, ORDER, PARAM, PRICE, REALTIME, STORAGE

POWER = {"topic": "POWER", "fields": ["stationId", "power"], "windowSize": 3}


def stations_of(taken: Taken) -> list[str]:
    return [trigger.station.id for trigger in taken.triggers]


def test_w01_camel_case_ids_are_found_and_a_record_without_any_is_refused_not_dropped() -> None:
    driven = builders.an_engine("load_prediction")
    taken = driven.take(ORDER, {"stationId": "S1"}, {"currentSOC": 40}, {"station_id": "S2"})
    assert stations_of(taken) == ["S1", "S2"]
    assert [(each.record.offset, each.refusal.error_type) for each in taken.refused] == [
        (1, "missing_station_id")
    ]


def test_w02_records_come_as_bytes_and_are_decoded_in_one_place() -> None:
    driven = builders.an_engine()
    taken = driven.take("POWER", b'{"stationId":"S1","power":4.5}')
    assert builders.input_of(taken.triggers[0])["power"] == 4.5


@pytest.mark.parametrize("module", catalogue.MODULES)
def test_w03_every_modules_callback_sees_the_windows_of_all_its_topics(module: str) -> None:
    driven = builders.an_engine(module)
    samples = {}
    for topic in catalogue.topics_of(module):
        field = next(each for each in catalogue.fields_of(topic) if not each.name.endswith("Id"))
        samples[topic] = (field.name, ["v"] if field.array else "v")
        driven.take(topic, {"stationId": "S1", field.name: samples[topic][1]})
    topics = driven.module_input()["_topics"]
    assert list(topics) == list(samples)
    for topic, (name, value) in samples.items():
        assert (topics[topic][name], topics[topic][f"{name}_window"][-1]) == (value, value)


def test_w04_a_record_asks_for_one_callback_of_its_own_station_and_nothing_else_does() -> None:
    driven = builders.an_engine()
    driven.take("POWER", *({"stationId": f"S{n}", "power": n} for n in range(100)))
    assert stations_of(driven.take("POWER", {"stationId": "S7", "power": 1})) == ["S7"]
    assert driven.engine.expire(round(NOW * 1000)) == []


def test_w04_what_a_large_window_costs_to_hand_over_is_what_a_small_one_costs() -> None:
    source = {**POWER, "windowSize": 604_800, "fields": ["stationId", "power", "soc"]}
    driven = builders.an_engine(inputs=[source])
    driven.take("POWER", *({"stationId": "S1", "power": n + 0.5, "soc": n} for n in range(50)))
    module_input = builders.input_of(
        driven.take("POWER", {"stationId": "S1", "power": 9.5, "soc": 1}).triggers[0]
    )
    segment = driven.station().windows[0].segment  # type: ignore[union-attr]
    assert (module_input["power"], module_input["soc"]) == (9.5, 1)
    assert segment.columns == [None, None, None], "latest values need no column"
    assert module_input["power_window"].present == 51
    assert segment.columns == [None, None, None], "nor does a window that is not read"
    first, second = (builders.input_of(trigger)["power_window"].numpy() for trigger in triggers_of(driven))
    assert np.shares_memory(first, second), "a window is a view, not a copy"


def triggers_of(driven: builders.HandDriven) -> Iterator[Any]:
    for _ in range(2):
        yield driven.take("POWER", {"stationId": "S1", "power": 1.5, "soc": 2}).triggers[0]


def test_w05_seven_days_and_a_monthly_price_outlive_ten_minutes() -> None:
    driven = builders.an_engine("electricity_price")
    driven.take(PRICE, {"stationId": "S1", "gridPrice": 1.02}, at=NOW)
    for minute in range(0, 3_000, 5):
        at = NOW + 60.0 * minute
        driven.take(REALTIME, {"stationId": "S1", "historyCurveStationAvg": float(minute)}, at=at)
        driven.engine.expire(round(at * 1000))
    module_input = driven.module_input()
    assert module_input["gridPrice"] == 1.02
    assert module_input["historyCurveStationAvg_window"].present == 600
    assert len(driven.engine.expire(round((NOW + 60.0 * 2_995 + 601) * 1000))) == 1, "and no leak"


def test_w06_shards_split_stations_not_records_however_records_are_keyed() -> None:
    chance = random.Random(6)
    shards = [builders.an_engine(slots=range(shard, 64, 3)) for shard in range(3)]
    numbers: collections.Counter[str] = collections.Counter()
    for _ in range(300):
        station = f"S{chance.randrange(12)}"
        numbers[station] += 1
        value = {"stationId": station, "power": numbers[station]}
        partition = chance.randrange(4)
        triggered = [driven.take("POWER", value, partition=partition).triggers for driven in shards]
        assert sum(map(len, triggered)) == 1
        trigger = next(each[0] for each in triggered if each)
        newest = range(numbers[station] - 2, numbers[station] + 1)
        assert builders.input_of(trigger)["power_window"] == [max(0, number) for number in newest]


def test_w06b_array_and_global_records_reach_the_owners_of_all_their_stations() -> None:
    shards = [builders.an_engine("load_prediction", slots=range(shard, 64, 2)) for shard in range(2)]
    names = [f"S{number}" for number in range(20)]
    for driven in shards:
        driven.take(PARAM, [{"stationId": name, "gunCount": 6} for name in names])
        driven.take(CALENDAR, {"workdayCode": 1})
    assert all(driven.engine.stations for driven in shards)
    assert sorted(name for driven in shards for name in driven.engine.stations) == sorted(names)
    for driven in shards:
        for name in driven.engine.stations:
            module_input = driven.module_input(name)
            assert (module_input["gunCount"], module_input["workdayCode"]) == (6, 1)


def test_w07_each_module_has_a_group_of_its_own_unless_told() -> None:
    groups = {builders.an_engine(module).assembly.wiring.group_id for module in catalogue.MODULES}
    assert len(groups) == len(catalogue.MODULES)


def test_w08_a_later_success_does_not_pass_an_earlier_failure() -> None:
    driven = builders.an_engine()
    values = [{"stationId": "S1", "power": number} for number in range(3)]
    first, second, third = driven.take("POWER", *values).triggers
    slot, progress = driven.station().slot, driven.part("POWER").progress
    third.settle()
    second.settle()
    assert progress.next_offset(slot) == 0
    first.settle()
    assert progress.next_offset(slot) == 3


@pytest.mark.parametrize("poison", [b"\xff\xfe", b"{", b"[" * 20_000, None, b'{"stationId":{}}'])
def test_w11_a_record_that_cannot_be_read_does_not_stop_its_partition(poison: bytes | None) -> None:
    driven = builders.an_engine()
    taken = driven.take("POWER", {"stationId": "S1", "power": 1}, poison, {"stationId": "S1", "power": 2})
    assert stations_of(taken) == ["S1", "S1"]
    assert len(taken.refused) == 1


@pytest.mark.parametrize("seed", range(20))
def test_w12_windows_rebuilt_from_the_floors_equal_the_lost_ones(seed: int) -> None:
    chance = random.Random(seed)
    inputs = [{**POWER, "windowSize": chance.choice([1, 20, 40, 200])}, {**POWER, "topic": "SLOW"}]
    dependencies = [{"module": "other", "topic": "OUTPUTS", "windowSize": 4}]
    log: dict[str, list[dict[str, Any]]] = collections.defaultdict(list)
    driven = builders.an_engine(inputs=inputs, dependencies=dependencies)
    for number in range(chance.randint(1, 900)):
        topic = chance.choices(["POWER", "SLOW", "OUTPUTS"], [96, 2, 5])[0]
        log[topic].append({"stationId": f"S{chance.randrange(4)}", "power": number})
        for trigger in driven.take(topic, log[topic][-1]).triggers:
            if chance.random() < 0.95:
                trigger.settle()
    rebuilt = builders.an_engine(inputs=inputs, dependencies=dependencies)
    floors = driven.engine.floors()
    for topic, values in log.items():
        part, lost = rebuilt.part(topic), driven.part(topic)
        part.done = progress.Done(dict.fromkeys(driven.slots, lost.progress.position))
        first = min((each[lost.origin] for each in floors.values() if lost.origin in each), default=0)
        part.progress.position = first
        taken = rebuilt.take(topic, *values[first:])
        assert (taken.triggers, taken.muted) == ([], len(values) - first)
    for station in driven.engine.stations:
        before, after = driven.module_input(station), rebuilt.module_input(station)
        assert json.dumps(after.plain()) == json.dumps(before.plain())


def test_w13_dependants_get_the_values_and_not_the_envelope() -> None:
    driven = builders.an_engine("operation_optimization")
    topic = "MODULE-OUTPUT-LOAD-PREDICTION"
    driven.take(topic, {"station_id": "S1", "module": "load_prediction", "result": {"load_forecast": [7]}})
    assert driven.module_input()["load_forecast"] == [7]


def test_w14_an_empty_later_topic_overwrites_nothing() -> None:
    driven = builders.an_engine("operation_optimization")
    driven.take(GUN, {"stationId": "S1", "gunId": "G2", "hostId": "H1"})
    module_input = driven.module_input()
    assert (module_input["gunId"], module_input["hostId"]) == ("G2", "H1")
    assert module_input["_topics"][ORDER]["gunId"] == 0


def test_w15_device_topics_join_their_station_and_a_new_years_calendar_reaches_all() -> None:
    topics = [PARAM, GUN, STORAGE, "SCHEDULE-DEVICE-METER", "SCHEDULE-DEVICE-HOST-DCDC", CALENDAR]
    inputs = [{"topic": topic, "stationKey": {"via": PARAM} if topic != PARAM else {}} for topic in topics]
    driven = builders.an_engine("operation_optimization", inputs=inputs)
    driven.take(CALENDAR, {"workdayCode": 0})
    driven.take(PARAM, {"stationId": "S1", "hostId": ["H1", "H2"], "meterId": "M1"})
    driven.take(GUN, {"hostId": "H1", "gunStatus": 1})
    driven.take(STORAGE, {"hostId": "H2", "storageSOC": 64})
    driven.take("SCHEDULE-DEVICE-METER", {"meterId": "M1", "currentPower": 88.4})
    driven.take("SCHEDULE-DEVICE-HOST-DCDC", {"hostId": "H1", "dcPower": [30.0, 0.0]})
    driven.take(CALENDAR, {"workdayCode": 1})
    module_input = driven.module_input()
    assert list(driven.engine.stations) == ["S1"]
    values = {key: module_input[key] for key in ("gunStatus", "storageSOC", "currentPower", "dcPower")}
    assert values == {"gunStatus": 1, "storageSOC": 64, "currentPower": 88.4, "dcPower": [30.0, 0.0]}
    assert module_input["workdayCode"] == 1


def test_w16_an_array_by_nature_is_not_cut_to_one_value() -> None:
    driven = builders.an_engine("evaluation_model")
    driven.take("SCHEDULE-DEVICE-HOST-DCDC", {"hostId": "S1", "dcWorkStatus": ["01", "00", "02"]})
    module_input = driven.module_input()
    assert module_input["dcWorkStatus"] == ["01", "00", "02"]
    assert module_input["dcWorkStatus_window"] == [["01", "00", "02"]]


def test_w24_a_record_of_15_fields_takes_120_bytes_of_a_window_at_most() -> None:
    driven = builders.an_engine(inputs=[{"topic": ORDER, "windowSize": 5_000}])
    names = [field.name for field in catalogue.fields_of(ORDER)]
    assert len(names) == 15
    texts = {"orderId", "chargerId", "gunId", "carModel"}
    samples = []
    for number in range(5_100):
        values: dict[str, Any] = dict.fromkeys(names, number * 0.37)
        values |= {name: f"{name}-{number // 1000}" for name in texts} | {"stationId": "S1", "endTime": None}
        samples.append(values)
    driven.take(ORDER, *samples)
    assert driven.engine.window_bytes() / 5_000 <= 120


def test_w24_ids_that_are_not_this_shards_do_not_fill_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "_MOST_FOREIGN", 50)
    driven = builders.an_engine(stations={"include": ["S1"]})
    for number in range(500):
        driven.take("POWER", {"stationId": f"stray {number}", "power": 1}, {"stationId": "S1", "power": 1})
    assert list(driven.engine.stations) == ["S1"]
    assert sum(map(len, driven.reader._lookups.values())) <= 52


def test_w24_undeclared_fields_are_not_kept() -> None:
    driven = builders.an_engine()
    driven.take("POWER", {"stationId": "S1", "power": 1, "blob": "x" * 100_000})
    segment = driven.station().windows[0].segment  # type: ignore[union-attr]
    row = segment.tail[1][0]
    assert not any("x" * 100 in str(getattr(row, name)) for name in row.__struct_fields__)


def test_w27_what_is_coalesced_is_counted_and_covered() -> None:
    driven = builders.an_engine()
    scheduler = scheduling.Scheduler(TriggerPolicy.LATEST)
    works = scheduler.submit(driven.take("POWER", {"stationId": "S1", "power": 0}).triggers, 0)
    for number in range(1, 10):
        assert scheduler.submit(driven.take("POWER", {"stationId": "S1", "power": number}).triggers, 0) == []
    assert scheduler.coalesced == 8
    works[0].triggers[0].settle()
    following = scheduler.finished(driven.station(), 0)
    assert following is not None
    assert builders.input_of(following.triggers[0])["power_window"] == [7, 8, 9]
    following.triggers[0].settle()
    assert driven.part("POWER").progress.lowest() == 10


def test_w27_an_order_is_analysed_at_once_and_not_when_the_next_second_begins() -> None:
    driven = builders.an_engine("customer_mining")
    taken = driven.take(ORDER, {"stationId": "S1", "orderId": "O1"}, {"stationId": "S1", "orderId": "O2"})
    assert [builders.input_of(trigger)["orderId"] for trigger in taken.triggers] == ["O1", "O2"]
