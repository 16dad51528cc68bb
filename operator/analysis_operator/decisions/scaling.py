"""How many workers an autoscaled module shall have, by the lag per worker.

As a HorizontalPodAutoscaler counts: wanted = ceil(workers * lag / target), within 10 % nothing is done
(https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#algorithm-details). More workers
come soon and at most twice as many at a time, fewer come one by one and only after the lag has been low for a
while: each change moves stations. Without every worker's word, or while slots are followed or change hands,
nothing is done.
"""

import dataclasses
import datetime
import math
from collections.abc import Mapping

from analysis_module import spec
from analysis_module.status import AutoscalingStatus
from analysis_operator.decisions.fleet import Shard
from analysis_operator.decisions.observed import Observed

UP_PAUSE_SECONDS = 60.0
DOWN_PAUSE_SECONDS = 300.0
TOLERANCE = 0.1


def scaled(
    asked: spec.ModuleSpec, observed: Observed, shards: Mapping[int, Shard], now: float
) -> tuple[spec.ModuleSpec, AutoscalingStatus | None]:
    """The spec with the number of workers that it shall have now, and what to remember of that."""
    bounds = asked.workers.autoscaling
    if bounds is None:
        return asked, None
    last = observed.module.last_told.autoscaling
    current = _clamped(last.replicas if last is not None else asked.workers.replicas, asked)
    if last is None or last.replicas != current:
        last = AutoscalingStatus(replicas=current, scaled_at=_text(now), reason="the bounds")
    lag = None if asked.suspend else _lag_per_worker(shards, current)
    decided = last if lag is None else _decided(last, lag, asked, now)
    workers = dataclasses.replace(asked.workers, replicas=decided.replicas)
    return dataclasses.replace(asked, workers=workers), decided


def _decided(last: AutoscalingStatus, lag: float, asked: spec.ModuleSpec, now: float) -> AutoscalingStatus:
    assert asked.workers.autoscaling is not None
    ratio = lag / asked.workers.autoscaling.target_lag
    wanted = last.replicas
    if abs(ratio - 1.0) > TOLERANCE:
        wanted = _clamped(math.ceil(last.replicas * ratio), asked)
    if wanted < last.replicas:
        return _lowered(last, lag, asked, now)
    last = dataclasses.replace(last, low_since="")
    if wanted == last.replicas or now - _seconds(last.scaled_at, now) < UP_PAUSE_SECONDS:
        return last
    replicas = min(wanted, 2 * last.replicas)
    return AutoscalingStatus(
        replicas=replicas, scaled_at=_text(now), reason=f"{lag:.0f} unread records per worker"
    )


def _lowered(last: AutoscalingStatus, lag: float, asked: spec.ModuleSpec, now: float) -> AutoscalingStatus:
    if not last.low_since:
        return dataclasses.replace(last, low_since=_text(now))
    if now - _seconds(last.low_since, now) < DOWN_PAUSE_SECONDS:
        return last
    return AutoscalingStatus(
        replicas=_clamped(last.replicas - 1, asked),
        scaled_at=_text(now),
        low_since=_text(now),
        reason=f"{lag:.0f} unread records per worker, for {DOWN_PAUSE_SECONDS / 60:.0f} minutes",
    )


def _clamped(replicas: int, asked: spec.ModuleSpec) -> int:
    """Within the bounds, and no more than there are slots: more would have nothing to do."""
    bounds = asked.workers.autoscaling
    assert bounds is not None
    most = min(bounds.max_replicas, asked.partitioning.slots)
    return max(min(replicas, most), min(bounds.min_replicas, most))


def _lag_per_worker(shards: Mapping[int, Shard], replicas: int) -> float | None:
    """The mean over the workers; None if one is not settled, or does not know."""
    lags = []
    for number in range(replicas):
        shard = shards.get(number)
        report = shard.report if shard is not None else None
        if shard is None or report is None or report.state != "running" or not report.connected:
            return None
        held = shard.holding
        if report.lag is None or report.letting_go or held.releasing or held.arriving or not held.slots:
            return None
        lags.append(report.lag)
    return sum(lags) / len(lags) if lags else None


def _text(seconds: float) -> str:
    moment = datetime.datetime.fromtimestamp(int(seconds), datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _seconds(text: str, otherwise: float) -> float:
    try:
        return datetime.datetime.fromisoformat(text).timestamp()
    except ValueError:
        return otherwise
