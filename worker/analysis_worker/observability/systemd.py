"""What systemd hears of a program by its protocol sd_notify: it has started, lives, stops, and its state.

Nothing is said unless systemd asks, by NOTIFY_SOCKET. A thread of its own speaks, so that a socket that is
full, gone or never read costs a message and keeps nobody waiting. The beat that a watchdog wants
(WATCHDOG_USEC) is given as long as the main loop advances, as /livez judges it.
"""

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Self

from analysis_worker.observability import status

log = logging.getLogger(__name__)

_STATUS_SECONDS: Final = 5.0
"""How often the state is told where no watchdog wants it oftener."""
_SEND_SECONDS: Final = 1.0
_MOST_LETTERS: Final = 1000
"""Of the state, which is one line of `systemctl status`."""


class Notifier:
    """Tells systemd of the workers behind `sources`, from `start` to `close`: alive are all or none."""

    def __init__(
        self,
        sources: Callable[[], Sequence[status.StatusSource]],
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._sources = sources
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        watchdog = _watchdog_seconds(environment)
        self._beats = watchdog is not None
        self.interval_seconds = _STATUS_SECONDS if watchdog is None else min(_STATUS_SECONDS, watchdog / 2)
        self._owed: list[str] = []
        self._wake = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="systemd", daemon=True)

    def start(self) -> None:
        """Begin to speak, if somebody listens."""
        if self._address is not None:
            self._thread.start()

    def ready(self) -> None:
        """The start is over."""
        self._say("READY=1")

    def stopping(self) -> None:
        """The stop begins."""
        self._say("STOPPING=1")

    def close(self) -> None:
        """Say what is still to be said, and no more."""
        self._closed = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(2 * _SEND_SECONDS)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _say(self, line: str) -> None:
        self._owed.append(line)
        self._wake.set()

    def _run(self) -> None:
        last = False
        while not last:
            self._wake.clear()
            last, owed = self._closed, list(self._owed)
            if self._send([*owed, *self._state()]):
                del self._owed[: len(owed)]
            if not last:
                self._wake.wait(self.interval_seconds)

    def _state(self) -> Iterable[str]:
        try:
            known = [source.status() for source in self._sources()]
        except Exception:  # a beat left out is made up for by the next one; a thread that ended beats no more
            log.exception("systemd is not told the state")
            return
        now = time.time()
        reasons = [reason for each in known for reason in status.liveness(each, now).reasons]
        if self._beats and not reasons:
            yield "WATCHDOG=1"
        told = "; ".join(reasons or map(_described, known)) or "nothing runs"
        yield f"STATUS={' '.join(told.split())[:_MOST_LETTERS]}"

    def _send(self, lines: Sequence[str]) -> bool:
        assert self._address is not None
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.settimeout(_SEND_SECONDS)
            end.sendto("\n".join(lines).encode(errors="replace"), self._address)
            return True
        return False


def _described(known: status.WorkerStatus) -> str:
    return f"{known.module} is {known.state}" + (f": {known.explain}" if known.explain else "")


def _address(told: str) -> bytes | None:
    """Where to speak to: a path, or a name of Linux' abstract ones, which begin with @."""
    if not told or not hasattr(socket, "AF_UNIX"):
        return None
    if told[0] not in "/@":
        log.warning("NOTIFY_SOCKET is %r, which is no Unix socket: systemd is told nothing", told)
        return None
    return os.fsencode(told.replace("@", "\0", 1) if told[0] == "@" else told)


def _watchdog_seconds(environment: Mapping[str, str]) -> float | None:
    """Within which time systemd wants a beat of this process; None if it wants none."""
    told, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not told or (pid and pid != str(os.getpid())):
        return None
    if not told.isdecimal() or int(told) == 0:
        log.warning("WATCHDOG_USEC is %r, not a number of microseconds: there is no watchdog", told)
        return None
    return int(told) / 1e6
