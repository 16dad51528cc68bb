"""The rights that the chart grants are those that the operator uses: none is missing, none is idle.

The operator runs with the chart's own service account through all it does; the API server's audit log
says which verbs it used. To create by server-side apply is logged as a patch with code 201, and needs
the right to create.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.infrastructure import api_client, helm, numbered_stream, waiting
from tests.infrastructure.control_plane import ControlPlane
from tests.infrastructure.kafka_cluster import KafkaEndpoint
from tests.infrastructure.module_driver import ModuleDriver
from tests.infrastructure.operator_process import OperatorProcess
from tests.infrastructure.process_node import ProcessNode

Right = tuple[str, str]
"""Resource (with its subresource) and verb."""

GRANTS = ("ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")
DISCOVERY = {("", "get")}


class Scene:
    """A control plane with the chart's rights in a namespace, and an operator that has no others."""

    def __init__(self, plane: ControlPlane, directory: Path, *, namespaced: bool) -> None:
        self.plane = plane
        self.namespace = plane.namespace("rights")
        self._directory = directory
        self._scope = {"namespaces": [self.namespace]} if namespaced else {}
        rendered = helm.template({**self._scope, "rbac": {"aggregate": False}}, namespace=self.namespace)
        self.documents = [each for each in rendered if each["kind"] in GRANTS]
        for document in self.documents:
            plane.api.apply(document, manager="helm")
        (account,) = (each for each in self.documents if each["kind"] == "ServiceAccount")
        self.account = str(account["metadata"]["name"])

    def operator(self, name: str, **settings: Any) -> OperatorProcess:
        """An operator with the rights of the chart's service account."""
        return OperatorProcess(
            self._directory,
            self.plane.kubeconfig_of_service_account(self.namespace, self.account),
            lease_namespace=self.namespace,
            name=name,
            settings={**self._scope, **settings},
        )

    def granted(self) -> set[Right]:
        """What the rules say."""
        rules = [rule for each in self.documents for rule in each.get("rules") or ()]
        return {
            (resource, verb) for rule in rules for resource in rule["resources"] for verb in rule["verbs"]
        }

    def used(self) -> set[Right]:
        """What the audit log says, refusals included."""
        found = {right for event in self._events() for right in _rights(event)}
        return found - DISCOVERY

    def refused(self) -> list[str]:
        """Requests that the API server forbade."""
        return [
            f"{event['verb']} {event['requestURI']}"
            for event in self._events()
            if event.get("responseStatus", {}).get("code") == 403
        ]

    def _events(self) -> list[dict[str, Any]]:
        user = f"system:serviceaccount:{self.namespace}:{self.account}"
        return [each for each in self.plane.audit_events() if each["user"]["username"] == user]


def _rights(event: Mapping[str, Any]) -> Iterator[Right]:
    reference = event.get("objectRef") or {}
    resource = reference.get("resource", "")
    if reference.get("subresource"):
        resource += f"/{reference['subresource']}"
    yield resource, event["verb"]
    if event["verb"] == "patch" and event.get("responseStatus", {}).get("code") == 201:
        yield resource, "create"


@pytest.mark.parametrize("namespaced", [False, True], ids=["cluster", "namespaced"])
def test_each_right_is_used_and_none_is_missing(
    control_plane_lone: ControlPlane, kafka: KafkaEndpoint, tmp_path: Path, namespaced: bool
) -> None:
    scene = Scene(control_plane_lone, tmp_path, namespaced=namespaced)
    kinds = {each["kind"] for each in scene.documents}
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
    assert scene.refused() == []
    waiting.until(lambda: scene.used() == scene.granted(), what=_unequal(scene), timeout_seconds=5)


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


def _unequal(scene: Scene) -> str:
    granted, used = scene.granted(), scene.used()
    return f"idle: {sorted(granted - used)}, missing: {sorted(used - granted)}"
