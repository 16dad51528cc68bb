"""What the operator answers: the `status` of an AnalysisModule as frozen types, to JSON and back.

The types are also where the CRD's schema of `status` comes from. Reading never fails: a status is only
ever the operator's own earlier words, so what cannot be understood counts as not said.
"""
# ruff: noqa: RUF009  (told() makes a field, not a value)

import dataclasses
import enum
from collections.abc import Iterable, Mapping
from typing import Any, Final

from analysis_module import names, shape

MOST_REFUSED = 10
LONGEST_REFUSED = 300
LONGEST_MESSAGE = 32_768  # the bound of a condition's message in Kubernetes' own API

_BEYOND = 2**63  # no number of a status is as large
_UNREADABLE: Final = object()


class Truth(enum.StrEnum):
    """Whether a condition holds."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


def told(doc: str, default: Any = dataclasses.MISSING, **bounds: Any) -> Any:
    """A field of the status: one line for the reference, a default, and bounds as a schema names them."""
    metadata = {"doc": doc, "bounds": bounds}
    if isinstance(default, type):
        return dataclasses.field(default_factory=default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Condition:
    """One fact about the module, as Kubernetes' API conventions spell it."""

    type: names.ConditionType = told("What the fact is about.", maxLength=316)
    status: Truth = told("Whether it holds.", enum=[each.value for each in Truth])
    reason: str = told("One CamelCase word that says why.", minLength=1, maxLength=1024)
    message: str = told("A sentence for people, with the mend.", "", maxLength=LONGEST_MESSAGE)
    observed_generation: int = told("metadata.generation that the fact was found for.", 0, minimum=0)
    last_transition_time: str = told("When `status` last changed, RFC 3339 in UTC.", "", format="date-time")

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", self.message[:LONGEST_MESSAGE])


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConfigCounts:
    """How far the newest configuration has reached the workers."""

    desired: str = told('Hash of the configuration that all should run; "" before there is one.', "")
    applied: int = told("Workers that run it.", 0)
    lagging: int = told("Workers that do not run it yet.", 0)
    refused: tuple[str, ...] = told("What workers said against it, each after its shard; the first ten.", ())
    summary: str = told("Applied of all, as 2/2.", "0/0")

    def __post_init__(self) -> None:
        cut = tuple(text[:LONGEST_REFUSED] for text in self.refused[:MOST_REFUSED])
        object.__setattr__(self, "refused", cut)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShardStatus:
    """One shard: what it owns, and how its worker fares."""

    shard: int = told("Number of the shard, from 0.")
    slots: str = told("Slots that it owns, as 0-31,40.", "")
    releasing: str = told("Slots that it is giving up, as 0-31,40.", "")
    arriving: str = told("Slots that it follows, to take them over, as 0-31,40.", "")
    stations: int = told("Stations that it runs for.", 0)
    epoch: int = told("Version of the slot plan that it has confirmed.", 0)
    state: str = told("What the worker says of itself.", "")
    pod: str = told('Name of its pod; "" without one.', "")
    lag: int = told("Records that it has not read yet.", 0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class AutoscalingStatus:
    """How many workers the autoscaler has come to, and since when; times are RFC 3339 in UTC."""

    replicas: int = told("Workers that the module shall have now.")
    scaled_at: str = told("When that last changed.", "", format="date-time")
    low_since: str = told('Since when fewer would do; "" while they would not.', "")
    reason: str = told("Why it is so many.", "")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModuleStatus:
    """The whole `status` of an AnalysisModule."""

    phase: names.Phase = told("The conditions in one word.", names.Phase.PENDING)
    observed_generation: int = told("metadata.generation that this status answers.", 0)
    module: str = told("The module that runs.", "")
    output_topic: str = told('Topic of the outputs; "" when they are off.', "")
    epoch: int = told("Version of the slot plan.", 0)
    replicas: int = told("Workers that exist.", 0)
    ready_replicas: int = told("Workers that are ready.", 0)
    ready: str = told("Ready workers of those wanted, as 2/2.", "0/0")
    selector: str = told("Label selector of the workers' pods, for the scale subresource.", "")
    stations: int = told("Stations that the module runs for.", 0)
    lag: int | None = told("Records that are not read yet; absent while unknown.", None)
    lag_seconds: float | None = told("Age of the oldest unread record, in seconds.", None)
    rate: float | None = told("Records processed per second.", None)
    config: ConfigCounts = told("How far the configuration has come.", ConfigCounts)
    autoscaling: AutoscalingStatus | None = told("What the autoscaler has come to; absent without one.", None)
    shards: tuple[ShardStatus, ...] = told("The shards, by number.", ())
    dependencies: tuple[str, ...] = told("Resources whose outputs this one joins, as namespace/name.", ())
    dependants: tuple[str, ...] = told("Resources that join the outputs of this one, as namespace/name.", ())
    conditions: tuple[Condition, ...] = told("The facts that the phase sums up.", ())

    def is_true(self, kind: names.ConditionType) -> bool:
        """Whether a condition is there and holds."""
        return any(each.type is kind and each.status is Truth.TRUE for each in self.conditions)

    def to_json(self) -> dict[str, Any]:
        """Write a JSON-ready object: every field but those that are None."""
        written: dict[str, Any] = _written(self)
        return written

    @classmethod
    def from_json(cls, document: object) -> "ModuleStatus":
        """Read what `to_json` wrote, whatever is given.

        A field that cannot be read has its default, an entry of a list that cannot be read is left out, and
        what is no object at all is an empty status. Raises nothing.
        """
        read = _read(cls, document)
        return read if isinstance(read, cls) else cls()


def merged_conditions(old: Iterable[Condition], new: Iterable[Condition], now: str) -> tuple[Condition, ...]:
    """Give the conditions of `new`, each with the time since when its status is what it is.

    That is the time of the old condition of the same type and status, else `now` (RFC 3339, UTC). The order
    is that of `names.ConditionType`; a type that `new` does not have is gone, of two the last counts.
    """
    before = {condition.type: condition for condition in old}
    wanted = {condition.type: condition for condition in new}
    return tuple(
        dataclasses.replace(wanted[kind], last_transition_time=_since(before.get(kind), wanted[kind]) or now)
        for kind in names.ConditionType
        if kind in wanted
    )


def _since(old: Condition | None, new: Condition) -> str:
    return old.last_transition_time if old is not None and old.status == new.status else ""


def _written(value: Any) -> Any:
    if shape.is_part(value.__class__):
        entries = {each.name: getattr(value, each.attribute) for each in shape.members(value.__class__)}
        return {name: _written(entry) for name, entry in entries.items() if entry is not None}
    if isinstance(value, tuple):
        return [_written(entry) for entry in value]
    return value.value if isinstance(value, enum.Enum) else value


def _read(hint: Any, value: object) -> Any:
    """Read a value as the type `hint`; _UNREADABLE if it is not of it."""
    item = shape.item_of(hint)
    if item is not None:
        entries = value if isinstance(value, list | tuple) else ()
        return tuple(read for read in (_read(item, entry) for entry in entries) if read is not _UNREADABLE)
    if shape.is_part(hint):
        return _read_part(hint, value)
    if issubclass(hint, enum.Enum):
        known = isinstance(value, str) and value in [choice.value for choice in hint]
        return hint(value) if known else _UNREADABLE
    return _read_scalar(hint, value)


def _read_part(part: type, value: object) -> Any:
    if not isinstance(value, Mapping):
        return _UNREADABLE
    values = {}
    for member in shape.members(part):
        read = _read(member.hint, value.get(member.name))
        if read is not _UNREADABLE:
            values[member.attribute] = read
        elif member.required:
            return _UNREADABLE
    return part(**values)


def _read_scalar(kind: type, value: object) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _BEYOND:
        return float(value) if kind is float else value if isinstance(value, kind) else _UNREADABLE
    return value if kind is str and isinstance(value, str) else _UNREADABLE
