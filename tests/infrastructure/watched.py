"""Processes of ours, operators and workers, watched by a real Prometheus with the chart's alerts, hurried.

Labelled as the chart's monitors label them. A process has another port after each start, a pod keeps its
address: what Prometheus scrapes is a port that stays and leads to the process.
"""

import contextlib
import functools
import json
import re
import socket
import socketserver
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from tests.infrastructure import hurried_rules, local_ports, waiting
from tests.infrastructure.prometheus_server import PrometheusServer
from tests.infrastructure.served_process import ServedProcess

EVERY_SECONDS = 0.5
"""How often Prometheus scrapes and evaluates."""
PATIENCE_SECONDS = 120.0
OPERATOR_JOB, WORKER_JOB = "analysis-operator", "analysis-worker"
HONOR_LABELS = {OPERATOR_JOB: True, WORKER_JOB: False}
"""Of each job, as its monitor says."""
SERVICE = "analysis-operator"
_STARTED = re.compile(r"^process_start_time_seconds (\S+)$", re.MULTILINE)
_CONNECT_SECONDS = 5.0
Labels = Mapping[str, str]


class Watched:
    """A Prometheus and whom it scrapes, inside a `with`."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._targets: dict[str, dict[str, dict[str, Any]]] = {job: {} for job in HONOR_LABELS}
        self._directory = tempfile.TemporaryDirectory(prefix="station-analysis-targets-")
        self._server = PrometheusServer(
            {
                "global": {"scrape_interval": _ms(EVERY_SECONDS), "evaluation_interval": _ms(EVERY_SECONDS)},
                "scrape_configs": [self._scraping(job) for job in HONOR_LABELS],
            },
            rules=hurried_rules.hurried(hurried_rules.chart_rules()),
        )

    def __enter__(self) -> Self:
        for job in self._targets:
            self._tell(job)
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()
        self._stack.close()
        self._directory.cleanup()

    def operator(self, process: ServedProcess, *, namespace: str, pod: str) -> None:
        """Scrape an operator from now on, also when it has started anew."""
        self._scrape(OPERATOR_JOB, process, {"namespace": namespace, "pod": pod, "service": SERVICE})

    def worker(
        self,
        process: ServedProcess,
        *,
        namespace: str,
        pod: str,
        module: str,
        shard: int = 0,
        every_seconds: float = EVERY_SECONDS,
    ) -> None:
        """Scrape a worker from now on, also when it has started anew."""
        labels = {"namespace": namespace, "pod": pod, "module": module, "shard": str(shard)}
        self._scrape(WORKER_JOB, process, labels, every_seconds)

    def forget(self, pod: str) -> None:
        """Scrape it no more, as when a pod is deleted."""
        for job, targets in self._targets.items():
            if targets.pop(pod, None) is not None:
                self._tell(job)

    def until_scraped(self, process: ServedProcess, pod: str) -> None:
        """Wait until Prometheus has scraped the process that runs now, as that pod."""

        def is_scraped() -> bool:
            with contextlib.suppress(OSError):  # it does not serve yet
                started = _STARTED.search(process.page("/metrics")[1])
                assert started is not None
                told = self.value(f'process_start_time_seconds{{pod="{pod}"}}')
                return told == float(started[1])
            return False

        self._until(is_scraped, f"{pod} is scraped")

    def firing(self, name: str, /, **labels: str) -> list[Labels]:
        """The labels of each alert of that name, with these labels, that fires now."""
        wanted = {"alertname": name, **labels}
        return [each for each in self._server.firing() if wanted.items() <= each.items()]

    def until_firing(self, name: str, /, **labels: str) -> Labels:
        """Wait until such an alert fires; its labels. There may be others of other labels."""
        found: list[Labels] = []

        def is_firing() -> bool:
            found[:] = self.firing(name, **labels)
            return bool(found)

        self._until(is_firing, f"{name} {labels or ''} fires")
        return found[0]

    def until_quiet(self, *names: str) -> None:
        """Wait until no alert of these names fires: at once, but for what a former test has left."""
        for name in names:
            self._until(functools.partial(self._is_quiet, name), f"{name} does not fire")

    def _is_quiet(self, name: str) -> bool:
        return not self.firing(name)

    def value(self, expression: str) -> float | None:
        """What an expression is now, of its first series; None if it has none."""
        found = self._server.query(expression)
        return found[0].value if found else None

    def _scrape(
        self, job: str, process: ServedProcess, labels: Labels, every_seconds: float = EVERY_SECONDS
    ) -> None:
        relay = self._stack.enter_context(_Relay(process))
        timing = {"__scrape_interval__": _ms(every_seconds), "__scrape_timeout__": _ms(every_seconds)}
        own = {**labels, "instance": labels["pod"], **timing}
        self._targets[job][labels["pod"]] = {"targets": [relay.address], "labels": own}
        self._tell(job)

    def _until(self, condition: Callable[[], bool], what: str) -> None:
        try:
            waiting.until(condition, what=what, timeout_seconds=PATIENCE_SECONDS)
        except TimeoutError as error:
            alerts = [(each["name"], each["alerts"]) for each in self._server.rules() if each["alerts"]]
            raise AssertionError(f"{error}; alerts:\n{json.dumps(alerts, indent=1)}") from error

    def _tell(self, job: str) -> None:
        fresh = self._file(job).with_suffix(".new")
        fresh.write_text(json.dumps(list(self._targets[job].values())), encoding="utf-8")
        fresh.replace(self._file(job))

    def _file(self, job: str) -> Path:
        return Path(self._directory.name) / f"{job}.json"

    def _scraping(self, job: str) -> dict[str, Any]:
        files = {"files": [str(self._file(job))], "refresh_interval": "1s"}
        return {"job_name": job, "honor_labels": HONOR_LABELS[job], "file_sd_configs": [files]}


class _Relay:
    """A port on loopback, inside a `with`, that leads to a process wherever it serves at the time."""

    def __init__(self, process: ServedProcess) -> None:
        class Relayed(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                _lead(self.request, process)

        self._server = socketserver.ThreadingTCPServer((local_ports.LOOPBACK, 0), Relayed)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def address(self) -> str:
        """Host and port."""
        return f"{local_ports.LOOPBACK}:{self._server.server_address[1]}"


def _lead(client: socket.socket, process: ServedProcess) -> None:
    """Until one side closes; at once if nobody serves."""
    with contextlib.suppress(OSError):
        place = (local_ports.LOOPBACK, process.port)
        with socket.create_connection(place, timeout=_CONNECT_SECONDS) as server:
            server.settimeout(None)
            asking = threading.Thread(target=_pass_on, args=(client, server), daemon=True)
            asking.start()
            _pass_on(server, client)
            asking.join()


def _pass_on(source: socket.socket, to: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(65_536):
            to.sendall(piece)
    for each in (source, to):
        with contextlib.suppress(OSError):  # closed already
            each.shutdown(socket.SHUT_RDWR)


def _ms(seconds: float) -> str:
    return f"{int(seconds * 1000)}ms"
