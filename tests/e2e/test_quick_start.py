"""The quick start of the README on a cluster without a release, its commands run as they are printed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.infrastructure import helm, images, kafka_tools, kubernetes_distribution, leaving, programs
from tests.infrastructure.true_cluster import TrueCluster
from tests.project import markdown

ROOT = Path(__file__).parents[2]
NAMESPACE = "analysis"
OUTPUT = "STATION-LOAD"
TOPICS = (OUTPUT, "MODULE-OUTPUT-LOAD-ALARM", "SCHEDULE-STATION-PARAM", "SCHEDULE-STATION-REALTIME-DATA")
STATIONS = 20
TIMEOUT_SECONDS = 300


@pytest.fixture
def bare(true_cluster: TrueCluster) -> TrueCluster:
    """The cluster as if nothing of ours had ever been there, but for topics that modules read and write."""
    leaving.remove_release(true_cluster)
    leaving.remove_crd(true_cluster)
    kafka_tools.ensure_topics(true_cluster.bootstrap_servers, TOPICS, partitions=4)
    return true_cluster


def blocks(language: str) -> list[str]:
    """The code blocks of the README's section on Kubernetes."""
    page = markdown.Page(ROOT / "README.md")
    section = page.text.partition("\n## On Kubernetes\n")[2].partition("\n## ")[0]
    return markdown.Page(page.path, section).code(language)


def run(commands: str, cluster: TrueCluster, home: Path) -> str:
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


def rows_under(text: str, head: list[str]) -> list[dict[str, str]]:
    """The two rows of a table of kubectl's, by column."""
    lines = [line.split() for line in text.splitlines()]
    at = lines.index(head)
    return [dict(zip(head, line, strict=True)) for line in lines[at + 1 : at + 3]]


def test_its_commands_lead_to_running_modules_and_an_output(bare: TrueCluster, tmp_path: Path) -> None:
    _, commands = blocks("sh")
    [table] = blocks("text")

    printed = run(commands, bare, tmp_path)

    promised, shown = (rows_under(text, table.splitlines()[0].split()) for text in (table, printed))
    for column in ("NAME", "PHASE", "READY", "CONFIG"):
        assert [row[column] for row in shown] == [row[column] for row in promised]
    assert all(0 < int(row["STATIONS"]) <= STATIONS and int(row["LAG"]) >= 0 for row in shown)
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
