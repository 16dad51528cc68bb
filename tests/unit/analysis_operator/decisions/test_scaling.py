"""The autoscaler: up soon, down slowly, never on half a picture."""

import dataclasses
from typing import Any

import pytest

from analysis_module import spec
from analysis_module.status import AutoscalingStatus, ModuleStatus
from analysis_operator.decisions import handover, scaling
from analysis_operator.decisions.fleet import Shard
from analysis_operator.decisions.observed import Key, Module, Observed, Pod, Report

NOW = 1_800_000_000.0
LONG_AGO = "2026-01-01T00:00:00Z"
BOUNDS = spec.Autoscaling(min_replicas=1, max_replicas=10, target_lag=1000)


def asked(**workers: Any) -> spec.ModuleSpec:
    return spec.ModuleSpec(module="cars", workers=spec.Workers(**{"autoscaling": BOUNDS, **workers}))


def observed(last: AutoscalingStatus | None) -> Observed:
    status = ModuleStatus(autoscaling=last).to_json()
    module = Module(key=Key("ns", "cars"), uid="u", generation=1, created_at="", spec={}, status=status)
    return Observed(module=module)


def shards(*lags: int | None, **report: Any) -> dict[int, Shard]:
    return {number: shard(number, lag, **report) for number, lag in enumerate(lags)}


def shard(number: int, lag: int | None, **report: Any) -> Shard:
    said = Report(
        pod_uid="p",
        taken_at=NOW,
        owner="w",
        epoch=1,
        lags={} if lag is None else {("topic", number): lag},
        **{"state": "running", "connected": True, **report},
    )
    holding = handover.Holding(slots=frozenset({number}), releasing=frozenset(), epoch=1)
    return Shard(shard=number, holding=holding, pod=Pod(name="w", uid="p", shard=number), report=said)


def at(replicas: int, **changes: str) -> AutoscalingStatus:
    return AutoscalingStatus(replicas=replicas, **{"scaled_at": LONG_AGO, **changes})


def decided(last: AutoscalingStatus | None, found: dict[int, Shard], **workers: Any) -> AutoscalingStatus:
    scaled, told = scaling.scaled(asked(**workers), observed(last), found, NOW)
    assert told is not None
    assert scaled.workers.replicas == told.replicas
    return told


def test_without_autoscaling_the_spec_stands_as_it_is() -> None:
    plain = asked(autoscaling=None, replicas=3)
    assert scaling.scaled(plain, observed(at(7)), {}, NOW) == (plain, None)


@pytest.mark.parametrize(
    ("lags", "replicas"),
    [
        ((1000, 1000), 2),  # just right
        ((1090, 1090), 2),  # within the tolerance
        ((1500, 1500), 3),
        ((4000, 2000), 4),  # the mean counts, and at most twice as many at a time
        ((90_000, 90_000), 4),
    ],
)
def test_more_lag_brings_more_workers_at_most_twice_as_many(lags: tuple[int, ...], replicas: int) -> None:
    assert decided(at(2), shards(*lags)).replicas == replicas


def test_the_bounds_hold() -> None:
    assert decided(at(8), shards(*[9_000] * 8)).replicas == 10
    assert decided(None, {}, replicas=50).replicas == 10
    assert decided(at(40), {}).replicas == 10


def test_no_more_workers_than_slots() -> None:
    few = dataclasses.replace(asked(), partitioning=spec.Partitioning(slots=3))
    scaled, _ = scaling.scaled(few, observed(at(2)), shards(90_000, 90_000), NOW)
    assert scaled.workers.replicas == 3


def test_soon_after_a_change_no_more_are_added() -> None:
    just = scaling._text(NOW - scaling.UP_PAUSE_SECONDS + 2)
    assert decided(at(2, scaled_at=just), shards(9_000, 9_000)).replicas == 2
    before = scaling._text(NOW - scaling.UP_PAUSE_SECONDS)
    assert decided(at(2, scaled_at=before), shards(9_000, 9_000)).replicas == 4


def test_little_lag_takes_one_worker_away_once_it_has_lasted() -> None:
    first = decided(at(4), shards(0, 0, 0, 0))
    assert (first.replicas, first.low_since) == (4, scaling._text(NOW))
    lasting = at(4, low_since=scaling._text(NOW - scaling.DOWN_PAUSE_SECONDS))
    second = decided(lasting, shards(0, 0, 0, 0))
    assert (second.replicas, second.low_since) == (3, scaling._text(NOW))


def test_a_lag_that_rises_again_ends_the_wait() -> None:
    waiting = at(4, low_since=scaling._text(NOW - 200))
    assert decided(waiting, shards(1000, 1000, 1000, 1000)).low_since == ""


@pytest.mark.parametrize(
    "found",
    [
        shards(9_000),  # one of two has not told
        shards(9_000, None),
        shards(9_000, 9_000, state="restoring"),
        shards(9_000, 9_000, connected=False),
        shards(9_000, 9_000, letting_go=frozenset({1})),
        {},
    ],
)
def test_on_half_a_picture_nothing_is_done(found: dict[int, Shard]) -> None:
    last = at(2, low_since=LONG_AGO)
    assert decided(last, found) == last


def test_a_suspended_module_is_not_scaled() -> None:
    idle = dataclasses.replace(asked(), suspend=True)
    _, told = scaling.scaled(idle, observed(at(2)), shards(9_000, 9_000), NOW)
    assert told == at(2)
