"""A Kubernetes cluster as its administrator has it: the API, kubectl, namespaces."""

import abc
import os
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path

from tests.infrastructure import api_client, kubernetes_distribution, waiting

TIMEOUT_SECONDS = 90.0


class ClusterAccess(abc.ABC):
    """Who derives from it says where the kubeconfig is."""

    def __init__(self) -> None:
        self._api: api_client.ApiClient | None = None

    @property
    @abc.abstractmethod
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""

    @property
    def api(self) -> api_client.ApiClient:
        """The API as the administrator sees it."""
        if self._api is None:
            self._api = api_client.ApiClient(self.kubeconfig)
        return self._api

    def close(self) -> None:
        """Closes the connections to the API; the next use opens new ones."""
        if self._api is not None:
            self._api.close()
            self._api = None

    def namespace(self, prefix: str, labels: Mapping[str, str] | None = None) -> str:
        """Creates a namespace with a name of its own, ready for pods; returns the name."""
        name = f"{prefix}-{uuid.uuid4().hex[:8]}"
        metadata = {"name": name, "labels": dict(labels or {})}
        self.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        self._wait_for_service_account(name)
        return name

    def kubectl(
        self, *arguments: str, kubeconfig: Path | None = None, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """What a user gets who types `kubectl ...`, as the administrator unless `kubeconfig` says another."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.kubeconfig.parent),
            "KUBECONFIG": str(kubeconfig or self.kubeconfig),
        }
        command = [str(kubernetes_distribution.kubectl()), *arguments]
        return subprocess.run(
            command, env=environment, input=stdin, capture_output=True, text=True, timeout=120
        )

    def _has_service_account(self, namespace: str) -> bool:
        found = self.api.find(api_client.SERVICE_ACCOUNTS, "default", namespace=namespace)
        return found is not None

    def _wait_for_service_account(self, namespace: str) -> None:
        waiting.until(
            lambda: self._has_service_account(namespace),
            what=f"the namespace {namespace} has its service account",
            timeout_seconds=TIMEOUT_SECONDS,
        )


class KubeconfigAccess(ClusterAccess):
    """A cluster of which nothing but a kubeconfig is known."""

    def __init__(self, kubeconfig: Path) -> None:
        super().__init__()
        self._kubeconfig = kubeconfig

    @property
    def kubeconfig(self) -> Path:
        """The one that was given."""
        return self._kubeconfig
