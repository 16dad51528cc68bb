"""Copies of slow topics' records go through their compacted topic and come back as they were."""

import pytest

from analysis_worker.engine.records import TopicPartition
from analysis_worker.kafka import last_records, ports
from analysis_worker.kafka.last_records import Copy, Owner
from tests.builders import a_record
from tests.fakes.kafka import FakeKafka

TOPIC = "module-last"
S1 = Owner("PRICE", "S1")


def a_copy(number: int = 1, n: int = 0, owner: Owner = S1) -> Copy:
    return Copy(owner, n, number, TopicPartition("PRICE", 3), 2**40, 1_762_480_000_123, b'{"price": 1}')


def a_cluster(*written: ports.Message) -> FakeKafka:
    cluster = FakeKafka()
    cluster.create_topic(TOPIC)
    for message in written:
        cluster.produce(TOPIC, message.value, key=message.key, headers=message.headers)
    return cluster


async def loaded(cluster: FakeKafka) -> list[Copy]:
    source = cluster.source()
    await source.start()
    return await last_records.load(source, TOPIC, transactional=False)


@pytest.mark.parametrize("station", ["S1", "站/1", "a b", "0", None])
def test_a_copy_reads_back_as_it_was(station: str | None) -> None:
    copy = a_copy(owner=Owner("SCHEDULE-CAR-PRICE", station))
    message = copy.message(TOPIC)
    assert last_records.read_copy(a_record(message.value, key=message.key, headers=message.headers)) == copy


def test_the_key_names_topic_station_and_place() -> None:
    assert a_copy(n=7).message(TOPIC).key == b"PRICE/S1/7"
    assert a_copy(owner=Owner("DAYS", None)).message(TOPIC).key == b"DAYS/*/0"


async def test_of_each_key_the_last_copy_counts_and_they_come_in_the_order_of_their_numbers() -> None:
    written = [a_copy(2, 1), a_copy(1, 0), a_copy(3, 2), a_copy(4, 0)]
    cluster = a_cluster(*(copy.message(TOPIC) for copy in written))
    assert [(copy.number, copy.n) for copy in await loaded(cluster)] == [(2, 1), (3, 2), (4, 0)]


async def test_what_was_removed_is_not_there_also_after_compaction() -> None:
    cluster = a_cluster(
        a_copy().message(TOPIC), a_copy(2, 1).message(TOPIC), last_records.removal(TOPIC, S1, 0)
    )
    assert [copy.number for copy in await loaded(cluster)] == [2]
    cluster.compact(TOPIC)
    assert [copy.number for copy in await loaded(cluster)] == [2]


async def test_without_the_topic_nothing_is_kept() -> None:
    cluster = FakeKafka()
    assert await loaded(cluster) == []
