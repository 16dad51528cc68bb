"""The quick start of the README on a cluster without a release, its commands run as they are printed."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import leaving
from tests.infrastructure import helm, images, kafka_tools, kubernetes_distribution, programs
from tests.infrastructure.release import Cluster
from tests.project import markdown

ROOT = Path(__file__).parents[2]
NAMESPACE = "analysis"
OUTPUT = "STATION-LOAD"
TOPICS = (OUTPUT, "MODULE-OUTPUT-LOAD-ALARM", "SCHEDULE-STATION-PARAM", "SCHEDULE-STATION-REALTIME-DATA")
TIMEOUT_SECONDS = 300


@pytest.fixture
def bare(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster without a release, before and after; it has the topics that the modules read and write."""
    leaving.remove_release(cluster)
    for topic in TOPICS:
        if topic not in kafka_tools.topics(cluster.bootstrap_servers):
            kafka_tools.create_topic(cluster.bootstrap_servers, topic, partitions=4)
    yield cluster
    leaving.remove_modules(cluster, "default")
    leaving.remove_release(cluster)


def blocks(language: str) -> list[str]:
    """The code blocks of the README's section on Kubernetes."""
    page = markdown.Page(ROOT / "README.md")
    section = page.text.partition("\n## On Kubernetes\n")[2].partition("\n## ")[0]
    return markdown.Page(page.path, section).code(language)


def run(commands: str, cluster: Cluster, home: Path) -> str:
    """What a user's shell prints who types these commands in the tree."""
    programs.require("kcat", package="kcat")
    found = (kubernetes_distribution.helm(), kubernetes_distribution.kubectl(), Path(sys.executable))
    environment = {
        "PATH": os.pathsep.join([*(str(program.parent) for program in found), os.environ["PATH"]]),
        "HOME": str(home),
        "KUBECONFIG": str(cluster.access.kubeconfig),
        "KAFKA": cluster.bootstrap_servers,
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_its_commands_lead_to_running_modules_and_an_output(bare: Cluster, tmp_path: Path) -> None:
    _, commands = blocks("sh")
    [table] = blocks("text")

    printed = run(commands, bare, tmp_path)

    rows = [line.split() for line in printed.splitlines()]
    promised = [line.split() for line in table.splitlines()]
    at = rows.index(promised[0])
    shown = rows[at + 1 : at + len(promised)]
    ages = [row.pop() for row in shown]
    assert shown == [row[:-1] for row in promised[1:]]
    assert all(ages)
    output = json.loads(printed.splitlines()[-1])
    assert output["module"] == "station_load"
    assert set(output["output"]) == {"mean_load"}


def test_the_images_that_it_builds_are_those_that_the_chart_asks_for() -> None:
    building, _ = blocks("sh")
    built = {line.split()[5]: line.split()[3] for line in building.splitlines()}
    assert built == {
        f"analysis-operator:{images.version()}": "Dockerfile.operator",
        f"analysis-worker:{images.version()}": "Dockerfile.worker",
    }
    asked = {
        container["image"]
        for document in helm.template({}, namespace=NAMESPACE)
        if document["kind"] == "Deployment"
        for container in document["spec"]["template"]["spec"]["containers"]
    }
    assert asked <= {*built}
