"""The operator on a thousand modules: `python -m bench.operator_fleet`; writes build/operator-bench.json.

A real kube-apiserver and etcd, and the operator as its own process. The controllers are stopped, so that no
pods come to be: measured is what the operator does. Every figure is of one run:

- `create_seconds`: from the operator's start, all modules new, to the last status;
- `first_pass_seconds`: from the start of another operator on the finished fleet to a pass over every module;
- `edit_p50_seconds`, `edit_p99_seconds`: single hot edits, from the API server's answer to the status that
  tells of the new generation;
- `rss_mib`: resident memory of the operator, the highest that was seen;
- `idle_writes`: writes to the API server but the Lease's, over a minute in which nothing happens.
"""

import argparse
import concurrent.futures
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.infrastructure import api_client, local_ports, waiting
from tests.infrastructure.control_plane import ControlPlane
from tests.infrastructure.operator_process import OperatorProcess

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "build" / "operator-bench.json"
NAMESPACE = "bench"
GOALS = {"first_pass_seconds": 60.0, "edit_p99_seconds": 1.0, "rss_mib": 200.0, "idle_writes": 0.0}
"""What each figure must not exceed."""


def module(number: int, server: str) -> dict[str, Any]:
    """One module of the fleet; every tenth joins the outputs of the one before it."""
    spec: dict[str, Any] = {
        "module": f"module-{number:04d}",
        "kafka": {"bootstrapServers": [server]},
        "inputs": [{"topic": "SCHEDULE-CAR-ORDER", "fields": ["currentSOC", "demandVoltage"]}],
        "callback": {"entrypoint": "models.forecast:callback", "parameters": {"horizon": 96}},
    }
    if number % 10 == 9:
        provider = f"module-{number - 1:04d}"
        spec["dependencies"] = [{"module": provider, "topic": f"MODULE-OUTPUT-{provider.upper()}"}]
    return {
        "apiVersion": "dataanalysis.io/v1alpha1",
        "kind": "AnalysisModule",
        "metadata": {"name": f"module-{number:04d}", "namespace": NAMESPACE},
        "spec": spec,
    }


class Bench:
    """One run."""

    def __init__(self, plane: ControlPlane, directory: Path, modules: int) -> None:
        self.plane = plane
        self.modules = modules
        self.directory = directory
        self.figures: dict[str, float] = {"modules": modules}
        port = local_ports.ReservedPort()
        self.server = f"127.0.0.1:{port.number}"  # nothing listens there
        self._most_bytes = 0.0

    def run(self, edits: int, idle_seconds: float) -> dict[str, float]:
        """Measure everything."""
        self._create_modules()
        with self._operator("first") as first:
            self.figures["create_seconds"] = self._until_all(first)
            first.stop()
        with self._operator("second") as second:
            self.figures["first_pass_seconds"] = self._until_all(second)
            self._edit(edits)
            self._stand_idle(second, idle_seconds)
            self._weigh(second)
            self.figures["rss_mib"] = round(self._most_bytes / 2**20, 1)
            self.figures["failed_passes"] = second.metric(
                "analysis_operator_reconcile_total", outcome="error"
            )
            second.stop()
        return self.figures

    def _create_modules(self) -> None:
        self.plane.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        started = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            manifests = (module(number, self.server) for number in range(self.modules))
            for made, _ in enumerate(pool.map(self.plane.api.create, manifests), 1):
                if made % 250 == 0:
                    _say(f"{made} modules created, {time.monotonic() - started:.0f} s")

    def _operator(self, name: str) -> OperatorProcess:
        settings = {"statusSeconds": 15}
        return OperatorProcess(
            self.directory,
            self.plane.kubeconfig,
            lease_namespace=NAMESPACE,
            name=name,
            settings=settings,
        )

    def _until_all(self, operator: OperatorProcess) -> float:
        """From the operator's start until every module has been passed over and the queue is empty."""
        started = time.monotonic()
        told = started

        def passed() -> bool:
            nonlocal told
            done = operator.metric("analysis_operator_modules")
            self._weigh(operator)
            if time.monotonic() - told > 5:
                told = time.monotonic()
                _say(f"{operator.name}: {done:.0f} of {self.modules} modules, {told - started:.0f} s")
            return done >= self.modules

        waiting.until(passed, what="every module was passed over", timeout_seconds=900)
        seconds = round(time.monotonic() - started, 2)
        waiting.until(
            lambda: operator.metric("analysis_operator_queue_depth") == 0,
            what="the queue is empty",
            timeout_seconds=300,
        )
        _say(f"{operator.name}: all {self.modules} modules after {seconds} s")
        return seconds

    def _weigh(self, operator: OperatorProcess) -> None:
        self._most_bytes = max(self._most_bytes, operator.metric("process_resident_memory_bytes"))

    def _edit(self, edits: int) -> None:
        seconds = sorted(self._one_edit(number * 7 % self.modules, number) for number in range(edits))
        self.figures["edits"] = edits
        self.figures["edit_p50_seconds"] = round(statistics.median(seconds), 4)
        self.figures["edit_p99_seconds"] = round(seconds[min(len(seconds) - 1, int(0.99 * len(seconds)))], 4)
        self.figures["edit_max_seconds"] = round(seconds[-1], 4)
        _say(f"{edits} edits: p50 {self.figures['edit_p50_seconds']} s, max {seconds[-1]:.3f} s")

    def _one_edit(self, number: int, edition: int) -> float:
        name = f"module-{number:04d}"
        change = {"spec": {"callback": {"parameters": {"horizon": 96 + edition + 1}}}}
        edited = self.plane.api.patch(api_client.MODULES, name, change, namespace=NAMESPACE)
        started, wanted = time.monotonic(), edited["metadata"]["generation"]

        def told() -> bool:
            found = self.plane.api.get(api_client.MODULES, name, namespace=NAMESPACE)
            return bool(found.get("status", {}).get("observedGeneration") == wanted)

        waiting.until(told, what=f"the edit of {name} is answered", timeout_seconds=60)
        return time.monotonic() - started

    def _stand_idle(self, operator: OperatorProcess, seconds: float) -> None:
        waiting.until(
            lambda: operator.metric("analysis_operator_queue_depth") == 0,
            what="the queue is empty",
            timeout_seconds=60,
        )
        before, started = _writes(operator), time.monotonic()
        waiting.until(
            lambda: time.monotonic() - started > seconds, what="a while", timeout_seconds=2 * seconds
        )
        self.figures["idle_writes"] = _writes(operator) - before
        _say(f"{self.figures['idle_writes']:.0f} writes in {seconds:.0f} idle seconds")


def _writes(operator: OperatorProcess) -> float:
    verbs = ("create", "update", "patch", "delete")
    total = sum(operator.metric("analysis_operator_api_requests_total", verb=verb) for verb in verbs)
    return total - operator.metric("analysis_operator_api_requests_total", resource="leases", verb="update")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Run it; the exit code, 1 if `--check` finds a goal missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--modules", type=int, default=1000)
    parser.add_argument("--edits", type=int, default=200)
    parser.add_argument("--idle-seconds", type=float, default=60.0)
    parser.add_argument("--check", action="store_true", help="fail if a goal is missed")
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="operator-bench-") as directory,
        ControlPlane([ROOT / "crds" / "analysismodule.yaml"]) as plane,
    ):
        plane.stop_controllers()
        figures = Bench(plane, Path(directory), arguments.modules).run(
            arguments.edits, arguments.idle_seconds
        )
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    missed = [name for name, goal in GOALS.items() if figures[name] > goal]
    for name, value in figures.items():
        goal = f"   (goal {GOALS[name]:g}{' MISSED' if name in missed else ''})" if name in GOALS else ""
        print(f"{name:<22} {value:g}{goal}")
    return 1 if arguments.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
