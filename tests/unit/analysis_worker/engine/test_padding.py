"""The padding table of the seed system's 5.2, row by row: values and types."""

import math
from typing import Any

import pytest

from analysis_module.spec import Padding
from analysis_worker.engine import padding
from tests.unit.analysis_worker.engine import padding_table

ZERO, LINEAR, FORWARD, MISSING = Padding.ZERO, Padding.LINEAR, Padding.FORWARD, Padding.MISSING


@pytest.mark.parametrize(("present", "strategy", "window"), padding_table.ROWS)
def test_a_row_of_the_table_holds_with_its_types(
    present: list[Any], strategy: Padding, window: list[Any]
) -> None:
    padded = padding.padded(present, padding_table.W, strategy)
    assert padded == window
    assert [type(value) for value in padded] == [type(value) for value in window]


def test_linear_is_evenly_spaced_on_positions_of_n_minus_1_over_w_minus_1() -> None:
    assert padding.padded([1, 3], 4, LINEAR) == pytest.approx([1.0, 1.667, 2.333, 3.0], abs=0.001)


@pytest.mark.parametrize("size", [2, 3, 7, 10, 97, 1000])
def test_linear_begins_with_the_first_and_ends_with_the_last_value(size: int) -> None:
    stretched = padding.stretched([3.1, 7.7, 0.3][: size - 1], size)
    assert len(stretched) == size
    assert (stretched[0], stretched[-1]) == (3.1, [3.1, 7.7, 0.3][: size - 1][-1])
    assert all(math.isfinite(value) for value in stretched)


def test_linear_of_one_value_is_copies_of_it() -> None:
    assert padding.padded([7], 3, LINEAR) == [7.0, 7.0, 7.0]


@pytest.mark.parametrize("strategy", Padding)
def test_a_full_window_of_one_is_its_value_unchanged(strategy: Padding) -> None:
    assert padding.padded([1, 2], 1, strategy) == [2]


def test_the_values_handed_over_are_not_changed() -> None:
    values = [1, 2]
    padding.padded(values, 5, ZERO).append(3)
    padding.padded(values, 2, ZERO).append(3)
    assert values == [1, 2]


@pytest.mark.parametrize(
    ("values", "numeric"),
    [
        ([1, 2.5, True], True),
        ([], True),
        ([1, None], False),
        ([1, "1"], False),
        ([[1]], False),
        ([10**300], True),
        ([1, 10**400], False),
    ],
)
def test_numeric_is_int_float_or_bool_in_every_value(values: list[Any], numeric: bool) -> None:
    assert padding.is_numeric(values) is numeric


@pytest.mark.parametrize(
    ("strategy", "first", "count", "front"),
    [
        (ZERO, 5, 2, 0),
        (ZERO, None, 0, 0),
        (FORWARD, 5, 2, 5),
        (FORWARD, None, 0, 0),
        (LINEAR, "a", 1, "a"),
        (LINEAR, None, 0, 0),
        (MISSING, 5, 2, None),
        (MISSING, None, 0, None),
    ],
)
def test_the_filler_follows_the_strategy(strategy: Padding, first: Any, count: int, front: Any) -> None:
    assert padding.filler(strategy, first, count) == front
