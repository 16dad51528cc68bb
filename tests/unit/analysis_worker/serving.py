"""Whole workers on one Kafka in memory, told by Assignments: started, changed, handed over, stopped."""

import asyncio
import collections
import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Any

from prometheus_client import CollectorRegistry

from analysis_module import assignment, reading
from analysis_module import slots as slot_math
from analysis_worker import service
from analysis_worker.callbacks import loading
from analysis_worker.kafka import progress_log
from analysis_worker.observability.metrics import WorkerMetrics
from analysis_worker.settings import Settings
from tests.fakes.kafka import FakeKafka
from tests.unit.analysis_worker.in_memory import INPUT, OUTPUT, SPEC, until

SLOTS = 8
SOURCE = """
def callback(station_id, module_input):
    return list(module_input["power_window"])
"""
QUICK = Settings(
    commit_interval_seconds=0.02,
    stop_within_seconds=2.0,
    connect_within_seconds=2.0,
    takeover_after_seconds=1.0,
    release_within_seconds=5.0,
    status_interval_seconds=0.02,
)


def stations_of(slots: Iterable[int], each: int = 2) -> list[str]:
    """So many stations of each of these slots."""
    found: dict[int, list[str]] = collections.defaultdict(list)
    wanted = set(slots)
    number = 0
    while any(len(found[slot]) < each for slot in wanted):
        name = f"S{number}"
        slot = slot_math.slot_of(name, SLOTS)
        if slot in wanted and len(found[slot]) < each:
            found[slot].append(name)
        number += 1
    return [name for slot in sorted(wanted) for name in found[slot]]


class Serving:
    """A module on a cluster, and the workers that run it."""

    def __init__(self, cluster: FakeKafka | None = None, *, partitions: int = 1, **spec: Any) -> None:
        self.cluster = cluster or FakeKafka()
        if cluster is None:
            self.cluster.create_topic(INPUT, partitions=partitions)
        self.spec: dict[str, Any] = {
            **SPEC,
            "callback": {"source": SOURCE},
            "partitioning": {"slots": SLOTS},
            **spec,
        }
        self.sent: collections.Counter[str] = collections.Counter()

    def told(
        self, owner: str = "a", slots: Iterable[int] = range(SLOTS), epoch: int = 0, **changes: Any
    ) -> assignment.Assignment:
        """What a worker is told; `changes` replace top-level fields of the spec."""
        module_spec = reading.read_spec({**self.spec, **changes})
        return assignment.Assignment(module_spec, owner, epoch, frozenset(slots))

    def worker(
        self,
        told: assignment.Assignment | None = None,
        *,
        callback: Any = None,
        settings: Settings = QUICK,
        **options: Any,
    ) -> service.Worker:
        """A worker that is not started yet."""
        told = told or self.told()
        return service.Worker(
            told,
            self.cluster.connector(),
            metrics=WorkerMetrics(CollectorRegistry(), module="module", owner=told.owner),
            settings=settings,
            callback=loading.from_callable(callback) if callback is not None else None,
            **options,
        )

    @contextlib.asynccontextmanager
    async def running(
        self, told: assignment.Assignment | None = None, **options: Any
    ) -> AsyncIterator[service.Worker]:
        """A worker from start, once its windows are restored, to orderly stop."""
        worker = self.worker(told, **options)
        try:
            await worker.start()
            await until(lambda: not worker.feed.restoring, "the windows are restored")
            yield worker
        finally:
            await worker.stop()

    def send(self, stations: Iterable[str], times: int = 1, *, partition: int | None = None) -> None:
        """Records of these stations in turn, each station's powers counted from 1."""
        names = list(stations)
        for _ in range(times):
            for station in names:
                self.sent[station] += 1
                value = {"stationId": station, "power": self.sent[station]}
                self.cluster.produce(INPUT, value, key=station.encode(), partition=partition)

    async def all_out(self) -> None:
        """Wait until there are as many outputs as records were sent."""
        total = sum(self.sent.values())
        await self.some_out(total)

    async def some_out(self, count: int) -> None:
        """Wait until there are so many outputs."""
        await until(lambda: self.output_count >= count, f"{count} outputs, not {self.output_count}")

    @property
    def outputs(self) -> list[tuple[str, Any]]:
        """(station, result) of every output so far."""
        values = [record.json() for record in self.cluster.records(OUTPUT)]
        return [(value["stationId"], value["output"]) for value in values]

    @property
    def output_count(self) -> int:
        """How many outputs there are."""
        return len(self.cluster.records(OUTPUT))

    def powers(self, station: str) -> list[Any]:
        """The newest power in each output of a station."""
        return [window[-1] for name, window in self.outputs if name == station]

    def assert_exact(self) -> None:
        """Every record has one output, in order, of the right window."""
        by_station: dict[str, list[Any]] = collections.defaultdict(list)
        for station, window in self.outputs:
            by_station[station].append(window)
        expected = {
            station: [[max(0, n - 2), max(0, n - 1), n] for n in range(1, count + 1)]
            for station, count in self.sent.items()
        }
        assert by_station == expected

    async def progress(self) -> dict[int, progress_log.SlotProgress]:
        """The newest progress of every slot."""
        source = self.cluster.source()
        await source.start()
        found = await progress_log.load(source, "module-progress")
        await source.close()
        return found


async def sending(serving: Serving, stations: list[str], times: int) -> None:
    """Send while everything else goes on, a few records at a time."""
    for _ in range(times):
        serving.send(stations)
        await asyncio.sleep(0.001)
