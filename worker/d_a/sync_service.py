"""DataAnalysisService: one analysis module, for programs without an event loop (seed system 4.1)."""

import atexit
import concurrent.futures
import signal
from collections.abc import Mapping
from typing import Any, Final

from d_a import signals, supervision
from d_a.core import ServiceCore
from d_a.user_functions import Callback, Handler

_LOOK_SECONDS: Final = 0.2
_BEYOND_STOP_SECONDS: Final = 40.0
"""A worker bounds its own stop; this is for one that does not keep its word."""


class DataAnalysisService(ServiceCore):
    """Consumes a module's topics, keeps windows, calls `callback(station_id, module_input)`, uploads.

    The arguments are those of ServiceCore. The worker lives in a daemon thread with an event loop of its
    own; plain callbacks run in up to `max_workers` threads, async ones on a loop.
    """

    _futures: dict[str, "concurrent.futures.Future[None]"]
    _restore_signals: signals.Restore | None = None

    def start(
        self,
        callback: Callback | None = None,
        result_handler: Handler | None = None,
        background: bool = True,
    ) -> None:
        """Start; returns at once, or with `background=False` when the service has stopped.

        In the foreground SIGTERM and SIGINT stop it, and it raises KafkaConnectionError if Kafka is not
        reached within the bound, DataAnalysisError if the worker cannot go on. In the background the log
        and the status tell of both, and SIGTERM ends the program in order. Raises RuntimeError for a second
        start and ConfigurationError.
        """
        runner = self._begin(callback, result_handler, None, None)
        self._futures = {}
        atexit.register(self.stop)
        if background:
            self._restore_signals = signals.install(signals.end_program, [signal.SIGTERM])
            return
        told: list[bool] = []
        # The handler only leaves a note: a lock it took could be one that its own thread holds.
        note = signals.install(lambda: told.append(True), [signal.SIGTERM, signal.SIGINT])
        self._restore_signals = note
        try:
            while not told and runner.alive:
                concurrent.futures.wait([runner.ended], timeout=_LOOK_SECONDS)
        finally:
            if runner.alive:
                self.stop()
            else:
                self._cleared()
                supervision.stopped(self)  # its failure is told to the caller
        runner.ended.result()

    def stop(self) -> None:
        """Stop fetching, finish callbacks within a bound, send, commit, leave; blocks. Idempotent."""
        runner = self._tell_stop()
        if runner is not None:
            bound = runner.worker.settings.stop_within_seconds + _BEYOND_STOP_SECONDS
            concurrent.futures.wait([runner.ended], timeout=bound)
            self._cleared()

    def _cleared(self) -> None:
        atexit.unregister(self.stop)
        if self._restore_signals is not None:
            self._restore_signals()
        self._station_status({})

    def reload_config(self) -> None:
        """Read the configuration again and take it over; data stays, and no record is lost.

        Raises ConfigurationError, and then the old one stays.
        """
        read = self._reread()
        if self._runner is not None and self._runner.alive:
            self._runner.submit(self._apply(self._runner, read)).result()
        else:
            self._configuration = read

    def get_all_inputs(self, station_id: str) -> dict[str, Any]:
        """`{module: module_input}` of a station from its windows; {} if it is not known."""
        return self.get_inputs(station_id)

    def _station_status(self, running: Mapping[str, bool]) -> dict[str, dict[str, Any]]:
        for station_id in [known for known in self._futures if known not in running]:
            self._futures.pop(station_id).set_result(None)
        for station_id in running:
            if station_id not in self._futures:
                future: concurrent.futures.Future[None] = concurrent.futures.Future()
                future.set_running_or_notify_cancel()
                self._futures[station_id] = future
        return {
            station_id: {"running": now, "future": self._futures[station_id]}
            for station_id, now in running.items()
        }
