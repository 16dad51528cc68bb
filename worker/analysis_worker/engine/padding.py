"""The four paddings of a window shorter than its size (seed system 5.2)."""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from analysis_module.spec import Padding

_NUMERIC = (int, float)  # bool is an int
_LARGEST = sys.float_info.max


def is_numeric(values: Sequence[Any]) -> bool:
    """Whether every value is an int, a float or a bool, and no int beyond what a float can be."""
    return all(isinstance(value, _NUMERIC) and abs(value) <= _LARGEST for value in values)


def filler(padding: Padding, first: Any, count: int) -> Any:
    """The value put in front: `first` is the oldest present one of `count`."""
    if padding is Padding.MISSING:
        return None
    if padding is Padding.ZERO or count == 0:
        return 0
    return first


def stretched(values: Sequence[Any], size: int) -> list[float]:
    """`values` (all numeric, at least one) interpolated over `size` points: y[j] at j*(n-1)/(size-1)."""
    count = len(values)
    if count == 1 or size == 1:
        return [float(values[-1])] * size
    points = np.arange(size) * ((count - 1) / (size - 1))
    # The last point may round past n-1 by an ulp; np.interp then gives the last value, as it should.
    interpolated: list[float] = np.interp(
        points, np.arange(count), np.asarray(values, dtype=np.float64)
    ).tolist()
    return interpolated


def padded(values: Sequence[Any], size: int, padding: Padding) -> list[Any]:
    """Exactly `size` values, oldest first: the newest of `values`, padded in front if there are fewer."""
    count = len(values)
    if count >= size:
        return list(values[count - size :])
    if padding is Padding.LINEAR and count and is_numeric(values):
        return list(stretched(values, size))
    front = filler(padding, values[0] if count else None, count)
    return [front] * (size - count) + list(values)
