"""The wanted owners: even loads, and nothing moves that need not."""

import pytest

from analysis_operator.decisions import partitioning


def owners(*slots_of_shards: list[int]) -> dict[int, int]:
    return {slot: shard for shard, slots in enumerate(slots_of_shards) for slot in slots}


def test_a_new_fleet_gets_runs_of_slots_the_lower_shards_the_larger_ones() -> None:
    assert partitioning.balanced({}, slots=8, shards=3) == owners([0, 1, 2], [3, 4, 5], [6, 7])


def test_without_shards_nobody_owns_anything() -> None:
    assert partitioning.balanced(owners([0, 1]), slots=2, shards=0) == {}


def test_with_more_shards_than_slots_the_last_ones_own_nothing() -> None:
    assert partitioning.balanced({}, slots=2, shards=4) == owners([0], [1])


def test_what_is_balanced_stays_though_another_plan_would_be_neater() -> None:
    before = owners([1, 4], [0, 3, 5], [2, 6])
    assert partitioning.balanced(before, slots=7, shards=3) == before


def test_a_new_shard_takes_only_what_exceeds_the_others_quotas() -> None:
    before = owners([0, 1, 2, 3], [4, 5, 6, 7])
    assert partitioning.balanced(before, slots=8, shards=3) == owners([0, 1, 2], [4, 5, 6], [3, 7])


def test_only_the_slots_of_a_removed_shard_move() -> None:
    before = owners([0, 1], [2, 3], [4, 5])
    assert partitioning.balanced(before, slots=6, shards=2) == owners([0, 1, 4], [2, 3, 5])


def test_the_shard_that_holds_most_keeps_the_larger_quota() -> None:
    before = owners([0, 1], [2, 3, 4, 5, 6])
    assert partitioning.balanced(before, slots=7, shards=2) == owners([0, 1, 6], [2, 3, 4, 5])


def test_what_is_free_goes_where_it_arrives_while_there_is_room() -> None:
    before = owners([0, 1, 2, 3, 4, 5, 6, 7])
    arriving = {6: 1, 7: 1, 3: 2, 5: 1, 4: 1}
    found = partitioning.balanced(before, slots=8, shards=3, arriving=arriving)
    assert found == owners([0, 1, 2], [4, 5, 6], [3, 7])


def test_the_shard_that_was_told_so_gets_the_larger_quota_before_one_that_holds_more() -> None:
    before = owners([0, 1, 2, 3, 4, 5, 6], [], [7])
    assert partitioning.balanced(before, slots=8, shards=3) == owners([0, 1, 2], [3, 4], [5, 6, 7])
    arriving = {3: 1, 4: 1, 5: 1}
    found = partitioning.balanced(before, slots=8, shards=3, arriving=arriving)
    assert found == owners([0, 1, 2], [3, 4, 5], [6, 7])


@pytest.mark.parametrize("stray", [{9: 1}, {-1: 1}, {1: -1}, {1: 7}, {0: 1}])
def test_what_arrives_at_nobody_or_need_not_move_counts_for_nothing(stray: dict[int, int]) -> None:
    before = owners([0, 1, 2, 3])
    found = partitioning.balanced(before, slots=4, shards=2, arriving=stray)
    assert found == owners([0, 1], [2, 3])


def test_what_arrives_where_it_is_held_counts_once() -> None:
    before = owners([0], [1, 2], [3, 4])
    found = partitioning.balanced(before, slots=7, shards=3, arriving={3: 2})
    assert found == owners([0, 5], [1, 2, 6], [3, 4])


def test_what_a_shard_holds_beyond_its_quota_counts_more_than_what_arrives() -> None:
    before = owners([0], [1, 2, 3], [])
    found = partitioning.balanced(before, slots=4, shards=3, arriving={2: 0, 3: 0})
    assert found == owners([0], [1, 2], [3])


def test_the_answer_is_in_the_order_of_slots() -> None:
    assert list(partitioning.balanced({3: 1, 0: 1, 2: 0}, slots=5, shards=2)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("stray", [{9: 0}, {-1: 0}, {0: -1}, {0: 7}])
def test_slots_and_shards_that_do_not_exist_count_for_nothing(stray: dict[int, int]) -> None:
    assert partitioning.balanced(stray, slots=4, shards=2) == owners([0, 1], [2, 3])


def test_moves_are_the_slots_that_lose_their_owner() -> None:
    assert partitioning.moves({0: 0, 1: 0, 2: 1}, {0: 0, 1: 1, 3: 0}) == {1, 2}


def test_a_slot_that_had_no_owner_does_not_move() -> None:
    assert partitioning.moves({}, {0: 0}) == frozenset()
