"""What a feed takes over from another feed, or reads on by another connection, is taken once and whole."""

import contextlib
from collections.abc import AsyncIterator

import pytest

from analysis_worker import feeding
from analysis_worker.engine.records import TopicPartition
from analysis_worker.kafka import ports
from tests.unit.analysis_worker.feeding_on_fake import Fed, a_stream, add, progress_of, station_of
from tests.unit.analysis_worker.in_memory import INPUT

PLACE = TopicPartition(INPUT, 0)


# -- slots from another feed ------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def overtaken() -> AsyncIterator[Fed]:
    """A feed of slot 1 at offset 5, and slot 2 just taken over from one that was at offset 8."""
    async with Fed(a_stream(5, station_of(1)), slots=[1]).begun() as fed:
        await fed.caught_up()
        gain = fed.make_feed([2], first=False)
        fed.engine.own({2})
        fed.feed.expect([2])
        await gain.begin({})
        add(fed.cluster, 3, station_of(2), first=10)
        while gain.restoring or gain.parts[PLACE].progress.position < 8:
            await gain.step()
        assert fed.feed.take_over(gain)
        await gain.close()
        yield fed


async def test_slots_lost_before_the_feed_has_come_as_far_as_they_were_brought_are_done_that_far() -> None:
    async with overtaken() as fed:
        assert fed.part().progress.position == 5
        reached, _ = fed.feed.lose([2])[PLACE][2]
        assert reached == 8


async def test_progress_of_slots_is_how_far_they_were_brought_though_the_partition_is_behind() -> None:
    async with overtaken() as fed:
        assert fed.part().progress.reached(1) == 5
        assert fed.part().progress.reached(2) == 8
        await fed.caught_up()
        assert (fed.part().progress.next_offset(1), fed.part().progress.next_offset(2)) == (8, 8)
    assert fed.newest == [0, 1, 2, 3, 4, 10, 11, 12], "and nothing was taken twice"


async def test_of_a_topic_made_anew_nothing_counts_as_brought_by_another_feed() -> None:
    async with overtaken() as fed:
        fed.cluster.recreate_topic(INPUT)
        add(fed.cluster, 2, station_of(2), first=50)
        await fed.feed.attempt()
        await fed.caught_up()
    assert fed.newest[-2:] == [50, 51]


async def test_retention_that_overtakes_the_feed_doubles_nothing_that_was_brought_by_another() -> None:
    async with overtaken() as fed:
        fed.cluster.trim(INPUT, 0, 6)
        await fed.feed.attempt()
        await fed.caught_up()
    assert fed.newest == [0, 1, 2, 3, 4, 10, 11, 12]


# -- another connection -----------------------------------------------------------------------------


async def a_source(fed: Fed) -> ports.Source:
    """Another one, connected."""
    source = fed.cluster.source()
    await source.start()
    return source


async def test_another_source_reads_on_where_the_former_stopped_and_that_is_closed() -> None:
    cluster = a_stream(3, station_of(7))
    async with Fed(cluster, slots=[7]).begun() as fed:
        await fed.caught_up()
        former, fresh = fed.feed.source, await a_source(fed)
        add(cluster, 3, station_of(7), first=3)
        changed = fed.feed.renew(fresh)
        assert fed.feed.source is former, "until the next step"
        assert not changed.is_set()
        await fed.feed.step()
        assert changed.is_set()
        assert fed.feed.source is fresh
        assert [source.started for source in cluster.sources[-2:]] == [False, True]
        await fed.caught_up()
    assert fed.newest == list(range(6))


async def test_another_source_in_the_midst_of_restoring_restores_the_rest() -> None:
    cluster = a_stream(400, station_of(7))
    async with Fed(cluster, slots=[7]).begun(progress_of(7, 390, floor=0)) as fed:
        fed.feed._most = 50
        while fed.part().progress.position < 200:
            await fed.feed.step()
        fed.feed.renew(await a_source(fed))
        await fed.caught_up()
        assert fed.count("muted_total") == 390
    assert fed.newest == list(range(390, 400))


async def test_an_assignment_that_fails_right_after_is_made_up_for() -> None:
    cluster = a_stream(3, station_of(7))
    async with Fed(cluster, slots=[7]).begun() as fed:
        await fed.caught_up()
        changed = fed.feed.renew(await a_source(fed))
        cluster.fail_next(1, "source.assign")
        add(cluster, 3, station_of(7), first=3)
        with pytest.raises(ports.KafkaUnavailable):
            await fed.feed.step()
        assert changed.is_set()
        await fed.caught_up()
    assert fed.newest == list(range(6))


async def test_a_feed_that_is_closed_closes_the_source_that_waits_for_its_place_too() -> None:
    cluster = a_stream(3, station_of(7))
    async with Fed(cluster, slots=[7]).begun() as fed:
        changed = fed.feed.renew(await a_source(fed))
        await fed.feed.close()
        assert changed.is_set()
        assert [source.started for source in cluster.sources] == [False, False]
        assert fed.feed.closed


async def test_a_connection_that_cannot_be_made_anew_leaves_the_one_there_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feeding, "_DISCOVERY_SECONDS", 0.0)
    monkeypatch.setattr(feeding, "_MISSING_TOPIC_SECONDS", 0.0)
    cluster = a_stream(1, station_of(7))
    async with Fed(cluster, slots=[7]).begun() as fed:
        await fed.caught_up()
        cluster.sources[-1].paused.add(PLACE)  # as if the client had forgotten it
        add(cluster, 2, station_of(7), first=1)
        cluster.fail_next(2, "source.start")
        for _ in range(12):
            await fed.feed.attempt()
        await fed.caught_up()
    assert fed.newest == [0, 1, 2]
