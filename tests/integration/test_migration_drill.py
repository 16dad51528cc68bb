"""examples/migration/drill.sh on a real API server, with a module of real workers under a steady stream."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.infrastructure import kubernetes_distribution, numbered_stream, operated_namespace, waiting
from tests.infrastructure.control_plane import ControlPlane
from tests.infrastructure.kafka_cluster import KafkaEndpoint
from tests.infrastructure.module_driver import ModuleDriver
from tests.infrastructure.numbered_stream import NumberedStream
from tests.infrastructure.operator_process import OperatorProcess
from tests.infrastructure.process_node import ProcessNode

SCRIPT = Path(__file__).parents[2] / "examples" / "migration" / "drill.sh"
SHARDS = 2
PATIENCE_SECONDS = 120.0
RECOVERED = (
    r"^recovered after \d+ s: Running, ready 2/2, shard 0 in the pod (\S+)\n"
    r"lag before \d+, now (?:\d+|unknown); figures of a status are up to 30 s old$"
)


class Drilled:
    """A running module with its operator and its stream, and the script as its user calls it."""

    def __init__(
        self, plane: ControlPlane, operator: OperatorProcess, module: ModuleDriver, stream: NumberedStream
    ) -> None:
        self.operator = operator
        self.module = module
        self.stream = stream
        self._plane = plane

    def drill(self, *options: str, module: str | None = None) -> "subprocess.CompletedProcess[str]":
        """What `drill.sh` says and returns."""
        kubectl = kubernetes_distribution.kubectl()
        environment = {
            "PATH": f"{kubectl.parent}:{os.environ['PATH']}",
            "HOME": str(self._plane.kubeconfig.parent),
            "KUBECONFIG": str(self._plane.kubeconfig),
        }
        command = [str(SCRIPT), *options, self.module.namespace, module or self.module.name]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)

    def pods(self) -> dict[str, str]:
        """The uid of each pod that is not on its way out, by its name."""
        each = {name: pod["metadata"] for name, pod in self.module.pods().items()}
        return {name: of["uid"] for name, of in each.items() if "deletionTimestamp" not in of}

    def until_answered(self, count: int) -> None:
        """Waits for so many outputs."""
        waiting.until(
            lambda: self.stream.output_count() >= count,
            what=f"{count} outputs",
            timeout_seconds=PATIENCE_SECONDS,
        )


@pytest.fixture
def drilled(
    control_plane: ControlPlane, process_node: ProcessNode, kafka: KafkaEndpoint, tmp_path: Path
) -> Iterator[Drilled]:
    stream = numbered_stream.make(kafka.bootstrap_servers, "drill")
    with operated_namespace.operated(control_plane, tmp_path, "drill") as place:
        module = place.module("numbered")
        module.apply(stream.spec(workers={"replicas": SHARDS}))
        module.until_phase("Running", PATIENCE_SECONDS)
        module.until(lambda: "lag" in module.status, "its lag is known", PATIENCE_SECONDS)
        yield Drilled(control_plane, place.operator, module, stream)


@pytest.mark.parametrize("options", [[], ["--force"]], ids=["delete", "force"])
def test_a_drill_deletes_one_worker_and_ends_when_the_module_is_whole_again(
    drilled: Drilled, options: list[str]
) -> None:
    before = drilled.pods()
    shard_0 = drilled.module.status["shards"][0]["pod"]
    with numbered_stream.SteadyStream(drilled.stream) as steady:
        drilled.until_answered(200)
        done = drilled.drill(*options)
        after, status = drilled.pods(), drilled.module.status

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"deleting the pod {shard_0} of shard 0" in done.stdout
    told = re.search(RECOVERED, done.stdout, re.MULTILINE)
    assert told is not None, done.stdout
    assert set(before) - set(after) == {shard_0}
    assert set(after) - set(before) == {told[1]}
    assert (status["phase"], status["ready"]) == ("Running", "2/2")
    drilled.until_answered(len(steady.sent))
    found = numbered_stream.examine(drilled.stream.outputs(), steady.sent)
    assert (found.lost, found.doubled_unmarked, found.wrong_windows) == ([], 0, [])


def test_a_status_that_nobody_renews_is_no_recovery_and_the_exit_code_is_1(drilled: Drilled) -> None:
    drilled.operator.kill()

    done = drilled.drill("--timeout", "2")

    assert done.returncode == 1
    assert "NOT recovered after" in done.stderr
    assert "\nrecovered after" not in done.stdout
    assert (drilled.module.status["phase"], drilled.module.status["ready"]) == ("Running", "2/2")


def test_a_suspended_module_is_refused_and_nothing_is_done(drilled: Drilled) -> None:
    drilled.module.apply(suspend=True)
    drilled.module.until_phase("Suspended")

    done = drilled.drill()

    assert done.returncode == 2
    name = f"{drilled.module.namespace}/numbered"
    assert f"drill.sh: {name} is Suspended (ready 0/0), not Running" in done.stderr
    assert done.stdout == ""


def test_a_degraded_module_is_refused_and_keeps_its_pods(drilled: Drilled) -> None:
    drilled.module.apply(callback={"source": "def callback(:\n"})
    drilled.module.until_phase("Degraded")
    before = drilled.pods()

    done = drilled.drill()

    assert done.returncode == 2
    assert "is Degraded (ready 2/2), not Running" in done.stderr
    assert drilled.pods() == before


def test_a_module_that_is_nowhere_is_refused_in_kubectls_words(drilled: Drilled) -> None:
    before = drilled.pods()

    done = drilled.drill(module="nowhere")

    assert done.returncode == 2
    assert '"nowhere" not found' in done.stderr
    assert "could not be read; nothing was done" in done.stderr
    assert drilled.pods() == before
