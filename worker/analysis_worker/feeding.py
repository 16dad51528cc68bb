"""One consumer's life: where it starts, the restoring of windows, then records to the flow.

A feed serves a set of slots. It starts from the floors, muted, until every record done before is back in
the windows; live records met on the way are held. From then on every record counts.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from analysis_module import spec
from analysis_worker import discovering, lags, starting
from analysis_worker.assembling import Assembly
from analysis_worker.engine import intake, progress
from analysis_worker.engine.records import Record, TopicPartition
from analysis_worker.flow import Flow
from analysis_worker.kafka import ports
from analysis_worker.observability.metrics import WorkerMetrics

log = logging.getLogger(__name__)

CHUNK_RECORDS = 2000
"""Records taken before the loop looks at anything else."""
_POLL_SECONDS = 0.2
SILENCE_SECONDS = 10.0
"""Brokers that answer no fetch for longer count as not connected."""
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0
_MOST_HELD = 50_000
_MOST_OUTSTANDING = 20_000
_DISCOVERY_SECONDS = 30.0
_MISSING_TOPIC_SECONDS = 3.0
_CAUGHT_UP_RECORDS = 500
_FAR_AWAY = 1 << 62
_NOTHING: starting.Kept = {}

Left = tuple[int, progress.Pending]
"""Of a slot in a partition: the next offset to take, and what was taken before it but is not done."""


class Feed:
    """Reads the module's topics for some slots."""

    def __init__(
        self,
        reader: intake.Reader,
        assembly: Assembly,
        flow: Flow,
        source: ports.Source,
        *,
        metrics: WorkerMetrics,
        shared_topics: bool = True,
        most_per_poll: int = 2000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.reader = reader
        self.assembly = assembly
        self.source = source
        self.parts: dict[TopicPartition, intake.PartitionIntake] = {}
        self.lags: dict[TopicPartition, lags.Lag] = {}
        self.restoring = True
        self.live = asyncio.Event()
        self.polled_at = time.monotonic()
        self.connected = False
        self.closed = False
        self._fresh: ports.Source | None = None  # takes the source's place with the next step
        self._changed = asyncio.Event()
        self._flow = flow
        self._metrics = metrics
        self.discovery = discovering.Discovery(shared_topics=shared_topics)
        self._most = most_per_poll
        self._clock = clock
        self._assigned: set[TopicPartition] = set()
        self._paused: set[TopicPartition] = set()
        self._expected: set[int] = set()  # slots that another feed brings up
        self._wanted: set[TopicPartition] = set()  # partitions that it has and this one has not yet found
        self._look_at = 0.0
        self._reassign = False
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        self._replayed: dict[TopicPartition, tuple[int, int]] = {}  # what is restored from where to where

    # -- where to start -----------------------------------------------------------------------------

    @property
    def missing(self) -> set[str]:
        """Topics that do not exist yet."""
        return self.discovery.missing

    async def _found(self) -> list[TopicPartition]:
        own = self.reader.slots - self._expected
        return await self.discovery.partitions(self.source, self.assembly, own)

    async def begin(self, held: starting.Progress, kept: starting.Kept = _NOTHING) -> None:
        """Connect and take position; windows are restored by `run`. After an error it may be tried again."""
        await self.source.start()
        try:
            await self._place(await self._found(), held, kept)
            await self._recall()
            await self._assign()
        except BaseException:
            await self.source.close()
            raise
        self.connected = True
        self._look_at = time.monotonic() + (_MISSING_TOPIC_SECONDS if self.missing else _DISCOVERY_SECONDS)

    async def _recall(self) -> None:
        await self._flow.keeper.recall(self, first=self.discovery.shared_topics)

    async def close(self) -> None:
        """Disconnect for good: nothing is read or committed from here on."""
        self.closed, self.connected = True, False
        for source in filter(None, (self.source, self._fresh)):
            await source.close()
        self._changed.set()

    def renew(self, source: ports.Source) -> asyncio.Event:
        """Read on by this source, which is connected, from the next step on; set once the former has ended.

        Between two steps all that was fetched is taken, so no record is lost and none comes twice.
        """
        self._fresh, self._changed = source, asyncio.Event()
        return self._changed

    async def _place(
        self, places: Sequence[TopicPartition], held: starting.Progress, kept: starting.Kept
    ) -> None:
        """Make the intake of each partition, at the lowest offset that its slots still need."""
        bounds = await self.source.bounds(places)
        committed = await self.source.committed(places)
        for place in places:
            topic = self.discovery.topics(self.assembly)[place.topic]
            slots = [place.partition] if topic.aligned else sorted(self.reader.slots)
            start = starting.Start(place, bounds[place], committed.get(place), self._reset(place, held))
            part = starting.intake_of(topic, start, slots, held, kept, self._metrics)
            part.restoring = self.restoring
            self._replayed[place] = starting.replayed(part)
            self.parts[place], self.lags[place] = part, lags.Lag(bounds[place][1])

    def _reset(self, place: TopicPartition, held: starting.Progress) -> spec.AutoOffsetReset:
        """A new partition of a topic that is already read starts at its beginning: nothing in it was seen."""
        known = {p.topic for slot in held.values() for p in slot.offsets}
        if place.topic in known:
            return spec.AutoOffsetReset.EARLIEST
        return self.assembly.module_spec.kafka.auto_offset_reset

    async def _assign(self) -> None:
        positions = {place: part.progress.position for place, part in self.parts.items()}
        self._reassign = False
        try:
            await self.source.assign(positions)
        except BaseException:
            self._reassign = True
            raise
        self._assigned, self._paused = set(positions), set()

    # -- records ------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Bring records until cancelled."""
        while True:
            await self.attempt()

    async def attempt(self) -> None:
        """One step; what Kafka cannot serve now is waited for, longer each time."""
        try:
            try:
                await self.step()
            except ports.OffsetsOutOfRange as error:
                await self._reposition(error.positions)
            self._pause_seconds = _FIRST_PAUSE_SECONDS
        except (ports.KafkaUnavailable, ports.KafkaRefused) as error:
            self.connected = False
            log.warning("reading waits: %s", error)
            await asyncio.sleep(self._pause_seconds)
            self._pause_seconds = min(self._pause_seconds * 2, _LONGEST_PAUSE_SECONDS)

    async def step(self) -> int:
        """One poll and what follows from it; how many records it brought."""
        if self._fresh is not None:
            former, changed = self.source, self._changed
            self.source, self._fresh, self._reassign = self._fresh, None, True
            await former.close()
            changed.set()
        if self._reassign:
            await self._assign()
        ready = self.restoring and all(part.restored for part in self.parts.values())
        batches = await self.source.poll(wait_seconds=0.0 if ready else _POLL_SECONDS, most=self._most)
        self.polled_at = time.monotonic()
        self.connected = self.source.silent_seconds() < SILENCE_SECONDS or self._paused >= self.parts.keys()
        brought = 0
        for place, records in batches.items():
            part = self.parts.get(place)
            if part is not None:
                brought += len(records)
                await self._take(part, records)
        if self.restoring:
            await self._restore_further(batches)
        if time.monotonic() >= self._look_at:
            await self._look_around()
        self._relieve()
        return brought

    async def _take(self, part: intake.PartitionIntake, records: Sequence[Record]) -> None:
        end = self.source.end_offset(part.origin)
        if end is not None:
            self.lags[part.origin].end_offset = end
            part.caught_up = end - part.progress.position <= _CAUGHT_UP_RECORDS
        if records[0].offset < part.progress.position:  # fetched before the last repositioning
            records = [record for record in records if record.offset >= part.progress.position]
            if not records:
                return
        for begin in range(0, len(records), CHUNK_RECORDS):
            now_ms = int(self._clock() * 1000)
            chunk = records[begin : begin + CHUNK_RECORDS]
            strays = part.wrong_partition
            taken = self.reader.take(part, chunk, now_ms)
            self._flow.take(taken, now_ms)
            self._metrics.wrong_partition(part.source.topic, part.wrong_partition - strays)
            log.debug("%s/%s: %s records, %s triggers", *part.origin, len(chunk), len(taken.triggers))
            self._metrics.consumed(part.source.topic, len(chunk))
            self._metrics.muted(taken.muted)
            self._metrics.foreign(taken.foreign)
            await asyncio.sleep(0)
        if part.progress.outstanding > _MOST_OUTSTANDING or len(part.held) > _MOST_HELD:
            self._pause(part.origin)

    def _pause(self, place: TopicPartition) -> None:
        if place in self._assigned - self._paused:
            self._paused.add(place)
            self.source.pause([place])

    def _relieve(self) -> None:
        """Read on where the backlog of callbacks has shrunk by half."""
        for place in self._paused & self.parts.keys():
            part = self.parts[place]
            if part.progress.outstanding < _MOST_OUTSTANDING // 2 and not part.held and not part.restoring:
                self._paused.discard(place)
                self.source.resume([place])

    # -- restoring ----------------------------------------------------------------------------------

    async def _restore_further(self, batches: Mapping[TopicPartition, object]) -> None:
        for place, part in list(self.parts.items()):
            if not part.restored and place not in batches:
                # Compaction and transaction markers leave gaps that bring no record but move the position.
                part.progress.position = max(part.progress.position, await self.source.position(place))
            if part.restored:
                self._pause(place)
        if all(part.restored or part.origin in self._paused for part in self.parts.values()):
            self._go_live()

    def _go_live(self) -> None:
        self.restoring = False
        self.live.set()
        for part in self.parts.values():
            part.relax()
            now_ms = int(self._clock() * 1000)
            self._flow.take(self.reader.release_held(part, now_ms), now_ms)
        self._relieve()
        log.info("windows of %s slots are restored", len(self.reader.slots))

    @property
    def settled_slots(self) -> set[int]:
        """The slots that this feed alone brings."""
        return self.reader.slots - self._expected

    def restore_progress(self) -> float:
        """How much of the muted replay is done, 0 to 1; nothing before it has begun."""
        spans = [(*span, self.parts[place]) for place, span in self._replayed.items() if place in self.parts]
        total = sum(end - first for first, end, _ in spans)
        left = sum(max(0, end - part.progress.position) for _, end, part in spans)
        if not self.restoring:
            return 1.0
        return 1.0 - left / total if total else float(bool(self.parts))

    # -- changes of the cluster and of the module -----------------------------------------------------

    async def _look_around(self) -> None:
        """Take up topics and partitions that are new, and heal a partition that has stopped moving."""
        due = self._look_at = time.monotonic() + _MISSING_TOPIC_SECONDS  # if this one fails
        places = set(await self._found())
        fresh = [place for place in places if place not in self.parts]
        if self._expected:  # the rest once the other feed is done: it looks for nothing new
            fresh = [place for place in fresh if place in self._wanted]
        if fresh and self.discovery.shared_topics:
            await self._add(fresh)
        bounds = await self.source.bounds(place for place in self.parts if place in places)
        if await lags.look(self.source, self.parts, self.lags, bounds, paused=self._paused):
            log.error("partitions stand still although records wait; connecting anew")
            self._metrics.reconnected("consumer")
            await self.source.start()
            await self._assign()
        if self._look_at == due and not self.missing:  # and no change has asked for a look meanwhile
            self._look_at += _DISCOVERY_SECONDS - _MISSING_TOPIC_SECONDS

    async def _add(self, places: Sequence[TopicPartition]) -> None:
        """Read these too: a topic newly asked for by its reset policy, what is new from its beginning."""
        known = {place.topic for place in self.parts} | self.discovery.awaited
        latest = self.assembly.module_spec.kafka.auto_offset_reset is spec.AutoOffsetReset.LATEST
        bounds = await self.source.bounds(places)
        topics = self.discovery.topics(self.assembly)
        for place in places:
            topic = topics.get(place.topic)
            if topic is None:
                continue  # a hot change has just left it
            first, end = bounds[place]
            position = end if latest and place.topic not in known and not topic.teaches else first
            slots = {place.partition} if topic.aligned else self.reader.slots
            own = sorted(slots - self._expected)
            part = intake.PartitionIntake(topic, place.partition, position=position, slots=own)
            part.restoring = self.restoring
            part.progress.skip = dict.fromkeys(slots & self._expected, _FAR_AWAY)
            self.parts[place], self.lags[place] = part, lags.Lag(end)
            log.info("reading %s/%s from offset %s", *place, position)
        self.discovery.awaited -= {place.topic for place in places}
        await self._assign()

    async def _reposition(self, positions: Mapping[TopicPartition, int]) -> None:
        positions = {place: offset for place, offset in positions.items() if place in self.parts}
        bounds = await self.source.bounds(positions)
        reset = self.assembly.module_spec.kafka.auto_offset_reset
        for place, offset in positions.items():
            start, part = starting.Start(place, bounds[place], None, reset), self.parts[place]
            starting.reposition(part, start, offset, self._metrics)
            if part.progress.position < offset:  # made anew: no slot has taken any of it
                self._flow.keeper.made_anew(place)
                skip = part.progress.skip
                part.progress.skip = {s: o for s, o in skip.items() if o == _FAR_AWAY}
        await self._assign()

    def reassemble(self, assembly: Assembly) -> None:
        """Follow a hot change: topics that stay keep their position, others go now, or come with a step."""
        self.assembly = assembly
        topics = self.discovery.topics(self.assembly)
        for place, part in list(self.parts.items()):
            if place.topic in topics:
                part.source = topics[place.topic]
            else:
                del self.parts[place], self.lags[place]
                self._reassign = True
        self._look_at = 0.0

    # -- slots that come and go -----------------------------------------------------------------------

    def lose(self, slots: Iterable[int]) -> dict[TopicPartition, dict[int, Left]]:
        """Take no more records of these slots; how far each was taken in each partition."""
        lost = set(slots)
        self.reader.slots -= lost
        left: dict[TopicPartition, dict[int, Left]] = {}
        for place, part in self.parts.items():
            gone = lost & part.progress.pending.keys()
            left[place] = {
                slot: (part.progress.reached(slot), part.progress.pending.pop(slot)) for slot in gone
            }
            part.done.forget(lost)
            for slot in lost:
                part.progress.skip.pop(slot, None)
        return left

    def expect(self, slots: Iterable[int]) -> None:
        """These slots come from another feed: skip their records until it says from where on."""
        gained = set(slots)
        self.reader.slots |= gained
        self._expected |= gained
        for part in self.parts.values():
            for slot in gained:
                if part.source.shared or part.source.kind is intake.Kind.DEVICES:
                    part.progress.pending.setdefault(slot, progress.Pending())
                elif not part.source.aligned or slot == part.origin.partition:
                    part.progress.skip[slot] = _FAR_AWAY

    def take_over(self, other: "Feed") -> bool:
        """Take over from a feed each partition that it has brought as far as this one; whether all are."""
        for place, part in list(other.parts.items()):
            mine = self.parts.get(place)
            if mine is None and not part.source.aligned:
                self._wanted.add(place)
                self._look_at = 0.0
            elif mine is None:
                self.parts[place], self.lags[place] = part, other.lags[place]
                self._reassign = True
                other.hand_over(place)
            elif part.restored and part.progress.position >= mine.progress.position:
                mine.progress.pending.update(part.progress.pending)
                for slot in part.progress.pending:
                    mine.progress.skip[slot] = part.progress.position
                mine.relax()
                other.hand_over(place)
        if other.parts:
            return False
        self._expected -= other.reader.slots
        self._wanted.clear()
        self._look_at = 0.0
        return True

    def hand_over(self, place: TopicPartition) -> None:
        """Another feed reads this partition from here on."""
        del self.parts[place]
        self._pause(place)
