"""The status of one module: figures, shards, conditions and phase."""

import dataclasses
import datetime
from collections.abc import Iterable, Mapping, Sequence

from analysis_module import assignment as assignments
from analysis_module import spec, status
from analysis_module.names import ConditionType, Phase
from analysis_module.status import Condition, ConfigCounts, ModuleStatus, ShardStatus, Truth
from analysis_operator.decisions import conditions, pods
from analysis_operator.decisions.accepting import Accepted, Refused
from analysis_operator.decisions.conditions import Finding
from analysis_operator.decisions.fleet import Shard
from analysis_operator.decisions.observed import Observed, Report
from analysis_operator.decisions.rollouts import Intent

_BY_WORD = ("HandOver", "Following", "ApplyingConfig")
"""Reasons of Progressing that only the workers' word ends: no watch tells of it."""


def refused(observed: Observed, outcome: Refused, shards: Mapping[int, Shard], now: float) -> ModuleStatus:
    """Status of a module that cannot be run: what ran still runs, and all figures stay as they were."""
    running = any(shard.alive for shard in shards.values())
    found = list(conditions.of_refused(observed, outcome, running=running))
    last = observed.module.last_told
    replaced = {each.type for each in found}
    kept = [each for each in last.conditions if each.type not in replaced]
    return dataclasses.replace(
        last,
        phase=Phase.REJECTED,
        observed_generation=observed.module.generation,
        module=str(observed.module.spec.get("module", ""))[:100],
        dependants=observed.neighbours.dependants,
        conditions=_conditions(observed, found, last, now, kept),
    )


def accepted(
    observed: Observed,
    outcome: Accepted,
    shards: Mapping[int, Shard],
    intended: Mapping[int, Intent],
    now: float,
) -> ModuleStatus:
    """Status of a module that can be run; `now` is in seconds since the epoch."""
    last = observed.module.last_told
    asked = outcome.asked
    those = [shards.get(number, Shard(shard=number)) for number in sorted(intended)]
    wanted = 0 if asked.suspend else asked.workers.replicas
    ready = sum(1 for shard in those if shard.ready and shard.shard < wanted)
    told = ModuleStatus(
        observed_generation=observed.module.generation,
        module=asked.module,
        output_topic=outcome.wiring.output_topic or "",
        epoch=max([last.epoch, *(intent.holding.epoch for intent in intended.values())]),
        replicas=sum(1 for shard in shards.values() if shard.pod is not None),
        ready_replicas=ready,
        ready=f"{ready}/{wanted}",
        selector=pods.selector_text(observed.module.key.name),
        config=_config(outcome, shards, intended),
        shards=tuple(_shard(shard, intended[shard.shard]) for shard in those),
        dependencies=observed.neighbours.providers,
        dependants=observed.neighbours.dependants,
    )
    told = _with_figures(told, [shard.report for shard in those if shard.report is not None])
    found = list(conditions.of_accepted(observed, outcome, those, intended, told))
    return dataclasses.replace(
        told,
        conditions=_conditions(observed, found, last, now, ()),
        phase=_phase(asked, those, found),
    )


def _with_figures(told: ModuleStatus, reports: Iterable[Report]) -> ModuleStatus:
    reports = list(reports)
    # Of what several workers read the slowest counts, not their sum: it is the same records.
    lags: dict[tuple[str, int], int] = {}
    for report in reports:
        for place, lag in report.lags.items():
            lags[place] = max(lag, lags.get(place, 0))
    seconds = [report.lag_seconds for report in reports if report.lag_seconds is not None]
    rates = [report.rate for report in reports if report.rate is not None]
    return dataclasses.replace(
        told,
        stations=sum(report.stations for report in reports),
        lag=sum(lags.values()) if lags else None,
        lag_seconds=_rounded(max(seconds)) if seconds else None,
        rate=_rounded(sum(rates)) if rates else None,
    )


def awaited(told: ModuleStatus) -> str:
    """The reason of what is under way that only the workers' own word can end, "" if nothing is."""
    found = (each.reason for each in told.conditions if each.type is ConditionType.PROGRESSING)
    return next((reason for reason in found if reason in _BY_WORD), "")


def _rounded(value: float) -> float:
    """Two significant digits: a status is no place for a figure that changes with every look."""
    return float(f"{value:.2g}")


# -- parts ------------------------------------------------------------------------------------------


def _config(outcome: Accepted, shards: Mapping[int, Shard], intended: Mapping[int, Intent]) -> ConfigCounts:
    desired = assignments.Assignment(outcome.assigned, "", 0, frozenset()).config_hash
    if outcome.asked.suspend:
        return ConfigCounts(desired=desired, summary="0/0")
    wanted = [number for number in intended if number < outcome.asked.workers.replicas]
    applied, problems = 0, []
    for number in wanted:
        shard = shards.get(number)
        report = shard.report if shard is not None else None
        if report is None:
            continue
        current = report.applied_hash == desired and report.epoch >= intended[number].holding.epoch
        applied += current
        if report.refused and not current:
            problems += [f"shard-{number}: {text}" for text in report.refused]
    return ConfigCounts(
        desired=desired,
        applied=applied,
        lagging=len(wanted) - applied,
        refused=tuple(problems),
        summary=f"{applied}/{len(wanted)}",
    )


def _shard(shard: Shard, intent: Intent) -> ShardStatus:
    report = shard.report
    state = report.state if report is not None else _state(shard)
    return ShardStatus(
        shard=shard.shard,
        slots=assignments.format_slots(intent.holding.slots),
        releasing=assignments.format_slots(intent.holding.releasing),
        arriving=assignments.format_slots(intent.holding.arriving),
        stations=report.stations if report is not None else 0,
        epoch=intent.holding.epoch,
        state=state,
        pod=shard.pod.name if shard.pod is not None else "",
        lag=report.lag or 0 if report is not None else 0,
    )


def _state(shard: Shard) -> str:
    if shard.pod is None:
        return "absent"
    return shard.pod.waiting or ("silent" if shard.pod.ready else "starting")


def _conditions(
    observed: Observed,
    found: Iterable[Finding],
    last: ModuleStatus,
    now: float,
    kept: Iterable[Condition],
) -> tuple[Condition, ...]:
    moment = datetime.datetime.fromtimestamp(int(now), datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    fresh = [
        Condition(
            type=each.type,
            status=each.status,
            reason=each.reason,
            message=each.message,
            observed_generation=observed.module.generation,
            last_transition_time=moment,
        )
        for each in found
    ]
    return status.merged_conditions(last.conditions, [*fresh, *kept], moment)


def _phase(asked: spec.ModuleSpec, shards: Sequence[Shard], found: Iterable[Finding]) -> Phase:
    by_type = {each.type: each for each in found}
    if asked.suspend or asked.workers.replicas == 0:
        return Phase.PROGRESSING if any(shard.alive for shard in shards) else Phase.SUSPENDED
    if by_type[ConditionType.DEGRADED].status is Truth.TRUE:
        return Phase.DEGRADED
    if by_type[ConditionType.PROGRESSING].status is Truth.TRUE:
        return Phase.PROGRESSING if any(shard.ready for shard in shards) else Phase.PENDING
    return Phase.RUNNING
