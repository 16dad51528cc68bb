"""A real worker process under test: started from a manifest or an Assignment, asked, edited, killed."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import yaml

from analysis_module import assignment, reading
from tests.infrastructure import guarded_process, local_ports, served_process, waiting

START_TIMEOUT_SECONDS = 60.0


def manifest(spec: Mapping[str, Any]) -> dict[str, Any]:
    """An AnalysisModule of this spec."""
    return {
        "apiVersion": "dataanalysis.io/v1alpha1",
        "kind": "AnalysisModule",
        "metadata": {"name": "under-test"},
        "spec": dict(spec),
    }


def told(
    spec: Mapping[str, Any],
    owner: str,
    slots: frozenset[int],
    epoch: int = 1,
    arriving: frozenset[int] = frozenset(),
) -> str:
    """The text of an Assignment."""
    module_spec = reading.read_spec(dict(spec))
    return assignment.Assignment(module_spec, owner, epoch, slots, arriving=arriving).to_json()


class WorkerProcess(served_process.ServedProcess):
    """`analysis-worker run` on a file in `directory`; ends with the test whatever happens."""

    def __init__(self, directory: Path, name: str = "worker") -> None:
        self.directory = directory
        self.name = name
        self.file = directory / f"{name}.yaml"
        super().__init__()
        self._starts = 0
        self._arguments: list[str] = []
        self._keeping: list[str] = []

    def with_spec(self, spec: Mapping[str, Any], *, shard: int = 0, shards: int = 1) -> Self:
        """Run this spec; written anew while it runs, it is a hot edit."""
        self.replace(yaml.safe_dump(manifest(spec), allow_unicode=True))
        self._arguments = ["--file", str(self.file), "--shard", str(shard), "--shards", str(shards)]
        return self

    def with_assignment(self, text: str) -> Self:
        """Run this Assignment; written anew while it runs, it is a hot edit."""
        self.replace(text)
        self._arguments = ["--assignment", str(self.file)]
        return self

    def with_state(
        self, directory: Path, *, checkpoint_interval: float = 0.1, commit_interval: float = 0.1
    ) -> Self:
        """Keep windows in files there."""
        self._keeping = ["--state-directory", str(directory)]
        self._keeping += ["--checkpoint-interval", str(checkpoint_interval)]
        self._keeping += ["--commit-interval", str(commit_interval)]
        return self

    def replace(self, text: str) -> None:
        """Put a new text in the file's place at once, as a mounted ConfigMap changes."""
        fresh = self.file.with_suffix(".new")
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(self.file)

    def start(self) -> Self:
        """Start the process; it is not waited for."""
        reserved = local_ports.ReservedPort()
        self._port = reserved.number
        reserved.release()
        self._starts += 1
        command = [sys.executable, "-m", "analysis_worker", "run", *self._arguments, *self._keeping]
        command += ["--host", "127.0.0.1", "--port", str(self._port)]
        self._process = guarded_process.GuardedProcess(
            command,
            log_file=self.directory / f"{self.name}-{self._starts}.log",
            scratch=self.directory / f"{self.name}-{self._starts}",
        )
        return self

    def __enter__(self) -> Self:
        return self

    def get(self, path: str) -> tuple[int, Any]:
        """Status code and JSON (or text) of one of its pages."""
        code, body = self.page(path)
        try:
            return code, json.loads(body)
        except ValueError:
            return code, body

    def status(self) -> Mapping[str, Any]:
        """`/status` with the worker's own facts on top, or an empty mapping while nothing answers."""
        try:
            document: Mapping[str, Any] = self.get("/status")[1]
        except OSError:
            return {}
        return {**document, **document["worker"]}

    def wait_until_running(self) -> Self:
        """Wait until windows are restored and records flow."""
        assert self._process is not None
        process = self._process

        def running() -> bool:
            if not process.is_running():
                raise AssertionError(f"the worker ended:\n{process.log_tail()}")
            return bool(self.status().get("state") == "running")

        waiting.until(running, what=f"worker {self.name} runs", timeout_seconds=START_TIMEOUT_SECONDS)
        return self

    def log(self) -> str:
        """Everything the last process wrote."""
        return (self.directory / f"{self.name}-{self._starts}.log").read_text(encoding="utf-8")
