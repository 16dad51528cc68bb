"""A worker's directory of windows in files, filled without a worker."""

import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

from analysis_worker.engine import columns, cuts, segments
from analysis_worker.state import checkpoints, describing, store

SIZE = 2_000
GROUP, OWNER, TOPIC, SOURCE = "group", "owner", "POWER", "group@kafka:9092"
READERS = segments.Readers(segments.FieldReader(name, [name]) for name in ("power", "name"))


class Kept:
    """Windows of two fields, numbers and names, in `<directory>/group/owner`."""

    def __init__(self, directory: pathlib.Path, *, size: int = SIZE, owner: str = OWNER) -> None:
        self.path = directory / GROUP / owner
        self.files = store.Store(self.path, 2**34)
        self.files.open()
        self.size = size
        self.segments: dict[tuple[int, str, str], segments.Segment] = {}

    def add(self, slot: int, station: str, count: int, *, topic: str = TOPIC) -> segments.Segment:
        """So many records more in a window, which go on counting."""
        key = (slot, topic, station)
        if key not in self.segments:
            self.segments[key] = segments.segment_for(READERS, self.size, self.files)
        segment = self.segments[key]
        begin = segment.count
        numbers = [float(number) for number in range(begin, begin + count)]
        self._extend(segment, 0, numbers)
        self._extend(segment, 1, [f"name {number % 7}" for number in range(begin, begin + count)])
        segment.tail = (begin + count, [])
        return segment

    def _extend(self, segment: segments.Segment, field: int, values: Sequence[Any]) -> None:
        column = segment.columns[field]
        if column is None:
            column = columns.column_for(values, segment.home.place(field), "float64")
        segment.columns[field] = column.extend(values)

    def write(self, slot: int) -> pathlib.Path:
        """The slot's checkpoint, of all that was added; its path."""
        topics: dict[str, checkpoints.Topic] = {}
        for name in sorted({topic for number, topic, _ in self.segments if number == slot}):
            windows = [
                describing.described(cuts.WindowCut(station, 1_000, segment, segment.count, {}))
                for (number, topic, station), segment in self.segments.items()
                if (number, topic) == (slot, name)
            ]
            positions = {0: sum(window.count for window in windows if window)}
            capacity = segments.capacity_for(self.size)
            found = [window for window in windows if window is not None]
            assert len(found) == len(windows), "a window is not in a file"
            topics[name] = checkpoints.Topic("meaning", self.size, capacity, positions, found)
        checkpoint = checkpoints.Checkpoint(slot, SOURCE, self.files.boot, time.time(), topics)
        self.files.write(checkpoint)
        return self.path / f"slot-{slot:04}.checkpoint"

    def close(self) -> None:
        """As after the worker's end."""
        self.files.close()


def windows_in(directory: pathlib.Path, slot: int) -> Mapping[str, Mapping[str, list[list[Any]]]]:
    """Of each topic and station the values of each field, as a worker takes them from files."""
    files = store.Store(directory, 2**34)
    found = files.find([slot], SOURCE).checkpoints
    return {
        name: {
            window.station: [
                column.values(0, window.count)
                for column in files.segment(window, topic, READERS, check=True).columns
                if column is not None
            ]
            for window in topic.windows
        }
        for name, topic in (found[slot].topics.items() if slot in found else ())
    }
