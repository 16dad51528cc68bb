"""What the operator counts and measures, for Prometheus; every name and label stands here."""

import time
from collections import Counter as Tally
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from analysis_module.names import Phase
from analysis_module.status import ModuleStatus, Truth
from analysis_operator.decisions.observed import Key
from analysis_operator.decisions.planning import Plan

PREFIX = "analysis_operator_"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_LABELS = ("namespace", "name")


class OperatorMetrics:
    """The operator's metrics in a registry of their own."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._statuses: dict[Key, ModuleStatus] = {}
        self._edited_at: dict[Key, float] = {}
        self.passes = Counter(
            PREFIX + "reconcile", "Passes over a module, by outcome.", ["outcome"], registry=registry
        )
        self.errors = Counter(
            PREFIX + "reconcile_errors", "Passes that failed, by reason.", ["reason"], registry=registry
        )
        self.pass_seconds = Histogram(
            PREFIX + "reconcile_seconds", "Time of a pass.", buckets=_SECONDS, registry=registry
        )
        self.requests = Counter(
            PREFIX + "api_requests",
            "Requests to the Kubernetes API; code none: no answer.",
            ["verb", "resource", "code"],
            registry=registry,
        )
        self.request_seconds = Histogram(
            PREFIX + "api_request_seconds",
            "Time of a request.",
            ["verb"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.writes = Counter(
            PREFIX + "writes", "Objects applied, stamped or deleted.", ["action", "kind"], registry=registry
        )
        self.leader = Gauge(PREFIX + "leader", "1 while this operator leads.", registry=registry)
        self.watch_events = Counter(
            PREFIX + "watch_events", "Events that watches brought.", ["resource"], registry=registry
        )
        self.watch_missed = Counter(
            PREFIX + "watch_missed",
            "Changes that a resync found and the watch had not brought.",
            ["resource"],
            registry=registry,
        )
        self.resyncs = Counter(PREFIX + "resyncs", "Comparisons with the API server.", registry=registry)
        self.hot_apply_seconds = Histogram(
            PREFIX + "hot_apply_seconds",
            "From a hot edit's ConfigMap to every worker running it.",
            buckets=_SECONDS,
            registry=registry,
        )
        registry.register(_Modules(self._statuses))
        ProcessCollector(namespace="", registry=registry)

    def watch_queue(
        self, depth: Callable[[], float], oldest: Callable[[], float], failing: Callable[[], float]
    ) -> None:
        """Take the queue's measures whenever they are asked for."""
        for name, text, value in (
            ("queue_depth", "Modules that wait for a pass.", depth),
            ("queue_oldest_seconds", "How long the longest waiting one has waited.", oldest),
            ("modules_failing", "Modules whose last pass failed.", failing),
        ):
            Gauge(PREFIX + name, text, registry=self.registry).set_function(value)

    def requested(self, verb: str, resource: str, code: str, seconds: float) -> None:
        """One request to the API server."""
        self.requests.labels(verb, resource, code).inc()
        self.request_seconds.labels(verb).observe(seconds)

    def planned(self, key: Key, plan: Plan) -> None:
        """A plan is about to be carried out."""
        for each in plan.apply:
            self.writes.labels("apply", each.reference.kind).inc()
            if each.reference.kind == "ConfigMap" and not each.new:
                self._edited_at.setdefault(key, time.monotonic())
        for _ in plan.stamp:
            self.writes.labels("stamp", "Pod").inc()
        for reference in plan.delete:
            self.writes.labels("delete", reference.kind).inc()

    def reported(self, key: Key, plan: Plan) -> None:
        """A plan has been carried out and reported."""
        self._statuses[key] = plan.status
        config = plan.status.config
        if key in self._edited_at and not config.lagging and not plan.apply:
            seconds = time.monotonic() - self._edited_at.pop(key)
            if config.applied:
                self.hot_apply_seconds.observe(seconds)

    def forget(self, key: Key) -> None:
        """A module is gone."""
        self._statuses.pop(key, None)
        self._edited_at.pop(key, None)


class _Modules(Collector):
    """The modules' statuses as series, read when asked for: of those that this operator reconciles."""

    def __init__(self, statuses: dict[Key, ModuleStatus]) -> None:
        self._statuses = statuses

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Series of every module, and how many are in each phase."""
        statuses = dict(self._statuses)
        yield _phases(statuses)
        for name, text, value in _FIGURES:
            family = GaugeMetricFamily(PREFIX + name, text, labels=_LABELS)
            for key, status in statuses.items():
                found = value(status)
                if found is not None:
                    family.add_metric(key, found)
            yield family
        yield _conditions(statuses)


def _phases(statuses: dict[Key, ModuleStatus]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(PREFIX + "modules", "Modules in each phase.", labels=["phase"])
    counts = Tally(str(status.phase) for status in statuses.values())
    for phase in Phase:
        family.add_metric([phase], counts[phase])
    return family


def _conditions(statuses: dict[Key, ModuleStatus]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(
        PREFIX + "module_condition",
        "1 while the condition is True, 0 while it is False, -1 while it is not known.",
        labels=[*_LABELS, "type", "reason"],
    )
    values = {Truth.TRUE: 1, Truth.FALSE: 0, Truth.UNKNOWN: -1}
    for key, status in statuses.items():
        for condition in status.conditions:
            family.add_metric([*key, condition.type, condition.reason], values[condition.status])
    return family


def _wanted(status: ModuleStatus) -> float:
    return float(status.ready.partition("/")[2] or 0)


_FIGURES: tuple[tuple[str, str, Callable[[ModuleStatus], float | None]], ...] = (
    ("module_workers_wanted", "Workers that the module shall have.", _wanted),
    ("module_workers_ready", "Workers that are ready.", lambda status: status.ready_replicas),
    ("module_config_lagging", "Workers that do not run the newest config.", lambda s: s.config.lagging),
    ("module_stations", "Stations of the module.", lambda status: status.stations),
    ("module_lag_records", "Records that are not read yet.", lambda status: status.lag),
    ("module_lag_seconds", "Age of the oldest record that is not read.", lambda status: status.lag_seconds),
    ("module_rate_records_per_second", "Records read per second.", lambda status: status.rate),
    ("module_epoch", "Version of the slot plan.", lambda status: status.epoch),
)
