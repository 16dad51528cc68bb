"""Which triggers of a station run, and when: in order, one callback of a station at a time.

Three policies: every record; the newest only, once a callback is free; at most one per interval. What is
coalesced is counted, never lost: its offsets are done with the output that covers them.
"""

import dataclasses
import heapq
from collections.abc import Iterable

from analysis_module.spec import TriggerPolicy
from analysis_worker.engine.stations import Station, Trigger

MOST_AT_ONCE = 64
"""Triggers of one station in one piece of work: a busy station returns to the queue's end after these."""


@dataclasses.dataclass(slots=True)
class Work:
    """Triggers of one station to be run in this order."""

    station: Station
    triggers: list[Trigger]


class Scheduler:
    """Keeps the stations' waiting triggers; the caller runs the Work it is given and says when it is over."""

    def __init__(self, policy: TriggerPolicy = TriggerPolicy.EVERY_RECORD, interval_ms: int = 0) -> None:
        self.policy = policy
        self.interval_ms = interval_ms
        self.coalesced = 0
        self.waiting = 0
        self._due: list[tuple[int, int, Station]] = []
        self._sleeping: set[Station] = set()  # those in _due: once each, however many triggers come
        self._sequence = 0

    def follow(self, policy: TriggerPolicy, interval_ms: int, now_ms: int) -> list[Work]:
        """Take another policy or interval over; return the work that is no longer held back."""
        self.policy, self.interval_ms = policy, interval_ms
        held_back = [station for _, _, station in sorted(self._due)]
        self._due.clear()
        self._sleeping.clear()
        return [
            work
            for station in held_back
            if not station.in_flight and (work := self._start(station, now_ms)) is not None
        ]

    def submit(self, triggers: Iterable[Trigger], now_ms: int) -> list[Work]:
        """Take new triggers; return the work that can start now, one piece per idle station."""
        if self.policy is TriggerPolicy.EVERY_RECORD:
            return self._submit_all(triggers)
        touched: dict[Station, None] = {}
        for trigger in triggers:
            station = trigger.station
            if station.waiting:
                trigger.cover(station.waiting.pop())
                self.coalesced += 1
            else:
                self.waiting += 1
            station.waiting.append(trigger)
            if not station.in_flight:
                touched[station] = None
        return [work for station in touched if (work := self._start(station, now_ms))]

    def _submit_all(self, triggers: Iterable[Trigger]) -> list[Work]:
        """Every record its own: idle stations' triggers become work as they are."""
        fresh: dict[Station, list[Trigger]] = {}
        rested: dict[Station, None] = {}
        for trigger in triggers:
            station = trigger.station
            gathered = fresh.get(station)
            if gathered is not None:
                gathered.append(trigger)
            elif station.in_flight or station.waiting:
                station.waiting.append(trigger)
                self.waiting += 1
                if not station.in_flight:  # an interval held it back, until the policy changed
                    rested[station] = None
            else:
                fresh[station] = [trigger]
        works = [work for station in rested if (work := self._start(station, 0))]
        for station, gathered in fresh.items():
            station.in_flight = True
            station.waiting.extend(gathered[MOST_AT_ONCE:])
            self.waiting += len(station.waiting)
            works.append(Work(station, gathered[:MOST_AT_ONCE]))
        return works

    def finished(self, station: Station, now_ms: int) -> Work | None:
        """The station's work is over; return its next, if any can start now."""
        station.in_flight = False
        return self._start(station, now_ms)

    def due(self, now_ms: int) -> list[Work]:
        """Work whose interval has passed."""
        works = []
        while self._due and self._due[0][0] <= now_ms:
            station = heapq.heappop(self._due)[2]
            self._sleeping.discard(station)
            if not station.in_flight and (work := self._start(station, now_ms)):
                works.append(work)
        return works

    @property
    def wake_at(self) -> int | None:
        """When `due` has something next, in ms since the epoch."""
        return self._due[0][0] if self._due else None

    def drop(self, station: Station) -> list[Trigger]:
        """Forget a station's waiting triggers; return them."""
        dropped = list(station.waiting)
        self.waiting -= len(dropped)
        station.waiting.clear()
        return dropped

    def _start(self, station: Station, now_ms: int) -> Work | None:
        waiting = station.waiting
        if not waiting:
            return None
        if self.policy is TriggerPolicy.INTERVAL:
            station.next_due = min(
                station.next_due, now_ms + self.interval_ms
            )  # the interval may have shrunk
            if station.next_due > now_ms:
                if station not in self._sleeping:
                    self._sleeping.add(station)
                    self._sequence += 1
                    heapq.heappush(self._due, (station.next_due, self._sequence, station))
                return None
            station.next_due = now_ms + self.interval_ms
        station.in_flight = True
        count = min(len(waiting), MOST_AT_ONCE)
        self.waiting -= count
        return Work(station, [waiting.popleft() for _ in range(count)])
