"""Which new Assignments a running worker can take over: those whose changes are all hot."""

from collections.abc import Iterator
from typing import Any

from analysis_module import assignment as assignments
from analysis_module import catalogue, reading, shape, spec


class ChangeRefused(ValueError):
    """A new Assignment that a running worker cannot take over: names the field and the mend."""


def check(old: assignments.Assignment, new: assignments.Assignment) -> None:
    """Raise ChangeRefused if a change needs more than a running worker can do, or is out of date."""
    if new.epoch < old.epoch:
        raise ChangeRefused(f"epoch: {new.epoch} is older than {old.epoch}; an Assignment's epoch only grows")
    if new.owner != old.owner:
        raise ChangeRefused(
            f"owner: {new.owner} is not this worker, {old.owner}; start a worker of that name"
        )
    for path in changed_paths(old.module_spec, new.module_spec):
        change = shape.change_class(path)
        if change > spec.Change.HOT:
            raise ChangeRefused(f"{path}: a change of it is {change.name.lower()}; restart the worker for it")
    for path in _rerouted(old.module_spec, new.module_spec):
        raise ChangeRefused(f"{path}: a change of it is rolling; restart the worker for it")


def _rerouted(old: spec.ModuleSpec, new: spec.ModuleSpec) -> Iterator[str]:
    """Paths of the inputs that stay but would be read from other partitions."""
    before = {source.topic: source.routing for source in catalogue.resolve(old).inputs}
    for index, source in enumerate(catalogue.resolve(new).inputs):
        if before.get(source.topic, source.routing) != source.routing:
            yield f"spec.inputs[{index}].routing"


def changed_paths(old: spec.ModuleSpec, new: spec.ModuleSpec) -> list[str]:
    """Paths of the settings in which two specs differ, as `field_changes` names them."""
    before, after = reading.write_spec(old), reading.write_spec(new)
    known = shape.field_changes()
    return sorted(set(_differences(before, after, "spec", known)))


def _differences(before: Any, after: Any, path: str, known: Any) -> Iterator[str]:
    if before == after:
        return
    inner = any(key.startswith(f"{path}.") for key in known)
    if inner and isinstance(before, dict | None) and isinstance(after, dict | None):
        for key in (before or {}).keys() | (after or {}).keys():
            yield from _differences((before or {}).get(key), (after or {}).get(key), f"{path}.{key}", known)
    else:
        yield path
