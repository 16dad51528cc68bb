"""The conditions of a module that can be run, one function for each, with the mend in every bad message.

Source of the conventions: "Typical status properties" in the Kubernetes API conventions
(https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md).
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence

from analysis_module import assignment as assignments
from analysis_module import spec
from analysis_module.names import ConditionType
from analysis_module.status import ModuleStatus, Truth
from analysis_operator.decisions import drawing, kafka_checks
from analysis_operator.decisions.accepting import Accepted, Refused
from analysis_operator.decisions.fleet import Shard
from analysis_operator.decisions.observed import Observed
from analysis_operator.decisions.rollouts import Intent

_LONGEST_MESSAGE = 1024
_MOST_RESTARTS = 3


@dataclasses.dataclass(frozen=True)
class Finding:
    """A condition without what time and history add to it."""

    type: ConditionType
    status: Truth
    reason: str
    message: str


def _finding(type_: ConditionType, good: bool | None, reason: str, message: str) -> Finding:
    value = {True: Truth.TRUE, False: Truth.FALSE, None: Truth.UNKNOWN}[good]
    return Finding(type_, value, reason, message[:_LONGEST_MESSAGE])


def of_refused(observed: Observed, outcome: Refused, *, running: bool) -> Iterator[Finding]:
    """What is known of a module that cannot be run; `running` says that workers of it go on."""
    suffix = ". What runs already goes on unchanged" if running else ""
    yield _finding(ConditionType.ACCEPTED, False, outcome.reason, "; ".join(outcome.problems)[:900] + suffix)
    yield dependencies(observed)


def of_accepted(
    observed: Observed,
    outcome: Accepted,
    shards: Sequence[Shard],
    intended: Mapping[int, Intent],
    told: ModuleStatus,
) -> Iterator[Finding]:
    """What is known of a module that can be run; `told` is its status but for phase and conditions."""
    yield _finding(ConditionType.ACCEPTED, True, "Accepted", "the spec can be run")
    yield dependencies(observed)
    yield _kafka(observed, outcome, shards)
    yield _assigned(outcome.asked, intended)
    yield _applied(outcome.asked, told)
    yield _ready(outcome.asked, told)
    yield _progressing(outcome.asked, shards, intended, told)
    yield _degraded(observed, outcome, shards, told)


def dependencies(observed: Observed) -> Finding:
    """Whether every module that this one joins is there and runs."""
    kind, near = ConditionType.DEPENDENCIES_READY, observed.neighbours
    if near.cycle:
        return _finding(
            kind, False, "DependencyCycle", drawing.cycle_text(near.cycle) + "; remove one of them"
        )
    if near.missing:
        missing = ", ".join(f"{module} (topic {topic})" for module, topic in near.missing)
        mend = "apply an AnalysisModule for it, or remove it from spec.dependencies"
        return _finding(kind, False, "DependencyMissing", f"nobody provides {missing}; {mend}")
    if near.leaving:
        leaving = ", ".join(near.leaving)
        return _finding(kind, False, "DependencyLeaving", f"{leaving} is being deleted; apply it again")
    if near.waiting:
        waiting = ", ".join(near.waiting)
        return _finding(kind, False, "DependencyNotRunning", f"{waiting} does not run; see its status")
    if near.providers:
        return _finding(kind, True, "Found", f"provided by {', '.join(near.providers)}")
    return _finding(kind, True, "NoDependencies", "the module depends on no other")


def _kafka(observed: Observed, outcome: Accepted, shards: Iterable[Shard]) -> Finding:
    reports = [shard.report for shard in shards if shard.report is not None]
    finding = kafka_checks.examine(outcome.asked, outcome.wiring, observed.kafka, reports)
    return _finding(ConditionType.KAFKA_REACHABLE, finding.good, finding.reason, finding.message)


def _assigned(asked: spec.ModuleSpec, intended: Mapping[int, Intent]) -> Finding:
    kind = ConditionType.ASSIGNED
    owned = sum(len(intent.holding.slots) for intent in intended.values())
    total, shards = asked.partitioning.slots, asked.workers.replicas
    leaving = {n: intent.holding.releasing for n, intent in intended.items() if intent.holding.releasing}
    if leaving:
        said = ", ".join(f"shard {n} lets go of {assignments.format_slots(s)}" for n, s in leaving.items())
        return _finding(kind, False, "HandOver", f"{owned} of {total} slots are owned; {said}")
    if owned < total:
        reason = "NoWorkers" if shards == 0 else "HandOver"
        return _finding(kind, False, reason, f"{owned} of {total} slots are owned by {shards} shards")
    return _finding(kind, True, "Assigned", f"{total} slots over {shards} shards")


def _applied(asked: spec.ModuleSpec, told: ModuleStatus) -> Finding:
    kind, config = ConditionType.CONFIG_APPLIED, told.config
    if asked.suspend or asked.workers.replicas == 0:
        return _finding(kind, None, "NoWorkers", "no worker runs that could take it over")
    if config.refused:
        said = "; ".join(config.refused)
        return _finding(kind, False, "Refused", f"{said}. The workers go on with what they had")
    if config.lagging:
        total = config.applied + config.lagging
        return _finding(kind, False, "Lagging", f"{config.applied} of {total} workers run {config.desired}")
    return _finding(kind, True, "Applied", f"all {config.applied} workers run {config.desired}")


def _ready(asked: spec.ModuleSpec, told: ModuleStatus) -> Finding:
    kind = ConditionType.READY
    if asked.suspend:
        return _finding(kind, False, "Suspended", "spec.suspend is true; offsets are kept")
    if asked.workers.replicas == 0:
        return _finding(kind, False, "NoWorkers", "spec.workers.replicas is 0; offsets are kept")
    if told.ready_replicas < asked.workers.replicas:
        return _finding(kind, False, "WorkersNotReady", f"{told.ready} workers are ready")
    return _finding(kind, True, "Ready", f"{told.ready} workers are ready")


def _progressing(
    asked: spec.ModuleSpec, shards: Sequence[Shard], intended: Mapping[int, Intent], told: ModuleStatus
) -> Finding:
    kind = ConditionType.PROGRESSING
    if asked.suspend:
        alive = sum(1 for shard in shards if shard.alive)
        if alive:
            return _finding(kind, True, "Stopping", f"{alive} workers are stopping")
        return _finding(kind, False, "Suspended", "nothing is under way")
    following = list(_following(intended))
    if any(intent.holding.releasing for intent in intended.values()):
        return _finding(kind, True, "HandOver", "; ".join(["slots are changing hands", *following]))
    if following:
        return _finding(kind, True, "Following", "; ".join(following))
    waiting = [number for number, intent in intended.items() if intent.waits]
    if waiting:
        turn = ", ".join(map(str, waiting))
        return _finding(kind, True, "RollingOut", f"shards {turn} wait for their turn")
    if restoring := list(_restoring(shards)):
        return _finding(kind, True, "Restoring", "; ".join(restoring))
    if told.ready_replicas < asked.workers.replicas:
        return _finding(kind, True, "Starting", f"{told.ready} workers are ready")
    if told.config.lagging and not told.config.refused:
        return _finding(kind, True, "ApplyingConfig", f"{told.config.summary} workers run the new config")
    return _finding(kind, False, "Settled", "nothing is under way")


def _following(intended: Mapping[int, Intent]) -> Iterator[str]:
    """Say which shard follows slots that nobody lets go of yet: they wait for it."""
    leaving = frozenset[int]().union(*(intent.holding.releasing for intent in intended.values()))
    for number, intent in intended.items():
        if awaited := intent.holding.arriving - leaving:
            yield f"shard {number} follows {assignments.format_slots(awaited)}"


def _restoring(shards: Iterable[Shard]) -> Iterator[str]:
    """Say how much of their windows shards have back, in tens: each change of it is written."""
    for shard in shards:
        report = shard.report
        if report is not None and report.state in ("restoring", "running") and report.restored < 1.0:
            yield f"shard {shard.shard} has restored {int(report.restored * 10) * 10} % of its windows"


def _degraded(observed: Observed, outcome: Accepted, shards: Sequence[Shard], told: ModuleStatus) -> Finding:
    kind = ConditionType.DEGRADED
    for shard in shards:
        pod = shard.pod
        if pod is not None and (pod.waiting or pod.restarts >= _MOST_RESTARTS) and not pod.ready:
            why = pod.waiting or "its container keeps ending"
            said = f"pod {pod.name} does not run: {why}, {pod.restarts} restarts; see its log and its events"
            return _finding(kind, True, "PodFailing", said)
    kafka = _kafka(observed, outcome, shards)
    if kafka.status is Truth.FALSE:
        return _finding(kind, True, kafka.reason, kafka.message)
    if told.config.refused:
        return _finding(kind, True, "ConfigRefused", "; ".join(told.config.refused))
    found = dependencies(observed)
    if found.status is Truth.FALSE:
        return _finding(kind, True, found.reason, found.message)
    return _finding(kind, False, "AsPlanned", "nothing is amiss")
