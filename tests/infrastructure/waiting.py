"""The one place where the tests wait: a condition is asked again and again, up to a deadline."""

import time
from collections.abc import Callable

PAUSE_SECONDS = 0.05


def until(condition: Callable[[], bool], *, what: str, timeout_seconds: float) -> None:
    """Returns as soon as `condition()` is true; raises TimeoutError naming `what` after `timeout_seconds`."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout_seconds:g} s in vain until {what}")
        time.sleep(PAUSE_SECONDS)
