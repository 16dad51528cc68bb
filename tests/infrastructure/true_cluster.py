"""What a user has: Kubernetes with a true node that has our images, and Kafka that pods reach.

From a shell: `python -m tests.infrastructure.true_cluster` brings it up, installs the chart, prints the
addresses and runs until Ctrl-C or SIGTERM.
"""

import argparse
import contextlib
import signal
import sys
import threading

from tests.infrastructure import (
    control_plane,
    images,
    kafka_cluster,
    kubernetes_distribution,
    node_namespaces,
    release,
    startable,
    true_node,
)
from tests.infrastructure.cluster_access import ClusterAccess


class TrueCluster(startable.Startable):
    """The cluster, there from `start` to `stop`; it has not heard of AnalysisModules yet."""

    def __init__(self) -> None:
        self._open = contextlib.ExitStack()
        self.images: images.Images
        self.place: node_namespaces.NodeNamespaces
        self.plane: control_plane.ControlPlane
        self.node: true_node.TrueNode
        self.kafka: kafka_cluster.KafkaCluster

    def start(self) -> None:
        """Builds what lacks and starts all; raises as its parts do, `programs.Unavailable` unless root."""
        true_node.prepare()
        self.images = images.build()
        with contextlib.ExitStack() as opened:
            self.place = opened.enter_context(node_namespaces.NodeNamespaces())
            address = self.place.machine_address
            self.kafka = opened.enter_context(kafka_cluster.KafkaCluster(host=address, secured=True))
            self.plane = opened.enter_context(control_plane.ControlPlane(address=address))
            self.node = opened.enter_context(true_node.TrueNode(self.plane, self.place, self.images.all()))
            self._open = opened.pop_all()

    def stop(self) -> None:
        """Ends all, in the opposite order. May be called twice."""
        self._open.close()

    @property
    def access(self) -> ClusterAccess:
        """Kubernetes."""
        return self.plane

    @property
    def bootstrap_servers(self) -> str:
        """Kafka."""
        return self.kafka.bootstrap_servers


def main() -> None:
    """Runs a cluster with the chart installed until Ctrl-C or SIGTERM; how to use it goes to stdout."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--bare", action="store_true", help="do not install the chart")
    bare = parser.parse_args().bare
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: ended.set())
    with contextlib.suppress(KeyboardInterrupt), TrueCluster() as cluster:
        if not bare:
            release.install(cluster)
        print(f"export KUBECONFIG={cluster.plane.kubeconfig}")
        print(f"export PATH={kubernetes_distribution.kubectl().parent}:$PATH")
        print(f"export KAFKA_BOOTSTRAP_SERVERS={cluster.bootstrap_servers}")
        sys.stdout.flush()
        ended.wait()


if __name__ == "__main__":
    main()
