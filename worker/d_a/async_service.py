"""AsyncDataAnalysisService: one analysis module, for programs with an event loop (seed system 4.1)."""

import asyncio
import contextlib
import logging
import signal
import threading
from collections.abc import Generator, Mapping
from typing import Any, Final

from analysis_worker.callbacks.loading import CallbackError
from d_a import batches, running, signals, station_changes, user_functions
from d_a.core import ServiceCore
from d_a.errors import ConfigurationError
from d_a.user_functions import Callback, Handler

log = logging.getLogger(__name__)

_BEYOND_STOP_SECONDS: Final = 40.0
"""A worker bounds its own stop; this is for one that does not keep its word."""


class AwaitableInputs(dict[str, Any]):
    """A dict that may also be awaited and then gives itself: one document of the old system awaits it."""

    def __await__(self) -> Generator[None, None, "AwaitableInputs"]:
        return self
        yield  # what makes this a generator


class AsyncDataAnalysisService(ServiceCore):
    """Consumes a module's topics, keeps windows, calls `callback(station_id, module_input)`, uploads.

    The arguments are those of ServiceCore. The worker lives in a daemon thread with an event loop of its
    own; async callbacks and handlers run on the loop that `start` was awaited on, plain ones in threads.
    """

    _loop: asyncio.AbstractEventLoop | None = None
    _thread: int = 0
    _guard: "asyncio.Task[None] | None" = None
    _ending: "asyncio.Task[None] | None" = None
    _handles_sigterm: bool = False
    _lives: dict[str, tuple[asyncio.Event, "asyncio.Task[bool]"]]

    # -- start and stop -------------------------------------------------------------------------------

    async def start(
        self,
        callback: Callback | None = None,
        result_handler: Handler | None = None,
        batch_upload_handler: batches.BatchHandler | None = None,
    ) -> None:
        """Start; returns once records flow.

        `batch_upload_handler(batch_id, {station_id: result})` is called per batch of uploaded results.
        Raises KafkaConnectionError if Kafka is not reached within the bound, ConfigurationError, and
        RuntimeError for a second start.

        However the loop ends, the service is stopped first; SIGTERM, unless the program handles it, stops
        it and ends the program with exit code 0. If the worker cannot go on, the task that awaits this
        method is cancelled, so that the program ends rather than idles.
        """
        loop = asyncio.get_running_loop()
        runner = self._begin(callback, result_handler, batch_upload_handler, loop)
        self._loop, self._thread, self._lives = loop, threading.get_ident(), {}
        self._install_sigterm(loop)
        try:
            await asyncio.wrap_future(runner.started)
        except BaseException:
            runner.tell_stop()
            await _over(runner)
            self._cleared()
            raise
        self._guard = loop.create_task(self._guarded(runner, asyncio.current_task()))

    async def stop(self) -> None:
        """Stop fetching, finish callbacks within a bound, send, commit, leave. Idempotent."""
        runner = self._tell_stop()
        if runner is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(runner.worker.settings.stop_within_seconds + _BEYOND_STOP_SECONDS):
                    await _over(runner)
            self._cleared()

    def _cleared(self) -> None:
        if self._handles_sigterm and self._loop is not None and not self._loop.is_closed():
            self._handles_sigterm = False
            self._loop.remove_signal_handler(signal.SIGTERM)
        self._station_status({})

    async def _guarded(self, runner: running.Runner, starter: "asyncio.Task[Any] | None") -> None:
        """Stop the service if the loop ends; end the starter if the service has failed."""
        try:
            await _over(runner)
        except asyncio.CancelledError:
            await self.stop()
            raise
        failure = runner.ended.exception()
        if failure is not None:
            self._cleared()
            if starter is not None and not starter.done():
                starter.cancel(f"the analysis service has ended: {failure}")

    def _install_sigterm(self, loop: asyncio.AbstractEventLoop) -> None:
        in_main_thread = threading.current_thread() is threading.main_thread()
        if in_main_thread and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            with contextlib.suppress(NotImplementedError):  # Windows
                loop.add_signal_handler(signal.SIGTERM, self._told_to_end)
                self._handles_sigterm = True

    def _told_to_end(self) -> None:
        if self._ending is None and self._loop is not None:
            self._ending = self._loop.create_task(self._end_program(self._loop))

    async def _end_program(self, loop: asyncio.AbstractEventLoop) -> None:
        await self.stop()
        # From a callback of the loop, not from here: a task would keep the exit as its own exception.
        loop.call_soon(signals.end_program)

    # -- stations -------------------------------------------------------------------------------------

    async def add_station(
        self, station_id: str, callback: Callback | None = None, result_handler: Handler | None = None
    ) -> None:
        """Make a station before its first record, with functions of its own if given; no-op if it is known.

        Raises RuntimeError if the service does not run, DataAnalysisError if the station is not its own.
        """
        runner, functions = self._running_parts()
        work = station_changes.add(runner.worker, functions, str(station_id), callback, result_handler)
        try:
            await asyncio.wrap_future(runner.submit(work))
        except CallbackError as error:
            raise ConfigurationError.single("callback", str(error), "give a function") from error

    async def remove_station(self, station_id: str) -> None:
        """Drop a station and its windows; a later record starts it anew.

        Raises RuntimeError if the service does not run.
        """
        runner, functions = self._running_parts()
        work = station_changes.remove(runner.worker, functions, str(station_id))
        await asyncio.wrap_future(runner.submit(work))
        self._station_status(self._stations())

    def _running_parts(self) -> tuple[running.Runner, user_functions.UserFunctions]:
        if self._runner is None or self._functions is None or not self._runner.alive:
            raise RuntimeError("the service does not run; await start() first")
        return self._runner, self._functions

    def _station_status(self, running: Mapping[str, bool]) -> dict[str, dict[str, Any]]:
        if threading.get_ident() == self._thread:
            self._follow(running)
        elif self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._follow, dict(running))
        found = {}
        for station_id, now in running.items():
            life = self._lives.get(station_id)
            found[station_id] = {"running": now, "task": None if life is None else life[1]}
        return found

    def _follow(self, running: Mapping[str, bool]) -> None:
        """A task for each station that is known, on the program's loop; the others' end."""
        assert self._loop is not None
        for station_id in [known for known in self._lives if known not in running]:
            self._lives.pop(station_id)[0].set()
        for station_id in running:
            if station_id not in self._lives:
                over = asyncio.Event()
                self._lives[station_id] = (over, self._loop.create_task(over.wait()))

    # -- configuration and inputs ---------------------------------------------------------------------

    def reload_config(self) -> "asyncio.Future[None] | None":
        """Read the configuration again and take it over; data stays, and no record is lost.

        Raises ConfigurationError at once if it is wrong, and then the old one stays. The result may be
        awaited: it is done when the new one is in force. Outside a loop the method waits for that itself.
        """
        read = self._reread()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        if self._runner is not None and self._runner.alive:
            applied = self._runner.submit(self._apply(self._runner, read))
            if loop is None:
                applied.result()
                return None
            return asyncio.wrap_future(applied)
        self._configuration = read
        if loop is None:
            return None
        done: asyncio.Future[None] = loop.create_future()
        done.set_result(None)
        return done

    def get_all_inputs(self, station_id: str) -> AwaitableInputs:
        """`{module: module_input}` of a station from its windows; {} if it is not known. May be awaited."""
        return AwaitableInputs(self.get_inputs(station_id))


async def _over(runner: running.Runner) -> None:
    """Return when the worker is gone, whatever it ended by."""
    loop, over = asyncio.get_running_loop(), asyncio.Event()

    def tell(_: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(over.set)

    runner.ended.add_done_callback(tell)
    await over.wait()
