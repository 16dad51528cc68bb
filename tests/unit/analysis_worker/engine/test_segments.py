"""A segment only grows: what was in it at one moment reads the same at any later one, row or column."""

import types
from typing import Any

import numpy as np
import pytest

from analysis_worker.engine import columns, segments
from analysis_worker.engine.records import ABSENT
from tests import builders

KINDS: dict[str, list[Any]] = {
    "ints": [3, -1, 0],
    "ints and floats": [1, 2.0, 3, None],
    "texts": ["a", "b", "a"],
    "lists": [["01", "00"], [], None],
    "mixed": [True, "1", 1, 1.0, 2**70],
}


def a_segment(values: list[Any], window_size: int = 100) -> segments.Segment:
    segment = segments.Segment(builders.readers(), segments.capacity_for(window_size))
    segment.tail = (0, builders.rows(*values))
    return segment


def grown(segment: segments.Segment, *values: Any) -> segments.Segment:
    segment.tail[1].extend(builders.rows(*values))
    return segment


def values_of(segment: segments.Segment, field: int = 0, count: int | None = None) -> list[Any]:
    stop = segment.count if count is None else count
    return segment.column(field, stop).values(0, stop)


def alike(first: list[Any], second: list[Any]) -> bool:
    return first == second and [type(v) for v in first] == [type(v) for v in second]


# -- readers


def a_row(**attributes: Any) -> Any:
    return types.SimpleNamespace(**attributes)


def test_the_first_attribute_that_is_present_wins_and_null_is_present() -> None:
    reader = segments.FieldReader("power", ["power", "alias", "other"])
    rows = [
        a_row(power=1, alias=2, other=3),
        a_row(power=ABSENT, alias=2, other=3),
        a_row(power=ABSENT, alias=ABSENT, other=3),
        a_row(power=None, alias=2, other=3),
        a_row(power=ABSENT, alias=ABSENT, other=ABSENT),
    ]
    assert [reader.value(row) for row in rows] == [1, 2, 3, None, None]
    assert reader.values(rows) == [1, 2, 3, None, None]
    assert reader.values(rows[:1]) == [1]


def test_the_readers_of_a_topic_turn_rows_into_one_sequence_per_field() -> None:
    readers = builders.readers("power", "soc")
    assert readers.columns([a_row(power=1, soc=2), a_row(power=3, soc=4)]) == [[1, 3], [2, 4]]


def test_a_single_is_the_same_from_its_row_and_from_its_column() -> None:
    reader = segments.SingleReader("power", ["power"], "float32")
    segment = segments.Segment(segments.Readers([reader]), 100)
    segment.tail = (0, builders.rows(0.1, 7, None))
    from_rows = [segment.value(0, index) for index in range(3)]
    segment.settle()
    assert from_rows == [float(np.float32(0.1)), 7, None] == values_of(segment)
    assert segment.column(0, 3).array.dtype == np.float32


# -- reading


@pytest.mark.parametrize("values", KINDS.values(), ids=KINDS)
def test_a_value_is_the_same_before_and_after_its_row_became_column_values(values: list[Any]) -> None:
    segment = a_segment(values)
    before = [segment.value(0, index) for index in range(len(values))]
    segment.settle()
    after = [segment.value(0, index) for index in range(len(values))]
    assert alike(before, values)
    assert alike(after, values)
    assert segment.tail == (len(values), [])


@pytest.mark.parametrize("values", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("later", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("read_first", [True, False])
def test_the_first_records_read_the_same_whatever_follows(
    values: list[Any], later: list[Any], read_first: bool
) -> None:
    segment = a_segment(values)
    if read_first:
        segment.column(0, len(values))
    grown(segment, *later)
    segment.settle()
    grown(segment, *values)
    assert alike(values_of(segment, count=len(values)), values)
    assert alike(values_of(segment), values + later + values)


def test_a_column_is_filled_no_further_than_is_read() -> None:
    segment = a_segment([1, 2, 3])
    assert segment.column(0, 2).count == 2
    assert segment.columns[0] is segment.column(0, 1)
    segment.settle()
    assert values_of(segment) == [1, 2, 3]


def test_only_the_field_that_is_read_gets_a_column() -> None:
    segment = segments.Segment(builders.readers("power", "soc"), 100)
    segment.tail = (0, [a_row(power=1, soc=2)])
    segment.column(1, 1)
    assert segment.columns[0] is None


@pytest.mark.parametrize(
    ("values", "numeric"),
    [([1, 2.5], True), ([True, 3], True), ([1, None], False), ([1, "a"], False), ([[1]], False)],
)
def test_numbers_and_bools_are_numeric(values: list[Any], numeric: bool) -> None:
    assert a_segment(values).is_numeric(0, len(values)) is numeric


def test_only_what_was_there_counts_for_being_numeric() -> None:
    segment = a_segment([1, 2.5])
    grown(segment, None)
    segment.settle()
    assert segment.is_numeric(0, 2)
    assert not segment.is_numeric(0, 3)


def test_numbers_are_read_behind_padding_and_nothing_else_is() -> None:
    padded = a_segment([1.0, 2.0]).padded(0, 9.0, missing=2, count=2)
    assert padded is not None
    assert padded.tolist() == [9.0, 9.0, 1.0, 2.0]
    assert a_segment(["a"]).padded(0, 0.0, missing=1, count=1) is None


def test_bytes_count_columns_and_rows() -> None:
    segment = a_segment([1.0, 2.0])
    waiting = segment.nbytes
    segment.settle()
    assert segment.nbytes == 16 < waiting


# -- following segments


@pytest.mark.parametrize("size", [1, 5, 32, 33, 90])
@pytest.mark.parametrize("settled", [True, False])
def test_a_successor_begins_with_the_newest_records_and_leaves_the_old_one_as_it_was(
    size: int, settled: bool
) -> None:
    values = list(range(70))
    segment = a_segment(values, size)
    if settled:
        segment.settle()
        grown(segment, *range(70, 100))
        values = list(range(100))
    following = segments.successor(segment, size)
    grown(following, 100, 101)
    assert values_of(following) == [*values[-size:], 100, 101]
    assert values_of(segment) == values


def test_a_small_window_goes_over_as_rows() -> None:
    following = segments.successor(a_segment([1, 2, 3], 2), 2)
    assert following.columns == [None]
    assert following.tail == (0, builders.rows(2, 3))


def test_other_fields_are_taken_over_by_name_and_new_ones_are_null() -> None:
    segment = segments.Segment(builders.readers("power", "soc"), 100)
    segment.tail = (0, [a_row(power=1, soc=2), a_row(power=3, soc=4)])
    following = segments.successor(segment, 50, builders.readers("soc", "voltage"))
    following.tail[1].append(a_row(soc=6, voltage=400.0))
    assert values_of(following, 0) == [2, 4, 6]
    assert values_of(following, 1) == [None, None, 400.0]


def test_a_field_keeps_its_values_when_its_width_changes() -> None:
    wider = a_segment([1.5, 2.5])
    single = segments.Readers([segments.SingleReader("power", ["power"], "float32")])
    following = segments.successor(wider, 50, single)
    column = following.column(0, 2)
    assert isinstance(column, columns.NumberColumn)
    assert column.array.dtype == np.float32
    assert values_of(following) == [1.5, 2.5]


@pytest.mark.parametrize(("first", "second"), [(0, 3), (3, 0), (2, 3), (40, 80), (0, 0)])
@pytest.mark.parametrize("size", [5, 50])
def test_joined_are_the_first_ones_records_then_the_second_ones(first: int, second: int, size: int) -> None:
    one, other = list(range(first)), [f"s{n}" for n in range(second)]
    joint = segments.joined(a_segment(one, size), a_segment(other, size), size)
    assert values_of(joint)[-size:] == (one + other)[-size:]
    assert values_of(joint) == one[-size:] + other[-size:]


def test_a_segment_has_room_for_a_block_beyond_the_window() -> None:
    for size in (1, 10, 64, 1000, 604_800):
        assert segments.capacity_for(size) >= size + segments.BLOCK_ROWS
        assert segments.capacity_for(size) - size >= segments.block_rows_for(size)


def test_blocks_grow_with_the_window_within_bounds() -> None:
    sizes = [1, 64, 10_000, 604_800]
    assert [segments.block_rows_for(size) for size in sizes] == [64, 64, 156, 256]
