"""Workers' processes in a cluster in memory: what they do with what they are told, and say of it."""

import dataclasses
from typing import Any

from analysis_module import changes as spec_changes
from analysis_module import spec
from analysis_module.assignment import Assignment
from analysis_operator.decisions.observed import Report


@dataclasses.dataclass
class Worker:
    """A worker's process: what it runs, which slots it still drains, and which it has followed.

    None for one of an older version, which has no word for that and reads no Assignment that has it.
    """

    assignment: Assignment
    desired_hash: str
    draining: frozenset[int] = frozenset()
    refused: tuple[str, ...] = ()
    followed: frozenset[int] | None = None

    def __post_init__(self) -> None:
        assert self.followed is not None or not self.assignment.arriving

    def take_over(self, told: Assignment, *, refusal: str | None = None) -> None:
        """Do what a worker does with a new Assignment: refuse it, or let go of what it lost."""
        assert self.followed is not None or not told.arriving
        self.desired_hash = told.config_hash
        paths = spec_changes.compared(self.assignment.module_spec, told.module_spec).paths
        rolling = [path for path, change in paths.items() if change > spec.Change.HOT]
        self.refused = (refusal,) if refusal else tuple(rolling)
        if not self.refused:
            self.draining |= self.assignment.slots - told.slots
            self.assignment = told
            self.followed = None if self.followed is None else self.followed & told.arriving

    def report(self, pod_uid: str, now: float, **changes: Any) -> Report:
        """What it says of itself."""
        given: dict[str, Any] = {
            "pod_uid": pod_uid,
            "taken_at": now,
            "owner": self.assignment.owner,
            "epoch": self.assignment.epoch,
            "applied_hash": self.assignment.config_hash,
            "desired_hash": self.desired_hash,
            "refused": self.refused,
            "state": "running",
            "slots": self.assignment.slots,
            "letting_go": self.draining,
            "followed": self.followed,
            "connected": True,
            **changes,
        }
        return Report(**given)
