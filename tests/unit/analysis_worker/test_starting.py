"""Progress, floor, committed offset and reset policy decide where a partition is read from."""

import pytest
from prometheus_client import CollectorRegistry

from analysis_module.spec import AutoOffsetReset
from analysis_worker import starting
from analysis_worker.engine import intake, progress
from analysis_worker.engine.records import TopicPartition
from analysis_worker.kafka.progress_log import Ahead, SlotProgress
from analysis_worker.observability.metrics import WorkerMetrics
from analysis_worker.starting import Start
from tests import builders

PLACE = TopicPartition("POWER", 2)
EARLIEST, LATEST = AutoOffsetReset.EARLIEST, AutoOffsetReset.LATEST


def a_start(committed: int | None = None, reset: AutoOffsetReset = EARLIEST) -> Start:
    """Of a partition that holds the offsets 10 to 99."""
    return Start(PLACE, (10, 100), committed, reset)


def a_progress(offset: int, floor: int | None = None) -> SlotProgress:
    floors = {} if floor is None else {PLACE: floor}
    return SlotProgress(1, "owner", 0, {PLACE: offset}, floors)


ELSEWHERE = SlotProgress(1, "owner", 0, {TopicPartition("OTHER", 0): 5}, {})


@pytest.mark.parametrize(
    ("progress", "committed", "reset", "resume"),
    [
        (a_progress(50), 40, LATEST, 50),
        (None, 40, LATEST, 40),
        (None, None, EARLIEST, 10),
        (None, None, LATEST, 100),
        (ELSEWHERE, 40, EARLIEST, 10),
        (ELSEWHERE, 40, LATEST, 100),
    ],
)
def test_progress_counts_first_then_the_groups_offset_then_the_policy(
    progress: SlotProgress | None, committed: int | None, reset: AutoOffsetReset, resume: int
) -> None:
    assert a_start(committed, reset).resume(progress) == resume


@pytest.mark.parametrize(
    ("progress", "floor"),
    [(None, 10), (a_progress(50, 30), 30), (a_progress(50, 3), 10), (a_progress(50), 50)],
)
def test_a_rebuild_begins_at_the_floor_or_where_the_partition_does(
    progress: SlotProgress | None, floor: int
) -> None:
    assert a_start().floor(progress, 50) == floor


@pytest.mark.parametrize(
    ("offset", "reset", "taken"),
    [
        (10, EARLIEST, 10),
        (100, LATEST, 100),
        (9, LATEST, 10),
        (101, EARLIEST, 10),
        (101, LATEST, 100),
    ],
)
def test_an_offset_that_is_not_held_is_replaced(offset: int, reset: AutoOffsetReset, taken: int) -> None:
    assert a_start(reset=reset).within(offset) == taken


@pytest.mark.parametrize(
    ("lowest", "highest", "skipped", "told"),
    [
        (10, 100, 0, ""),
        (4, 50, 6, "POWER/2: offsets 4 to 9 are no longer held; 6 records are lost"),
        (50, 120, 0, "POWER/2 ends at 100, before offset 120: it was made anew; reading from 10"),
    ],
)
def test_what_is_skipped_or_read_anew_is_counted_and_told(
    lowest: int, highest: int, skipped: int, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    registry = CollectorRegistry()
    a_start().tell(lowest, highest, WorkerMetrics(registry, module="m", owner="o"))
    name = "data_analysis_skipped_offsets_total"
    assert (registry.get_sample_value(name, {"topic": "POWER"}) or 0) == skipped
    assert told in caplog.text
    assert bool(caplog.text) == bool(told)


# -- what is done beyond the first offset that is not


def ahead(offset: int, reached: int, behind: dict[str, int]) -> SlotProgress:
    return SlotProgress(1, "owner", 0, {PLACE: offset}, {}, ahead={PLACE: Ahead(reached, behind)})


def test_what_is_done_ahead_counts_as_done_but_for_the_stations_that_are_behind() -> None:
    held = {1: ahead(50, 80, {"S1": 50, "S2": 70}), 2: a_progress(60)}
    done = a_start().done(held, {1: 50, 2: 60, 3: 10})
    assert done == progress.Done({1: 80, 2: 60, 3: 10}, {1: {"S1": 50, "S2": 70}})


@pytest.mark.parametrize("reached", [50, 100])
def test_ahead_counts_as_far_as_the_partition_reaches(reached: int) -> None:
    assert a_start().done({1: ahead(50, reached, {})}, {1: 50}).before == {1: reached}


def test_ahead_does_not_count_where_the_topic_ends_before_it() -> None:
    """It was made anew: whatever it has is new."""
    assert a_start().done({1: ahead(50, 101, {"S1": 50})}, {1: 50}) == progress.Done({1: 50}, {})


def test_ahead_does_not_count_where_the_topic_begins_after_it() -> None:
    """All that was done is trimmed away, and more: what is there is new."""
    held = {1: ahead(3, 8, {"S1": 3})}
    resume = a_start().within(a_start().resume(held[1]))
    assert a_start().done(held, {1: resume}) == progress.Done({1: 10}, {})


def test_ahead_counts_for_what_is_left_of_it_where_the_topic_begins_within_it() -> None:
    held = {1: ahead(3, 20, {"S1": 3, "S2": 15})}
    done = a_start().done(held, {1: a_start().within(3)})
    assert done == progress.Done({1: 20}, {1: {"S1": 3, "S2": 15}})
    assert not done.has(1, 10, "S1")
    assert done.has(1, 10, "S3")


def test_ahead_in_another_partition_says_nothing_of_this_one() -> None:
    elsewhere = {TopicPartition("OTHER", 0): Ahead(90, {})}
    held = SlotProgress(1, "owner", 0, {PLACE: 50}, {}, ahead=elsewhere)
    assert a_start().done({1: held}, {1: 50}) == progress.Done({1: 50}, {})


def a_part(
    kept: dict[int, int], done: dict[int, int], reset: AutoOffsetReset = EARLIEST
) -> intake.PartitionIntake:
    """The intake of slots that are done, and of which windows were kept, up to these offsets; floor 20."""
    held = {
        slot: SlotProgress(slot, "owner", 0, {PLACE: offset}, {PLACE: 20}) for slot, offset in done.items()
    }
    assembly = builders.HandDriven(
        {"module": "m", "inputs": [{"topic": "POWER", "fields": ["power"], "windowSize": 3}]}
    ).assembly
    return starting.intake_of(
        assembly.topics["POWER"],
        a_start(reset=reset),
        sorted(done),
        held,
        {slot: {PLACE: offset} for slot, offset in kept.items()},
        WorkerMetrics(CollectorRegistry(), module="m", owner="o"),
    )


def test_windows_that_were_kept_are_read_on_from_where_they_end() -> None:
    part = a_part(kept={1: 40, 2: 45}, done={1: 50, 2: 60})
    assert (part.progress.position, part.progress.skip) == (40, {2: 45})
    assert part.done.before == {1: 50, 2: 60}


def test_a_slot_without_kept_windows_is_read_from_its_floor_and_the_others_skip_what_they_have() -> None:
    part = a_part(kept={1: 40}, done={1: 50, 2: 60})
    assert (part.progress.position, part.progress.skip) == (20, {1: 40})


def test_kept_windows_whose_records_are_no_longer_held_are_read_on_from_what_is() -> None:
    part = a_part(kept={1: 5}, done={1: 8})
    assert (part.progress.position, part.progress.skip) == (10, {})


@pytest.mark.parametrize("kept", [90, 140])
def test_of_a_topic_made_anew_nothing_is_skipped_for_windows_kept_of_the_former_one(kept: int) -> None:
    part = a_part(kept={1: kept}, done={1: 150})
    assert (part.progress.position, part.progress.skip) == (10, {})


def test_of_a_topic_made_anew_that_is_read_from_its_end_nothing_is_filled_twice() -> None:
    part = a_part(kept={1: 140}, done={1: 150}, reset=LATEST)
    assert (part.progress.position, part.progress.skip) == (100, {})
