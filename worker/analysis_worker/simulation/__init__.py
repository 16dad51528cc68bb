"""Stations without stations: the record that every source yields, its topics, and the schedule of a source.

The sources live beside this file and are pure: time is an argument, chance comes from a seed, nothing is
sent. `stations` invents a fleet, `sessions_data` replays real sessions, `recorded` a file; `faults` spoils
them. What sends stands apart: `delivering`, and on it the `demo` with its `embedded_broker` and workers.
"""

import collections
import dataclasses
import heapq
import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping

Process = Iterator[int]
"""One thing that sends: resumed at its time it emits records, then yields the ms at which to resume it."""

STATION_PARAM = "SCHEDULE-STATION-PARAM"
STATION_REALTIME = "SCHEDULE-STATION-REALTIME-DATA"
CALENDAR = "SCHEDULE-ENVIRONMENT-CALENDAR"
METER = "SCHEDULE-DEVICE-METER"
GUN = "SCHEDULE-DEVICE-GUN"
CAR_ORDER = "SCHEDULE-CAR-ORDER"
CAR_PRICE = "SCHEDULE-CAR-PRICE"
DEVICE_ERROR = "SCHEDULE-DEVICE-ERROR"
HOST_DCDC = "SCHEDULE-DEVICE-HOST-DCDC"
HOST_ACDC = "SCHEDULE-DEVICE-HOST-ACDC"
STORAGE = "SCHEDULE-DEVICE-STORAGE"
PV = "SCHEDULE-DEVICE-PV"
WEATHER = "SCHEDULE-ENVIRONMENT-WEATHER"

TOPICS = (
    STATION_PARAM,
    STATION_REALTIME,
    CALENDAR,
    METER,
    GUN,
    CAR_ORDER,
    CAR_PRICE,
    DEVICE_ERROR,
    HOST_DCDC,
    HOST_ACDC,
    STORAGE,
    PV,
    WEATHER,
)
"""The input topics of the seed system 2.2, in its order, without the legacy HOST topic."""


@dataclasses.dataclass(frozen=True, slots=True)
class SimulatedRecord:
    """One Kafka record to be: a `value` of None is a Kafka null, `timestamp_ms` is epoch milliseconds."""

    topic: str
    key: bytes | None
    value: bytes | None
    timestamp_ms: int


def as_record(
    topic: str, payload: Mapping[str, object], *, key: str | None, timestamp_ms: int
) -> SimulatedRecord:
    """Return the record whose value is `payload` as compact UTF-8 JSON (seed system 2.1)."""
    value = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
    return SimulatedRecord(topic, None if key is None else key.encode(), value, timestamp_ms)


@dataclasses.dataclass(frozen=True)
class Pace:
    """How simulated time follows delivery time; both are equal at `start_ms`."""

    start_ms: int
    speedup: float
    cap_per_second: float

    def simulated(self, delivered_ms: int) -> int:
        """Return the simulated time at a delivery time."""
        return self.start_ms + int((delivered_ms - self.start_ms) * self.speedup)

    def delivered(self, simulated_ms: int) -> int:
        """Return the delivery time of a simulated time, never later than it is reached."""
        return self.start_ms + int((simulated_ms - self.start_ms) / self.speedup)

    def period(self, cadence_s: int) -> int:
        """Return the simulated ms between two records of one source, thinned to the cap."""
        return max(cadence_s * 1000, int(self.speedup * 1000 / self.cap_per_second), 1)


class Schedule:
    """The processes by the time they are due, and the records that they emitted.

    Works in simulated milliseconds; `delivered` turns such a time into a record's timestamp.
    """

    def __init__(self, delivered: Callable[[int], int]) -> None:
        self._delivered = delivered
        self._waiting: list[tuple[int, int, Process]] = []
        self._numbers = itertools.count()
        self._emitted: collections.deque[SimulatedRecord] = collections.deque()

    def start(self, process: Process, at_ms: int) -> None:
        """Resume `process` at `at_ms`; of those due at one time the first started goes first."""
        heapq.heappush(self._waiting, (at_ms, next(self._numbers), process))

    def emit(self, topic: str, payload: Mapping[str, object], *, key: str | None, at_ms: int) -> None:
        """Take the record of `payload` that is sent at `at_ms`."""
        timestamp_ms = self._delivered(at_ms)
        self._emitted.append(as_record(topic, payload, key=key, timestamp_ms=timestamp_ms))

    def run(self, until_ms: float = math.inf) -> Iterator[SimulatedRecord]:
        """Yield the records up to and including `until_ms`, in time order; may be left and taken up again."""
        while self._emitted or (self._waiting and self._waiting[0][0] <= until_ms):
            while self._emitted:
                yield self._emitted.popleft()
            if self._waiting and self._waiting[0][0] <= until_ms:
                process = heapq.heappop(self._waiting)[2]
                due_ms = next(process, None)
                if due_ms is not None:
                    self.start(process, due_ms)
