"""SIGTERM and SIGINT to an orderly stop, where nobody else has asked for them (W18)."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterable
from typing import Any

Restore = Callable[[], None]


def install(handler: Callable[[], None], numbers: Iterable[signal.Signals]) -> Restore:
    """Call `handler` on these signals, in place of Python's own answer only; gives the way back.

    Does nothing outside the main thread, nor for a signal that the program handles itself.
    """
    if threading.current_thread() is not threading.main_thread():
        return lambda: None

    def called(number: int, frame: Any) -> None:
        handler()

    replaced = {}
    for number in numbers:
        held = signal.getsignal(number)
        if held in (signal.SIG_DFL, signal.default_int_handler):
            replaced[number] = held
            signal.signal(number, called)

    def restore() -> None:
        for number, held in replaced.items():
            with contextlib.suppress(ValueError):  # no longer in the main thread
                if signal.getsignal(number) is called:
                    signal.signal(number, held)

    return restore


def end_program() -> None:
    """End the program as a shell's user would expect of SIGTERM: exit handlers run, exit code 0."""
    raise SystemExit(0)
