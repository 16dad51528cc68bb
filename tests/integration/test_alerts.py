"""A real Prometheus takes the chart's rule file, and for each of its alerts a test makes it fire."""

import ast
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.infrastructure import helm, hurried_rules, waiting, watched
from tests.infrastructure.prometheus_server import PrometheusServer

HERE = Path(__file__).parent
FILES = {
    "analysis-operator": HERE / "test_alerts_operator.py",
    "analysis-modules": HERE / "test_alerts_modules.py",
    "analysis-workers": HERE / "test_alerts_workers.py",
    "analysis-windows": HERE / "test_alerts_windows.py",
}
"""Where the alerts of each group are made to fire."""
ALERTS = 39
EVERY_SECONDS = 0.2
PATIENCE_SECONDS = 60.0
MONITORS = {"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}}
ENDPOINTS = {"ServiceMonitor": "endpoints", "PodMonitor": "podMetricsEndpoints"}
OWN_LABELS = {
    "ServiceMonitor": {"namespace", "pod", "service"},
    "PodMonitor": {"namespace", "pod", "module", "shard"},
}
"""What `watched` gives its targets; a Service's name comes from Prometheus Operator itself."""


def fired_in(file: Path) -> Iterator[tuple[str, str]]:
    """Test and alert, for each alert that a test waits for until it fires."""
    for test in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(test, ast.FunctionDef) and test.name.startswith("test_"):
            for node in ast.walk(test):
                if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".until_firing"):
                    yield test.name, ast.literal_eval(node.args[0])


def with_durations_left_out(rule: dict[str, Any]) -> dict[str, Any]:
    for each in hurried_rules.THRESHOLDS:
        if each.alert == rule["alert"]:
            place = rf"({re.escape(each.written)}|{re.escape(each.hurried)})(?![\d.])"
            rule = {**rule, "expr": re.sub(place, "> LIMIT", rule["expr"])}
    expression = re.sub(r"(\[|offset )\d+(ms|s|m|h|d)\b", r"\1TIME", rule["expr"])
    return {**rule, "expr": expression, "for": "for" in rule}


def test_a_real_prometheus_evaluates_every_rule_of_the_file() -> None:
    configuration = {"global": {"evaluation_interval": f"{EVERY_SECONDS * 1000:g}ms"}}
    with PrometheusServer(configuration, rules=hurried_rules.chart_rules()) as server:
        waiting.until(
            lambda: all(each["health"] != "unknown" for each in server.rules()),
            what="each rule has been evaluated",
            timeout_seconds=PATIENCE_SECONDS,
        )
        rules = server.rules()
    assert [(each["name"], each["lastError"]) for each in rules if each["health"] != "ok"] == []
    assert len({each["name"] for each in rules}) == len(rules) == ALERTS


@pytest.mark.parametrize("group", FILES)
def test_each_alert_of_the_file_is_made_to_fire_by_a_test(group: str) -> None:
    (rules,) = (each["rules"] for each in hurried_rules.chart_rules()["groups"] if each["name"] == group)
    fired = {alert for _, alert in fired_in(FILES[group])}
    assert sorted(fired) == sorted(rule["alert"] for rule in rules)


def test_hurried_rules_differ_from_the_charts_in_durations_and_listed_thresholds_alone() -> None:
    written = hurried_rules.alerts(hurried_rules.chart_rules())
    hurried = hurried_rules.alerts(hurried_rules.hurried(hurried_rules.chart_rules()))
    assert list(hurried) == list(written)
    for name, rule in hurried.items():
        assert with_durations_left_out(rule) == with_durations_left_out(written[name])
        assert rule["expr"] != written[name]["expr"] or rule["for"] != written[name]["for"]


def test_each_duration_of_a_hurried_rule_is_the_120th_part_and_ranges_hold_four_scrapes() -> None:
    text = "[5m] offset 15m [10m] [30m] 5m"
    found = hurried_rules.DURATION.sub(lambda each: hurried_rules.shorter(each[0]), text)
    assert found == "[2500ms] offset 7500ms [5000ms] [15000ms] 5m"
    hurried = hurried_rules.alerts(hurried_rules.hurried(hurried_rules.chart_rules()))
    ranges = [int(each) for rule in hurried.values() for each in re.findall(r"\[(\d+)ms\]", rule["expr"])]
    assert len(ranges) >= ALERTS // 2
    assert min(ranges) >= 4 * watched.EVERY_SECONDS * 1000


@pytest.mark.parametrize("entry", hurried_rules.THRESHOLDS, ids=lambda entry: entry.alert)
def test_a_listed_threshold_is_the_rules_own_and_says_why_it_is_lowered(
    entry: hurried_rules.Threshold,
) -> None:
    rules = hurried_rules.chart_rules()
    lowered = hurried_rules.alerts(hurried_rules.hurried(rules, [entry]))[entry.alert]["expr"]
    place = rf"{re.escape(entry.hurried)}(?![\d.])"
    assert re.search(place, lowered)
    assert not re.search(place, hurried_rules.alerts(rules)[entry.alert]["expr"])
    assert entry.why
    for unused in (dataclasses.replace(entry, written="> 61"), dataclasses.replace(entry, alert="None")):
        with pytest.raises(hurried_rules.UnusedThreshold):
            hurried_rules.hurried(rules, [unused])


@pytest.mark.parametrize(
    ("kind", "job"), [("ServiceMonitor", "analysis-operator"), ("PodMonitor", "analysis-worker")]
)
def test_the_targets_of_these_tests_are_labelled_as_the_charts_monitors_label_them(
    kind: str, job: str
) -> None:
    (monitor,) = (each for each in helm.template(MONITORS) if each["kind"] == kind)
    (endpoint,) = monitor["spec"][ENDPOINTS[kind]]
    given = {each["targetLabel"] for each in endpoint["relabelings"]}
    assert given == {"job", *OWN_LABELS[kind]} - {"service"}
    assert [each["replacement"] for each in endpoint["relabelings"] if each["targetLabel"] == "job"] == [job]
    assert endpoint.get("honorLabels", False) is watched.HONOR_LABELS[job]
