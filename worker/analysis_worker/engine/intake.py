"""Records of one partition into windows, and the triggers they bring: the worker's innermost loop.

A `PartitionIntake` knows how far the partition was taken, per slot, and what must not be taken (again):
records before a slot's progress are muted (they fill windows, no callback), records of a slot that another
reader still brings are skipped, and live records are held while windows are being restored.
"""

import dataclasses
import enum
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from analysis_worker.engine import progress
from analysis_worker.engine.engine import Engine
from analysis_worker.engine.records import Arrival, Decoder, Record, Refusal, TopicPartition
from analysis_worker.engine.stations import Batch, Station, Trigger
from analysis_worker.engine.taken import Kept, Refused, Stray, Taken

SHARED_SLOT = 0
"""Whose owner keeps what is every station's."""


class Kind(enum.Enum):
    """What a topic's records are to the module."""

    INPUT = enum.auto()
    DEPENDENCY = enum.auto()
    DEVICES = enum.auto()  # read for its device ids alone: a `via` topic that is no input
    STRAYS = enum.auto()  # records of Aligned topics that were found in a partition of another slot


@dataclasses.dataclass(frozen=True, kw_only=True)
class TopicIntake:
    """How one topic is taken. `index` is the input's or the dependency's; None for DEVICES."""

    topic: str
    kind: Kind
    decoder: Decoder
    index: int = 0
    trigger: bool = True
    shared: bool = False  # Global: every station's
    via: str | None = None
    teaches: bool = False  # its records name devices for some input's `via`
    aligned: bool = False
    keep: int = 0  # of a slow topic: how many records per station the module keeps itself
    strayed: Mapping[str, "TopicIntake"] = dataclasses.field(default_factory=dict)  # of STRAYS, per origin


@dataclasses.dataclass(frozen=True, slots=True)
class Origin:
    """Where a record was first written: for a stray that is not where it is read now."""

    source: TopicIntake
    partition: TopicPartition
    offset: int


class _Foreign:
    """Stands in the lookup for an id that is another shard's, or not admitted."""

    __slots__ = ()


_FOREIGN = _Foreign()
_MOST_FOREIGN = 200_000
"""Ids remembered as foreign before the lookup starts anew: stray ids must not fill memory."""


class PartitionIntake:
    """One partition, as far as it was taken."""

    def __init__(self, source: TopicIntake, partition: int, *, position: int, slots: Iterable[int]) -> None:
        self.source = source
        self.origin = TopicPartition(source.topic, partition)
        self.progress = progress.PartitionProgress(position, slots)
        self.done = progress.Done()  # what was done before a restart
        self.held: list[_Coming] = []
        self.restoring = False
        self.caught_up = False
        self.last_timestamp = 0
        self.taken = 0
        self.wrong_partition = 0

    @property
    def guarded(self) -> bool:
        """Whether some slot's records need a look at their offset before they count."""
        return self.restoring or bool(self.done.before) or bool(self.progress.skip)

    @property
    def restored(self) -> bool:
        """Whether every record that was done before the restart is back in the windows."""
        return not self.done.before or self.progress.position >= max(self.done.before.values())

    def relax(self) -> None:
        """Drop the guards that the position has passed."""
        position = self.progress.position
        self.done = self.done.beyond(position)
        self.progress.skip = {s: offset for s, offset in self.progress.skip.items() if offset > position}


@dataclasses.dataclass(frozen=True, slots=True)
class _Coming:
    """What one record brings to one station, on its way into the windows."""

    record: Record
    origin: Origin
    arrival: Arrival
    done: progress.Done | None = None  # of what was held: what counted as done when it came


def _origin(part: PartitionIntake, record: Record) -> Origin:
    """Where a record comes from; a stray's headers say it."""
    if part.source.kind is not Kind.STRAYS:
        return Origin(part.source, part.origin, record.offset)
    headers = dict(record.headers)
    topic = headers.get("stray-topic", b"").decode(errors="replace")
    source = part.source.strayed.get(topic)
    if source is None:
        wrong = f"a stray of topic {topic or 'unknown'}, which the module does not read"
        raise Refusal("unknown_stray", wrong)
    try:
        place = TopicPartition(topic, int(headers["stray-partition"]))
        return Origin(source, place, int(headers["stray-offset"]))
    except (KeyError, ValueError) as error:
        raise Refusal("unknown_stray", f"a stray whose headers do not tell its origin: {error}") from error


def _anew(part: PartitionIntake, coming: _Coming) -> _Coming:
    """What was held, as the decoder reads it that the topic has by now; without rows if it cannot."""
    record, arrival = coming.record, dataclasses.replace(coming.arrival, rows=())
    try:
        origin = _origin(part, record)
        arrivals = origin.source.decoder.arrivals(record.value or b"")
    except Refusal:
        return dataclasses.replace(coming, arrival=arrival)
    fresh = next((a for a in arrivals if a.station_id == arrival.station_id), arrival)
    return dataclasses.replace(coming, origin=origin, arrival=fresh)


class Reader:
    """Brings partitions' records to the engine, for the slots it has."""

    def __init__(self, engine: Engine, slots: Iterable[int], *, keeps_unclaimed: bool = True) -> None:
        self.engine = engine
        self.slots = set(slots)
        self.keeps_unclaimed = keeps_unclaimed
        self._version = -1
        self._lookups: dict[tuple[str | None, bool], dict[Any, Station | _Foreign]] = {}

    def take(self, part: PartitionIntake, records: Sequence[Record], now_ms: int) -> Taken:
        """Take a batch in offset order: windows are up to date and progress begun when it returns."""
        taken = Taken()
        source = part.source
        special = source.kind is not Kind.INPUT or source.shared or source.teaches or source.aligned
        special = special or source.keep > 0
        if not special and not part.guarded:
            self._take_plain(part, records, now_ms, taken)
        else:
            for record in records:
                self._take_one(part, record, now_ms, taken)
            part.progress.position = records[-1].offset + 1
            part.relax()
        part.taken += len(records)
        part.last_timestamp = records[-1].timestamp
        return taken

    def _take_plain(
        self, part: PartitionIntake, records: Sequence[Record], now_ms: int, taken: Taken
    ) -> None:
        """The fast path: an input topic of stations, every slot live. Kept flat, for speed."""
        source, engine, progress = part.source, self.engine, part.progress
        index, origin, decode = source.index, part.origin, source.decoder.row
        expiry, live = engine.settings.expire_after_ms, part.caught_up
        pending_of, lookup, add = progress.pending, self._lookup(source), taken.triggers.append
        # Shared by the batch: slots that leave this feed later keep their own Pending, which is in the copy.
        batch = Batch(engine.layout, origin, dict(pending_of))
        triggers, required = source.trigger, bool(engine.settings.required_topics)
        simple = triggers and not required and source.via is None
        for record in records:
            try:
                row = decode(record.value)  # type: ignore[arg-type]
                station = lookup[row.key0]
            except (ValueError, TypeError, KeyError, RecursionError):
                self._take_one(part, record, now_ms, taken)
                lookup = self._lookup(source)
                continue
            if station.__class__ is not Station:
                taken.foreign += 1
                continue
            offset, timestamp = record.offset, record.timestamp
            seen = now_ms if live or timestamp > now_ms else timestamp
            if seen > station.last_seen:
                if seen - station.last_seen > expiry:
                    self._take_one(part, record, now_ms, taken)
                    lookup = self._lookup(source)
                    continue
                station.last_seen = seen
            window = station.windows[index] or engine.new_window(station, index)
            segment = window.segment
            base, rows = segment.tail
            rows.append(row)
            if window.noted is not part:
                window.noted = part
                window.origins.note(origin, offset)
            count = len(rows)
            station.heads[index] = (segment, base + count) if count < window.most_rows else window.settled()
            if simple or (triggers and station.owned and engine.ready(station)):
                pending_of[station.slot][offset] = station.id
                add(Trigger(station, batch, offset, timestamp))
        progress.position = records[-1].offset + 1

    def _take_one(self, part: PartitionIntake, record: Record, now_ms: int, taken: Taken) -> None:
        """One record of any shape, guards and all."""
        part.progress.position = record.offset + 1
        try:
            if record.value is None:
                raise Refusal("null_value", "the record has no value; send a JSON object")
            origin = _origin(part, record)
            arrivals = origin.source.decoder.arrivals(record.value)
        except Refusal as refusal:
            self._refuse(part, record, refusal, taken)
            arrivals = refusal.usable
        for arrival in arrivals:
            self._arrive(part, _Coming(record, origin, arrival), now_ms, taken)

    def _refuse(self, part: PartitionIntake, record: Record, refusal: Refusal, taken: Taken) -> None:
        # Every shard reads this record; the owner of the slot numbered like the partition reports it.
        slot = part.origin.partition % self.engine.settings.slots
        pending = part.progress.pending.get(slot)
        done = part.done.has(slot, record.offset) or record.offset < part.progress.skip.get(slot, 0)
        if pending is None or done:
            return
        pending.begin(record.offset)
        taken.refused.append(Refused(part.origin, record, refusal, pending))

    def _arrive(self, part: PartitionIntake, coming: "_Coming", now_ms: int, taken: Taken) -> None:
        record, source, arrival = coming.record, coming.origin.source, coming.arrival
        if source.teaches and arrival.station_id is not None and not arrival.device:
            self.teach(source, arrival)
        if source.kind is Kind.DEVICES:
            if arrival.station_id is not None and not arrival.device:
                slot = self.engine.slot_of(arrival.station_id)
                self._keep(part, coming, arrival.station_id, slot, taken)
            return
        if source.shared:
            if part.restoring and source.trigger and record.offset >= part.done.first_left():
                part.held.append(dataclasses.replace(coming, done=part.done))
            else:
                self._arrive_shared(part, coming, taken)
            return
        station = self._station(source, arrival, now_ms)
        if station is None:
            taken.foreign += 1
            return
        slot = station.slot
        if source.aligned and slot != part.origin.partition:
            self._stray(part, record, taken)
            return
        if part.source.kind is Kind.STRAYS and slot == coming.origin.partition.partition:
            return  # of a record of many stations, this one's part was taken where it was first written
        if record.offset < part.progress.skip.get(slot, 0):
            return
        if part.restoring and station.owned and not part.done.has(slot, record.offset, station.id):
            part.held.append(dataclasses.replace(coming, done=part.done))
            return
        self._file(part, coming, station, now_ms, taken)

    def _file(
        self, part: PartitionIntake, coming: "_Coming", station: Station, now_ms: int, taken: Taken
    ) -> None:
        source, engine, arrival, record = coming.origin.source, self.engine, coming.arrival, coming.record
        seen = now_ms if part.caught_up else min(record.timestamp, now_ms)
        if seen - station.last_seen > engine.settings.expire_after_ms and not station.in_flight:
            engine.forget(station)
            renewed = engine.station(station.id, seen, unclaimed=station.unclaimed)
            if renewed is None:
                return
            station = renewed
        station.last_seen = max(station.last_seen, seen)
        if source.kind is Kind.DEPENDENCY:
            engine.append_output(station, source.index, arrival.rows, (part.origin, record.offset))
        else:
            window = engine.append(station, source.index, arrival.rows, replace=arrival.replace)
            window.origins.note(part.origin, record.offset)
            self._keep(part, coming, station.id, station.slot, taken)
        self._trigger(part, coming, station, taken)

    def _trigger(self, part: PartitionIntake, coming: "_Coming", station: Station, taken: Taken) -> None:
        record, origin = coming.record, coming.origin
        pending = part.progress.pending.get(station.slot)
        if pending is None or not station.owned:
            return
        if (coming.done or part.done).has(station.slot, record.offset, station.id):
            taken.muted += 1
            return
        if not origin.source.trigger or not self.engine.ready(station):
            return
        if (
            not origin.source.shared
            and (earlier := taken.of(station, origin.partition, origin.offset)) is not None
        ):
            earlier.heads = tuple(station.heads)  # one output for all that a record brings to a station
            return
        pending.begin(record.offset, station.id)
        batch = Batch(self.engine.layout, origin.partition, None)
        trigger = Trigger(station, batch, origin.offset, record.timestamp)
        trigger.owe(pending, record.offset)
        taken.triggers.append(trigger)

    def _arrive_shared(self, part: PartitionIntake, coming: "_Coming", taken: Taken) -> None:
        engine, arrival = self.engine, coming.arrival
        window = engine.append_global(coming.origin.source.index, arrival.rows, replace=arrival.replace)
        window.origins.note(part.origin, coming.record.offset)
        self._keep(part, coming, None, SHARED_SLOT, taken)
        for station in engine.stations.values():
            self._trigger(part, coming, station, taken)

    def _keep(
        self, part: PartitionIntake, coming: "_Coming", station_id: str | None, slot: int, taken: Taken
    ) -> None:
        """A record of a slow topic is kept by the owner of the slot; what all read, all remember."""
        source, pending = coming.origin.source, part.progress.pending.get(slot)
        if source.keep and (pending is not None or source.shared or source.kind is Kind.DEVICES):
            taken.keep(Kept(source, station_id, slot, coming.arrival, part.origin, coming.record, pending))

    def teach(self, source: TopicIntake, arrival: Arrival) -> None:
        """A record of a `via` topic says whose devices are whose."""
        for row in arrival.rows:
            devices = source.decoder.devices(row)
            if arrival.station_id is not None and devices:
                self.engine.learn(source.topic, arrival.station_id, devices)

    def _stray(self, part: PartitionIntake, record: Record, taken: Taken) -> None:
        if taken.strays and taken.strays[-1].record is record:
            return  # another station of the same record: it goes on once, for all of them
        part.wrong_partition += 1
        pending = part.progress.pending.get(part.origin.partition)
        if pending is not None and not part.done.has(part.origin.partition, record.offset):
            pending.begin(record.offset)
            taken.strays.append(Stray(part.origin, record, pending))

    def release_held(self, part: PartitionIntake, now_ms: int) -> Taken:
        """The windows are restored: take the live records that were held meanwhile."""
        taken = Taken()
        held, part.held, part.restoring = part.held, [], False
        for each in held:
            coming = each if each.origin.source is part.source else _anew(part, each)
            if coming.origin.source.shared:
                self._arrive_shared(part, coming, taken)
            elif (station := self._station(coming.origin.source, coming.arrival, now_ms)) is not None:
                self._file(part, coming, station, now_ms, taken)
        for pending in part.progress.pending.values():
            pending.reorder()  # what was refused meanwhile was begun before what was held
        return taken

    # -- from ids to stations -----------------------------------------------------------------------

    def _lookup(self, source: TopicIntake) -> dict[Any, Station | _Foreign]:
        """Stations by the ids of a topic's records; an Aligned topic's include what only strays lead to."""
        if self._version != self.engine.version:
            self._version = self.engine.version
            self._lookups = {}
        lookup = self._lookups.setdefault((source.via, source.aligned), {})
        if len(lookup) > _MOST_FOREIGN + len(self.engine.stations):
            lookup.clear()
        return lookup

    def _station(self, source: TopicIntake, arrival: Arrival, now_ms: int) -> Station | None:
        """The station that a record's id leads to, if its slot is this reader's."""
        # A device may bear the id of a station that is not its own: only the kind that a row's `key0` names
        # is looked up by the bare id.
        plain = source.via is None or arrival.device == source.decoder.by_device
        key = arrival.station_id if plain else (arrival.station_id, arrival.device)
        found = self._lookup(source).get(key)
        if found is None:
            found = self._found(source, arrival, now_ms) or _FOREIGN
            self._lookup(source)[key] = found
        return found if isinstance(found, Station) else None

    def _found(self, source: TopicIntake, arrival: Arrival, now_ms: int) -> Station | None:
        engine = self.engine
        raw_id = arrival.station_id or ""
        claimant = engine.claimant(source.via, raw_id) if source.via and arrival.device else None
        station_id = claimant or raw_id
        unclaimed = source.via is not None and arrival.device and claimant is None
        slot = engine.slot_of(station_id)
        if unclaimed and slot in self.slots and slot in engine.followed_slots:
            return None  # the first reader keeps it
        if slot not in self.slots and (
            slot in engine.owned_slots or not (unclaimed and self.keeps_unclaimed)
        ):
            return _aligned_stray(source, station_id, slot)
        return engine.station(station_id, now_ms, unclaimed=unclaimed)


def _aligned_stray(source: TopicIntake, station_id: str, slot: int) -> Station | None:
    """In an Aligned topic even another shard's record needs a slot: it must be passed on if it strayed."""
    return Station(station_id, slot, inputs=0, dependencies=0, owned=False) if source.aligned else None
