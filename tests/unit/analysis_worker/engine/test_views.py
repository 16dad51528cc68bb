"""A window acts like a list and like an ndarray, padded as the seed system's 5.2 says, and never changes."""

import copy
import json
import math
import pickle
from typing import Any

import numpy as np
import orjson
import pytest

from analysis_module.spec import Padding
from analysis_worker.engine import views
from tests import builders
from tests.unit.analysis_worker.engine import padding_table

a_view = builders.a_view
RECORDS: dict[str, list[Any]] = {
    "none": [],
    "one": [7],
    "short": [1, 2.5, 3],
    "full": [1, 2.5, 3, 4, 5],
    "more": list(range(200)),
    "nulls": [1, None, 2.5],
    "texts": ["a", "b"],
    "full of texts": ["a", "b", "c", "d", "e", "f"],
    "bools": [True, False, True, True, False],
    "lists": [[1], [2, 3]],
    "huge integers": [2**53, 2**60, 2**70],
    "a stray text, gone": ["offline", 1, 2, 3, 4, 5],
}


def alike(first: list[Any], second: list[Any]) -> bool:
    return first == second and [type(v) for v in first] == [type(v) for v in second]


# -- padding


@pytest.mark.parametrize(("present", "strategy", "window"), padding_table.ROWS)
@pytest.mark.parametrize("settled", [True, False])
def test_a_row_of_the_padding_table_is_what_a_callback_sees(
    present: list[Any], strategy: Padding, window: list[Any], settled: bool
) -> None:
    made = builders.a_window(present, padding_table.W)
    if settled:
        made.segment.settle()
    view = views.Window(made.head, 0, padding_table.W, strategy)
    assert alike(view.tolist(), window)
    assert alike([view[index] for index in range(-len(view), len(view))], window * 2)
    assert alike([views.latest(made.head, 0, padding_table.W, strategy)], window[-1:])


@pytest.mark.parametrize(("present", "strategy", "window"), padding_table.ROWS)
def test_a_row_of_the_padding_table_is_the_same_as_an_array(
    present: list[Any], strategy: Padding, window: list[Any]
) -> None:
    array = a_view(present, padding_table.W, strategy).numpy()
    if all(value is None or isinstance(value, int | float) for value in window):
        assert array.dtype == np.float64
        expected = [np.nan if value is None else float(value) for value in window]
        np.testing.assert_array_equal(array, expected)
    else:
        assert array.dtype == object
        assert alike(array.tolist(), window)


def test_linear_reads_the_same_item_by_item() -> None:
    view = a_view([1, 3], 4, Padding.LINEAR)
    assert view.tolist() == pytest.approx([1.0, 1.667, 2.333, 3.0], abs=0.001)
    assert [view[index] for index in range(4)] == view.tolist()


@pytest.mark.parametrize("records", RECORDS.values(), ids=RECORDS)
@pytest.mark.parametrize("strategy", Padding)
def test_the_array_depends_on_the_values_alone_not_on_what_came_before(
    records: list[Any], strategy: Padding
) -> None:
    view = a_view(records, 5, strategy)
    fresh = a_view(view.tolist(), 5, strategy)
    assert view.numpy().dtype == fresh.numpy().dtype
    assert alike(view.numpy().tolist(), fresh.numpy().tolist()) or np.isnan(fresh.numpy()).any()


def test_what_is_present_is_known() -> None:
    assert [a_view(range(n), 3).present for n in (0, 2, 3, 9)] == [0, 2, 3, 3]


# -- like a list


@pytest.mark.parametrize("records", RECORDS.values(), ids=RECORDS)
@pytest.mark.parametrize("strategy", Padding)
def test_it_reads_like_the_list_of_its_values(records: list[Any], strategy: Padding) -> None:
    view = a_view(records, 5, strategy)
    listed = view.tolist()
    assert len(view) == len(listed) == 5
    assert alike(list(view), listed)
    assert alike(view[1:4], listed[1:4])
    assert alike(view[::-2], listed[::-2])
    assert alike(list(reversed(view)), listed[::-1])
    assert alike([view[-1], view[0]], [listed[-1], listed[0]])
    assert listed[2] in view
    assert view.count(listed[2]) == listed.count(listed[2])
    assert view.index(listed[2]) == listed.index(listed[2])
    assert view == listed
    assert (view != listed) is False
    assert view != [*listed[:-1], "other"]
    assert view == a_view(records, 5, strategy)
    assert bool(view) is True
    assert repr(view) == f"Window({listed!r})"


@pytest.mark.parametrize("index", [5, -6, 100])
def test_an_index_outside_is_an_error_that_says_so(index: int) -> None:
    with pytest.raises(IndexError, match=f"index {index} is outside a window of 5"):
        a_view([1], 5)[index]


def test_the_list_of_it_is_new_each_time() -> None:
    view = a_view([1, 2], 2)
    view.tolist().append(3)
    assert view.tolist() == [1, 2]


def test_equality_is_a_bool_and_with_anything_else_not_equal() -> None:
    view = a_view([1, 2], 2)
    assert (view == [1, 2]) is True
    assert (view != [1, 2]) is False
    assert (view == "12") is False
    assert (view == 5) is False
    assert (view != 5) is True


def test_it_goes_through_json_as_a_list() -> None:
    view = a_view([1, 2.5], 3)
    assert json.dumps({"a": view}, default=list) == '{"a": [0, 1, 2.5]}'
    assert orjson.dumps({"a": view}, default=list) == b'{"a":[0,1,2.5]}'


def test_a_copy_or_pickle_of_it_is_a_plain_list() -> None:
    view = a_view(["a", [1]], 3)
    for made in (copy.copy(view), copy.deepcopy(view), pickle.loads(pickle.dumps(view))):
        assert type(made) is list
        assert made == [0, "a", [1]]


def test_it_has_no_hash_like_any_list() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(a_view([1], 1))


# -- like an array


def test_arithmetic_and_numpy_functions_work_on_it() -> None:
    view = a_view([1, 2, 3], 3)
    assert (view + 1).tolist() == [2.0, 3.0, 4.0]
    assert (2 * view).tolist() == [2.0, 4.0, 6.0]
    assert (view - view).tolist() == [0.0, 0.0, 0.0]
    assert (-view).tolist() == [-1.0, -2.0, -3.0]
    assert (view > 1).tolist() == [False, True, True]
    assert np.mean(view) == view.mean() == 2.0
    assert view.max() == 3.0
    assert view.shape == (3,)
    assert view.dtype == np.float64
    assert np.diff(view).tolist() == [1.0, 1.0]
    assert np.add.reduce(view) == 6.0
    assert view[np.array([0, 2])].tolist() == [1.0, 3.0]
    assert view[view > 1].tolist() == [2.0, 3.0]
    assert view[np.int64(1)] == 2.0


def test_against_an_array_it_compares_value_by_value() -> None:
    view = a_view([1, 2], 2)
    assert (view == np.array([1.0, 3.0])).tolist() == [True, False]
    assert (view != np.array([1.0, 3.0])).tolist() == [False, True]


def test_an_array_of_it_shares_memory_unless_a_copy_is_asked_for() -> None:
    view = a_view([1.0, 2.0], 2)
    assert np.shares_memory(np.asarray(view), view.numpy())
    assert not np.shares_memory(np.array(view), view.numpy())
    assert np.array(view).flags.writeable
    assert np.asarray(view, dtype=np.int64).tolist() == [1, 2]
    with pytest.raises(ValueError, match="without a copy"):
        np.array(view, dtype=np.int32, copy=False)


@pytest.mark.parametrize("records", RECORDS.values(), ids=RECORDS)
def test_the_array_cannot_be_written(records: list[Any]) -> None:
    array = a_view(records, 5).numpy()
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1
    with pytest.raises(TypeError):
        a_view(records, 5)[0] = 1


def test_a_full_window_of_numbers_is_the_column_itself() -> None:
    window = builders.a_window([float(n) for n in range(300)], 100)
    first, second = (views.Window(window.head, 0, 100, Padding.ZERO).numpy() for _ in range(2))
    assert np.shares_memory(first, second)


def test_what_an_array_lacks_it_lacks() -> None:
    with pytest.raises(AttributeError):
        _ = a_view([1], 1).nothing_of_the_kind
    assert not hasattr(a_view([1], 1), "__array_interface__")


# -- unchanging


@pytest.mark.parametrize("records", RECORDS.values(), ids=RECORDS)
@pytest.mark.parametrize("strategy", Padding)
@pytest.mark.parametrize("size", [5, 40, 150])
def test_it_reads_the_same_after_10_000_more_records(
    records: list[Any], strategy: Padding, size: int
) -> None:
    window = builders.a_window(records, size)
    unread, read = (views.Window(window.head, 0, size, strategy) for _ in range(2))
    before, array = read.tolist(), read.numpy()
    as_array = array.copy()
    for later in ([1.5, 2, None], ["x", True], [[1]]):
        for row in builders.rows(*later * 1111):
            window.append(row)
        window.resize(size, builders.readers())
    assert alike(unread.tolist(), before)
    assert alike(read.tolist(), before)
    np.testing.assert_array_equal(array, as_array)
    np.testing.assert_array_equal(unread.numpy(), as_array)


def test_a_single_width_field_is_an_array_of_that_width() -> None:
    spec = {
        "topic": "POWER",
        "fields": ["stationId", "power"],
        "windowSize": 2,
        "dtypes": {"power": "float32"},
    }
    driven = builders.an_engine(inputs=[spec])
    driven.take("POWER", {"stationId": "S1", "power": 2}, {"stationId": "S1", "power": 0.1})
    module_input = driven.module_input()
    assert module_input["power"] == module_input["power_window"][-1] == float(np.float32(0.1))
    assert module_input["power_window"].tolist() == [2, float(np.float32(0.1))]
    assert module_input["power_window"].numpy().dtype == np.float32


@pytest.mark.parametrize("padding", Padding)
@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 9])
def test_a_slice_is_that_of_the_list(padding: Padding, count: int) -> None:
    view = builders.a_view([float(number) for number in range(count)], 4, padding)
    bounds = [None, *range(-6, 7)]
    for start in bounds:
        for stop in bounds:
            for step in (None, 1, 2, -1):
                assert view[start:stop:step] == view.tolist()[start:stop:step]


@pytest.mark.parametrize("padding", Padding)
def test_a_window_without_records_is_the_array_of_its_list(padding: Padding) -> None:
    view = builders.a_view([], 4, padding)
    wanted = [math.nan if value is None else value for value in view.tolist()]
    assert view.numpy().dtype == np.float64
    assert np.array_equal(view.numpy(), wanted, equal_nan=True)
