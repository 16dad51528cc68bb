"""Outputs on their way to Kafka: in order per partition, in batches, sent again until they are acknowledged.

One batch per partition is in flight; meanwhile the next one gathers, so batches grow with the load and no
time is spent waiting for company. A send that fails for now is repeated with the same records by a new
producer, so an output is written at least once.
"""

import asyncio
import collections
import contextlib
import functools
import itertools
import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

from analysis_worker.kafka import partitioning, ports

log = logging.getLogger(__name__)

Acknowledged = Callable[[], None]
Entry = tuple[ports.Message, Acknowledged]
_MOST_PER_BATCH = 10_000
_FEWEST_PER_BATCH = 500
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0
_STUCK_SECONDS = 10.0


class _Lane:
    """The messages for one partition, and the task that sends them."""

    __slots__ = ("busy", "entries", "most", "moved_at", "suspect")

    def __init__(self) -> None:
        self.moved_at = 0.0
        self.most = _FEWEST_PER_BATCH
        self.suspect = 0  # how many of the first messages a batch had of which one is refused
        self.entries: collections.deque[Entry] = collections.deque()
        self.busy = False


class Outbox:
    """Takes messages without waiting; calls back, on the loop, when each is acknowledged.

    `refused` is called with a message that Kafka will never take and the reason; the message counts as
    acknowledged after that. `reconnected` is called when a new producer has taken a failed one's place. A
    topic that takes nothing for `stuck_seconds` of what waits for it counts as not connected.
    """

    def __init__(
        self,
        make_sink: Callable[[], ports.Sink],
        refused: Callable[[ports.Message, str], None],
        reconnected: Callable[[], None] = lambda: None,
        *,
        stuck_seconds: float = _STUCK_SECONDS,
    ) -> None:
        self._stuck_seconds = stuck_seconds
        self._reconnected = reconnected
        self._make_sink = make_sink
        self._refused = refused
        self._sink: ports.Sink | None = None
        self._uses: collections.Counter[ports.Sink] = collections.Counter()
        self._former: dict[ports.Sink, asyncio.Event] = {}  # replaced; set once nothing is under way by it
        self._connecting = asyncio.Lock()
        self._holding = asyncio.Lock()
        self._free = asyncio.Event()  # clear while sends are held back
        self._free.set()
        self._moving = 0  # batches between being sent and being settled
        self._still = asyncio.Event()
        self._still.set()
        self._lanes: dict[tuple[str, int], _Lane] = {}
        self._counts: dict[str, int] = {}
        self._unplaced: dict[str, list[Entry]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False
        self.pending = 0
        self.sent = 0
        self._placing: dict[str, float] = {}  # topic whose partitions are not known yet -> since when
        self._partition = functools.lru_cache(maxsize=65_536)(partitioning.partition_of)

    async def start(self) -> None:
        """Connect; raises KafkaUnavailable or KafkaRefused."""
        sink = self._make_sink()
        await sink.start()
        self._sink = sink

    @property
    def connected(self) -> bool:
        """Whether there is a producer, and what is pending moves."""
        return self._sink is not None and not self.stuck_topics()

    def stuck_topics(self) -> list[str]:
        """The topics that have taken none of what waits for them for so long that something is wrong."""
        since = time.monotonic() - self._stuck_seconds
        lanes = {topic for (topic, _), lane in self._lanes.items() if lane.busy and lane.moved_at < since}
        return sorted(lanes | {topic for topic, began in self._placing.items() if began < since})

    def renew(self, sink: ports.Sink) -> asyncio.Event:
        """Send by this producer, which is connected, from the next batches on; set once the former has ended.

        What that has under way is acknowledged before it is closed, so nothing is sent twice.
        """
        former, self._sink = self._sink, sink
        ended = asyncio.Event()
        if former is None:
            ended.set()
        else:
            self._former[former] = asyncio.Event()
            if not self._uses[former]:
                self._former[former].set()
            self._spawn(self._retire(former, ended))
        return ended

    async def _retire(self, former: ports.Sink, ended: asyncio.Event) -> None:
        await self._former[former].wait()
        await former.close()
        del self._former[former]
        ended.set()

    @contextlib.contextmanager
    def _using(self, sink: ports.Sink) -> Iterator[ports.Sink]:
        self._uses[sink] += 1
        try:
            yield sink
        finally:
            self._uses[sink] -= 1
            if not self._uses[sink]:
                del self._uses[sink]
                if sink in self._former:
                    self._former[sink].set()

    def put(self, message: ports.Message, acknowledged: Acknowledged) -> None:
        """Send a message after all that were put before it for the same partition."""
        self.put_all([(message, acknowledged)])

    def put_all(self, entries: Sequence[Entry]) -> None:
        """Send messages of one topic and key, in this order; after a close nothing happens."""
        if self._closed:
            return  # what a stuck callback gives at last is another worker's to do by now
        message = entries[0][0]
        self.pending += len(entries)
        self._idle.clear()
        count = self._counts.get(message.topic)
        if count is None:
            waiting = self._unplaced.setdefault(message.topic, [])
            if not waiting:
                self._placing[message.topic] = time.monotonic()
                self._spawn(self._place(message.topic))
            waiting.extend(entries)
        else:
            self._enqueue(entries, count)

    def _enqueue(self, entries: Sequence[Entry], count: int) -> None:
        message = entries[0][0]
        key = message.key
        partition = random.randrange(count) if key is None else self._partition(key, count)
        where = (message.topic, partition)
        lane = self._lanes.get(where)
        if lane is None:
            lane = self._lanes[where] = _Lane()
        lane.entries.extend(entries)
        if not lane.busy:
            lane.busy, lane.moved_at = True, time.monotonic()
            self._spawn(self._drain(where, lane))

    async def _place(self, topic: str) -> None:
        """Learn a topic's partition count, then queue what waited for it."""
        pause = _FIRST_PAUSE_SECONDS
        while topic not in self._counts:
            try:
                with self._using(await self._connected()) as sink:
                    self._counts[topic] = await sink.partitions(topic)
            except (ports.KafkaUnavailable, ports.KafkaRefused) as error:
                log.warning("topic %s cannot be written yet, create it or permit it: %s", topic, error)
                pause = await self._paused(pause)
        del self._placing[topic]
        for entry in self._unplaced.pop(topic):
            self._enqueue([entry], self._counts[topic])

    @contextlib.asynccontextmanager
    async def held(self) -> AsyncIterator[ports.Sink]:
        """Meanwhile nothing is under way and all that was sent is settled; gives the producer in use.

        Raises KafkaUnavailable if there is none; if that is raised inside, the producer is given up.
        """
        async with self._holding:
            self._free.clear()
            try:
                await self._still.wait()
                sink = await self._usable()
                try:
                    yield sink
                except ports.KafkaUnavailable:
                    await self._give_up(sink)
                    raise
            finally:
                self._free.set()

    async def reconnect(self) -> None:
        """Leave the producer in use once nothing is under way: the next use makes another."""
        with contextlib.suppress(ports.KafkaUnavailable):  # then there is none to leave
            async with self.held() as sink:
                await self._give_up(sink)

    @contextlib.contextmanager
    def _under_way(self) -> Iterator[None]:
        self._moving += 1
        self._still.clear()
        try:
            yield
        finally:
            self._moving -= 1
            if not self._moving:
                self._still.set()

    async def _drain(self, where: tuple[str, int], lane: _Lane) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while lane.entries:
            while not self._free.is_set():  # held again, perhaps, by the time that it wakes
                await self._free.wait()
            with self._under_way():
                moved = await self._move(where, lane)
            pause = _FIRST_PAUSE_SECONDS if moved else await self._paused(pause)
        lane.busy = False

    async def _move(self, where: tuple[str, int], lane: _Lane) -> bool:
        """Send the first messages of a lane and settle them; False if Kafka takes nothing now."""
        topic, partition = where
        messages = [message for message, _ in itertools.islice(lane.entries, lane.most)]
        try:
            count = await self._sent(topic, partition, messages)
        except ports.KafkaRefused as error:
            if len(messages) > 1:  # one of them is refused: find it by halves
                lane.most, lane.suspect = len(messages) // 2, len(messages)
                return True
            self._refused(messages[0], str(error))
            count, lane.suspect = 1, 0
        except ports.KafkaUnavailable as error:
            log.warning("output to %s/%s waits: %s", topic, partition, error)
            return False
        lane.suspect = max(0, lane.suspect - count)
        if not lane.suspect:
            lane.most = min(2 * count + _FEWEST_PER_BATCH, _MOST_PER_BATCH)
        self._settle(lane, count)
        return True

    async def _usable(self) -> ports.Sink:
        try:
            return await self._connected()
        except ports.KafkaRefused as error:  # wrong credentials can be put right while outputs wait
            raise ports.KafkaUnavailable(str(error)) from error

    async def _sent(self, topic: str, partition: int, messages: list[ports.Message]) -> int:
        """Send a batch; raises KafkaRefused for the messages' own sake, else KafkaUnavailable."""
        sink = await self._usable()
        try:
            with self._using(sink):
                return await sink.send(topic, partition, messages)
        except ports.KafkaRefused:
            raise
        except Exception as error:
            await self._give_up(sink)
            if isinstance(error, ports.KafkaUnavailable):
                raise
            log.exception("sending to %s/%s failed in an unknown way; it is tried again", topic, partition)
            raise ports.KafkaUnavailable(str(error)) from error

    def _settle(self, lane: _Lane, count: int) -> None:
        """The first messages of a lane are acknowledged."""
        popleft = lane.entries.popleft
        for _ in range(count):
            popleft()[1]()
        self.sent += count
        lane.moved_at = time.monotonic()
        self.pending -= count
        if not self.pending:
            self._idle.set()

    async def _connected(self) -> ports.Sink:
        async with self._connecting:
            if self._sink is None:
                sink = self._make_sink()
                await sink.start()
                if self._sink is None:
                    self._sink = sink
                    self._reconnected()
                else:  # renewed meanwhile
                    await sink.close()
            return self._sink

    async def _give_up(self, failed: ports.Sink) -> None:
        """Leave a failed producer: its sequence numbers may have a gap now, which brokers refuse."""
        async with self._connecting:
            if self._sink is failed:
                self._sink = None
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
        self._closed = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for sink in filter(None, (self._sink, *self._former)):
            await sink.close()
        self._sink = None
