"""A core Worker on an event loop of its own in a daemon thread, started, watched and stopped from others."""

import asyncio
import concurrent.futures
import contextlib
import logging
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from analysis_worker import reaching, service
from analysis_worker.kafka import ports
from d_a.errors import DataAnalysisError, KafkaConnectionError

log = logging.getLogger(__name__)

Result = TypeVar("Result")

_BEYOND_CONNECTING_SECONDS: Final = 45.0
"""What a start may take after Kafka is reached: slots taken over, partitions placed."""

_LOOK_SECONDS: Final = 0.25


class Runner:
    """One worker's life.

    `last` is run in the thread once the worker has stopped. `commit_size` commits progress early, after so
    many `calls()`; 0 leaves it to the worker's interval. `started` and `ended` are done when the worker
    runs and when it is gone; both carry what went wrong.
    """

    def __init__(
        self,
        worker: service.Worker,
        *,
        name: str,
        last: Callable[[], None],
        calls: Callable[[], int],
        commit_size: int = 0,
    ) -> None:
        self.worker = worker
        self.started: concurrent.futures.Future[None] = concurrent.futures.Future()
        self.ended: concurrent.futures.Future[None] = concurrent.futures.Future()
        for future in (self.started, self.ended):
            future.set_running_or_notify_cancel()  # whoever waits for it cannot cancel it
        self._last = last
        self._calls = calls
        self._commit_size = commit_size
        self._told = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def begin(self) -> None:
        """Start the thread."""
        self._loop = asyncio.new_event_loop()
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the worker is starting, running or stopping."""
        return not self.ended.done()

    def tell_stop(self) -> None:
        """Have the worker stop, once it was begun; `ended` says when it has. Idempotent, from any thread."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: it has ended
                self._loop.call_soon_threadsafe(self._told.set)

    def submit(self, work: Coroutine[Any, Any, Result]) -> concurrent.futures.Future[Result]:
        """Run a coroutine on the worker's loop, once it was begun."""
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def _run(self) -> None:
        try:
            loop = self._loop
            assert loop is not None
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                runner.run(self._live())
        except BaseException as error:
            if not self.started.done():
                self.started.set_exception(error)
            log.error("the service has ended: %s", error)
            self.ended.set_exception(error)
        else:
            if not self.started.done():
                self.started.set_exception(DataAnalysisError("the service was stopped before it had started"))
            self.ended.set_result(None)

    async def _live(self) -> None:
        worker = self.worker
        told = asyncio.create_task(self._told.wait())
        try:
            await self._start(worker, told)
            if not told.done():
                self.started.set_result(None)
                await self._until_over(worker, told)
        finally:
            told.cancel()
            await worker.stop()
            self._last()  # here: nothing else is left on this loop, and a program's exit closes executors
        if worker.failure is not None:
            failure = worker.failure
            raise DataAnalysisError(
                f"the worker could not go on: {type(failure).__name__}: {failure}"
            ) from failure

    async def _start(self, worker: service.Worker, told: "asyncio.Task[bool]") -> None:
        """Start the worker within a bound, unless told to stop meanwhile; raises KafkaConnectionError."""
        bound = worker.settings.connect_within_seconds + _BEYOND_CONNECTING_SECONDS
        starting = asyncio.create_task(worker.start())
        await asyncio.wait({starting, told}, timeout=bound, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
        try:
            await starting
        except asyncio.CancelledError:
            if not told.done():
                servers = ", ".join(worker.assignment.module_spec.kafka.bootstrap_servers)
                raise KafkaConnectionError(
                    f"Kafka at {servers} did not answer within {bound:g} s; check the network and the brokers"
                ) from None
        except (reaching.KafkaUnreachable, ports.KafkaRefused, ports.KafkaUnavailable) as error:
            raise KafkaConnectionError(str(error)) from error

    async def _until_over(self, worker: service.Worker, told: "asyncio.Task[bool]") -> None:
        failed = asyncio.create_task(worker.stopped.wait())
        committing = asyncio.create_task(self._commit_by_size(worker))
        try:
            await asyncio.wait({told, failed}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            failed.cancel()
            committing.cancel()

    async def _commit_by_size(self, worker: service.Worker) -> None:
        """The 2.0 option commit_batch_size: not to let more than so many records wait for the interval."""
        committed = self._calls()
        while self._commit_size:
            await asyncio.sleep(_LOOK_SECONDS)
            if self._calls() - committed >= self._commit_size and not worker.feed.restoring:
                committed = self._calls()
                await worker.committer.commit([worker.feed, *worker.moves.gains])
