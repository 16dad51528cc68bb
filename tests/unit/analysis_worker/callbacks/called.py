"""Lanes of either kind under test: work for stations by name, and what came of it in order of delivery."""

import asyncio
import collections
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from analysis_module import spec
from analysis_worker.callbacks import calling, lanes, loading, loop_lanes, thread_lanes
from analysis_worker.engine.scheduling import Work
from analysis_worker.engine.stations import Station, Trigger
from tests import builders
from tests.unit.analysis_worker.in_memory import until


class Lanes:
    """Lanes of a function: of threads for a plain one, of a loop's tasks for an async one."""

    def __init__(
        self,
        function: Callable[[str, Any], Any],
        *,
        concurrency: int = 4,
        timeout_seconds: float = 60.0,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.finished: list[calling.Finished] = []
        self.stations: dict[str, Station] = {}
        self._offset = 0
        self._encode = lambda trigger, result: repr(result).encode()
        caller = self.caller(function)
        bounds: Any = {"concurrency": concurrency, "timeout_seconds": timeout_seconds}
        self.lanes: lanes.Lanes
        if caller.callback.is_async:
            self.lanes = loop_lanes.LoopLanes(caller, deliver=self._deliver, loop=loop, **bounds)
        else:
            self.lanes = thread_lanes.ThreadLanes(caller, deliver=self._deliver, **bounds)

    def caller(self, function: Callable[[str, Any], Any]) -> calling.Caller:
        """How a function is to be called."""
        callback = loading.from_callable(function)
        return calling.Caller(callback, spec.InputFormat.NUMPY, self._encode)

    def _deliver(self, ready: Sequence[calling.Finished]) -> None:
        self.finished.extend(ready)

    def work(self, station_id: str, triggers: int = 1) -> Work:
        """Work of so many triggers, with offsets that count on."""
        station = self.stations.setdefault(station_id, builders.a_station(station_id))
        made: list[Trigger] = []
        for _ in range(triggers):
            made.append(builders.a_trigger(station, self._offset))
            self._offset += 1
        return Work(station, made)

    def submit(self, *works: Work) -> None:
        """Have it run."""
        self.lanes.submit(works)

    def of(self, station_id: str) -> list[calling.Finished]:
        """What came back of one station."""
        return [each for each in self.finished if each.work.station.id == station_id]

    async def all_back(self, count: int) -> None:
        """Wait until so many pieces of work have come back."""
        await until(lambda: len(self.finished) >= count, f"{count} pieces are back, not {len(self.finished)}")

    async def end(self) -> None:
        """Stop and close."""
        await self.lanes.stop(2.0)
        await self.lanes.close()


class Calls:
    """What a function under test notes of its calls, from whatever thread."""

    def __init__(self) -> None:
        self.running = 0
        self.most = 0
        self.by_station: collections.Counter[str] = collections.Counter()
        self.together: collections.Counter[str] = collections.Counter()

    def enter(self, station_id: str) -> None:
        """A call begins."""
        self.running += 1
        self.most = max(self.most, self.running)
        self.by_station[station_id] += 1

    def leave(self, station_id: str) -> None:
        """A call ends."""
        self.running -= 1


def plain_or_async(kind: str, plain: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
    """The function itself, or one that awaits nothing but a turn of the loop before it calls it."""
    if kind == "plain":
        return plain

    async def awaited(station_id: str, module_input: Any) -> Any:
        await asyncio.sleep(0)
        result = plain(station_id, module_input)
        return await result if inspect.isawaitable(result) else result

    return awaited
