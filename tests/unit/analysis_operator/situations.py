"""Modules in every situation that a status tells of, by name."""

import dataclasses
from collections.abc import Callable, Mapping

from analysis_operator.decisions.observed import Callback, KafkaView, Neighbours
from analysis_operator.decisions.planning import Plan
from tests.unit.analysis_operator import fleets
from tests.unit.analysis_operator.fleets import Fleet

TWO = fleets.with_workers(replicas=2)
BAD = "callback.source: invalid syntax at line 1; correct the Python text"


@dataclasses.dataclass(frozen=True)
class Situation:
    """What brings a fleet there, and what its status says then: phase, condition, its value and reason."""

    bring: Callable[[], Fleet]
    phase: str
    condition: str
    value: str
    reason: str

    def plan(self) -> Plan:
        """The plan that is made then."""
        return self.bring().plan()


def running() -> Fleet:
    """Two workers with nothing left to do."""
    fleet = fleets.settled(TWO)
    fleet.seen = {"kafka": KafkaView(reached=True, partitions={"POWER": 3})}
    fleet.settle()
    return fleet


def _with(**seen: object) -> Callable[[], Fleet]:
    def bring() -> Fleet:
        fleet = running()
        fleet.seen |= seen
        return fleet

    return bring


def _neighbours(**near: tuple[object, ...]) -> Callable[[], Fleet]:
    return _with(neighbours=Neighbours(**near))  # type: ignore[arg-type]


def _edited(**spec: object) -> Callable[[], Fleet]:
    def bring() -> Fleet:
        fleet = running()
        fleet.edit(fleets.a_spec(**{"workers": {"replicas": 2}, **spec}))
        return fleet

    return bring


def _after_a_pass(bring: Callable[[], Fleet], *, refusal: str | None = None, pods: bool = False) -> Fleet:
    fleet = bring()
    fleet.step()
    if pods:
        fleet.run_pods()
    if refusal:
        fleet.run_workers(refusal=refusal)
    return fleet


def _fresh() -> Fleet:
    fleet = Fleet(TWO)
    fleet.step()
    return fleet


def _starting() -> Fleet:
    fleet = _fresh()
    fleet.run_pods(ready=False)
    fleet.workers.clear()
    return fleet


def _half_ready() -> Fleet:
    fleet = running()
    fleet.change_pod(1, ready=False)
    return fleet


def _failing(**pod: object) -> Callable[[], Fleet]:
    def bring() -> Fleet:
        fleet = running()
        fleet.change_pod(1, ready=False, **pod)
        return fleet

    return bring


def _suspended() -> Fleet:
    fleet = _edited(suspend=True)()
    fleet.settle()
    return fleet


def _scaled(replicas: int) -> Callable[[], Fleet]:
    def bring() -> Fleet:
        fleet = running()
        fleet.edit(fleets.with_workers(replicas=replicas))
        return fleet

    return bring


def _handing_over() -> Fleet:
    fleet = _scaled(3)()
    fleet.step()
    fleet.run_pods()
    return fleet


def _following() -> Fleet:
    fleet = fleets.settled(TWO, older=False)
    fleet.edit(fleets.with_workers(replicas=3))
    fleet.step()
    fleet.run_pods()
    return fleet


def _restoring() -> Fleet:
    fleet = fleets.settled(TWO)
    fleet.said = {"restored": 0.47}
    return fleet


def _scaled_to_none() -> Fleet:
    fleet = _scaled(0)()
    fleet.settle()
    return fleet


def _callback_missing() -> Fleet:
    fleet = _edited(callback={"configMapRef": {"name": "code"}})()
    fleet.seen["callback"] = Callback(missing="there is no ConfigMap code; apply it")
    return fleet


def _aligned() -> Fleet:
    fleet = fleets.settled(fleets.SPECS["aligned"])
    fleet.seen = {"kafka": KafkaView(reached=True, partitions={"POWER": 3})}
    return fleet


SITUATIONS: Mapping[str, Situation] = {
    "running": Situation(running, "Running", "Ready", "True", "Ready"),
    "running, accepted": Situation(running, "Running", "Accepted", "True", "Accepted"),
    "running, assigned": Situation(running, "Running", "Assigned", "True", "Assigned"),
    "running, applied": Situation(running, "Running", "ConfigApplied", "True", "Applied"),
    "running, settled": Situation(running, "Running", "Progressing", "False", "Settled"),
    "running, as planned": Situation(running, "Running", "Degraded", "False", "AsPlanned"),
    "running, reached": Situation(running, "Running", "KafkaReachable", "True", "Reachable"),
    "running alone": Situation(running, "Running", "DependenciesReady", "True", "NoDependencies"),
    "with providers": Situation(
        _neighbours(providers=("a/b",)), "Running", "DependenciesReady", "True", "Found"
    ),
    "just applied": Situation(_fresh, "Pending", "Ready", "False", "WorkersNotReady"),
    "starting": Situation(_starting, "Pending", "Progressing", "True", "Starting"),
    "nobody has looked at Kafka": Situation(_starting, "Pending", "KafkaReachable", "Unknown", "NotLookedAt"),
    "one of two not ready": Situation(_half_ready, "Progressing", "Progressing", "True", "Starting"),
    "a hot edit": Situation(
        _edited(padding="Linear"), "Progressing", "Progressing", "True", "ApplyingConfig"
    ),
    "a hot edit on its way": Situation(
        _edited(padding="Linear"), "Progressing", "ConfigApplied", "False", "Lagging"
    ),
    "a hot edit refused": Situation(
        lambda: _after_a_pass(_edited(padding="Linear"), refusal=BAD),
        "Degraded",
        "ConfigApplied",
        "False",
        "Refused",
    ),
    "a refused edit is no progress": Situation(
        lambda: _after_a_pass(_edited(padding="Linear"), refusal=BAD),
        "Degraded",
        "Progressing",
        "False",
        "Settled",
    ),
    "degraded by a refusal": Situation(
        lambda: _after_a_pass(_edited(padding="Linear"), refusal=BAD),
        "Degraded",
        "Degraded",
        "True",
        "ConfigRefused",
    ),
    "a rolling edit": Situation(
        _edited(observability={"logFormat": "json"}), "Progressing", "Progressing", "True", "RollingOut"
    ),
    "scaled up": Situation(_scaled(3), "Progressing", "Progressing", "True", "Starting"),
    "scaled up, all assigned": Situation(_scaled(3), "Progressing", "Assigned", "True", "Assigned"),
    "handing over": Situation(_handing_over, "Progressing", "Progressing", "True", "HandOver"),
    "handing over, not assigned": Situation(_handing_over, "Progressing", "Assigned", "False", "HandOver"),
    "following": Situation(_following, "Progressing", "Progressing", "True", "Following"),
    "following, all assigned": Situation(_following, "Progressing", "Assigned", "True", "Assigned"),
    "windows come back": Situation(_restoring, "Progressing", "Progressing", "True", "Restoring"),
    "scaled to nothing": Situation(_scaled_to_none, "Suspended", "Ready", "False", "NoWorkers"),
    "scaled to nothing, not assigned": Situation(
        _scaled_to_none, "Suspended", "Assigned", "False", "NoWorkers"
    ),
    "scaled to nothing, nobody to apply": Situation(
        _scaled_to_none, "Suspended", "ConfigApplied", "Unknown", "NoWorkers"
    ),
    "stopping": Situation(_edited(suspend=True), "Progressing", "Progressing", "True", "Stopping"),
    "suspended": Situation(_suspended, "Suspended", "Ready", "False", "Suspended"),
    "suspended, nothing under way": Situation(_suspended, "Suspended", "Progressing", "False", "Suspended"),
    "an image that is not to be had": Situation(
        _failing(waiting="ImagePullBackOff"), "Degraded", "Degraded", "True", "PodFailing"
    ),
    "a container that keeps ending": Situation(
        _failing(restarts=3), "Degraded", "Degraded", "True", "PodFailing"
    ),
    "no Kafka": Situation(lambda: _disconnected(), "Degraded", "KafkaReachable", "False", "Unreachable"),
    "degraded by Kafka": Situation(lambda: _disconnected(), "Degraded", "Degraded", "True", "Unreachable"),
    "a missing topic": Situation(
        _with(kafka=KafkaView(reached=True)), "Degraded", "KafkaReachable", "False", "TopicsMissing"
    ),
    "another number of partitions": Situation(
        _aligned, "Degraded", "KafkaReachable", "False", "PartitionCount"
    ),
    "a missing dependency": Situation(
        _neighbours(missing=(("other", "OUTPUT"),)),
        "Degraded",
        "DependenciesReady",
        "False",
        "DependencyMissing",
    ),
    "a dependency on its way out": Situation(
        _neighbours(leaving=("a/b",)), "Degraded", "DependenciesReady", "False", "DependencyLeaving"
    ),
    "a dependency that does not run": Situation(
        _neighbours(waiting=("a/b",)), "Degraded", "DependenciesReady", "False", "DependencyNotRunning"
    ),
    "degraded by a dependency": Situation(
        _neighbours(waiting=("a/b",)), "Degraded", "Degraded", "True", "DependencyNotRunning"
    ),
    "a cycle": Situation(
        _neighbours(cycle=("a/a", "b/b")), "Rejected", "DependenciesReady", "False", "DependencyCycle"
    ),
    "rejected for a cycle": Situation(
        _neighbours(cycle=("a/a", "b/b")), "Rejected", "Accepted", "False", "DependencyCycle"
    ),
    "a conflict": Situation(
        _neighbours(conflicts=(("spec.output.topic", "a/b"),)), "Rejected", "Accepted", "False", "Conflict"
    ),
    "a bad spec": Situation(_edited(padding="Round"), "Rejected", "Accepted", "False", "InvalidSpec"),
    "too much": Situation(
        _edited(callback={"source": "#" * 999_999}), "Rejected", "Accepted", "False", "TooLarge"
    ),
    "no callback": Situation(_callback_missing, "Rejected", "Accepted", "False", "CallbackMissing"),
}


def _disconnected() -> Fleet:
    fleet = running()
    fleet.seen["kafka"] = KafkaView(reached=False, error="connection refused")
    fleet.said = {"connected": False}
    return fleet
