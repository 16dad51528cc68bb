"""What the ports promise, on the fake and on real brokers alike, so that other tests may believe the fake."""

import time

import pytest

from analysis_worker.engine.records import TopicPartition
from analysis_worker.kafka import ports
from tests.contract import kafka_clusters
from tests.contract.kafka_clusters import BOUND_SECONDS, Cluster, polled, started
from tests.infrastructure import kafka_tools

# -- Source -----------------------------------------------------------------------------------------


async def test_partitions_counts_those_of_each_topic_and_leaves_missing_topics_out(
    cluster: Cluster, source: ports.Source
) -> None:
    one, three = cluster.create(), cluster.create(partitions=3)
    found = await source.partitions([one, three, "nobody-made-this"])
    assert found == {one: 1, three: 3}


async def test_a_topic_made_after_the_start_is_found(cluster: Cluster, source: ports.Source) -> None:
    assert await source.partitions(["x"]) == {}
    late = cluster.create(partitions=2)
    assert await source.partitions([late]) == {late: 2}


async def test_bounds_are_the_first_offset_held_and_the_one_after_the_last(
    cluster: Cluster, source: ports.Source
) -> None:
    topic = cluster.create(partitions=2)
    cluster.write(topic, [b"0", b"1", b"2"])
    assert await source.bounds([TopicPartition(topic, 0), TopicPartition(topic, 1)]) == {
        TopicPartition(topic, 0): (0, 3),
        TopicPartition(topic, 1): (0, 0),
    }
    cluster.trim(topic, before=2)
    assert await source.bounds([TopicPartition(topic, 0)]) == {TopicPartition(topic, 0): (2, 3)}


async def test_bounds_of_nothing_are_nothing(source: ports.Source) -> None:
    assert await source.bounds([]) == {}


async def test_poll_brings_the_assigned_partitions_records_from_their_offsets_on_in_order(
    cluster: Cluster, source: ports.Source
) -> None:
    topic = cluster.create(partitions=3)
    for partition in range(3):
        cluster.write(topic, [b"0", b"1", b"2", b"3"], partition)
    await source.assign({TopicPartition(topic, 0): 2, TopicPartition(topic, 1): 0})
    found = await polled(source, 6)
    assert {place.partition: [r.value for r in records] for place, records in found.items()} == {
        0: [b"2", b"3"],
        1: [b"0", b"1", b"2", b"3"],
    }
    assert [record.offset for record in found[TopicPartition(topic, 1)]] == [0, 1, 2, 3]


async def test_poll_brings_no_more_than_it_is_asked_for_and_the_rest_next_time(
    cluster: Cluster, source: ports.Source
) -> None:
    topic = cluster.create(partitions=2)
    for partition in range(2):
        cluster.write(topic, [b"x"] * 5, partition)
    await source.assign({TopicPartition(topic, 0): 0, TopicPartition(topic, 1): 0})
    total = 0
    while total < 10:
        count = sum(map(len, (await source.poll(wait_seconds=2, most=3)).values()))
        assert 0 < count <= 3
        total += count


async def test_poll_without_records_comes_back_empty_when_its_time_is_up(
    cluster: Cluster, source: ports.Source
) -> None:
    topic = cluster.create()
    await source.assign({TopicPartition(topic, 0): 0})
    await source.poll(wait_seconds=0.5, most=10)
    began = time.monotonic()
    assert await source.poll(wait_seconds=0.2, most=10) == {}
    assert 0.15 < time.monotonic() - began < 1.5


async def test_poll_of_no_partition_at_all_is_empty(source: ports.Source) -> None:
    await source.assign({})
    assert await source.poll(wait_seconds=0.05, most=10) == {}


async def test_position_is_the_offset_after_what_was_polled(cluster: Cluster, source: ports.Source) -> None:
    topic = cluster.create()
    cluster.write(topic, [b"0", b"1", b"2"])
    place = TopicPartition(topic, 0)
    await source.assign({place: 1})
    assert await source.position(place) == 1
    await polled(source, 2)
    assert await source.position(place) == 3


async def test_position_gets_past_offsets_that_have_no_record(cluster: Cluster, source: ports.Source) -> None:
    topic = cluster.create()
    place = TopicPartition(topic, 0)
    cluster.write_transaction(topic, b"in a transaction")
    await source.assign({place: 0})
    found = await polled(source, 1)
    assert [record.value for record in found[place]] == [b"in a transaction"]

    async def at_the_end() -> bool:
        await source.poll(wait_seconds=0.1, most=10)
        return await source.position(place) == 2

    await kafka_clusters.settled(at_the_end, "the position is past the marker")
    assert (await source.bounds([place]))[place] == (0, 2)
    assert source.end_offset(place) == 2


async def test_a_position_between_records_is_no_error(cluster: Cluster, source: ports.Source) -> None:
    topic = cluster.create()
    cluster.write_transaction(topic, b"first")
    cluster.write(topic, [b"second"])
    await source.assign({TopicPartition(topic, 0): 1})
    found = await polled(source, 1)
    assert [(r.offset, r.value) for r in found[TopicPartition(topic, 0)]] == [(2, b"second")]


async def test_end_offset_is_unknown_before_a_fetch_and_then_the_partitions_end(
    cluster: Cluster, source: ports.Source
) -> None:
    topic = cluster.create()
    cluster.write(topic, [b"0", b"1", b"2"])
    place = TopicPartition(topic, 0)
    assert source.end_offset(place) is None
    await source.assign({place: 0})
    await polled(source, 3)
    assert source.end_offset(place) == 3


async def test_a_paused_partition_brings_nothing_until_it_is_resumed(
    cluster: Cluster, source: ports.Source
) -> None:
    topic = cluster.create(partitions=2)
    held, free = TopicPartition(topic, 0), TopicPartition(topic, 1)
    await source.assign({held: 0, free: 0})
    source.pause([held])
    for partition in range(2):
        cluster.write(topic, [b"x"] * 3, partition)
    assert set(await polled(source, 3)) == {free}
    assert await source.poll(wait_seconds=0.3, most=10) == {}
    source.resume([held])
    assert [record.offset for record in (await polled(source, 3))[held]] == [0, 1, 2]


async def test_records_fetched_ahead_of_a_pause_wait_for_the_resume(
    cluster: Cluster, source: ports.Source
) -> None:
    topic = cluster.create()
    cluster.write(topic, [b"x"] * 10)
    place = TopicPartition(topic, 0)
    await source.assign({place: 0})
    first = (await polled(source, 1))[place]
    source.pause([place])
    assert await source.poll(wait_seconds=0.2, most=100) == {}
    source.resume([place])
    rest = await polled(source, 10 - len(first)) if len(first) < 10 else {place: []}
    assert [record.offset for record in [*first, *rest[place]]] == list(range(10))


async def test_a_new_assignment_reads_from_its_own_offsets_and_nothing_is_paused(
    cluster: Cluster, source: ports.Source
) -> None:
    topic = cluster.create(partitions=2)
    for partition in range(2):
        cluster.write(topic, [b"0", b"1", b"2"], partition)
    first, second = TopicPartition(topic, 0), TopicPartition(topic, 1)
    await source.assign({first: 0, second: 0})
    await polled(source, 1)
    source.pause([first])
    await source.assign({first: 1})
    found = await polled(source, 2)
    assert {place: [r.offset for r in records] for place, records in found.items()} == {first: [1, 2]}


async def test_an_offset_before_the_first_one_held_is_out_of_range(
    cluster: Cluster, source: ports.Source
) -> None:
    topic = cluster.create()
    cluster.write(topic, [b"x"] * 5)
    cluster.trim(topic, before=3)
    place = TopicPartition(topic, 0)
    await source.assign({place: 1})
    with pytest.raises(ports.OffsetsOutOfRange) as raised:
        await polled(source, 1)
    assert raised.value.positions == {place: 1}
    await source.assign({place: 3})
    assert [record.offset for record in (await polled(source, 2))[place]] == [3, 4]


async def test_an_offset_after_the_end_is_out_of_range(cluster: Cluster, source: ports.Source) -> None:
    topic = cluster.create()
    cluster.write(topic, [b"x"] * 2)
    place = TopicPartition(topic, 0)
    await source.assign({place: 7})
    with pytest.raises(ports.OffsetsOutOfRange) as raised:
        await polled(source, 1)
    assert raised.value.positions == {place: 7}


async def test_committed_is_where_the_group_stood_and_partitions_without_an_offset_are_left_out(
    cluster: Cluster,
) -> None:
    topic, group = cluster.create(partitions=2), kafka_tools.unique_name("group")
    first, second = TopicPartition(topic, 0), TopicPartition(topic, 1)
    cluster.commit_as_another(group, first, 4)
    source, other = cluster.source(group), cluster.source(kafka_tools.unique_name("other"))
    async with started(source), started(other):
        assert await source.committed([first, second]) == {first: 4}
        assert await other.committed([first]) == {}
        assert await source.committed([]) == {}


async def test_a_commit_is_for_lag_tools_and_is_not_taken_for_where_the_group_stood(
    cluster: Cluster,
) -> None:
    topic, group = cluster.create(partitions=2), kafka_tools.unique_name("group")
    old, new = TopicPartition(topic, 0), TopicPartition(topic, 1)
    cluster.commit_as_another(group, old, 4)
    for offset in (7, 5):
        source = cluster.source(group)
        async with started(source):
            assert await source.committed([old, new]) == {old: 4}
            await source.assign({old: 0, new: 0})
            await source.commit({old: offset, new: offset})
            await source.commit({})
            assert await source.committed([old, new]) == {old: 4}
        assert [cluster.lag_tools_see(group, place) for place in (old, new)] == [offset, offset]


async def test_a_source_starts_again_after_a_close(cluster: Cluster, source: ports.Source) -> None:
    topic = cluster.create()
    cluster.write(topic, [b"0", b"1"])
    place = TopicPartition(topic, 0)
    await source.assign({place: 0})
    await polled(source, 2)
    await source.close()
    await source.start()
    await source.assign({place: 1})
    assert [record.offset for record in (await polled(source, 1))[place]] == [1]


async def test_assigning_again_and_again_from_the_start_on_harms_nothing(cluster: Cluster) -> None:
    topic = cluster.create(partitions=3)
    cluster.write(topic, [b"x"] * 3, partition=2)
    for _ in range(3):
        source = cluster.source(kafka_tools.unique_name("group"))
        async with started(source):
            for partitions in ([0], [0, 1], [1], [1, 2], [0, 1, 2]):
                await source.assign({TopicPartition(topic, number): 0 for number in partitions})
                await source.poll(wait_seconds=0.01, most=1)
            assert len((await polled(source, 1))[TopicPartition(topic, 2)]) >= 1
            await source.commit({TopicPartition(topic, 0): 0})


# -- Sink -------------------------------------------------------------------------------------------


async def test_send_writes_keys_values_headers_and_timestamps_as_they_are_and_in_order(
    cluster: Cluster, source: ports.Source, sink: ports.Sink
) -> None:
    topic = cluster.create(partitions=2)
    headers = [("a", b"1"), ("b", b""), ("a", b"\xff\x00")]
    messages = [
        ports.Message(topic, b"key", b"value", headers, 1_700_000_000_123),
        ports.Message(topic, None, "文字".encode()),
        ports.Message(topic, b"", b""),
        ports.Message(topic, b"tombstone", None),
    ]
    began = int(time.time() * 1000)
    assert await sink.send(topic, 1, messages) == 4
    place = TopicPartition(topic, 1)
    await source.assign({TopicPartition(topic, 0): 0, place: 0})
    found = (await polled(source, 4))[place]
    assert [(r.offset, r.key, r.value) for r in found] == [
        (0, b"key", b"value"),
        (1, None, "文字".encode()),
        (2, b"", b""),
        (3, b"tombstone", None),
    ]
    assert list(found[0].headers) == headers
    assert list(found[1].headers) == []
    assert found[0].timestamp == 1_700_000_000_123
    assert began <= found[1].timestamp <= int(time.time() * 1000)


async def test_send_takes_as_many_from_the_first_on_as_fit_a_batch_and_says_how_many(
    cluster: Cluster, source: ports.Source, sink: ports.Sink
) -> None:
    topic = cluster.create()
    messages = [ports.Message(topic, None, str(n).encode() + b" " * 100_000) for n in range(12)]
    sent = 0
    while sent < len(messages):
        count = await sink.send(topic, 0, messages[sent:])
        assert 0 < count < 12
        sent += count
    place = TopicPartition(topic, 0)
    await source.assign({place: 0})
    values = [record.value or b"" for record in (await polled(source, 12))[place]]
    assert [int(value) for value in values] == list(range(12))


async def test_a_record_larger_than_a_batch_is_sent_alone(cluster: Cluster, sink: ports.Sink) -> None:
    topic = cluster.create()
    large, small = ports.Message(topic, None, b"x" * 800_000), ports.Message(topic, None, b"small")
    assert await sink.send(topic, 0, [large, small]) == 1
    assert await sink.send(topic, 0, [small]) == 1


async def test_a_record_too_large_for_the_brokers_is_refused_and_the_sink_goes_on(
    cluster: Cluster, sink: ports.Sink
) -> None:
    topic = cluster.create()
    with pytest.raises(ports.KafkaRefused):
        await sink.send(topic, 0, [ports.Message(topic, None, b"x" * 2_000_000)])
    assert await sink.send(topic, 0, [ports.Message(topic, None, b"small")]) == 1


async def test_a_batch_too_large_for_its_topic_is_refused_and_the_sink_goes_on(
    cluster: Cluster, sink: ports.Sink
) -> None:
    topic = cluster.create(config={"max.message.bytes": "500"})
    with pytest.raises(ports.KafkaRefused):
        await sink.send(topic, 0, [ports.Message(topic, None, b"x" * 5_000)])
    assert await sink.send(topic, 0, [ports.Message(topic, None, b"small")]) == 1


async def test_the_sink_counts_a_topics_partitions(cluster: Cluster, sink: ports.Sink) -> None:
    assert await sink.partitions(cluster.create(partitions=5)) == 5


async def test_a_topic_that_is_missing_is_unavailable_to_the_sink_until_it_is_made(
    cluster: Cluster, sink: ports.Sink
) -> None:
    began = time.monotonic()
    with pytest.raises(ports.KafkaUnavailable):
        await sink.partitions(kafka_tools.unique_name("missing"))
    assert time.monotonic() - began < BOUND_SECONDS
    assert await sink.partitions(cluster.create(partitions=2)) == 2


# -- Topics -----------------------------------------------------------------------------------------


async def test_ensure_creates_a_topic_with_its_partitions_and_configuration(
    cluster: Cluster, sink: ports.Sink
) -> None:
    topic = kafka_tools.unique_name("ensured")
    await cluster.topics().ensure(topic, partitions=3, config={"max.message.bytes": "500"})
    assert cluster.partition_count(topic) == 3
    with pytest.raises(ports.KafkaRefused):
        await sink.send(topic, 0, [ports.Message(topic, None, b"x" * 5_000)])


async def test_ensure_leaves_a_topic_that_exists_as_it_is(cluster: Cluster) -> None:
    topic = cluster.create(partitions=2)
    await cluster.topics().ensure(topic, partitions=5, config={})
    await cluster.topics().ensure(topic, partitions=5, config={})
    assert cluster.partition_count(topic) == 2
