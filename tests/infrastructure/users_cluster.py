"""The cluster of whoever runs the tests: KUBECONFIG says where it is, KAFKA_BOOTSTRAP_SERVERS where Kafka is.

Its nodes must have our images under the names of the chart (kind: `kind load docker-image`), and pods and
tests must reach Kafka at the same addresses. Nothing of it is stopped or restarted.
"""

import os
from pathlib import Path
from typing import Self

from tests.infrastructure import programs
from tests.infrastructure.cluster_access import ClusterAccess, KubeconfigAccess

KUBECONFIG, KAFKA = "KUBECONFIG", "KAFKA_BOOTSTRAP_SERVERS"


class UsersCluster:
    """Such a cluster, as `release.Cluster` wants it."""

    def __init__(self, kubeconfig: Path, bootstrap_servers: str) -> None:
        self._access = KubeconfigAccess(kubeconfig)
        self._bootstrap_servers = bootstrap_servers

    @classmethod
    def of_environment(cls) -> Self | None:
        """The one that the environment names, None if it names none; Unavailable if it names a half."""
        kubeconfig, kafka = (os.environ.get(name, "") for name in (KUBECONFIG, KAFKA))
        if not kubeconfig and not kafka:
            return None
        if not kubeconfig or not kafka:
            raise programs.Unavailable(
                f"one of {KUBECONFIG} and {KAFKA} is set; set both to use a cluster of yours, or none"
            )
        return cls(Path(kubeconfig), kafka)

    @property
    def access(self) -> ClusterAccess:
        """Kubernetes."""
        return self._access

    @property
    def bootstrap_servers(self) -> str:
        """Kafka."""
        return self._bootstrap_servers

    def stop(self) -> None:
        """Forgets the connections."""
        self._access.close()
