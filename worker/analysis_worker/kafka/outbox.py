"""Outputs on their way to Kafka: in order per partition, in batches, sent again until they are acknowledged.

One batch per partition is in flight; meanwhile the next one gathers, so batches grow with the load and no
time is spent waiting for company. A send that fails for now is repeated with the same records by a new
producer, so an output is written at least once.
"""

import asyncio
import collections
import functools
import itertools
import logging
import random
from collections.abc import Callable

from analysis_worker.kafka import partitioning, ports

log = logging.getLogger(__name__)

Acknowledged = Callable[[], None]
_MOST_PER_BATCH = 10_000
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0


class _Lane:
    """The messages for one partition, and the task that sends them."""

    __slots__ = ("busy", "entries")

    def __init__(self) -> None:
        self.entries: collections.deque[tuple[ports.Message, Acknowledged]] = collections.deque()
        self.busy = False


class Outbox:
    """Takes messages without waiting; calls back, on the loop, when each is acknowledged.

    `refused` is called with a message that Kafka will never take and the reason; the message counts as
    acknowledged after that.
    """

    def __init__(
        self, make_sink: Callable[[], ports.Sink], refused: Callable[[ports.Message, str], None]
    ) -> None:
        self._make_sink = make_sink
        self._refused = refused
        self._sink: ports.Sink | None = None
        self._connecting = asyncio.Lock()
        self._lanes: dict[tuple[str, int], _Lane] = {}
        self._counts: dict[str, int] = {}
        self._unplaced: dict[str, list[tuple[ports.Message, Acknowledged]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False
        self.pending = 0
        self.sent = 0
        self.sent_bytes = 0
        self.connected = False
        self.reconnects = 0
        self._partition = functools.lru_cache(maxsize=65_536)(partitioning.partition_of)

    async def start(self) -> None:
        """Connect; raises KafkaUnavailable or KafkaRefused."""
        sink = self._make_sink()
        await sink.start()
        self._sink, self.connected = sink, True

    def put(self, message: ports.Message, acknowledged: Acknowledged) -> None:
        """Send a message after all that were put before it for the same partition."""
        self.pending += 1
        self._idle.clear()
        count = self._counts.get(message.topic)
        if count is None:
            waiting = self._unplaced.setdefault(message.topic, [])
            waiting.append((message, acknowledged))
            if len(waiting) == 1:
                self._spawn(self._place(message.topic))
        else:
            self._enqueue(message, acknowledged, count)

    def _enqueue(self, message: ports.Message, acknowledged: Acknowledged, count: int) -> None:
        partition = (
            self._partition(message.key, count) if message.key is not None else random.randrange(count)
        )
        where = (message.topic, partition)
        lane = self._lanes.get(where)
        if lane is None:
            lane = self._lanes[where] = _Lane()
        lane.entries.append((message, acknowledged))
        if not lane.busy:
            lane.busy = True
            self._spawn(self._drain(where, lane))

    async def _place(self, topic: str) -> None:
        """Learn a topic's partition count, then queue what waited for it."""
        pause = _FIRST_PAUSE_SECONDS
        while topic not in self._counts:
            try:
                self._counts[topic] = await (await self._connected()).partitions(topic)
            except ports.KafkaUnavailable as error:
                log.warning("topic %s cannot be written yet, create it or wait: %s", topic, error)
                pause = await self._paused(pause)
            except ports.KafkaRefused as error:
                for message, acknowledged in self._unplaced.pop(topic):
                    self._refused(message, str(error))
                    self._settle([acknowledged])
                return
        for message, acknowledged in self._unplaced.pop(topic):
            self._enqueue(message, acknowledged, self._counts[topic])

    async def _drain(self, where: tuple[str, int], lane: _Lane) -> None:
        topic, partition = where
        pause, most = _FIRST_PAUSE_SECONDS, _MOST_PER_BATCH
        while lane.entries:
            entries = list(itertools.islice(lane.entries, most))
            messages = [message for message, _ in entries]
            sink = None
            try:
                sink = await self._connected()
                count = await sink.send(topic, partition, messages)
            except ports.KafkaRefused as error:
                if len(messages) > 1:
                    most = 1  # one of them is refused: find it by sending them singly
                    continue
                self._refused(messages[0], str(error))
                count = 1
            except ports.KafkaUnavailable as error:
                log.warning("output to %s/%s waits: %s", topic, partition, error)
                await self._reconnect(sink)
                pause = await self._paused(pause)
                continue
            pause, most = _FIRST_PAUSE_SECONDS, _MOST_PER_BATCH
            for _ in range(count):
                lane.entries.popleft()
            self.sent += count
            self.sent_bytes += sum(len(message.value or b"") for message in messages[:count])
            self._settle([acknowledged for _, acknowledged in entries[:count]])
        lane.busy = False

    def _settle(self, acknowledgements: list[Acknowledged]) -> None:
        for acknowledged in acknowledgements:
            acknowledged()
        self.pending -= len(acknowledgements)
        if not self.pending:
            self._idle.set()

    async def _connected(self) -> ports.Sink:
        async with self._connecting:
            if self._sink is None:
                sink = self._make_sink()
                await sink.start()
                self._sink, self.connected = sink, True
                self.reconnects += 1
            return self._sink

    async def _reconnect(self, failed: ports.Sink | None) -> None:
        """Give a failed producer up: its sequence numbers may have a gap now, which brokers refuse."""
        async with self._connecting:
            if failed is not None and self._sink is failed:
                self._sink, self.connected = None, False
                await failed.close()

    async def _paused(self, pause: float) -> float:
        await asyncio.sleep(pause * random.uniform(0.5, 1.0))
        return min(pause * 2, _LONGEST_PAUSE_SECONDS)

    def _spawn(self, work: "collections.abc.Coroutine[None, None, None]") -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def flush(self, within_seconds: float) -> bool:
        """Wait until everything is acknowledged; False if that took longer than that."""
        try:
            async with asyncio.timeout(within_seconds):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Stop sending and disconnect; what is still pending stays unacknowledged."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._sink is not None:
            await self._sink.close()
        self._sink, self.connected = None, False
