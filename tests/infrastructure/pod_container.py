"""The one container of a pod on our node: its process, restarts with back-off, readiness and status."""

import dataclasses
import datetime
import http.client
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.infrastructure import api_client, guarded_process, pod_volumes

FIRST_BACK_OFF_SECONDS = 0.5
LONGEST_BACK_OFF_SECONDS = 10.0
PROBE_PERIOD_SECONDS = 0.2
"""How often readiness is asked, whatever the manifest's periodSeconds says: tests wait for it."""


def timestamp() -> str:
    """Now, as Kubernetes writes times."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Container:
    """The process of a pod's container, started again by its pod after it ended."""

    def __init__(self, directory: Path, uid: str) -> None:
        self._directory = directory
        self._uid = uid
        self._process: guarded_process.GuardedProcess | None = None
        self._starts = 0
        self._started_at = ""
        self._started_seconds = 0.0
        self._back_off_seconds = FIRST_BACK_OFF_SECONDS
        self._start_again_seconds = 0.0
        self._last: dict[str, Any] = {}
        self._waiting = {"reason": "ContainerCreating"}

    @property
    def process(self) -> guarded_process.GuardedProcess | None:
        """The process that runs or ran last, None before the first start."""
        return self._process

    @property
    def was_started(self) -> bool:
        """Whether it ever ran."""
        return self._starts > 0

    def is_running(self) -> bool:
        """Whether its process runs (or is frozen)."""
        return self._process is not None and self._process.is_running()

    def may_start(self) -> bool:
        """Whether it does not run, and its back-off has passed."""
        return not self.is_running() and time.monotonic() >= self._start_again_seconds

    def start(self, command: Sequence[str], scratch: Path) -> None:
        """Starts the process."""
        self.kill()  # the one before has ended: this closes the pipe to its guard
        self._process = guarded_process.GuardedProcess(
            command, log_file=self._directory / "log", scratch=scratch
        )
        self._starts += 1
        self._started_at = timestamp()
        self._started_seconds = time.monotonic()

    def notice_end(self) -> None:
        """Takes note of a process that ended: the next start is put off, longer the more often it ends."""
        ended = self._process
        if ended is None or ended.exit_code is None or self._last.get("containerID") == self._identity():
            return
        ended.kill()  # it has ended: this closes the pipe to its guard
        now = time.monotonic()
        if now - self._started_seconds > 2 * LONGEST_BACK_OFF_SECONDS:
            self._back_off_seconds = FIRST_BACK_OFF_SECONDS
        self._last = self._terminated(ended.exit_code)
        self._start_again_seconds = now + self._back_off_seconds
        message = f"back-off {self._back_off_seconds:g}s restarting failed container"
        self._waiting = {"reason": "CrashLoopBackOff", "message": message}
        self._back_off_seconds = min(LONGEST_BACK_OFF_SECONDS, self._back_off_seconds * 2)

    def hold(self, reason: str, seconds: float) -> None:
        """Puts the next start off, and lets the status say why."""
        self._waiting = {"reason": reason}
        self._start_again_seconds = time.monotonic() + seconds

    def send_signal(self, number: signal.Signals) -> None:
        """Sends the process a signal, if it runs."""
        if self._process is not None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, waited for."""
        if self._process is not None:
            self._process.kill()

    def log(self) -> str:
        """All that its processes wrote, one after the other."""
        file = self._directory / "log"
        return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""

    def status(self, manifest: api_client.Manifest, *, ready: bool, for_good: bool = False) -> dict[str, Any]:
        """Its entry in the pod's containerStatuses; `for_good` if an ended one is not started again."""
        state: dict[str, Any] = {"waiting": self._waiting}
        if self.is_running():
            state = {"running": {"startedAt": self._started_at}}
        elif for_good and self._last:
            state = {"terminated": self._last}
        return {
            "name": manifest["name"],
            "image": manifest["image"],
            "imageID": "",
            "containerID": self._identity() if self._starts else "",
            "ready": ready,
            "started": self.is_running(),
            "restartCount": max(0, self._starts - 1),
            "state": state,
            "lastState": {"terminated": self._last} if self._last and not for_good else {},
        }

    def _identity(self) -> str:
        return f"process://{self._uid}-{self._starts}"

    def _terminated(self, exit_code: int) -> dict[str, Any]:
        return {
            "exitCode": exit_code,
            "reason": "Error" if exit_code else "Completed",
            "startedAt": self._started_at,
            "finishedAt": timestamp(),
            "containerID": self._identity(),
        }


@dataclasses.dataclass
class Readiness:
    """What the readinessProbe of a pod says; without one a container that runs is ready."""

    ready: bool = False
    _failures: int = 0
    _ask_seconds: float = 0.0

    def ask(self, pod: pod_volumes.PodFacts, container: Container) -> None:
        """Asks again if it is time to."""
        probe = pod.container.get("readinessProbe")
        if not container.is_running():
            self.ready, self._failures = False, 0
        elif probe is None:
            self.ready = True
        elif time.monotonic() >= self._ask_seconds:
            self._ask_seconds = time.monotonic() + PROBE_PERIOD_SECONDS
            answered = _answers(pod, probe)
            self._failures = 0 if answered else self._failures + 1
            if answered or self._failures >= probe.get("failureThreshold", 3):
                self.ready = answered


def _answers(pod: pod_volumes.PodFacts, probe: api_client.Manifest) -> bool:
    """Whether an httpGet probe is answered by a code from 200 to 399 in time."""
    asked = probe["httpGet"]
    named = {each.get("name"): each["containerPort"] for each in pod.container.get("ports", [])}
    port = named.get(asked["port"], asked["port"])
    connection = http.client.HTTPConnection(pod.address, port, timeout=probe.get("timeoutSeconds", 1))
    try:
        connection.request("GET", asked.get("path", "/"))
        return 200 <= connection.getresponse().status < 400
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
