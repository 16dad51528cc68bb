"""The Assignment: all that one worker is told, as a versioned JSON document.

The operator writes it into the shard's ConfigMap, the worker reads it; without an operator `for_shard`
makes it. A worker that cannot read a new one keeps the one it has.
"""

import dataclasses
import functools
import hashlib
import itertools
import json
import re
from collections.abc import Iterable
from typing import Any, ClassVar

from analysis_module import errors, findings, reading, spec, wording

_PATH = "assignment"
_RANGE = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9}))?")
_MOST_SLOTS = 4096


@dataclasses.dataclass(frozen=True)
class Assignment:
    """What one shard runs: the module's spec, the slots it owns, and since which epoch.

    `owner` names the worker; of two Assignments the one with the larger `epoch` is the newer. `arriving` are
    slots that another worker will let go of for this one: it follows them, so that it can go on with them at
    once. Slots may be given as any iterable of numbers.
    """

    module_spec: spec.ModuleSpec
    owner: str
    epoch: int
    slots: frozenset[int]
    shard: int = 0
    shards: int = 1
    arriving: frozenset[int] = frozenset()

    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "slots", frozenset(self.slots))
        object.__setattr__(self, "arriving", frozenset(self.arriving))

    @functools.cached_property
    def config_hash(self) -> str:
        """Twelve hex digits that name the spec, whatever the epoch, the slots and the order of keys."""
        canonical = json.dumps(reading.write_spec(self.module_spec), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    def to_json(self) -> str:
        """Write the document; equal Assignments give equal text."""
        document = {
            "version": self.version,
            "owner": self.owner,
            "epoch": self.epoch,
            "shard": self.shard,
            "shards": self.shards,
            "slots": format_slots(self.slots),
            **({"arriving": format_slots(self.arriving)} if self.arriving else {}),
            "spec": reading.write_spec(self.module_spec),
        }
        return json.dumps(document, sort_keys=True, indent=2)

    @classmethod
    def from_json(cls, text: str | bytes) -> "Assignment":
        """Read the document; raises InvalidSpec with all its problems, and nothing else."""
        return _read(_parsed(text))


def for_shard(module_spec: spec.ModuleSpec, shard: int, shards: int, epoch: int = 0) -> Assignment:
    """Assign one shard of `shards` its run of slots where there is no operator.

    Slot s belongs to shard floor(s * shards / slots), so each slot to exactly one. Raises InvalidSpec if
    `shard` is not one of 0 to `shards - 1`.
    """
    if shards < 1:
        raise errors.InvalidSpec([errors.Problem("shards", f"{shards} is too few", "give 1 or more")])
    if not 0 <= shard < shards:
        wrong = f"there is no shard {shard} of {shards}"
        raise errors.InvalidSpec([errors.Problem("shard", wrong, f"give 0 to {shards - 1}")])
    total = module_spec.partitioning.slots
    slots = frozenset(slot for slot in range(total) if slot * shards // total == shard)
    return Assignment(module_spec, f"{module_spec.module}-{shard}", epoch, slots, shard, shards)


def format_slots(slots: Iterable[int]) -> str:
    """Write slots in ascending order, runs as `first-last`: `0-31,40`; "" for none."""
    ordered = sorted(set(slots))
    runs = []
    for _, run in itertools.groupby(enumerate(ordered), lambda pair: pair[1] - pair[0]):
        numbers = [slot for _, slot in run]
        runs.append(str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]}-{numbers[-1]}")
    return ",".join(runs)


def parse_slots(text: str) -> frozenset[int]:
    """Read what `format_slots` writes.

    Raises ValueError, with the range at fault, for a text of another form and for a slot above 4095, the
    largest that any module can have.
    """
    slots: set[int] = set()
    for piece in text.split(",") if text.strip() else ():
        match = _RANGE.fullmatch(piece.strip())
        if match is None:
            raise ValueError(f"{piece.strip()[:40]!r} is not a slot or a range of slots")
        first, last = int(match[1]), int(match[2] or match[1])
        if not first <= last < _MOST_SLOTS:
            raise ValueError(f"{piece.strip()!r} is not an ascending range below {_MOST_SLOTS}")
        slots.update(range(first, last + 1))
    return frozenset(slots)


def _parsed(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        wrong = f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        problem = errors.Problem(_PATH, wrong, "mend the text there")
    except UnicodeDecodeError as error:
        problem = errors.Problem(_PATH, f"is not UTF-8 text: byte {error.start}", "save it as UTF-8")
    except RecursionError:
        problem = errors.Problem(_PATH, "is nested too deeply", "flatten it")
    except ValueError:  # a number of more digits than Python converts
        problem = errors.Problem(_PATH, "holds a number of absurd length", "shorten it")
    raise errors.InvalidSpec([problem]) from None


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Header:
    """The document's fields beside the spec, as they stand in the text."""

    version: int = spec.setting(change=spec.Change.NONE)
    owner: str = spec.setting(change=spec.Change.NONE)
    epoch: int = spec.setting(change=spec.Change.NONE, minimum=0)
    shard: int = spec.setting(0, change=spec.Change.NONE, minimum=0)
    shards: int = spec.setting(1, change=spec.Change.NONE, minimum=1)
    slots: str = spec.setting("", change=spec.Change.NONE, minimum=0, maximum=32_768)
    arriving: str = spec.setting("", change=spec.Change.NONE, minimum=0, maximum=32_768)


def _read(document: object) -> Assignment:
    if not isinstance(document, dict):
        wrong = f"is {wording.shown(document)}, not an object"
        raise errors.InvalidSpec([errors.Problem(_PATH, wrong, "give an Assignment")])
    found = findings.Findings()
    _check_version(document, found)
    header: _Header = reading.read_part(_Header, document, "", found, besides=("spec",))
    module_spec: spec.ModuleSpec = reading.read_part(spec.ModuleSpec, document.get("spec"), "spec", found)
    slots = _read_slots("slots", header.slots, module_spec, found)
    arriving = _read_slots("arriving", header.arriving, module_spec, found)
    if found.sound("shard") and found.sound("shards") and header.shard >= header.shards:
        wrong = f"{header.shard} is not below shards, {header.shards}"
        found.add("shard", wrong, f"give 0 to {header.shards - 1}")
    if both := slots & arriving:
        found.add("arriving", f"{format_slots(both)[:100]} is in slots too", "leave it out of one of them")
    found.close()
    return Assignment(module_spec, header.owner, header.epoch, slots, header.shard, header.shards, arriving)


def _check_version(document: dict[str, Any], found: findings.Findings) -> None:
    """Refuse another version before anything else of it is read: its fields may mean something else."""
    version = document.get("version")
    if isinstance(version, int) and not isinstance(version, bool) and version != Assignment.version:
        wrong = f"{wording.shown(version)} is not known here"
        found.add("version", wrong, f"give {Assignment.version}, or run a worker that knows it")
        found.close()


def _read_slots(
    name: str, text: str, module_spec: spec.ModuleSpec, found: findings.Findings
) -> frozenset[int]:
    if not found.sound(name):
        return frozenset()
    try:
        slots = parse_slots(text)
    except ValueError as error:
        found.add(name, str(error), "write slots as 0-31,40")
        return frozenset()
    total = module_spec.partitioning.slots
    outside = [slot for slot in slots if slot >= total]
    if outside and found.sound("spec.partitioning.slots"):
        wrong = f"{format_slots(outside)[:100]} is beyond spec.partitioning.slots, {total}"
        found.add(name, wrong, f"give slots from 0 to {total - 1}")
    return slots
