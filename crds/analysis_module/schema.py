"""The CRD of AnalysisModule, made from the types of `spec` and `status`: nothing is written down twice.

Types, enums, bounds, forms, defaults and descriptions come from the fields; the rules of `schema_rules` and
`schema_wiring_rules` hold fields together. What only this page says is how long lists may be, so that the
API server can tell beforehand that checking the rules is cheap.

Defaults: the API server fills them only into objects that the manifest has. Each leaf has its default
there, `workers` is made when it is left out (`kubectl scale` needs `spec.workers.replicas`), and no other
part is. So `kafka.security` stays absent when a user leaves it out, and the operator's own Kafka settings
may stand in for it; for the same reason bootstrapServers, consumer and producer have no default.

Lists: texts are sets, and parts are keyed by what names them, so that the API server itself refuses a
doubled entry: it shows its place and its name, where a rule in CEL could show neither.
"""

import enum
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from analysis_module import cel, names, schema_rules, schema_wiring_rules, shape, spec, status, wording

_SOURCE = re.compile(r" \(seed system [^)]*\)")

_PART_RULES = {**schema_rules.PARTS, **schema_wiring_rules.PARTS}

CRD_NAME = f"{names.PLURAL}.{names.API_GROUP}"
LONGEST_TEXT = 1_024  # where the field does not say otherwise, as in `reading`

MOST = {
    "spec.kafka.bootstrapServers": 32,
    "spec.kafka.consumer": 128,
    "spec.kafka.producer": 128,
    "spec.stations.include": 10_000,
    "spec.stations.exclude": 10_000,
    "spec.inputs": 64,
    "spec.inputs[].fields": 200,
    "spec.inputs[].arrays": 200,
    "spec.inputs[].aliases": 200,
    "spec.inputs[].aliases{}": 16,
    "spec.inputs[].dtypes": 200,
    "spec.inputs[].stationKey.fields": 32,
    "spec.dependencies": 32,
    "spec.trigger.requiredTopics": 96,
    "spec.callback.parameters": 1_000,
    "spec.workers.resources": 16,
    "spec.workers.podTemplate": 16,
}
"""Path -> how many items a list, or names an object of the user's own, may have at most."""

OPERATORS_OWN = {"spec.kafka.bootstrapServers", "spec.kafka.consumer", "spec.kafka.producer"}
"""Leaves without a default here: where they are absent the operator's settings may stand in."""
KEYS = {"spec.inputs": "topic", "spec.dependencies": "module"}
"""Lists of parts -> the field that names an entry."""
MADE_WHEN_ABSENT = {"spec.workers"}
"""Parts with a default, {}."""

_COLUMNS = (
    ("Phase", "string", ".status.phase", 0),
    ("Ready", "string", ".status.ready", 0),
    ("Stations", "integer", ".status.stations", 0),
    ("Lag", "integer", ".status.lag", 0),
    ("Config", "string", ".status.config.summary", 0),
    ("Age", "date", ".metadata.creationTimestamp", 0),
    ("Module", "string", ".spec.module", 1),
    ("Output", "string", ".status.outputTopic", 1),
    ("Rate", "number", ".status.rate", 1),
    ("Reason", "string", f'.status.conditions[?(@.type=="{names.ConditionType.READY.value}")].reason', 1),
)
"""Name, type, path and priority of what `kubectl get` shows; 1 = with `-o wide` only."""


def crd() -> dict[str, Any]:
    """The whole CustomResourceDefinition, JSON-ready; a new object at each call."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": CRD_NAME},
        "spec": {
            "group": names.API_GROUP,
            "names": {
                "kind": names.KIND,
                "listKind": names.LIST_KIND,
                "plural": names.PLURAL,
                "singular": names.SINGULAR,
                "shortNames": [names.SHORT_NAME],
                "categories": [names.CATEGORY],
            },
            "scope": "Namespaced",
            "versions": [_version()],
        },
    }


def meaning(member: shape.Member) -> str:
    """One line on a field: its own, or what its type says of itself; "" if neither says anything."""
    own = str(member.field.metadata["doc"])
    kind = shape.item_of(member.hint) or member.hint
    speaks = isinstance(kind, type) and (issubclass(kind, enum.Enum) or shape.is_part(kind))
    return own or (said_of(kind) if speaks else "")


def said_of(kind: type) -> str:
    """The first lines of a type's docstring in the words of a manifest: no sources, no Python names."""
    text = " ".join((kind.__doc__ or "").split("\n\n")[0].split())
    text = _SOURCE.sub("", text)
    for member in shape.members(kind) if shape.is_part(kind) else ():
        text = text.replace(member.attribute, member.name)
    return text


def _version() -> dict[str, Any]:
    return {
        "name": names.API_VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": _object()},
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.workers.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            },
        },
        "additionalPrinterColumns": [
            {"name": name, "type": kind, "jsonPath": path} | ({"priority": priority} if priority else {})
            for name, kind, path, priority in _COLUMNS
        ],
    }


def _object() -> dict[str, Any]:
    return {
        "type": "object",
        "description": "One analysis module: what it reads, computes and writes, and its workers.",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": _part(spec.ModuleSpec, shape.ROOT),
            "status": _status(status.ModuleStatus),
        },
    } | _written(_rules(""))


def _rules(path: str) -> Iterable[cel.Rule]:
    return schema_rules.PLACES.get(path, ())


def _written(rules: Iterable[cel.Rule]) -> dict[str, Any]:
    """Rules as a schema has them; {} without any."""
    entries = [rule.to_json() for rule in rules]
    return {"x-kubernetes-validations": entries} if entries else {}


# -- spec ------------------------------------------------------------------------------------------------


def _part(part: type, path: str) -> dict[str, Any]:
    members = shape.members(part)
    required = [member.name for member in members if member.required]
    schema: dict[str, Any] = {"type": "object", "description": said_of(part)}
    schema |= {"required": required} if required else {}
    schema["properties"] = {member.name: _field(member, f"{path}.{member.name}") for member in members}
    return schema | _written([*_rules(path), *_PART_RULES.get(part, ())])


def _field(member: shape.Member, path: str) -> dict[str, Any]:
    schema = _typed(member, member.hint, path)
    schema["description"] = _described(member)
    if path in MADE_WHEN_ABSENT:
        schema["default"] = {}
    elif not (member.required or member.nullable or path in OPERATORS_OWN or shape.is_part(member.hint)):
        schema["default"] = _json(member.default())
    return schema


def _described(member: shape.Member) -> str:
    """What a field means, and its form in words."""
    pattern = member.field.metadata["pattern"]
    return f"{meaning(member)} Form: {wording.form(pattern)}." if pattern else meaning(member)


def _typed(member: shape.Member, hint: Any, path: str) -> dict[str, Any]:
    """The schema of a value of the type `hint` in the field `member`."""
    if shape.is_part(hint):
        return _part(hint, path)
    item, value = shape.item_of(hint), shape.value_of(hint)
    if item is not None:
        listed = _typed(member, item, f"{path}[]")
        schema = {"type": "array", "maxItems": MOST[path], "items": listed} | _list_type(path)
    elif value is Any:
        schema = {"type": "object", "maxProperties": MOST[path], "x-kubernetes-preserve-unknown-fields": True}
        schema |= schema_rules.KNOWN_INSIDE.get(path, {})
    elif value is not None:
        entries = _typed(member, value, f"{path}{{}}")
        schema = {"type": "object", "maxProperties": MOST[path], "additionalProperties": entries}
    else:
        return _scalar(member, hint) | _written([*_leaf_rules(member, hint), *_rules(path)])
    return schema | _written(_rules(path))


def _leaf_rules(member: shape.Member, hint: type) -> Iterator[cel.Rule]:
    """What the schema's own words cannot say of a value.

    A form once more, with the mend, and without the value, which the API server repeats where a pattern
    fails: a secret has this rule alone. A minimum such as 0.001 once more: the API server compares whole
    numbers with its whole part, so that it would take 0.
    """
    pattern, least = member.field.metadata["pattern"], member.field.metadata["minimum"]
    if hint is str and pattern is not None:
        message = f"{member.name} does not have the right form; give {wording.form(pattern)}"
        yield cel.Rule(f"self.matches({cel.form(pattern)})", message)
    if hint is float and least is not None and not float(least).is_integer():
        bounds = wording.interval(least, member.field.metadata["maximum"])
        yield cel.Rule(f"self >= {least}", f"{member.name} is less than {least}; give a number {bounds}")


def _list_type(path: str) -> dict[str, Any]:
    if path not in KEYS:
        return {"x-kubernetes-list-type": "set"}
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [KEYS[path]]}


def _scalar(member: shape.Member, hint: type) -> dict[str, Any]:
    metadata = member.field.metadata
    if issubclass(hint, enum.Enum):
        return {"type": "string", "enum": [choice.value for choice in hint]}
    if hint is bool:
        return {"type": "boolean"}
    if hint is str:
        shortest = 1 if metadata["minimum"] is None else metadata["minimum"]
        schema = {"type": "string", "minLength": shortest, "maxLength": metadata["maximum"] or LONGEST_TEXT}
        unshown = any(member in shape.members(part) for part in spec.UNSHOWN)
        form = None if unshown else metadata["pattern"]
        return schema | ({"pattern": f"^(?:{form})$"} if form else {})
    bounds = {"minimum": metadata["minimum"], "maximum": metadata["maximum"]}
    return _number(hint) | {bound: value for bound, value in bounds.items() if value is not None}


def _number(hint: type) -> dict[str, Any]:
    return {"type": "integer", "format": "int64"} if hint is int else {"type": "number"}


def _json(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, tuple):
        return [_json(entry) for entry in value]
    return dict(value) if isinstance(value, Mapping) else value


# -- status ------------------------------------------------------------------------------------------------


def _status(part: type) -> dict[str, Any]:
    """The schema of a part of the status.

    Its lists and most of its texts are unbounded, and words that a later operator may add are open: a
    refused write would hide the whole status.
    """
    members = shape.members(part)
    required = [member.name for member in members if member.required]
    schema: dict[str, Any] = {"type": "object", "description": said_of(part)}
    schema |= {"required": required} if required else {}
    schema["properties"] = {member.name: _status_field(member) for member in members}
    return schema


def _status_field(member: shape.Member) -> dict[str, Any]:
    schema = _status_typed(member.hint) | {"description": meaning(member)}
    if shape.item_of(member.hint) is status.Condition:
        schema |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
    bounds: Mapping[str, Any] = member.field.metadata["bounds"]
    return {**schema, **bounds}


def _status_typed(hint: Any) -> dict[str, Any]:
    if shape.is_part(hint):
        return _status(hint)
    if shape.item_of(hint) is not None:
        listed = _status_typed(shape.item_of(hint))
        return {"type": "array", "x-kubernetes-list-type": "atomic", "items": listed}
    return {"type": "string"} if issubclass(hint, str) else _number(hint)
