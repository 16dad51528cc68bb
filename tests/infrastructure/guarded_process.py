"""A child process that never outlives us, however we end.

Between us and the program stands a guard: this very file, run by a bare interpreter. It reads from a pipe
whose other end only we hold. A line is the number of a signal for the program; the end of the pipe means
that we are gone, by exit, crash or SIGKILL, and then the guard kills the program and removes its scratch
directory. Nothing depends on the thread that started it, and signals reach no process but our own.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

_PR_SET_PDEATHSIG = 1  # <sys/prctl.h>


class GuardedProcess:
    """One running program, its output appended to `log_file`; `scratch` is removed if we die before it."""

    def __init__(self, command: Sequence[str], *, log_file: Path, scratch: Path) -> None:
        self.log_file = log_file
        guard = [sys.executable, "-I", "-S", __file__, str(scratch), *command]
        with log_file.open("ab") as log:
            # A session of its own: Ctrl-C in a terminal is for us, not for the program.
            self._guard = subprocess.Popen(
                guard, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )

    def is_running(self) -> bool:
        """Whether the program runs."""
        return self._guard.poll() is None

    @property
    def exit_code(self) -> int | None:
        """The code a shell would give for the program's end (137 after SIGKILL); None while it runs."""
        return self._guard.poll()

    @property
    def program_id(self) -> int | None:
        """The program's process id (Linux); None if it has ended, or is not begun yet."""
        guard = self._guard.pid
        try:
            children = Path(f"/proc/{guard}/task/{guard}/children").read_text(encoding="ascii").split()
        except OSError:
            return None
        return int(children[0]) if children else None

    def send_signal(self, number: signal.Signals) -> None:
        """Sends the program a signal; does nothing if it has ended."""
        assert self._guard.stdin is not None
        if self.is_running():
            with contextlib.suppress(BrokenPipeError):
                self._guard.stdin.write(b"%d\n" % number)
                self._guard.stdin.flush()

    def kill(self) -> None:
        """Kills the program (SIGKILL) and returns when it is gone."""
        self.send_signal(signal.SIGKILL)
        self._gone(timeout_seconds=30)

    def terminate(self, *, timeout_seconds: float) -> None:
        """Asks the program to end (SIGTERM), kills it after `timeout_seconds`, returns when it is gone."""
        self.send_signal(signal.SIGTERM)
        try:
            self._gone(timeout_seconds=timeout_seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def log_tail(self, lines: int = 40) -> str:
        """The last lines of the program's output."""
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-lines:])

    def _gone(self, *, timeout_seconds: float) -> None:
        assert self._guard.stdin is not None
        self._guard.wait(timeout_seconds)
        with contextlib.suppress(BrokenPipeError):
            self._guard.stdin.close()


def _guard(scratch: Path, command: Sequence[str]) -> NoReturn:
    """Runs `command` to its end, obeying the pipe at stdin; ends with the exit code a shell would give."""
    program = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=_begin)
    orphaned = threading.Event()
    threading.Thread(target=_obey, args=(program, orphaned), daemon=True).start()
    code = program.wait()
    if orphaned.is_set():
        shutil.rmtree(scratch, ignore_errors=True)
    # Not sys.exit, which would wait a second for the thread that holds stdin.
    os._exit(code if code >= 0 else 128 - code)


def _obey(program: "subprocess.Popen[bytes]", orphaned: threading.Event) -> None:
    for line in sys.stdin.buffer:
        program.send_signal(int(line))
    orphaned.set()
    program.kill()


def _begin() -> None:
    # Safe here: the guard has one thread when it forks.
    # A run in the background of a shell ignores SIGINT; the program must not inherit that.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # The program dies with a guard that is itself killed.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    _guard(Path(sys.argv[1]), sys.argv[2:])
