"""A real Prometheus: scrapes what it is told, evaluates rules, and answers queries to tests."""

import dataclasses
import json
import shutil
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.infrastructure import guarded_process, local_ports, programs, startable, waiting

START_TIMEOUT_SECONDS = 60.0
Document = Mapping[str, Any]


class PrometheusDidNotStart(RuntimeError):
    """It ended or was not ready in time; the text holds the end of its log."""


class QueryRefused(RuntimeError):
    """Prometheus could not evaluate an expression; the text names the expression and says why."""


@dataclasses.dataclass(frozen=True)
class Series:
    """One series of an answer: labels, and points as (seconds of the epoch, value), the oldest first."""

    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]

    @property
    def value(self) -> float:
        """The newest value."""
        return self.points[-1][1]


class PrometheusServer(startable.Startable):
    """Prometheus with a configuration and groups of rules, from `start` to `stop`; its data live as long."""

    def __init__(self, configuration: Document, *, rules: Document | None = None) -> None:
        self._configuration = configuration
        self._rules = rules
        self._directory: Path | None = None
        self._process: guarded_process.GuardedProcess | None = None
        self._url = ""

    def start(self) -> None:
        """Starts it and returns when it is ready; PrometheusDidNotStart, `programs.Unavailable`."""
        program = programs.require("prometheus", package="prometheus")
        directory = self._directory = Path(tempfile.mkdtemp(prefix="station-analysis-prometheus-"))
        configuration = dict(self._configuration)
        if self._rules is not None:
            (directory / "rules.yaml").write_text(yaml.safe_dump(dict(self._rules)), encoding="utf-8")
            configuration["rule_files"] = [str(directory / "rules.yaml")]
        file = directory / "prometheus.yaml"
        file.write_text(yaml.safe_dump(configuration), encoding="utf-8")
        reserved = local_ports.ReservedPort()
        self._url = f"http://{local_ports.LOOPBACK}:{reserved.number}"
        reserved.release()
        command = [
            program,
            f"--config.file={file}",
            f"--storage.tsdb.path={directory / 'data'}",
            f"--web.listen-address={self._url.removeprefix('http://')}",
        ]
        self._process = guarded_process.GuardedProcess(
            command, log_file=directory / "prometheus.log", scratch=directory
        )
        try:
            waiting.until(self._is_ready, what="Prometheus is ready", timeout_seconds=START_TIMEOUT_SECONDS)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Kills it and forgets its data. May be called twice."""
        if self._process is not None:
            self._process.kill()
            self._process = None
        if self._directory is not None:
            shutil.rmtree(self._directory)
            self._directory = None

    def query(self, expression: str) -> list[Series]:
        """What an expression is now, a series for each set of labels; QueryRefused if it cannot be told."""
        found = self._ask("query", query=expression)
        if found["resultType"] == "scalar":
            return [_series({}, [found["result"]])]
        return [_series(each["metric"], [each["value"]]) for each in found["result"]]

    def query_range(self, expression: str, *, start: float, end: float, step_seconds: float) -> list[Series]:
        """What an expression was between two times of the epoch, in steps; QueryRefused."""
        found = self._ask("query_range", query=expression, start=start, end=end, step=step_seconds)
        return [_series(each["metric"], each["values"]) for each in found["result"]]

    def firing(self) -> list[Mapping[str, str]]:
        """The labels of each alert that fires now, its name as `alertname`."""
        return [each["labels"] for each in self._ask("alerts")["alerts"] if each["state"] == "firing"]

    def rules(self) -> list[dict[str, Any]]:
        """Each rule as Prometheus tells it: "name", "query", "health", "lastError", "alerts" and more."""
        return [rule for group in self._ask("rules")["groups"] for rule in group["rules"]]

    def targets(self) -> list[dict[str, Any]]:
        """Each target that it scrapes: "labels", "health", "lastError", "scrapeUrl" and more."""
        found: list[dict[str, Any]] = self._ask("targets", state="active")["activeTargets"]
        return found

    def log_tail(self, lines: int = 40) -> str:
        """The last lines that it printed."""
        return self._process.log_tail(lines) if self._process is not None else ""

    def _is_ready(self) -> bool:
        assert self._process is not None
        if not self._process.is_running():
            raise PrometheusDidNotStart(f"Prometheus ended; its log:\n{self.log_tail()}")
        try:
            with urllib.request.urlopen(f"{self._url}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _ask(self, what: str, **parameters: str | float) -> Any:
        url = f"{self._url}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            with error:
                raise QueryRefused(f"{what} {parameters}: {error.read().decode()}") from error


def _series(labels: Mapping[str, str], points: Sequence[tuple[float, str]]) -> Series:
    return Series(labels, [(time, float(value)) for time, value in points])
