"""A feed starts where its slots' progress says, restores windows muted, and lives through what Kafka does."""

import asyncio

import pytest

from analysis_worker import feeding
from analysis_worker.engine.records import TopicPartition
from tests.fakes.kafka import FakeKafka
from tests.unit.analysis_worker.feeding_on_fake import Fed, a_stream, add, merged, progress_of, station_of
from tests.unit.analysis_worker.in_memory import INPUT, SPEC

LATEST = {"kafka": {**SPEC["kafka"], "autoOffsetReset": "latest"}}
PLACE = TopicPartition(INPUT, 0)


@pytest.fixture
def looking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step looks for new topics and partitions."""
    monkeypatch.setattr(feeding, "_MISSING_TOPIC_SECONDS", 0.0)
    monkeypatch.setattr(feeding, "_DISCOVERY_SECONDS", 0.0)


# -- where it starts --------------------------------------------------------------------------------


async def test_without_any_progress_earliest_takes_every_record() -> None:
    async with Fed(a_stream(4)).begun() as fed:
        await fed.caught_up()
    assert fed.outputs == [[0, 0, 0], [0, 0, 1], [0, 1, 2], [1, 2, 3]]


async def test_without_any_progress_latest_fills_windows_and_calls_for_what_comes_only() -> None:
    cluster = a_stream(5)
    async with Fed(cluster, **LATEST).begun() as fed:
        await fed.caught_up()
        assert (fed.outputs, fed.count("muted_total")) == ([], 5)
        add(cluster, 1, first=5)
        await fed.caught_up()
    assert fed.outputs == [[3, 4, 5]]


async def test_without_progress_the_groups_committed_offset_counts() -> None:
    cluster = a_stream(5)
    cluster.commit_as_another("group", PLACE, 3)
    async with Fed(cluster).begun() as fed:
        await fed.caught_up()
    assert fed.outputs == [[1, 2, 3], [2, 3, 4]]


async def test_what_a_worker_committed_to_the_group_is_no_start_for_other_slots() -> None:
    """It is how far that worker's own slots are: others begin where the group stood before."""
    cluster = a_stream(5)
    source = cluster.source()
    await source.start()
    await source.commit({PLACE: 5})
    async with Fed(cluster).begun() as fed:
        await fed.caught_up()
    assert fed.newest == [0, 1, 2, 3, 4]


async def test_progress_counts_more_than_the_groups_offset() -> None:
    cluster = a_stream(5)
    cluster.commit_as_another("group", PLACE, 1)
    async with Fed(cluster, slots=[7]).begun(progress_of(7, 4)) as fed:
        assert fed.part().progress.position == 4


async def test_a_new_partition_of_a_topic_with_progress_is_taken_from_its_beginning() -> None:
    station = station_of(7)
    cluster = a_stream(3, station)
    cluster.add_partitions(INPUT, 2)
    add(cluster, 2, station, first=10, partition=1)
    async with Fed(cluster, slots=[7], **LATEST).begun(progress_of(7, 3)) as fed:
        await fed.caught_up()
    assert fed.newest == [10, 11]


# -- restoring --------------------------------------------------------------------------------------


async def test_records_done_before_are_replayed_into_the_windows_without_a_call() -> None:
    station = station_of(7)
    cluster = a_stream(10, station)
    async with Fed(cluster, slots=[7]).begun(progress_of(7, 8, floor=5)) as fed:
        assert (fed.feed.restoring, fed.part().progress.position) == (True, 5)
        await fed.caught_up()
    assert fed.outputs == [[6, 7, 8], [7, 8, 9]]
    assert fed.count("muted_total") == 3


async def test_live_records_met_while_windows_are_restored_are_held_and_then_taken_in_order() -> None:
    """Partition 1 is restored late: what partition 0 brings meanwhile waits for it."""
    station = station_of(7)
    cluster = FakeKafka()
    cluster.create_topic(INPUT, partitions=2)
    add(cluster, 30, station)
    add(cluster, 5_000, station, first=100, partition=1)
    held = merged(progress_of(7, 10, floor=0), progress_of(7, 5_000, floor=0, partition=1))
    async with Fed(cluster, slots=[7]).begun(held) as fed:
        await fed.feed.step()
        assert fed.feed.restoring
        assert fed.outputs == []
        await fed.caught_up()
    assert fed.newest == list(range(10, 30))
    assert fed.part().held == []


async def test_a_slot_behind_the_others_is_called_for_from_its_own_offset_on() -> None:
    behind, ahead = station_of(1), station_of(2)
    cluster = FakeKafka()
    cluster.create_topic(INPUT)
    for number in range(10):
        add(cluster, 1, behind, first=number)
        add(cluster, 1, ahead, first=100 + number)
    held = [progress_of(1, 6, floor=0), progress_of(2, 16, floor=0)]
    async with Fed(cluster, slots=[1, 2]).begun(*held) as fed:
        await fed.caught_up()
    assert sorted(fed.newest) == [3, 4, 5, 6, 7, 8, 9, 108, 109]
    assert [newest for newest in fed.newest if newest < 100] == list(range(3, 10))


async def test_restoring_gets_past_compaction_and_the_marks_of_transactions() -> None:
    station = station_of(7)
    cluster = a_stream(4, station)
    for _ in range(3):
        cluster.mark(INPUT)
    async with Fed(cluster, slots=[7]).begun(progress_of(7, 7, floor=2)) as fed:
        async with asyncio.timeout(5):
            await fed.live()
        assert fed.part().progress.position == 7
        add(cluster, 1, station, first=4)
        await fed.caught_up()
    assert fed.outputs == [[2, 3, 4]]


async def test_how_far_the_restoring_is_goes_from_0_to_1() -> None:
    cluster = FakeKafka()
    cluster.create_topic(INPUT, partitions=2)
    for partition, count in enumerate((1_000, 5_000)):
        add(cluster, count, station_of(7), partition=partition)
    held = merged(progress_of(7, 1_000, floor=0), progress_of(7, 5_000, floor=0, partition=1))
    async with Fed(cluster, slots=[7]).begun(held) as fed:
        seen = [fed.feed.restore_progress()]
        while fed.feed.restoring:
            await fed.feed.step()
            seen.append(fed.feed.restore_progress())
    assert (seen[0], seen[-1]) == (0.0, 1.0)
    assert seen == sorted(seen)
    assert any(0.3 < progress < 0.9 for progress in seen)


async def test_records_of_other_slots_are_passed_over_and_counted() -> None:
    cluster = a_stream(3, station_of(1))
    add(cluster, 2, station_of(2))
    async with Fed(cluster, slots=[2]).begun() as fed:
        await fed.caught_up()
    assert (fed.newest, fed.count("foreign_total")) == ([0, 1], 3)


# -- offsets that are gone --------------------------------------------------------------------------


async def test_what_retention_took_is_counted_once_and_told_and_the_rest_is_read(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster = a_stream(20, station_of(1))
    cluster.trim(INPUT, 0, 12)
    held = [progress_of(slot, 5) for slot in range(64)]
    async with Fed(cluster).begun(*held) as fed:
        await fed.caught_up()
    assert fed.newest == list(range(12, 20))
    assert fed.count("skipped_offsets_total", topic=INPUT) == 7
    told = [record.getMessage() for record in caplog.records if "no longer held" in record.getMessage()]
    assert told == ["POWER/0: offsets 5 to 11 are no longer held; 7 records are lost to this module"]


async def test_a_floor_that_retention_took_only_shortens_the_replay(caplog: pytest.LogCaptureFixture) -> None:
    station = station_of(7)
    cluster = a_stream(20, station)
    cluster.trim(INPUT, 0, 15)
    async with Fed(cluster, slots=[7]).begun(progress_of(7, 18, floor=3)) as fed:
        await fed.caught_up()
    assert fed.outputs == [[16, 17, 18], [17, 18, 19]]
    assert "no longer held" not in caplog.text


@pytest.mark.parametrize(("reset", "read"), [("earliest", [50, 51, 52]), ("latest", [52])])
async def test_a_topic_made_anew_is_read_by_the_reset_policy_and_that_is_told(
    reset: str, read: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    station = station_of(7)
    cluster = a_stream(9, station)
    kafka = {**SPEC["kafka"], "autoOffsetReset": reset}
    async with Fed(cluster, slots=[7], kafka=kafka).begun(progress_of(7, 9, floor=9)) as fed:
        await fed.live()
        cluster.recreate_topic(INPUT)
        add(cluster, 2, station, first=50)
        await fed.feed.attempt()
        add(cluster, 1, station, first=52)
        await fed.caught_up()
    assert fed.newest == read
    assert "POWER/0 ends at 2, before offset 9: it was made anew" in caplog.text


async def test_a_start_after_a_topic_was_made_anew_is_by_the_reset_policy_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster = a_stream(2, station_of(7))
    async with Fed(cluster, slots=[7]).begun(progress_of(7, 9)) as fed:
        await fed.caught_up()
    assert fed.newest == [0, 1]
    assert "it was made anew; reading from 0" in caplog.text


async def test_retention_that_overtakes_a_reading_feed_is_counted_and_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    station = station_of(7)
    cluster = a_stream(2, station)
    async with Fed(cluster, slots=[7]).begun() as fed:
        await fed.caught_up()
        add(cluster, 8, station, first=2)
        cluster.trim(INPUT, 0, 6)
        await fed.feed.attempt()
        await fed.caught_up()
    assert fed.newest == [0, 1, 6, 7, 8, 9]
    assert fed.count("skipped_offsets_total", topic=INPUT) == 4
    assert "offsets 2 to 5 are no longer held" in caplog.text


async def test_brokers_that_go_away_while_a_new_position_is_looked_for_end_nothing() -> None:
    station = station_of(7)
    cluster = a_stream(2, station)
    async with Fed(cluster, slots=[7]).begun() as fed:
        await fed.caught_up()
        add(cluster, 3, station, first=2)
        cluster.trim(INPUT, 0, 4)
        cluster.fail_next(1, "source.bounds")
        await fed.feed.attempt()
        await fed.feed.attempt()
        await fed.caught_up()
    assert fed.newest == [0, 1, 4]
