"""Dashboards and alerts on a real Prometheus that scrapes a true node by the chart's monitors."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from analysis_module import names
from helm import pictures
from tests.infrastructure import api_client, grafana_panels, helm, monitors, waiting
from tests.infrastructure.kubernetes_discovery import KubernetesDiscovery
from tests.infrastructure.prometheus_server import PrometheusServer, Series
from tests.infrastructure.release import PODS, Release
from tests.infrastructure.scenario import PATIENCE_SECONDS, Scenario
from tests.infrastructure.true_cluster import TrueCluster
from tests.infrastructure.watched_modules import WatchedModules

DIRECTORY = Path(__file__).parents[2] / "build" / "dashboards"
INTERVAL_SECONDS, SHOWN_SECONDS, STEP_SECONDS = 2, 90, 2
PANELS, QUERIES, RULES = 32, 42, 39
MONITORS = {"enabled": True, "interval": f"{INTERVAL_SECONDS}s"}
VALUES = {"serviceMonitor": MONITORS, "podMonitor": MONITORS, "prometheusRule": {"enabled": True}}


class Watched:
    """A Prometheus on a cluster whose modules have had their share of events."""

    def __init__(self, release: Release, modules: WatchedModules, prometheus: PrometheusServer) -> None:
        self.release = release
        self.modules = modules
        self.prometheus = prometheus
        self.variables = {
            "__rate_interval": f"{5 * INTERVAL_SECONDS}s",
            "namespace": modules.numbered.namespace,
            "module": modules.numbered.module.name,
        }

    def dashboard(self, name: str) -> grafana_panels.Dashboard:
        """A dashboard whose reader has chosen the module under the stream."""
        return grafana_panels.read(name, self.variables)

    def answer(self, query: grafana_panels.Query) -> list[Series]:
        """What Prometheus answers to a panel: of now, or of the last minutes."""
        if query.instant:
            return self.prometheus.query(query.expression)
        end = time.time()
        return self.prometheus.query_range(
            query.expression, start=end - SHOWN_SECONDS, end=end, step_seconds=STEP_SECONDS
        )

    def down(self) -> list[str]:
        """The targets that did not answer, and why."""
        found = self.prometheus.targets()
        return [f"{each['scrapeUrl']}: {each['lastError']}" for each in found if each["health"] != "up"]

    def without_data(self) -> list[str]:
        """The queries of all panels that Prometheus answers with no number."""
        return [
            f"{panel.title}: {query.expression}"
            for panel in self.panels()
            for query in panel.queries
            if not any(value == value for each in self.answer(query) for _, value in each.points)
        ]

    def panels(self) -> list[grafana_panels.Panel]:
        """The panels of all dashboards."""
        return [panel for name in grafana_panels.names() for panel in self.dashboard(name).panels]


@pytest.fixture(scope="module")
def watched(true_cluster: TrueCluster, release: Release, report: dict[str, Any]) -> Iterator[Watched]:
    """Prometheus, and modules that have lived for a while; their stream goes on."""
    rendered = helm.template(VALUES, namespace=release.namespace)
    jobs = [each for each in rendered if each["kind"] in monitors.ROLES]
    [rules] = [each["spec"] for each in rendered if each["kind"] == "PrometheusRule"]
    numbered = Scenario(true_cluster, "watched", report)
    with contextlib.ExitStack() as opened:
        discovery = opened.enter_context(KubernetesDiscovery(true_cluster.access.api))
        configuration = {
            "global": {"evaluation_interval": f"{INTERVAL_SECONDS}s"},
            "scrape_configs": [
                job for each in jobs for job in monitors.scrape_configurations(each, discovery.url)
            ],
        }
        prometheus = opened.enter_context(PrometheusServer(configuration, rules=rules))
        made = Watched(release, WatchedModules(numbered), prometheus)
        made.modules.start()
        made.modules.live()
        yield made
        numbered.stop_sending()
    true_cluster.access.api.delete(api_client.NAMESPACES, numbered.namespace)


def test_exactly_the_operators_and_the_workers_are_scraped_with_the_labels_that_panels_ask_for(
    watched: Watched,
) -> None:
    api, namespace = watched.release.cluster.access.api, watched.release.namespace
    operators = {
        ("analysis-operator", namespace, each["metadata"]["name"], helm.RELEASE, None, None)
        for each in api.items(api_client.PODS, namespace=namespace, labels=PODS)
    }
    numbered = watched.modules.numbered
    workers = {
        (
            "analysis-worker",
            numbered.namespace,
            pod,
            None,
            module.name,
            document["metadata"]["labels"][names.LABEL_SHARD],
        )
        for module in (numbered.module, watched.modules.failing)
        for pod, document in module.pods().items()
    }
    targets = watched.prometheus.targets()
    told = [each["labels"] for each in targets]
    asked = ("job", "namespace", "pod", "service", "module", "shard")
    assert {tuple(labels.get(name) for name in asked) for labels in told} == operators | workers
    assert len(told) == len(operators | workers)
    until_or_told(lambda: not watched.down(), "all targets answer")
    assert watched.down() == []


def test_every_query_of_every_panel_has_data(watched: Watched) -> None:
    panels = watched.panels()
    assert (len(panels), sum(len(panel.queries) for panel in panels)) == (PANELS, QUERIES)
    until_or_told(lambda: not watched.without_data(), "every panel has data")
    assert watched.without_data() == []


def test_every_panel_names_each_of_its_series_by_another_name(watched: Watched) -> None:
    for panel in watched.panels():
        shown = [query.name(each.labels) for query in panel.queries for each in watched.answer(query)]
        assert panel.kind == "table" or len({*shown}) == len(shown), (panel.title, shown)


def test_the_readers_of_a_dashboard_are_offered_the_namespaces_and_modules(watched: Watched) -> None:
    offered = {
        (name, variable): {
            each.labels[label] for each in watched.prometheus.query(f"group by ({label}) ({series})")
        }
        for name in grafana_panels.names()
        for variable, choice in watched.dashboard(name).choices.items()
        for series, label in [grafana_panels.chosen_from(choice)]
    }
    namespace = watched.modules.numbered.namespace
    assert namespace in offered["fleet", "namespace"] & offered["module", "namespace"]
    assert offered["module", "module"] == {"numbered", "failing", "rejected"}


def test_every_alert_rule_of_the_chart_is_evaluated_without_an_error(watched: Watched) -> None:
    def unwell() -> list[tuple[str, str]]:
        found = watched.prometheus.rules()
        return [(each["name"], each.get("lastError", "")) for each in found if each["health"] != "ok"]

    assert len(watched.prometheus.rules()) == RULES
    until_or_told(lambda: not unwell(), "every rule was evaluated well")
    assert unwell() == []


def test_the_dashboards_are_drawn(watched: Watched) -> None:
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    for name in grafana_panels.names():
        dashboard = watched.dashboard(name)
        file = DIRECTORY / f"dashboard-{name}.svg"
        pictures.draw(dashboard.title, [pictured(watched, panel) for panel in dashboard.panels], file)
        text = file.read_text(encoding="utf-8")
        assert [panel.title for panel in dashboard.panels if panel.title not in text] == []


def until_or_told(condition: Callable[[], bool], what: str) -> None:
    """Waits; when in vain, it is for the caller to say what is not so."""
    with contextlib.suppress(TimeoutError):
        waiting.until(condition, what=what, timeout_seconds=PATIENCE_SECONDS)


def pictured(watched: Watched, panel: grafana_panels.Panel) -> pictures.Picture:
    """A panel with what Prometheus answers to it."""
    namespace = watched.modules.numbered.namespace
    lines = [
        pictures.Line(
            query.name(each.labels).replace(namespace, "stations"),
            {name: value.replace(namespace, "stations") for name, value in each.labels.items()},
            each.points,
        )
        for query in panel.queries
        for each in watched.answer(query)
    ]
    return pictures.Picture(panel.title, panel.kind, panel.unit, panel.place, lines)
