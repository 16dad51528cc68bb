"""What all tests share: the tiers, and real clusters of Kafka and Kubernetes, each started when asked for."""

import contextlib
import os
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

with warnings.catch_warnings():
    # kafka-python 3.0 reads its schemas by a call that Python 3.11 and 3.12 deprecate (and 3.13 does not).
    warnings.filterwarnings("ignore", r"(read|open)_text is deprecated", DeprecationWarning)
    from tests.infrastructure import api_client, kafka_cluster, kafka_tools, programs, tiers
    from tests.infrastructure import control_plane as kubernetes
    from tests.infrastructure import process_node as nodes

CRD = Path(__file__).parents[1] / "crds" / "analysismodule.yaml"


def pytest_configure(config: pytest.Config) -> None:
    """Registers the tiers as marks, and the report on them."""
    for tier, meaning in tiers.TIERS.items():
        config.addinivalue_line("markers", f"{tier}: {meaning}")
    config.pluginmanager.register(tiers.TierReport(), "tiers")


@pytest.fixture(scope="session")
def kafka(pytestconfig: pytest.Config) -> Iterator[kafka_cluster.KafkaEndpoint]:
    """One broker for the whole run; if KAFKA_BOOTSTRAP_SERVERS is set that cluster, nothing is started."""
    users_own = _users_own_cluster()
    if users_own:
        yield kafka_cluster.KafkaEndpoint(users_own)
    else:
        with _running(pytestconfig, kafka_cluster.KafkaCluster()) as cluster:
            yield kafka_cluster.KafkaEndpoint(cluster.bootstrap_servers)


@pytest.fixture(scope="session")
def kafka_secured(pytestconfig: pytest.Config) -> Iterator[kafka_cluster.KafkaCluster]:
    """One broker for the whole run that has SASL and TLS listeners beside the plain one."""
    _only_without_a_users_cluster()
    with _running(pytestconfig, kafka_cluster.KafkaCluster(secured=True)) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def kafka_trio_for_all(pytestconfig: pytest.Config) -> Iterator[kafka_cluster.KafkaCluster]:
    """Three brokers for the whole run; tests ask for `kafka_trio`."""
    _only_without_a_users_cluster()
    with _running(pytestconfig, kafka_cluster.KafkaCluster(brokers=3)) as cluster:
        yield cluster


@pytest.fixture
def kafka_trio(kafka_trio_for_all: kafka_cluster.KafkaCluster) -> kafka_cluster.KafkaCluster:
    """Three brokers, all of them running when the test begins, whatever the test before killed."""
    kafka_trio_for_all.restore()
    return kafka_trio_for_all


@pytest.fixture
def kafka_lone(pytestconfig: pytest.Config) -> Iterator[kafka_cluster.KafkaCluster]:
    """One broker of a test's own, to be killed and restarted."""
    _only_without_a_users_cluster()
    with _running(pytestconfig, kafka_cluster.KafkaCluster()) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def topic_factory(kafka: kafka_cluster.KafkaEndpoint) -> Iterator[kafka_tools.TopicFactory]:
    """Makes topics on the shared broker; on a cluster that is the user's they are deleted at the end."""
    factory = kafka_tools.TopicFactory(kafka.bootstrap_servers)
    yield factory
    if factory.made and _users_own_cluster():
        kafka_tools.delete_topics(kafka.bootstrap_servers, factory.made)


@pytest.fixture(scope="session")
def control_plane(pytestconfig: pytest.Config) -> Iterator[kubernetes.ControlPlane]:
    """One Kubernetes control plane for the whole run, which knows AnalysisModules."""
    with _serving(pytestconfig) as plane:
        yield plane


@pytest.fixture
def control_plane_lone(pytestconfig: pytest.Config) -> Iterator[kubernetes.ControlPlane]:
    """A control plane of a test's own, to be stopped and restarted; it knows AnalysisModules."""
    with _serving(pytestconfig) as plane:
        yield plane


@pytest.fixture
def process_node(control_plane: kubernetes.ControlPlane) -> Iterator[nodes.ProcessNode]:
    """A node of `control_plane` for one test; at the end all namespaces that had pods on it go."""
    with nodes.ProcessNode(control_plane) as node:
        yield node
        # First of all, so that no Deployment makes a pod which the next test's node would take.
        for namespace in node.namespaces:
            control_plane.api.delete(api_client.NAMESPACES, namespace)


def _users_own_cluster() -> str:
    return os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "")


def _only_without_a_users_cluster() -> None:
    if _users_own_cluster():
        raise programs.Unavailable("it needs brokers of its own: unset KAFKA_BOOTSTRAP_SERVERS")


@contextlib.contextmanager
def _running(
    config: pytest.Config, cluster: kafka_cluster.KafkaCluster
) -> Iterator[kafka_cluster.KafkaCluster]:
    """The started cluster, its progress shown; `programs.Unavailable` without Java or Maven."""
    started = time.monotonic()
    with _output_shown(config):
        cluster.start()
        programs.announce(f"\nKafka at {cluster.bootstrap_servers} after {time.monotonic() - started:.1f} s")
    try:
        yield cluster
    finally:
        cluster.stop()


@contextlib.contextmanager
def _serving(config: pytest.Config) -> Iterator[kubernetes.ControlPlane]:
    """A started control plane, its progress shown; `programs.Unavailable` without Go or etcd."""
    if os.environ.get("KUBECONFIG"):
        raise programs.Unavailable("it needs a control plane of its own: unset KUBECONFIG")
    started = time.monotonic()
    plane = kubernetes.ControlPlane([CRD] if CRD.exists() else [])
    with _output_shown(config):
        plane.start()
        programs.announce(f"\nKubernetes at {plane.url} after {time.monotonic() - started:.1f} s")
    try:
        yield plane
    finally:
        plane.stop()


def _output_shown(config: pytest.Config) -> contextlib.AbstractContextManager[None]:
    """While it is open, what we print is seen at once."""
    capture = config.pluginmanager.getplugin("capturemanager")
    return capture.global_and_fixture_disabled() if capture else contextlib.nullcontext()
