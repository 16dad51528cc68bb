"""A window is the last `size` records, whatever was appended, replaced, resized or joined."""

import collections
import random
from typing import Any

import pytest

from analysis_module.spec import Padding
from analysis_worker.engine import segments, views, windows
from analysis_worker.engine.records import TopicPartition
from tests import builders

SIZES = [1, 2, 10, 31, 32, 33, 64, 100, 500]
PLACE = TopicPartition("POWER", 0)


def kept(window: windows.TopicWindow) -> list[Any]:
    """The records in the window, padding left out."""
    view = views.Window(window.head, 0, window.size, Padding.ZERO)
    return view.tolist()[len(view) - view.present :]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("read_each", [True, False])
def test_the_oldest_record_falls_out(size: int, read_each: bool) -> None:
    window = windows.TopicWindow(builders.readers(), size)
    model: collections.deque[int] = collections.deque(maxlen=size)
    for number, row in enumerate(builders.rows(*range(3 * size + 200))):
        window.append(row)
        model.append(number)
        if read_each or number % 97 == 0:
            assert kept(window) == list(model)
    assert kept(window) == list(model)


def test_the_head_that_append_returns_is_the_window_from_then_on() -> None:
    window = windows.TopicWindow(builders.readers(), 100)
    for row in builders.rows(*range(300)):
        assert window.append(row) == window.head


def test_a_window_without_records_has_no_head() -> None:
    window = builders.a_window([], 5)
    assert window.head is None
    assert window.resize(9, builders.readers()) is None
    assert window.absorb(builders.a_window([], 9)) is None


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("count", [1, 31, 64, 700])
def test_a_whole_window_replaces_all_records(size: int, count: int) -> None:
    window = builders.a_window(range(-50, 0), size)
    window.replace(builders.rows(*range(count)))
    assert kept(window) == list(range(count))[-size:]
    for row in builders.rows(*range(count, count + 300)):
        window.append(row)
    assert kept(window) == list(range(count + 300))[-size:]


def test_a_whole_window_of_no_records_empties_it() -> None:
    window = builders.a_window([1, 2], 5)
    assert window.replace([]) is None
    assert window.append(builders.rows(3)[0]) == window.head
    assert kept(window) == [3]


@pytest.mark.parametrize("before", SIZES)
@pytest.mark.parametrize("after", SIZES)
def test_a_resize_keeps_as_many_of_the_newest_as_fit_and_both_go_on(before: int, after: int) -> None:
    window = builders.a_window(range(150), before)
    earlier = kept(window)
    window.resize(after, builders.readers())
    assert kept(window) == earlier[-after:]
    for row in builders.rows(*range(150, 400)):
        window.append(row)
    assert kept(window) == (earlier + list(range(150, 400)))[-after:]


@pytest.mark.parametrize("size", [3, 40, 400])
def test_an_absorbed_windows_records_come_behind_the_own_ones(size: int) -> None:
    window = builders.a_window(range(90), size)
    window.absorb(builders.a_window(range(100, 170), size))
    expected = [*range(90)][-size:] + [*range(100, 170)][-size:]
    assert kept(window) == expected[-size:]
    for row in builders.rows(*range(200, 400)):
        window.append(row)
    assert kept(window) == [*expected, *range(200, 400)][-size:]


# -- where the records came from


class Followed:
    """A window that is told offsets as the intake tells them, and the offsets that are truly in it."""

    def __init__(self, size: int) -> None:
        self.window = windows.TopicWindow(builders.readers(), size)
        self.offsets: collections.deque[int] = collections.deque(maxlen=size)
        self.next = 0

    def append(self, count: int) -> None:
        for _ in range(count):
            self.window.append(builders.rows(self.next)[0])
            self.window.origins.note(PLACE, self.next)
            self.offsets.append(self.next)
            self.next += 1

    def resize(self, size: int) -> None:
        self.window.resize(size, builders.readers())
        self.offsets = collections.deque(self.offsets, maxlen=size)

    @property
    def floor(self) -> int:
        return self.window.origins.floors()[PLACE]


@pytest.mark.parametrize("size", SIZES)
def test_a_floor_is_never_newer_than_the_oldest_record_and_only_a_few_blocks_older(size: int) -> None:
    followed = Followed(size)
    for _ in range(60):
        followed.append(23)
        assert followed.floor <= followed.offsets[0]
        assert followed.floor >= followed.offsets[0] - 5 * segments.block_rows_for(size)


@pytest.mark.parametrize(("before", "after"), [(4_096, 16_384), (32, 4_096), (1_000, 300), (10, 10_000)])
def test_a_floor_stays_old_enough_when_a_full_window_is_resized(before: int, after: int) -> None:
    followed = Followed(before)
    followed.append(2 * before + 50)
    followed.resize(after)
    for _ in range(30):
        followed.append(after // 30 + 1)
        assert followed.floor <= followed.offsets[0]


def test_a_floor_stays_old_enough_through_growing_and_shrinking() -> None:
    chance = random.Random(4)
    followed = Followed(4096)
    followed.append(9_000)
    for _ in range(40):
        followed.resize(chance.choice([1, 50, 4096, 16_384]))
        for _ in range(5):
            followed.append(chance.choice([1, 300, 3_000]))
            assert followed.floor <= followed.offsets[0]


def test_a_floor_follows_again_once_a_windows_worth_came_after_a_resize() -> None:
    followed = Followed(100)
    followed.append(1_000)
    followed.resize(200)
    followed.append(1_000)
    assert followed.floor >= followed.offsets[0] - 5 * segments.block_rows_for(200)


def test_a_whole_window_has_no_older_origin() -> None:
    followed = Followed(50)
    followed.append(500)
    followed.window.replace(builders.rows(1, 2, 3))
    followed.window.origins.note(PLACE, 500)
    assert followed.window.origins.floors() == {PLACE: 500}


def test_every_partition_has_its_own_floor() -> None:
    window = windows.TopicWindow(builders.readers(), 10)
    other = TopicPartition("POWER", 1)
    for offset, place in enumerate([PLACE, other, other, PLACE]):
        window.append(builders.rows(offset)[0])
        window.origins.note(place, offset)
    assert window.origins.floors() == {PLACE: 0, other: 1}


def test_an_absorbed_windows_origins_count_too_and_the_own_ones_stay() -> None:
    own, other = windows.Origins(100, 64), windows.Origins(100, 64)
    own.note(PLACE, 70)
    other.note(PLACE, 30)
    for run in range(3):
        other.next_run()
        other.note(PLACE, 100 * run)
    own.join(other)
    assert own.floors() == {PLACE: 0}
    fresh = windows.Origins(100, 64)
    fresh.note(PLACE, 5)
    fresh.join(windows.Origins(100, 64))
    assert fresh.floors() == {PLACE: 5}
