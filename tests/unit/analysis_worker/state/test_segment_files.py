"""Columns in a file: where they lie, what is allocated for them, and what happens where there is no room."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from analysis_worker.engine.places import Array, Part
from analysis_worker.state import segment_files
from analysis_worker.state.segment_files import SegmentFile, Shape

SHAPE = Shape(fields=2, size=2_000, capacity=2_400)


class Space:
    """A disk of so many bytes."""

    def __init__(self, most: int = 2**30) -> None:
        self.most = most
        self.used = 0
        self.errors: list[OSError] = []

    def take(self, count: int) -> bool:
        if self.used + count > self.most:
            return False
        self.used += count
        return True

    def give(self, count: int) -> None:
        self.used -= count

    def failed(self, error: OSError) -> None:
        self.errors.append(error)


def a_file(directory: Path, space: Space | None = None) -> SegmentFile:
    return SegmentFile(directory / "a.window", SHAPE, space or Space())


def grown(file: SegmentFile, values: list[float], needed: int, field: int = 0) -> Array:
    return file.place(field).grown(Part.NUMBERS, np.array(values), needed)


def test_parts_of_fields_do_not_overlap_and_begin_at_pages() -> None:
    regions = [SHAPE.region(field, part) for field in range(2) for part in Part]
    ordered = sorted(regions)
    assert all(begin % 4096 == 0 for begin, _ in ordered)
    assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(ordered))
    assert ordered[-1][1] == SHAPE.total


def test_a_file_is_made_when_the_first_column_needs_room(tmp_path: Path) -> None:
    file = a_file(tmp_path)
    assert not file.path.exists()
    grown(file, [], 1)
    assert file.path.stat().st_size == SHAPE.total


def test_room_grows_in_place_and_what_was_viewed_stays(tmp_path: Path) -> None:
    file = a_file(tmp_path)
    first = grown(file, [1.0, 2.0], 10)
    second = file.place(0).grown(Part.NUMBERS, first, 1_000)
    assert np.shares_memory(first, second)
    second[2] = 3.0
    assert first[:3].tolist() == [1.0, 2.0, 3.0]


def test_what_is_held_elsewhere_is_copied(tmp_path: Path) -> None:
    room = grown(a_file(tmp_path), [1.5, 2.5], 10)
    assert room[:2].tolist() == [1.5, 2.5]


def test_more_than_the_file_has_room_for_goes_on_the_heap(tmp_path: Path) -> None:
    file = a_file(tmp_path)
    room = file.place(0).grown(Part.NUMBERS, grown(file, [7.0], 10), SHAPE.capacity + 1)
    assert (room[0], file.holds(0, Part.NUMBERS, room)) == (7.0, False)


def test_what_the_disk_has_no_room_for_goes_on_the_heap_and_takes_nothing(tmp_path: Path) -> None:
    space = Space(most=4096)
    file = a_file(tmp_path, space)
    room = grown(file, [7.0], 1_000)
    assert (room[0], file.holds(0, Part.NUMBERS, room), space.used) == (7.0, False, 0)


def test_a_file_that_cannot_be_made_is_told_and_the_column_goes_on_the_heap(tmp_path: Path) -> None:
    space = Space()
    room = grown(SegmentFile(tmp_path / "nowhere" / "a.window", SHAPE, space), [7.0], 10)
    assert (room[0], space.used, len(space.errors)) == (7.0, 0, 1)


@pytest.mark.parametrize("front", [0.0, 1.5, float("nan")])
def test_numbers_have_the_padding_before_them_without_being_copied(tmp_path: Path, front: float) -> None:
    file = a_file(tmp_path)
    numbers = grown(file, [4.0, 5.0], 10)
    found = file.place(0).fronted(numbers, front)
    assert found is not None
    whole, size = found
    assert size == SHAPE.size
    assert np.array_equal(whole[:size], np.full(size, front), equal_nan=True)
    assert np.shares_memory(whole, numbers)
    assert whole[size : size + 2].tolist() == [4.0, 5.0]


def test_another_padding_than_before_is_not_written_over_what_others_may_look_at(tmp_path: Path) -> None:
    file = a_file(tmp_path)
    numbers = grown(file, [4.0], 10)
    assert file.place(0).fronted(numbers, 1.0) is not None
    assert file.place(0).fronted(numbers, 2.0) is None
    assert file.place(0).fronted(numbers, 1.0) is not None


def test_a_padding_of_a_process_before_is_replaced(tmp_path: Path) -> None:
    file = a_file(tmp_path)
    file.place(0).fronted(grown(file, [4.0], 10), 9.0)
    again = a_file(tmp_path)
    again.reopen()
    found = again.place(0).fronted(again.view(0, Part.NUMBERS, "float64", 1), 0.0)
    assert found is not None
    assert found[0][: SHAPE.size].tolist() == [0.0] * SHAPE.size


def test_a_reopened_files_parts_that_were_not_used_are_allocated_before_they_are(tmp_path: Path) -> None:
    grown(a_file(tmp_path), [4.0], 10)
    again = a_file(tmp_path, Space(most=0))
    again.reopen()
    again.known(0, Part.NUMBERS, 1, checksum=0)
    flags = again.place(0).grown(Part.FLAGS, np.array([True]), 1)
    assert not again.holds(0, Part.FLAGS, flags), "the disk had no room for them"
    numbers = again.view(0, Part.NUMBERS, "float64", 1)
    assert again.holds(0, Part.NUMBERS, again.place(0).grown(Part.NUMBERS, numbers, 1))


def test_a_checksum_reads_only_what_has_come_and_is_that_of_the_whole(tmp_path: Path) -> None:
    file, other = a_file(tmp_path), a_file(tmp_path)
    room = grown(file, list(map(float, range(100))), 200)
    file.checksum(0, Part.NUMBERS, "float64", 60)
    room[10] = -1.0  # not looked at again
    part_by_part = file.checksum(0, Part.NUMBERS, "float64", 100)
    room[10] = 10.0
    other.reopen()
    assert part_by_part == other.checksum(0, Part.NUMBERS, "float64", 100)


def test_distinct_values_come_back_with_their_types(tmp_path: Path) -> None:
    file = a_file(tmp_path)
    values = ["a", 1, 1.0, True, None, "深圳", float("inf")]
    file.tell(1, values[:3])
    file.tell(1, values)
    assert [(type(value), value) for value in file.told()[1]] == [(type(value), value) for value in values]


def test_values_beyond_a_checkpoint_are_forgotten(tmp_path: Path) -> None:
    file = a_file(tmp_path)
    file.tell(0, ["a", "b", "c"])
    again = a_file(tmp_path)
    assert again.keep([2, 0])[0] == ["a", "b"]
    again.tell(0, ["a", "b", "other"])
    assert a_file(tmp_path).told()[0] == ["a", "b", "other"]


def test_a_line_that_a_kill_cut_off_is_forgotten_and_not_taken_for_a_part_of_the_next(
    tmp_path: Path,
) -> None:
    file = a_file(tmp_path)
    file.tell(0, ["a"])
    with file.values_path.open("a", encoding="utf-8") as values:
        values.write('[0, "b')
    again = a_file(tmp_path)
    assert again.keep([1, 0])[0] == ["a"]
    again.tell(0, ["a", "c"])
    assert a_file(tmp_path).told()[0] == ["a", "c"]


def test_fewer_values_than_a_checkpoint_says_are_a_fault(tmp_path: Path) -> None:
    file = a_file(tmp_path)
    file.tell(0, ["a"])
    with pytest.raises(segment_files.Torn, match="1 of 2 values"):
        file.keep([2, 0])
