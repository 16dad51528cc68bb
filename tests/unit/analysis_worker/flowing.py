"""A flow under test: an engine driven by hand before it, an outbox on Kafka in memory behind it."""

import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from prometheus_client import CollectorRegistry

from analysis_module import names
from analysis_worker import assembling, flow
from analysis_worker.callbacks import loading
from analysis_worker.kafka import outbox
from analysis_worker.observability.metrics import WorkerMetrics
from tests import builders
from tests.fakes.cluster import FakeRecord
from tests.fakes.kafka import FakeKafka
from tests.unit.analysis_worker.in_memory import until

INPUT, OUTPUT = "POWER", "OUTPUT"


class Flowing:
    """A flow, what feeds it and what it wrote."""

    def __init__(self, function: Callable[[str, Any], Any], /, **spec: Any) -> None:
        self.by_hand = builders.an_engine(**{"output": {"topic": OUTPUT}, **spec})
        self.kafka = FakeKafka()
        wiring = self.by_hand.assembly.wiring
        for topic in (OUTPUT, wiring.dead_letter_topic, wiring.strays_topic):
            self.kafka.create_topic(topic)
        self.registry = CollectorRegistry()
        self.metrics = WorkerMetrics(self.registry, module="module", owner="owner")
        self.box = outbox.Outbox(self.kafka.sink, lambda message, reason: None)
        self._function = function
        self.handled: list[tuple[str, Any]] = []

    @contextlib.asynccontextmanager
    async def running(self, *, handler: bool = False) -> AsyncIterator["Flowing"]:
        """With the flow there; it is stopped at the end."""
        await self.box.start()
        self.flow = flow.Flow(
            self.by_hand.assembly,
            loading.from_callable(self._function),
            box=self.box,
            metrics=self.metrics,
            after_output=self._handle if handler else None,
        )
        try:
            yield self
        finally:
            await self.flow.stop(1.0)
            await self.flow.callbacks.tear_down(1.0)
            await self.box.close()

    def _handle(self, station_id: str, module_input: Any, result: Any) -> None:
        self.handled.append((station_id, result))

    def take(self, *values: Any) -> None:
        """Records of the input topic, as a feed brings them."""
        self.flow.take(self.by_hand.take(INPUT, *values), round(builders.NOW * 1000))

    def send(self, station_id: str, *powers: Any) -> None:
        """Records of one station."""
        self.take(*({"stationId": station_id, "power": power} for power in powers))

    async def drained(self) -> None:
        """Wait until nothing is under way and everything written."""
        await until(
            lambda: not self.flow.in_flight and not self.flow.waiting and not self.box.pending,
            f"all is done: {self.flow.in_flight} in flight, {self.flow.waiting} waiting",
        )

    def configure(self, **spec: Any) -> None:
        """A hot change that keeps the callback."""
        self.by_hand.reconfigure({"module": "module", "inputs": [POWER_INPUT], **spec})
        self.flow.configure(self.by_hand.assembly, self.flow.callbacks.current)

    def assembly(self) -> assembling.Assembly:
        """What the flow runs."""
        return self.by_hand.assembly

    @property
    def outputs(self) -> list[Any]:
        """The results written so far."""
        return [record.json()["output"] for record in self.kafka.records(OUTPUT)]

    @property
    def letters(self) -> list[FakeRecord]:
        """The dead letters written so far."""
        return self.kafka.records(names.dead_letter_topic("module"))

    @property
    def open_offsets(self) -> int:
        """How many offsets are begun and not done."""
        return self.by_hand.part(INPUT).progress.outstanding

    def count(self, metric: str, **labels: str) -> float:
        """A counter's value, 0 if it has none."""
        return self.registry.get_sample_value(f"data_analysis_{metric}", labels) or 0.0


POWER_INPUT = {"topic": INPUT, "fields": ["stationId", "power"], "windowSize": 3}


class Scripted:
    """A callback that fails for given powers so many times, and notes its calls."""

    def __init__(self, **failures: int) -> None:
        self.failures = {int(name.removeprefix("at_")): count for name, count in failures.items()}
        self.calls: list[tuple[float, Any]] = []

    def __call__(self, station_id: str, module_input: Any) -> Any:
        number = module_input["power"]
        self.calls.append((time.monotonic(), number))
        if self.failures.get(number, 0) > 0:
            self.failures[number] -= 1
            raise ValueError(f"no result for {number}")
        return number

    @property
    def numbers(self) -> list[Any]:
        """The powers it was called with."""
        return [number for _, number in self.calls]


class Gate:
    """A plain callback that waits until it is let go."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.entered: list[Any] = []

    def __call__(self, station_id: str, module_input: Any) -> Any:
        self.entered.append(module_input["power"])
        self.open.wait(30)
        return module_input["power"]


def always(error: Exception) -> tuple[list[Any], Callable[[str, Any], Any]]:
    """A callback that always raises this, and the powers it was called with."""
    calls: list[Any] = []

    def fails(station_id: str, module_input: Any) -> None:
        calls.append(module_input["power"])
        raise error

    return calls, fails
