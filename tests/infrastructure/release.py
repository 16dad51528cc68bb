"""A release of the chart on a cluster: installed by helm as a user would, or found there."""

import dataclasses
import json
import signal
import time
from typing import Any, Protocol

from tests.infrastructure import api_client, helm, pod_processes, waiting
from tests.infrastructure.cluster_access import ClusterAccess

RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
"""Labels of a namespace in which a pod that asks for more than the least is refused."""
PODS = f"app.kubernetes.io/name={helm.RELEASE},app.kubernetes.io/component=operator"
"""Selects the operator's pods."""
PATIENCE_SECONDS = 120.0


class Cluster(Protocol):
    """Kubernetes whose nodes have our images, and Kafka that its pods reach."""

    @property
    def access(self) -> ClusterAccess:
        """Kubernetes."""

    @property
    def bootstrap_servers(self) -> str:
        """Kafka, host:port with commas between, at addresses that the pods and this process reach."""

    def stop(self) -> None:
        """Ends what was started for the tests."""


@dataclasses.dataclass(frozen=True)
class Release:
    """The chart as installed on a cluster, in its namespace, and when (monotonic) that began.

    `began` is None if it was there before.
    """

    cluster: Cluster
    namespace: str
    began: float | None

    def run(self, *arguments: str, values: helm.Values | None = None) -> str:
        """`helm ...` in the release's namespace; raises helm.HelmRefused."""
        where = ["--namespace", self.namespace]
        return helm.run(*arguments, *where, values=values, kubeconfig=self.cluster.access.kubeconfig)

    def operators(self) -> set[str]:
        """The names of the operator's pods that are not on their way out."""
        found = self.cluster.access.api.items(api_client.PODS, namespace=self.namespace, labels=PODS)
        return {each["metadata"]["name"] for each in found if "deletionTimestamp" not in each["metadata"]}

    def kill_operators(self) -> int:
        """Kills the processes of all its pods with SIGKILL; returns how many pods those were.

        Raises as `pod_processes.of_pod`.
        """
        api, pods = self.cluster.access.api, self.operators()
        processes = [each for pod in pods for each in pod_processes.of_pod(api, self.namespace, pod)]
        pod_processes.signal_all(processes, signal.SIGKILL)
        return len(pods)

    def scale_operator(self, replicas: int) -> None:
        """`kubectl scale` of the operator; returns when it has so many ready pods, and no others."""
        api = self.cluster.access.api
        change = {"spec": {"replicas": replicas}}
        api.patch(api_client.DEPLOYMENTS, helm.RELEASE, change, namespace=self.namespace, subresource="scale")

        def is_so() -> bool:
            found = api.get(api_client.DEPLOYMENTS, helm.RELEASE, namespace=self.namespace)
            pods = api.items(api_client.PODS, namespace=self.namespace, labels=PODS)
            return bool(len(pods) == found["status"].get("readyReplicas", 0) == replicas)

        waiting.until(is_so, what=f"{replicas} operators are ready", timeout_seconds=PATIENCE_SECONDS)

    def uninstall(self) -> None:
        """`helm uninstall`; the CRD and all modules stay."""
        self.run("uninstall", helm.RELEASE, "--wait")


def install(cluster: Cluster, *options: str) -> Release:
    """`helm install` in a new namespace that enforces `restricted`; returns when the operator is ready.

    Raises helm.HelmRefused.
    """
    release = Release(cluster, cluster.access.namespace("analysis", RESTRICTED), time.monotonic())
    release.run("install", helm.RELEASE, str(helm.CHART), "--wait", *options)
    return release


def found(cluster: Cluster) -> Release | None:
    """The release that is there already, in whatever namespace."""
    told: list[dict[str, Any]] = json.loads(
        helm.run(
            *("list", "--all-namespaces", "--filter", f"^{helm.RELEASE}$", "--output", "json"),
            kubeconfig=cluster.access.kubeconfig,
        )
    )
    return next((Release(cluster, each["namespace"], None) for each in told), None)
