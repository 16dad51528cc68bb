"""Whatever the fleet was: one owner per slot, even loads, and no slot moves that need not."""

import collections
import itertools
import random
from collections.abc import Mapping

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis_operator.decisions import partitioning

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""How long a busy machine takes to draw an example is not what is tested."""

SHARDS = st.integers(1, 12)
SLOTS = st.integers(1, 130)
OWNERS = st.dictionaries(st.integers(-2, 140), st.integers(-2, 14))
"""Any owners at all, of slots and by shards that need not exist."""


def loads(owners: Mapping[int, int], slots: int, shards: int) -> list[int]:
    """How many slots that exist each shard owns."""
    held = collections.Counter(shard for slot, shard in owners.items() if 0 <= slot < slots)
    return [held[shard] for shard in range(shards)]


def least_moves(owners: Mapping[int, int], slots: int, shards: int) -> int:
    """The bound: slots of shards that are gone, and what exceeds the quotas, at the best choice of these."""
    held = loads(owners, slots, shards)
    homeless = sum(0 <= slot < slots and not 0 <= shard < shards for slot, shard in owners.items())
    quota, left_over = divmod(slots, shards)
    return homeless + min(
        sum(max(0, load - quota - (shard in larger)) for shard, load in enumerate(held))
        for larger in itertools.combinations(range(shards), left_over)
    )


@given(OWNERS, SLOTS, SHARDS)
@UNHURRIED
def test_every_slot_has_one_owner_that_exists(owners: dict[int, int], slots: int, shards: int) -> None:
    wanted = partitioning.balanced(owners, slots=slots, shards=shards)
    assert list(wanted) == list(range(slots))
    assert set(wanted.values()) <= set(range(shards))


@given(OWNERS, SLOTS, SHARDS)
@UNHURRIED
def test_loads_are_within_one_slot_of_each_other(owners: dict[int, int], slots: int, shards: int) -> None:
    wanted = loads(partitioning.balanced(owners, slots=slots, shards=shards), slots, shards)
    assert max(wanted) - min(wanted) <= 1


@given(OWNERS, SLOTS, SHARDS)
@UNHURRIED
def test_no_more_slots_move_than_must(owners: dict[int, int], slots: int, shards: int) -> None:
    wanted = partitioning.balanced(owners, slots=slots, shards=shards)
    present = {slot: shard for slot, shard in owners.items() if 0 <= slot < slots}
    assert len(partitioning.moves(present, wanted)) == least_moves(owners, slots, shards)


@given(OWNERS, OWNERS, SLOTS, SHARDS)
@UNHURRIED
def test_what_arrives_only_chooses_among_plans_that_are_as_even_and_move_as_little(
    owners: dict[int, int], arriving: dict[int, int], slots: int, shards: int
) -> None:
    plain = partitioning.balanced(owners, slots=slots, shards=shards)
    wanted = partitioning.balanced(owners, slots=slots, shards=shards, arriving=arriving)
    assert sorted(loads(wanted, slots, shards)) == sorted(loads(plain, slots, shards))
    present = {slot: shard for slot, shard in owners.items() if 0 <= slot < slots}
    assert len(partitioning.moves(present, wanted)) == least_moves(owners, slots, shards)


@given(OWNERS, SLOTS, SHARDS, st.sets(st.integers(0, 130)))
@UNHURRIED
def test_a_plan_that_was_told_stays_while_slots_reach_their_shards_in_any_order(
    owners: dict[int, int], slots: int, shards: int, reached: set[int]
) -> None:
    wanted = partitioning.balanced(owners, slots=slots, shards=shards)
    now = {slot: wanted[slot] if slot in reached else owners.get(slot, -1) for slot in wanted}
    arriving = {slot: shard for slot, shard in wanted.items() if now[slot] != shard}
    assert partitioning.balanced(now, slots=slots, shards=shards, arriving=arriving) == wanted


@given(OWNERS, SLOTS, SHARDS, st.integers(0))
@UNHURRIED
def test_the_order_in_which_owners_are_given_means_nothing(
    owners: dict[int, int], slots: int, shards: int, seed: int
) -> None:
    shuffled = list(owners.items())
    random.Random(seed).shuffle(shuffled)
    wanted = partitioning.balanced(owners, slots=slots, shards=shards)
    assert partitioning.balanced(dict(shuffled), slots=slots, shards=shards) == wanted


@given(OWNERS, SLOTS, SHARDS)
@UNHURRIED
def test_what_is_balanced_stays(owners: dict[int, int], slots: int, shards: int) -> None:
    wanted = partitioning.balanced(owners, slots=slots, shards=shards)
    assert partitioning.balanced(wanted, slots=slots, shards=shards) == wanted


@given(st.integers(1, 4096), st.lists(st.integers(1, 100), min_size=2, max_size=4))
@UNHURRIED
def test_along_a_history_only_new_shards_gain_and_only_removed_ones_lose_all(
    slots: int, history: list[int]
) -> None:
    owners = partitioning.balanced({}, slots=slots, shards=history[0])
    for before, after in itertools.pairwise(history):
        wanted = partitioning.balanced(owners, slots=slots, shards=after)
        moved = partitioning.moves(owners, wanted)
        if after >= before:
            assert all(wanted[slot] >= before for slot in moved)
        else:
            assert moved == {slot for slot, shard in owners.items() if shard >= after}
        most = -(-slots // max(before, after))
        assert len(moved) <= abs(after - before) * most
        owners = wanted
