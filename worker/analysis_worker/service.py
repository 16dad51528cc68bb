"""The worker: one Assignment run on Kafka, from start to orderly stop. The only file that knows all parts."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from typing import Any, TypeVar

from analysis_module import assignment as assignments
from analysis_module import spec
from analysis_worker import (
    assembling,
    changing,
    checkpointing,
    committing,
    delivery,
    feeding,
    flow,
    lags,
    moving,
    reaching,
    recovering,
    reporting,
    rotation,
)
from analysis_worker.callbacks import lanes, loading
from analysis_worker.engine import intake
from analysis_worker.engine.engine import Engine
from analysis_worker.kafka import dead_letters, last_records, outbox, ports, progress_log
from analysis_worker.observability import logs, pulse
from analysis_worker.observability.metrics import WorkerMetrics
from analysis_worker.settings import Settings

log = logging.getLogger(__name__)

_T = TypeVar("_T")
_F = TypeVar("_F", bound=feeding.Feed)


class Superseded(Exception):
    """Another process has taken this one's place (ExactlyOnce): what is under way here is done there."""


class Worker:
    """Runs one shard of one module.

    `callback` stands in for the one that the module's spec names; `after_output` is called once an output
    is acknowledged; async callbacks run on `callback_loop` if it is given, else on a loop of their own.
    """

    def __init__(
        self,
        assignment: assignments.Assignment,
        connector: delivery.Connector,
        *,
        metrics: WorkerMetrics,
        settings: Settings | None = None,
        callback: loading.LoadedCallback | None = None,
        after_output: flow.AfterOutput | None = None,
        callback_loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.assignment = assignment
        self.assembly = assembling.assemble(assignment.module_spec)
        self.metrics = metrics
        self.settings = settings or Settings()
        self.pulse = pulse.LoopPulse()
        self.report = reporting.Report(self)
        self.state: reporting.State = "starting"
        self.started_at = time.time()
        self.refused: tuple[str, ...] = ()
        self.desired_hash = assignment.config_hash
        self.applied_at: float | None = None
        self._given_callback = callback
        self._after_output = after_output
        self._callback_loop = callback_loop
        self.connector = connector
        self.delivery = delivery.delivery_of(
            assignment.module_spec.delivery,
            self.assembly.wiring,
            assignment.owner,
            connector,
            self.reached,
            metrics,
        )
        self.rotation = rotation.Rotation(
            connector.secrets,
            connector.source,
            connector.sink,
            metrics,
            transactional=self.delivery.ledger is not None,
        )
        self.checkpoints: checkpointing.Checkpointing = checkpointing.NoCheckpoints()
        self._tasks: list[asyncio.Task[None]] = []
        self._applying = asyncio.Lock()
        self.failure: BaseException | None = None
        self.stopped = asyncio.Event()

    # -- start --------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Connect, take the slots over and begin; returns once records flow or windows are being restored.

        Raises CallbackError, KafkaUnreachable, KafkaRefused or KafkaSettingsError.
        """
        callback = self._given_callback or loading.load(self.assignment.module_spec.callback)
        wired = self.assembly.wiring
        self.checkpoints = checkpointing.of(self.settings, self.assignment, wired, self.metrics)
        self.engine = Engine(self.assembly.engine_settings, self.assignment.slots, self.checkpoints.memory)
        self.box = outbox.Outbox(
            self.delivery.make_sink,
            self._output_refused,
            lambda: self.metrics.reconnected("producer"),
        )
        await self.reached(self.box.start)
        await self.reached(self._ensure_topics)
        self.flow = flow.Flow(
            self.assembly,
            callback,
            box=self.box,
            metrics=self.metrics,
            after_output=self._after_output,
            callback_loop=self._callback_loop,
        )
        await self.flow.callbacks.set_up(self.flow.callbacks.current)
        writer = self.delivery.writer(self.box)
        self.committer = committing.Committer(self.engine, writer, owner=self.assignment.owner)
        self.committer.epoch = self.assignment.epoch
        self.flow.keeper.written = self.committer.written
        self.moves = moving.Moves(self)
        self._spawn(self.pulse.beat())
        self._spawn(self.report.keep_current())
        held = await self.take_slots(self.assignment.slots)
        first, *others = recovering.parts(
            self.assignment.slots, await self.checkpoints.apart(self.engine, held)
        )
        reader = intake.Reader(self.engine, first)
        self.feed = self.make_feed(feeding.Feed, reader, shared_topics=True)
        await self.moves.restore(self.feed, held)
        self.moves.recover(others, held)
        self._limit_station_series(self.assignment.module_spec)
        self.applied_at = time.time()
        self.state = "restoring"
        self._work(self.feed.run, self._run_once_live, self._commit_regularly, self._expire_regularly)
        self._work(self._rotate, self._checkpoint, self._end_if_replaced)
        await self.moves.followers.follow(self.assignment.arriving)
        self.report.refresh()
        told = self.assignment
        log.info("module %s, owner %s: %s slots", told.module_spec.module, told.owner, len(told.slots))

    def make_feed(
        self,
        kind: type[_F],
        reader: intake.Reader,
        *,
        shared_topics: bool = False,
    ) -> _F:
        """A feed that is not connected yet, of the topics that all slots share too if asked."""
        return kind(
            reader,
            self.assembly,
            self.flow,
            self.connector.source(),
            metrics=self.metrics,
            shared_topics=shared_topics,
            most_per_poll=self.settings.most_per_poll,
        )

    async def reached(self, attempt: Callable[[], Awaitable[_T]]) -> _T:
        """What an attempt gives once Kafka answers; raises KafkaUnreachable while starting."""
        return await reaching.reached(
            attempt,
            starting=lambda: self.state == "starting",
            within_seconds=self.settings.connect_within_seconds,
            servers=self.assignment.module_spec.kafka.bootstrap_servers,
        )

    async def _ensure_topics(self) -> None:
        wiring, topics = self.assembly.wiring, self.connector.topics()
        wanted: list[tuple[str, int, Mapping[str, str]]] = [
            (wiring.progress_topic, 1, progress_log.TOPIC_CONFIG),
            (wiring.dead_letter_topic, 1, {}),
        ]
        if wiring.keeps:
            wanted.append((wiring.last_topic, 1, last_records.TOPIC_CONFIG))
        if any(topic.aligned for topic in self.assembly.topics.values()):
            wanted.append((wiring.strays_topic, 1, {}))
        if wiring.output_topic is not None and self.assembly.module_spec.output.enabled:
            wanted.append((wiring.output_topic, 4, {}))
        for topic, partitions, config in wanted:
            await topics.ensure(topic, partitions=partitions, config=config)

    async def take_slots(self, slots: Iterable[int]) -> Mapping[int, progress_log.SlotProgress]:
        """Progress of slots, once whoever had them let go; a dead owner is waited for only so long."""
        claimant = self.delivery.claimant(self.assignment)
        held = await self.delivery.claims.take(slots, claimant, self.settings.takeover_after_seconds)
        self.committer.remember(held)
        if self.delivery.ledger is not None:
            self.delivery.ledger.start_from({slot: held.get(slot) for slot in slots})
        return held

    # -- while running --------------------------------------------------------------------------------

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.append(task)
        return task

    def spawn(self, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        """Do this beside all else; if it fails, so does the worker."""
        return self._spawn(self._guarded(work))

    def _work(self, *works: Callable[[], Awaitable[None]]) -> None:
        for work in works:
            self.spawn(work)

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        """A task that ends by an error ends the worker: better restarted than half alive."""
        try:
            await work()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            log.exception("the worker cannot go on")
            self.failure = error
            self.state = "failed"
            self.report.refresh()
            self.stopped.set()

    async def _commit_regularly(self) -> None:
        while True:
            await asyncio.sleep(self.settings.commit_interval_seconds)
            await self.committer.commit([self.feed, *self.moves.gains])
            self.metrics.committed()

    async def _run_once_live(self) -> None:
        await self.feed.live.wait()
        if self.state == "restoring":
            self.state = "running"
            self.report.refresh()

    async def _expire_regularly(self) -> None:
        while True:
            await asyncio.sleep(self.settings.expiry_interval_seconds)
            gone = self.engine.expire(
                lags.stream_time_ms(self.feed.parts, self.feed.lags, int(time.time() * 1000)),
                sparing=self.moves.settling(),
            )
            self.flow.forget(gone)

    async def _end_if_replaced(self) -> None:
        if self.delivery.ledger is not None:
            await self.delivery.ledger.superseded.wait()
            raise Superseded(
                "another process has taken slots of this worker over; what was under way is done there"
            )

    async def _rotate(self) -> None:
        await self.rotation.run(self.box, lambda: [self.feed, *self.moves.gains])

    async def _checkpoint(self) -> None:
        await self.checkpoints.run(self.engine, self.feed, self.committer.newest)

    def _output_refused(self, message: ports.Message, reason: str) -> None:
        self.metrics.failed("output_refused")
        letter = dead_letters.too_large(message, self.assembly.wiring.dead_letter_topic, reason)
        if letter is not None:
            self.box.put(letter, lambda: None)
        log.error(
            "an output of %s bytes for %s is refused: %s", len(message.value or b""), message.topic, reason
        )

    # -- changes ------------------------------------------------------------------------------------

    async def apply(self, assignment: assignments.Assignment) -> None:
        """Take a new Assignment over while running; raises ChangeRefused, and then the config stays.

        Its slots are taken over even then: a bad edit must not hold a hand-over up.
        """
        async with self._applying:
            self.desired_hash = assignment.config_hash
            try:
                changing.check(self.assignment, assignment)
                if assignment.config_hash != self.assignment.config_hash:
                    await self._reconfigure(assignment.module_spec)
            except (changing.ChangeRefused, loading.CallbackError, ValueError) as error:
                self.refuse(error)
                await self._move(changing.with_slots(self.assignment, assignment))
                raise
            self.refused, self.applied_at = (), time.time()
            await self._move(assignment)

    async def _move(self, assignment: assignments.Assignment) -> None:
        before, self.assignment = self.assignment, assignment
        self.committer.epoch = assignment.epoch
        await self.moves.move(before, assignment)
        self.report.refresh()

    def refuse(self, error: Exception) -> None:
        """A new Assignment cannot be used: what runs stays, and the status says why."""
        problems = getattr(error, "problems", None)
        self.refused = tuple(map(str, problems)) if problems else (str(error),)
        self.metrics.config_refused()
        log.error("the new Assignment is refused: %s", "; ".join(self.refused))
        self.report.refresh()

    async def _reconfigure(self, module_spec: spec.ModuleSpec) -> None:
        assembly, before = assembling.assemble(module_spec), self.assembly.module_spec
        calls = self.flow.callbacks.current
        if self._given_callback is None and changing.is_other_callback(module_spec.callback, before.callback):
            # Loading may import much, and must not hold the loop up meanwhile.
            callback = await lanes.in_thread(lambda: loading.load(module_spec.callback))
            calls = self.flow.lanes_for(assembly, callback)
            await self.flow.callbacks.set_up(calls)
        is_other = assembly.engine_settings != self.assembly.engine_settings
        if is_other:
            self.engine.reconfigure(assembly.engine_settings)
        self.assembly = assembly
        self.flow.configure(assembly, calls)
        for feed in (self.feed, *self.moves.gains):
            feed.reassemble(assembly)
        if is_other:
            await self.moves.followers.anew()
        self._spawn(self.flow.callbacks.tear_former_down())
        self.spawn(lambda: self.reached(self._ensure_topics))
        if module_spec.observability.log_level != before.observability.log_level:
            logs.set_level(module_spec.observability.log_level)
        self._limit_station_series(module_spec)

    def _limit_station_series(self, module_spec: spec.ModuleSpec) -> None:
        self.metrics.stations.limit(
            per_station_series=module_spec.observability.per_station_series,
            max_station_series=module_spec.observability.max_station_series,
        )

    # -- stop ---------------------------------------------------------------------------------------

    async def stop(self) -> None:
        """Stop within the bound: fetch no more, end callbacks, send outputs, commit. Idempotent."""
        if self.state in ("stopping", "stopped"):
            await self.stopped.wait()
            return
        failed, self.state = self.state == "failed", "stopping"
        self.report.refresh()
        within = self.settings.stop_within_seconds
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if hasattr(self, "flow"):
            await self.flow.stop(within * 0.4)
            await self.box.flush(within * 0.2)
        if hasattr(self, "feed"):
            if not failed:
                await self._last_commit(within * 0.2)
            await self.moves.followers.close()
            for feed in (self.feed, *self.moves.gains):
                await feed.close()
        await self.checkpoints.close()
        if hasattr(self, "box"):
            await self.box.close()
        if hasattr(self, "flow"):
            await self.flow.callbacks.tear_down(within * 0.2)
        self.state = "failed" if failed else "stopped"
        self.report.refresh()
        self.stopped.set()

    async def _last_commit(self, within_seconds: float) -> None:
        with contextlib.suppress(TimeoutError, ports.KafkaUnavailable):
            async with asyncio.timeout(within_seconds):
                await self.committer.commit([self.feed, *self.moves.gains])
                await self.checkpoints.last(self.engine, self.feed, self.committer.newest)
