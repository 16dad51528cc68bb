"""The operator's metrics: every name and label, and what is counted when."""

import dataclasses
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from analysis_operator.decisions.observed import Key
from analysis_operator.metrics import OperatorMetrics
from tests.unit.analysis_operator import fleets, situations

DEMO = Key("default", "demo")

NAMES: dict[str, tuple[str, ...]] = {
    "analysis_operator_api_request_seconds": ("verb",),
    "analysis_operator_api_requests": ("code", "resource", "verb"),
    "analysis_operator_hot_apply_seconds": (),
    "analysis_operator_leader": (),
    "analysis_operator_module_condition": ("name", "namespace", "reason", "type"),
    "analysis_operator_module_config_lagging": ("name", "namespace"),
    "analysis_operator_module_epoch": ("name", "namespace"),
    "analysis_operator_module_lag_records": ("name", "namespace"),
    "analysis_operator_module_lag_seconds": ("name", "namespace"),
    "analysis_operator_module_rate_records_per_second": ("name", "namespace"),
    "analysis_operator_module_stations": ("name", "namespace"),
    "analysis_operator_module_workers_ready": ("name", "namespace"),
    "analysis_operator_module_workers_wanted": ("name", "namespace"),
    "analysis_operator_modules": ("phase",),
    "analysis_operator_modules_failing": (),
    "analysis_operator_queue_depth": (),
    "analysis_operator_queue_oldest_seconds": (),
    "analysis_operator_reconcile": ("outcome",),
    "analysis_operator_reconcile_errors": ("reason",),
    "analysis_operator_reconcile_seconds": (),
    "analysis_operator_resyncs": (),
    "analysis_operator_watch_events": ("resource",),
    "analysis_operator_watch_missed": ("resource",),
    "analysis_operator_writes": ("action", "kind"),
}


@pytest.fixture
def metrics() -> OperatorMetrics:
    made = OperatorMetrics(CollectorRegistry())
    made.watch_queue(lambda: 2, lambda: 1.5, lambda: 1)
    return made


def value(metrics: OperatorMetrics, name: str, /, **labels: str) -> float | None:
    found: float | None = metrics.registry.get_sample_value(f"analysis_operator_{name}", labels)
    return found


def full(metrics: OperatorMetrics) -> OperatorMetrics:
    """Metrics of which each has a sample."""
    fleet = situations.running()
    fleet.said = {"lags": {("T", 0): 1}, "lag_seconds": 1.0, "rate": 1.0}
    metrics.reported(DEMO, fleet.plan())
    metrics.planned(DEMO, fleets.Fleet().plan())
    metrics.requested("get", "pods", "200", 0.1)
    for family in (metrics.passes, metrics.errors, metrics.watch_events, metrics.watch_missed):
        family.labels("x").inc()
    return metrics


def test_every_name_and_label_is_known(metrics: OperatorMetrics) -> None:
    found: dict[str, Any] = {}
    for family in full(metrics).registry.collect():
        if family.name.startswith("analysis_operator_"):
            names = {name for sample in family.samples for name in sample.labels} - {"le"}
            found[family.name] = tuple(sorted(names))
    assert found == NAMES


def test_every_metric_says_what_it_is(metrics: OperatorMetrics) -> None:
    families = [each for each in full(metrics).registry.collect() if each.name in NAMES]
    assert all(family.documentation.endswith(".") for family in families)


def test_writes_are_counted_by_what_is_done_to_which_kind(metrics: OperatorMetrics) -> None:
    fleet = fleets.Fleet(fleets.with_workers(replicas=2))
    metrics.planned(DEMO, fleet.step())
    assert value(metrics, "writes_total", action="apply", kind="Deployment") == 2
    fleet.settle()
    fleet.edit(fleets.a_spec(padding="Linear", workers={"replicas": 2}))
    metrics.planned(DEMO, fleet.step())
    assert value(metrics, "writes_total", action="stamp", kind="Pod") == 2
    fleet.options = dataclasses.replace(fleet.options, network_policy=False)
    metrics.planned(DEMO, fleet.step())
    assert value(metrics, "writes_total", action="delete", kind="NetworkPolicy") == 1


def test_a_module_is_told_by_phase_workers_and_conditions(metrics: OperatorMetrics) -> None:
    metrics.reported(DEMO, situations.running().plan())
    of = {"namespace": "default", "name": "demo"}
    assert value(metrics, "modules", phase="Running") == 1
    assert value(metrics, "modules", phase="Degraded") == 0
    assert value(metrics, "module_workers_wanted", **of) == 2
    assert value(metrics, "module_workers_ready", **of) == 2
    assert value(metrics, "module_condition", **of, type="Ready", reason="Ready") == 1
    assert value(metrics, "module_condition", **of, type="Degraded", reason="AsPlanned") == 0
    assert value(metrics, "module_lag_records", **of) is None


def test_a_condition_that_is_not_known_is_neither_0_nor_1(metrics: OperatorMetrics) -> None:
    metrics.reported(DEMO, situations.SITUATIONS["nobody has looked at Kafka"].plan())
    labels = {"namespace": "default", "name": "demo", "type": "KafkaReachable", "reason": "NotLookedAt"}
    assert value(metrics, "module_condition", **labels) == -1


def test_a_module_that_is_gone_has_no_series(metrics: OperatorMetrics) -> None:
    metrics.reported(DEMO, situations.running().plan())
    metrics.forget(DEMO)
    assert value(metrics, "modules", phase="Running") == 0
    assert value(metrics, "module_epoch", namespace="default", name="demo") is None


def test_a_hot_edit_is_timed_from_its_configmap_to_the_last_worker(metrics: OperatorMetrics) -> None:
    fleet = situations.running()
    fleet.edit(fleets.a_spec(padding="Linear", workers={"replicas": 2}))
    for _ in range(2):
        plan = fleet.step()
        metrics.planned(DEMO, plan)
        metrics.reported(DEMO, plan)
    assert value(metrics, "hot_apply_seconds_count") == 0
    fleet.run_workers()
    plan = fleet.step()
    metrics.planned(DEMO, plan)
    metrics.reported(DEMO, plan)
    assert value(metrics, "hot_apply_seconds_count") == 1


def test_the_queues_measures_are_those_of_the_moment(metrics: OperatorMetrics) -> None:
    assert value(metrics, "queue_depth") == 2
    assert value(metrics, "queue_oldest_seconds") == 1.5
    assert value(metrics, "modules_failing") == 1
