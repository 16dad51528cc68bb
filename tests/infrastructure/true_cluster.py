"""What a user has: Kubernetes with a true node that has our images, Kafka that pods reach, and a release.

From a shell: `python -m tests.infrastructure.true_cluster` brings it up, installs the chart, prints the
addresses and runs until Ctrl-C or SIGTERM.
"""

import argparse
import contextlib
import dataclasses
import signal
import sys
import threading
import time
from typing import Self

from tests.infrastructure import (
    control_plane,
    helm,
    images,
    kafka_cluster,
    kubernetes_distribution,
    node_namespaces,
    true_node,
)

RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
"""Labels of a namespace in which a pod that asks for more than the least is refused."""


@dataclasses.dataclass(frozen=True)
class Release:
    """The chart as installed on a cluster, in its namespace, and when (monotonic) that began."""

    cluster: "TrueCluster"
    namespace: str
    began: float


class TrueCluster:
    """The cluster, there from `start` to `stop`; before `install` it has not heard of AnalysisModules."""

    def __init__(self) -> None:
        self._open = contextlib.ExitStack()
        self.images: images.Images
        self.place: node_namespaces.NodeNamespaces
        self.plane: control_plane.ControlPlane
        self.node: true_node.TrueNode
        self.kafka: kafka_cluster.KafkaCluster

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Builds what lacks and starts all; raises as its parts do, `programs.Unavailable` unless root."""
        true_node.prepare()
        self.images = images.build()
        with contextlib.ExitStack() as opened:
            self.place = opened.enter_context(node_namespaces.NodeNamespaces())
            address = self.place.machine_address
            self.kafka = opened.enter_context(kafka_cluster.KafkaCluster(host=address))
            self.plane = opened.enter_context(control_plane.ControlPlane(address=address))
            self.node = opened.enter_context(true_node.TrueNode(self.plane, self.place, self.images.all()))
            self._open = opened.pop_all()

    def stop(self) -> None:
        """Ends all, in the opposite order. May be called twice."""
        self._open.close()

    def install(self, values: helm.Values | None = None) -> Release:
        """`helm install` in a new namespace that enforces `restricted`; returns when the operator is ready.

        Raises helm.HelmRefused.
        """
        namespace = self.plane.namespace("analysis", RESTRICTED)
        began = time.monotonic()
        where = ["--namespace", namespace]
        helm.run(
            *("install", helm.RELEASE, str(helm.CHART), "--wait", *where),
            values=values or {},
            kubeconfig=self.plane.kubeconfig,
        )
        return Release(self, namespace, began)


def main() -> None:
    """Runs a cluster with the chart installed until Ctrl-C or SIGTERM; how to use it goes to stdout."""
    argparse.ArgumentParser(description=main.__doc__).parse_args()
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: ended.set())
    with contextlib.suppress(KeyboardInterrupt), TrueCluster() as cluster:
        cluster.install()
        print(f"export KUBECONFIG={cluster.plane.kubeconfig}")
        print(f"export PATH={kubernetes_distribution.kubectl().parent}:$PATH")
        print(f"export KAFKA_BOOTSTRAP_SERVERS={cluster.kafka.bootstrap_servers}")
        sys.stdout.flush()
        ended.wait()


if __name__ == "__main__":
    main()
