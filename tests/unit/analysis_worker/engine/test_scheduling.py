"""Which triggers run and when, under the three policies (seed system 5.3)."""

from collections.abc import Sequence

import pytest

from analysis_module.spec import TriggerPolicy
from analysis_worker.engine import layout, progress, scheduling, stations
from analysis_worker.engine.records import TopicPartition
from tests import builders

EVERY, LATEST, INTERVAL = TriggerPolicy.EVERY_RECORD, TriggerPolicy.LATEST, TriggerPolicy.INTERVAL


class Submitting:
    """A scheduler, and triggers with offsets counted up and owed to one progress."""

    def __init__(self, policy: TriggerPolicy, interval_ms: int = 0) -> None:
        self.scheduler = scheduling.Scheduler(policy, interval_ms)
        self.pending = progress.Pending()
        self.stations: dict[str, stations.Station] = {}
        self._batch = stations.Batch(
            layout.layout_of(builders.a_wiring()), TopicPartition("POWER", 0), {0: self.pending}
        )
        self._offset = 0

    def trigger(self, station_id: str) -> stations.Trigger:
        station = self.stations.setdefault(station_id, builders.a_station(station_id))
        made = stations.Trigger(station, self._batch, self._offset, 0)
        self.pending.begin(self._offset)
        self._offset += 1
        return made

    def submit(self, station_ids: str, now_ms: int = 0) -> list[tuple[str, list[int]]]:
        """Triggers of these one-letter stations; the work that starts."""
        return told(self.scheduler.submit([self.trigger(each) for each in station_ids], now_ms))

    def finished(self, station_id: str, now_ms: int = 0) -> tuple[str, list[int]] | None:
        work = self.scheduler.finished(self.stations[station_id], now_ms)
        return told([work])[0] if work else None

    def due(self, now_ms: int) -> list[tuple[str, list[int]]]:
        return told(self.scheduler.due(now_ms))


def told(works: Sequence[scheduling.Work]) -> list[tuple[str, list[int]]]:
    return [(work.station.id, [trigger.offset for trigger in work.triggers]) for work in works]


# -- every record


def test_idle_stations_start_at_once_each_with_its_triggers_in_order() -> None:
    made = Submitting(EVERY)
    assert made.submit("abacab") == [("a", [0, 2, 4]), ("b", [1, 5]), ("c", [3])]
    assert made.scheduler.waiting == 0


def test_a_busy_stations_triggers_wait_for_it() -> None:
    made = Submitting(EVERY)
    made.submit("a")
    assert made.submit("aba") == [("b", [2])]
    assert made.scheduler.waiting == 2
    assert made.finished("a") == ("a", [1, 3])
    assert made.scheduler.waiting == 0
    assert made.finished("a") is None
    assert made.submit("a") == [("a", [4])]


def test_nothing_is_coalesced_under_every_record() -> None:
    made = Submitting(EVERY)
    made.submit("aaa")
    made.submit("aaa")
    assert made.scheduler.coalesced == 0


def test_a_busy_station_comes_back_to_the_queue_after_a_piece_of_work() -> None:
    made = Submitting(EVERY)
    first = made.submit("a" * 150)
    assert first == [("a", list(range(64)))]
    assert made.scheduler.waiting == 86
    assert made.finished("a") == ("a", list(range(64, 128)))
    assert made.finished("a") == ("a", list(range(128, 150)))


# -- latest


def test_latest_runs_the_newest_and_counts_the_others() -> None:
    made = Submitting(LATEST)
    assert made.submit("aab") == [("a", [1]), ("b", [2])]
    assert made.submit("aaa") == []
    assert made.scheduler.coalesced == 3
    assert made.scheduler.waiting == 1
    assert made.finished("a") == ("a", [5])
    assert made.finished("a") is None


def test_the_output_of_the_newest_stands_for_what_it_covers() -> None:
    made = Submitting(LATEST)
    works = made.scheduler.submit([made.trigger("a") for _ in range(3)], 0)
    works[0].triggers[0].settle()
    assert made.pending == {}


# -- interval


def test_an_interval_starts_at_once_and_then_once_each_interval() -> None:
    made = Submitting(INTERVAL, 1000)
    assert made.submit("a", 100) == [("a", [0])]
    assert made.finished("a", 150) is None
    assert made.submit("aa", 200) == []
    assert made.scheduler.wake_at == 1100
    assert made.due(1099) == []
    assert made.due(1100) == [("a", [2])]
    assert made.scheduler.coalesced == 1
    assert made.scheduler.wake_at is None


def test_a_callback_longer_than_the_interval_is_followed_at_once() -> None:
    made = Submitting(INTERVAL, 1000)
    made.submit("a", 0)
    made.submit("a", 10)
    assert made.due(1000) == []
    assert made.finished("a", 5000) == ("a", [1])


def test_an_alarm_that_comes_late_starts_nothing_beside_what_runs() -> None:
    made = Submitting(INTERVAL, 1000)
    made.submit("a", 0)
    made.finished("a", 1)
    assert made.submit("a", 500) == []
    assert made.submit("a", 1000) == [("a", [2])]
    assert made.submit("a", 2000) == []
    assert made.due(2000) == []
    assert made.finished("a", 2000) == ("a", [3])


def test_many_triggers_of_a_sleeping_station_cost_one_alarm() -> None:
    made = Submitting(INTERVAL, 1000)
    made.submit("a", 0)
    made.finished("a", 1)
    for now_ms in range(2, 900):
        made.submit("a", now_ms)
    assert len(made.scheduler._due) == 1
    assert made.due(1000) == [("a", [898])]
    assert made.scheduler.coalesced == 897


def test_without_a_record_an_interval_starts_nothing() -> None:
    made = Submitting(INTERVAL, 1000)
    made.submit("a", 0)
    made.finished("a", 1)
    assert made.scheduler.wake_at is None
    assert made.due(10_000) == []


def test_stations_sleep_each_on_its_own() -> None:
    made = Submitting(INTERVAL, 1000)
    made.submit("a", 0)
    made.submit("b", 400)
    made.finished("a", 1)
    made.finished("b", 401)
    made.submit("ab", 500)
    assert made.due(1000) == [("a", [2])]
    assert made.scheduler.wake_at == 1400
    assert made.due(1400) == [("b", [3])]


# -- changes while running


@pytest.mark.parametrize("policy", [EVERY, LATEST])
def test_what_an_interval_held_back_starts_when_there_is_none_any_more(policy: TriggerPolicy) -> None:
    made = Submitting(INTERVAL, 1_000_000)
    made.submit("ab", 0)
    for station in "ab":
        made.finished(station, 1)
    assert made.submit("ab", 2) == []
    made.submit("c", 2)
    assert told(made.scheduler.follow(policy, 0, 3)) == [("a", [2]), ("b", [3])]
    assert (made.scheduler.wake_at, made.scheduler.waiting) == (None, 0)
    assert made.finished("a", 4) is None


def test_a_shorter_interval_holds_for_what_waits_and_a_longer_one_from_the_next_on() -> None:
    made = Submitting(INTERVAL, 1_000)
    made.submit("a", 0)
    made.finished("a", 1)
    made.submit("a", 2)
    assert told(made.scheduler.follow(INTERVAL, 100, 3)) == []
    assert made.scheduler.wake_at == 103
    assert told(made.scheduler.follow(INTERVAL, 5_000, 50)) == []
    assert made.due(103) == [("a", [1])]
    made.finished("a", 104)
    assert made.submit("a", 105) == []
    assert made.scheduler.wake_at == 5_103


def test_what_runs_when_the_policy_changes_goes_on_and_its_station_follows_the_new_one() -> None:
    made = Submitting(EVERY)
    made.submit("a", 0)
    made.submit("aa", 1)
    assert told(made.scheduler.follow(LATEST, 0, 2)) == []
    assert made.submit("a", 3) == []
    assert made.finished("a", 4) == ("a", [1, 3])
    assert made.scheduler.coalesced == 1


def test_dropped_triggers_no_longer_wait() -> None:
    made = Submitting(EVERY)
    made.submit("a")
    made.submit("aab")
    dropped = made.scheduler.drop(made.stations["a"])
    assert [trigger.offset for trigger in dropped] == [1, 2]
    assert made.scheduler.waiting == 0
    assert made.finished("a") is None
