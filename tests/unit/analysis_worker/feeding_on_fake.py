"""A feed under test on Kafka in memory: stepped by hand, with a real engine and flow behind it."""

import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry

from analysis_module import reading
from analysis_module import slots as slot_math
from analysis_worker import assembling, feeding, flow
from analysis_worker.callbacks import loading
from analysis_worker.engine import engine, intake
from analysis_worker.engine.records import TopicPartition
from analysis_worker.kafka import outbox, progress_log
from analysis_worker.observability.metrics import WorkerMetrics
from tests.fakes.kafka import FakeKafka
from tests.unit.analysis_worker.in_memory import INPUT, OUTPUT, SPEC, until

OWNER = "module-0"


def station_of(slot: int, slots: int = 64) -> str:
    """A station of this slot."""
    names = (f"S{number}" for number in range(100_000))
    return next(name for name in names if slot_math.slot_of(name, slots) == slot)


def progress_of(
    slot: int, offset: int, floor: int | None = None, topic: str = INPUT, partition: int = 0
) -> progress_log.SlotProgress:
    """A slot's progress in one partition."""
    place = TopicPartition(topic, partition)
    floors = {place: offset if floor is None else floor}
    return progress_log.SlotProgress(slot, OWNER, 0, {place: offset}, floors)


def merged(*parts: progress_log.SlotProgress) -> progress_log.SlotProgress:
    """One slot's progress in several partitions."""
    offsets = {place: offset for part in parts for place, offset in part.offsets.items()}
    floors = {place: offset for part in parts for place, offset in part.floors.items()}
    return progress_log.SlotProgress(parts[0].slot, OWNER, 0, offsets, floors)


def windows(station_id: str, module_input: Mapping[str, Any]) -> list[Any]:
    """The window as a result."""
    return list(module_input["power_window"])


class Fed:
    """A feed, and what came through it."""

    def __init__(
        self, cluster: FakeKafka, *, slots: Iterable[int] = range(64), callback: Any = windows, **spec: Any
    ) -> None:
        self.cluster = cluster
        self.slots = sorted(slots)
        self.assembly = assembling.assemble(reading.read_spec({**SPEC, **spec}))
        self.registry = CollectorRegistry()
        self.metrics = WorkerMetrics(self.registry, module="module", owner=OWNER)
        self.engine = engine.Engine(self.assembly.engine_settings, self.slots)
        self._callback = callback
        self.box = outbox.Outbox(cluster.sink, lambda message, reason: None)
        for topic in (OUTPUT, self.assembly.wiring.dead_letter_topic, self.assembly.wiring.strays_topic):
            if topic not in cluster.topics():
                cluster.create_topic(topic)

    @contextlib.asynccontextmanager
    async def begun(self, *held: progress_log.SlotProgress) -> AsyncIterator["Fed"]:
        """With the feed begun on this progress."""
        await self.box.start()
        self.flow = flow.Flow(
            self.assembly, loading.from_callable(self._callback), box=self.box, metrics=self.metrics
        )
        self.feed = self.make_feed(self.slots)
        try:
            await self.feed.begin({progress.slot: progress for progress in held})
            yield self
        finally:
            await self.feed.source.close()
            await self.flow.stop(1.0)
            await self.flow.callbacks.tear_down(1.0)
            await self.box.close()

    def make_feed(self, slots: Iterable[int], *, first: bool = True) -> feeding.Feed:
        """Another feed of the same engine and flow."""
        return feeding.Feed(
            intake.Reader(self.engine, slots, keeps_unclaimed=first),
            self.assembly,
            self.flow,
            self.cluster.source(),
            metrics=self.metrics,
            shared_topics=first,
        )

    async def live(self) -> "Fed":
        """Step until the windows are restored."""
        while self.feed.restoring:
            await self.feed.step()
        return self

    async def caught_up(self) -> "Fed":
        """Step until every record there is has been taken and its output written."""
        while self.behind() or self.feed.restoring:
            await self.feed.step()
        await until(
            lambda: not self.flow.in_flight and not self.flow.waiting and not self.box.pending, "all is done"
        )
        return self

    def behind(self) -> bool:
        """Whether some partition that is read has more records."""
        return any(
            part.progress.position < self.cluster.bounds(*place)[1] for place, part in self.feed.parts.items()
        )

    def part(self, partition: int = 0, topic: str = INPUT) -> intake.PartitionIntake:
        """The intake of a partition."""
        return self.feed.parts[TopicPartition(topic, partition)]

    @property
    def outputs(self) -> list[Any]:
        """The results written, in order."""
        return [record.json()["output"] for record in self.cluster.records(OUTPUT)]

    @property
    def newest(self) -> list[Any]:
        """The newest power of each result."""
        return [window[-1] for window in self.outputs]

    def count(self, metric: str, **labels: str) -> float:
        """A counter's value, 0 if it has none."""
        return self.registry.get_sample_value(f"data_analysis_{metric}", labels) or 0.0


def a_stream(count: int, station: str = "S1", partition: int = 0) -> FakeKafka:
    """A cluster whose input topic has records of one station, their powers counted from 0."""
    cluster = FakeKafka()
    cluster.create_topic(INPUT)
    add(cluster, count, station, partition=partition)
    return cluster


def add(
    cluster: FakeKafka,
    count: int,
    station: str = "S1",
    *,
    first: int = 0,
    partition: int = 0,
    topic: str = INPUT,
) -> None:
    """More records of a station."""
    for number in range(first, first + count):
        cluster.produce(topic, {"stationId": station, "power": number}, partition=partition)
