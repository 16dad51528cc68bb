"""One consumer's life: where it starts, the restoring of windows, then records to the flow.

A feed serves a set of slots. It starts from the floors, muted, until every record done before is back in
the windows; live records met on the way are held. From then on every record counts.
"""

import asyncio
import dataclasses
import logging
import time
from collections.abc import Iterable, Mapping, Sequence

from analysis_module import spec
from analysis_worker.assembling import Assembly
from analysis_worker.engine import intake, progress
from analysis_worker.engine.records import Record, TopicPartition
from analysis_worker.flow import Flow
from analysis_worker.kafka import ports, progress_log
from analysis_worker.observability.metrics import WorkerMetrics

log = logging.getLogger(__name__)

CHUNK_RECORDS = 2000
"""Records taken before the loop looks at anything else."""
_POLL_SECONDS = 0.2
_MOST_HELD = 50_000
_MOST_OUTSTANDING = 20_000
_DISCOVERY_SECONDS = 30.0
_MISSING_TOPIC_SECONDS = 3.0
_CAUGHT_UP_RECORDS = 500
_FAR_AWAY = 1 << 62
_STALLED_LOOKS = 2

Progress = Mapping[int, progress_log.SlotProgress]


@dataclasses.dataclass
class Lag:
    """How far a partition is behind its end."""

    end_offset: int | None = None
    looks_without_progress: int = 0
    position_at_look: int = -1


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
    ) -> None:
        self.reader = reader
        self.assembly = assembly
        self.source = source
        self.parts: dict[TopicPartition, intake.PartitionIntake] = {}
        self.lags: dict[TopicPartition, Lag] = {}
        self.restoring = True
        self.polled_at = time.monotonic()
        self.connected = False
        self.missing: set[str] = set()
        self._flow = flow
        self._metrics = metrics
        self._shared_topics = shared_topics
        self._most = most_per_poll
        self._paused: set[TopicPartition] = set()
        self._misaligned: set[str] = set()
        self._look_at = 0.0
        self._restore_from = 0

    # -- where to start -----------------------------------------------------------------------------

    def _topics(self) -> dict[str, intake.TopicIntake]:
        """The topics to read: a feed that only brings gained slots up leaves the shared ones to the first."""
        topics = {
            name: dataclasses.replace(topic, aligned=False) if name in self._misaligned else topic
            for name, topic in self.assembly.topics.items()
        }
        if self._shared_topics:
            return topics
        return {t: i for t, i in topics.items() if not i.shared and i.kind is not intake.Kind.DEVICES}

    async def begin(self, held: Progress) -> None:
        """Connect and take position; windows are restored by `run`."""
        await self.source.start()
        self.connected = True
        await self._place(await self._found(self._topics()), held)
        await self._assign()
        self._look_at = time.monotonic() + self._pause_between_looks()

    async def _found(self, topics: Mapping[str, intake.TopicIntake]) -> list[TopicPartition]:
        counts = await self.source.partitions(topics)
        missing = set(topics) - set(counts)
        for topic in sorted(missing - self.missing):
            log.warning("topic %s does not exist yet; create it, it is looked for again", topic)
        self.missing = missing
        return [
            TopicPartition(topic, partition)
            for topic, count in counts.items()
            for partition in range(count)
            if not self._is_aligned(topics[topic], count) or partition in self.reader.slots
        ]

    def _is_aligned(self, topic: intake.TopicIntake, partitions: int) -> bool:
        """Slot n can only be partition n if there are as many: otherwise every partition must be read."""
        slots = self.assembly.engine_settings.slots
        if topic.aligned and partitions != slots and topic.topic not in self._misaligned:
            self._misaligned.add(topic.topic)
            log.error(
                "topic %s has %s partitions but the module %s slots; it is read as Filtered: make them equal",
                topic.topic,
                partitions,
                slots,
            )
        return topic.aligned and topic.topic not in self._misaligned

    async def _place(self, places: Sequence[TopicPartition], held: Progress) -> None:
        """Make the intake of each partition, at the lowest offset that its slots still need."""
        bounds = await self.source.bounds(places)
        unknown = [p for p in places if not any(s in held for s in self.reader.slots)]
        committed = await self.source.committed(unknown)
        for place in places:
            topic = self._topics()[place.topic]
            slots = [place.partition] if topic.aligned else sorted(self.reader.slots)
            start = _Start(place, bounds[place], committed.get(place), self._reset(place, held))
            resume = {slot: self._checked(start, start.resume(held.get(slot))) for slot in slots}
            first = bounds[place][0]
            position = min(resume.values(), default=bounds[place][1])
            for slot in slots:
                position = min(position, max(first, start.floor(held.get(slot), resume[slot])))
            if topic.teaches or topic.kind is intake.Kind.DEVICES:
                position = first
            part = intake.PartitionIntake(topic, place.partition, position=position, slots=slots)
            part.resume, part.restoring = resume, self.restoring
            self.parts[place] = part
            self.lags[place] = Lag(bounds[place][1])
        self._restore_from = sum(part.progress.position for part in self.parts.values())

    def _reset(self, place: TopicPartition, held: Progress) -> spec.AutoOffsetReset:
        """A new partition of a topic that is already read starts at its beginning: nothing in it was seen."""
        known = {p.topic for slot in held.values() for p in slot.offsets}
        if place.topic in known:
            return spec.AutoOffsetReset.EARLIEST
        return self.assembly.module_spec.kafka.auto_offset_reset

    def _checked(self, start: "_Start", offset: int) -> int:
        """An offset that the partition has; what is skipped or taken anew is told."""
        first, end = start.bounds
        if offset < first:
            self._metrics.skipped(start.place.topic, first - offset)
            log.error(
                "%s/%s: offsets %s to %s are no longer held; %s records are lost to this module",
                *start.place,
                offset,
                first - 1,
                first - offset,
            )
            return first
        if offset > end:
            fresh = first if start.reset is spec.AutoOffsetReset.EARLIEST else end
            log.error(
                "%s/%s ends at %s, before offset %s: it was made anew; reading from %s",
                *start.place,
                end,
                offset,
                fresh,
            )
            return fresh
        return offset

    async def _assign(self) -> None:
        await self.source.assign({place: part.progress.position for place, part in self.parts.items()})
        self._paused.clear()

    # -- records ------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Bring records until cancelled."""
        pause = 0.1
        while True:
            try:
                await self.step()
                pause = 0.1
            except ports.OffsetsOutOfRange as error:
                await self._reposition(error.positions)
            except (ports.KafkaUnavailable, ports.KafkaRefused) as error:
                self.connected = False
                log.warning("reading waits: %s", error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 5.0)

    async def step(self) -> int:
        """One poll and what follows from it; how many records it brought."""
        batches = await self.source.poll(wait_seconds=_POLL_SECONDS, most=self._most)
        self.polled_at = time.monotonic()
        self.connected = True
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
            now_ms = int(time.time() * 1000)
            chunk = records[begin : begin + CHUNK_RECORDS]
            taken = self.reader.take(part, chunk, now_ms)
            self._flow.take(taken, now_ms)
            log.debug("%s/%s: %s records, %s triggers", *part.origin, len(chunk), len(taken.triggers))
            self._metrics.consumed(part.source.topic, len(chunk))
            self._metrics.muted(taken.muted)
            self._metrics.foreign(taken.foreign)
            await asyncio.sleep(0)
        if part.progress.outstanding > _MOST_OUTSTANDING or len(part.held) > _MOST_HELD:
            self._pause(part.origin)

    def _pause(self, place: TopicPartition) -> None:
        if place not in self._paused:
            self._paused.add(place)
            self.source.pause([place])

    def _relieve(self) -> None:
        """Read on where the backlog of callbacks has shrunk by half."""
        for place in list(self._paused):
            part = self.parts[place]
            if part.progress.outstanding < _MOST_OUTSTANDING // 2 and not part.held and not part.restoring:
                self._paused.discard(place)
                self.source.resume([place])

    # -- restoring ----------------------------------------------------------------------------------

    async def _restore_further(self, batches: Mapping[TopicPartition, object]) -> None:
        for place, part in self.parts.items():
            if not part.restored and place not in batches:
                # Compaction and transaction markers leave gaps that bring no record but move the position.
                part.progress.position = max(part.progress.position, await self.source.position(place))
            if part.restored:
                self._pause(place)
        if all(part.restored or part.origin in self._paused for part in self.parts.values()):
            self._go_live()

    def _go_live(self) -> None:
        self.restoring = False
        now_ms = int(time.time() * 1000)
        for part in self.parts.values():
            part.relax()
            self._flow.take(self.reader.release_held(part, now_ms), now_ms)
        self._relieve()
        log.info(
            "windows of %s slots are restored; %s stations", len(self.reader.slots), self._station_count()
        )

    def _station_count(self) -> int:
        return len(self.reader.engine.stations)

    def restore_progress(self) -> float:
        """How much of the muted replay is done, 0 to 1."""
        if not self.restoring:
            return 1.0
        due = sum(max(part.resume.values(), default=0) for part in self.parts.values())
        done = sum(part.progress.position for part in self.parts.values())
        span = due - self._restore_from
        return 1.0 if span <= 0 else max(0.0, min(1.0, (done - self._restore_from) / span))

    # -- changes of the cluster and of the module -----------------------------------------------------

    def _pause_between_looks(self) -> float:
        return _MISSING_TOPIC_SECONDS if self.missing else _DISCOVERY_SECONDS

    async def _look_around(self) -> None:
        """Take up topics and partitions that are new, and heal a partition that has stopped moving."""
        self._look_at = time.monotonic() + self._pause_between_looks()
        places = await self._found(self._topics())
        fresh = [place for place in places if place not in self.parts]
        if fresh:
            await self.add(fresh)
        bounds = await self.source.bounds(self.parts)
        if self._stalled(bounds):
            log.error("partitions stand still although records wait; connecting anew")
            self._metrics.reconnected("consumer")
            await self.source.close()
            await self.source.start()
            await self._assign()

    async def add(self, places: Sequence[TopicPartition]) -> None:
        """Read these partitions too: a new topic by its reset policy, a new partition from its beginning."""
        known = {place.topic for place in self.parts}
        bounds = await self.source.bounds(places)
        for place in places:
            topic = self._topics()[place.topic]
            first, end = bounds[place]
            latest = self.assembly.module_spec.kafka.auto_offset_reset is spec.AutoOffsetReset.LATEST
            position = end if latest and place.topic not in known and not topic.teaches else first
            slots = [place.partition] if topic.aligned else sorted(self.reader.slots)
            self.parts[place] = intake.PartitionIntake(topic, place.partition, position=position, slots=slots)
            self.lags[place] = Lag(end)
            log.info("reading %s/%s from offset %s", *place, position)
        await self._assign()

    def _stalled(self, bounds: Mapping[TopicPartition, tuple[int, int]]) -> bool:
        stalled = False
        for place, (_, end) in bounds.items():
            lag, position = self.lags[place], self.parts[place].progress.position
            lag.end_offset = end
            moving = position >= end or position != lag.position_at_look or place in self._paused
            lag.looks_without_progress = 0 if moving else lag.looks_without_progress + 1
            lag.position_at_look = position
            stalled = stalled or lag.looks_without_progress >= _STALLED_LOOKS
        return stalled

    async def _reposition(self, positions: Mapping[TopicPartition, int]) -> None:
        bounds = await self.source.bounds(positions)
        for place, offset in positions.items():
            start = _Start(place, bounds[place], None, self.assembly.module_spec.kafka.auto_offset_reset)
            part = self.parts[place]
            part.progress.position = self._checked(start, offset)
            part.resume = {s: min(o, part.progress.position) for s, o in part.resume.items()}
        await self._assign()

    async def reassemble(self, assembly: Assembly) -> None:
        """Follow a hot change: topics that stay keep their position, others come and go."""
        self.assembly = assembly
        topics = self._topics()
        for place, part in list(self.parts.items()):
            if place.topic in topics:
                part.source = topics[place.topic]
            else:
                del self.parts[place], self.lags[place]
        fresh = [place for place in await self._found(topics) if place not in self.parts]
        if fresh or len(self.parts) != len(self.lags) or self._gone(topics):
            await self.add(fresh)

    def _gone(self, topics: Mapping[str, intake.TopicIntake]) -> bool:
        return any(place.topic not in topics for place in self._paused)

    # -- slots that come and go -----------------------------------------------------------------------

    def lose(self, slots: Iterable[int]) -> dict[TopicPartition, tuple[int, dict[int, progress.Pending]]]:
        """Take no more records of these slots; where each partition stood, and what is still pending."""
        lost = set(slots)
        self.reader.slots -= lost
        left: dict[TopicPartition, tuple[int, dict[int, progress.Pending]]] = {}
        for place, part in self.parts.items():
            pending = {s: part.progress.pending.pop(s) for s in lost if s in part.progress.pending}
            left[place] = (part.progress.position, pending)
            for slot in lost:
                part.resume.pop(slot, None)
                part.skip.pop(slot, None)
        return left

    def expect(self, slots: Iterable[int]) -> None:
        """These slots come from another feed: skip their records until it says from where on."""
        gained = set(slots)
        self.reader.slots |= gained
        for part in self.parts.values():
            for slot in gained:
                if part.source.shared or part.source.kind is intake.Kind.DEVICES:
                    part.progress.pending.setdefault(slot, progress.Pending())
                elif not part.source.aligned or slot == part.origin.partition:
                    part.skip[slot] = _FAR_AWAY

    def take_over(self, other: "Feed") -> bool:
        """Take over from a feed each partition that it has brought as far as this one; whether all are."""
        for place, part in list(other.parts.items()):
            mine = self.parts.get(place)
            if mine is None:
                self.parts[place], self.lags[place] = part, other.lags[place]
            elif part.progress.position < mine.progress.position:
                continue
            else:
                mine.progress.pending.update(part.progress.pending)
                for slot in part.progress.pending:
                    mine.skip[slot] = part.progress.position
                mine.relax()
            del other.parts[place]
            if other.parts:
                other.source.pause([place])
        return not other.parts


@dataclasses.dataclass(frozen=True)
class _Start:
    """What decides where a partition is read from."""

    place: TopicPartition
    bounds: tuple[int, int]
    committed: int | None
    reset: spec.AutoOffsetReset

    def resume(self, progress: progress_log.SlotProgress | None) -> int:
        """The first offset of a slot that was not done."""
        if progress is not None and self.place in progress.offsets:
            return progress.offsets[self.place]
        if progress is None and self.committed is not None:
            return self.committed
        return self.bounds[0] if self.reset is spec.AutoOffsetReset.EARLIEST else self.bounds[1]

    def floor(self, progress: progress_log.SlotProgress | None, resume: int) -> int:
        """Where the rebuild of a slot's windows starts: without any progress, at the beginning."""
        if progress is None:
            return self.bounds[0]
        return progress.floors.get(self.place, resume)
