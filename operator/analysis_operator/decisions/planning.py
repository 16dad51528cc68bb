"""`plan`: from what is observed of one module to all that is to be done about it. The operator's heart.

What cannot be accepted changes nothing: workers that run go on with what they have, and the status says why.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping

from analysis_module import assignment as assignments
from analysis_module import changes, names, spec, status
from analysis_operator.decisions import (
    accepting,
    drift,
    events,
    fleet,
    handover,
    manifests,
    pods,
    rollouts,
    scaling,
    verdicts,
)
from analysis_operator.decisions.accepting import Accepted
from analysis_operator.decisions.events import Event
from analysis_operator.decisions.fleet import Shard
from analysis_operator.decisions.handover import Holding
from analysis_operator.decisions.manifests import Manifest, Reference
from analysis_operator.decisions.observed import Child, Observed, Report
from analysis_operator.decisions.options import Options
from analysis_operator.decisions.rollouts import Intent

STAMP_AGAIN_SECONDS = 10.0
"""A worker that has not taken its Assignment over by then is brought another sync of its volume."""
_SOON, _LATER = 0.2, 2.0
_DELETED = ("Deployment", "ConfigMap", "NetworkPolicy")
"""Kinds of which a change of a spec or a setting leaves one over."""


@dataclasses.dataclass(frozen=True)
class Apply:
    """One object to apply; `drifted` is the path where the cluster's one was changed by others, if it was."""

    manifest: Manifest
    new: bool
    drifted: str | None = None

    @property
    def reference(self) -> Reference:
        """The object's kind and name."""
        return Reference(self.manifest["kind"], self.manifest["metadata"]["name"])


@dataclasses.dataclass(frozen=True)
class Stamp:
    """A pod to stamp, so that the kubelet syncs its volumes at once; `since` its Assignment is this one."""

    pod: str
    value: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be done about one module, in this order: apply, stamp, delete, report.

    `look_again_seconds` is when to look at it again even if nothing wakes the operator.
    """

    apply: tuple[Apply, ...] = ()
    stamp: tuple[Stamp, ...] = ()
    delete: tuple[Reference, ...] = ()
    status: status.ModuleStatus
    events: tuple[Event, ...] = ()
    look_again_seconds: float


def plan(observed: Observed, options: Options, now: float) -> Plan:
    """Decide what to do about one module; `now` is in seconds since the epoch."""
    outcome = accepting.accept(observed, options)
    shards = fleet.shards_of(observed)
    if not isinstance(outcome, Accepted):
        told = verdicts.refused(observed, outcome, shards, now)
        happened = tuple(events.transitions(observed, told))
        return Plan(status=told, events=happened, look_again_seconds=options.status_seconds)
    asked, autoscaling = scaling.scaled(outcome.asked, observed, shards, now)
    outcome = dataclasses.replace(outcome, asked=asked)
    holdings = _holdings(outcome.asked, shards, observed)
    intended = rollouts.intended(outcome.asked, shards, holdings, options)
    wanted = [
        *_shared(observed, options),
        *_sharded(observed, outcome, shards, intended, options),
    ]
    applied = tuple(_changes(observed, map(manifests.sealed, wanted)))
    stamps = tuple(_stamps(outcome, shards, intended, now))
    told = verdicts.accepted(observed, outcome, shards, intended, now)
    told = dataclasses.replace(told, autoscaling=autoscaling)
    happened = (
        *events.transitions(observed, told),
        *_edits(outcome, shards, intended, applied),
        *_repairs(observed, applied),
    )
    return Plan(
        apply=applied,
        stamp=stamps,
        delete=tuple(_superfluous(observed, wanted)),
        status=told,
        events=happened,
        look_again_seconds=_look_again(told, shards, stamps, options, now),
    )


def _holdings(asked: spec.ModuleSpec, shards: Mapping[int, Shard], observed: Observed) -> dict[int, Holding]:
    held = {
        number: shard.holding
        for number, shard in shards.items()
        if shard.holding.slots or shard.holding.releasing or number < asked.workers.replicas
    }
    return handover.step(
        held,
        unconfirmed=fleet.unconfirmed(shards),
        slots=asked.partitioning.slots,
        shards=asked.workers.replicas,
        readiness=fleet.readiness(shards),
        last_epoch=observed.module.last_told.epoch,
    )


# -- what there shall be ----------------------------------------------------------------------------


def _shared(observed: Observed, options: Options) -> Iterator[Manifest]:
    yield manifests.service(observed.module)
    yield manifests.disruption_budget(observed.module)
    if options.network_policy:
        yield manifests.network_policy(observed.module)


def _sharded(
    observed: Observed,
    accepted: Accepted,
    shards: Mapping[int, Shard],
    intended: Mapping[int, Intent],
    options: Options,
) -> Iterator[Manifest]:
    for number, intent in sorted(intended.items()):
        shard = shards.get(number, Shard(shard=number))
        yield _config_map(observed, accepted, shard, intent)
        if intent.waits and shard.deployment is not None:
            continue  # as it is, until its turn comes
        if number >= accepted.asked.workers.replicas and shard.deployment is None:
            continue  # it only lets go: no new pod is needed for that
        yield _deployment(observed, accepted, shard, intent, options)


def _config_map(observed: Observed, accepted: Accepted, shard: Shard, intent: Intent) -> Manifest:
    assigned = accepted.assigned
    if intent.waits and shard.assignment is not None:
        assigned = shard.assignment.module_spec
    assignment = assignments.Assignment(
        assigned,
        owner=manifests.shard_name(observed.module.key.name, shard.shard),
        epoch=intent.holding.epoch,
        slots=intent.holding.slots,
        shard=shard.shard,
        shards=max(accepted.asked.workers.replicas, shard.shard + 1),
        arriving=intent.holding.arriving,
    )
    return manifests.config_map(observed.module, assignment, intent.holding.releasing)


def _deployment(
    observed: Observed, accepted: Accepted, shard: Shard, intent: Intent, options: Options
) -> Manifest:
    asked, module = accepted.asked, observed.module
    template = pods.template(
        pods.Shape(
            module=module.key.name,
            asked=asked,
            shard=shard.shard,
            config_map=manifests.shard_name(module.key.name, shard.shard),
            rollout=intent.rollout,
        ),
        dataclasses.replace(options, **intent.defaults),
    )
    return manifests.deployment(
        module, shard.shard, template, replicas=0 if asked.suspend else 1, defaults=intent.defaults
    )


# -- what is to be done for it ----------------------------------------------------------------------


def _changes(observed: Observed, wanted: Iterable[Manifest]) -> Iterator[Apply]:
    for manifest in wanted:
        live = observed.child(manifest["kind"], manifest["metadata"]["name"])
        if live is None:
            yield Apply(manifest, new=True)
        elif drift.is_outdated(manifest, live):
            yield Apply(manifest, new=False)
        else:
            where = drift.difference(manifest, live.document)
            if where is not None:
                yield Apply(manifest, new=False, drifted=where)


def _superfluous(observed: Observed, wanted: Iterable[Manifest]) -> Iterator[Reference]:
    """What was made for the module and is not to be any more; Deployments first, so that pods stop first.

    Only what is the module's by its owner reference: labels can be copied.
    """
    kept = {Reference(manifest["kind"], manifest["metadata"]["name"]) for manifest in wanted}
    waiting = {child.name for child in observed.children if child.kind == "ConfigMap"}
    ours = [child for child in observed.children if _is_ours(child, observed) and child.kind in _DELETED]
    found = [Reference(child.kind, child.name) for child in ours]
    for reference in sorted(found, key=lambda each: (each.kind != "Deployment", each.kind, each.name)):
        held = reference.kind == "Deployment" and Reference("ConfigMap", reference.name) in kept
        if reference not in kept and not (held and reference.name in waiting):
            yield reference


def _is_ours(child: Child, observed: Observed) -> bool:
    references = child.document["metadata"].get("ownerReferences") or ()
    return any(each.get("uid") == observed.module.uid for each in references)


def _stamps(
    accepted: Accepted, shards: Mapping[int, Shard], intended: Mapping[int, Intent], now: float
) -> Iterator[Stamp]:
    desired = _desired_hash(accepted)
    for number, intent in intended.items():
        shard = shards.get(number)
        if shard is None or shard.pod is None or shard.report is None or intent.waits:
            continue
        pod, report = shard.pod, shard.report
        if pod.rollout != intent.rollout:
            continue  # it is replaced, and would only refuse
        behind = report.epoch < intent.holding.epoch
        lags = behind or report.applied_hash != desired or _is_to_follow(report, intent, pod.stamp)
        answered = report.desired_hash == desired and bool(report.refused) and not behind
        value = f"{desired}-{intent.holding.epoch}{_arriving_in_stamp(intent)}"
        if lags and not answered and pod.alive and not pod.terminating and _is_due(pod.stamp, value, now):
            yield Stamp(pod.name, f"{value}.{int(now)}")


def _arriving_in_stamp(intent: Intent) -> str:
    """What a stamp says of arriving slots, "" if there are none: a change of them gives no new epoch."""
    arriving = assignments.format_slots(intent.holding.arriving)
    return f"-{manifests.digest(arriving)}" if arriving else ""


def _is_to_follow(report: Report, intent: Intent, stamp: str | None) -> bool:
    """Whether a worker may not know yet what it is to follow, or that it is to follow no longer.

    It says only what it is up with: until that is all it may not have been told, or have much to read.
    """
    followed = report.followed
    if followed is None:
        return False
    last = (stamp or "").rpartition(".")[0].split("-", 2)
    stamped = f"-{last[2]}" if len(last) > 2 else ""
    return stamped != _arriving_in_stamp(intent) or not intent.holding.arriving <= followed


def _is_due(stamp: str | None, value: str, now: float) -> bool:
    last, _, at = (stamp or "").rpartition(".")
    return last != value or not at.isdigit() or now - int(at) > STAMP_AGAIN_SECONDS


def _desired_hash(accepted: Accepted) -> str:
    return assignments.Assignment(accepted.assigned, "", 0, frozenset()).config_hash


def _edits(
    outcome: Accepted, shards: Mapping[int, Shard], intended: Mapping[int, Intent], applied: Iterable[Apply]
) -> Iterator[Event]:
    """Tell of edits that reach running shards now: how strong they are, and by which field."""
    for each in applied:
        number = fleet.shard_number(each.manifest)
        shard = shards.get(number) if number is not None else None
        if number is None or shard is None or shard.assignment is None or each.new or each.drifted:
            continue
        difference = changes.compared(shard.assignment.module_spec, outcome.assigned)
        rolls = shard.rollout != intended[number].rollout
        if each.manifest["kind"] == "ConfigMap" and difference.reason is not None and not rolls:
            yield Event("Normal", "HotEdit", f"shard {number}: {difference.sentence()}")
        elif each.manifest["kind"] == "Deployment" and rolls:
            rolling = difference.strongest >= spec.Change.ROLLING
            why = difference.sentence() if rolling else "rolling: spec.workers, or the operator's defaults"
            yield Event("Normal", "RollingEdit", f"shard {number}: {why}")


def _repairs(observed: Observed, applied: Iterable[Apply]) -> Iterator[Event]:
    """Tell of objects that others have changed or deleted: of what was there for this generation already."""
    last = observed.module.last_told
    settled = last.observed_generation == observed.module.generation
    known = {str(shard.shard) for shard in last.shards}
    for each in applied:
        labels = each.manifest["metadata"]["labels"]
        shard = labels.get(names.LABEL_SHARD)
        if each.drifted is not None:
            message = f"{each.reference} was changed at {each.drifted} and is as planned again"
            yield Event("Warning", "Repaired", message)
        elif each.new and settled and known and (shard is None or shard in known):
            yield Event("Warning", "Repaired", f"{each.reference} was deleted and is there again")


def _look_again(
    told: status.ModuleStatus,
    shards: Mapping[int, Shard],
    stamps: Iterable[Stamp],
    options: Options,
    now: float,
) -> float:
    """Soon while workers are about to take something over, later while that lasts, else at the usual pace.

    What a watch will tell of, as pods that start or stop, needs no look; what workers follow takes its time.
    """
    if tuple(stamps):
        return _SOON
    stamps_there = [shard.pod.stamp or "" for shard in shards.values() if shard.pod is not None]
    moments = [stamp.rpartition(".")[2] for stamp in stamps_there]
    fresh = any(at.isdigit() and now - int(at) < STAMP_AGAIN_SECONDS for at in moments)
    awaited = verdicts.awaited(told)
    if fresh and (told.config.lagging or awaited in ("HandOver", "ApplyingConfig")):
        return _SOON
    return _LATER if awaited else options.status_seconds
