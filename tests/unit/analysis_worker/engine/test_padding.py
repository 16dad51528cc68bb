"""The padding table of the seed system's 5.2, row by row: values and types."""

import math
from typing import Any

import pytest

from analysis_module.spec import Padding
from analysis_worker.engine import padding

ZERO, LINEAR, FORWARD, MISSING = Padding.ZERO, Padding.LINEAR, Padding.FORWARD, Padding.MISSING
W = 5
TABLE: dict[str, tuple[list[Any], dict[Padding, list[Any]]]] = {
    "10, 20": (
        [10, 20],
        {
            ZERO: [0, 0, 0, 10, 20],
            LINEAR: [10.0, 12.5, 15.0, 17.5, 20.0],
            FORWARD: [10, 10, 10, 10, 20],
            MISSING: [None, None, None, 10, 20],
        },
    ),
    "10, 20, 40": (
        [10, 20, 40],
        {
            ZERO: [0, 0, 10, 20, 40],
            LINEAR: [10.0, 15.0, 20.0, 30.0, 40.0],
            FORWARD: [10, 10, 10, 20, 40],
            MISSING: [None, None, 10, 20, 40],
        },
    ),
    "10": (
        [10],
        {
            ZERO: [0, 0, 0, 0, 10],
            LINEAR: [10.0] * 5,
            FORWARD: [10] * 5,
            MISSING: [None, None, None, None, 10],
        },
    ),
    "empty": ([], {ZERO: [0] * 5, LINEAR: [0] * 5, FORWARD: [0] * 5, MISSING: [None] * 5}),
    "texts": (
        ["a", "b"],
        {
            ZERO: [0, 0, 0, "a", "b"],
            LINEAR: ["a", "a", "a", "a", "b"],
            FORWARD: ["a", "a", "a", "a", "b"],
            MISSING: [None, None, None, "a", "b"],
        },
    ),
    "1, null": (
        [1, None],
        {
            ZERO: [0, 0, 0, 1, None],
            LINEAR: [1, 1, 1, 1, None],
            FORWARD: [1, 1, 1, 1, None],
            MISSING: [None, None, None, 1, None],
        },
    ),
    "true, 3": (
        [True, 3],
        {
            ZERO: [0, 0, 0, True, 3],
            LINEAR: [1.0, 1.5, 2.0, 2.5, 3.0],
            FORWARD: [True, True, True, True, 3],
            MISSING: [None, None, None, True, 3],
        },
    ),
    "1 .. 7": ([1, 2, 3, 4, 5, 6, 7], {key: [3, 4, 5, 6, 7] for key in Padding}),
    "floats": (
        [1.5, 2.5],
        {
            ZERO: [0, 0, 0, 1.5, 2.5],
            LINEAR: [1.5, 1.75, 2.0, 2.25, 2.5],
            FORWARD: [1.5, 1.5, 1.5, 1.5, 2.5],
            MISSING: [None, None, None, 1.5, 2.5],
        },
    ),
    "lists": (
        [["01"], ["02"]],
        {
            ZERO: [0, 0, 0, ["01"], ["02"]],
            LINEAR: [["01"], ["01"], ["01"], ["01"], ["02"]],
            FORWARD: [["01"], ["01"], ["01"], ["01"], ["02"]],
            MISSING: [None, None, None, ["01"], ["02"]],
        },
    ),
}
"""Present values -> the window of 5 under each padding."""
ROWS = [
    pytest.param(present, strategy, window, id=f"{name}-{strategy}")
    for name, (present, windows) in TABLE.items()
    for strategy, window in windows.items()
]


@pytest.mark.parametrize(("present", "strategy", "window"), ROWS)
def test_a_row_of_the_table_holds_with_its_types(
    present: list[Any], strategy: Padding, window: list[Any]
) -> None:
    padded = padding.padded(present, W, strategy)
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
    [([1, 2.5, True], True), ([], True), ([1, None], False), ([1, "1"], False), ([[1]], False)],
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
