"""Whom Prometheus may scrape in a cluster, told over HTTP as its own discovery of Kubernetes would tell it.

Source: https://prometheus.io/docs/prometheus/latest/configuration/configuration/#kubernetes_sd_config (the
roles pod and endpoints, with the labels that monitors use) and #http_sd_config (the form of the answer).
"""

import http.server
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.infrastructure import api_client, local_ports, monitors, startable

SLICES = api_client.Resource("discovery.k8s.io/v1", "endpointslices")
META = "__meta_kubernetes_"
Targets = list[dict[str, Any]]


class KubernetesDiscovery(startable.Startable):
    """Serves `url`/pod and `url`/endpoints from `start` to `stop`, each time as the cluster is then."""

    def __init__(self, api: api_client.ApiClient) -> None:
        self._roles: Mapping[str, Callable[[api_client.ApiClient], Targets]] = {
            "/pod": pod_targets,
            "/endpoints": endpoint_targets,
        }
        self._api = api
        self._server: http.server.ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """Where it answers; RuntimeError unless started."""
        if self._server is None:
            raise RuntimeError("nothing is served yet; call start() first")
        return f"http://{local_ports.LOOPBACK}:{self._server.server_port}"

    def start(self) -> None:
        """Serves from now on."""
        roles, api = self._roles, self._api

        class Answering(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = json.dumps(roles[self.path](api)).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: object) -> None:
                """Nothing: Prometheus asks every second."""

        self._server = http.server.ThreadingHTTPServer((local_ports.LOOPBACK, 0), Answering)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Serves no more. May be called twice."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


def pod_targets(api: api_client.ApiClient) -> Targets:
    """The role pod: a target for each port that a container of a pod declares, once it has an address."""
    return [
        _target(address, port["containerPort"], {**of_pod(pod), **_of_port(container, port)})
        for pod in api.items(api_client.PODS)
        if (address := pod["status"].get("podIP"))
        for container in pod["spec"]["containers"]
        for port in container.get("ports", ())
    ]


def endpoint_targets(api: api_client.ApiClient) -> Targets:
    """The role endpoints: a target for each address and port of a Service, with the labels of its pod."""
    services = {_place(each): each for each in api.items(api_client.SERVICES)}
    pods = {_place(each): each for each in api.items(api_client.PODS)}
    return list(_of_slices(api.items(SLICES), services, pods))


def _of_slices(
    slices: list[dict[str, Any]], services: Mapping[Any, Any], pods: Mapping[Any, Any]
) -> Iterator[dict[str, Any]]:
    for each in slices:
        namespace = each["metadata"]["namespace"]
        service = services.get((namespace, each["metadata"]["labels"].get("kubernetes.io/service-name")))
        if service is None:
            continue
        for endpoint in each.get("endpoints") or ():
            pod = pods.get((namespace, (endpoint.get("targetRef") or {}).get("name")))
            for port in each.get("ports") or ():
                labels = {
                    **(_of_backing(pod, port["port"]) if pod else {}),
                    **_of("service", service),
                    f"{META}endpoint_port_name": port.get("name") or "",
                    f"{META}endpoint_ready": str(endpoint["conditions"].get("ready", True)).lower(),
                }
                yield _target(endpoint["addresses"][0], port["port"], labels)


def of_pod(pod: Mapping[str, Any]) -> dict[str, str]:
    """What is told of every target in a pod."""
    return {
        **_of("pod", pod),
        f"{META}pod_ip": pod["status"].get("podIP", ""),
        f"{META}pod_phase": pod["status"]["phase"],
        f"{META}pod_node_name": pod["spec"].get("nodeName", ""),
    }


def _of_backing(pod: Mapping[str, Any], number: int) -> dict[str, str]:
    found = of_pod(pod)
    for container in pod["spec"]["containers"]:
        for port in container.get("ports", ()):
            if port["containerPort"] == number:
                found |= _of_port(container, port)
    return found


def _of(kind: str, document: Mapping[str, Any]) -> dict[str, str]:
    metadata = document["metadata"]
    found = {f"{META}namespace": metadata["namespace"], f"{META}{kind}_name": metadata["name"]}
    for name, value in (metadata.get("labels") or {}).items():
        found[f"{META}{kind}_label_{monitors.sanitized(name)}"] = value
        found[f"{META}{kind}_labelpresent_{monitors.sanitized(name)}"] = "true"
    return found


def _of_port(container: Mapping[str, Any], port: Mapping[str, Any]) -> dict[str, str]:
    return {
        f"{META}pod_container_name": container["name"],
        f"{META}pod_container_port_name": port.get("name", ""),
        f"{META}pod_container_port_number": str(port["containerPort"]),
    }


def _target(address: str, port: int, labels: Mapping[str, str]) -> dict[str, Any]:
    return {"targets": [f"{address}:{port}"], "labels": dict(labels)}


def _place(document: Mapping[str, Any]) -> tuple[str, str]:
    return document["metadata"]["namespace"], document["metadata"]["name"]
