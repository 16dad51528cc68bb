"""The objects of one module, as the operator applies them: pure functions from a plan to manifests."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from analysis_module import assignment as assignments
from analysis_module import names
from analysis_operator.decisions import pods
from analysis_operator.decisions.observed import Module

ANNOTATION_PLANNED = f"{names.API_GROUP}/planned"
"""On each object: a name of the manifest that was applied last, by which a removed field is noticed."""
ANNOTATION_RELEASING = f"{names.API_GROUP}/releasing"
"""On a shard's ConfigMap: the slots that its worker was told to let go of and has not confirmed."""
ANNOTATION_DEFAULTS = f"{names.API_GROUP}/defaults"
"""On a Deployment: the operator's defaults in it, which an upgrade of the operator must not change."""

Manifest = dict[str, Any]


def shard_name(module: str, shard: int) -> str:
    """The name of one shard's objects."""
    return f"{module}-{shard}"


def config_map(module: Module, assignment: assignments.Assignment, releasing: frozenset[int]) -> Manifest:
    """The ConfigMap of one shard: its Assignment, and what it has to let go of."""
    name = shard_name(module.key.name, assignment.shard)
    made = _object(module, "v1", "ConfigMap", name, shard=assignment.shard)
    made["data"] = {names.ASSIGNMENT_FILE: assignment.to_json()}
    if releasing:
        annotations = made["metadata"]["annotations"]
        annotations[ANNOTATION_RELEASING] = assignments.format_slots(releasing)
    return made


def deployment(
    module: Module,
    shard: int,
    template: Mapping[str, Any],
    *,
    replicas: int,
    defaults: Mapping[str, Any],
) -> Manifest:
    """The Deployment of one shard: one pod or none, never two at once (strategy Recreate)."""
    made = _object(module, "apps/v1", "Deployment", shard_name(module.key.name, shard), shard=shard)
    made["metadata"]["annotations"][ANNOTATION_DEFAULTS] = json.dumps(defaults, sort_keys=True)
    made["spec"] = {
        "replicas": replicas,
        "revisionHistoryLimit": 2,
        "strategy": {"type": "Recreate"},
        "selector": {
            "matchLabels": {**pods.selector(module.key.name), names.LABEL_SHARD: str(shard)},
        },
        "template": template,
    }
    return made


def service(module: Module) -> Manifest:
    """The Service in front of the workers' HTTP servers: headless, each pod is asked for itself."""
    made = _object(module, "v1", "Service", module.key.name)
    made["spec"] = {
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "selector": pods.selector(module.key.name),
        "ports": [
            {
                "name": names.HTTP_PORT_NAME,
                "port": names.SERVICE_PORT,
                "targetPort": names.HTTP_PORT_NAME,
                "protocol": "TCP",
            }
        ],
    }
    return made


def disruption_budget(module: Module) -> Manifest:
    """The PodDisruptionBudget: a drained node takes one worker of the module at a time."""
    made = _object(module, "policy/v1", "PodDisruptionBudget", module.key.name)
    made["spec"] = {"maxUnavailable": 1, "selector": {"matchLabels": pods.selector(module.key.name)}}
    return made


def network_policy(module: Module) -> Manifest:
    """The NetworkPolicy: nothing reaches a worker but its HTTP port.

    What a worker may reach is left open: brokers advertise addresses that no resource names.
    """
    made = _object(module, "networking.k8s.io/v1", "NetworkPolicy", module.key.name)
    made["spec"] = {
        "podSelector": {"matchLabels": pods.selector(module.key.name)},
        "policyTypes": ["Ingress"],
        "ingress": [{"ports": [{"port": names.HTTP_PORT, "protocol": "TCP"}]}],
    }
    return made


def _object(module: Module, api_version: str, kind: str, name: str, *, shard: int | None = None) -> Manifest:
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": module.key.namespace,
            "labels": pods.labels(module.key.name, shard),
            "annotations": {},
            "ownerReferences": [owner_reference(module)],
        },
    }


def owner_reference(module: Module) -> dict[str, Any]:
    """What lets Kubernetes collect the object once the module is deleted.

    It does not block the owner's deletion, which would need the right to its finalizers
    (https://kubernetes.io/docs/concepts/overview/working-with-objects/owners-dependents/).
    """
    return {
        "apiVersion": names.API_GROUP_VERSION,
        "kind": names.KIND,
        "name": module.key.name,
        "uid": module.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def sealed(manifest: Manifest) -> Manifest:
    """The manifest with its own name on it, by which `drift` knows what was applied."""
    metadata = manifest["metadata"]
    named = {**metadata["annotations"], ANNOTATION_PLANNED: digest(manifest)}
    return {**manifest, "metadata": {**metadata, "annotations": named}}


def digest(document: object) -> str:
    """Twelve hex digits that name a JSON document, whatever the order of its keys."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclasses.dataclass(frozen=True)
class Reference:
    """One object by kind and name, in the module's namespace."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"
