"""The clusters of the contract's tests: the fake first, then the real thing."""

from collections.abc import AsyncIterator, Iterator

import pytest

from analysis_worker.kafka import ports
from tests.contract import kafka_clusters
from tests.contract.kafka_clusters import Cluster, Losable, started
from tests.infrastructure import kafka_cluster, kafka_tools


@pytest.fixture(params=["fake", "real"])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    if request.param == "fake":
        return kafka_clusters.InMemory()
    return kafka_clusters.Brokers(request.getfixturevalue("kafka").bootstrap_servers)


@pytest.fixture(scope="module", params=["fake", "real"])
def losable(request: pytest.FixtureRequest) -> Iterator[Losable]:
    if request.param == "fake":
        yield kafka_clusters.InMemory()
        return
    with kafka_cluster.KafkaCluster() as broker:
        yield kafka_clusters.LosableBrokers(broker)


@pytest.fixture
async def source(cluster: Cluster) -> AsyncIterator[ports.Source]:
    source = cluster.source(kafka_tools.unique_name("group"))
    async with started(source):
        yield source


@pytest.fixture
async def sink(cluster: Cluster) -> AsyncIterator[ports.Sink]:
    sink = cluster.sink()
    async with started(sink):
        yield sink
