"""What Prometheus Operator makes of a ServiceMonitor or a PodMonitor, as far as the chart uses them.

Source: https://prometheus-operator.dev/docs/api-reference/api/. Where the operator would have Prometheus ask
Kubernetes whom to scrape, these ask `kubernetes_discovery`, for Debian builds Prometheus without that.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

Document = Mapping[str, Any]
Rule = dict[str, Any]
PORT_NAMES = {
    "PodMonitor": "__meta_kubernetes_pod_container_port_name",
    "ServiceMonitor": "__meta_kubernetes_endpoint_port_name",
}
ROLES = {"PodMonitor": "pod", "ServiceMonitor": "endpoints"}
LABELS = {"PodMonitor": "pod", "ServiceMonitor": "service"}
"""Whose labels a monitor's selector speaks of."""
ENDPOINTS = {"PodMonitor": "podMetricsEndpoints", "ServiceMonitor": "endpoints"}
GIVEN = {
    "namespace": "__meta_kubernetes_namespace",
    "service": "__meta_kubernetes_service_name",
    "pod": "__meta_kubernetes_pod_name",
    "container": "__meta_kubernetes_pod_container_name",
}
"""What every target is labelled with before a monitor's own rules; a pod has no service."""


def scrape_configurations(monitor: Document, discovery_url: str) -> list[dict[str, Any]]:
    """One job for each endpoint of a monitor; `discovery_url` answers below it for each role."""
    kind, place = monitor["kind"], _place(monitor)
    return [
        {
            "job_name": f"{kind[0].lower()}{kind[1:]}/{place}/{number}",
            "honor_labels": endpoint.get("honorLabels", False),
            "scrape_interval": endpoint["interval"],
            "metrics_path": endpoint["path"],
            "http_sd_configs": [{"url": f"{discovery_url}/{ROLES[kind]}", "refresh_interval": "1s"}],
            "relabel_configs": [
                *_selecting(monitor, endpoint),
                *_labelling(monitor, endpoint),
                *_relabelled(endpoint),
            ],
        }
        for number, endpoint in enumerate(monitor["spec"][ENDPOINTS[kind]])
    ]


def _selecting(monitor: Document, endpoint: Document) -> Iterator[Rule]:
    kind, spec = monitor["kind"], monitor["spec"]
    namespaces = spec.get("namespaceSelector", {})
    if not namespaces.get("any"):
        chosen = namespaces.get("matchNames") or [monitor["metadata"]["namespace"]]
        yield _keep("|".join(map(re.escape, chosen)), "__meta_kubernetes_namespace")
    for name, value in spec["selector"]["matchLabels"].items():
        of = f"__meta_kubernetes_{LABELS[kind]}"
        sources = f"{of}_label_{sanitized(name)}", f"{of}_labelpresent_{sanitized(name)}"
        yield _keep(f"{re.escape(value)};true", *sources)
    yield _keep(re.escape(endpoint["port"]), PORT_NAMES[kind])
    yield {**_keep("Failed|Succeeded", "__meta_kubernetes_pod_phase"), "action": "drop"}


def _labelling(monitor: Document, endpoint: Document) -> Iterator[Rule]:
    for label, source in GIVEN.items():
        if (monitor["kind"], label) != ("PodMonitor", "service"):
            yield {"source_labels": [source], "target_label": label}
    if monitor["kind"] == "PodMonitor":
        yield {"target_label": "job", "replacement": _place(monitor)}
    else:
        yield {"source_labels": [GIVEN["service"]], "target_label": "job"}
    yield {"target_label": "endpoint", "replacement": endpoint["port"]}


def _keep(regex: str, *sources: str) -> Rule:
    return {"action": "keep", "source_labels": list(sources), "regex": regex}


def _relabelled(endpoint: Document) -> Iterator[Rule]:
    for rule in endpoint["relabelings"]:
        yield {re.sub(r"(?=[A-Z])", "_", name).lower(): value for name, value in rule.items()}


def _place(monitor: Document) -> str:
    return f"{monitor['metadata']['namespace']}/{monitor['metadata']['name']}"


def sanitized(name: str) -> str:
    """A label's name as Prometheus can have it: all but letters, digits and "_" become "_"."""
    return re.sub(r"\W", "_", name, flags=re.ASCII)
