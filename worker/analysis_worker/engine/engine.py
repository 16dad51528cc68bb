"""The stations that a worker owns and their windows, for one module.

It holds no Kafka position: `intake` brings records to it. Time is an argument, in ms since the epoch.
"""

import dataclasses
import fnmatch
from collections.abc import Collection, Iterable, Mapping, Sequence

from analysis_module import slots as slot_math
from analysis_module import spec, wiring
from analysis_worker.engine import layout as layouts
from analysis_worker.engine import places, resting, segments
from analysis_worker.engine.records import Row, TopicPartition
from analysis_worker.engine.stations import Station
from analysis_worker.engine.windows import Head, Origins, TopicWindow


@dataclasses.dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """What the engine needs of a module: wiring, field readers per input, and who may be a station."""

    wiring: wiring.Wiring
    readers: tuple[segments.Readers, ...]
    slots: int
    expire_after_ms: int = 600_000
    required_topics: tuple[str, ...] = ()
    stations: spec.Stations = dataclasses.field(default_factory=spec.Stations)


class Engine:
    """All stations of a worker; the columns of their windows lie in `memory`."""

    def __init__(
        self,
        settings: EngineSettings,
        owned_slots: Iterable[int] = (),
        memory: places.Memory = places.HEAP,
    ) -> None:
        self.settings = settings
        self.memory = memory
        self.layout = layouts.layout_of(settings.wiring)
        self.owned_slots = set(owned_slots)
        self.followed_slots: set[int] = set()  # another worker's, whose windows are kept up
        self.mistaken_slots: set[int] = set()  # of these, those that lack what came under a device's id
        self.stations: dict[str, Station] = {}
        self.devices: dict[str, dict[str, str]] = {}  # via topic -> device id -> station id
        self.expired = 0
        self.version = 0  # grows when an id may lead to another station than before
        self.resting = resting.Resting()
        self._global_windows: dict[int, TopicWindow] = {}
        self._required: tuple[int, ...] = ()
        self._follow_settings()

    def _follow_settings(self) -> None:
        self.global_inputs = frozenset(layouts.global_inputs(self.layout))
        self._required = tuple(self.layout.topics.index(topic) for topic in self.settings.required_topics)
        self._slow = tuple(n for n, source in enumerate(self.settings.wiring.inputs) if source.keep_last)
        self._via_inputs = tuple(
            (index, source.station_key.via)
            for index, source in enumerate(self.settings.wiring.inputs)
            if source.station_key.via is not None
        )

    # -- who is a station ------------------------------------------------------------------------

    def slot_of(self, station_id: str) -> int:
        """The slot of a station id."""
        return slot_math.slot_of(station_id, self.settings.slots)

    def admits(self, station_id: str) -> bool:
        """Whether the module runs for this station at all."""
        chosen = self.settings.stations
        if chosen.include and not any(fnmatch.fnmatchcase(station_id, glob) for glob in chosen.include):
            return False
        return not any(fnmatch.fnmatchcase(station_id, glob) for glob in chosen.exclude)

    def station(self, station_id: str, now_ms: int, *, unclaimed: bool = False) -> Station | None:
        """The station of this id, made if it is new; None if not admitted, or another's and not followed.

        An `unclaimed` device is kept by every shard, until a `via` topic says whose it is; only the owner
        of its slot runs callbacks for it, and only if the module runs for a station of that id.
        """
        found = self.stations.get(station_id)
        if found is not None:
            return found if found.owned or found.followed or unclaimed else None
        slot = self.slot_of(station_id)
        owned = self._owns(station_id, slot)
        followed = slot in self.followed_slots and not unclaimed and self.admits(station_id)
        if not (owned or unclaimed or followed):
            return None
        inputs = len(self.layout.inputs)
        station = Station(
            station_id, slot, inputs=inputs, dependencies=len(self.layout.dependencies), owned=owned
        )
        station.followed = followed
        for index, window in self._global_windows.items():
            station.heads[index] = window.head
        self.resting.wake(station)
        station.last_seen = now_ms
        self.stations[station_id] = station
        return station

    def _owns(self, station_id: str, slot: int) -> bool:
        return slot in self.owned_slots and self.admits(station_id)

    def claimant(self, via: str, device: str) -> str | None:
        """The station that a device belongs to, None while no record of the `via` topic named it."""
        return self.devices.get(via, {}).get(device)

    def learn(self, via: str, station_id: str, devices: Iterable[str]) -> None:
        """A `via` record names devices as a station's: re-file what came under their own ids."""
        known = self.devices.setdefault(via, {})
        for device in devices:
            if device != station_id and known.get(device) != station_id:
                known[device] = station_id
                self.version += 1
                self._refile(via, device, station_id)

    def _refile(self, via: str, device: str, station_id: str) -> None:
        origin = self.stations.get(device)
        if origin is None:
            return
        target = self.station(station_id, origin.last_seen)
        if target is not None:
            target.last_seen = max(target.last_seen, origin.last_seen)
        for index, topic in self._via_inputs:
            window = origin.windows[index]
            if topic != via or window is None:
                continue
            origin.windows[index] = origin.heads[index] = None
            if target is not None and target.followed:
                self.mistaken_slots.add(target.slot)  # the device's records may be read there too
            elif target is not None:
                self._absorb(target, index, window)
        if not any(origin.windows) and not origin.in_flight and not origin.waiting:
            del self.stations[device]

    def _absorb(self, target: Station, index: int, window: TopicWindow) -> None:
        held = target.windows[index]
        if held is None:
            target.windows[index], target.heads[index] = window, window.head
        else:
            target.heads[index] = held.absorb(window)

    # -- what comes in ---------------------------------------------------------------------------

    def new_window(self, station: Station, index: int) -> TopicWindow:
        """The window of an input that had none for this station."""
        source = self.layout.inputs[index]
        readers = self.settings.readers[index]
        window = station.windows[index] = TopicWindow(readers, source.window_size, self.memory)
        return window

    def adopt(self, station_id: str, seen_ms: int, index: int, window: TopicWindow) -> None:
        """A window of an input that was kept, of a station last seen then; not if it is none any more."""
        via = self.layout.inputs[index].station_key.via
        station = self.station(station_id, seen_ms, unclaimed=via is not None)
        if station is not None:
            station.last_seen = max(station.last_seen, seen_ms)
            station.windows[index], station.heads[index] = window, window.head

    def append(self, station: Station, index: int, rows: Sequence[Row], *, replace: bool) -> TopicWindow:
        """Rows of one record into a station's window of an input."""
        window = station.windows[index] or self.new_window(station, index)
        station.heads[index] = _appended(window, rows, replace=replace)
        return window

    def append_global(self, index: int, rows: Sequence[Row], *, replace: bool) -> TopicWindow:
        """Rows of a Global record into the one window that every station shares."""
        window = self._global_windows.get(index)
        if window is None:
            source = self.layout.inputs[index]
            window = TopicWindow(self.settings.readers[index], source.window_size)
            self._global_windows[index] = window
        head = _appended(window, rows, replace=replace)
        for station in self.stations.values():
            station.heads[index] = head
        return window

    def append_output(
        self,
        station: Station,
        dependency: int,
        rows: Sequence[Row],
        at: tuple[TopicPartition, int] | None = None,
    ) -> None:
        """Envelopes of a dependency's output for a station; the newest stay. `at` is where they came from."""
        index = len(self.layout.inputs) + dependency
        source = self.layout.dependencies[dependency]
        station.heads[index] = ((station.heads[index] or ()) + tuple(rows))[-source.window_size :]
        if at is not None:
            origins = station.output_origins.setdefault(source.topic, Origins(source.window_size, 1))
            origins.note(*at)
            origins.next_run()

    def restore(self, station_id: str | None, index: int, pieces: Iterable[resting.Piece]) -> None:
        """An input's window before its records are read: a station's, once that is there, or (None) all's."""
        source = self.layout.inputs[index]
        window = resting.rebuilt(self.settings.readers[index], source.window_size, pieces)
        if station_id is None:
            self._global_windows[index] = window
            for station in self.stations.values():
                station.heads[index] = window.head
            return
        self.resting.lay(station_id, self.slot_of(station_id), {index: window})
        if (found := self.stations.get(station_id)) is not None:
            self.resting.wake(found)

    def ready(self, station: Station) -> bool:
        """Whether every required topic has a record."""
        return all(station.heads[index] for index in self._required)

    # -- what goes -------------------------------------------------------------------------------

    def forget(self, station: Station) -> None:
        """Drop a station: its windows go but for those of slow topics, a later record starts it anew."""
        self.resting.lay_down(station, self._slow)
        self.stations.pop(station.id, None)
        self.version += 1

    def expire(self, now_ms: int, *, sparing: Collection[int] = ()) -> list[Station]:
        """Drop the stations that no topic brought anything for longer than the module's expiry.

        Not those of followed slots and of `sparing`: their records may be old because they are replayed.
        """
        oldest, spared = now_ms - self.settings.expire_after_ms, self.followed_slots.union(sparing)
        gone = [
            s
            for s in self.stations.values()
            if s.last_seen < oldest and not s.in_flight and not s.waiting and s.slot not in spared
        ]
        for station in gone:
            self.forget(station)
        self.expired += len(gone)
        return gone

    def follow(self, slots: Iterable[int]) -> None:
        """Keep windows for the stations of these slots too, which are another worker's."""
        self.followed_slots.update(slots)
        self.version += 1

    def unfollow(self, slots: Iterable[int]) -> None:
        """These slots stay another worker's: the windows kept of their stations go."""
        gone = self.followed_slots.intersection(slots)
        self.followed_slots -= gone
        self.mistaken_slots -= gone
        for station in list(self.stations.values()):
            if station.followed and station.slot in gone:
                del self.stations[station.id]
        self.resting.disown(gone)
        self.version += 1

    def own(self, slots: Iterable[int]) -> None:
        """Slots become this worker's; devices kept unclaimed count as its own if they lie in them."""
        self.owned_slots.update(slots)
        self.followed_slots.difference_update(self.owned_slots)
        for station in self.stations.values():
            station.owned = self._owns(station.id, station.slot)
            station.followed = station.followed and not station.owned
        self.version += 1

    def disown(self, slots: Iterable[int]) -> list[Station]:
        """Slots are no longer this worker's: their stations go, and are returned."""
        lost = set(slots)
        self.owned_slots -= lost
        gone = [station for station in self.stations.values() if station.slot in lost]
        for station in gone:
            del self.stations[station.id]
        self.resting.disown(lost)
        self.version += 1
        return gone

    # -- changes while running ---------------------------------------------------------------------

    def reconfigure(self, settings: EngineSettings) -> None:
        """Take new settings over without losing a record: windows grow or shrink, fields come and go."""
        before = self.layout
        self.settings, self.layout = settings, layouts.layout_of(settings.wiring)
        moves = _moves(before, self.layout)
        for index, window in list(self._global_windows.items()):
            del self._global_windows[index]
            if (target := moves.get(index)) is not None:
                self._global_windows[target] = window
                self._fit(window, target)
        for station in list(self.stations.values()):
            if (station.owned or station.followed) and not self.admits(station.id):
                del self.stations[station.id]
                continue
            station.owned = self._owns(station.id, station.slot)
            self._refit(station, moves, before)
        self._follow_settings()
        self.resting.refit(moves, self._slow, self._fit)
        self.version += 1

    def _refit(self, station: Station, moves: Mapping[int, int], before: layouts.Layout) -> None:
        windows, heads = station.windows, station.heads
        station.windows = [None] * len(self.layout.inputs)
        station.heads = [None] * len(self.layout.topics)
        for old, new in moves.items():
            if old < len(before.inputs):
                station.windows[new] = window = windows[old]
                station.heads[new] = self._fit(window, new) if window is not None else None
            else:
                size = self.layout.dependencies[new - len(self.layout.inputs)].window_size
                station.heads[new] = (heads[old] or ())[-size:] or None
                station.output_origins.get(before.topics[old], Origins(1, 1)).resize(size, 1)
        for index, window in self._global_windows.items():
            station.heads[index] = window.head

    def _fit(self, window: TopicWindow, index: int) -> Head | None:
        readers, size = self.settings.readers[index], self.layout.inputs[index].window_size
        return window.resize(size, readers)

    # -- what a report or a checkpoint reads ------------------------------------------------------

    def floors(self) -> dict[int, dict[TopicPartition, int]]:
        """Per slot and partition, the oldest offset that a rebuild of its windows may need.

        Slot -1 stands for the Global windows.
        """
        floors: dict[int, dict[TopicPartition, int]] = {}
        for station in self.stations.values():
            of_slot = floors.setdefault(station.slot, {})
            for window in station.windows:
                if window is not None:
                    _lower(of_slot, window.origins)
            for origins in station.output_origins.values():
                _lower(of_slot, origins)
        for window in self._global_windows.values():
            _lower(floors.setdefault(-1, {}), window.origins)
        return floors

    def window_bytes(self) -> int:
        """Bytes of all windows."""
        own = sum(w.segment.nbytes for s in self.stations.values() for w in s.windows if w is not None)
        own += self.resting.window_bytes()
        return own + sum(window.segment.nbytes for window in self._global_windows.values())


def _appended(window: TopicWindow, rows: Sequence[Row], *, replace: bool) -> Head | None:
    if replace:
        return window.replace(rows)
    for row in rows:
        window.append(row)
    return window.head


def _moves(before: layouts.Layout, after: layouts.Layout) -> dict[int, int]:
    """Old head index -> new head index, for each topic that stays the same kind of source."""
    known = {kind: index for index, kind in enumerate(_kinds(after))}
    return {old: known[kind] for old, kind in enumerate(_kinds(before)) if kind in known}


def _kinds(layout: layouts.Layout) -> list[tuple[str, spec.Scope | None]]:
    """Each topic with whose data its records are; None for a dependency's outputs."""
    scopes = [source.scope for source in layout.inputs] + [None] * len(layout.dependencies)
    return list(zip(layout.topics, scopes, strict=True))


def _lower(floors: dict[TopicPartition, int], origins: Origins) -> None:
    for place, offset in origins.floors().items():
        floors[place] = min(offset, floors.get(place, offset))
