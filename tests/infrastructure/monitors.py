"""What Prometheus Operator makes of a ServiceMonitor or a PodMonitor, as far as the chart uses them.

Source: https://prometheus-operator.dev/docs/api-reference/api/. Where the operator would have Prometheus ask
Kubernetes whom to scrape, these ask `kubernetes_discovery`, for Debian builds Prometheus without that.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

Document = Mapping[str, Any]
PORT_NAMES = {
    "PodMonitor": "__meta_kubernetes_pod_container_port_name",
    "ServiceMonitor": "__meta_kubernetes_endpoint_port_name",
}
ROLES = {"PodMonitor": "pod", "ServiceMonitor": "endpoints"}
LABELS = {"PodMonitor": "pod", "ServiceMonitor": "service"}
"""Whose labels a monitor's selector speaks of."""
ENDPOINTS = {"PodMonitor": "podMetricsEndpoints", "ServiceMonitor": "endpoints"}


def scrape_configurations(monitor: Document, discovery_url: str) -> list[dict[str, Any]]:
    """One job for each endpoint of a monitor; `discovery_url` answers below it for each role."""
    kind, metadata = monitor["kind"], monitor["metadata"]
    place = f"{metadata['namespace']}/{metadata['name']}"
    return [
        {
            "job_name": f"{kind[0].lower()}{kind[1:]}/{place}/{number}",
            "honor_labels": endpoint.get("honorLabels", False),
            "scrape_interval": endpoint["interval"],
            "scrape_timeout": endpoint["interval"],
            "metrics_path": endpoint["path"],
            "http_sd_configs": [{"url": f"{discovery_url}/{ROLES[kind]}", "refresh_interval": "1s"}],
            "relabel_configs": [*_selecting(monitor, endpoint), *_relabelled(endpoint)],
        }
        for number, endpoint in enumerate(monitor["spec"][ENDPOINTS[kind]])
    ]


def _selecting(monitor: Document, endpoint: Document) -> Iterator[dict[str, Any]]:
    kind, spec = monitor["kind"], monitor["spec"]
    namespaces = spec.get("namespaceSelector", {})
    if not namespaces.get("any"):
        chosen = namespaces.get("matchNames") or [monitor["metadata"]["namespace"]]
        yield _keep("__meta_kubernetes_namespace", "|".join(map(re.escape, chosen)))
    for name, value in spec["selector"]["matchLabels"].items():
        yield _keep(f"__meta_kubernetes_{LABELS[kind]}_label_{sanitized(name)}", re.escape(value))
    yield _keep(PORT_NAMES[kind], re.escape(endpoint["port"]))


def _keep(source: str, regex: str) -> dict[str, Any]:
    return {"action": "keep", "source_labels": [source], "regex": regex}


def _relabelled(endpoint: Document) -> Iterator[dict[str, Any]]:
    for rule in endpoint["relabelings"]:
        yield {re.sub(r"(?=[A-Z])", "_", name).lower(): value for name, value in rule.items()}


def sanitized(name: str) -> str:
    """A label's name as Prometheus can have it: all but letters, digits and "_" become "_"."""
    return re.sub(r"\W", "_", name, flags=re.ASCII)
