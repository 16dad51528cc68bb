"""Progress is what is done and acknowledged, per slot, in Kafka before anything else relies on it."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from analysis_worker import committing, progress_writing
from analysis_worker.engine.records import TopicPartition
from analysis_worker.kafka import ports, progress_log
from tests.fakes.kafka import FakeKafka
from tests.unit.analysis_worker.feeding_on_fake import Fed, a_stream, add, progress_of, station_of
from tests.unit.analysis_worker.in_memory import INPUT, SPEC, until

PROGRESS = "module-progress"
PLACE = TopicPartition(INPUT, 0)


class Committed:
    """A fed module and its committer."""

    def __init__(self, fed: Fed) -> None:
        self.fed = fed
        if PROGRESS not in fed.cluster.topics():
            fed.cluster.create_topic(PROGRESS)
        writer = progress_writing.Acknowledged(fed.box, PROGRESS)
        self.committer = committing.Committer(fed.engine, writer, owner="module-0")
        self.committer.epoch = 3

    async def commit(self) -> None:
        await self.committer.commit([self.fed.feed])

    async def written(self) -> dict[int, progress_log.SlotProgress]:
        """The newest progress of every slot, as another worker would find it."""
        source = self.fed.cluster.source()
        await source.start()
        found = await progress_log.load(source, PROGRESS)
        await source.close()
        return found

    async def offset(self, slot: int) -> int:
        return (await self.written())[slot].offsets[PLACE]


@contextlib.asynccontextmanager
async def committed(
    cluster: FakeKafka, *held: progress_log.SlotProgress, **options: Any
) -> AsyncIterator[Committed]:
    async with Fed(cluster, **options).begun(*held) as fed:
        yield Committed(fed)


async def test_a_commit_says_for_each_slot_how_far_it_got_since_which_epoch_and_whose_it_is() -> None:
    async with committed(a_stream(5), slots=range(4)) as made:
        await made.fed.caught_up()
        await made.commit()
        written = await made.written()
    assert set(written) == {0, 1, 2, 3}
    assert {progress.offsets[PLACE] for progress in written.values()} == {5}
    assert {(p.owner, p.epoch, p.released) for p in written.values()} == {("module-0", 3, False)}


async def test_what_a_resource_made_anew_writes_is_not_older_than_what_its_former_self_wrote() -> None:
    former = progress_log.SlotProgress(1, "module-0", 7, {PLACE: 2}, {PLACE: 0}, released=True)
    cluster = a_stream(5)
    cluster.create_topic(PROGRESS)
    cluster.produce(PROGRESS, former.message(PROGRESS).value, key=b"1")
    async with committed(cluster, former, slots=[1]) as made:
        made.committer.epoch = 1
        made.committer.remember({1: former})
        await made.fed.caught_up()
        await made.commit()
        assert await made.offset(1) == 5
        assert (await made.written())[1].epoch == 7


async def test_the_last_commit_stays_old_while_nothing_of_what_is_under_way_gets_further() -> None:
    gate = threading.Event()

    def waiting(station_id: str, module_input: Mapping[str, Any]) -> int:
        gate.wait(10.0)
        return 1

    async with committed(a_stream(3, station_of(1)), slots=[1], callback=waiting) as made:
        await made.fed.live()
        await made.commit()
        first = made.committer.committed_at
        await made.commit()
        assert (made.committer.committed_at, made.committer.commits) == (first, 2)
        gate.set()
        await made.fed.caught_up()
        await made.commit()
        second = made.committer.committed_at
        assert second is not None
        assert first is not None
        assert second > first
        await made.commit()
        assert made.committer.committed_at > second, "nothing is outstanding"


async def test_slots_with_nothing_under_way_make_a_stuck_one_no_newer() -> None:
    gate = threading.Event()

    def waiting(station_id: str, module_input: Mapping[str, Any]) -> int:
        gate.wait(10.0)
        return 1

    async with committed(a_stream(3, station_of(1)), slots=[1, 2, 3], callback=waiting) as made:
        await made.fed.live()
        await made.commit()
        first = made.committer.committed_at
        add(made.fed.cluster, 1, "of no slot here")
        await made.fed.feed.step()
        await made.commit()
        assert made.committer.committed_at == first
        gate.set()
        await made.fed.caught_up()
        await made.commit()
        assert made.committer.committed_at != first


async def test_nothing_passes_an_output_that_is_not_acknowledged() -> None:
    station = station_of(1)
    async with committed(a_stream(3, station), slots=[1, 2]) as made:
        await made.fed.live()
        await until(lambda: not made.fed.box.pending and not made.fed.flow.in_flight, "three outputs")
        gate = made.fed.cluster.hold("sink.send")
        add(made.fed.cluster, 2, station, first=3)
        await made.fed.feed.step()
        commit = asyncio.create_task(made.commit())
        await until(lambda: made.fed.cluster.calls["sink.send"] > 2, "sends are under way")
        gate.set()
        await commit
        assert (await made.offset(1), await made.offset(2)) == (3, 5)
        await made.fed.caught_up()
        await made.commit()
        assert await made.offset(1) == 5


async def test_a_commit_returns_when_kafka_has_it() -> None:
    async with committed(a_stream(1), slots=[1]) as made:
        await made.fed.live()
        gate = made.fed.cluster.hold("sink.send")
        commit = asyncio.create_task(made.commit())
        await until(lambda: made.fed.box.pending, "the record is on its way")
        assert not commit.done()
        assert made.committer.committed_at is None
        gate.set()
        await commit
        assert made.committer.committed_at is not None


async def test_what_has_not_moved_is_not_written_again() -> None:
    async with committed(a_stream(2, station_of(1)), slots=[1, 2]) as made:
        await made.fed.caught_up()
        await made.commit()
        count = len(made.fed.cluster.records(PROGRESS))
        await made.commit()
        assert len(made.fed.cluster.records(PROGRESS)) == count
        assert made.committer.commits == 2


async def test_while_windows_are_restored_nothing_is_committed() -> None:
    cluster = a_stream(5_000, station_of(1))
    held = progress_of(1, 5_000, floor=0)
    async with committed(cluster, held, slots=[1]) as made:
        made.committer.remember({1: held})
        await made.fed.feed.step()
        assert made.fed.feed.restoring
        await made.commit()
        assert cluster.records(PROGRESS) == []


async def test_slots_that_another_feed_still_restores_are_left_out() -> None:
    shared = {"topic": "DAYS", "fields": ["day"], "windowSize": 1, "scope": "Global"}
    cluster = a_stream(5)
    cluster.create_topic("DAYS")
    async with committed(cluster, slots=[1], inputs=[*SPEC["inputs"], shared]) as made:
        await made.fed.caught_up()
        gain = made.fed.make_feed([2], first=False)
        made.fed.engine.own([2])
        made.fed.feed.expect([2])
        await made.committer.commit([made.fed.feed, gain])
        assert set(await made.written()) == {1}


async def test_a_new_slots_start_is_kept_before_a_record_is_taken() -> None:
    cluster = a_stream(5)
    kafka = {**SPEC["kafka"], "autoOffsetReset": "latest"}
    async with committed(cluster, slots=[1, 2], kafka=kafka) as made:
        await made.committer.initial(made.fed.feed)
        written = await made.written()
    assert {slot: progress.offsets for slot, progress in written.items()} == {1: {PLACE: 5}, 2: {PLACE: 5}}
    assert {progress.floors[PLACE] for progress in written.values()} == {0}


async def test_a_start_on_known_progress_writes_nothing_anew() -> None:
    held = progress_of(1, 2)
    async with committed(a_stream(5), held, slots=[1]) as made:
        made.committer.remember({1: held})
        await made.committer.initial(made.fed.feed)
        assert made.fed.cluster.records(PROGRESS) == []


async def test_the_floor_is_the_oldest_offset_that_a_rebuild_of_the_windows_needs() -> None:
    stations = {slot: station_of(slot) for slot in (1, 2)}
    cluster = a_stream(3_000, stations[1])
    add(cluster, 1, stations[2])
    async with committed(cluster, slots=[1, 2, 3]) as made:
        await made.fed.caught_up()
        await made.commit()
        floors = {slot: progress.floors[PLACE] for slot, progress in (await made.written()).items()}
    assert 0 < floors[1] <= 2_997, "its window of 3 holds the last three"
    assert floors[2] <= 3_000
    assert floors[3] == 3_001, "no window, nothing to rebuild"


async def test_a_restart_from_what_was_committed_rebuilds_the_same_windows() -> None:
    stations = [station_of(slot) for slot in (1, 2)]
    cluster = a_stream(0)
    for number in range(200):
        add(cluster, 1, stations[number % 3 == 0], first=number)
    async with committed(cluster, slots=[1, 2]) as made:
        await made.fed.caught_up()
        await made.commit()
        held = await made.written()
        before = list(made.fed.outputs)
    for station in stations:
        add(cluster, 1, station, first=1_000)
    async with Fed(cluster, slots=[1, 2]).begun(*held.values()) as fed:
        await fed.caught_up()
    newest = fed.outputs[len(before) :]
    assert sorted(newest) == [[195, 198, 1_000], [197, 199, 1_000]]


async def test_global_windows_hold_every_slots_floor_back() -> None:
    shared = {"topic": "DAYS", "fields": ["day"], "windowSize": 2, "scope": "Global"}
    cluster = a_stream(5)
    cluster.create_topic("DAYS")
    for day in range(3_000):
        cluster.produce("DAYS", {"day": day})
    async with committed(cluster, slots=[1, 2], inputs=[*SPEC["inputs"], shared]) as made:
        await made.fed.caught_up()
        await made.commit()
        written = await made.written()
    days = TopicPartition("DAYS", 0)
    assert {progress.offsets[days] for progress in written.values()} == {3_000}
    assert all(0 < progress.floors[days] <= 2_998 for progress in written.values())


# -- the group --------------------------------------------------------------------------------------


async def test_the_lowest_of_all_slots_is_committed_to_the_group() -> None:
    station = station_of(1)
    async with committed(a_stream(3, station), slots=[1, 2]) as made:
        await made.fed.caught_up()
        await made.commit()
        assert made.fed.cluster.groups["group"] == {PLACE: 3}


@pytest.mark.parametrize("error", [ports.KafkaUnavailable("away"), ports.KafkaRefused("not permitted")])
async def test_a_group_that_cannot_be_written_is_told_once_and_harms_nothing(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async with committed(a_stream(3), slots=[1]) as made:
        await made.fed.caught_up()
        made.fed.cluster.fail_next(2, "source.commit", error)
        await made.commit()
        await made.commit()
        assert caplog.text.count("kept for lag tools only") == 1
        assert await made.offset(1) == 3
        await made.commit()
        assert made.fed.cluster.groups["group"] == {PLACE: 3}


# -- letting go -------------------------------------------------------------------------------------


async def test_lost_slots_are_released_with_how_far_they_got() -> None:
    async with committed(a_stream(4, station_of(1)), slots=[1, 2]) as made:
        await made.fed.caught_up()
        await made.commit()
        left = made.fed.feed.lose([1])
        assert await made.committer.release(left, [1], 1.0)
        written = await made.written()
        await made.commit()
        assert (await made.written())[1].released, "and stays released"
    assert (written[1].released, written[1].offsets) == (True, {PLACE: 4})
    assert not written[2].released


async def test_a_release_waits_for_what_is_under_way() -> None:
    async with committed(a_stream(2, station_of(1)), slots=[1, 2]) as made:
        await made.fed.live()
        await until(lambda: not made.fed.box.pending and not made.fed.flow.in_flight, "two outputs")
        gate = made.fed.cluster.hold("sink.send")
        add(made.fed.cluster, 2, station_of(1), first=2)
        await made.fed.feed.step()
        left = made.fed.feed.lose([1])
        release = asyncio.create_task(made.committer.release(left, [1], 5.0))
        await asyncio.wait([release], timeout=0.02)
        assert not release.done()
        gate.set()
        assert await release
        assert await made.offset(1) == 4


async def test_a_release_that_takes_too_long_says_how_far_it_got_and_that_it_was_cut_short() -> None:
    station = station_of(1)
    gate = asyncio.Event()

    async def asleep(station_id: str, module_input: Any) -> list[Any]:
        while not gate.is_set():
            await asyncio.sleep(0.002)
        return list(module_input["power_window"])

    async with committed(a_stream(2, station), slots=[1], callback=asleep) as made:
        await made.fed.live()
        left = made.fed.feed.lose([1])
        assert not await made.committer.release(left, [1], 0.02)
        assert await made.offset(1) == 0
        gate.set()
