"""Objects as the API server's watches bring them."""

from collections.abc import Mapping
from typing import Any

from analysis_module import names
from analysis_operator.decisions import pods
from tests.unit.analysis_operator import fleets


def a_module(name: str = "demo", *, version: int = 1, uid: str = "uid-1", **changes: Any) -> dict[str, Any]:
    """An AnalysisModule; `spec`, `status` and fields of its metadata may be changed."""
    spec, status = changes.pop("spec", fleets.SHORTEST), changes.pop("status", None)
    metadata = {
        "namespace": "default",
        "name": name,
        "uid": uid,
        "resourceVersion": str(version),
        "generation": 1,
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "managedFields": [{"manager": "kubectl"}],
        **changes,
    }
    document = {"apiVersion": names.API_GROUP_VERSION, "kind": names.KIND, "metadata": metadata}
    return {**document, "spec": dict(spec)} | ({} if status is None else {"status": status})


def a_child(
    kind: str, name: str, *, module: str = "demo", version: int = 1, uid: str = "", **changes: Any
) -> dict[str, Any]:
    """An object that was made for a module; `owner` is the uid in its owner reference."""
    owner = changes.pop("owner", "uid-1")
    references = [{"kind": names.KIND, "name": module, "uid": owner, "controller": True}]
    metadata: dict[str, Any] = {
        "namespace": "default",
        "name": name,
        "uid": uid or f"uid-{kind}-{name}",
        "resourceVersion": str(version),
        "labels": pods.labels(module, changes.pop("shard", None)),
        "managedFields": [{"manager": names.OPERATOR_NAME, "fieldsV1": {"f:metadata": {}}}],
    }
    if owner is not None:
        metadata["ownerReferences"] = references
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **changes}


def a_pod(
    name: str = "demo-0-a", *, shard: int | None = 0, status: Mapping[str, Any] | None = None, **metadata: Any
) -> dict[str, Any]:
    """A worker's pod that is ready."""
    made = a_child("Pod", name, shard=shard)
    made["metadata"] |= metadata
    ready = {"type": "Ready", "status": "True"}
    given = {"phase": "Running", "podIP": "10.0.0.1", "conditions": [ready], "containerStatuses": []}
    return {**made, "status": given if status is None else dict(status)}
