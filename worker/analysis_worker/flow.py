"""What follows from a batch: triggers to callbacks, results to the outbox, offsets done when acknowledged.

Lives on the worker's loop and never waits. Callbacks run in lanes elsewhere; what they cost (errors,
retries, breakers, time) is settled here.
"""

import asyncio
import collections
import dataclasses
import functools
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from analysis_module import names
from analysis_worker import keeping
from analysis_worker.assembling import Assembly
from analysis_worker.callbacks import breakers, calling, lanes, loading, loop_lanes, succession, thread_lanes
from analysis_worker.engine import scheduling
from analysis_worker.engine.stations import Station, Trigger
from analysis_worker.engine.taken import Refused, Stray, Taken
from analysis_worker.kafka import dead_letters, encoding, outbox, ports
from analysis_worker.observability.metrics import WorkerMetrics

log = logging.getLogger(__name__)

AfterOutput = Callable[[str, Any, Any], None]
"""Called on the worker's loop with station id, input and result once an output is acknowledged."""


@dataclasses.dataclass
class StationRecord:
    """What is told of a station beyond its windows."""

    breaker: breakers.Breaker
    last_callback: float | None = None
    last_error: str | None = None


class PlainLanes(Protocol):
    """Makes the lanes of plain functions."""

    def __call__(
        self, caller: calling.Caller, *, concurrency: int, timeout_seconds: float, deliver: lanes.Deliver
    ) -> lanes.Lanes:
        """Lanes for a caller."""


class Flow:
    """Runs one module's triggers.

    `clock` tells the time in s since the epoch; delays are the loop's. Plain functions run in `plain_lanes`.
    """

    def __init__(
        self,
        assembly: Assembly,
        callback: loading.LoadedCallback,
        *,
        box: outbox.Outbox,
        metrics: WorkerMetrics,
        after_output: AfterOutput | None = None,
        callback_loop: asyncio.AbstractEventLoop | None = None,
        clock: Callable[[], float] = time.time,
        plain_lanes: PlainLanes = thread_lanes.ThreadLanes,
    ) -> None:
        self._box = box
        self._metrics = metrics
        self._after_output = after_output
        self._callback_loop = callback_loop
        self._clock = clock
        self._plain_lanes = plain_lanes
        self._loop = asyncio.get_running_loop()
        self._wake: asyncio.TimerHandle | None = None
        self._stopping = False
        self.records: dict[str, StationRecord] = {}
        self.keeper = keeping.Keeper(assembly.wiring.last_topic, box.put)
        self.in_flight = 0
        self.scheduler = scheduling.Scheduler()
        self.callbacks = succession.Succession(self.lanes_for(assembly, callback))
        self.configure(assembly, self.callbacks.current)

    @property
    def callback(self) -> loading.LoadedCallback:
        """The callback that new triggers are for."""
        return self.callbacks.current.callback

    def lanes_for(self, assembly: Assembly, callback: loading.LoadedCallback) -> lanes.Lanes:
        """New lanes for a callback, to be set up and then given to `configure`."""
        settings = assembly.module_spec.callback
        make: PlainLanes = self._plain_lanes
        if callback.is_async:
            make = functools.partial(loop_lanes.LoopLanes, loop=self._callback_loop)
        return make(
            self._caller(assembly, callback),
            concurrency=settings.concurrency,
            timeout_seconds=settings.timeout_seconds,
            deliver=self._deliver,
        )

    def _caller(self, assembly: Assembly, callback: loading.LoadedCallback) -> calling.Caller:
        module_spec = assembly.module_spec
        return calling.Caller(
            callback,
            module_spec.callback.input_format,
            self._encode if module_spec.output.enabled else None,
            keep=self._after_output is not None,
        )

    def configure(self, assembly: Assembly, fresh: lanes.Lanes) -> None:
        """Take a new spec over: calls under way end as they began, the rest runs in `fresh`."""
        self.assembly = assembly
        module_spec = assembly.module_spec
        self._retries = module_spec.errors
        for record in self.records.values():
            record.breaker.settings = module_spec.errors.breaker
        self.callbacks.pass_to(fresh)
        fresh.configure(
            self._caller(assembly, fresh.callback),
            concurrency=module_spec.callback.concurrency,
            timeout_seconds=module_spec.callback.timeout_seconds,
        )
        trigger = module_spec.trigger
        interval_ms = int((trigger.interval_seconds or 0) * 1000)
        self._start(self.scheduler.follow(trigger.policy, interval_ms, self._now_ms()))
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        self._wake_when_due()

    def _encode(self, trigger: Trigger, result: Any) -> bytes:
        module_spec = self.assembly.module_spec
        return encoding.encode_output(module_spec.module, trigger, result, module_spec.output.envelope)

    # -- from the intake ----------------------------------------------------------------------------

    def take(self, taken: Taken, now_ms: int) -> None:
        """Start what a batch asks for."""
        for refused in taken.refused:
            self._dead_letter(refused)
        for stray in taken.strays:
            self._pass_on(stray)
        self.keeper.take(taken.kept)
        if taken.triggers:
            coalesced = self.scheduler.coalesced
            self._start(self.scheduler.submit(taken.triggers, now_ms))
            self._metrics.coalesced(self.scheduler.coalesced - coalesced)
            self._wake_when_due()

    def _dead_letter(self, refused: Refused) -> None:
        module_spec = self.assembly.module_spec
        message = dead_letters.dead_letter(
            self.assembly.wiring.dead_letter_topic, module_spec.module, refused
        )
        self._metrics.dead_lettered(refused.refusal.error_type)
        self._metrics.failed(refused.refusal.error_type)
        log.warning(
            "%s/%s offset %s goes to the dead letters: %s",
            *refused.origin,
            refused.record.offset,
            refused.refusal,
            extra={"error_type": refused.refusal.error_type},
        )
        self._box.put(message, lambda: refused.pending.done(refused.record.offset))

    def _pass_on(self, stray: Stray) -> None:
        origin = stray.origin
        headers = [
            ("stray-topic", origin.topic.encode()),
            ("stray-partition", str(origin.partition).encode()),
            ("stray-offset", str(stray.record.offset).encode()),
        ]
        message = ports.Message(
            self.assembly.wiring.strays_topic, stray.record.key, stray.record.value, headers, None
        )
        self._box.put(message, lambda: stray.pending.done(stray.record.offset))

    def _start(self, works: Iterable[scheduling.Work]) -> None:
        now = self._loop.time()
        allowed, queue = [], collections.deque(works)
        while queue:
            work = queue.popleft()
            if self._record(work.station).breaker.allows(now):
                allowed.append(work)
                self.in_flight += len(work.triggers)
                self._metrics.stations.consumed(work.station.id, len(work.triggers))
                continue
            self._metrics.failed("breaker_open", len(work.triggers))
            for trigger in work.triggers:
                trigger.settle()
            following = self.scheduler.finished(work.station, self._now_ms())
            if following is not None:
                queue.append(following)
        if allowed:
            self.callbacks.current.submit(allowed)

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)

    def _record(self, station: Station) -> StationRecord:
        record = self.records.get(station.id)
        if record is None:
            record = StationRecord(breakers.Breaker(self._retries.breaker))
            self.records[station.id] = record
        return record

    def _wake_when_due(self) -> None:
        if self._wake is None and (due := self.scheduler.wake_at) is not None:
            delay = max(0, due - self._now_ms()) / 1000
            self._wake = self._loop.call_later(delay, self._due)

    def _due(self) -> None:
        self._wake = None
        self._start(self.scheduler.due(self._now_ms()))
        self._wake_when_due()

    # -- from the lanes -----------------------------------------------------------------------------

    def _deliver(self, ready: Sequence[calling.Finished]) -> None:
        for finished in ready:
            self.in_flight -= finished.called
            self._observe(finished)
            if self._after_output is not None:
                self._send_kept(finished)
            else:
                self._send(finished)
            if finished.error is None:
                self._next(finished.work.station)
            else:
                self._failed(finished, finished.error)

    def _observe(self, finished: calling.Finished) -> None:
        station, metrics, good = finished.work.station, self._metrics, len(finished.payloads)
        record = self._record(station)
        record.last_callback = self._clock()
        if finished.called:
            metrics.callback_took(finished.seconds / finished.called, finished.called)
        if finished.times is not None:
            finished.tell_times()
        if good:
            metrics.processed(good)
            metrics.stations.processed(station.id, good)
            record.breaker.succeeded()
        layout = finished.work.triggers[-1].batch.layout
        for index, dependency in enumerate(layout.dependencies, start=len(layout.inputs)):
            hits = sum(1 for trigger in finished.work.triggers[:good] if trigger.heads[index])
            metrics.aggregated(dependency.module, hits=hits, misses=good - hits)

    def _send(self, finished: calling.Finished) -> None:
        """Outputs to the outbox; what has none is done at once."""
        triggers = finished.work.triggers[: len(finished.payloads)]
        if not triggers:
            return
        if finished.payloads[0] is None:
            for trigger in triggers:
                trigger.settle()
        else:
            messages = self._messages(finished, triggers)
            told = [trigger.settle for trigger in triggers]
            told[-1] = functools.partial(self._all_acknowledged, triggers[-1], messages)
            self._box.put_all(list(zip(messages, told, strict=True)))

    def _all_acknowledged(self, last: Trigger, messages: Sequence[ports.Message]) -> None:
        """A piece of work's last output is written, and so all: one stands for them in the times."""
        last.settle()
        self._metrics.sent(len(messages), sum(len(message.value or b"") for message in messages))
        self._metrics.end_to_end(max(0.0, self._clock() - last.timestamp / 1000))

    def _messages(self, finished: calling.Finished, triggers: Sequence[Trigger]) -> list[ports.Message]:
        topic = self.assembly.wiring.output_topic or ""
        key = finished.work.station.id.encode()
        ids = encoding.output_ids(self.assembly.module_spec.module, triggers)
        return [
            ports.Message(topic, key, payload, [(names.HEADER_OUTPUT_ID, output_id)])
            for payload, output_id in zip(finished.payloads, ids, strict=True)
        ]

    def _send_kept(self, finished: calling.Finished) -> None:
        """As `_send`, and the result handler hears of each output once it is acknowledged."""
        triggers = finished.work.triggers[: len(finished.payloads)]
        told = [
            functools.partial(self._acknowledged, trigger, *kept)
            for trigger, kept in zip(triggers, finished.kept, strict=True)
        ]
        if not triggers or finished.payloads[0] is None:
            for acknowledged in told:
                acknowledged()
        else:
            self._box.put_all(list(zip(self._messages(finished, triggers), told, strict=True)))

    def _acknowledged(self, trigger: Trigger, module_input: Any, result: Any) -> None:
        trigger.settle()
        if self._after_output is not None:
            self._after_output(trigger.station.id, module_input, result)

    def _failed(self, finished: calling.Finished, error: BaseException) -> None:
        trigger, remaining = finished.failed, finished.remaining
        assert trigger is not None
        error_type = "callback_timeout" if isinstance(error, calling.CallbackTimeout) else "callback_error"
        self._metrics.failed(error_type)
        self._metrics.stations.failed(trigger.station.id, 1)
        if error_type == "callback_timeout":
            self._metrics.callback_timed_out()
        record = self._record(trigger.station)
        record.last_error = f"{type(error).__name__}: {error}"
        now, fields = self._loop.time(), calling.fields_of(trigger, finished.failed_seconds)
        record.breaker.failed(now)
        log.error(
            "callback of station %s failed at %s/%s offset %s after %.3f s: %s",
            trigger.station.id,
            *trigger.batch.origin,
            trigger.offset,
            finished.failed_seconds,
            record.last_error,
            exc_info=error,
            extra={**fields, "error_type": error_type},
        )
        if record.breaker.is_open(now):
            log.warning(
                "breaker of station %s is open for %g s after %s failures in a row",
                trigger.station.id,
                record.breaker.settings.open_seconds,
                record.breaker.failures,
                extra={**fields, "error_type": "breaker_open"},
            )
        if trigger.attempt < self._retries.retries:
            trigger.attempt += 1
            self._retry_later([trigger, *remaining], trigger.attempt)
            return
        trigger.settle()
        if remaining:
            self._again(scheduling.Work(trigger.station, remaining))
        else:
            self._next(trigger.station)

    def _retry_later(self, triggers: list[Trigger], attempt: int) -> None:
        retries = self._retries
        pause = min(retries.backoff_seconds * 2 ** (attempt - 1), retries.max_backoff_seconds)
        work = scheduling.Work(triggers[0].station, triggers)
        self.in_flight += 1  # the failed one is under way again; the remaining ones were all along
        self._metrics.callback_retried()
        self._loop.call_later(pause, self._again, work)

    def _again(self, work: scheduling.Work) -> None:
        if not self._stopping:  # after a stop the offsets stay open, and a restart takes them again
            self.in_flight -= len(work.triggers)
            self._start([work])  # unless the breaker has opened meanwhile

    def _next(self, station: Station) -> None:
        work = self.scheduler.finished(station, self._now_ms())
        if work is not None:
            self._start([work])
        self._wake_when_due()

    # -- life ---------------------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """Triggers that wait for their station to be free."""
        return self.scheduler.waiting

    @property
    def coalesced(self) -> int:
        """Triggers covered by a newer one's output so far."""
        return self.scheduler.coalesced

    def overdue(self) -> int:
        """Calls running past their timeout."""
        return self.callbacks.overdue()

    def forget(self, stations: Iterable[Station]) -> None:
        """Drop what is told of stations that are gone."""
        gone = [station.id for station in stations]
        for station_id in gone:
            self.records.pop(station_id, None)
        self._metrics.stations.forget(gone)

    async def drain(self, within_seconds: float) -> bool:
        """Wait until no trigger is under way and every output is acknowledged."""
        deadline = time.monotonic() + within_seconds
        while self.in_flight or self.waiting:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.01)
        return await self._box.flush(max(0.0, deadline - time.monotonic()))

    async def stop(self, within_seconds: float) -> None:
        """Let running calls end within the bound; what they return is still sent."""
        self._stopping = True
        if self._wake is not None:
            self._wake.cancel()
        await self.callbacks.stop(within_seconds)
        await asyncio.sleep(0)  # results that the lanes have just handed over are delivered now
