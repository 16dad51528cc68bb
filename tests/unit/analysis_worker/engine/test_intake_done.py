"""After a restart exactly what is left is called again: of each station from where its outputs stopped."""

from collections.abc import Mapping
from typing import Any

import pytest

from analysis_module import slots as slot_math
from analysis_worker.engine import progress
from analysis_worker.engine.taken import Taken
from tests import builders
from tests.builders import NOW

POWER = {"topic": "POWER", "fields": ["stationId", "power"], "windowSize": 3}
OTHER = {"topic": "OTHER", "fields": ["stationId", "x"], "windowSize": 1, "trigger": False}
EVERYONES = {**POWER, "scope": "Global", "trigger": True}
ALIGNED = {**POWER, "routing": "Aligned"}


def sample(station: str, power: int) -> dict[str, Any]:
    return {"stationId": station, "power": power}


def slot_of(station: str) -> int:
    return slot_math.slot_of(station, 64)


def neighbours(count: int) -> list[str]:
    """Stations of one slot."""
    names = (f"S{number}" for number in range(100_000))
    wanted = slot_of("S0")
    return [name for name, _ in zip((n for n in names if slot_of(n) == wanted), range(count), strict=False)]


def restarted(before: int, behind: Mapping[int, Mapping[str, int]], **spec: Any) -> builders.HandDriven:
    """An engine whose POWER partition is done up to `before`, but for what is behind, of slots."""
    driven = builders.an_engine(**spec)
    part = driven.part("POWER")
    part.done = progress.Done(dict.fromkeys(driven.slots, before), dict(behind))
    part.restoring = True
    return driven


def released(driven: builders.HandDriven) -> Taken:
    return driven.reader.release_held(driven.part("POWER"), round(NOW * 1000))


def told(taken: Taken) -> list[tuple[str, int, list[Any]]]:
    """Station, offset and window of each trigger."""
    return [
        (trigger.station.id, trigger.offset, list(builders.input_of(trigger)["power_window"]))
        for trigger in taken.triggers
    ]


def test_a_station_that_is_behind_is_called_again_from_there_with_the_windows_of_then() -> None:
    late, early = neighbours(2)
    driven = restarted(8, {slot_of(late): {late: 4}})
    samples = [sample(name, number) for number in range(1, 5) for name in (late, early)]
    taken = driven.take("POWER", *samples)
    assert (told(taken), taken.muted) == ([], 6)
    assert told(released(driven)) == [(late, 4, [1, 2, 3]), (late, 6, [2, 3, 4])]
    owed = driven.part("POWER").progress.pending[slot_of(late)]
    assert owed.behind() == {late: 4}


def test_what_comes_after_what_was_done_is_live_for_all() -> None:
    late, early = neighbours(2)
    driven = restarted(2, {slot_of(late): {late: 0}})
    driven.take("POWER", sample(late, 1), sample(early, 1), sample(early, 2), sample(late, 2))
    assert told(released(driven)) == [
        (late, 0, [0, 0, 1]),
        (early, 2, [0, 1, 2]),
        (late, 3, [0, 1, 2]),
    ]
    assert told(driven.take("POWER", sample(early, 3))) == [(early, 4, [1, 2, 3])]


def test_a_record_of_several_stations_is_called_again_for_those_that_are_behind() -> None:
    late, early = neighbours(2)
    driven = restarted(2, {slot_of(late): {late: 1}})
    driven.take("POWER", [sample(late, 1), sample(early, 1)], [sample(late, 2), sample(early, 2)])
    assert told(released(driven)) == [(late, 1, [0, 1, 2])]


def test_a_station_that_is_behind_in_another_slot_is_as_done_as_its_slot() -> None:
    driven = restarted(1, {slot_of("S0"): {"S1": 0}})
    assert slot_of("S0") != slot_of("S1")
    driven.take("POWER", sample("S1", 1))
    assert told(released(driven)) == []


def test_a_global_record_held_meanwhile_calls_only_the_stations_that_are_behind() -> None:
    late, early = neighbours(2)
    driven = restarted(3, {slot_of(late): {late: 1}}, inputs=[EVERYONES, OTHER])
    driven.take("OTHER", {"stationId": late, "x": 1}, {"stationId": early, "x": 1})
    taken = driven.take("POWER", *({"power": number} for number in range(1, 5)))
    assert (told(taken), taken.muted) == ([], 2)
    again = released(driven)
    assert told(again) == [
        (late, 1, [0, 1, 2]),
        (late, 2, [1, 2, 3]),
        (late, 3, [2, 3, 4]),
        (early, 3, [2, 3, 4]),
    ]
    assert again.muted == 2


def test_a_dead_letter_is_written_again_only_if_it_was_not() -> None:
    driven = restarted(4, {0: {progress.nobodys(2): 2}})
    taken = driven.take("POWER", *[b"broken"] * 5)
    assert [refused.record.offset for refused in taken.refused] == [2, 4]
    assert driven.part("POWER").progress.pending[0].behind() == {progress.nobodys(n): n for n in (2, 4)}


def test_a_station_that_is_behind_has_no_dead_letter_written_again() -> None:
    station = next(f"S{number}" for number in range(100_000) if slot_of(f"S{number}") == 0)
    driven = restarted(2, {0: {station: 0}})
    taken = driven.take("POWER", b"broken", sample(station, 1), b"broken")
    assert [refused.record.offset for refused in taken.refused] == [2]
    assert told(released(driven)) == [(station, 1, [0, 0, 1])]


@pytest.mark.parametrize(("behind", "passed_on"), [({}, [3]), ({progress.nobodys(1): 1}, [1, 3])])
def test_strays_are_passed_on_again_from_the_first_that_was_not(
    behind: dict[str, int], passed_on: list[int]
) -> None:
    driven = builders.an_engine(inputs=[ALIGNED])
    wrong = (slot_of("S1") + 1) % 64
    driven.part("POWER", wrong).done = progress.Done({wrong: 3}, {wrong: behind})
    taken = driven.take("POWER", *(sample("S1", number) for number in range(4)), partition=wrong)
    assert [stray.record.offset for stray in taken.strays] == passed_on


def test_a_repeated_restart_is_as_exact_as_the_first() -> None:
    """What is under way after a restart is told as it is, and that is what the next one goes by."""
    late, early = neighbours(2)
    records = [sample(name, number) for number in range(1, 4) for name in (late, early)]
    driven = restarted(6, {slot_of(late): {late: 2}})
    driven.take("POWER", *records)
    first, second = released(driven).triggers
    assert (first.offset, second.offset) == (2, 4)
    first.settle()
    part = driven.part("POWER")
    again = restarted(part.progress.position, {slot_of(late): part.progress.pending[slot_of(late)].behind()})
    again.take("POWER", *records)
    assert told(released(again)) == [(late, 4, [1, 2, 3])]
