"""One worker process of the demo: `analysis-worker run` on a file, its metrics and its log."""

import dataclasses
import json
import math
import os
import pathlib
import signal
import sys

import aiohttp
from prometheus_client import parser

from analysis_module import names
from analysis_worker.observability import logs
from analysis_worker.observability import metric_catalogue as metric
from analysis_worker.simulation import child_process, demo_modules

_ANSWER_SECONDS = 2.0
_OURS = (names.ENV_LOG_FILE, names.ENV_LOG_LEVEL, logs.ENV_FORMAT)
"""Not handed on: the demo reads its workers' logs."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figures:
    """What the metrics of a worker say; `errors` are those that are no dead letters."""

    consumed: int
    dead_letters: int
    errors: int
    lag: int
    stations: int
    fill: float | None
    running: bool


class DemoWorker:
    """A worker of one module, from start to `end`; files go into `folder`, it runs in `root`."""

    def __init__(
        self, module: demo_modules.DemoModule, address: str, *, folder: pathlib.Path, root: pathlib.Path
    ) -> None:
        self.module = module
        self.log_file = folder / f"{module.name}.log"
        self._reserved = child_process.ReservedPort()
        self._told = 0
        self._errors: list[str] = []
        self._last_line = "it wrote nothing"
        manifest = folder / f"{module.name}.yaml"
        manifest.write_text(module.manifest(address), encoding="utf-8")
        command = [sys.executable, "-m", "analysis_worker", "run", "--file", str(manifest)]
        self._process = child_process.ChildProcess(
            [*command, "--host", "127.0.0.1", "--port", str(self.port)],
            output=self.log_file,
            directory=root,
            environment={name: value for name, value in os.environ.items() if name not in _OURS},
        )

    @property
    def port(self) -> int:
        """Where its pages are."""
        return self._reserved.number

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.exit_code

    async def figures(self, session: aiohttp.ClientSession) -> Figures | None:
        """Its metrics now, None while it does not answer."""
        url = f"http://127.0.0.1:{self.port}{names.METRICS_PATH}"
        try:
            timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
            async with session.get(url, timeout=timeout) as response:
                return read_figures(await response.text())
        except (aiohttp.ClientError, OSError, TimeoutError):
            return None

    def errors(self) -> list[str]:
        """Every error that it has logged so far, and that it died, if it did."""
        with self.log_file.open("rb") as lines:
            lines.seek(self._told)
            fresh = lines.read()
        whole, newline, _ = fresh.rpartition(b"\n")
        self._told += len(whole) + len(newline)
        if whole:
            self._last_line = whole.splitlines()[-1].decode(errors="replace")
        self._errors += [text for each in whole.splitlines() if (text := error_of(each)) is not None]
        if self.exit_code in (None, 0, -signal.SIGTERM):  # the last: told to end before it could listen
            return self._errors
        return [*self._errors, f"it ended with exit code {self.exit_code}: {self._last_line}"]

    def ask_to_end(self) -> None:
        """Send SIGTERM; `end` waits."""
        self._process.ask_to_end()

    def end(self, *, within_seconds: float) -> None:
        """End it in order, or by force if that takes too long, and give its port back."""
        self._process.end(within_seconds=within_seconds)
        self._reserved.release()


def read_figures(text: str) -> Figures:
    """The figures in a metrics page."""
    values: dict[str, list[float]] = {}
    running = False
    for family in parser.text_string_to_metric_families(text):
        for sample in family.samples:
            if not math.isnan(sample.value):
                values.setdefault(sample.name, []).append(sample.value)
            if sample.name == metric.STATE.name and sample.labels.get("state") == "running":
                running = bool(sample.value)

    def total(description: metric.Description) -> int:
        return int(sum(values.get(description.name, ())))

    fills = values.get(metric.WINDOW_FILL.name, [])
    return Figures(
        consumed=total(metric.CONSUMED),
        dead_letters=total(metric.DEAD_LETTERS),
        errors=total(metric.ERRORS) - total(metric.DEAD_LETTERS),
        lag=total(metric.LAG_RECORDS),
        stations=total(metric.STATION_COUNT),
        fill=sum(fills) / len(fills) if fills else None,
        running=running,
    )


def error_of(line: bytes) -> str | None:
    """What a line of a worker's log says if it tells of an error, else None."""
    text = line.decode(errors="replace")
    try:
        entry = json.loads(text)
    except ValueError:
        return text if text.startswith("Traceback") else None  # not from our logger: a crash
    if isinstance(entry, dict) and entry.get("level") in ("ERROR", "CRITICAL"):
        return str(entry.get("message"))
    return None
