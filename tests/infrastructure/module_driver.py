"""What a user does with one AnalysisModule, and what a test asks of it."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from analysis_module import assignment as assignments
from analysis_module import names
from tests.infrastructure import api_client, waiting
from tests.infrastructure.cluster_access import ClusterAccess

PATIENCE_SECONDS = 60.0
CHILDREN = (
    api_client.CONFIG_MAPS,
    api_client.DEPLOYMENTS,
    api_client.SERVICES,
    api_client.Resource("policy/v1", "poddisruptionbudgets"),
    api_client.Resource("networking.k8s.io/v1", "networkpolicies"),
)


class ModuleDriver:
    """One AnalysisModule in a namespace of the test's."""

    def __init__(self, cluster: ClusterAccess, namespace: str, name: str) -> None:
        self.api = cluster.api
        self.namespace = namespace
        self.name = name
        self.spec: dict[str, Any] = {}

    def apply(self, spec: Mapping[str, Any] | None = None, **changes: Any) -> None:
        """Apply the spec with top-level fields replaced, as `kubectl apply --server-side` does."""
        self.spec = {**(spec if spec is not None else self.spec), **changes}
        self.api.apply(self.manifest(self.spec), manager="user", force=True)

    def manifest(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        """The whole object."""
        return {
            "apiVersion": names.API_GROUP_VERSION,
            "kind": names.KIND,
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": dict(spec),
        }

    def scale(self, replicas: int) -> None:
        """As `kubectl scale` does, by the scale subresource; the spec kept here follows."""
        change = {"spec": {"replicas": replicas}}
        self.api.patch(api_client.MODULES, self.name, change, namespace=self.namespace, subresource="scale")
        self.spec = {**self.spec, "workers": {**self.spec.get("workers", {}), "replicas": replicas}}

    def delete(self) -> None:
        """Delete it."""
        self.api.delete(api_client.MODULES, self.name, namespace=self.namespace)

    # -- asking -------------------------------------------------------------------------------------

    def get(self) -> dict[str, Any]:
        """The object."""
        return self.api.get(api_client.MODULES, self.name, namespace=self.namespace)

    @property
    def status(self) -> dict[str, Any]:
        """Its status, {} before there is one."""
        found: dict[str, Any] = self.get().get("status") or {}
        return found

    def condition(self, kind: str) -> dict[str, Any]:
        """One condition, {} while there is none."""
        return next((each for each in self.status.get("conditions", ()) if each["type"] == kind), {})

    def row(self) -> dict[str, Any]:
        """What `kubectl get` shows of it."""
        rows = self.api.table(api_client.MODULES, namespace=self.namespace)
        return next(row for row in rows if row["Name"] == self.name)

    def events(self) -> list[tuple[str, str]]:
        """Reason and message of each Event about it, oldest first."""
        found = self.api.items(api_client.EVENTS, namespace=self.namespace)
        ours = [each for each in found if each["involvedObject"].get("name") == self.name]
        ours = [each for each in ours if each["involvedObject"].get("kind") == names.KIND]
        ours.sort(key=lambda each: int(each["metadata"]["resourceVersion"]))
        return [(each["reason"], each["message"]) for each in ours]

    def children(self) -> dict[tuple[str, str], dict[str, Any]]:
        """Everything that was made for it, by plural and name."""
        selector = f"{names.LABEL_MODULE}={self.name}"
        return {
            (resource.plural, each["metadata"]["name"]): each
            for resource in CHILDREN
            for each in self.api.items(resource, namespace=self.namespace, labels=selector)
        }

    def pods(self) -> dict[str, dict[str, Any]]:
        """Its pods by name."""
        selector = f"{names.LABEL_MODULE}={self.name}"
        found = self.api.items(api_client.PODS, namespace=self.namespace, labels=selector)
        return {each["metadata"]["name"]: each for each in found}

    def assignments(self) -> dict[int, assignments.Assignment]:
        """What the shards are told, by number."""
        found = {}
        for (plural, _), document in self.children().items():
            if plural == api_client.CONFIG_MAPS.plural:
                told = assignments.Assignment.from_json(document["data"][names.ASSIGNMENT_FILE])
                found[told.shard] = told
        return found

    # -- waiting ------------------------------------------------------------------------------------

    def until(self, condition: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait; the error tells the module's status."""
        try:
            waiting.until(condition, what=what, timeout_seconds=seconds)
        except TimeoutError as error:
            object_now = self.api.find(api_client.MODULES, self.name, namespace=self.namespace) or {}
            raise AssertionError(f"{error}; {json.dumps(object_now.get('status'), indent=1)}") from error

    def until_settled(self, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until the newest spec runs everywhere and nothing is under way."""

        def settled() -> bool:
            found = self.get()
            status = found.get("status") or {}
            progressing: dict[str, Any] = next(
                (each for each in status.get("conditions", ()) if each["type"] == "Progressing"), {}
            )
            return bool(
                status.get("observedGeneration") == found["metadata"]["generation"]
                and progressing.get("status") == "False"
                and status["config"]["lagging"] == 0
            )

        self.until(settled, f"{self.name} is settled", seconds)

    def until_pods(self, count: int) -> None:
        """Wait until it has that many pods."""
        self.until(lambda: len(self.pods()) == count, f"{self.name} has {count} pods")

    def until_phase(self, phase: str, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until the phase is that one, of the newest spec."""

        def reached() -> bool:
            found = self.get()
            status = found.get("status") or {}
            newest = status.get("observedGeneration") == found["metadata"]["generation"]
            return bool(newest and status.get("phase") == phase)

        self.until(reached, f"{self.name} is {phase}", seconds)

    def until_condition(
        self, kind: str, status: str, reason: str | None = None, seconds: float = PATIENCE_SECONDS
    ) -> dict[str, Any]:
        """Wait until a condition is that; it is returned."""

        def reached() -> bool:
            found = self.condition(kind)
            return found.get("status") == status and reason in (None, found.get("reason"))

        self.until(reached, f"{kind} is {status} {reason or ''}", seconds)
        return self.condition(kind)
