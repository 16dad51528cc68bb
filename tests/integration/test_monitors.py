"""A real Prometheus, told by the chart's monitors and a real API server, scrapes exactly whom they mean."""

import contextlib
import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from analysis_module import names
from analysis_operator.decisions import pods
from tests.infrastructure import api_client, helm, local_ports, monitors, operated_namespace, waiting
from tests.infrastructure.control_plane import ControlPlane
from tests.infrastructure.kubernetes_discovery import KubernetesDiscovery
from tests.infrastructure.node_namespaces import NodeNamespaces
from tests.infrastructure.prometheus_server import PrometheusServer

CRD = Path(__file__).parents[2] / "crds" / "analysismodule.yaml"
PATIENCE_SECONDS = 60.0
NODE = "paper"
OPERATOR_PORT = 8080
SERVED = {"enabled": True, "interval": "1s"}
VALUES = {"serviceMonitor": SERVED, "podMonitor": SERVED}
OPERATORS, WORKERS, NARROW = "serviceMonitor/", "/analysis-operator-workers/", "/narrow-workers/"
"""What the names of the jobs of each monitor hold, of no other."""
PAGE = 'told{namespace="theirs",pod="theirs",module="theirs"} 1\n'
Targets = set[tuple[str, str, str]]


class EveryPage(http.server.BaseHTTPRequestHandler):
    """A proxy that answers for whatever address it is asked: the pods here have none where a process is."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(PAGE.encode())

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing: Prometheus asks every second."""


class Place:
    """A control plane with a release, an operator's module, and pods that a node on paper says it runs."""

    def __init__(self, plane: ControlPlane, release: str, served: str) -> None:
        self.api = plane.api
        self.release = release
        self.served = served
        self.elsewhere = plane.namespace("elsewhere")
        self.addresses: dict[tuple[str, str], str] = {}
        self.prometheus: PrometheusServer

    def found(self, pool: str) -> list[dict[str, Any]]:
        """The targets of a monitor as Prometheus tells them."""
        return [each for each in self.prometheus.targets() if pool in each["scrapePool"]]

    def targets(self, pool: str) -> Targets:
        """Namespace, pod and address of each target of a monitor."""
        return {
            (each["labels"]["namespace"], each["labels"]["pod"], each["scrapeUrl"])
            for each in self.found(pool)
        }

    def expected(self, namespace: str, labels: str = "", port: int = names.HTTP_PORT) -> Targets:
        """The same of the pods of a namespace that bear these labels and have an address."""
        found = self.api.items(api_client.PODS, namespace=namespace, labels=labels)
        places = [(namespace, each["metadata"]["name"]) for each in found]
        return {
            (*each, f"http://{self.addresses[each]}:{port}/metrics")
            for each in places
            if each in self.addresses
        }

    def create_pod(self, name: str, labels: dict[str, str], port: str = names.HTTP_PORT_NAME) -> None:
        """A pod elsewhere, of one container with one port of that name."""
        ports = [{"name": port, "containerPort": names.HTTP_PORT}]
        container = {"name": "main", "image": "example/none:1", "ports": ports}
        metadata = {"name": name, "namespace": self.elsewhere, "labels": labels}
        spec = {"containers": [container]}
        self.api.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})

    def run(self, namespace: str, *, phase: str = "Running") -> None:
        """What scheduler and kubelet say of all pods of a namespace that have no node yet."""
        for pod in self.api.items(api_client.PODS, namespace=namespace, fields="spec.nodeName="):
            name = pod["metadata"]["name"]
            path = api_client.PODS.path(namespace=namespace, name=name)
            binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}}
            target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
            self.api.request("POST", f"{path}/binding", body={**binding, "target": target})
            # An address of the block for documents (RFC 5737): the API server refuses endpoints on loopback.
            address = self.addresses[namespace, name] = f"192.0.2.{len(self.addresses) + 1}"
            ready = {"type": "Ready", "status": str(phase == "Running")}
            status = {"phase": phase, "podIP": address, "podIPs": [{"ip": address}], "conditions": [ready]}
            self.api.patch(
                api_client.PODS, name, {"status": status}, namespace=namespace, subresource="status"
            )

    def forget(self) -> None:
        """Deletes what the node on paper would never report as ended."""
        for namespace, name in self.addresses:
            if self.api.find(api_client.PODS, name, namespace=namespace) is not None:
                self.api.delete(api_client.PODS, name, namespace=namespace, grace_seconds=0)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with contextlib.ExitStack() as opened:
        # Where pods could reach it, a control plane has the controllers that keep endpoints.
        address = opened.enter_context(NodeNamespaces()).machine_address
        plane = opened.enter_context(ControlPlane([CRD], address=address))
        plane.api.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}})
        directory = tmp_path_factory.mktemp("monitors")
        operated = opened.enter_context(operated_namespace.operated(plane, directory, "served"))
        made = Place(plane, _released(plane), operated.name)
        opened.callback(made.forget)
        cars = operated.module("cars")
        cars.apply(operated_namespace.spec("cars", workers={"replicas": 2}))
        cars.until_pods(2)
        _populate(made)
        discovery = opened.enter_context(KubernetesDiscovery(plane.api))
        proxy = opened.enter_context(_proxy())
        jobs = [
            {**job, "proxy_url": proxy}
            for each in _monitors(made)
            for job in monitors.scrape_configurations(each, discovery.url)
        ]
        made.prometheus = opened.enter_context(PrometheusServer({"scrape_configs": jobs}))
        yield made


def _released(plane: ControlPlane) -> str:
    """The namespace of a release of the chart that has its two pods."""
    namespace = plane.namespace("release")
    where = ("--namespace", namespace)
    values = {"crds": {"install": False}}
    helm.run("install", helm.RELEASE, str(helm.CHART), *where, values=values, kubeconfig=plane.kubeconfig)
    until(lambda: len(plane.api.items(api_client.PODS, namespace=namespace)) == 2, "the release has its pods")
    return namespace


def _populate(place: Place) -> None:
    """Those who run; and elsewhere the pod "guest", and others who look like a target and are none."""
    for namespace in (place.release, place.served):
        place.run(namespace)
    of_operator = place.api.items(api_client.PODS, namespace=place.release)[0]["metadata"]["labels"]
    place.create_pod("twin", of_operator)
    service = place.api.get(api_client.SERVICES, helm.RELEASE, namespace=place.release)
    metadata = {"name": "twin", "namespace": place.elsewhere, "labels": service["metadata"]["labels"]}
    spec = {"selector": service["spec"]["selector"], "ports": service["spec"]["ports"]}
    place.api.create({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
    of_worker = pods.labels("cars", 0)
    place.create_pod("guest", of_worker)
    place.create_pod("stranger", {**of_worker, names.LABEL_MANAGED_BY: "somebody"})
    place.create_pod("other-port", of_worker, port="admin")
    place.run(place.elsewhere)
    place.create_pod("ended", of_worker)
    place.run(place.elsewhere, phase="Failed")
    place.create_pod("waits", of_worker)


def _monitors(place: Place) -> list[dict[str, Any]]:
    """Those of the release, and that of a release for one namespace."""
    narrow = {"podMonitor": SERVED, "namespaces": [place.elsewhere], "fullnameOverride": "narrow"}
    return [
        each
        for values in (VALUES, narrow)
        for each in helm.template(values, namespace=place.release)
        if each["kind"] in monitors.ROLES
    ]


@contextlib.contextmanager
def _proxy() -> Iterator[str]:
    with http.server.ThreadingHTTPServer((local_ports.LOOPBACK, 0), EveryPage) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{local_ports.LOOPBACK}:{server.server_port}"
        server.shutdown()


def until(condition: Callable[[], bool], what: str) -> None:
    waiting.until(condition, what=what, timeout_seconds=PATIENCE_SECONDS)


def until_discovered(place: Place, pool: str, expected: Targets) -> None:
    """Waits until a monitor's targets are exactly these; the error tells what they are."""
    try:
        until(lambda: place.targets(pool) == expected, f"the targets of {pool} are as expected")
    except TimeoutError as error:
        raise AssertionError(f"{error}: {place.targets(pool)}, not {expected}") from error


def test_the_service_monitor_finds_the_operators_pods_and_no_others(place: Place) -> None:
    expected = place.expected(place.release, port=OPERATOR_PORT)
    assert len(expected) == 2
    until_discovered(place, OPERATORS, expected)


def test_the_pod_monitor_finds_the_workers_that_run_in_all_namespaces_and_no_others(place: Place) -> None:
    guest = {each for each in place.expected(place.elsewhere) if each[1] == "guest"}
    expected = place.expected(place.served) | guest
    assert len(expected) == 3
    until_discovered(place, WORKERS, expected)


def test_a_release_for_some_namespaces_finds_the_workers_of_these(place: Place) -> None:
    guest = {each for each in place.expected(place.elsewhere) if each[1] == "guest"}
    until_discovered(place, NARROW, guest)


@pytest.mark.parametrize("pool", [OPERATORS, WORKERS])
def test_each_target_has_the_labels_that_rules_and_panels_ask_for(place: Place, pool: str) -> None:
    until(lambda: bool(place.targets(pool)), "Prometheus has discovered")
    of_operator = {"job": "analysis-operator", "container": "operator", "service": helm.RELEASE}
    for target in place.found(pool):
        labels = target["labels"]
        pod = place.api.get(api_client.PODS, labels["pod"], namespace=labels["namespace"])
        container = pod["spec"]["containers"][0]["name"]
        shard = pod["metadata"]["labels"].get(names.LABEL_SHARD)
        of_worker = {"job": "analysis-worker", "container": container, "module": "cars", "shard": shard}
        assert labels == {
            **(of_operator if pool == OPERATORS else of_worker),
            "namespace": pod["metadata"]["namespace"],
            "pod": pod["metadata"]["name"],
            "endpoint": "http",
            "instance": target["discoveredLabels"]["__address__"],
        }


def test_series_of_the_operator_keep_their_own_labels_and_those_of_workers_get_their_pods(
    place: Place,
) -> None:
    def told(job: str) -> set[tuple[str, ...]]:
        asked = ("namespace", "module", "exported_namespace", "exported_module")
        found = place.prometheus.query(f'told{{job="{job}"}}')
        return {tuple(each.labels.get(name, "") for name in asked) for each in found}

    until(lambda: len(told("analysis-worker")) == 2 and bool(told("analysis-operator")), "all are scraped")
    assert told("analysis-operator") == {("theirs", "theirs", "", "")}
    assert told("analysis-worker") == {
        (place.served, "cars", "theirs", "theirs"),
        (place.elsewhere, "cars", "theirs", "theirs"),
    }


def test_who_goes_is_scraped_no_more_and_who_comes_is(place: Place) -> None:
    def served() -> Targets:
        return {each for each in place.targets(WORKERS) if each[0] == place.served}

    until(lambda: served() == place.expected(place.served), "Prometheus has discovered")
    gone = min(pod for _, pod, _ in served())
    place.api.delete(api_client.PODS, gone, namespace=place.served, grace_seconds=0)

    def has_come() -> bool:
        place.run(place.served)
        expected = place.expected(place.served)
        return len(expected) == 2 and gone not in str(expected) and served() == expected

    until(has_come, f"the targets are the pod that stayed, and one in the place of {gone}")
