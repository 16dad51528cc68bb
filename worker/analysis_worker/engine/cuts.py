"""Windows as they are at one moment, to be written down when all that was taken before is done.

Columns only grow, so what is noted here reads the same later, whatever has come meanwhile. A cut of a slot
together with its positions is a consistent one: taken between two batches, nothing is half in it (the
snapshots of Chandy and Lamport, with one process and no channels).
"""

import dataclasses
from collections.abc import Iterable, Mapping

from analysis_worker.engine.records import TopicPartition
from analysis_worker.engine.segments import Segment
from analysis_worker.engine.stations import Station


@dataclasses.dataclass(frozen=True, slots=True)
class WindowCut:
    """The first `count` records of a segment; `seen` is the station's, in ms since the epoch."""

    station: str
    seen: int
    segment: Segment
    count: int
    floors: Mapping[TopicPartition, int]


def of_input(stations: Iterable[Station], index: int) -> list[WindowCut]:
    """The windows of one input; all their records are in columns afterwards."""
    cuts = []
    for station in stations:
        window = station.windows[index]
        if window is not None and window.segment.count:
            window.segment.settle()
            cut = WindowCut(
                station.id, station.last_seen, window.segment, window.segment.count, window.origins.floors()
            )
            cuts.append(cut)
    return cuts


def by_slot(stations: Iterable[Station]) -> dict[int, list[Station]]:
    """Stations by their slots."""
    slots: dict[int, list[Station]] = {}
    for station in stations:
        slots.setdefault(station.slot, []).append(station)
    return slots
