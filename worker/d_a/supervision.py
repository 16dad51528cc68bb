"""systemd hears of the services of this process, if it asks: that one has started, and that all are alive.

A service that has failed counts until it is stopped or started anew: a program that does not notice gives its
watchdog no more beats. Of the end of a program nothing is said, for that is the program's own affair.
"""

import threading

from analysis_worker.observability import status, systemd

_lock = threading.Lock()
_watched: dict[object, status.StatusSource] = {}
_notifier: systemd.Notifier | None = None


def started(service: object, report: status.StatusSource) -> None:
    """The service runs."""
    global _notifier
    with _lock:
        _watched[service] = report
        if _notifier is None:
            _notifier = systemd.Notifier(_sources)
            _notifier.start()
        _notifier.ready()


def stopped(service: object) -> None:
    """The service counts no more; no-op if it never did."""
    with _lock:
        _watched.pop(service, None)


def _sources() -> list[status.StatusSource]:
    with _lock:
        return list(_watched.values())
