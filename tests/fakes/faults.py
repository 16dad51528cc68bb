"""What goes wrong next at a fake: faults, delays and outages on command, per method of a port."""

import asyncio
import collections
import dataclasses
from typing import Literal

from analysis_worker.kafka import ports

Operation = Literal[
    "source.start",
    "source.partitions",
    "source.bounds",
    "source.committed",
    "source.assign",
    "source.poll",
    "source.position",
    "source.commit",
    "sink.start",
    "sink.partitions",
    "sink.send",
    "sink.commit",
    "topics.ensure",
]


@dataclasses.dataclass
class Fault:
    """An error that the next `left` calls raise; with `written` after they did their work."""

    left: int
    error: Exception
    written: bool


class Faults:
    """What a fake system asks before each call, and a test gives commands to."""

    def __init__(self) -> None:
        self.connected = True
        self.calls: collections.Counter[str] = collections.Counter()
        self._faults: dict[str, collections.deque[Fault]] = collections.defaultdict(collections.deque)
        self._delays: dict[str, float] = {}
        self._held: dict[str, asyncio.Event] = {}
        self._waiting: set[asyncio.Future[None]] = set()

    def fail_next(
        self, n: int, operation: Operation, error: Exception | None = None, *, written: bool = False
    ) -> None:
        """The next `n` calls of a method raise `error` (KafkaUnavailable if not said).

        With `written` a send writes its records and fails then, as when an acknowledgement is lost.
        """
        fault = Fault(n, error or ports.KafkaUnavailable(f"{operation} fails on command"), written)
        self._faults[operation].append(fault)

    def delay(self, operation: Operation, seconds: float) -> None:
        """Calls of a method take so much longer from now on."""
        self._delays[operation] = seconds

    def hold(self, operation: Operation) -> asyncio.Event:
        """Calls of a method wait until the event that is returned is set."""
        return self._held.setdefault(operation, asyncio.Event())

    def disconnect(self) -> None:
        """No broker answers: polls bring nothing, everything else raises KafkaUnavailable."""
        self.connected = False

    def reconnect(self) -> None:
        """The brokers are back, with all they had."""
        self.connected = True
        self.tell()

    async def reached(self, operation: Operation) -> Fault | None:
        """What every call of a port goes through; returns a fault that strikes after the write."""
        self.calls[operation] += 1
        if operation in self._held:
            await self._held[operation].wait()
        await asyncio.sleep(self._delays.get(operation, 0.0))
        fault = self._next_fault(operation)
        if fault is not None and not fault.written:
            raise fault.error
        if not self.connected and operation not in ("source.poll", "source.assign", "source.position"):
            raise ports.KafkaUnavailable(f"{operation}: no broker answers")
        return fault

    def _next_fault(self, operation: Operation) -> Fault | None:
        faults = self._faults[operation]
        if not faults:
            return None
        fault = faults[0]
        fault.left -= 1
        if fault.left == 0:
            faults.popleft()
        return fault

    def tell(self) -> None:
        """Wake who waits for news."""
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)
        self._waiting.clear()

    async def news(self, within_seconds: float) -> None:
        """Wait until something is told, at most so long."""
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        await asyncio.wait([waiting], timeout=within_seconds)
        self._waiting.discard(waiting)
