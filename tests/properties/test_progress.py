"""Callbacks that finish in random order never move a slot's progress past an unfinished offset."""

import random

import pytest

from analysis_worker.engine import progress

SCHEDULES = 10_000


def run_schedule(seed: int) -> None:
    """Offsets of a few slots begun in order, in batches, and done in random order in between."""
    chance = random.Random(seed)
    slots = range(chance.randint(1, 3))
    first = chance.randint(0, 5)
    made = progress.PartitionProgress(first, slots)
    open_outputs: list[tuple[int, int]] = []
    unfinished: dict[int, dict[int, int]] = {slot: {} for slot in slots}
    reached = dict.fromkeys(slots, first)
    for _ in range(chance.randint(1, 12)):
        for _ in range(chance.randint(0, 4)):
            offset = made.position + chance.choice([0, 0, 0, 1, 7])  # compaction leaves gaps
            made.position = offset + 1
            for _ in range(chance.choice([0, 1, 1, 1, 2])):  # no output due, or one per station
                slot = chance.choice(slots)
                made.pending[slot].begin(offset)
                unfinished[slot][offset] = unfinished[slot].get(offset, 0) + 1
                open_outputs.append((slot, offset))
        chance.shuffle(open_outputs)
        for _ in range(chance.randint(0, len(open_outputs))):
            slot, offset = open_outputs.pop()
            made.pending[slot].done(offset)
            unfinished[slot][offset] -= 1
            if not unfinished[slot][offset]:
                del unfinished[slot][offset]
            check(made, unfinished, reached)
        check(made, unfinished, reached)
    for slot, offset in open_outputs:
        made.pending[slot].done(offset)
    assert all(made.next_offset(slot) == made.position for slot in slots), "all done is all done"


def check(
    made: progress.PartitionProgress, unfinished: dict[int, dict[int, int]], reached: dict[int, int]
) -> None:
    for slot, offsets in unfinished.items():
        following = made.next_offset(slot)
        assert following == min(offsets, default=made.position)
        assert following >= reached[slot], "progress never goes back"
        reached[slot] = following
    assert made.lowest() == min(made.next_offset(slot) for slot in unfinished)
    assert made.outstanding == sum(map(len, unfinished.values()))


@pytest.mark.parametrize("part", range(10))
def test_progress_is_the_first_unfinished_offset_in_10_000_random_schedules(part: int) -> None:
    for seed in range(part, SCHEDULES, 10):
        run_schedule(seed)


def test_faust_606_a_slow_record_at_the_head_is_not_committed_over() -> None:
    """The first record is slow, four after it are done: a restart must begin with the first."""
    made = progress.PartitionProgress(2684, [0])
    for offset in range(2684, 2689):
        made.pending[0].begin(offset)
        made.position = offset + 1
    for offset in range(2685, 2689):
        made.pending[0].done(offset)
        assert made.next_offset(0) == 2684
    made.pending[0].done(2684)
    assert made.next_offset(0) == 2689


def test_faust_312_a_gap_of_compacted_offsets_is_no_unfinished_record() -> None:
    made = progress.PartitionProgress(31, [0])
    for offset in (34, 35, 40):
        made.pending[0].begin(offset)
        made.position = offset + 1
    made.pending[0].done(35)
    assert made.next_offset(0) == 34
    made.pending[0].done(34)
    assert made.next_offset(0) == 40
    made.pending[0].done(40)
    assert made.next_offset(0) == 41
