"""Our engine without Kafka: records through the worker's own decoder, intake, trigger and callback call.

For figures that a broker would only blur: what the window's size costs, and what a record takes in memory.
"""

import dataclasses
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from analysis_module import reading
from analysis_worker import assembling, feeding
from analysis_worker.callbacks import calling, loading
from analysis_worker.engine import engine, intake
from bench import records

TOPIC = "SCHEDULE-CAR-ORDER"


@dataclasses.dataclass(slots=True)
class Fetched:
    """A record as a consumer would give it; `timestamp` in ms since the epoch."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class Pipeline:
    """One input with windows of `window_size` records of `fields`, and a callback."""

    def __init__(self, window_size: int, fields: Sequence[str], callback: Callable[[str, Any], Any]) -> None:
        module_spec = reading.read_spec(
            {
                "module": "bench",
                "inputs": [{"topic": TOPIC, "fields": list(fields), "windowSize": window_size}],
                "output": {"enabled": False},
            }
        )
        assembly = assembling.assemble(module_spec)
        slots = range(module_spec.partitioning.slots)
        self.engine = engine.Engine(assembly.engine_settings, slots)
        self._reader = intake.Reader(self.engine, slots)
        self._part = intake.PartitionIntake(assembly.topics[TOPIC], 0, position=0, slots=slots)
        self._part.caught_up = True
        loaded = loading.from_callable(callback)
        self._caller = calling.Caller(loaded, module_spec.callback.input_format, None, keep=False)
        self._now_ms = int(time.time() * 1000)
        self.offset = 0

    def fetched(self, orders: Iterable[records.Order]) -> list[Fetched]:
        """Orders as the next records of the partition."""
        batch = []
        for each in orders:
            batch.append(Fetched(self.offset, self._now_ms, each.key, each.value))
            self.offset += 1
        return batch

    def fill(self, batch: Sequence[Fetched]) -> None:
        """Take records into the windows and drop their triggers."""
        for chunk in _chunks(batch):
            for trigger in self._reader.take(self._part, chunk, self._now_ms).triggers:
                trigger.settle()

    def run(self, batch: Sequence[Fetched]) -> float:
        """Take records and call the callback for each; the CPU seconds that this took."""
        make_input, callback = self._caller.module_input, self._caller.callback.function
        begun = time.process_time()
        for chunk in _chunks(batch):
            for trigger in self._reader.take(self._part, chunk, self._now_ms).triggers:
                callback(trigger.station.id, make_input(trigger))
                trigger.settle()
        return time.process_time() - begun


def _chunks(batch: Sequence[Fetched]) -> Iterable[Sequence[Fetched]]:
    size = feeding.CHUNK_RECORDS
    return (batch[begin : begin + size] for begin in range(0, len(batch), size))
