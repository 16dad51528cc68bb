"""Windows of slow topics whose station is not there: it expired, or nothing else came since a restart.

They make no station and keep none alive; when a record starts the station anew, they are its own again.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from analysis_worker.engine import segments
from analysis_worker.engine.records import Row, TopicPartition
from analysis_worker.engine.stations import Station
from analysis_worker.engine.windows import Head, TopicWindow

MOST_STATIONS = 100_000
"""Beyond so many the stations that have been gone for longest are forgotten."""

Piece = tuple[Sequence[Row], bool, TopicPartition, int]
"""What one record brings to a window: rows, whether they replace those before, where the record was read."""


def rebuilt(fields: segments.Readers, size: int, pieces: Iterable[Piece]) -> TopicWindow:
    """A window of these records, oldest first."""
    window = TopicWindow(fields, size)
    for rows, replace, place, offset in pieces:
        if replace:
            window.replace(rows)
        else:
            for row in rows:
                window.append(row)
        window.origins.note(place, offset)
    return window


class Resting:
    """The windows by station id and index of their input."""

    def __init__(self, most: int = MOST_STATIONS) -> None:
        self._most = most
        self._windows: dict[str, tuple[int, dict[int, TopicWindow]]] = {}

    def __len__(self) -> int:
        return len(self._windows)

    def lay(self, station_id: str, slot: int, windows: Mapping[int, TopicWindow]) -> None:
        """Put windows of a station here, in the place of those of the same inputs."""
        if windows:
            _, held = self._windows.pop(station_id, (slot, {}))
            self._windows[station_id] = slot, {**held, **windows}
            if len(self._windows) > self._most:
                del self._windows[next(iter(self._windows))]

    def lay_down(self, station: Station, slow: Iterable[int]) -> None:
        """A station goes: its windows of these inputs stay."""
        windows = {index: window for index in slow if (window := station.windows[index]) is not None}
        self.lay(station.id, station.slot, windows)

    def wake(self, station: Station) -> None:
        """A station is there again: what rested of it is its own."""
        _, windows = self._windows.pop(station.id, (0, {}))
        for index, window in windows.items():
            station.windows[index], station.heads[index] = window, window.head

    def disown(self, slots: Iterable[int]) -> None:
        """These slots are another worker's."""
        lost = set(slots)
        self._windows = {name: held for name, held in self._windows.items() if held[0] not in lost}

    def refit(
        self, moves: Mapping[int, int], slow: Iterable[int], fit: Callable[[TopicWindow, int], Head | None]
    ) -> None:
        """Follow a change of the inputs: `moves` leads from old to new index; those of `slow` stay."""
        stay = set(slow)
        for station_id, (slot, windows) in list(self._windows.items()):
            moved = {moves[old]: window for old, window in windows.items() if moves.get(old) in stay}
            for index, window in moved.items():
                fit(window, index)
            self._windows[station_id] = slot, moved
        self._windows = {name: held for name, held in self._windows.items() if held[1]}

    def window_bytes(self) -> int:
        """Bytes of all of them."""
        return sum(w.segment.nbytes for _, windows in self._windows.values() for w in windows.values())
