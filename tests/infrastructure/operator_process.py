"""A real operator process under test: started on a kubeconfig, asked, killed."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import yaml

from tests.infrastructure import guarded_process, local_ports, served_process, waiting

START_TIMEOUT_SECONDS = 60.0
QUICK = {"statusSeconds": 1}
"""Settings for tests: workers are looked at each second even if nothing happens."""


class OperatorProcess(served_process.ServedProcess):
    """`analysis-operator run` in a directory; ends with the test whatever happens."""

    def __init__(
        self,
        directory: Path,
        kubeconfig: Path,
        *,
        lease_namespace: str,
        name: str = "operator",
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = name
        self._directory = directory
        self._kubeconfig = kubeconfig
        self._lease_namespace = lease_namespace
        self._settings = {**QUICK, **(settings or {})}
        super().__init__()
        self._starts = 0

    def start(self) -> Self:
        """Start the process; it is not waited for."""
        if self._process is not None:
            self._process.kill()
        reserved = local_ports.ReservedPort()
        self._port = reserved.number
        reserved.release()
        self._starts += 1
        settings = self._directory / f"{self.name}-settings.yaml"
        settings.write_text(yaml.safe_dump(self._settings), encoding="utf-8")
        command = [sys.executable, "-m", "analysis_operator", "run", "--settings", str(settings)]
        command += ["--kubeconfig", str(self._kubeconfig), "--lease-namespace", self._lease_namespace]
        command += ["--host", "127.0.0.1", "--port", str(self._port)]
        self._process = guarded_process.GuardedProcess(
            command, log_file=self._log_file, scratch=self._directory / f"{self.name}-{self._starts}"
        )
        return self

    def __enter__(self) -> Self:
        return self if self._process is not None else self.start()

    @property
    def exit_code(self) -> int | None:
        """How the last process ended, as a shell tells it; None while it runs."""
        return self._process.exit_code if self._process is not None else None

    def reasons(self, path: str) -> list[str] | None:
        """What a probe has against it, None while nothing answers."""
        try:
            found: list[str] = json.loads(self.page(path)[1])["reasons"]
            return found
        except OSError:
            return None

    @property
    def leads(self) -> bool:
        """Whether it holds the Lease."""
        return self.metric("analysis_operator_leader") == 1.0

    def wait_until_leading(self) -> Self:
        """Wait until it acts."""
        self._until(lambda: self.leads, "leads")
        return self

    def wait_until_ready(self) -> Self:
        """Wait until it could lead."""
        self._until(lambda: self.reasons("/readyz") == [], "is ready")
        return self

    def _until(self, condition: Any, what: str) -> None:
        def met() -> bool:
            if not self.is_running:
                raise AssertionError(f"the operator ended:\n{self.log()[-3000:]}")
            return bool(condition())

        waiting.until(met, what=f"{self.name} {what}", timeout_seconds=START_TIMEOUT_SECONDS)

    @property
    def _log_file(self) -> Path:
        return self._directory / f"{self.name}-{self._starts}.log"

    def log(self) -> str:
        """Everything the last process wrote."""
        return self._log_file.read_text(encoding="utf-8")
