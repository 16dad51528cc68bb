"""The padding table of the seed system's 5.2 as data, with a few rows that follow from its rules."""

from typing import Any

import pytest

from analysis_module.spec import Padding

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
