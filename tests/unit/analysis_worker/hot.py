"""A worker whose spec is changed while it runs, and the register of cases: one for each hot field."""

import pathlib
from collections.abc import Awaitable, Callable
from typing import Any

from analysis_worker import service
from tests.unit.analysis_worker.in_memory import INPUT, OUTPUT, SPEC, until
from tests.unit.analysis_worker.serving import Serving

POWER = SPEC["inputs"][0]
OTHER = {"topic": "OTHER", "fields": ["stationId", "other"], "windowSize": 2}
SOURCE = """
KEYS = "extra", "other", "cells", "day", "a_output", "b_output"
calls = []
def callback(station_id, module_input, parameters):
    calls.append(station_id)
    found = module_input.get("power_window")
    return {
        "power": module_input.get("power"),
        "window": None if found is None else list(found),
        "kind": type(found).__name__,
        "parameters": parameters,
        "input": {key: module_input.get(key) for key in KEYS},
        "outputs": module_input.get("a_output_window"),
    }

def renamed(station_id, module_input):
    return {"renamed": True}
"""


class Hot:
    """A worker whose spec is changed while it runs."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        self.serving = Serving()
        self.worker: service.Worker
        self._epoch = 0

    def base(self, **spec: Any) -> None:
        """What the worker starts with, beside the base of all."""
        self.serving = Serving(**{"callback": {"source": SOURCE}, **spec})

    async def change(self, **spec: Any) -> None:
        """Replace top-level fields; returns when the worker runs them."""
        self._epoch += 1
        self.serving.spec.update(spec)
        await self.worker.apply(self.serving.told(epoch=self._epoch))

    def topic(self, *topics: str) -> None:
        """More topics on the cluster."""
        for topic in topics:
            self.serving.cluster.create_topic(topic)

    def send(self, topic: str = INPUT, **value: Any) -> None:
        """A record, of station S1 and with a power if it does not say otherwise."""
        record = {"stationId": "S1", "power": 1, **value}
        self.serving.cluster.produce(topic, {k: v for k, v in record.items() if v is not None})

    def count(self, topic: str = OUTPUT) -> int:
        """How many records a topic has."""
        return len(self.serving.cluster.records(topic))

    async def output(self, topic: str = INPUT, **value: Any) -> Any:
        """The result for a new record."""
        return (await self.record(topic, **value)).json()["output"]

    async def record(self, topic: str = INPUT, *, to: str = OUTPUT, **value: Any) -> Any:
        """The output record for a new record."""
        before = {(each.partition, each.offset) for each in self.serving.cluster.records(to)}
        self.send(topic, **value)
        await until(lambda: self.count(to) > len(before), f"an output for {value}")
        new = [e for e in self.serving.cluster.records(to) if (e.partition, e.offset) not in before]
        return new[-1]

    async def taken(self, topic: str = INPUT, **value: Any) -> int:
        """Let a record be taken; how many outputs it had."""
        before = self.count()
        self.send(topic, **value)
        end = self.serving.cluster.bounds(topic)[1]

        def positions() -> list[int]:
            parts = self.worker.feed.parts.items()
            return [part.progress.position for place, part in parts if place.topic == topic]

        await until(lambda: end in positions(), "the record is taken")
        await self.quiet()
        return self.count() - before

    async def quiet(self) -> None:
        """Wait until nothing is under way."""
        flow, box = self.worker.flow, self.worker.box
        await until(
            lambda: not flow.in_flight and not flow.waiting and not box.pending, "nothing is under way"
        )

    @property
    def globals(self) -> dict[str, Any]:
        """The globals of the callback's source."""
        function: Any = self.worker.flow.callback.function
        found: dict[str, Any] = getattr(function, "func", function).__globals__
        return found

    def failed(self, error_type: str) -> float:
        """How many errors of a type were counted."""
        registry = self.worker.metrics._registry
        return registry.get_sample_value("data_analysis_errors_total", {"error_type": error_type}) or 0.0

    def station_series(self) -> dict[str, float]:
        """The per-station series."""
        return {
            sample.labels["station"]: sample.value
            for metric in self.worker.metrics.stations.families()
            for sample in metric.samples
            if sample.name.endswith("processed_total")
        }


Change = Callable[[Hot], Awaitable[None]]
CASES: dict[str, tuple[dict[str, Any], Change]] = {}
"""Path of a hot field -> what the worker starts with, and its change with what must be different after it."""


def hot(path: str, **base: Any) -> Callable[[Change], Change]:
    """Registers a case."""

    def register(change: Change) -> Change:
        assert path not in CASES
        CASES[path] = (base, change)
        return change

    return register
