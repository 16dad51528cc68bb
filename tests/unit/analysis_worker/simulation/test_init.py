"""The record of a source and the schedule that sources run on."""

from collections.abc import Iterator

from analysis_module import topics
from analysis_worker import simulation


def every(schedule: simulation.Schedule, period_ms: int, at_ms: int, *, name: str) -> Iterator[int]:
    while True:
        schedule.emit(name, {"at": at_ms}, key=name, at_ms=at_ms)
        at_ms += period_ms
        yield at_ms


def a_schedule() -> simulation.Schedule:
    schedule = simulation.Schedule(lambda at_ms: at_ms)
    schedule.start(every(schedule, 30, 5, name="slow"), 5)
    schedule.start(every(schedule, 10, 0, name="quick"), 0)
    return schedule


def test_a_record_is_compact_utf8_json_without_ascii_escapes() -> None:
    record = simulation.as_record("T", {"stationId": "站1", "lat": None}, key="站1", timestamp_ms=7)
    assert record == simulation.SimulatedRecord(
        "T", "站1".encode(), '{"stationId":"站1","lat":null}'.encode(), 7
    )


def test_a_record_without_a_key_has_none() -> None:
    assert simulation.as_record("T", {}, key=None, timestamp_ms=0).key is None


def test_the_topics_are_the_standard_ones_of_the_catalogue() -> None:
    assert list(simulation.TOPICS) == [topic.name for topic in topics.ALL if topic.standard]


def test_records_come_in_time_order_whichever_process_was_started_first() -> None:
    told = [(record.topic, record.timestamp_ms) for record in a_schedule().run(36)]
    assert told == [("quick", 0), ("slow", 5), ("quick", 10), ("quick", 20), ("quick", 30), ("slow", 35)]


def test_of_processes_due_at_one_time_the_first_started_goes_first() -> None:
    schedule = simulation.Schedule(lambda at_ms: at_ms)
    for name in "cab":
        schedule.start(every(schedule, 10, 0, name=name), 0)
    assert [record.topic for record in schedule.run(10)] == ["c", "a", "b", "c", "a", "b"]


def test_a_run_that_was_left_is_taken_up_without_a_loss() -> None:
    whole, left = a_schedule(), a_schedule()
    first = next(left.run(100))
    assert [first, *left.run(100)] == list(whole.run(100))


def test_a_run_ends_when_its_processes_have_ended() -> None:
    schedule = simulation.Schedule(lambda at_ms: at_ms)
    schedule.start(iter([20, 30]), 10)
    assert list(schedule.run()) == []


def test_timestamps_are_delivery_times() -> None:
    schedule = simulation.Schedule(lambda at_ms: at_ms // 60)
    schedule.start(every(schedule, 60, 0, name="a"), 0)
    assert [record.timestamp_ms for record in schedule.run(120)] == [0, 1, 2]


def test_both_clocks_of_a_pace_are_equal_at_its_start() -> None:
    pace = simulation.Pace(1_000, 60.0, 5.0)
    assert (pace.simulated(1_000), pace.delivered(1_000)) == (1_000, 1_000)


def test_simulated_time_runs_by_the_speedup() -> None:
    assert simulation.Pace(1_000, 60.0, 5.0).simulated(2_000) == 61_000


def test_a_cadence_slower_than_the_cap_is_kept() -> None:
    assert simulation.Pace(0, 60.0, 5.0).period(300) == 300_000


def test_a_cadence_faster_than_the_cap_is_thinned_to_it() -> None:
    assert simulation.Pace(0, 60.0, 5.0).period(1) == 12_000
