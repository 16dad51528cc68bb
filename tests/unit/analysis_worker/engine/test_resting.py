"""Windows of slow topics whose station is not there rest until it is."""

from typing import Any

from analysis_worker.engine import resting, stations, windows
from analysis_worker.engine.records import TopicPartition
from tests import builders

PLACE = TopicPartition("PRICE", 0)
PRICE = {"topic": "PRICE", "fields": ["stationId", "price"], "windowSize": 2, "keepLast": True}
POWER = {"topic": "POWER", "fields": ["stationId", "power"], "windowSize": 2}


def values(head: windows.Head | None) -> list[Any]:
    assert head is not None
    segment, count = head
    return [row.power for row in segment.tail[1]][:count]


def station(station_id: str = "S1", *held: windows.TopicWindow | None) -> stations.Station:
    made = builders.a_station(station_id, sources=2)
    made.windows = [*held, None, None][:2]
    return made


def test_a_window_rests_from_when_its_station_goes_until_it_is_there_again() -> None:
    rest, price = resting.Resting(), builders.a_window([1, 2], 3)
    rest.lay_down(station("S1", builders.a_window([9], 3), price), [1])
    assert len(rest) == 1
    again = station()
    rest.wake(again)
    assert again.windows == [None, price]
    assert values(again.heads[1]) == [1, 2]
    assert again.heads[0] is None
    assert len(rest) == 0


def test_a_station_without_a_slow_window_leaves_nothing() -> None:
    rest = resting.Resting()
    rest.lay_down(station("S1", builders.a_window([9], 3)), [1])
    assert len(rest) == 0


def test_beyond_the_bound_whoever_has_been_gone_for_longest_is_forgotten() -> None:
    rest = resting.Resting(most=2)
    for name in ("S1", "S2", "S1", "S3"):
        rest.lay(name, 0, {0: builders.a_window([1], 3)})
    assert set(rest._windows) == {"S1", "S3"}


def test_slots_that_go_take_their_resting_windows_along() -> None:
    rest = resting.Resting()
    for slot, name in enumerate(("S1", "S2")):
        rest.lay(name, slot, {0: builders.a_window([1], 3)})
    rest.disown([0])
    assert set(rest._windows) == {"S2"}


def test_a_window_of_records_knows_where_they_came_from_and_a_whole_one_starts_it_anew() -> None:
    pieces = [(builders.rows(n), False, PLACE, n) for n in (5, 6)]
    window = resting.rebuilt(builders.readers(), 3, pieces)
    assert (values(window.head), window.origins.floors()) == ([5, 6], {PLACE: 5})
    window = resting.rebuilt(builders.readers(), 3, [*pieces, (builders.rows(1, 2), True, PLACE, 7)])
    assert (values(window.head), window.origins.floors()) == ([1, 2], {PLACE: 7})


def test_resting_windows_follow_a_change_of_the_inputs() -> None:
    driven = builders.an_engine(inputs=[POWER, PRICE], expireAfterSeconds=1)
    for price in (1, 2):
        driven.take("PRICE", {"stationId": "S1", "price": price})
    driven.engine.expire(round(builders.NOW * 1000) + 2_000)
    before = driven.engine.window_bytes()
    assert before > 0
    driven.reconfigure({"module": "module", "inputs": [{**PRICE, "windowSize": 5}, POWER]})
    driven.take("POWER", {"stationId": "S1", "power": 3})
    assert list(driven.module_input()["price_window"])[-2:] == [1, 2]


def test_a_resting_window_whose_topic_is_kept_no_longer_is_dropped() -> None:
    driven = builders.an_engine(inputs=[POWER, PRICE], expireAfterSeconds=1)
    driven.take("PRICE", {"stationId": "S1", "price": 1})
    driven.engine.expire(round(builders.NOW * 1000) + 2_000)
    driven.reconfigure({"module": "module", "inputs": [POWER, {**PRICE, "keepLast": False}]})
    assert len(driven.engine.resting) == 0


def test_what_rests_of_slots_that_are_another_workers_is_forgotten() -> None:
    driven = builders.an_engine(inputs=[POWER, PRICE], expireAfterSeconds=1)
    driven.take("PRICE", {"stationId": "S1", "price": 1})
    driven.engine.expire(round(builders.NOW * 1000) + 2_000)
    assert len(driven.engine.resting) == 1
    driven.engine.disown(driven.slots)
    assert len(driven.engine.resting) == 0
