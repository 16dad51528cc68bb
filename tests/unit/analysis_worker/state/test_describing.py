"""A window that was kept goes on from what its checkpoint says of it."""

import dataclasses
from pathlib import Path

from analysis_worker.engine import segments
from analysis_worker.engine.cuts import WindowCut
from analysis_worker.engine.places import Part
from analysis_worker.state import checkpoints, describing, segment_files

SIZE = 2_000
READERS = segments.Readers([segments.FieldReader("number", ["number"])])


class Room:
    """A disk with room."""

    def take(self, count: int) -> bool:
        return True

    def failed(self, error: OSError) -> None:
        raise error


@dataclasses.dataclass
class Sent:
    """A record."""

    number: float


def described(segment: segments.Segment) -> checkpoints.Window:
    kept = describing.described(WindowCut("S1", 1, segment, segment.count, {}))
    assert kept is not None
    return kept


def test_the_checksum_of_a_kept_window_goes_on_without_reading_its_rows_again(tmp_path: Path) -> None:
    shape = segment_files.Shape(1, SIZE, SIZE)
    file = segment_files.SegmentFile(tmp_path / "a.window", shape, Room())
    before = segments.Segment(READERS, SIZE, file)
    before.tail = (0, [Sent(n + 0.5) for n in range(1_000)])  # type: ignore[list-item]
    before.settle()
    kept = described(before)
    again = segment_files.SegmentFile(tmp_path / "a.window", shape, Room())
    again.reopen()
    segment = describing.segment_of(again, kept, READERS)
    again.view(0, Part.NUMBERS, "float64")[0] = 9.9  # whoever reads it again has another checksum

    assert described(segment) == kept

    for each in (before, segment):
        each.tail = (1_000, [Sent(0.25)])  # type: ignore[list-item]
        each.settle()
    assert described(segment) == described(before)
