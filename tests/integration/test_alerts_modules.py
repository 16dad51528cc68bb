"""Each alert on modules fires by its real fault, with real workers, Kafka, API server and Prometheus."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.infrastructure import (
    kafka_tools,
    numbered_stream,
    operated_namespace,
    paced_records,
    process_node,
    watched,
)
from tests.infrastructure.control_plane import ControlPlane
from tests.infrastructure.kafka_cluster import KafkaEndpoint
from tests.infrastructure.module_driver import ModuleDriver
from tests.infrastructure.operated_namespace import OperatedNamespace
from tests.infrastructure.process_node import ProcessNode
from tests.infrastructure.watched import Watched

OPERATORS = "analysis"
"""The namespace that the operator's pod is said to be in: another one than its modules'."""
STATIONS = 20
PER_SECOND = 200
BACKLOG = 30_000
"""More than the 20,000 records of a partition that a worker takes before one of them is done."""
SLOW = """
import time
def callback(station_id, module_input):
    time.sleep(0.5)
    return {}
"""
UNREADABLE = "def callback(:\n"


@pytest.fixture(scope="module")
def place(
    control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OperatedNamespace]:
    directory = tmp_path_factory.mktemp("alerts")
    with operated_namespace.operated(control_plane, directory, "alerts") as place:
        yield place


@pytest.fixture(scope="module")
def node(control_plane: ControlPlane) -> Iterator[ProcessNode]:
    with process_node.ProcessNode(control_plane) as node:
        yield node


@pytest.fixture(scope="module")
def prometheus(place: OperatedNamespace) -> Iterator[Watched]:
    with watched.Watched() as prometheus:
        prometheus.operator(place.operator, namespace=OPERATORS, pod="operator-0")
        prometheus.until_scraped(place.operator, "operator-0")
        yield prometheus


@pytest.fixture(scope="module")
def pair(place: OperatedNamespace, node: ProcessNode, kafka: KafkaEndpoint) -> ModuleDriver:
    """A module with two workers, which run when a test begins."""
    module = place.module("pair")
    stream = numbered_stream.make(kafka.bootstrap_servers, "pair")
    module.apply(stream.spec(workers={"replicas": 2}))
    module.until_phase("Running")
    return module


def labels_of(module: ModuleDriver) -> dict[str, str]:
    """What every alert on it has."""
    return {"namespace": module.namespace, "name": module.name}


def test_a_module_that_cannot_be_run_as_written_is_told_with_the_reason_until_it_is_mended(
    place: OperatedNamespace, prometheus: Watched
) -> None:
    module = place.module("rejected")
    prometheus.until_quiet("AnalysisModuleRejected")

    absent = {"configMapRef": {"name": "not-there", "key": "callback.py"}}
    module.apply(operated_namespace.spec("rejected", callback=absent, suspend=True))

    prometheus.until_firing("AnalysisModuleRejected", **labels_of(module), reason="CallbackMissing")
    module.apply(operated_namespace.spec("rejected", suspend=True))
    prometheus.until_quiet("AnalysisModuleRejected")
    module.delete()


def test_a_module_whose_kafka_is_nowhere_is_told_as_unreachable_degraded_and_stuck_until_it_goes(
    place: OperatedNamespace, node: ProcessNode, prometheus: Watched
) -> None:
    alerts = ("AnalysisModuleKafkaUnreachable", "AnalysisModuleDegraded", "AnalysisModuleStuck")
    module = place.module("nowhere")
    prometheus.until_quiet(*alerts)

    module.apply(operated_namespace.spec("nowhere"))

    prometheus.until_firing("AnalysisModuleKafkaUnreachable", **labels_of(module), reason="Unreachable")
    prometheus.until_firing("AnalysisModuleDegraded", **labels_of(module), reason="Unreachable")
    prometheus.until_firing("AnalysisModuleStuck", **labels_of(module), reason="Starting")
    module.delete()
    prometheus.until_quiet(*alerts)


def test_a_module_that_joins_what_nobody_provides_is_told_until_it_joins_it_no_more(
    place: OperatedNamespace, prometheus: Watched
) -> None:
    module = place.module("reader")
    prometheus.until_quiet("AnalysisModuleDependenciesMissing")

    missing = [operated_namespace.output_of("provider")]
    module.apply(operated_namespace.spec("reader", suspend=True, dependencies=missing))

    labels = {**labels_of(module), "reason": "DependencyMissing"}
    prometheus.until_firing("AnalysisModuleDependenciesMissing", **labels)
    module.apply(dependencies=[])
    prometheus.until_quiet("AnalysisModuleDependenciesMissing")
    module.delete()


def test_an_edit_that_workers_refuse_is_told_until_it_is_mended(
    pair: ModuleDriver, prometheus: Watched
) -> None:
    before: dict[str, Any] = pair.spec["callback"]
    prometheus.until_quiet("AnalysisModuleConfigRefused")

    pair.apply(callback={"source": UNREADABLE})

    prometheus.until_firing("AnalysisModuleConfigRefused", **labels_of(pair))
    pair.apply(callback=before)
    prometheus.until_quiet("AnalysisModuleConfigRefused")


def test_workers_that_hang_are_told_as_missing_and_lagging_and_as_none_once_all_do_until_they_go_on(
    pair: ModuleDriver, node: ProcessNode, prometheus: Watched
) -> None:
    alerts = ("AnalysisModuleWorkersNotReady", "AnalysisModuleConfigLagging", "AnalysisModuleNoWorkers")
    first, second = sorted(pair.pods())
    pair.until_settled()
    prometheus.until_quiet(*alerts)

    node.freeze(first)
    pair.apply(expireAfterSeconds=700)

    prometheus.until_firing("AnalysisModuleWorkersNotReady", **labels_of(pair))
    prometheus.until_firing("AnalysisModuleConfigLagging", **labels_of(pair))
    assert prometheus.firing("AnalysisModuleNoWorkers") == []
    node.freeze(second)
    prometheus.until_firing("AnalysisModuleNoWorkers", **labels_of(pair))
    for pod in (first, second):
        node.thaw(pod)
    prometheus.until_quiet(*alerts)


def test_a_module_slower_than_its_stream_is_told_by_a_lag_that_grows_and_grows_old(
    place: OperatedNamespace, node: ProcessNode, kafka: KafkaEndpoint, prometheus: Watched
) -> None:
    stream = numbered_stream.make(kafka.bootstrap_servers, "late", partitions=1)
    module = place.module("late")
    # A worker looks for the ends of what it does not read on every 3 s while a topic is missing, else 30 s.
    (read,) = stream.spec()["inputs"]
    reading = [read, {**read, "topic": f"{stream.topic}-absent"}]
    module.apply(stream.spec(inputs=reading, callback={"source": SLOW}))
    module.until(lambda: module.status.get("readyReplicas") == 1, "its worker is ready")
    prometheus.until_quiet("AnalysisModuleLagGrowing", "AnalysisModuleLagOld")

    records = numbered_stream.records(1_000_000, STATIONS)
    kafka_tools.produce_all(stream.bootstrap, stream.topic, [next(records) for _ in range(BACKLOG)])
    with paced_records.PacedRecords(stream.bootstrap, stream.topic, records, per_second=PER_SECOND):
        prometheus.until_firing("AnalysisModuleLagGrowing", **labels_of(module))
        prometheus.until_firing("AnalysisModuleLagOld", **labels_of(module))
    module.delete()
    prometheus.until_quiet("AnalysisModuleLagGrowing", "AnalysisModuleLagOld")
