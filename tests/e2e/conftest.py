"""A cluster for the whole run with the chart installed, scenarios on it, and what they measured."""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.infrastructure import api_client, leaving, programs, scenario
from tests.infrastructure import release as releases
from tests.infrastructure.true_cluster import TrueCluster
from tests.infrastructure.users_cluster import UsersCluster

RESULT = Path(__file__).parents[2] / "build" / "e2e.json"
ORDER = {"test_install.py": -1, "test_uninstall.py": 1, "test_quick_start.py": 2}
"""What is timed from `helm install` on comes before the other tests; what ends the release after them."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests of this directory in `ORDER`."""
    places = [place for place, item in enumerate(items) if item.path.parent == Path(__file__).parent]
    ordered = sorted((items[place] for place in places), key=lambda item: ORDER.get(item.path.name, 0))
    for place, item in zip(places, ordered, strict=True):
        items[place] = item


@pytest.fixture(scope="package")
def report() -> Iterator[dict[str, Any]]:
    """What was measured, by field; it is in build/e2e.json at the end of the run."""
    found: dict[str, Any] = {"scenarios": {}}
    yield found
    found |= totals(found["scenarios"].values())
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def totals(scenarios: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """What was lost or doubled in all scenarios together: where nothing was killed nothing may be doubled."""
    entries = list(scenarios)
    return {
        "lost": sum(each["lost"] for each in entries),
        "doubled_orderly": sum(each["doubled"] for each in entries if each["orderly"]),
        "doubled_unmarked": sum(each["doubled_unmarked"] for each in entries),
    }


@pytest.fixture(scope="package")
def cluster(pytestconfig: pytest.Config, report: dict[str, Any]) -> Iterator[releases.Cluster]:
    """The cluster that the environment names, or else one with a true node, brought up for the run."""
    made = UsersCluster.of_environment() or _brought_up(pytestconfig, report)
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="package")
def true_cluster(cluster: releases.Cluster) -> TrueCluster:
    """The cluster if it is ours, of which more is known and may be broken."""
    if not isinstance(cluster, TrueCluster):
        raise programs.Unavailable(
            "it needs a cluster of its own: unset KUBECONFIG and KAFKA_BOOTSTRAP_SERVERS"
        )
    return cluster


@pytest.fixture(scope="package")
def release(cluster: releases.Cluster) -> Iterator[releases.Release]:
    """The chart: the release that the cluster has, or one installed with the chart's own values.

    Fails at the end if its operator asked for more than the chart grants, where there is an audit log.
    """
    there = releases.found(cluster)
    release = there or releases.install(cluster)
    yield release
    left = releases.found(cluster)
    if left is not None:
        leaving.require_nothing_refused(left)
    if left is not None and there is None:
        leaving.remove_release(cluster)


@pytest.fixture
def scenarios(
    release: releases.Release, report: dict[str, Any]
) -> Iterator[Callable[[str], scenario.Scenario]]:
    """Makes scenarios by their titles in the report; the namespace of each goes at the end."""
    made: list[scenario.Scenario] = []

    def make(title: str) -> scenario.Scenario:
        made.append(scenario.Scenario(release.cluster, title, report))
        return made[-1]

    yield make
    for each in made:
        each.stop_sending()
        release.cluster.access.api.delete(api_client.NAMESPACES, each.namespace)


def _brought_up(config: pytest.Config, report: dict[str, Any]) -> TrueCluster:
    capture = config.pluginmanager.getplugin("capturemanager")
    made = TrueCluster()
    began = time.monotonic()
    with capture.global_and_fixture_disabled():
        programs.announce("\nbringing up a true node, Kubernetes and Kafka ...")
        made.start()
        programs.announce(f"a true node is ready after {time.monotonic() - began:.0f} s")
    report["images"] = {
        image.name: {"archive_bytes": image.archive_bytes, "unpacked_bytes": image.unpacked_bytes}
        for image in made.images.all()
    }
    return made
