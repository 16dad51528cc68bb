"""`analysis-operator plan`, `where` and `graph` against a real cluster with real workers."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from analysis_module import slots
from tests.infrastructure import numbered_stream
from tests.infrastructure.control_plane import ControlPlane
from tests.infrastructure.kafka_cluster import KafkaEndpoint
from tests.infrastructure.module_driver import ModuleDriver
from tests.infrastructure.operated_namespace import OperatedNamespace, operated
from tests.infrastructure.process_node import ProcessNode


class Shell:
    """What a user types."""

    def __init__(self, place: OperatedNamespace, module: ModuleDriver, directory: Path) -> None:
        self.place = place
        self.module = module
        self._file = directory / "module.yaml"

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, output and errors of a command."""
        command = [sys.executable, "-m", "analysis_operator", *arguments]
        command += ["--kubeconfig", str(self.place.plane.kubeconfig), "-n", self.place.name]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout, done.stderr

    def plan(self, *arguments: str, **changes: Any) -> tuple[int, str, str]:
        """`plan` of the module's spec with changes."""
        manifest = self.module.manifest({**self.module.spec, **changes})
        self._file.write_text(yaml.safe_dump(manifest), encoding="utf-8")
        return self.run("plan", "-f", str(self._file), *arguments)


@pytest.fixture
def shell(
    control_plane: ControlPlane, process_node: ProcessNode, kafka: KafkaEndpoint, tmp_path: Path
) -> Iterator[Shell]:
    with operated(control_plane, tmp_path, "commands") as place:
        stream = numbered_stream.make(kafka.bootstrap_servers, "commands")
        module = place.module("numbered")
        module.apply(stream.spec(workers={"replicas": 2}))
        module.until_phase("Running")
        yield Shell(place, module, tmp_path)


def test_the_commands_tell_what_is_and_what_would_be(shell: Shell) -> None:
    code, out, err = shell.plan()
    assert (code, out.strip(), err) == (0, f"{shell.place.name}/numbered: nothing would change", "")

    code, out, _ = shell.plan(padding="Linear")
    assert code == 1
    assert "hot, because of spec.padding" in out
    assert "ConfigMap numbered-0 would be changed" in out
    assert "Deployment" not in out

    code, out, _ = shell.plan(padding="Linear", observability={"logFormat": "json"})
    assert code == 1
    assert "rolling, because of spec.observability.logFormat" in out
    assert "Deployment numbered-1 would replace its pod" in out

    code, out, _ = shell.plan("-o", "json", workers={"replicas": 3})
    told = json.loads(out)[0]
    assert code == 1
    assert told["change"] == "none"
    assert len(told["movedSlots"]) > 0
    assert "Deployment numbered-2 would be made" in told["objects"]

    code, out, _ = shell.plan(partitioning={"slots": 8})
    assert code == 2
    assert "spec.partitioning.slots: cannot be changed; delete the module and apply it anew" in out

    code, _, err = shell.plan(pading="Linear")
    assert code == 2
    assert "spec.pading: there is no such field; did you mean padding?" in err

    code, out, _ = shell.run("where", "S7", "-o", "json")
    (row,) = json.loads(out)
    owner = next(n for n, a in shell.module.assignments().items() if slots.slot_of("S7", 64) in a.slots)
    assert code == 0
    assert (row["slot"], row["shard"], row["state"]) == (slots.slot_of("S7", 64), owner, "ready")
    assert row["pod"].startswith(f"numbered-{owner}-")

    code, out, _ = shell.run("graph")
    assert code == 0
    assert f"{shell.place.name}/numbered" in out
    code, out, _ = shell.run("graph", "-o", "mermaid")
    assert out.startswith("flowchart LR")


def test_without_a_cluster_the_commands_say_so(tmp_path: Path) -> None:
    missing = tmp_path / "kubeconfig"
    command = [sys.executable, "-m", "analysis_operator", "graph", "--kubeconfig", str(missing)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 3
    assert "no way to a Kubernetes API" in done.stderr
    assert "--kubeconfig" in done.stderr
