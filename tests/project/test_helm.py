"""What can be said of the chart without helm: copies, tables, schema; and every query names what is there."""

import functools
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

import analysis_operator
from analysis_operator.metrics import OperatorMetrics
from analysis_worker.observability import metric_catalogue
from helm import generate
from tests.project import markdown, tree

HELM = tree.ROOT / "helm"
CHART = HELM / "analysis-operator"
CRD = tree.ROOT / "crds" / "analysismodule.yaml"
CRD_COPY = CHART / "files" / "analysismodule.yaml"
ALERTS = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text(encoding="utf-8"))["groups"]
RULES = [rule for group in ALERTS for rule in group["rules"]]
ALERT_NAMES = [rule["alert"] for rule in RULES]
ALERT_CASES = yaml.safe_load((HELM / "alerts_test.yaml").read_text(encoding="utf-8"))["tests"]
DASHBOARDS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in CHART.glob("dashboards/*")}
PANELS = [
    pytest.param(panel, id=f"{name}: {panel['title']}")
    for name, dashboard in DASHBOARDS.items()
    for panel in dashboard["panels"]
]
VALUES_TEXT = (CHART / "values.yaml").read_text(encoding="utf-8")
VALUES = yaml.safe_load(VALUES_TEXT)
SCHEMA = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
RUNBOOK = markdown.Page(tree.ROOT / "docs" / "runbook.md")


# -- metrics -----------------------------------------------------------------------------------------

_SUFFIXES = {
    "counter": ("_total",),
    "gauge": ("",),
    "histogram": ("_bucket", "_sum", "_count"),
    "info": ("",),
}
_OF_PROMETHEUS = {"up": set[str](), "ALERTS": {"alertname", "alertstate"}}
_OF_TARGETS = {"job", "namespace", "pod", "service", "module", "shard"}
"""Labels that Prometheus or the chart's monitors put on every series."""
_WORDS = {"and", "or", "unless", "by", "without", "on", "ignoring", "offset", "group_left", "bool"}


@functools.cache
def declared() -> dict[str, set[str]]:
    """Every series that the operator and the workers export, with the labels it may have."""
    registry = CollectorRegistry()
    metrics = OperatorMetrics(registry)
    metrics.watch_queue(lambda: 0.0, lambda: 0.0, lambda: 0.0)
    found = dict(_OF_PROMETHEUS)
    for family in registry.collect():
        for suffix in _SUFFIXES[family.type]:
            found[family.name + suffix] = set(_labels_of(metrics, family.name)) | {"le"}
    for each in metric_catalogue.catalogue():
        name = each.name.removesuffix("_total")
        for suffix in _SUFFIXES[each.type]:
            found[name + suffix] = {*each.labels, "le"}
    return {name: labels | _OF_TARGETS for name, labels in found.items()}


def _labels_of(metrics: OperatorMetrics, name: str) -> Iterator[str]:
    for metric in vars(metrics).values():
        if getattr(metric, "_name", None) == name:
            yield from metric._labelnames
    if name.startswith("analysis_operator_module"):
        yield from ("namespace", "name", "phase", "type", "reason")


def queried(expression: str) -> set[str]:
    """The names of the series that a PromQL expression asks for."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^]]*\]|\$\w+', " ", re.sub(r'"[^"]*"', '""', expression))
    bare = re.sub(r"\b(by|without|on|ignoring|group_left)\s*\([^)]*\)", " ", bare)
    names = re.findall(r"\b[a-zA-Z_:][\w:]*\b(?!\s*\()", bare)
    return {name for name in names if name not in _WORDS and not re.fullmatch(r"\d+[smhdw]", name)}


def selected(expression: str) -> set[tuple[str, str]]:
    """Pairs of a series and a label that the expression compares."""
    plain = re.sub(r'"[^"]*"', '""', expression)
    return {
        (name, label)
        for name, labels in re.findall(r"([a-zA-Z_:][\w:]*)\{([^}]*)\}", plain)
        for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", labels)
    }


def expressions() -> list[str]:
    """Every expression of the alerts and the dashboards."""
    panels = [panel for dashboard in DASHBOARDS.values() for panel in dashboard["panels"]]
    variables = [each for dashboard in DASHBOARDS.values() for each in dashboard["templating"]["list"]]
    asked = [each["query"]["query"] for each in variables if each["type"] == "query"]
    return [
        *(rule["expr"] for rule in RULES),
        *(target["expr"] for panel in panels for target in panel["targets"]),
        *(re.sub(r"label_values\((.*),.*\)", r"\1", each) for each in asked),
    ]


class TestQueries:
    @pytest.mark.parametrize("expression", expressions())
    def test_every_series_is_one_that_the_code_declares(self, expression: str) -> None:
        assert queried(expression)
        assert queried(expression) - set(declared()) == set()

    @pytest.mark.parametrize("expression", expressions())
    def test_every_label_is_one_of_its_series(self, expression: str) -> None:
        known = declared()
        assert {(name, label) for name, label in selected(expression) if label not in known[name]} == set()

    def test_the_reading_of_expressions_finds_names_and_nothing_else(self) -> None:
        expression = 'sum by (a, le) (rate(x_total{b="y"}[5m])) / on (c) z offset 5m > 0.1 and (w unless v)'
        assert queried(expression) == {"x_total", "z", "w", "v"}
        assert selected(expression) == {("x_total", "b")}
        assert queried("x_total unless x_total offset $__interval") == {"x_total"}

    def test_a_name_that_is_nowhere_declared_is_noticed(self) -> None:
        assert "analysis_operator_reconcile_total" in declared()
        assert "analysis_operator_reconciles_total" not in declared()


# -- alerts ------------------------------------------------------------------------------------------


class TestAlerts:
    def test_there_are_fifteen_or_more_and_no_name_twice(self) -> None:
        assert len(ALERT_NAMES) >= 15
        assert len(set(ALERT_NAMES)) == len(ALERT_NAMES)

    @pytest.mark.parametrize("rule", RULES, ids=ALERT_NAMES)
    def test_each_has_severity_summary_and_description(self, rule: Mapping[str, Any]) -> None:
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert set(rule["annotations"]) == {"summary", "description"}
        assert all(text.endswith(".") for text in rule["annotations"].values())

    def test_each_has_a_case_in_which_it_fires(self) -> None:
        assert [case["name"] for case in ALERT_CASES] == ["all is well", *ALERT_NAMES]

    def test_the_runbook_has_an_entry_for_each_and_for_no_other(self) -> None:
        assert [text for level, text in RUNBOOK.headings if level == 3] == ALERT_NAMES

    @pytest.mark.parametrize("name", ALERT_NAMES)
    def test_each_entry_says_what_it_means_what_to_look_at_and_what_mends_it(self, name: str) -> None:
        entry = RUNBOOK.text.partition(f"### {name}\n")[2].partition("\n##")[0]
        assert re.findall(r"^- (Means|Look at(?:, mend)?|Mend)\b", entry, re.MULTILINE) in (
            ["Means", "Look at", "Mend"],
            ["Means", "Look at, mend"],
        )


# -- dashboards --------------------------------------------------------------------------------------


class TestDashboards:
    def test_there_are_three(self) -> None:
        assert {name: len(each["panels"]) for name, each in DASHBOARDS.items()} == {
            "fleet": 10,
            "module": 14,
            "operator": 8,
        }

    @pytest.mark.parametrize("panel", PANELS)
    def test_each_panel_has_title_description_unit_and_the_chosen_source(
        self, panel: Mapping[str, Any]
    ) -> None:
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["targets"]
        sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
        assert {source["uid"] for source in sources} == {"${datasource}"}

    @pytest.mark.parametrize("name", sorted(DASHBOARDS))
    def test_each_dashboard_lets_its_reader_choose_the_source(self, name: str) -> None:
        first = DASHBOARDS[name]["templating"]["list"][0]
        assert (first["name"], first["type"], first["query"]) == ("datasource", "datasource", "prometheus")

    @pytest.mark.parametrize("name", sorted(DASHBOARDS))
    def test_no_two_panels_lie_over_each_other(self, name: str) -> None:
        taken = [
            (place["x"] + x, place["y"] + y)
            for place in (panel["gridPos"] for panel in DASHBOARDS[name]["panels"])
            for x in range(place["w"])
            for y in range(place["h"])
        ]
        assert len(set(taken)) == len(taken)
        assert max(x for x, _ in taken) < 24

    @pytest.mark.parametrize("name", sorted(DASHBOARDS))
    def test_every_variable_that_is_used_is_offered(self, name: str) -> None:
        text = json.dumps(DASHBOARDS[name])
        offered = {each["name"] for each in DASHBOARDS[name]["templating"]["list"]}
        used = set(re.findall(r"\$\{?([a-z]\w*)", text))
        assert used - offered == set()


# -- copies, tables and schema -------------------------------------------------------------------------


def test_the_charts_crd_is_the_trees() -> None:
    same = CRD_COPY.read_text(encoding="utf-8") == CRD.read_text(encoding="utf-8")
    assert same, f"cp {tree.shown(CRD)} {tree.shown(CRD_COPY)}"


def test_dashboards_and_the_table_of_values_are_up_to_date() -> None:
    assert [tree.shown(path) for path in generate.stale()] == [], "run python -m helm.generate"


def test_an_edited_dashboard_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "dashboards").mkdir()
    for path in [CHART / "values.yaml", CHART / "README.md", *CHART.glob("dashboards/*")]:
        copy = tmp_path / path.relative_to(CHART)
        copy.write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    edited = tmp_path / "dashboards" / "fleet.json"
    edited.write_text(edited.read_text(encoding="utf-8").replace("Behind", "Lag"), encoding="utf-8")
    monkeypatch.setattr(generate, "CHART", tmp_path)
    assert generate.stale() == [edited]


def test_the_chart_installs_the_version_of_this_distribution() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart["appVersion"] == analysis_operator.VERSION
    assert chart["apiVersion"] == "v2"


def test_every_value_has_a_comment() -> None:
    assert [path for path, comment in generate.commented(VALUES_TEXT) if not comment.endswith(".")] == []


def test_the_schema_knows_the_values_and_no_others() -> None:
    known = set(_paths(SCHEMA)) - {"global"}  # what helm itself hands to a subchart
    assert {path for path, _ in generate.commented(VALUES_TEXT)} - known == set()
    leaves = {path for path in known if _is_in(VALUES, path)}
    optional = ("affinity.", "kafka.security.", "resources.", "workers.resources.")
    assert {path for path in known - leaves if not path.startswith(optional)} == set()


def test_every_object_of_the_schema_is_closed_or_says_what_it_holds() -> None:
    kubernetes_own = {"global", "nodeAffinity", "podAffinity", "podAntiAffinity"}
    open_ones = [
        name
        for name, part in _objects(SCHEMA, "")
        if part.get("additionalProperties") is not False
        and not isinstance(part.get("additionalProperties"), Mapping)
    ]
    assert set(open_ones) == kubernetes_own


def _resolved(part: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = part.get("$ref")
    return SCHEMA["definitions"][reference.rpartition("/")[2]] if reference else part


def _paths(part: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Every path that the schema describes, sections too."""
    for name, inner in _resolved(part).get("properties", {}).items():
        here = f"{path}.{name}" if path else name
        yield here
        yield from _paths(inner, here)


def _objects(part: Any, name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every object that the schema describes, by its last name; conditions are not descriptions."""
    if isinstance(part, Mapping):
        if part.get("type") == "object":
            yield name, part
        for key, inner in part.items():
            if key != "allOf":
                yield from _objects(inner, key)
    elif isinstance(part, list):
        for inner in part:
            yield from _objects(inner, name)


def _is_in(values: Mapping[str, Any], path: str) -> bool:
    found: Any = values
    for name in path.split("."):
        if not isinstance(found, Mapping) or name not in found:
            return False
        found = found[name]
    return True
