"""What transactions promise, on the fake and on real brokers alike: all at once, by one writer per id."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping

import pytest

from analysis_worker.engine.records import TopicPartition
from analysis_worker.kafka import ports, progress_log
from tests.contract import kafka_clusters
from tests.contract.kafka_clusters import Cluster, polled, started
from tests.infrastructure import kafka_tools


@contextlib.asynccontextmanager
async def transacting(cluster: Cluster, transactional_id: str = "") -> AsyncIterator[ports.TransactionalSink]:
    """A connected sink of this id, or of one that nobody else has."""
    sink = cluster.transactional_sink(transactional_id or kafka_tools.unique_name("id"))
    async with started(sink):
        yield sink


async def send(sink: ports.Sink, topic: str, *values: bytes, partition: int = 0) -> None:
    """One batch of these values."""
    assert await sink.send(topic, partition, [ports.Message(topic, None, v) for v in values]) == len(values)


async def nothing_comes(source: ports.Source) -> None:
    """Several fetches bring no record."""
    for _ in range(3):
        assert await source.poll(wait_seconds=0.2, most=100) == {}


async def values(source: ports.Source, count: int) -> dict[TopicPartition, list[bytes | None]]:
    """The values of so many records, per partition."""
    return {place: [r.value for r in records] for place, records in (await polled(source, count)).items()}


async def until_position(source: ports.Source, place: TopicPartition, offset: int) -> None:
    """Poll until the next record would be this one or a later one."""

    async def there() -> bool:
        assert await source.poll(wait_seconds=0.1, most=100) == {}
        return await source.position(place) >= offset

    await kafka_clusters.settled(there, f"the position of {place} is past {offset}")


# -- visible at once, or never ----------------------------------------------------------------------


async def test_what_is_sent_is_not_polled_before_the_commit_and_is_after_it(
    cluster: Cluster, source: ports.Source
) -> None:
    topic = cluster.create()
    place = TopicPartition(topic, 0)
    await source.assign({place: 0})
    async with transacting(cluster) as sink:
        await send(sink, topic, b"0", b"1")
        await nothing_comes(source)
        await sink.commit()
        assert await values(source, 2) == {place: [b"0", b"1"]}


async def test_what_others_write_behind_an_open_transaction_comes_after_its_end_and_in_order(
    cluster: Cluster, source: ports.Source
) -> None:
    topic = cluster.create()
    place = TopicPartition(topic, 0)
    cluster.write(topic, [b"before"])
    await source.assign({place: 0})
    async with transacting(cluster) as sink:
        await send(sink, topic, b"in it")
        cluster.write(topic, [b"behind it"])
        assert await values(source, 1) == {place: [b"before"]}
        await nothing_comes(source)
        await sink.commit()
        assert await values(source, 2) == {place: [b"in it", b"behind it"]}


async def test_batches_to_several_partitions_and_topics_become_visible_together(
    cluster: Cluster, source: ports.Source
) -> None:
    one, three = cluster.create(), cluster.create(partitions=3)
    places = [TopicPartition(one, 0), *(TopicPartition(three, number) for number in range(3))]
    await source.assign(dict.fromkeys(places, 0))
    async with transacting(cluster) as sink:
        for turn in (b"a", b"b"):
            for place in places:
                await send(sink, place.topic, turn, partition=place.partition)
        await nothing_comes(source)
        await sink.commit()
        assert await values(source, 8) == {place: [b"a", b"b"] for place in places}


async def test_partitions_that_are_first_written_side_by_side_are_of_one_transaction(
    cluster: Cluster, source: ports.Source
) -> None:
    topic = cluster.create(partitions=4)
    places = [TopicPartition(topic, number) for number in range(4)]
    await source.assign(dict.fromkeys(places, 0))
    async with transacting(cluster) as sink:
        await asyncio.gather(*(send(sink, topic, b"x", partition=number) for number in range(4)))
        await nothing_comes(source)
        await sink.commit()
        assert await values(source, 4) == {place: [b"x"] for place in places}


async def test_a_close_gives_up_what_was_sent_and_readers_get_past_it(
    cluster: Cluster, source: ports.Source
) -> None:
    topic = cluster.create()
    place = TopicPartition(topic, 0)
    async with transacting(cluster) as sink:
        await send(sink, topic, b"0", b"1", b"2")
    await source.assign({place: 0})
    await until_position(source, place, 4)
    assert await source.bounds([place]) == {place: (0, 4)}
    cluster.write(topic, [b"after"])
    found = (await polled(source, 1))[place]
    assert [(record.offset, record.value) for record in found] == [(4, b"after")]


async def test_commits_are_read_in_the_order_in_which_they_were_made(
    cluster: Cluster, source: ports.Source
) -> None:
    topic = cluster.create()
    place = TopicPartition(topic, 0)
    async with transacting(cluster) as sink:
        for number in range(5):
            await send(sink, topic, b"%d" % number, b"%d+" % number)
            await sink.commit()
    await source.assign({place: 0})
    expected = [value for number in range(5) for value in (b"%d" % number, b"%d+" % number)]
    assert await values(source, 10) == {place: expected}


async def test_bounds_end_before_an_open_transaction_and_the_end_as_of_a_fetch_behind_it(
    cluster: Cluster, source: ports.Source
) -> None:
    topic = cluster.create()
    place = TopicPartition(topic, 0)
    cluster.write(topic, [b"0", b"1"])
    await source.assign({place: 0})
    async with transacting(cluster) as sink:
        await send(sink, topic, b"2", b"3", b"4")
        assert await source.bounds([place]) == {place: (0, 2)}
        await polled(source, 2)

        async def seen() -> bool:
            await source.poll(wait_seconds=0.1, most=10)
            return source.end_offset(place) == 5

        await kafka_clusters.settled(seen, "the end with what is open")
        assert await source.position(place) == 2
        await sink.commit()
        assert await source.bounds([place]) == {place: (0, 6)}


async def test_the_end_as_of_a_fetch_is_unknown_anew_after_another_assignment(
    cluster: Cluster, source: ports.Source
) -> None:
    topic = cluster.create()
    place = TopicPartition(topic, 0)
    cluster.write(topic, [b"0"])
    await source.assign({place: 0})
    await polled(source, 1)
    assert source.end_offset(place) == 1
    await source.assign({place: 0})
    assert source.end_offset(place) is None


async def test_a_commit_of_nothing_costs_nothing_and_transactions_follow_each_other(
    cluster: Cluster, source: ports.Source
) -> None:
    topic = cluster.create()
    place = TopicPartition(topic, 0)
    async with transacting(cluster) as sink:
        await sink.commit()
        await send(sink, topic, b"first")
        await sink.commit()
        await sink.commit()
        await send(sink, topic, b"second")
        await sink.commit()
    await source.assign({place: 0})
    found = (await polled(source, 2))[place]
    assert [(record.offset, record.value) for record in found] == [(0, b"first"), (2, b"second")]
    assert await source.bounds([place]) == {place: (0, 4)}, "two records, two markers"


async def test_after_a_record_too_large_its_partition_takes_no_more_by_this_sink_and_the_rest_is_committed(
    cluster: Cluster, source: ports.Source
) -> None:
    topic = cluster.create(partitions=2)
    places = [TopicPartition(topic, number) for number in range(2)]
    async with transacting(cluster) as sink:
        await send(sink, topic, b"small")
        with pytest.raises(ports.KafkaRefused):
            await sink.send(topic, 0, [ports.Message(topic, None, b"x" * 2_000_000)])
        for _ in range(2):  # its number in the producer's sequence is missing
            with pytest.raises(ports.KafkaUnavailable):
                await send(sink, topic, b"after a gap")
        await send(sink, topic, b"elsewhere", partition=1)
        await sink.commit()
    await source.assign(dict.fromkeys(places, 0))
    assert await values(source, 2) == {places[0]: [b"small"], places[1]: [b"elsewhere"]}


# -- one writer per id ------------------------------------------------------------------------------


async def test_a_second_sink_of_an_id_bars_the_first_and_gives_up_what_that_has_open(
    cluster: Cluster, source: ports.Source
) -> None:
    topic, name = cluster.create(), kafka_tools.unique_name("id")
    place = TopicPartition(topic, 0)
    await source.assign({place: 0})
    async with transacting(cluster, name) as first:
        await send(first, topic, b"given up")
        async with transacting(cluster, name) as second:
            with pytest.raises(ports.KafkaUnavailable):
                await first.send(topic, 0, [ports.Message(topic, None, b"barred")])
            with pytest.raises(ports.KafkaUnavailable):
                await first.commit()
            await send(second, topic, b"the second's")
            await second.commit()
            assert await values(source, 1) == {place: [b"the second's"]}
    await nothing_comes(source)


async def test_a_barred_sink_cannot_commit_what_it_has_open(cluster: Cluster, source: ports.Source) -> None:
    topic, name = cluster.create(), kafka_tools.unique_name("id")
    place = TopicPartition(topic, 0)
    await source.assign({place: 0})
    async with transacting(cluster, name) as first:
        await send(first, topic, b"given up")
        async with transacting(cluster, name):
            with pytest.raises(ports.KafkaUnavailable):
                await first.commit()
            await until_position(source, place, 2)


async def test_a_barred_sink_still_counts_a_topics_partitions(cluster: Cluster) -> None:
    """It is told that it is barred by what it writes, and only by that."""
    name = kafka_tools.unique_name("id")
    async with transacting(cluster, name) as first, transacting(cluster, name):
        assert await first.partitions(cluster.create(partitions=3)) == 3


async def test_a_close_of_a_barred_sink_harms_nothing_of_the_second_one(
    cluster: Cluster, source: ports.Source
) -> None:
    topic, name = cluster.create(), kafka_tools.unique_name("id")
    place = TopicPartition(topic, 0)
    first = cluster.transactional_sink(name)
    await first.start()
    await send(first, topic, b"given up")
    async with transacting(cluster, name) as second:
        await send(second, topic, b"the second's")
        await first.close()
        await second.commit()
    await source.assign({place: 0})
    assert await values(source, 1) == {place: [b"the second's"]}


async def test_two_ids_do_not_disturb_each_other(cluster: Cluster, source: ports.Source) -> None:
    topic = cluster.create(partitions=2)
    mine, both = TopicPartition(topic, 0), TopicPartition(topic, 1)
    await source.assign({mine: 0, both: 0})
    async with transacting(cluster) as one, transacting(cluster) as other:
        await send(one, topic, b"one")
        await send(one, topic, b"one", partition=1)
        await send(other, topic, b"other", partition=1)
        await one.commit()
        assert await values(source, 2) == {mine: [b"one"], both: [b"one"]}
        await nothing_comes(source)
        await other.commit()
        assert await values(source, 1) == {both: [b"other"]}


# -- the progress topic -----------------------------------------------------------------------------


def a_progress(slot: int, offset: int) -> progress_log.SlotProgress:
    return progress_log.SlotProgress(slot, "module-0", 1, {TopicPartition("POWER", 0): offset}, {})


def offsets(held: Mapping[int, progress_log.SlotProgress]) -> dict[int, int]:
    return {slot: next(iter(progress.offsets.values())) for slot, progress in held.items()}


async def write(sink: ports.Sink, topic: str, *entries: progress_log.SlotProgress) -> None:
    await sink.send(topic, 0, [entry.message(topic) for entry in entries])


async def test_a_load_waits_for_an_open_transaction_and_sees_what_was_committed_after_its_begin(
    cluster: Cluster, source: ports.Source
) -> None:
    topic = cluster.create()
    async with transacting(cluster) as stuck, transacting(cluster) as other:
        await write(other, topic, a_progress(1, 10), a_progress(2, 10))
        await other.commit()
        await write(stuck, topic, a_progress(1, 11))
        await write(other, topic, a_progress(2, 12))
        await other.commit()
        async with asyncio.timeout(10):
            assert offsets(await progress_log.load(source, topic)) == {1: 10, 2: 10}, "it does not wait"
        loading = asyncio.create_task(progress_log.load(source, topic, transactional=True))
        await asyncio.wait([loading], timeout=0.7)
        assert not loading.done()
        await stuck.commit()
        async with asyncio.timeout(10):
            assert offsets(await loading) == {1: 11, 2: 12}


async def test_a_load_that_waits_passes_over_what_is_given_up(cluster: Cluster, source: ports.Source) -> None:
    topic = cluster.create()
    async with transacting(cluster) as other:
        await write(other, topic, a_progress(1, 10))
        await other.commit()
        async with transacting(cluster) as stuck:
            await write(stuck, topic, a_progress(1, 11))
            loading = asyncio.create_task(progress_log.load(source, topic, transactional=True))
            await asyncio.wait([loading], timeout=0.5)
            assert not loading.done()
        async with asyncio.timeout(10):
            assert offsets(await loading) == {1: 10}


async def test_a_load_of_an_empty_topic_that_waits_for_transactions_ends(
    cluster: Cluster, source: ports.Source
) -> None:
    async with asyncio.timeout(10):
        assert await progress_log.load(source, cluster.create(), transactional=True) == {}
