"""Connections made anew: what a source forgets by it and what it knows, on the fake and on real brokers."""

from analysis_worker.commands import running
from analysis_worker.engine.records import TopicPartition
from analysis_worker.kafka import connecting
from tests.contract import kafka_clusters
from tests.contract.kafka_clusters import Cluster, polled, started
from tests.infrastructure import kafka_cluster, kafka_tools


async def test_a_connected_source_that_starts_anew_reads_what_it_is_assigned_and_knows_where_the_group_stood(
    cluster: Cluster,
) -> None:
    topic, group = cluster.create(), kafka_tools.unique_name("group")
    cluster.write(topic, [b"0", b"1", b"2"])
    place = TopicPartition(topic, 0)
    cluster.commit_as_another(group, place, 1)
    source, reader = cluster.source(group), cluster.source(group)
    async with started(source), started(reader):
        assert await source.committed([place]) == {place: 1}
        await source.assign({place: 0})
        await polled(source, 3)
        await source.start()
        await source.assign({place: 2})
        assert [record.offset for record in (await polled(source, 1))[place]] == [2]
        await source.commit({place: 3})
        assert await reader.committed([place]) == {place: 1}
    assert cluster.lag_tools_see(group, place) == 3


async def test_sources_of_one_worker_know_together_where_the_group_stood(
    kafka: kafka_cluster.KafkaEndpoint,
) -> None:
    """A source that takes another's place commits before it has asked."""
    cluster = kafka_clusters.Brokers(kafka.bootstrap_servers)
    topic, group = cluster.create(), kafka_tools.unique_name("group")
    place = TopicPartition(topic, 0)
    cluster.commit_as_another(group, place, 4)
    servers = tuple(kafka.bootstrap_servers.split(","))
    connector = running.connector_of(connecting.Connection(servers, group))
    first, second = connector.source(), connector.source()
    async with started(first), started(second):
        assert await first.committed([place]) == {place: 4}
        await second.commit({place: 7})
        assert await second.committed([place]) == {place: 4}
    assert cluster.lag_tools_see(group, place) == 7
