"""Which new Assignments a running worker can take over: those whose changes are all hot."""

import dataclasses

from analysis_module import assignment as assignments
from analysis_module import changes, spec


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
    for path, change in changes.compared(old.module_spec, new.module_spec).paths.items():
        if change > spec.Change.HOT:
            raise ChangeRefused(f"{path}: a change of it is {change.name.lower()}; restart the worker for it")


def with_slots(old: assignments.Assignment, new: assignments.Assignment) -> assignments.Assignment:
    """The old Assignment with the slots of one whose config is refused; as it was if they do not fit."""
    same_slots = new.module_spec.partitioning.slots == old.module_spec.partitioning.slots
    if new.epoch < old.epoch or new.owner != old.owner or not same_slots:
        return old
    return dataclasses.replace(old, epoch=new.epoch, slots=new.slots, shard=new.shard, shards=new.shards)


def is_other_callback(new: spec.Callback, old: spec.Callback) -> bool:
    """Whether the callback itself has changed, not only how it is called."""
    how = {"timeout_seconds", "concurrency", "input_format"}
    named = [field.name for field in dataclasses.fields(spec.Callback) if field.name not in how]
    return any(getattr(new, name) != getattr(old, name) for name in named)
