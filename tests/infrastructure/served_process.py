"""A program of ours under test that serves pages over HTTP, operator or worker: ended, signalled, asked."""

import re
import signal
import urllib.error
import urllib.request

from tests.infrastructure import guarded_process

_SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(\{.*\})? (\S+)$")


class ServedProcess:
    """One program; it ends with the test whatever happens. Who derives from it starts it."""

    def __init__(self) -> None:
        self._process: guarded_process.GuardedProcess | None = None
        self._port = 0

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()

    @property
    def port(self) -> int:
        """Where it serves on loopback, another one after each start; 0 before the first."""
        return self._port

    @property
    def is_running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.is_running()

    @property
    def program_id(self) -> int | None:
        """Its process id while it runs (Linux)."""
        return self._process.program_id if self._process is not None else None

    def kill(self) -> None:
        """SIGKILL, waited for."""
        assert self._process is not None
        self._process.kill()

    def stop(self, timeout_seconds: float = 30.0) -> None:
        """SIGTERM, waited for."""
        assert self._process is not None
        self._process.terminate(timeout_seconds=timeout_seconds)

    def signal(self, number: signal.Signals) -> None:
        """Another signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def page(self, path: str) -> tuple[int, str]:
        """Status code and text of one of its pages; OSError while nothing answers."""
        url = f"http://127.0.0.1:{self._port}{path}"
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def metric(self, name: str, **labels: str) -> float:
        """The sum over the samples of a metric that have these labels; 0 while there is none."""
        try:
            text = self.page("/metrics")[1]
        except OSError:
            return 0.0
        total = 0.0
        for line in text.splitlines():
            match = _SAMPLE.match(line)
            if match is not None and match[1] == name:
                given = match[2] or ""
                if all(f'{key}="{value}"' in given for key, value in labels.items()):
                    total += float(match[3])
        return total
