"""Tests a module's callback in milliseconds: records in, outputs out, no broker, a clock of its own.

    driver = ModuleTestDriver({"module": "load_prediction"}, callback)
    driver.send("SCHEDULE-CAR-ORDER", {"stationId": "S1", "currentSOC": 41.5})
    assert driver.outputs()[0].value["output"] == ...

It is a worker's own feed, engine, flow and outbox on topics in memory and a loop whose time passes only in
`advance`. Plain callbacks run in the test's thread, each to its end and without a timeout; async ones on the
driver's loop, where `asyncio.sleep` waits for `advance`.
"""

import asyncio
import dataclasses
import json
import weakref
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Self

from prometheus_client import CollectorRegistry

from analysis_module import names, reading, spec
from analysis_worker import (
    assembling,
    committing,
    feeding,
    flow,
    memory_topics,
    progress_writing,
    virtual_time,
)
from analysis_worker.callbacks import calling, lanes, loading, thread_lanes
from analysis_worker.engine import inputs, intake
from analysis_worker.engine.engine import Engine
from analysis_worker.engine.records import TopicPartition
from analysis_worker.engine.scheduling import Work
from analysis_worker.kafka import outbox, partitioning, ports, progress_log
from analysis_worker.observability.metrics import WorkerMetrics

PARTITIONS = 4
"""Of a topic that is not Aligned."""


@dataclasses.dataclass(frozen=True)
class Output:
    """One output: `value` is the record's JSON, `id` its `output-id` header, `timestamp` in s."""

    station_id: str
    value: Any
    id: str
    timestamp: float


@dataclasses.dataclass(frozen=True)
class DeadLetter:
    """A refused record: where it was, why, and itself."""

    topic: str
    partition: int
    offset: int
    error_type: str
    error: str
    key: bytes | None = None
    value: bytes | None = None


@dataclasses.dataclass(frozen=True)
class Failure:
    """A callback's exception, which stayed with its station."""

    station_id: str
    error: BaseException


class ModuleTestDriver:
    """Drives one module by hand. `start` is the clock's first time, in s since the epoch.

    `module` is an AnalysisModule manifest or a bare spec, as a mapping; raises InvalidSpec with all problems.
    Without `callback` the one that the spec names is loaded; raises CallbackError. A callback's `set_up` is
    run now and after each `restart`, its `tear_down` by `close`, which the end of a `with` does.
    """

    def __init__(
        self,
        module: Mapping[str, Any] | spec.ModuleSpec,
        callback: Callable[..., Any] | None = None,
        *,
        start: float = 1_762_480_000.0,
    ) -> None:
        self.assembly = assembling.assemble(_spec_of(module))
        settings = self.assembly.module_spec.callback
        self._callback = (
            loading.load(settings)
            if callback is None
            else loading.from_callable(callback, settings.parameters)
        )
        self._start = start
        self._topics = memory_topics.MemoryTopics()
        for topic, source in self.assembly.topics.items():
            self._topics.create(topic, self._slots if source.aligned else PARTITIONS)
        self._failures: list[Failure] = []
        self._begin(virtual_time.VirtualLoop())

    @property
    def _slots(self) -> int:
        return self.assembly.engine_settings.slots

    def _begin(self, loop: virtual_time.VirtualLoop) -> None:
        self._loop = loop
        self._end_loop = weakref.finalize(self, loop.shut)
        self._part = loop.finish(
            _made(self.assembly, self._callback, self._topics, self._failures, self._start)
        )
        self._settle()

    # -- what a test does ---------------------------------------------------------------------------

    def send(
        self,
        topic: str,
        value: Any,
        *,
        key: str | bytes | None = None,
        timestamp: float | None = None,
    ) -> None:
        """Put a record into a topic: bytes as they are, None as a null, anything else as JSON.

        `timestamp` is in s, by default the clock's. Raises KeyError for a topic the module does not read.
        """
        if topic not in self.assembly.topics:
            raise KeyError(f"{topic}: the module reads {', '.join(self.assembly.topics)}")
        raw_key = key.encode() if isinstance(key, str) else key
        encoded = value if value is None or isinstance(value, bytes) else json.dumps(value).encode()
        partition = 0
        if raw_key is not None:
            partition = partitioning.partition_of(raw_key, self._topics.count(topic))
        at = self.now if timestamp is None else timestamp
        message = ports.Message(topic, raw_key, encoded, [], int(at * 1000))
        self._topics.append(message, partition, int(at * 1000))
        self._settle()

    def advance(self, seconds: float) -> None:
        """Let time pass: sleeping callbacks wake, retries and intervals fall due, silent stations expire."""
        self._loop.advance(seconds)
        self._part.flow.forget(self.engine.expire(int(self.now * 1000)))
        self._settle()

    def restart(self) -> None:
        """Crash and start anew: windows come back by a muted replay, what was done is not done again.

        What was under way is called again.
        """
        self._loop.finish(self._part.committer.commit([self._part.feed]))
        now = self._loop.now
        self._end_loop()
        self._begin(virtual_time.VirtualLoop(now))

    def outputs(self, station_id: str | None = None) -> list[Output]:
        """Every output so far, or one station's."""
        written = self._topics.all_records(self.assembly.wiring.output_topic or "")
        outputs = [_output(record) for record in written]
        return [output for output in outputs if station_id in (None, output.station_id)]

    def dead_letters(self) -> list[DeadLetter]:
        """Every refused record so far."""
        return [_letter(r) for r in self._topics.all_records(self.assembly.wiring.dead_letter_topic)]

    def failures(self) -> list[Failure]:
        """Every exception of the callback so far, those that a retry made good included."""
        return list(self._failures)

    def module_input(self, station_id: str) -> inputs.ModuleInput | None:
        """What the callback would get for a station now; None if it is unknown."""
        station = self.engine.stations.get(station_id)
        if station is None:
            return None
        return inputs.ModuleInput(self.engine.layout, station_id, tuple(station.heads), self.now)

    @property
    def now(self) -> float:
        """The clock, in s since the epoch."""
        return self._start + self._loop.now

    @property
    def engine(self) -> Engine:
        """The stations and their windows."""
        return self._part.engine

    def close(self) -> None:
        """Tear the callback down and end."""
        if self._end_loop.alive:
            calls = self._part.flow.callbacks.current
            self._loop.finish(calls.run_hook(calls.callback.tear_down))
            self._end_loop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _settle(self) -> None:
        """Bring all records, and run all that follows from them without any time passing."""
        while self._part.behind():
            self._loop.finish(self._part.feed.step())
            self._loop.run_until_idle()


@dataclasses.dataclass(frozen=True)
class _Part:
    """What lives from one start to the next."""

    topics: memory_topics.MemoryTopics
    engine: Engine
    flow: flow.Flow
    feed: feeding.Feed
    committer: committing.Committer

    def behind(self) -> bool:
        parts = self.feed.parts.items()
        return self.feed.restoring or any(
            part.progress.position < len(self.topics.records(place)) for place, part in parts
        )


async def _made(
    assembly: assembling.Assembly,
    callback: loading.LoadedCallback,
    topics: memory_topics.MemoryTopics,
    failures: list[Failure],
    start: float,
) -> _Part:
    """The parts of a worker on these topics, from where they were left."""
    loop = asyncio.get_running_loop()

    def clock() -> float:
        return start + loop.time()

    metrics = WorkerMetrics(CollectorRegistry(), module=assembly.module_spec.module, owner="driver")
    slots = range(assembly.engine_settings.slots)
    box = outbox.Outbox(
        lambda: memory_topics.MemorySink(topics, lambda: int(clock() * 1000)), lambda message, reason: None
    )
    await box.start()
    engine = Engine(assembly.engine_settings, slots)
    made = _TellingFlow(
        assembly,
        callback,
        box=box,
        metrics=metrics,
        callback_loop=loop,
        clock=clock,
        plain_lanes=_InlineLanes,
    )
    made.failures = failures
    await made.callbacks.set_up(made.callbacks.current)
    progress_topic = assembly.wiring.progress_topic
    committer = committing.Committer(
        engine, progress_writing.Acknowledged(box, progress_topic), owner="driver"
    )
    made.keeper.written = committer.written
    source = memory_topics.MemorySource(topics)
    held = await progress_log.load(source, progress_topic)
    committer.remember(held)
    feed = feeding.Feed(intake.Reader(engine, slots), assembly, made, source, metrics=metrics, clock=clock)
    await feed.begin(held)
    return _Part(topics, engine, made, feed, committer)


class _TellingFlow(flow.Flow):
    """A flow that keeps its callbacks' exceptions for the test."""

    failures: list[Failure]

    def _failed(self, finished: calling.Finished, error: BaseException) -> None:
        self.failures.append(Failure(finished.work.station.id, error))
        super()._failed(finished, error)


class _InlineLanes(thread_lanes.ThreadLanes):
    """Plain functions called by the loop itself, one after the other: no threads, so no timeouts."""

    def submit(self, works: Iterable[Work]) -> None:
        """Call soon."""
        if not self._queue:
            self._loop.call_soon(self._run_all)
        self._queue.extend(works)

    def _run_all(self) -> None:
        lane = lanes.Lane()
        while self._queue:
            self._run_work(lane, self._queue.popleft())

    async def run_hook(self, hook: Callable[[], Any] | None) -> None:
        """Call a hook here."""
        if hook is not None:
            made = hook()
            if asyncio.iscoroutine(made):
                await made


def _output(record: memory_topics.KeptRecord) -> Output:
    value = json.loads(record.value or b"null")
    output_id = dict(record.headers)[names.HEADER_OUTPUT_ID].decode()
    return Output((record.key or b"").decode(), value, output_id, value["timestamp"])


def _letter(record: memory_topics.KeptRecord) -> DeadLetter:
    headers = {name: content.decode() for name, content in record.headers}
    place = TopicPartition(
        headers[names.HEADER_DEAD_LETTER_TOPIC], int(headers[names.HEADER_DEAD_LETTER_PARTITION])
    )
    return DeadLetter(
        *place,
        int(headers[names.HEADER_DEAD_LETTER_OFFSET]),
        headers[names.HEADER_DEAD_LETTER_ERROR_TYPE],
        headers[names.HEADER_DEAD_LETTER_ERROR],
        record.key,
        record.value,
    )


def _spec_of(module: Mapping[str, Any] | spec.ModuleSpec) -> spec.ModuleSpec:
    if isinstance(module, spec.ModuleSpec):
        return module
    return reading.read_manifest(dict(module))[2] if "kind" in module else reading.read_spec(dict(module))
