"""A process of ours that never outlives us: ended by its own id, and by the kernel if we are killed.

On Linux the command is started by this very file, run by a bare interpreter: it asks the kernel to kill the
process once its parent is gone, then becomes the command. Elsewhere a killed parent leaves it running.
"""

import contextlib
import ctypes
import os
import pathlib
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import IO, Self

_PR_SET_PDEATHSIG = 1  # <sys/prctl.h>


class ChildProcess:
    """One running command; its output goes to a file, or comes by `lines` if there is none.

    It has a session of its own: Ctrl-C in a terminal is for us, who then end it in order.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        output: pathlib.Path | None = None,
        directory: pathlib.Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._asked = False
        with contextlib.ExitStack() as stack:
            target: int | IO[bytes] = subprocess.PIPE
            if output is not None:
                target = stack.enter_context(output.open("ab"))
            self._process = subprocess.Popen(
                _guarded(command),
                stdin=subprocess.DEVNULL,
                stdout=target,
                stderr=None if output is None else subprocess.STDOUT,
                cwd=directory,
                env=environment,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end(within_seconds=5.0)

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; below zero the signal that ended it."""
        return self._process.poll()

    def line(self) -> str:
        """Wait for the next line of its output; "" once it has ended."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().decode(errors="replace").rstrip("\n")

    def ask_to_end(self) -> None:
        """Send SIGTERM, once: a second one might meet a program past its own handler; `end` waits."""
        if not self._asked and self.exit_code is None:
            self._asked = True
            self._process.send_signal(signal.SIGTERM)

    def end(self, *, within_seconds: float) -> int:
        """End it: SIGTERM, and SIGKILL if that does not help in time; the exit code."""
        self.ask_to_end()
        try:
            code = self._process.wait(within_seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        return code


class ReservedPort:
    """A port of 127.0.0.1 that the kernel chose, kept for a child's server until `release`.

    On Linux a socket that is bound but does not listen keeps the port from anyone who asks for any port,
    while a server that names it may still listen there. Elsewhere the port is only chosen.
    """

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", 0))
        self.number: int = self._socket.getsockname()[1]
        if sys.platform != "linux":
            self.release()

    def release(self) -> None:
        """Give the port back."""
        self._socket.close()


def _guarded(command: Sequence[str]) -> list[str]:
    if sys.platform != "linux":
        return list(command)
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


def _become(parent: int, command: list[str]) -> None:
    """Be killed when the parent is gone, from now on; then become the command."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it was gone before we asked
        sys.exit(1)
    os.execvp(command[0], command)


if __name__ == "__main__":
    _become(int(sys.argv[1]), sys.argv[2:])
