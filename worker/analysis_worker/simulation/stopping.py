"""SIGTERM and SIGINT as an event, for programs that end their work in order."""

import signal
import threading
from types import FrameType


def told_to_stop() -> threading.Event:
    """An event that SIGTERM or SIGINT sets; a second signal of the kind ends the process as usual.

    To be called in the main thread.
    """
    stopped = threading.Event()

    def stop(number: int, _frame: FrameType | None) -> None:
        stopped.set()
        signal.signal(number, signal.SIG_DFL)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    return stopped
