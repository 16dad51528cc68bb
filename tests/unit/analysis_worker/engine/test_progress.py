"""Progress is the contiguous prefix of what is done, per slot."""

import pytest

from analysis_worker.engine import progress


def test_without_anything_pending_the_next_offset_is_the_position() -> None:
    made = progress.PartitionProgress(17, [0, 1])
    assert made.next_offset(0) == made.next_offset(1) == made.lowest() == 17
    assert made.outstanding == 0


def test_progress_stops_at_the_first_unfinished_offset_of_the_slot() -> None:
    made = progress.PartitionProgress(0, [0, 1])
    for offset in (2, 5, 7):
        made.pending[0].begin(offset)
    made.position = 10
    made.pending[0].done(5)
    assert (made.next_offset(0), made.next_offset(1), made.lowest()) == (2, 10, 2)
    made.pending[0].done(2)
    assert made.next_offset(0) == 7
    made.pending[0].done(7)
    assert made.next_offset(0) == 10


def test_a_slot_that_another_reader_brought_further_is_done_that_far() -> None:
    made = progress.PartitionProgress(5, [0, 1])
    made.skip = {1: 8}
    assert (made.next_offset(0), made.next_offset(1), made.lowest()) == (5, 8, 5)
    made.pending[1].begin(6)
    assert (made.reached(1), made.next_offset(1)) == (8, 6)
    made.position = 9
    assert made.reached(1) == 9


def test_an_offset_with_several_outputs_is_done_with_the_last_of_them() -> None:
    pending = progress.Pending()
    for _ in range(3):
        pending.begin(4)
    pending.done(4)
    pending.done(4)
    assert list(pending) == [4]
    pending.done(4)
    assert pending == {}


def test_paying_what_is_not_owed_is_an_error() -> None:
    with pytest.raises(KeyError):
        progress.Pending().done(3)


def test_a_partition_read_for_no_slot_is_done_as_far_as_it_was_read() -> None:
    assert progress.PartitionProgress(5).lowest() == 5


def test_outstanding_counts_offsets_of_all_slots() -> None:
    made = progress.PartitionProgress(0, [0, 1])
    made.pending[0].begin(1)
    made.pending[1].begin(1)
    made.pending[1].begin(2)
    assert made.outstanding == 3


def test_offsets_begun_out_of_order_can_be_put_in_order() -> None:
    pending = progress.Pending()
    for offset in (8, 3, 5, 3):
        pending.begin(offset)
    pending.reorder()
    assert list(pending) == [3, 5, 8]
