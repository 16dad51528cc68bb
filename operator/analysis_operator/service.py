"""The operator from start to orderly stop: watches wake a queue, passes are made while the Lease is held."""

import asyncio
import contextlib
import dataclasses
import logging
import os
import signal
import socket
import time
import uuid
from collections.abc import Coroutine, Mapping
from typing import Any

import kopf
from prometheus_client import CollectorRegistry

from analysis_module import names
from analysis_operator import handlers
from analysis_operator.cluster import api as apis
from analysis_operator.cluster.api import Api, ApiError, NamespaceEnding
from analysis_operator.cluster.kafka_lookout import KafkaLookout
from analysis_operator.cluster.lease import Lease, LeaseLost
from analysis_operator.cluster.recorder import Recorder
from analysis_operator.cluster.resources import LEASE, Resource
from analysis_operator.cluster.store import Store, owner_of
from analysis_operator.cluster.workers import Workers
from analysis_operator.decisions import events
from analysis_operator.decisions.observed import Key, Module
from analysis_operator.http import HttpServer
from analysis_operator.metrics import OperatorMetrics
from analysis_operator.reconciling.applying import Applier, NameTaken
from analysis_operator.reconciling.neighbourhood import Neighbourhood
from analysis_operator.reconciling.observing import Observer
from analysis_operator.reconciling.queue import Queue
from analysis_operator.reconciling.reconciler import NotLeading, Reconciler
from analysis_operator.reconciling.reporting import Reporter
from analysis_operator.reconciling.resync import Resync
from analysis_operator.settings import Settings

log = logging.getLogger(__name__)

_STUCK_SECONDS = 300.0
_RESYNC_GRACE = 3.0
_STIR_SECONDS = 0.05
_START_RETRY_SECONDS = 2.0
_ACTING_ENDS_SECONDS, _WATCHES_END_SECONDS = 1.0, 5.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
    """Where the operator runs: how it reaches the API server, where its Lease is, where it listens."""

    kubeconfig: str | None = None
    context: str | None = None
    lease_namespace: str = "default"
    host: str = "0.0.0.0"
    port: int = 8080


class Operator:
    """One operator process; `run` returns once it has stopped in order."""

    def __init__(self, settings: Settings, place: Place) -> None:
        self._settings = settings
        self._place = place
        self.metrics = OperatorMetrics(CollectorRegistry())
        self.identity = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self._queue = Queue()
        self._store = Store(self._changed)
        self._neighbourhood = Neighbourhood(self._store, settings.options)
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._watching: asyncio.Task[None] | None = None
        self._filled = False
        self._leading = False
        self._stirring: asyncio.TimerHandle | None = None
        self._failure: BaseException | None = None

    async def run(self) -> None:
        """Run until told to stop; raises CannotConnect, CannotListen, LeaseLost, or what it failed with."""
        self._configuration = await apis.configured(self._place.kubeconfig, self._place.context)
        self._api = Api(self._configuration, self.metrics.requested, self._write_seconds)
        self._workers, self._lookout = Workers(), KafkaLookout()
        self._recorder = Recorder(self._api, self.identity)
        self._lease = Lease(self._api, self._place.lease_namespace, self._settings.lease_name, self.identity)
        self._resync = Resync(self._api, self._store, self._settings.namespaces or None, self.metrics)
        self._reconciler = self._made_reconciler()
        self.metrics.watch_queue(lambda: self._queue.depth, self._queue.oldest_seconds, self._queue.failing)
        server = HttpServer(
            self.metrics.registry,
            alive=self._not_alive,
            ready=self._not_ready,
            host=self._place.host,
            port=self._place.port,
        )
        await server.start()
        log.info("listening on port %s: /livez /readyz /metrics", server.bound_port)
        self._obey_signals()
        try:
            await self._until_stopped()
        finally:
            await self._wind_up()
            await server.stop()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Stop in order."""
        self._stop.set()

    # -- start and stop -----------------------------------------------------------------------------

    async def _until_stopped(self) -> None:
        starting = self._spawn(self._start())
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        await self._stop.wait()
        stopping.cancel()

    async def _start(self) -> None:
        while True:
            try:
                await self._resync.fill()
                break
            except ApiError as error:
                log.warning("the API server cannot be read yet: %s", error)
                await asyncio.sleep(_START_RETRY_SECONDS)
        self._filled = True
        log.info("%s modules are known", len(self._store.all_keys()))
        ready = asyncio.Event()
        self._watching = self._spawn(self._watch(ready))
        await ready.wait()
        self._obey_signals()  # kopf has set its own
        self._spawn(self._resync.run(self._settings.resync_seconds))
        self._spawn(self._lead())

    def _obey_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(self._guarded(work))
        self._tasks.append(task)
        return task

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        """A task that ends by an error ends the operator: better restarted than half alive."""
        try:
            await work
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            if not self._stop.is_set():
                log.error("the operator cannot go on: %s", error, exc_info=not isinstance(error, LeaseLost))
                self._failure = error
            self._stop.set()

    async def _wind_up(self) -> None:
        for task in self._tasks:
            task.cancel()
        self.metrics.leader.set(0)
        acting = [task for task in self._tasks if task is not self._watching]
        # Whoever gets the Lease next must find nobody who still writes; kopf, which never does, ends later.
        await asyncio.wait(acting, timeout=_ACTING_ENDS_SECONDS) if acting else None
        await self._lease.release()
        await asyncio.wait(self._tasks, timeout=_WATCHES_END_SECONDS) if self._tasks else None
        self._lookout.close()
        await self._workers.close()
        await self._api.close()
        log.info("stopped")

    # -- watching -----------------------------------------------------------------------------------

    async def _watch(self, ready: asyncio.Event) -> None:
        """Run kopf until cancelled; that it ends by itself is a failure."""
        namespaces = self._settings.namespaces
        await kopf.operator(
            registry=handlers.registry(self._seen, self._log_in),
            settings=handlers.settings(),
            clusterwide=not namespaces,
            namespaces=namespaces,
            standalone=True,
            ready_flag=ready,
        )
        if not self._stop.is_set():
            raise RuntimeError("the watches have ended")

    async def _log_in(self) -> kopf.ConnectionInfo:
        configuration = await apis.configured(self._place.kubeconfig, self._place.context)
        token = configuration.api_key.get("BearerToken", "")
        return kopf.ConnectionInfo(
            server=configuration.host,
            ca_path=configuration.ssl_ca_cert,
            insecure=not configuration.verify_ssl,
            token=token.partition(" ")[2] or None,
            certificate_path=configuration.cert_file,
            private_key_path=configuration.key_file,
        )

    def _seen(self, resource: Resource, event: str | None, document: Mapping[str, Any]) -> None:
        self.metrics.watch_events.labels(resource.plural).inc()
        self._resync.heard(resource)
        whole = {**document, "kind": resource.kind, "apiVersion": resource.api_version}
        if event != "DELETED":
            self._store.put(whole)
            return
        owner = owner_of(whole)
        gone = self._store.module(owner) if owner is not None and whole["kind"] == names.KIND else None
        dependants = self._neighbourhood.of(gone.key).dependants if gone is not None else ()
        if self._store.drop(whole) and gone is not None and dependants and self._may_act():
            self._spawn(self._tell_of_loss(gone, dependants))

    async def _tell_of_loss(self, module: Module, dependants: tuple[str, ...]) -> None:
        message = f"{', '.join(dependants)} joined its outputs and get no new ones"
        with contextlib.suppress(NotLeading):
            await self._recorder.post(module, events.Event("Warning", "DependantsLeft", message))

    def _changed(self, key: Key) -> None:
        """A module, or something of it, is another than before."""
        self._neighbourhood.note(key)
        if not self._leading:  # all are asked for once this operator leads
            return
        self._queue.add(key)
        if self._stirring is None:
            loop = asyncio.get_running_loop()
            self._stirring = loop.call_later(_STIR_SECONDS, self._stir)

    def _stir(self) -> None:
        """Wake those whose neighbours have changed; of many changes at once, all together."""
        self._stirring = None
        for concerned in self._neighbourhood.concerned():
            self._queue.add(concerned)

    # -- leading ------------------------------------------------------------------------------------

    async def _lead(self) -> None:
        await self._lease.acquire()
        self._spawn(self._lease.keep())
        await self._known_anew()
        self._leading = True
        self.metrics.leader.set(1)
        for key in self._store.all_keys():
            self._queue.add(key)
        for _ in range(self._settings.concurrency):
            self._spawn(self._work())

    async def _known_anew(self) -> None:
        """Look once more at what the watches have brought, before the first act as the leader."""
        while True:
            try:
                return await self._resync.refresh()
            except ApiError as error:
                log.warning("the API server cannot be read anew yet: %s", error)
                await asyncio.sleep(_START_RETRY_SECONDS)

    def _may_act(self) -> bool:
        return self._lease.is_valid()

    def _write_seconds(self, resource: Resource) -> float:
        """How long a write may take: no longer than this operator leads for sure. Raises NotLeading."""
        if resource is LEASE:
            return apis.TIMEOUT_SECONDS
        left = self._lease.seconds_left()
        if left <= 0:
            raise NotLeading
        return left

    async def _work(self) -> None:
        while True:
            # A pass need not wait for anything: Lease, watches and probes have their turn before the next.
            await asyncio.sleep(0)
            key = await self._queue.get()
            started = time.monotonic()
            failed, again = False, None
            try:
                async with asyncio.timeout(_STUCK_SECONDS):
                    again = await self._reconciler.reconcile(key)
            except NamespaceEnding as error:
                log.info("%s: %s", key, error)
            except (ApiError, NameTaken, TimeoutError) as error:
                failed = True
                again = getattr(error, "retry_after", None)
                self._count_failure(key, error)
            except NotLeading:
                failed = True
            except asyncio.CancelledError:
                raise
            except Exception as error:
                failed = True
                log.exception("%s: a pass failed", key)
                self.metrics.errors.labels(type(error).__name__).inc()
            finally:
                self.metrics.passes.labels("error" if failed else "ok").inc()
                self.metrics.pass_seconds.observe(time.monotonic() - started)
                self._queue.done(key, failed=failed, again_after=again)

    def _count_failure(self, key: Key, error: Exception) -> None:
        reason = f"http-{error.status}" if isinstance(error, ApiError) else type(error).__name__
        self.metrics.errors.labels(reason).inc()
        log.warning("%s: %s", key, error)

    def _made_reconciler(self) -> Reconciler:
        options = self._settings.options
        return Reconciler(
            self._store,
            Observer(
                self._api,
                self._store,
                self._workers,
                self._lookout,
                self._neighbourhood,
                options,
                self._queue.add,
            ),
            Applier(self._api, self._store),
            Reporter(self._api, self._store),
            self._recorder,
            self._neighbourhood,
            options,
            self.metrics,
            self._may_act,
        )

    # -- verdicts -----------------------------------------------------------------------------------

    def _not_alive(self) -> tuple[str, ...]:
        """Every reason why only a restart would help."""
        reasons = [f"the watch of {plural} is silent" for plural in self._resync.silent]
        since = time.monotonic() - self._resync.compared_at
        if self._filled and since > self._settings.resync_seconds * _RESYNC_GRACE:
            reasons.append(f"no comparison with the API server for {since:.0f} s")
        if self._lease.held and self._queue.oldest_seconds() > _STUCK_SECONDS:
            reasons.append(f"a module has waited for {self._queue.oldest_seconds():.0f} s")
        return tuple(reasons)

    def _not_ready(self) -> tuple[str, ...]:
        """Every reason why it could not lead now; a standby that could is ready."""
        reasons = [] if self._filled else ["the API server has not been read yet"]
        return (*reasons, *self._not_alive())


async def run(settings: Settings, place: Place) -> None:
    """Run an operator until it is told to stop."""
    with contextlib.suppress(asyncio.CancelledError):
        await Operator(settings, place).run()
