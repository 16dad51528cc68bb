"""Records of a partition into windows and triggers; what must not be taken, not yet, or not again."""

import collections
import random
from typing import Any

import pytest

from analysis_module import slots as slot_math
from analysis_worker.engine import progress
from analysis_worker.engine.records import TopicPartition
from analysis_worker.engine.taken import Taken
from tests import builders
from tests.builders import NOW, PARAM, PRICE

POWER = {"topic": "POWER", "fields": ["stationId", "power"], "windowSize": 3}


def sample(station: Any, power: Any = 1) -> dict[str, Any]:
    return {"stationId": station, "power": power}


def slot_of(station: str) -> int:
    return slot_math.slot_of(station, 64)


def told(taken: Taken) -> list[tuple[str, int]]:
    return [(trigger.station.id, trigger.offset) for trigger in taken.triggers]


def owed(driven: builders.HandDriven, topic: str = "POWER") -> dict[int, dict[int, int]]:
    """Offsets still to be done, per slot that has any."""
    return {slot: dict(pending) for slot, pending in driven.part(topic).progress.pending.items() if pending}


# -- the plain way


def test_every_record_asks_for_a_callback_with_the_window_of_its_moment() -> None:
    taken = builders.an_engine().take("POWER", sample("S1", 1), sample("S2", 5), sample("S1", 2))
    assert told(taken) == [("S1", 0), ("S2", 1), ("S1", 2)]
    windows = [builders.input_of(trigger)["power_window"] for trigger in taken.triggers]
    assert windows == [[0, 0, 1], [0, 0, 5], [0, 1, 2]]


def test_a_records_offset_is_owed_to_its_stations_slot_until_its_trigger_is_settled() -> None:
    driven = builders.an_engine()
    taken = driven.take("POWER", sample("S1"), sample("S2"))
    assert owed(driven) == {slot_of("S1"): {0: "S1"}, slot_of("S2"): {1: "S2"}}
    progress = driven.part("POWER").progress
    assert (progress.position, progress.next_offset(slot_of("S1")), progress.next_offset(0)) == (2, 0, 2)
    for trigger in taken.triggers:
        trigger.settle()
    assert owed(driven) == {}
    assert progress.lowest() == 2


def test_the_fast_path_and_the_careful_one_come_to_the_same() -> None:
    chance = random.Random(3)
    records = []
    for number in range(400):
        station = chance.choice(["S1", "S2", 3, "S4"])
        value: Any = chance.choice([sample(station, number), {"stationId": station}, sample(station, None)])
        if number % 37 == 0:
            value = sample(station, [number, number + 1])
        if number % 41 == 0:
            value = b"broken"
        records.append(value)
    fast, careful = builders.an_engine(), builders.an_engine()
    careful.part("POWER").progress.skip = {64: 1 << 62}  # a guard for a slot that does not exist
    taken = [driven.take("POWER", *records) for driven in (fast, careful)]
    assert told(taken[0]) == told(taken[1])
    assert len(taken[0].refused) == len(taken[1].refused) == 10
    inputs = [[builders.input_of(trigger).plain() for trigger in each.triggers] for each in taken]
    assert inputs[0] == inputs[1]
    assert owed(fast) == owed(careful)
    assert fast.engine.floors() == careful.engine.floors()


def test_a_station_is_the_same_whether_its_id_is_a_number_or_its_text() -> None:
    driven = builders.an_engine()
    driven.take("POWER", sample(7, 1), sample("7", 2), sample(7.0, 3))
    assert driven.module_input("7")["power_window"] == [1, 2, 3]
    assert list(driven.engine.stations) == ["7"]


def test_true_is_no_id_though_python_takes_it_for_1() -> None:
    driven = builders.an_engine()
    taken = driven.take("POWER", sample(1), sample(True))
    assert told(taken) == [("1", 0)]
    assert [refused.refusal.error_type for refused in taken.refused] == ["missing_station_id"]


def test_a_topic_that_does_not_trigger_fills_its_window() -> None:
    driven = builders.an_engine(inputs=[{**POWER, "trigger": False}])
    assert driven.take("POWER", sample("S1", 4)).triggers == []
    assert driven.module_input()["power"] == 4
    assert driven.part("POWER").progress.lowest() == 1


def test_no_callback_before_every_required_topic_has_a_record() -> None:
    other = {**POWER, "topic": "OTHER"}
    driven = builders.an_engine(inputs=[POWER, other], trigger={"requiredTopics": ["OTHER"]})
    assert driven.take("POWER", sample("S1"), sample("S1")).triggers == []
    assert driven.part("POWER").progress.lowest() == 2
    assert told(driven.take("OTHER", sample("S1"))) == [("S1", 0)]
    assert told(driven.take("POWER", sample("S1"))) == [("S1", 2)]


def test_a_dependencys_output_asks_for_a_callback_unless_told_not_to() -> None:
    for trigger in (True, False):
        driven = builders.an_engine(dependencies=[{"module": "load_prediction", "trigger": trigger}])
        taken = driven.take("MODULE-OUTPUT-LOAD-PREDICTION", {"stationId": "S1", "output": 1})
        assert told(taken) == ([("S1", 0)] if trigger else [])
        assert driven.module_input()["load_prediction_output"] == 1


def test_other_shards_stations_are_passed_over_and_counted() -> None:
    driven = builders.an_engine(slots=[slot_of("S1")])
    for _ in range(2):
        taken = driven.take("POWER", sample("S1"), sample("S2"), sample("S2"))
        assert ([station for station, _ in told(taken)], taken.foreign) == (["S1"], 2)
    assert list(driven.engine.stations) == ["S1"]


def test_each_station_is_taken_by_exactly_one_of_the_shards() -> None:
    shards = [builders.an_engine(slots=range(first, 64, 3)) for first in range(3)]
    names = [f"S{number}" for number in range(100)]
    taken = [driven.take("POWER", *map(sample, names)) for driven in shards]
    assert sorted(station for each in taken for station, _ in told(each)) == sorted(names)


def test_a_record_of_many_stations_brings_each_its_own() -> None:
    driven = builders.an_engine("load_prediction")
    prices = [{"stationId": "S1", "lat": 1}, {"stationId": "S2", "lat": 2}]
    taken = driven.take(PARAM, prices)
    assert told(taken) == [("S1", 0), ("S2", 0)]
    assert driven.module_input("S2")["lat"] == 2
    taken.triggers[0].settle()
    for kept in taken.kept:
        kept.settle()
    assert owed(driven, PARAM) == {slot_of("S2"): {0: collections.Counter({"S2": 1})}}


# -- what cannot be used


def test_a_bad_record_is_refused_by_the_owner_of_the_slot_numbered_like_its_partition() -> None:
    for slots, refused in ((range(64), 1), ([3], 1), ([0, 1, 2, 4], 0)):
        driven = builders.an_engine(slots=slots)
        taken = driven.take("POWER", b"broken", partition=3)
        assert len(taken.refused) == refused
        assert driven.part("POWER", 3).progress.position == 1


@pytest.mark.parametrize("value", [None, b"", b"{", b"[1]", b"\xff", {"power": 1}, {"stationId": ""}, {}])
def test_a_bad_record_is_owed_until_the_dead_letters_have_it_and_the_next_goes_on(value: Any) -> None:
    driven = builders.an_engine()
    taken = driven.take("POWER", sample("S1"), value, sample("S1"))
    assert told(taken) == [("S1", 0), ("S1", 2)]
    assert owed(driven)[0] == {1: progress.nobodys(1)}
    refused = taken.refused[0]
    assert (refused.origin, refused.record.offset) == (TopicPartition("POWER", 0), 1)
    refused.pending.done(1)
    assert 0 not in owed(driven)


def test_the_sound_parts_of_a_record_of_many_stations_are_taken_and_the_record_is_refused() -> None:
    driven = builders.an_engine("electricity_price")
    fees = [{"stationId": "S1", "periodNo": 1}, {"periodNo": 2}, {"stationId": "S3", "periodNo": 3}]
    taken = driven.take(PRICE, {"fee": fees})
    assert told(taken) == [("S1", 0), ("S3", 0)]
    assert [refused.refusal.error_type for refused in taken.refused] == ["missing_station_id"]
    assert "fee[1]" in str(taken.refused[0].refusal)
    assert driven.module_input("S3")["periodNo"] == 3


# -- after a restart


def restoring(resume: dict[str, int], **spec: Any) -> builders.HandDriven:
    """An engine whose POWER partition has been done, per station's slot, up to an offset."""
    driven = builders.an_engine(**spec)
    part = driven.part("POWER")
    part.done = progress.Done(
        dict.fromkeys(driven.slots, 0) | {slot_of(each): n for each, n in resume.items()}
    )
    part.restoring = True
    return driven


def test_records_done_before_a_restart_fill_windows_without_a_callback() -> None:
    driven = restoring({"S1": 2})
    taken = driven.take("POWER", sample("S1", 1), sample("S1", 2))
    assert (told(taken), taken.muted, owed(driven)) == ([], 2, {})
    driven.reader.release_held(driven.part("POWER"), round(NOW * 1000))
    taken = driven.take("POWER", sample("S1", 3))
    assert builders.input_of(taken.triggers[0])["power_window"] == [1, 2, 3]


def test_live_records_wait_until_the_windows_are_restored_and_then_come_in_order() -> None:
    driven = restoring({"S1": 3, "S2": 0})
    taken = driven.take("POWER", sample("S2", 1), sample("S1", 1), sample("S2", 2), sample("S1", 2))
    assert told(taken) == []
    assert len(driven.part("POWER").held) == 3
    assert driven.module_input("S2")["power_window"] == [0, 0, 0], "a live record is not in a window before"
    released = driven.reader.release_held(driven.part("POWER"), round(NOW * 1000))
    assert told(released) == [("S2", 0), ("S2", 2), ("S1", 3)]
    assert [builders.input_of(each)["power_window"] for each in released.triggers] == [
        [0, 0, 1],
        [0, 1, 2],
        [0, 1, 2],
    ]
    assert not driven.part("POWER").guarded


def test_a_bad_record_among_held_ones_does_not_let_progress_pass_them() -> None:
    station = next(f"S{n}" for n in range(10_000) if slot_of(f"S{n}") == 0)
    driven = restoring({station: 0})
    bad = driven.take("POWER", sample(station), b"broken", sample(station)).refused[0]
    driven.reader.release_held(driven.part("POWER"), round(NOW * 1000))
    progress = driven.part("POWER").progress
    assert progress.next_offset(0) == 0
    bad.pending.done(bad.record.offset)
    assert progress.next_offset(0) == 0


def test_a_bad_record_done_before_a_restart_is_not_reported_again() -> None:
    driven = restoring({})
    driven.part("POWER").done.before[0] = 1
    assert driven.take("POWER", b"broken").refused == []
    assert len(driven.take("POWER", b"broken").refused) == 1


def test_global_triggers_wait_for_the_windows_too() -> None:
    everyones = {**POWER, "topic": "POWER", "scope": "Global", "trigger": True}
    driven = restoring({}, inputs=[everyones, {"topic": "OTHER", "fields": ["x"], "windowSize": 1}])
    driven.take("OTHER", {"stationId": "S1", "x": 1})
    assert driven.take("POWER", {"power": 1}).triggers == []
    released = driven.reader.release_held(driven.part("POWER"), round(NOW * 1000))
    assert told(released) == [("S1", 0)]


def test_guards_fall_when_the_position_has_passed_them() -> None:
    driven = restoring({"S1": 2})
    part = driven.part("POWER")
    assert not part.restored
    driven.take("POWER", sample("S1"), sample("S1"))
    assert part.restored
    part.restoring = False
    part.relax()
    assert not part.guarded


def test_records_of_a_slot_that_another_reader_still_brings_are_skipped() -> None:
    driven = builders.an_engine()
    driven.part("POWER").progress.skip = {slot_of("S1"): 2}
    taken = driven.take("POWER", sample("S1", 1), sample("S2", 1), sample("S1", 2), sample("S1", 3))
    assert told(taken) == [("S2", 1), ("S1", 2), ("S1", 3)]
    assert driven.module_input()["power_window"] == [0, 2, 3]


# -- Aligned routing


ALIGNED = {"topic": "POWER", "fields": ["stationId", "power"], "windowSize": 3, "routing": "Aligned"}


def test_an_aligned_record_in_its_slots_partition_is_taken_and_a_stray_is_passed_on() -> None:
    driven = builders.an_engine(inputs=[ALIGNED])
    slot = slot_of("S1")
    assert told(driven.take("POWER", sample("S1"), partition=slot)) == [("S1", 0)]
    wrong = (slot + 1) % 64
    taken = driven.take("POWER", sample("S1"), sample("S1"), partition=wrong)
    assert (told(taken), len(taken.strays)) == ([], 2)
    assert driven.part("POWER", wrong).wrong_partition == 2
    assert driven.part("POWER", wrong).progress.next_offset(wrong) == 0


def test_a_stray_of_an_aligned_topic_troubles_no_filtered_topic() -> None:
    driven = builders.an_engine(slots=[slot_of("S2")], inputs=[ALIGNED, {**POWER, "topic": "OTHER"}])
    assert len(driven.take("POWER", sample("S1"), partition=slot_of("S2")).strays) == 1
    taken = driven.take("OTHER", sample("S1"), sample("S2"), sample("S1"))
    assert (told(taken), taken.foreign) == ([("S2", 1)], 2)


def test_a_stray_reaches_its_owner_under_the_id_of_its_first_place() -> None:
    driven = builders.an_engine(inputs=[ALIGNED])
    strays = driven.assembly.wiring.strays_topic
    headers = [("stray-topic", b"POWER"), ("stray-partition", b"5"), ("stray-offset", b"77")]
    record = builders.a_record(sample("S1", 4), headers=headers)
    taken = driven.reader.take(driven.part(strays), [record], round(NOW * 1000))
    assert told(taken) == [("S1", 77)]
    assert taken.triggers[0].batch.origin == TopicPartition("POWER", 5)
    assert driven.module_input()["power"] == 4
    assert owed(driven, strays) == {slot_of("S1"): {0: "S1"}}
    taken.triggers[0].settle()
    assert owed(driven, strays) == {}


def test_a_stray_record_of_many_stations_is_taken_once_for_each() -> None:
    driven = builders.an_engine(inputs=[ALIGNED])
    slot = slot_of("S1")
    names = ["S1", "S2", "S3", "S4"]
    taken = driven.take("POWER", [sample(name) for name in names], partition=slot)
    assert told(taken) == [("S1", 0)]
    assert len(taken.strays) == 1, "it is passed on once"
    origin = [("stray-topic", b"POWER"), ("stray-partition", b"%d" % slot), ("stray-offset", b"0")]
    record = builders.a_record([sample(name) for name in names], headers=origin)
    taken = driven.reader.take(driven.part(driven.assembly.wiring.strays_topic), [record], round(NOW * 1000))
    assert told(taken) == [("S2", 0), ("S3", 0), ("S4", 0)]


@pytest.mark.parametrize(
    "headers", [[], [("stray-topic", b"OTHER")], [("stray-topic", b"POWER"), ("stray-partition", b"x")]]
)
def test_a_stray_of_unknown_origin_is_refused(headers: list[tuple[str, bytes]]) -> None:
    driven = builders.an_engine(inputs=[ALIGNED])
    record = builders.a_record(sample("S1"), headers=headers)
    part = driven.part(driven.assembly.wiring.strays_topic)
    taken = driven.reader.take(part, [record], round(NOW * 1000))
    assert [refused.refusal.error_type for refused in taken.refused] == ["unknown_stray"]
