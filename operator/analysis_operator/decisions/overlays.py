"""What a module may add to its workers' pods, and how that is laid over what the operator plans.

Whoever may write an AnalysisModule need not be allowed to make pods: what would lift the pod's restrictions,
or lend it another identity, is refused here, whatever the namespace enforces.
"""

import copy
import re
from collections.abc import Iterator, Mapping
from typing import Any

from analysis_module import errors, wording

CONTAINER = "worker"
"""The name of the container that an overlay may add to."""

_TEMPLATE = ("metadata", "spec")
_METADATA = ("labels", "annotations")
_POD = (
    "affinity",
    "containers",
    "dnsConfig",
    "hostAliases",
    "imagePullSecrets",
    "nodeSelector",
    "priorityClassName",
    "runtimeClassName",
    "schedulerName",
    "terminationGracePeriodSeconds",
    "tolerations",
    "topologySpreadConstraints",
    "volumes",
)
_CONTAINER = ("name", "env", "envFrom", "volumeMounts", "resources")
_VOLUMES = (
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "secret",
)
"""Pod Security `restricted` without projected volumes, which can carry a service account's token."""
_RESOURCES = ("requests", "limits", "claims")
_QUANTITY = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+|[numkMGTPE]|[KMGTPE]i)?")
_KEYS = {
    "containers": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "volumeMounts": "mountPath",
    "volumes": "name",
}
"""Lists that an overlay adds to, item by item, and what tells their items apart."""


def problems(overlay: Mapping[str, Any], path: str) -> Iterator[errors.Problem]:
    """What an overlay may not say; `path` is where it stands."""
    yield from _others(overlay, _TEMPLATE, path)
    metadata, pod = overlay.get("metadata") or {}, overlay.get("spec") or {}
    for name, part in (("metadata", metadata), ("spec", pod)):
        if not isinstance(part, Mapping):
            yield errors.Problem(
                f"{path}.{name}", f"is {wording.kind(part)}, not an object", "give an object"
            )
            return
    yield from _others(metadata, _METADATA, f"{path}.metadata")
    for name in _METADATA:
        yield from _texts(metadata.get(name) or {}, f"{path}.metadata.{name}")
    yield from _others(pod, _POD, f"{path}.spec")
    for index, container in _items(pod, "containers"):
        yield from _container(container, f"{path}.spec.containers[{index}]")
    for index, volume in _items(pod, "volumes"):
        yield from _volume(volume, f"{path}.spec.volumes[{index}]")


def _items(part: Mapping[str, Any], name: str) -> Iterator[tuple[int, Any]]:
    items = part.get(name)
    yield from enumerate(items if isinstance(items, list) else [])


def _others(part: Mapping[str, Any], allowed: tuple[str, ...], path: str) -> Iterator[errors.Problem]:
    for name in part:
        if name not in allowed:
            wrong = "may not be set by a module: the operator keeps its pods restricted"
            yield errors.Problem(f"{path}.{name}", wrong, f"remove it; allowed are {', '.join(allowed)}")


def _texts(part: Any, path: str) -> Iterator[errors.Problem]:
    for name, value in part.items() if isinstance(part, Mapping) else ():
        if not isinstance(value, str):
            yield errors.Problem(f"{path}.{name}", f"is {wording.shown(value)}, not text", "quote it")
        elif "dataanalysis.io/" in name or name.startswith("app.kubernetes.io/"):
            yield errors.Problem(f"{path}.{name}", "is the operator's own", "choose another name")


def _container(container: Any, path: str) -> Iterator[errors.Problem]:
    if not isinstance(container, Mapping) or container.get("name") != CONTAINER:
        wrong = "is not the worker's container"
        yield errors.Problem(f"{path}.name", wrong, f"give {CONTAINER}; no other container may be added")
        return
    yield from _others(container, _CONTAINER, path)
    yield from resource_problems(container.get("resources") or {}, f"{path}.resources")


def _volume(volume: Any, path: str) -> Iterator[errors.Problem]:
    if not isinstance(volume, Mapping) or not isinstance(volume.get("name"), str):
        yield errors.Problem(f"{path}.name", "is missing", "name the volume")
        return
    if volume["name"] in RESERVED_VOLUMES or volume["name"].startswith("secret-"):
        yield errors.Problem(f"{path}.name", "is the operator's own", "choose another name")
    for name in volume:
        if name != "name" and name not in _VOLUMES:
            mend = f"use one of {', '.join(_VOLUMES)}"
            yield errors.Problem(f"{path}.{name}", "is not a kind of volume that a module may mount", mend)


RESERVED_VOLUMES = ("assignment", "tmp")


def resource_problems(resources: Mapping[str, Any], path: str) -> Iterator[errors.Problem]:
    """What is wrong with a container's resources, quantity by quantity."""
    yield from _others(resources, _RESOURCES, path)
    for name in ("requests", "limits"):
        for resource, quantity in (resources.get(name) or {}).items():
            text = str(quantity)
            if isinstance(quantity, bool | list | dict) or not _QUANTITY.fullmatch(text):
                wrong = f"{wording.shown(quantity)} is not a quantity"
                yield errors.Problem(f"{path}.{name}.{resource}", wrong, "write it as 500m, 2 or 1Gi")


def laid_over(template: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """The pod template with the overlay on it: objects merge, keyed lists add or replace, others replace."""
    return _merged(template, {name: overlay[name] for name in _TEMPLATE if overlay.get(name)})


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = copy.deepcopy(dict(base))
    for name, value in over.items():
        present = merged.get(name)
        if isinstance(present, dict) and isinstance(value, Mapping):
            merged[name] = _merged(present, value)
        elif (
            isinstance(present, list) and isinstance(value, list) and (name in _KEYS or name == "containers")
        ):
            merged[name] = _joined(present, value, _KEYS.get(name, ("name",))[0])
        elif value is not None:
            merged[name] = copy.deepcopy(value)
    return merged


def _joined(present: list[Any], added: list[Any], key: str) -> list[Any]:
    joined = {item.get(key): item for item in present}
    for item in added:
        joined[item.get(key)] = _merged(joined.get(item.get(key), {}), item)
    return list(joined.values())
