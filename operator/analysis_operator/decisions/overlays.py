"""What a module may add to its workers' pods, and how that is laid over what the operator plans.

Whoever may write an AnalysisModule need not be allowed to make pods: what would lift the pod's restrictions,
or lend it another identity, is refused here, whatever the namespace enforces.
"""

import copy
import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Any

from analysis_module import errors, names, wording

CONTAINER = "worker"
"""The name of the container that an overlay may add to."""

_TEMPLATE = {"metadata": Mapping, "spec": Mapping}
_METADATA = {"labels": Mapping, "annotations": Mapping}
_POD = {
    "affinity": Mapping,
    "containers": list,
    "dnsConfig": Mapping,
    "hostAliases": list,
    "imagePullSecrets": list,
    "nodeSelector": Mapping,
    "priorityClassName": str,
    "runtimeClassName": str,
    "schedulerName": str,
    "terminationGracePeriodSeconds": int,
    "tolerations": list,
    "topologySpreadConstraints": list,
    "volumes": list,
}
_CONTAINER = {"name": str, "env": list, "envFrom": list, "volumeMounts": list, "resources": Mapping}
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
_RESOURCES = {"requests": Mapping, "limits": Mapping, "claims": list}
_QUANTITY = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+|[numkMGTPE]|[KMGTPE]i)?")
_KEYS = {
    "containers": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "volumeMounts": "mountPath",
    "volumes": "name",
}
"""Lists that an overlay adds to, item by item, and what tells their items apart."""
_RESERVED_VOLUMES = ("assignment", "tmp")
_RESERVED_PLACES = (names.ASSIGNMENT_DIRECTORY, names.SECRETS_DIRECTORY)
_RESERVED_VARIABLES = (names.ENV_INLINE_SOURCE,)
_WORDS: Mapping[Any, str] = {Mapping: "an object", list: "a list", str: "text", int: "a whole number"}


def problems(overlay: Mapping[str, Any], path: str) -> Iterator[errors.Problem]:
    """What an overlay may not say; `path` is where it stands."""
    yield from _shape(overlay, _TEMPLATE, path)
    metadata, pod = (_inner(overlay, name, Mapping) or {} for name in _TEMPLATE)
    yield from _shape(metadata, _METADATA, f"{path}.metadata")
    for name in _METADATA:
        yield from _texts(_inner(metadata, name, Mapping) or {}, f"{path}.metadata.{name}")
    yield from _shape(pod, _POD, f"{path}.spec")
    for where, container in _items(pod, "containers", f"{path}.spec"):
        yield from _container(container, where)
    for where, volume in _items(pod, "volumes", f"{path}.spec"):
        yield from _volume(volume, where)
    yield from _nameless(pod, "imagePullSecrets", f"{path}.spec")


def _shape(part: Mapping[str, Any], allowed: Mapping[str, Any], path: str) -> Iterator[errors.Problem]:
    """Fields that are not allowed, or of another type."""
    for name, value in part.items():
        if name not in allowed:
            wrong = "may not be set by a module: the operator keeps its pods restricted"
            yield errors.Problem(f"{path}.{name}", wrong, f"remove it; allowed are {', '.join(allowed)}")
        elif value is not None and _inner(part, name, allowed[name]) is None:
            wanted = _WORDS[allowed[name]]
            yield errors.Problem(
                f"{path}.{name}", f"is {wording.kind(value)}, not {wanted}", f"give {wanted}"
            )


def _inner(part: Mapping[str, Any], name: str, kind: Any) -> Any:
    """A field's value, None if it has none of that type."""
    value = part.get(name)
    return value if isinstance(value, kind) and not isinstance(value, bool) else None


def _items(part: Mapping[str, Any], name: str, path: str) -> Iterator[tuple[str, Any]]:
    for index, item in enumerate(_inner(part, name, list) or ()):
        yield f"{path}.{name}[{index}]", item


def _nameless(part: Mapping[str, Any], name: str, path: str) -> Iterator[errors.Problem]:
    """Items of a list that lack what tells them apart."""
    key = _KEYS[name]
    for where, item in _items(part, name, path):
        if not isinstance(item, Mapping) or not isinstance(item.get(key), str):
            yield errors.Problem(f"{where}.{key}", "is missing", f"give an object with {key}")


def _texts(part: Mapping[str, Any], path: str) -> Iterator[errors.Problem]:
    for name, value in part.items():
        domain = name.rpartition("/")[0]
        if not isinstance(value, str):
            yield errors.Problem(f"{path}.{name}", f"is {wording.shown(value)}, not text", "quote it")
        elif domain.endswith(names.API_GROUP) or domain == "app.kubernetes.io":
            yield errors.Problem(f"{path}.{name}", "is the operator's own", "choose another name")
        elif domain.endswith(".kubernetes.io") and ".security." in f".{domain}":
            # The old way to lift AppArmor and seccomp, which Pod Security still knows.
            yield errors.Problem(f"{path}.{name}", "would lift the pod's restrictions", "remove it")


def _container(container: Any, path: str) -> Iterator[errors.Problem]:
    if not isinstance(container, Mapping) or container.get("name") != CONTAINER:
        wrong = "is not the worker's container"
        yield errors.Problem(f"{path}.name", wrong, f"give {CONTAINER}; no other container may be added")
        return
    yield from _shape(container, _CONTAINER, path)
    yield from resource_problems(_inner(container, "resources", Mapping) or {}, f"{path}.resources")
    for name in ("env", "volumeMounts"):
        yield from _nameless(container, name, path)
    for where, variable in _items(container, "env", path):
        yield from _variable(variable, where)
    for where, mount in _items(container, "volumeMounts", path):
        yield from _mount(mount, where)


def _variable(variable: Any, path: str) -> Iterator[errors.Problem]:
    if not isinstance(variable, Mapping):
        return
    if variable.get("name") in _RESERVED_VARIABLES:
        yield errors.Problem(f"{path}.name", "is the operator's own", "remove it")
    value = variable.get("value")
    if value is not None and not isinstance(value, str):
        yield errors.Problem(f"{path}.value", f"is {wording.shown(value)}, not text", "quote it")


def _mount(mount: Any, path: str) -> Iterator[errors.Problem]:
    place = mount.get("mountPath") if isinstance(mount, Mapping) else None
    if not isinstance(place, str):
        return
    whole = posixpath.normpath(f"/{place.lstrip('/')}")
    if any(posixpath.commonpath([whole, reserved]) == reserved for reserved in _RESERVED_PLACES):
        yield errors.Problem(f"{path}.mountPath", "is the operator's own", "mount it elsewhere")


def _volume(volume: Any, path: str) -> Iterator[errors.Problem]:
    if not isinstance(volume, Mapping) or not isinstance(volume.get("name"), str):
        yield errors.Problem(f"{path}.name", "is missing", "name the volume")
        return
    if volume["name"] in _RESERVED_VOLUMES or volume["name"].startswith("secret-"):
        yield errors.Problem(f"{path}.name", "is the operator's own", "choose another name")
    for name in volume:
        if name != "name" and name not in _VOLUMES:
            mend = f"use one of {', '.join(_VOLUMES)}"
            yield errors.Problem(f"{path}.{name}", "is not a kind of volume that a module may mount", mend)


def resource_problems(resources: Mapping[str, Any], path: str) -> Iterator[errors.Problem]:
    """What is wrong with a container's resources, quantity by quantity."""
    yield from _shape(resources, _RESOURCES, path)
    for name in ("requests", "limits"):
        for resource, quantity in (_inner(resources, name, Mapping) or {}).items():
            if isinstance(quantity, bool | list | dict) or not _QUANTITY.fullmatch(str(quantity)):
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
        elif isinstance(present, list) and isinstance(value, list) and name in _KEYS:
            merged[name] = _joined(present, value, name)
        elif value is not None:
            merged[name] = copy.deepcopy(value)
    return merged


def _joined(present: list[Any], added: list[Any], name: str) -> list[Any]:
    """Items of the same key: the worker's container is laid over, others are replaced."""
    key = _KEYS[name]
    joined = {item[key]: item for item in present}
    for item in added:
        whole = name == "containers" and item[key] in joined
        joined[item[key]] = _merged(joined[item[key]], item) if whole else copy.deepcopy(dict(item))
    return list(joined.values())
