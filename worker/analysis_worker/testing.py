"""Tests a module's callback in milliseconds: records in, outputs out, no broker, a clock of its own.

    driver = ModuleTestDriver({"module": "load_prediction"}, callback)
    driver.send("SCHEDULE-CAR-ORDER", {"stationId": "S1", "currentSOC": 41.5})
    assert driver.outputs()[0].value["output"] == ...

It runs the engine, the decoders, the scheduler and the caller that a worker runs; only Kafka and the lanes
are left out: a callback runs to its end as soon as its record is sent, an async one on a loop of its own.
"""

import asyncio
import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from analysis_module import reading, spec
from analysis_worker import assembling
from analysis_worker.callbacks import calling, loading
from analysis_worker.engine import inputs, intake, scheduling
from analysis_worker.engine.engine import Engine
from analysis_worker.engine.records import TopicPartition
from analysis_worker.engine.stations import Trigger
from analysis_worker.kafka import encoding, partitioning

PARTITIONS = 4


@dataclasses.dataclass(slots=True)
class SentRecord:
    """A record as it lies in a topic; `timestamp` in ms since the epoch."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


@dataclasses.dataclass(frozen=True)
class Output:
    """One output: `value` is the record's JSON, `id` its `output-id` header, `timestamp` in s."""

    station_id: str
    value: Any
    id: str
    timestamp: float


@dataclasses.dataclass(frozen=True)
class DeadLetter:
    """A refused record: where it was, and why."""

    topic: str
    partition: int
    offset: int
    error_type: str
    error: str


@dataclasses.dataclass(frozen=True)
class Failure:
    """A callback's exception, which stayed with its station."""

    station_id: str
    error: BaseException


class ModuleTestDriver:
    """Drives one module by hand. `start` is the clock's first time, in s since the epoch.

    `module` is an AnalysisModule manifest or a bare spec, as a mapping; raises InvalidSpec with all problems.
    Without `callback` the one that the spec names is loaded. Use it in a `with` if the callback is async.
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
        loaded = (
            loading.load(settings)
            if callback is None
            else loading.from_callable(callback, settings.parameters)
        )
        self._caller = calling.Caller(loaded, settings.input_format, self._encode)
        self._now = start
        self._loop: asyncio.AbstractEventLoop | None = None
        self._topics: dict[TopicPartition, list[SentRecord]] = {}
        self._outputs: list[Output] = []
        self._dead_letters: list[DeadLetter] = []
        self._failures: list[Failure] = []
        self._begin({})

    def _begin(self, resume: Mapping[TopicPartition, Mapping[int, int]]) -> None:
        trigger = self.assembly.module_spec.trigger
        slots = range(self.assembly.engine_settings.slots)
        self.engine = Engine(self.assembly.engine_settings, slots)
        self._reader = intake.Reader(self.engine, slots)
        self._scheduler = scheduling.Scheduler(trigger.policy, int((trigger.interval_seconds or 0) * 1000))
        self._parts: dict[TopicPartition, intake.PartitionIntake] = {}
        for place, offsets in resume.items():
            part = self._part(place)
            part.resume, part.restoring = dict(offsets), True
        for place in resume:
            self._take(place, self._topics[place])
        for part in self._parts.values():
            part.relax()
            self._follow(self._reader.release_held(part, self._now_ms))

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
        partition = 0 if raw_key is None else partitioning.partition_of(raw_key, PARTITIONS)
        place = TopicPartition(topic, partition)
        log = self._topics.setdefault(place, [])
        at = self._now if timestamp is None else timestamp
        log.append(SentRecord(len(log), int(at * 1000), raw_key, encoded))
        self._take(place, log[-1:])

    def advance(self, seconds: float) -> None:
        """Let time pass: interval triggers fall due, silent stations expire."""
        self._now += seconds
        self._run(self._scheduler.due(self._now_ms))
        self.engine.expire(self._now_ms)

    def restart(self) -> None:
        """Crash and start anew: windows come back by a muted replay, what was done is not done again."""
        resume = {
            place: {slot: part.progress.next_offset(slot) for slot in part.progress.pending}
            for place, part in self._parts.items()
        }
        self._begin(resume)

    def outputs(self, station_id: str | None = None) -> list[Output]:
        """Every output so far, or one station's."""
        return [output for output in self._outputs if station_id in (None, output.station_id)]

    def dead_letters(self) -> list[DeadLetter]:
        """Every refused record so far."""
        return list(self._dead_letters)

    def failures(self) -> list[Failure]:
        """Every exception of the callback so far."""
        return list(self._failures)

    def module_input(self, station_id: str) -> inputs.ModuleInput | None:
        """What the callback would get for a station now; None if it is unknown."""
        station = self.engine.stations.get(station_id)
        if station is None:
            return None
        return inputs.ModuleInput(self.engine.layout, station_id, tuple(station.heads), self._now)

    def close(self) -> None:
        """End the loop of an async callback."""
        if self._loop is not None:
            self._loop.close()
            self._loop = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- what follows -------------------------------------------------------------------------------

    @property
    def _now_ms(self) -> int:
        return int(self._now * 1000)

    def _part(self, place: TopicPartition) -> intake.PartitionIntake:
        part = self._parts.get(place)
        if part is None:
            source = dataclasses.replace(self.assembly.topics[place.topic], aligned=False)
            slots = range(self.assembly.engine_settings.slots)
            part = intake.PartitionIntake(source, place.partition, position=0, slots=slots)
            self._parts[place] = part
        return part

    def _take(self, place: TopicPartition, records: Sequence[SentRecord]) -> None:
        if records:
            self._follow(self._reader.take(self._part(place), records, self._now_ms))

    def _follow(self, taken: intake.Taken) -> None:
        for refused in taken.refused:
            refusal = refused.refusal
            self._dead_letters.append(
                DeadLetter(*refused.origin, refused.record.offset, refusal.error_type, str(refusal))
            )
            refused.pending.done(refused.record.offset)
        self._run(self._scheduler.submit(taken.triggers, self._now_ms))

    def _run(self, works: Iterable[scheduling.Work]) -> None:
        waiting = list(works)
        while waiting:
            work = waiting.pop(0)
            for trigger in work.triggers:
                self._call(work, trigger)
            following = self._scheduler.finished(work.station, self._now_ms)
            if following is not None:
                waiting.append(following)

    def _call(self, work: scheduling.Work, trigger: Trigger) -> None:
        finished = calling.Finished(work)
        try:
            module_input = self._caller.module_input(trigger)
            result = self._caller.callback.function(trigger.station.id, module_input)
            if self._caller.callback.is_async:
                result = self._awaited(result)
            self._caller.take(finished, trigger, module_input, result)
        except Exception as error:  # as in a worker: it stays with its station
            self._failures.append(Failure(trigger.station.id, error))
        for payload in finished.payloads:
            if payload is not None:
                self._outputs.append(self._output(trigger, payload))
        trigger.settle()

    def _awaited(self, result: Any) -> Any:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop.run_until_complete(result)

    def _encode(self, trigger: Trigger, result: Any) -> bytes:
        module_spec = self.assembly.module_spec
        return encoding.encode_output(module_spec.module, trigger, result, module_spec.output.envelope)

    def _output(self, trigger: Trigger, payload: bytes) -> Output:
        output_id = encoding.output_id(self.assembly.module_spec.module, trigger)
        return Output(trigger.station.id, json.loads(payload), output_id, trigger.timestamp / 1000)


def _spec_of(module: Mapping[str, Any] | spec.ModuleSpec) -> spec.ModuleSpec:
    if isinstance(module, spec.ModuleSpec):
        return module
    return reading.read_manifest(dict(module))[2] if "kind" in module else reading.read_spec(dict(module))
