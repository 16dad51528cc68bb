"""Whether an object in the cluster is as planned, and where it is not.

Only fields that the plan names count: what others have added, and what the API server has filled in, stays.
"""

import decimal
import re
from collections.abc import Mapping
from typing import Any

from analysis_operator.decisions import manifests
from analysis_operator.decisions.manifests import Manifest
from analysis_operator.decisions.observed import Child

_KEYS = ("name", "mountPath", "containerPort", "port", "topologyKey", "uid")
"""Fields that tell the items of a list of objects apart, in order of preference."""
_IS_QUANTITY = re.compile(r"(.*\.)?((requests|limits)\.[^\]]+|sizeLimit)")
_QUANTITY = re.compile(r"([+-]?[\d.]+)([eE][+-]?\d+)?([numkMGTPE]|[KMGTPE]i)?")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}


def is_outdated(planned: Manifest, live: Child) -> bool:
    """Whether the object was applied from another plan than `planned`, a sealed manifest."""
    name = str(planned["metadata"]["annotations"][manifests.ANNOTATION_PLANNED])
    return planned_name(live.document) != name


def planned_name(document: Mapping[str, Any]) -> str | None:
    """The name of the plan that an object was applied from, None if there is none on it."""
    found = (document["metadata"].get("annotations") or {}).get(manifests.ANNOTATION_PLANNED)
    return str(found) if found is not None else None


def difference(planned: Any, live: Any, path: str = "") -> str | None:
    """The first path where `live` lacks or contradicts what `planned` says, None if it says it all."""
    if isinstance(planned, Mapping):
        if not isinstance(live, Mapping):
            return None if not planned and live is None else path
        for name, value in planned.items():
            found = difference(value, live.get(name), f"{path}.{name}" if path else name)
            if found is not None:
                return found
        return None
    if isinstance(planned, list):
        return _list_difference(planned, live, path)
    return (
        None if planned == live or _is_left_out(path, planned, live) or _same(path, planned, live) else path
    )


def _list_difference(planned: list[Any], live: Any, path: str) -> str | None:
    if not isinstance(live, list):
        return None if not planned and live is None else path
    key = _key_of(planned)
    if key is None:
        if len(planned) != len(live):
            return path
        pairs = enumerate(zip(planned, live, strict=True))
        found = (difference(wanted, there, f"{path}[{index}]") for index, (wanted, there) in pairs)
        return next((where for where in found if where is not None), None)
    present = {item.get(key): item for item in live if isinstance(item, Mapping)}
    for item in planned:
        where = difference(item, present.get(item[key]), f"{path}[{key}={item[key]}]")
        if where is not None:
            return where
    return None


def _key_of(items: list[Any]) -> str | None:
    """The first key that all of the items have, each with another value."""
    for key in _KEYS:
        values = [item[key] for item in items if isinstance(item, Mapping) and key in item]
        if items and len(items) == len(values) == len(set(map(str, values))):
            return key
    return None


def _is_left_out(path: str, planned: Any, live: Any) -> bool:
    """Whether the API server keeps no such value: an empty text, and a `readOnly` that is false."""
    return live is None and (planned == "" or (planned is False and path.endswith(".readOnly")))


def _same(path: str, planned: Any, live: Any) -> bool:
    """Whether two values are one quantity, as 1000m, "1" and 1; the API server writes its own form of it."""
    if not _IS_QUANTITY.fullmatch(path) or isinstance(planned, bool):
        return False
    first, second = _quantity(str(planned)), _quantity(str(live))
    return first is not None and first == second


def _quantity(text: str) -> decimal.Decimal | None:
    match = _QUANTITY.fullmatch(text)
    if match is None:
        return None
    number, exponent, suffix = match.groups()
    try:
        value = decimal.Decimal(number + (exponent or ""))
    except decimal.InvalidOperation:
        return None
    if suffix in _BINARY:
        return value * decimal.Decimal(2 ** _BINARY[suffix])
    return value.scaleb(_DECIMAL.get(suffix, 0))
