"""What the two services have in common: settings in, one core Worker in a thread, inputs and status out."""

import asyncio
import concurrent.futures
import dataclasses
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import prometheus_client

from analysis_module import assignment as assignments
from analysis_module import catalogue, errors, wiring
from analysis_module import names as spellings
from analysis_worker import VERSION, changing, delivery, service
from analysis_worker.callbacks.loading import CallbackError
from analysis_worker.engine.engine import Engine
from analysis_worker.engine.stations import Station
from analysis_worker.observability import http, status
from analysis_worker.observability.metrics import WorkerMetrics
from analysis_worker.settings import Settings
from d_a import (
    batches,
    configuration,
    connections,
    log_files,
    running,
    sharding,
    sources,
    supervision,
    user_functions,
)
from d_a.errors import ConfigurationError
from d_a.module_inputs import ModuleInputs

log = logging.getLogger(__name__)

ENV_HTTP_PORT: Final = "DATA_ANALYSIS_HTTP_PORT"
"""Port of the pages /health, /metrics, /livez, /readyz and /status; unset, no port is opened."""

_HANDLERS_WITHIN_SECONDS: Final = 5.0

_started: "list[ServiceCore]" = []  # the services that run in this process, the newest last


class ServiceCore:
    """The constructor of both services, and all that does not depend on how one waits.

    `config` names the settings (a module, a mapping, a path; found if None, as `sources.reader_of` says);
    the other arguments lie over them. `names="snake"` adds the keys of 1.0, `envelope="v1.0"` writes its
    outputs, `profile="v1.1"` declares the fields of 1.1. Raises ConfigurationError; connects to nothing.
    `registry` has the metrics of a started service, for a program that serves them itself.
    """

    _stopped = False
    _runner: running.Runner | None = None
    _functions: user_functions.UserFunctions | None = None
    _batches: batches.Batches | None = None
    _pages: http.StatusServer | None = None

    def __init__(
        self,
        module_name: str | None = None,
        topics: Sequence[str] | None = None,
        kafka_config: Mapping[str, Any] | None = None,
        data_expire_seconds: float = 600,
        output_topic_prefix: str | None = spellings.OUTPUT_TOPIC_PREFIX,
        result_handler: user_functions.Handler | None = None,
        *,
        padding_strategy: str = "zero",
        topic_detail: Mapping[str, Any] | None = None,
        stations: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
        max_workers: int = 32,
        offset_commit_config: Mapping[str, Any] | None = None,
        names: str | None = None,
        envelope: str | None = None,
        profile: str | None = None,
        config: sources.Configurable | None = None,
        connect_within_seconds: float = 30.0,
    ) -> None:
        self._options = configuration.Options(
            module_name=module_name,
            topics=topics,
            kafka_config=kafka_config,
            data_expire_seconds=data_expire_seconds,
            output_topic_prefix=output_topic_prefix,
            padding_strategy=padding_strategy,
            topic_detail=topic_detail,
            stations=stations,
            max_workers=max_workers,
            offset_commit_config=offset_commit_config,
            names=names,
            envelope=envelope,
            profile=profile,
        )
        self._read = sources.reader_of(config)
        self._configuration = configuration.read(self._read(), self._options)
        self._inputs = ModuleInputs(_wirings(self._configuration))
        self._result_handler = result_handler
        self._connect_within_seconds = connect_within_seconds
        self._lock = threading.Lock()
        self.registry = prometheus_client.CollectorRegistry()

    # -- start and end --------------------------------------------------------------------------------

    def _begin(
        self,
        callback: user_functions.Callback | None,
        result_handler: user_functions.Handler | None,
        batch_handler: batches.BatchHandler | None,
        loop: asyncio.AbstractEventLoop | None,
    ) -> running.Runner:
        """Start the worker's thread; raises RuntimeError for a second start and ConfigurationError."""
        with self._lock:
            if self._stopped:
                raise RuntimeError("this service was stopped; make a new one")
            if self._runner is not None and self._runner.alive:
                raise RuntimeError("this service is started already")
            self._result_handler = result_handler or self._result_handler
            log_files.open_log(self._configuration.logging)
            try:
                runner = self._make_runner(callback, batch_handler, loop)
                self._serve_pages(runner.worker)
            except BaseException:
                log_files.close_log()
                raise
            self._runner = runner
            _started.append(self)
        runner.started.add_done_callback(self._has_started)
        runner.ended.add_done_callback(self._ended)
        runner.begin()
        return runner

    def _make_runner(
        self,
        callback: user_functions.Callback | None,
        batch_handler: batches.BatchHandler | None,
        loop: asyncio.AbstractEventLoop | None,
    ) -> running.Runner:
        configured = self._configuration
        self._inputs.use(_wirings(configured), snake_names=configured.snake_names)
        try:
            functions = self._functions = user_functions.UserFunctions(
                callback,
                self._result_handler,
                inputs=self._inputs,
                together=configured.module_name is None,
                loop=loop,
            )
        except CallbackError as error:
            raise ConfigurationError.single("callback", str(error), "give a function") from error
        told = batch_handler is not None or functions.has_handler or loop is not None
        worker = self._make_worker(functions, self._after_output if told else None, loop)
        self._batches = batch_handler and batches.Batches(
            batch_handler, lambda: _is_idle(worker), functions.errands
        )
        return running.Runner(
            worker,
            name=f"data-analysis-{configured.running_spec.module}",
            last=self._finish_handlers,
            calls=lambda: functions.calls,
            commit_size=configured.offset_commit.commit_batch_size,
        )

    def _make_worker(
        self,
        functions: user_functions.UserFunctions,
        after_output: Callable[[str, Any, Any], None] | None,
        loop: asyncio.AbstractEventLoop | None,
    ) -> service.Worker:
        configured = self._configuration
        for warning in configured.warnings:
            log.warning("%s", warning)
        connector, most_per_poll = self._connected(configured)
        assignment = assignments.for_shard(configured.running_spec, *sharding.from_environment())
        log_files.identify(module=configured.running_spec.module, shard=assignment.shard)
        self.registry = prometheus_client.CollectorRegistry()
        metrics = WorkerMetrics(self.registry, module=configured.running_spec.module, owner=assignment.owner)
        worker = service.Worker(
            assignment,
            connector,
            metrics=metrics,
            settings=Settings(
                commit_interval_seconds=configured.offset_commit.commit_interval_seconds,
                connect_within_seconds=self._connect_within_seconds,
                most_per_poll=most_per_poll,
            ),
            callback=functions.loaded(),
            after_output=after_output,
            callback_loop=loop,
        )
        metrics.watch(worker.report)
        return worker

    def _connected(self, configured: configuration.Configuration) -> tuple[delivery.Connector, int]:
        """The worker's Kafka clients, not yet connected, and how many records a fetch may bring."""
        assert configured.kafka is not None
        connection = connections.connection_of(configured.kafka, configured.running_spec.kafka)
        return connections.connector_of(configured.kafka, connection), connection.max_poll_records

    def _serve_pages(self, worker: service.Worker) -> None:
        port = os.environ.get(ENV_HTTP_PORT)
        if port:
            if not port.isdecimal():
                raise ConfigurationError.single(ENV_HTTP_PORT, f"is {port[:40]!r}", "give a port number")
            pages = http.StatusServer(worker.report, self.registry, port=int(port), version=VERSION)
            pages.start()
            self._pages = pages

    def _after_output(self, station_id: str, module_input: Any, result: Any) -> None:
        """On the worker's loop, once an output is acknowledged."""
        assert self._functions is not None
        self._functions.handle(station_id, module_input, result)
        if self._batches is not None:
            self._batches.add(station_id, user_functions.unpacked(module_input, result)[1])

    def _finish_handlers(self) -> None:
        """In the worker's thread, once it has stopped."""
        assert self._functions is not None
        if self._batches is not None:
            self._batches.close()
        if not self._functions.errands.finish(_HANDLERS_WITHIN_SECONDS):
            log.error(
                "handlers did not end within %g s; what waited for them is lost", _HANDLERS_WITHIN_SECONDS
            )

    def _has_started(self, started: "concurrent.futures.Future[None]") -> None:
        if started.exception() is None and self._runner is not None:
            supervision.started(self, self._runner.worker.report)

    def _ended(self, ended: "concurrent.futures.Future[None]") -> None:
        if ended.exception() is None:
            supervision.stopped(self)
        with self._lock:
            if self._pages is not None:
                self._pages.stop()
                self._pages = None
            if self in _started:
                _started.remove(self)
                log_files.close_log()

    def _tell_stop(self) -> running.Runner | None:
        """Have the worker stop; gives what is to be waited for."""
        with self._lock:
            runner = self._runner
            self._stopped = self._stopped or runner is not None
        supervision.stopped(self)
        if runner is not None:
            runner.tell_stop()
        return runner

    # -- configuration --------------------------------------------------------------------------------

    def _reread(self) -> configuration.Configuration:
        """The configuration as it is now; raises ConfigurationError if it is wrong or needs a restart."""
        read = configuration.read(self._read(), self._options)
        before, after = self._configuration.kafka, read.kafka
        if self._runner is not None and before != after:
            assert before is not None
            assert after is not None
            raise ConfigurationError(
                _restarts(before.consumer, after.consumer, before.producer, after.producer)
            )
        return read

    async def _apply(self, runner: running.Runner, read: configuration.Configuration) -> None:
        """On the worker's loop: take a configuration over, or raise ConfigurationError and change nothing."""
        await asyncio.wrap_future(runner.started)
        worker, before = runner.worker, self._configuration
        self._inputs.use(_wirings(read), snake_names=read.snake_names)
        try:
            await worker.apply(dataclasses.replace(worker.assignment, module_spec=read.running_spec))
        except (changing.ChangeRefused, errors.InvalidSpec) as error:
            self._inputs.use(_wirings(before), snake_names=before.snake_names)
            raise ConfigurationError.single("configuration", str(error), "restart the service") from error
        interval = read.offset_commit.commit_interval_seconds
        worker.settings = dataclasses.replace(worker.settings, commit_interval_seconds=interval)
        self._configuration = read
        log.info("configuration reloaded: module %s", read.running_spec.module)

    # -- inputs ---------------------------------------------------------------------------------------

    def get_inputs(self, station_id: str) -> dict[str, Any]:
        """`{module: module_input}` of a station from its windows; {} if it is not known."""
        engine = self._engine()
        station = None if engine is None else engine.stations.get(str(station_id))
        return {} if engine is None or station is None else dict(self._inputs.all(engine.layout, station))

    def _engine(self) -> Engine | None:
        """The worker's windows; None until it has reached Kafka."""
        return None if self._runner is None else getattr(self._runner.worker, "engine", None)

    def get_outputs(self, station_id: str) -> dict[str, Any]:
        """The same as get_inputs, by its old name."""
        return self.get_inputs(station_id)

    # -- status ---------------------------------------------------------------------------------------

    def _reported(self) -> "ServiceCore":
        """This service; if it was never started, the one that runs in this process."""
        return next(reversed(_started.copy()), self) if self._runner is None else self

    def get_station_status(self) -> dict[str, dict[str, Any]]:
        """Station id -> `running`, whether it can process now, and what stands for its life.

        That is a `future` (sync) or a `task` (async) which is done when the station is gone.
        """
        reported = self._reported()
        return {} if reported._runner is None else reported._station_status(reported._stations())

    def _station_status(self, running: Mapping[str, bool]) -> dict[str, dict[str, Any]]:
        raise NotImplementedError

    def _stations(self) -> dict[str, bool]:
        """Station id -> whether it can process now."""
        runner, engine = self._runner, self._engine()
        if runner is None or engine is None or not runner.alive:
            return {}
        stations: list[Station] = list(engine.stations.values())
        return {station.id: self._takes_records(runner.worker) for station in stations if station.owned}

    @staticmethod
    def _takes_records(worker: service.Worker) -> bool:
        return worker.state in ("restoring", "running") and not worker.feed.restoring

    def get_service_status(self) -> dict[str, Any]:
        """Whether loop, consumer and producer are alive now, and how many stations there are."""
        reported = self._reported()
        runner = reported._runner
        found: dict[str, Any] = {
            "main_thread_alive": False,
            "consumer_alive": False,
            "producer_alive": False,
            "result_handler_registered": reported._result_handler is not None,
            "station_count": 0,
            "state": "new",
        }
        if runner is not None:
            now = runner.worker.report.status()
            found.update(
                main_thread_alive=runner.alive and status.liveness(now, time.time()).ok,
                consumer_alive=runner.alive and now.consumer_connected,
                producer_alive=runner.alive and now.producer_connected,
                station_count=len(reported._stations()),
                state=now.state if runner.alive else _end_state(runner),
            )
        return found


def _end_state(runner: running.Runner) -> str:
    return "stopped" if runner.ended.exception() is None else "failed"


def _is_idle(worker: service.Worker) -> bool:
    return not (worker.flow.in_flight or worker.flow.waiting or worker.box.pending)


def _wirings(read: configuration.Configuration) -> dict[str, wiring.Wiring]:
    """What is asked of the worker's windows: the one module, or all of them."""
    module = read.module_name
    specs = read.specs if module is None else {module: read.specs[module]}
    return {name: catalogue.resolve(each) for name, each in specs.items()}


def _restarts(
    consumer: Mapping[str, Any],
    new_consumer: Mapping[str, Any],
    producer: Mapping[str, Any],
    new_producer: Mapping[str, Any],
) -> list[errors.Problem]:
    problems = []
    for name, before, after in (("consumer", consumer, new_consumer), ("producer", producer, new_producer)):
        for key in sorted({*before, *after}):
            if before.get(key) != after.get(key):
                wrong = "a change of the Kafka connection cannot be taken over while running"
                problems.append(errors.Problem(f"KAFKA_CONFIG.{name}.{key}", wrong, "restart the service"))
    return problems
