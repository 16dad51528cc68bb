"""Records to Kafka at their time: batches with the time each is due, and what became of them.

The schedules are pure; `deliver` waits and sends. A batch is a time in epoch ms and the records due then.
"""

import dataclasses
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from analysis_worker import simulation
from analysis_worker.simulation import faults, stations

TICK_MS = 50
_MOST_IN_FLIGHT = 20_000

Batch = tuple[float, Sequence[simulation.SimulatedRecord]]


def fleet_schedule(
    fleet: stations.Fleet,
    injector: faults.FaultInjector,
    *,
    start_ms: int,
    duration_seconds: float = math.inf,
    most_per_second: float = math.inf,
) -> Iterator[Batch]:
    """What a fleet sends, spoiled, tick by tick, and at its end what was held back as late.

    Where more than `most_per_second` records would go the fleet's time runs slower, and its timestamps are
    moved to when the records really go.
    """
    slip_ms, at_ms = 0.0, start_ms
    while at_ms + slip_ms < start_ms + 1000 * duration_seconds:
        records = [spoiled for record in fleet.tick(at_ms) for spoiled in injector.inject(record)]
        yield at_ms + slip_ms, _moved(records, int(slip_ms))
        slip_ms += max(0.0, 1000 * len(records) / most_per_second - TICK_MS)
        at_ms += TICK_MS
    yield at_ms + slip_ms, _moved(injector.drain(), int(slip_ms))


def _moved(records: Sequence[simulation.SimulatedRecord], by_ms: int) -> Sequence[simulation.SimulatedRecord]:
    if not by_ms:
        return records
    return [dataclasses.replace(record, timestamp_ms=record.timestamp_ms + by_ms) for record in records]


def replay_schedule(
    records: Iterable[simulation.SimulatedRecord],
    *,
    start_ms: int,
    speedup: float,
    keep_timestamps: bool = False,
) -> Iterator[Batch]:
    """Records of the past from `start_ms` on, `speedup` times as fast as they were; 0: as fast as can be.

    Their timestamps become the times at which they are due, since a topic's retention counts from those:
    records as old as they really are may be deleted at once. At speed-up 0 all get `start_ms`.
    """
    first_ms: int | None = None
    for record in records:
        if first_ms is None:
            first_ms = record.timestamp_ms
        due_ms = start_ms + (record.timestamp_ms - first_ms) / speedup if speedup else float(start_ms)
        yield due_ms, [record if keep_timestamps else dataclasses.replace(record, timestamp_ms=int(due_ms))]


class Delivery:
    """Sends through a kafka-python producer, with a bounded number of records under way.

    `acknowledged` and `failed` count what became of them; `first_error` says why the first one failed.
    """

    def __init__(self, producer: Any) -> None:
        self._producer = producer
        self._room = threading.Semaphore(_MOST_IN_FLIGHT)
        self._counting = threading.Lock()
        self.sent = 0
        self.acknowledged = 0
        self.failed = 0
        self.first_error: str | None = None

    def send(self, record: simulation.SimulatedRecord) -> None:
        """Send one record, waiting while too many are under way."""
        self._room.acquire()
        self.sent += 1
        try:
            future = self._producer.send(
                record.topic, key=record.key, value=record.value, timestamp_ms=record.timestamp_ms
            )
        except Exception as error:  # the wall between one record that cannot be sent and the rest
            self._settled(error)
            return
        future.add_callback(lambda _metadata: self._settled(None))
        future.add_errback(self._settled)

    def _settled(self, error: BaseException | None) -> None:
        with self._counting:
            if error is None:
                self.acknowledged += 1
            else:
                self.failed += 1
                self.first_error = self.first_error or f"{type(error).__name__}: {error}"
        self._room.release()

    def close(self, *, within_seconds: float = 30.0) -> None:
        """Wait for what is under way, then disconnect."""
        try:
            self._producer.flush(timeout=within_seconds)
        finally:
            self._producer.close(timeout=5)


def deliver(
    batches: Iterable[Batch],
    delivery: Delivery,
    stop: threading.Event,
    *,
    told: Callable[[float, int], None] = lambda due_ms, count: None,
    clock: Callable[[], float] = time.time,
) -> None:
    """Send each batch when it is due, until all are sent or `stop` is set; `told` hears of each."""
    for due_ms, records in batches:
        pause = due_ms / 1000 - clock()
        if (pause > 0 and stop.wait(pause)) or stop.is_set():
            return
        for record in records:
            delivery.send(record)
        told(due_ms, len(records))
