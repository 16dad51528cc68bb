"""A true cluster for the whole run with the chart installed, scenarios on it, and what they measured."""

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.infrastructure import api_client, programs, scenario
from tests.infrastructure.true_cluster import Release, TrueCluster

RESULT = Path(__file__).parents[2] / "build" / "e2e.json"


@pytest.fixture(scope="package")
def report() -> Iterator[dict[str, Any]]:
    """What was measured, by field; it is in build/e2e.json at the end of the run."""
    found: dict[str, Any] = {"scenarios": {}}
    yield found
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


@pytest.fixture(scope="package")
def true_cluster(pytestconfig: pytest.Config, report: dict[str, Any]) -> Iterator[TrueCluster]:
    """Kubernetes with a true node, Kafka, and our images, for the whole run; nothing is installed."""
    if os.environ.get("KUBECONFIG") or os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        raise programs.Unavailable(
            "it brings a cluster of its own: unset KUBECONFIG and KAFKA_BOOTSTRAP_SERVERS"
        )
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    cluster = TrueCluster()
    began = time.monotonic()
    with capture.global_and_fixture_disabled():
        programs.announce("\nbringing up a true node, Kubernetes and Kafka ...")
        cluster.start()
        programs.announce(f"a true node is ready after {time.monotonic() - began:.0f} s")
    report["images"] = {
        image.name: {"archive_bytes": image.archive_bytes, "unpacked_bytes": image.unpacked_bytes}
        for image in cluster.images.all()
    }
    try:
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="package")
def release(true_cluster: TrueCluster) -> Release:
    """The chart, installed with its own values."""
    return true_cluster.install()


@pytest.fixture
def scenarios(release: Release, report: dict[str, Any]) -> Iterator[Callable[[str], scenario.Scenario]]:
    """Makes scenarios, each with a namespace of its own that goes at the end."""
    made: list[scenario.Scenario] = []

    def make(name: str) -> scenario.Scenario:
        made.append(scenario.Scenario(release.cluster, name))
        return made[-1]

    yield make
    for each in made:
        release.cluster.plane.api.delete(api_client.NAMESPACES, each.namespace)
