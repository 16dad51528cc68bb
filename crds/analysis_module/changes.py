"""What an edit of a spec changes, and how strongly that disturbs running workers."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Any

from analysis_module import catalogue, findings, reading, shape, spec, wiring

_INPUTS = f"{shape.ROOT}.inputs"


@dataclasses.dataclass(frozen=True)
class Difference:
    """The settings in which two specs differ: `paths`, in order, each with its change class."""

    paths: Mapping[str, spec.Change]

    @property
    def strongest(self) -> spec.Change:
        """The class that decides what is done; NONE if nothing differs."""
        return max(self.paths.values(), default=spec.Change.NONE)

    @property
    def reason(self) -> str | None:
        """The first path of the strongest class; None if nothing differs."""
        return next((path for path, change in self.paths.items() if change is self.strongest), None)

    def sentence(self) -> str:
        """Say it to people: `rolling: spec.kafka.bootstrapServers (and 2 more)`."""
        if self.reason is None:
            return "nothing changed"
        others = len(self.paths) - 1
        more = f" (and {others} more)" if others else ""
        return f"{self.strongest.name.lower()}: {self.reason}{more}"


def compared(old: spec.ModuleSpec, new: spec.ModuleSpec) -> Difference:
    """Compare two specs by their meaning: defaults written out and the order of keys are no difference.

    Inputs differ as a list, which is hot; one that would be read from other partitions is named besides,
    as that is not.
    """
    paths = changed_paths(old, new)
    if _INPUTS in paths:
        paths += _rerouted(old, new)
    return Difference({path: shape.change_class(path) for path in paths})


def changed_paths(old: spec.ModuleSpec, new: spec.ModuleSpec) -> list[str]:
    """List the paths, as `field_changes` names them, of the settings in which two specs differ."""
    before, after = reading.write_spec(old), reading.write_spec(new)
    known = shape.field_changes()
    return sorted(set(_differences(before, after, shape.ROOT, known)))


def _differences(before: Any, after: Any, path: str, known: Mapping[str, spec.Change]) -> Iterator[str]:
    if _canonical(before) == _canonical(after):
        return
    inner = any(key.startswith(f"{path}.") for key in known)
    keys = (before or {}).keys() | (after or {}).keys() if inner and _are_parts(before, after) else ()
    for key in keys:
        yield from _differences((before or {}).get(key), (after or {}).get(key), f"{path}.{key}", known)
    if not keys:  # a value, or a part that says nothing but stands where there was none
        yield path


def _are_parts(before: Any, after: Any) -> bool:
    return isinstance(before, dict | None) and isinstance(after, dict | None)


def _canonical(value: Any) -> str:
    """Tell apart what Python calls equal and JSON does not: 1, 1.0 and true."""
    return json.dumps(value, sort_keys=True)


def _rerouted(old: spec.ModuleSpec, new: spec.ModuleSpec) -> Iterator[str]:
    """Paths of the inputs that stay but would be read from other partitions."""
    before = {source.topic: source.routing for source in _resolved_inputs(old)}
    for index, source in enumerate(_resolved_inputs(new)):
        if before.get(source.topic, source.routing) != source.routing:
            yield f"{_INPUTS}[{index}].routing"


def _resolved_inputs(module_spec: spec.ModuleSpec) -> tuple[wiring.InputWiring, ...]:
    return catalogue.examine(module_spec, shape.ROOT, findings.Findings()).inputs


def running_part(module_spec: spec.ModuleSpec) -> spec.ModuleSpec:
    """Give the spec without what means nothing to a worker: fields of class NONE have their defaults.

    Two specs with the same running part are the same to every worker, and so is the config hash of an
    Assignment made with it.
    """
    running: spec.ModuleSpec = _running(module_spec)
    return running


def _running(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_running(item) for item in value)
    if not shape.is_part(value.__class__):
        return value
    kept: dict[str, Any] = {}
    for member in shape.members(value.__class__):
        here = member.default() if _is_quiet(member) else _running(getattr(value, member.attribute))
        kept[member.attribute] = here
    return dataclasses.replace(value, **kept)


def _is_quiet(member: shape.Member) -> bool:
    """Whether neither the field nor anything inside it reaches a worker."""
    if member.required or member.change is not spec.Change.NONE:
        return False
    return not shape.is_part(member.hint) or all(map(_is_quiet, shape.members(member.hint)))
