"""Columns give back every value as it came, whatever comes after it, and cost no more than they must."""

import math
import sys
import warnings
from typing import Any

import numpy as np
import pytest

from analysis_worker.engine import columns, places

KINDS: dict[str, list[Any]] = {
    "ints": [3, -1, 0],
    "floats": [1.5, -2.25, 0.0],
    "ints and floats": [1, 2.0, 3, 4.5],
    "numbers and nulls": [None, 1, None, 2.5],
    "nulls": [None, None],
    "texts": ["a", "b", "a", ""],
    "bools": [True, False, True],
    "bools and numbers": [True, 1, 1.0, 0, False],
    "texts and numbers": ["1", 1, 1.5, None],
    "huge integers": [2**53, 2**53 + 1, -(2**70), 10**400],
    "huge integers and floats": [0.5, 2**53 + 1],
    "lists": [["01", "00"], [], None, 3],
    "nothing": [],
}


def a_column(values: list[Any], capacity: int = 100, dtype: str = "float64") -> columns.Column:
    return columns.column_for(values, places.Heap(capacity), dtype).extend(values)


def alike(first: list[Any], second: list[Any]) -> bool:
    """Equal, and of the same types."""
    return first == second and [type(v) for v in first] == [type(v) for v in second]


def one_by_one(column: columns.Column) -> list[Any]:
    return [column.value(index) for index in range(column.count)]


@pytest.mark.parametrize("values", KINDS.values(), ids=KINDS)
def test_every_value_comes_back_as_it_came(values: list[Any]) -> None:
    column = a_column(values)
    assert alike(column.values(0, column.count), values)
    assert alike(one_by_one(column), values)


@pytest.mark.parametrize("values", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("later", KINDS.values(), ids=KINDS)
def test_what_was_read_before_is_read_again_after_values_of_another_kind(
    values: list[Any], later: list[Any]
) -> None:
    column = a_column(values)
    column = column.extend(later)
    assert alike(column.values(0, len(values)), values)
    assert alike(column.values(0, column.count), values + later)
    assert alike(one_by_one(column), values + later)


@pytest.mark.parametrize("values", KINDS.values(), ids=KINDS)
def test_values_one_at_a_time_are_those_of_a_block(values: list[Any]) -> None:
    column: columns.Column = columns.NumberColumn(places.Heap(100))
    for value in values:
        column = column.extend([value])
    assert alike(column.values(0, column.count), values)


@pytest.mark.parametrize("values", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("later", KINDS.values(), ids=KINDS)
def test_a_tail_has_the_newest_values_and_takes_more(values: list[Any], later: list[Any]) -> None:
    everything = values + later
    start = len(everything) // 3
    tail = a_column(values).extend(later).tail(start, places.Heap(50))
    assert alike(tail.values(0, tail.count), everything[start:])
    tail = tail.extend(values)
    assert alike(tail.values(0, tail.count), everything[start:] + values)
    if isinstance(tail, columns.NumberColumn):
        first = next((i for i, v in enumerate(everything[start:] + values) if v is None), sys.maxsize)
        assert tail.first_null == first


def test_a_tail_is_a_copy() -> None:
    column = a_column([1.0, 2.0, 3.0])
    tail = column.tail(1, places.Heap(10))
    column.extend([4.0])
    tail.extend([5.0])
    assert tail.values(0, 3) == [2.0, 3.0, 5.0]
    assert column.values(0, 4) == [1.0, 2.0, 3.0, 4.0]


def test_a_number_column_stays_one_up_to_the_last_integer_that_a_float_holds() -> None:
    assert isinstance(a_column([2**53 - 1]), columns.NumberColumn)
    assert isinstance(a_column([2**53]), columns.CodeColumn)
    assert isinstance(a_column([float(2**60)]), columns.NumberColumn)


def test_large_floats_among_integers_stay_numbers() -> None:
    assert isinstance(a_column([1e300, 3]), columns.NumberColumn)
    assert isinstance(a_column([float(2**53 + 2), 2**53]), columns.CodeColumn)


def test_a_float32_column_stays_one_up_to_the_last_integer_that_a_float32_holds() -> None:
    assert isinstance(a_column([2**24 - 1], dtype="float32"), columns.NumberColumn)
    assert a_column([2**24 + 1], dtype="float32").values(0, 1) == [2**24 + 1]


def test_the_view_of_numbers_is_the_memory_itself_and_cannot_be_written() -> None:
    column = a_column([1.0, None, 3.0])
    view = column.view(0, 3)
    assert np.shares_memory(view, column.array)
    assert math.isnan(view[1])
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 2.0


def test_a_view_stays_as_it_was_when_the_column_outgrows_its_buffer() -> None:
    column = a_column([1.0], capacity=100_000)
    view = column.view(0, 1)
    for value in range(1000):
        column = column.extend([float(value)])
    assert view.tolist() == [1.0]
    assert column.count == 1001


@pytest.mark.parametrize("values", [["a", "b", "a"], [[1], [2, 3]], [True, 1, 2**60]])
def test_the_view_of_other_values_is_an_array_of_objects(values: list[Any]) -> None:
    view = a_column(values).view(1, len(values))
    assert view.dtype == object
    assert alike(view.tolist(), values[1:])


def test_a_padded_view_costs_a_copy_only_the_first_time() -> None:
    column = columns.NumberColumn(places.Heap(10))
    column.extend([10.0, 20.0])
    first = column.padded(0.0, missing=3, stop=2)
    column.extend([30.0])
    second = column.padded(0.0, missing=2, stop=3)
    assert first.tolist() == [0.0, 0.0, 0.0, 10.0, 20.0]
    assert second.tolist() == [0.0, 0.0, 10.0, 20.0, 30.0]
    assert np.shares_memory(first, second)
    assert not first.flags.writeable


@pytest.mark.parametrize("front", [0.0, 7.0, float("nan")])
@pytest.mark.parametrize("before", [0.0, 7.0, float("nan")])
def test_another_front_leaves_earlier_padded_views_alone(before: float, front: float) -> None:
    column = columns.NumberColumn(places.Heap(10))
    column.extend([1.0])
    earlier = column.padded(before, missing=2, stop=1)
    now = column.padded(front, missing=4, stop=1)
    np.testing.assert_array_equal(earlier, [before, before, 1.0])
    np.testing.assert_array_equal(now, [front] * 4 + [1.0])
    assert column.extend([2.0]).values(0, 2) == [1.0, 2.0]


def test_a_column_grows_past_its_capacity_if_it_must() -> None:
    column = a_column([1.0] * 8, capacity=4).extend([2.0] * 500)
    assert column.values(0, 508) == [1.0] * 8 + [2.0] * 500


def test_true_1_and_1_0_are_three_values() -> None:
    column = a_column(["x", True, 1, 1.0, True, 1])
    assert isinstance(column, columns.CodeColumn)
    assert len(column.distinct) == 4


def test_a_distinct_value_is_kept_only_as_long_as_it_is_used() -> None:
    column = a_column([f"order {number}" for number in range(1000)], capacity=2000)
    tail = column.tail(990, places.Heap(20))
    assert isinstance(tail, columns.CodeColumn)
    assert tail.distinct == [f"order {number}" for number in range(990, 1000)]


def test_a_stray_text_makes_numbers_dear_no_longer_than_it_is_in_the_window() -> None:
    column = a_column([1, "offline", 2.5, None])
    assert isinstance(column, columns.CodeColumn)
    tail = column.tail(2, places.Heap(10))
    assert isinstance(tail, columns.NumberColumn)
    assert alike(tail.values(0, 2), [2.5, None])


def test_integers_that_a_float_would_round_stay_codes() -> None:
    tail = a_column([2**60, 2**60 + 1]).tail(0, places.Heap(10))
    assert isinstance(tail, columns.CodeColumn)
    assert tail.values(0, 2) == [2**60, 2**60 + 1]


def test_once_the_lists_are_gone_the_column_is_narrow_again() -> None:
    assert isinstance(a_column([[1], 2.0, 3.0]).tail(1, places.Heap(10)), columns.NumberColumn)


def test_an_integer_among_floats_costs_a_byte_a_value_and_only_while_it_is_there() -> None:
    floats = [0.5] * 10
    assert a_column(floats).nbytes == 80
    mixed = a_column([*floats[:9], 1])
    assert mixed.nbytes == 90
    assert mixed.extend(floats).tail(10, places.Heap(10)).nbytes == 80


def test_bytes_count_values_not_reserve() -> None:
    assert a_column([1.0, 2.0], capacity=1_000_000).nbytes == 16
    assert a_column([1.0, 2.0], dtype="float32").nbytes == 8
    assert a_column(["a"]).nbytes > 100
    assert a_column([[1]]).nbytes > 64


def test_a_field_without_a_column_so_far_is_null_in_old_records() -> None:
    assert columns.nulls(3).values(0, 3) == [None, None, None]


def test_a_renewed_column_has_the_width_that_is_asked_for_now() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        single = columns.renewed(a_column([0.1, 3, None, 1e300]), 0, places.Heap(9), dtype="float32")
    assert single.array.dtype == np.float32
    assert single.values(0, 4) == [float(np.float32(0.1)), 3, None, math.inf]
    double = columns.renewed(single, 1, places.Heap(9), dtype="float64")
    assert double.array.dtype == np.float64
    assert double.values(0, 2) == [3, None]


def test_a_single_is_rounded_to_what_a_float32_holds_and_only_floats_are() -> None:
    assert columns.singles([0.1, -1e300, "a", 7, None]) == [float(np.float32(0.1)), -math.inf, "a", 7, None]


@pytest.mark.parametrize(
    ("value", "exact"),
    [
        (0, True),
        (True, True),
        (None, True),
        (1e300, True),
        (2**53 - 1, True),
        (2**53, False),
        (-(2**53), False),
        ("1", False),
        ([1], False),
    ],
)
def test_a_float64_holds_a_value_exactly_or_not(value: Any, exact: bool) -> None:
    assert columns.is_exact(value) is exact
