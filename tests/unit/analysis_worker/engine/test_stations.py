"""A trigger keeps its station's heads as they were, and owes offsets until its output stands for them."""

from analysis_worker.engine import layout, progress, stations
from analysis_worker.engine.records import TopicPartition
from tests import builders


def pending_of(*offsets: int) -> progress.Pending:
    pending = progress.Pending()
    for offset in offsets:
        pending.begin(offset)
    return pending


def triggers_of(pending: progress.Pending, *offsets: int) -> list[stations.Trigger]:
    station = builders.a_station()
    batch = stations.Batch(
        layout.layout_of(builders.a_wiring()), TopicPartition("POWER", 0), {station.slot: pending}
    )
    return [stations.Trigger(station, batch, offset, 0) for offset in offsets]


def test_a_trigger_has_the_heads_of_its_moment() -> None:
    station = builders.a_station()
    station.heads[0] = ("segment", 1)
    trigger = builders.a_trigger(station)
    station.heads[0] = ("segment", 2)
    assert trigger.heads == (("segment", 1),)


def test_settling_a_trigger_pays_its_own_offset() -> None:
    pending = pending_of(3, 4)
    first, second = triggers_of(pending, 3, 4)
    second.settle()
    assert list(pending) == [3]
    first.settle()
    assert pending == {}


def test_a_trigger_that_covers_older_ones_pays_for_them_too() -> None:
    pending = pending_of(3, 4, 5, 6)
    oldest, older, newer, newest = triggers_of(pending, 3, 4, 5, 6)
    older.cover(oldest)
    newest.cover(newer)
    newest.cover(older)
    assert list(pending) == [3, 4, 5, 6]
    newest.settle()
    assert pending == {}


def test_a_trigger_without_a_batchs_progress_pays_what_it_owes() -> None:
    pending = pending_of(9)
    batch = stations.Batch(layout.layout_of(builders.a_wiring()), TopicPartition("POWER", 0), None)
    trigger = stations.Trigger(builders.a_station(), batch, 2, 0)
    trigger.owe(pending, 9)
    trigger.settle()
    assert pending == {}


def test_what_a_covered_trigger_owed_elsewhere_is_paid_too() -> None:
    pending, elsewhere = pending_of(3, 4), pending_of(100)
    older, newer = triggers_of(pending, 3, 4)
    older.owe(elsewhere, 100)
    newer.cover(older)
    newer.settle()
    assert (pending, elsewhere) == ({}, {})


def test_they_say_who_they_are() -> None:
    assert repr(builders.a_station("S7")) == "Station('S7', slot=0)"
    assert repr(builders.a_trigger(builders.a_station("S7"), 5)) == "Trigger('S7', POWER/0/5)"
