"""systemd's end of sd_notify: a datagram socket, and a program that speaks to it."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[3]
HANG_SECONDS = 60.0
"""What a test may wait for a message before it is a failure."""


class NotifySocket:
    """Hears one program; `address` is a path, or a name of an abstract socket if it begins with @."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(HANG_SECONDS)
        self._socket.bind(address.replace("@", "\0", 1) if address.startswith("@") else address)

    @classmethod
    def abstract(cls) -> Self:
        """One without a file."""
        return cls(f"@station-analysis-{uuid.uuid4().hex}")

    def environment(self, watchdog_seconds: float | None = None) -> dict[str, str]:
        """What systemd gives a program."""
        beat = {} if watchdog_seconds is None else {"WATCHDOG_USEC": str(int(watchdog_seconds * 1e6))}
        return {"NOTIFY_SOCKET": self.address, **beat}

    def message(self) -> list[str]:
        """The next message, by its lines."""
        return self._socket.recv(65_536).decode().split("\n")

    def until(self, beginning: str) -> list[str]:
        """The next message with a line that begins so; those before it are dropped."""
        deadline = time.monotonic() + HANG_SECONDS
        while time.monotonic() < deadline:
            message = self.message()
            if any(line.startswith(beginning) for line in message):
                return message
        raise TimeoutError(f"waited in vain for {beginning}; the last message was {message}")

    def close(self) -> None:
        """Hear no more."""
        self._socket.close()


@contextlib.contextmanager
def speaking(
    program: Sequence[str], end: NotifySocket, watchdog_seconds: float, **environment: str
) -> Iterator["subprocess.Popen[str]"]:
    """A Python program from the tree, whose standard input is open; killed at the end if it still runs."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("DATA_ANALYSIS")}
    process = subprocess.Popen(
        [sys.executable, *program],
        cwd=ROOT,
        env={**inherited, **end.environment(watchdog_seconds), **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=HANG_SECONDS)
