"""The chart's alert rules with minutes shortened to seconds, so that a test sees them fire.

Nothing but times is changed: each `for:`, range and offset is divided by FACTOR, and the thresholds of
THRESHOLDS, which are times too or the trace of much time, are lowered as that table says.
"""

import copy
import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from tests.infrastructure import helm

FACTOR = 120
"""Two minutes of users are a second here; the shortest range, of 5 minutes, still holds 5 scrapes."""
RULES_FILE = helm.CHART / "files" / "alerts.yaml"
DURATION = re.compile(r"(?<=\[)\d+[smhd](?=\])|(?<=offset )\d+[smhd]")
"""The durations in an expression: of ranges and of offsets."""
_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
Document = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Threshold:
    """How one alert's threshold is lowered, and why a test could not wait for what is written."""

    alert: str
    written: str
    hurried: str
    why: str


THRESHOLDS = (
    Threshold("AnalysisOperatorQueueOld", "> 60", "> 0.5", "60 s of waiting, divided by FACTOR"),
    Threshold("AnalysisOperatorPassesSlow", "> 5", "> 1", "a worker that hangs costs a pass 2 s, not 5"),
    Threshold("AnalysisOperatorHotEditsSlow", "> 30", "> 1", "an edit held up for 30 s outlasts the range"),
    Threshold("AnalysisModuleLagGrowing", "> 10000", "> 100", "as many records gather in minutes"),
    Threshold("AnalysisModuleLagOld", "> 300", "> 2.5", "300 s behind, divided by FACTOR"),
    Threshold("AnalysisWorkerCommitsOld", "> 300", "> 2.5", "300 s without a commit, divided by FACTOR"),
    Threshold(
        "AnalysisWorkerCheckpointsOld", "> 600", "> 5", "600 s without a checkpoint, divided by FACTOR"
    ),
    Threshold("AnalysisWorkerCallbacksSlow", "> 5", "> 0.5", "calls of 5 s end too seldom for the range"),
)


class UnusedThreshold(ValueError):
    """An entry of THRESHOLDS fits no rule, or not one place of it; the text is the entry."""


def chart_rules() -> Document:
    """The rule file as the chart has it."""
    document: Document = yaml.safe_load(RULES_FILE.read_text(encoding="utf-8"))
    return document


def alerts(rules: Document) -> dict[str, dict[str, Any]]:
    """The rules by the names of their alerts."""
    return {rule["alert"]: rule for group in rules["groups"] for rule in group["rules"]}


def hurried(rules: Document, thresholds: Sequence[Threshold] = THRESHOLDS) -> dict[str, Any]:
    """The same rules with shorter times; raises UnusedThreshold for an entry that changes nothing."""
    changed = copy.deepcopy(dict(rules))
    by_name = alerts(changed)
    for rule in by_name.values():
        if "for" in rule:
            rule["for"] = shorter(rule["for"])
        rule["expr"] = DURATION.sub(lambda found: shorter(found[0]), rule["expr"])
    for each in thresholds:
        rule = by_name.get(each.alert, {"expr": ""})
        rule["expr"], places = re.subn(rf"{re.escape(each.written)}(?![\d.])", each.hurried, rule["expr"])
        if places != 1:
            raise UnusedThreshold(str(each))
    return changed


def shorter(duration: str) -> str:
    """A duration of Prometheus with one unit, such as 5m, divided by FACTOR, in milliseconds."""
    return f"{int(duration[:-1]) * _UNITS_MS[duration[-1]] // FACTOR}ms"
