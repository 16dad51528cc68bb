"""The deployment guide's own Kubernetes manifests on a true node, for who does not use the operator yet."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from analysis_module import names
from tests.infrastructure import api_client, kafka_tools, leaving, release, waiting
from tests.infrastructure.true_cluster import TrueCluster

MANIFESTS = Path(__file__).parents[2] / "examples" / "migration" / "kubernetes.yaml"
NAMESPACE = "production"
INPUT, OUTPUT = "REAL-STATION-DATA", "MODULE-OUTPUT-LOAD-PREDICTION"
TOPICS = (INPUT, OUTPUT, "SCHEDULE-STATION-PARAM", "SCHEDULE-STATION-REALTIME-DATA", "SCHEDULE-CAR-ORDER")
STATIONS, RECORDS = 30, 600
PATIENCE_SECONDS = 180.0
STATEFUL_SETS = api_client.Resource("apps/v1", "statefulsets")


@pytest.fixture
def production(true_cluster: TrueCluster) -> Iterator[TrueCluster]:
    """A cluster with a namespace `production` that enforces `restricted`, and with the guide's topics."""
    kafka_tools.ensure_topics(true_cluster.bootstrap_servers, TOPICS, partitions=4)
    metadata = {"name": NAMESPACE, "labels": release.RESTRICTED}
    true_cluster.access.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    yield true_cluster
    leaving.remove_namespace(true_cluster, NAMESPACE)


def kubectl(cluster: TrueCluster, *arguments: str, stdin: str | None = None) -> str:
    """What kubectl prints."""
    done = cluster.access.kubectl(*arguments, stdin=stdin)
    assert done.returncode == 0, done.stderr
    return done.stdout


def records() -> list[kafka_tools.Outgoing]:
    """The power of each station, minute by minute."""
    stations = (f"S{number % STATIONS}" for number in range(RECORDS))
    return [
        kafka_tools.Outgoing(station.encode(), json.dumps({"stationId": station, "power": 7.0}).encode())
        for station in stations
    ]


def test_three_pods_of_the_guides_image_share_the_stations_and_answer_each_record_once(
    production: TrueCluster,
) -> None:
    text = MANIFESTS.read_text(encoding="utf-8").replace("kafka:9092", production.bootstrap_servers)
    kubectl(production, "apply", "--filename", "-", stdin=text)

    def is_ready() -> bool:
        found = production.access.api.get(STATEFUL_SETS, "data-analysis", namespace=NAMESPACE)
        return bool(found["status"].get("readyReplicas") == 3)

    waiting.until(is_ready, what="three pods are ready", timeout_seconds=PATIENCE_SECONDS)
    servers = production.bootstrap_servers
    assert sum(kafka_tools.end_offsets(servers, OUTPUT).values()) == 0
    kafka_tools.produce_all(servers, INPUT, records())
    waiting.until(
        lambda: sum(kafka_tools.end_offsets(servers, OUTPUT).values()) >= RECORDS,
        what="every record is answered",
        timeout_seconds=PATIENCE_SECONDS,
    )

    written = kafka_tools.read_all(servers, OUTPUT)
    ids = [dict(each.headers)[names.HEADER_OUTPUT_ID] for each in written]
    assert len({*ids}) == len(ids) == RECORDS
    logs = {pod: kubectl(production, "logs", "-n", NAMESPACE, pod) for pod in pods(production)}
    answered = {
        pod: {line.partition(":")[0] for line in log.splitlines() if "load_forecast" in line}
        for pod, log in logs.items()
    }
    assert len(answered) == 3
    assert all(answered.values()), "each pod has stations"
    assert sum(map(len, answered.values())) == STATIONS, "no station has two"


def pods(cluster: TrueCluster) -> list[str]:
    """The names of the guide's pods."""
    found = cluster.access.api.items(api_client.PODS, namespace=NAMESPACE, labels="app=data-analysis")
    return [each["metadata"]["name"] for each in found]
