"""The rights that the chart grants are those that the operator uses: none is missing, none is idle.

The operator runs with the chart's own service account through all it does; the API server's audit log
says which verbs it used. Every other test runs its operator with these rights too (`operator_account`), and
fails if the API server forbade it anything.
"""

from pathlib import Path
from typing import Any

import pytest

from tests.infrastructure import api_client, numbered_stream
from tests.infrastructure.control_plane import ControlPlane
from tests.infrastructure.kafka_cluster import KafkaEndpoint
from tests.infrastructure.module_driver import ModuleDriver
from tests.infrastructure.operator_account import OperatorAccount
from tests.infrastructure.operator_process import OperatorProcess
from tests.infrastructure.process_node import ProcessNode


class Scene:
    """A namespace, and operators there that share one account with the chart's rights."""

    def __init__(self, plane: ControlPlane, directory: Path, *, namespaced: bool) -> None:
        self.namespace = plane.namespace("rights")
        serves = [self.namespace] if namespaced else None
        self.account = OperatorAccount(plane, self.namespace, serves=serves)
        self._directory = directory

    def operator(self, name: str, **settings: Any) -> OperatorProcess:
        """An operator with the rights of the account."""
        return OperatorProcess(
            self._directory,
            self.account.kubeconfig,
            lease_namespace=self.namespace,
            name=name,
            settings={**self.account.scope, **settings},
        )

    def difference(self) -> str:
        """What is granted and not used, used and not granted."""
        granted, used = self.account.granted(), self.account.used()
        return f"idle: {sorted(granted - used)}, missing: {sorted(used - granted)}"


@pytest.mark.parametrize("namespaced", [False, True], ids=["cluster", "namespaced"])
def test_each_right_is_used_and_none_is_missing(
    control_plane_lone: ControlPlane, kafka: KafkaEndpoint, tmp_path: Path, namespaced: bool
) -> None:
    scene = Scene(control_plane_lone, tmp_path, namespaced=namespaced)
    account = scene.account
    kinds = {each["kind"] for each in account.documents}
    assert ("ClusterRole" in kinds) != namespaced
    with ProcessNode(control_plane_lone):
        stream = numbered_stream.make(kafka.bootstrap_servers, "rights")
        module = ModuleDriver(control_plane_lone, scene.namespace, "numbered")
        with scene.operator("first") as operator:
            operator.wait_until_leading()
            live_a_life(module, stream)
            operator.stop()
        with scene.operator("second", workers={"networkPolicy": False}) as operator:
            operator.wait_until_leading()
            module.until(lambda: ("networkpolicies", "numbered") not in module.children(), "it is gone")
            operator.stop()
        module.delete()
        module.until(lambda: not module.pods(), "its pods are gone")
    assert account.refused() == []
    assert account.used() == account.granted(), scene.difference()


def live_a_life(module: ModuleDriver, stream: numbered_stream.NumberedStream) -> None:
    """Everything that the operator does for a module: make, ask, stamp, move slots, delete a shard, tell."""
    callback = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "code", "namespace": module.namespace},
        "data": {"callback.py": numbered_stream.CALLBACK},
    }
    module.api.create(callback)
    spec = stream.spec(callback={"configMapRef": {"name": "code"}}, workers={"replicas": 2})
    module.apply(spec)
    module.until_phase("Running")
    module.apply(padding="Linear")
    module.until_settled()
    module.scale(1)
    module.until_settled()
    module.until_pods(1)
    module.api.delete(api_client.SERVICES, module.name, namespace=module.namespace)
    module.until(lambda: ("services", module.name) in module.children(), "the Service is back")
