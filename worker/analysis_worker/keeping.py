"""Slow topics outlive their retention: the module keeps their newest records, and reads them at a start.

Each record of a slow topic is written once more, per station, by the owner of the station's slot; its offset
is done when that copy is acknowledged. What is read of the source topics again at a start is not taken from
the copies too, so nothing is in a window twice.
"""

import collections
import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from analysis_module import spec
from analysis_worker.assembling import Assembly
from analysis_worker.engine import intake, resting
from analysis_worker.engine.records import Arrival, Refusal, TopicPartition
from analysis_worker.engine.taken import Kept
from analysis_worker.kafka import last_records, ports

Put = Callable[[ports.Message, Callable[[], None]], None]
Written = Callable[[int, TopicPartition], int]
"""Up to where a slot is done in a partition, as a restart would find it."""


class HasEnd(Protocol):
    """Knows where a partition ends."""

    @property
    def end_offset(self) -> int | None:
        """The offset after its last record."""


class Placed(Protocol):
    """A feed whose partitions have their positions, and which has taken no record yet."""

    @property
    def source(self) -> ports.Source:
        """Where it reads from."""

    @property
    def reader(self) -> intake.Reader:
        """Whose slots it reads for."""

    @property
    def assembly(self) -> Assembly:
        """What it reads."""

    @property
    def parts(self) -> Mapping[TopicPartition, intake.PartitionIntake]:
        """Its partitions."""

    @property
    def lags(self) -> Mapping[TopicPartition, HasEnd]:
        """Where they end."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Held:
    """A copy that is there: where its record was read, and whether it makes a window alone."""

    place: TopicPartition
    offset: int
    replace: bool = False


@dataclasses.dataclass
class _Ring:
    """What is kept under one owner, by n and oldest first; the newest number, and what came with it."""

    number: int = 0
    held: dict[int, _Held] = dataclasses.field(default_factory=dict)
    newest: dict[TopicPartition, int] = dataclasses.field(default_factory=dict)

    def has(self, place: TopicPartition, offset: int) -> bool:
        """Whether a record is kept already, or was."""
        return offset <= self.newest.get(place, -1)

    def add(self, copy: _Held, outdated: list[int]) -> int:
        """Where the next one is kept: in the place of the first that is outdated, if any is."""
        for n in outdated:
            del self.held[n]
        n = outdated[0] if outdated else next(n for n in itertools.count() if n not in self.held)
        self.number += 1
        self.held[n] = copy
        self.newest[copy.place] = copy.offset
        return n

    def outdated(self, size: int, is_done: Callable[[_Held], bool]) -> list[int]:
        """What no window needs any more: as many as a window has are newer, and done.

        Those that are not done count for nothing, for a restart takes them again, from the window before.
        """
        newer, left = 0, list(self.held)
        while left and newer < size:
            copy = self.held[left.pop()]
            if is_done(copy):
                newer = size if copy.replace else newer + 1
        return left


@dataclasses.dataclass(frozen=True)
class _Part:
    """What one record brings to one owner: of a record of many stations, `value` is the part of this one."""

    kept: Sequence[Kept]
    value: bytes

    def settle(self) -> None:
        for each in self.kept:
            each.settle()


class Keeper:
    """Writes the copies of one worker's slow topics into `topic` by `put`, and brings them back.

    `written` tells what is done for good: what a restart would take again must not push anything out.
    """

    def __init__(self, topic: str, put: Put) -> None:
        self.written: Written = lambda slot, place: 0
        self._topic = topic
        self._put = put
        self._slots: set[int] = set()  # whose copies are known
        self._rings: dict[last_records.Owner, _Ring] = {}
        # What is kept by another worker, or is to be once it is known what is there already: if that one
        # lets go of its slot before it has read as far as this one, it is written here.
        self._others: dict[last_records.Owner, tuple[int, collections.deque[_Part]]] = {}

    # -- records that come ----------------------------------------------------------------------------

    def take(self, kept: Iterable[Kept]) -> None:
        """Write copies of what was taken, if there are none yet."""
        records: dict[tuple[TopicPartition, int], dict[last_records.Owner, list[Kept]]] = {}
        for each in kept:
            owner = last_records.Owner(each.source.topic, each.station_id)
            owners = records.setdefault((each.origin, each.record.offset), {})
            owners.setdefault(owner, []).append(each)
        for owners in records.values():
            for owner, part in self._parts(owners):
                self._take(owner, part)

    def _parts(
        self, owners: Mapping[last_records.Owner, list[Kept]]
    ) -> Iterable[tuple[last_records.Owner, _Part]]:
        """What one record brings to each owner, but for what is kept already."""
        wanted = {}
        for owner, group in owners.items():
            if self._has(owner, group[0]):
                _Part(group, b"").settle()
            else:
                wanted[owner] = group
        if wanted:
            first = next(iter(wanted.values()))[0]
            idents = [{each.arrival.ident for each in group} for group in wanted.values()]
            value = first.record.value or b""
            whole = [value] * len(wanted)
            cuts = whole if first.station_id is None else first.source.decoder.cut(value, idents)
            for (owner, group), part in zip(wanted.items(), cuts, strict=True):
                yield owner, _Part(group, part)

    def _has(self, owner: last_records.Owner, kept: Kept) -> bool:
        ring = self._rings.get(owner)
        known = ring is not None and kept.slot in self._slots
        return known and ring is not None and ring.has(kept.origin, kept.record.offset)

    def _take(self, owner: last_records.Owner, part: _Part) -> None:
        first = part.kept[0]
        if first.pending is not None and first.slot in self._slots:
            self._write(owner, part)
            return
        _, parts = self._others.setdefault(owner, (first.slot, collections.deque()))
        if first.arrival.replace:
            self._settle_all(parts)
        parts.append(part)
        while len(parts) > first.source.keep:
            parts.popleft().settle()

    @staticmethod
    def _settle_all(parts: collections.deque[_Part]) -> None:
        while parts:
            parts.popleft().settle()

    def _write(self, owner: last_records.Owner, part: _Part) -> None:
        first, ring = part.kept[0], self._rings.setdefault(owner, _Ring())
        offset, timestamp = first.record.offset, first.record.timestamp
        held = _Held(first.origin, offset, any(each.arrival.replace for each in part.kept))
        done = functools.cache(functools.partial(self.written, first.slot))
        outdated = ring.outdated(first.source.keep, lambda copy: copy.offset < done(copy.place))
        n = ring.add(held, outdated)
        copy = last_records.Copy(owner, n, ring.number, first.origin, offset, timestamp, part.value)
        self._put(copy.message(self._topic), part.settle)
        for each in outdated[1:]:
            self._put(last_records.removal(self._topic, owner, each), lambda: None)

    def made_anew(self, place: TopicPartition) -> None:
        """A partition was emptied or made anew: its offsets count from the beginning."""
        for ring in self._rings.values():
            ring.newest.pop(place, None)

    def lose(self, slots: Iterable[int]) -> None:
        """These slots are another worker's."""
        lost = set(slots)
        self._slots -= lost

    # -- a start --------------------------------------------------------------------------------------

    async def recall(self, feed: Placed, *, first: bool, writes: bool = True) -> None:
        """Bring the windows and device ids of a feed's slots back that its partitions no longer hold.

        `first` says that it reads what every slot shares too; without `writes` another worker still writes
        the copies of its slots. May be tried again after an error.
        """
        copies = await self._copies(feed)
        engine, slots = feed.reader.engine, feed.reader.slots
        if first:
            self._teach(feed, copies)
        if writes:
            self._remember(copies, feed, first=first)
        windows: dict[tuple[str | None, int], list[tuple[int, int, resting.Piece]]] = {}
        for copy in copies:
            source = feed.assembly.topics.get(copy.owner.topic)
            if source is None or not source.keep or _is_read_again(copy, feed, first=first):
                continue
            if source.kind is not intake.Kind.INPUT or (source.shared and not first):
                continue
            for arrival in _arrivals(source, copy):
                station_id = None if source.shared else _station_of(source, arrival, feed)
                if station_id is None or engine.slot_of(station_id) in slots:
                    piece = arrival.rows, arrival.replace, copy.place, copy.offset
                    # Devices of one station may have come under ids of their own: those are numbered apart.
                    at = copy.timestamp if source.via is not None else 0
                    windows.setdefault((station_id, source.index), []).append((at, copy.number, piece))
        for (station_id, index), pieces in windows.items():
            pieces.sort(key=lambda each: each[:2])
            engine.restore(station_id, index, [piece for _, _, piece in pieces])

    async def remember(self, feed: Placed) -> None:
        """Write the copies of a feed's slots from here on, whose windows are there already."""
        self._remember(await self._copies(feed), feed, first=False)

    async def _copies(self, feed: Placed) -> Sequence[last_records.Copy]:
        transactional = feed.assembly.module_spec.delivery is spec.Delivery.EXACTLY_ONCE
        return await last_records.load(feed.source, self._topic, transactional=transactional)

    def _remember(self, copies: Sequence[last_records.Copy], feed: Placed, *, first: bool) -> None:
        """What is kept of a feed's slots, and write what should be and is not."""
        engine, slots = feed.reader.engine, feed.reader.slots
        self._slots |= slots
        self._rings = {
            owner: ring for owner, ring in self._rings.items() if _slot_of(owner, feed) not in slots
        }
        for copy in (copy for copy in copies if _slot_of(copy.owner, feed) in slots):
            ring = self._rings.setdefault(copy.owner, _Ring())
            ring.number = copy.number
            ring.held[copy.n] = _Held(copy.place, copy.offset)
            if not _is_gone(copy, feed, first=first):
                ring.newest[copy.place] = copy.offset
        for owner, (slot, parts) in list(self._others.items()):
            if slot in slots and slot in engine.owned_slots:
                del self._others[owner]
                for part in parts:
                    held = self._rings.get(owner)
                    if held is not None and held.has(part.kept[0].origin, part.kept[0].record.offset):
                        part.settle()
                    else:
                        self._write(owner, part)

    def _teach(self, feed: Placed, copies: Iterable[last_records.Copy]) -> None:
        for copy in sorted(copies, key=lambda copy: (copy.timestamp, copy.offset)):
            source = feed.assembly.topics.get(copy.owner.topic)
            if source is not None and source.teaches:
                for arrival in _arrivals(source, copy):
                    if arrival.station_id is not None and not arrival.device:
                        feed.reader.teach(source, arrival)


def _arrivals(source: intake.TopicIntake, copy: last_records.Copy) -> Sequence[Arrival]:
    try:
        return source.decoder.arrivals(copy.value)
    except (
        Refusal
    ) as refusal:  # of a record whose sound parts were taken, or of fields declared otherwise now
        return refusal.usable


def _slot_of(owner: last_records.Owner, feed: Placed) -> int:
    return intake.SHARED_SLOT if owner.station_id is None else feed.reader.engine.slot_of(owner.station_id)


def _station_of(source: intake.TopicIntake, arrival: Arrival, feed: Placed) -> str:
    """The station that a part of a copy leads to now: a device may have been another's before."""
    raw_id = arrival.station_id or ""
    claimant = feed.reader.engine.claimant(source.via, raw_id) if source.via and arrival.device else None
    return claimant or raw_id


def _is_gone(copy: last_records.Copy, feed: Placed, *, first: bool) -> bool:
    """Whether the partition that a copy came from is another by now: its offset says nothing there."""
    if copy.place not in feed.parts:
        return first  # the other feed reads what this one does not
    end = feed.lags[copy.place].end_offset
    return end is not None and copy.offset >= end


def _is_read_again(copy: last_records.Copy, feed: Placed, *, first: bool) -> bool:
    """Whether the record itself comes again, from where its partition is read."""
    part = feed.parts.get(copy.place)
    if part is None or _is_gone(copy, feed, first=first):
        return False
    return copy.offset >= part.progress.position
