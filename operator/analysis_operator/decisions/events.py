"""The Events that the operator posts on a resource: what has become different, each once."""

import dataclasses
from collections.abc import Iterator

from analysis_module.names import ConditionType
from analysis_module.status import Condition, ModuleStatus, Truth
from analysis_operator.decisions.observed import Observed

REASONS = {
    "Accepted": "the spec can be run, after it could not",
    "Applied": "every worker runs the newest configuration, after some had refused it",
    "Autoscaled": "the autoscaler has changed the number of workers",
    "CallbackMissing": "the ConfigMap or key of callback.configMapRef is not there",
    "Conflict": "another resource uses the same group or output topic",
    "Degraded": "the phase has become Degraded",
    "DependantsLeft": "this module is deleted while others join its outputs",
    "DependencyCycle": "modules depend on each other in a circle",
    "DependencyLeaving": "a module that this one joins is being deleted",
    "DependencyMissing": "no resource provides a topic that this one joins",
    "DependencyNotRunning": "a module that this one joins does not run",
    "Failed": "the operator could not do what it had planned",
    "Found": "every dependency is provided, after one was not",
    "HotEdit": "an edit reaches running workers; they are not restarted",
    "InvalidSpec": "the spec says something wrong",
    "NoDependencies": "the module joins no other any more",
    "PartitionCount": "a topic's number of partitions rules out routing Aligned",
    "Pending": "the phase has become Pending",
    "Progressing": "the phase has become Progressing",
    "Reachable": "Kafka and every topic are there, after they were not",
    "Refused": "a worker refuses the newest configuration and keeps the one it has",
    "Rejected": "the phase has become Rejected",
    "Repaired": "an object that others had changed or deleted is as planned again",
    "RollingEdit": "an edit replaces a worker",
    "Running": "the phase has become Running",
    "Suspended": "the phase has become Suspended",
    "TooLarge": "the configuration does not fit into a ConfigMap",
    "TopicsMissing": "topics that the module reads do not exist",
    "Unreachable": "Kafka is not reached",
}
"""Every reason there is, and when it is given."""

_BAD_WHEN_FALSE = (
    ConditionType.ACCEPTED,
    ConditionType.DEPENDENCIES_READY,
    ConditionType.KAFKA_REACHABLE,
    ConditionType.CONFIG_APPLIED,
)
_ORDINARY = "Lagging"
"""The one reason for a bad condition that every edit passes through."""


@dataclasses.dataclass(frozen=True)
class Event:
    """A Kubernetes Event about the module: `kind` is Normal or Warning, `reason` one of REASONS."""

    kind: str
    reason: str
    message: str


def transitions(observed: Observed, told: ModuleStatus) -> Iterator[Event]:
    """Events for what differs between the last status and the one to be written."""
    last = observed.module.last_told
    before = {each.type: each for each in last.conditions}
    for each in told.conditions:
        old = before.get(each.type)
        if each.type not in _BAD_WHEN_FALSE or (old is not None and old.reason == each.reason):
            continue
        if _is_bad(each):
            yield Event("Warning", each.reason, each.message)
        elif old is not None and _is_bad(old) and each.status is Truth.TRUE:
            yield Event("Normal", each.reason, each.message)
    if told.autoscaling is not None and last.autoscaling is not None:
        was, now = last.autoscaling.replicas, told.autoscaling.replicas
        if was != now:
            yield Event("Normal", "Autoscaled", f"{was} -> {now} workers: {told.autoscaling.reason}")
    if not observed.module.status or last.phase is not told.phase:
        before_that = last.phase if observed.module.status else "new"
        yield Event("Normal", str(told.phase), f"{before_that} -> {told.phase}, {told.ready} workers ready")


def _is_bad(condition: Condition) -> bool:
    return condition.status is Truth.FALSE and condition.reason != _ORDINARY
