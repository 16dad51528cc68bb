"""Which partitions are read, and which topics are told as missing."""

from typing import Any

import pytest

from analysis_module import reading
from analysis_worker import assembling, discovering
from analysis_worker.engine.records import TopicPartition
from tests.fakes.kafka import FakeKafka

POWER = {"topic": "POWER", "fields": ["stationId", "power"], "windowSize": 3}
DAYS = {"topic": "DAYS", "fields": ["day"], "windowSize": 1, "scope": "Global"}


def an_assembly(**spec: Any) -> assembling.Assembly:
    given = {"module": "module", "inputs": [POWER, DAYS], "partitioning": {"slots": 4}, **spec}
    return assembling.assemble(reading.read_spec(given))


async def found(
    discovery: discovering.Discovery, cluster: FakeKafka, assembly: assembling.Assembly, *slots: int
) -> set[TopicPartition]:
    source = cluster.source()
    await source.start()
    return set(await discovery.partitions(source, assembly, set(slots)))


async def test_every_partition_of_every_topic_is_read() -> None:
    cluster = FakeKafka()
    cluster.create_topic("POWER", partitions=2)
    cluster.create_topic("DAYS")
    places = await found(discovering.Discovery(), cluster, an_assembly(), 0)
    assert places == {("POWER", 0), ("POWER", 1), ("DAYS", 0)}


async def test_of_aligned_topics_those_of_the_slots_are_read_and_of_global_ones_all() -> None:
    cluster = FakeKafka()
    for topic in ("POWER", "DAYS"):
        cluster.create_topic(topic, partitions=4)
    assembly = an_assembly(partitioning={"slots": 4, "routing": "Aligned"})
    places = await found(discovering.Discovery(), cluster, assembly, 1, 3)
    assert {place for place in places if place.topic == "POWER"} == {("POWER", 1), ("POWER", 3)}
    assert len([place for place in places if place.topic == "DAYS"]) == 4


async def test_missing_topics_are_told_once_and_awaited_until_they_are_read(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster, discovery = FakeKafka(), discovering.Discovery()
    cluster.create_topic("DAYS")
    for _ in range(2):
        assert await found(discovery, cluster, an_assembly(), 0) == {("DAYS", 0)}
    assert (discovery.missing, discovery.awaited) == ({"POWER"}, {"POWER"})
    assert caplog.text.count("topic POWER does not exist yet; create it") == 1
    cluster.create_topic("POWER")
    await found(discovery, cluster, an_assembly(), 0)
    assert (discovery.missing, discovery.awaited) == (set(), {"POWER"})


async def test_a_topic_that_goes_is_told_again(caplog: pytest.LogCaptureFixture) -> None:
    cluster, discovery = FakeKafka(), discovering.Discovery()
    for topic in ("POWER", "DAYS"):
        cluster.create_topic(topic)
    await found(discovery, cluster, an_assembly(), 0)
    cluster.delete_topic("POWER")
    await found(discovery, cluster, an_assembly(), 0)
    assert discovery.missing == {"POWER"}
    assert "POWER does not exist" in caplog.text


def test_without_the_shared_topics_those_are_left_to_another_feed() -> None:
    metered = {**POWER, "stationKey": {"via": "PARAM"}}
    assembly = an_assembly(inputs=[metered, DAYS])
    assert set(discovering.Discovery().topics(assembly)) == {"POWER", "DAYS", "PARAM"}
    assert set(discovering.Discovery(shared_topics=False).topics(assembly)) == {"POWER"}
