"""Slots come back part by part: what is at hand first, then the busiest, each of them once."""

import pytest

from analysis_worker import recovering


def test_what_is_at_hand_comes_first_and_all_at_once() -> None:
    assert recovering.parts(range(64), {}) == [frozenset(range(64))]
    assert recovering.parts(range(4), {3: 1})[0] == frozenset({0, 1, 2})


def test_of_the_others_the_busiest_come_first_in_few_parts_that_grow() -> None:
    parts = recovering.parts(range(64), {slot: slot for slot in range(64)})
    assert [len(part) for part in parts] == [4, 12, 48]
    assert parts[0] == frozenset({60, 61, 62, 63})
    assert max(parts[2]) < min(parts[1])


def test_slots_that_are_equally_busy_come_by_their_number() -> None:
    assert recovering.parts(range(2), {0: 5, 1: 5}) == [frozenset({0}), frozenset({1})]


@pytest.mark.parametrize("slots", [(), (7,)])
def test_a_worker_of_no_slots_or_one_starts_with_what_it_has(slots: tuple[int, ...]) -> None:
    assert recovering.parts(slots, dict.fromkeys(slots, 9)) == [frozenset(slots)]
