"""What a real API server makes of a manifest: defaults filled in, quantities in its form, empties gone.

The defaults are those that kube-apiserver 1.34 gave to the operator's objects; see also the API reference,
https://kubernetes.io/docs/reference/kubernetes-api/.
"""

import copy
import decimal
import re
from collections.abc import Mapping
from typing import Any

_QUANTITY = re.compile(r"([+-]?[\d.]+)(?:[eE]([+-]?\d+))?(\D*)")
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12}
_TEXTS = ("value", "key", "priorityClassName", "schedulerName", "runtimeClassName")
"""Texts that are left out when they are empty."""


def canonical_quantity(value: object) -> str:
    """A quantity as the API server writes it: the largest unit that leaves a whole number.

    Source: https://pkg.go.dev/k8s.io/apimachinery/pkg/api/resource#Quantity
    """
    match = _QUANTITY.fullmatch(str(value))
    assert match is not None, value
    number = decimal.Decimal(match[1]) * decimal.Decimal(10) ** int(match[2] or 0)
    if match[3] in _BINARY:
        number *= 2 ** _BINARY[match[3]]
        for suffix, power in reversed(_BINARY.items()):
            if number % 2**power == 0:
                return f"{int(number / 2**power)}{suffix}"
        return str(int(number))
    number = number.scaleb(_DECIMAL[match[3]])
    for suffix, power in reversed(_DECIMAL.items()):
        if number.scaleb(-power) == int(number.scaleb(-power)):
            return f"{int(number.scaleb(-power))}{suffix}"
    raise AssertionError(value)


def stored(manifest: Mapping[str, Any], uid: str, version: int) -> dict[str, Any]:
    """The object that the API server keeps of an applied manifest."""
    document: dict[str, Any] = _without_empties(copy.deepcopy(dict(manifest)))
    document["metadata"] |= {
        "uid": uid,
        "resourceVersion": str(version),
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "managedFields": [{"manager": "analysis-operator", "operation": "Apply"}],
    }
    {"Deployment": _deployment, "Service": _service}.get(document["kind"], lambda _: None)(document)
    return document


def _without_empties(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        parts = {key: _without_empties(part, key) for key, part in value.items()}
        return {key: part for key, part in parts.items() if not _left_out(key, part)}
    if isinstance(value, list):
        return [_without_empties(part, name) for part in value]
    return value


def _left_out(name: str, value: Any) -> bool:
    if name in ("annotations", "labels", "nodeSelector", "resources") and value == {}:
        return name != "resources"
    return (
        value is None or value == [] or (name == "readOnly" and not value) or (name in _TEXTS and value == "")
    )


def _service(document: dict[str, Any]) -> None:
    document["spec"] = {
        "type": "ClusterIP",
        "clusterIPs": ["None"],
        "internalTrafficPolicy": "Cluster",
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
        "sessionAffinity": "None",
    } | document["spec"]
    document["status"] = {"loadBalancer": {}}


def _deployment(document: dict[str, Any]) -> None:
    document["spec"] = {"progressDeadlineSeconds": 600} | document["spec"]
    template = document["spec"]["template"]
    template["spec"] = {
        "dnsPolicy": "ClusterFirst",
        "restartPolicy": "Always",
        "schedulerName": "default-scheduler",
    } | template["spec"]
    for container in template["spec"]["containers"]:
        _container(container)
    for volume in template["spec"]["volumes"]:
        for kind in ("configMap", "secret"):
            if kind in volume:
                volume[kind] = {"defaultMode": 420} | volume[kind]
        if volume.get("emptyDir", {}).get("sizeLimit") is not None:
            volume["emptyDir"]["sizeLimit"] = canonical_quantity(volume["emptyDir"]["sizeLimit"])
    document["status"] = {"observedGeneration": 1}


def _container(container: dict[str, Any]) -> None:
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    container.setdefault("resources", {})
    for part in ("requests", "limits"):
        quantities = container["resources"].get(part, {})
        quantities.update({name: canonical_quantity(value) for name, value in quantities.items()})
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        container[probe] = {"successThreshold": 1} | container[probe]
        container[probe]["httpGet"] = {"scheme": "HTTP"} | container[probe]["httpGet"]
    for variable in container["env"]:
        reference = variable.get("valueFrom", {}).get("fieldRef")
        if reference is not None:
            reference.setdefault("apiVersion", "v1")
