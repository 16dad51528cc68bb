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


# -- whose outputs an offset waits for


def test_an_offset_waits_for_each_station_that_its_record_asked() -> None:
    pending = progress.Pending()
    for whose in ("S1", "S2", "S1"):
        pending.begin(4, whose)
    pending.done(4, "S1")
    pending.done(4, "S2")
    assert (list(pending), pending.behind()) == ([4], {"S1": 4})
    pending.done(4, "S1")
    assert (pending, pending.behind()) == ({}, {})


def test_the_same_station_twice_is_done_with_its_second_output() -> None:
    pending = progress.Pending()
    pending.begin(4, "S1")
    pending.begin(4, "S1")
    pending.done(4, "S1")
    assert pending.behind() == {"S1": 4}
    pending.done(4, "S1")
    assert pending == {}


def test_behind_tells_of_each_station_the_first_offset_that_is_not_done() -> None:
    pending = progress.Pending()
    for offset, whose in ((3, "S1"), (3, "S2"), (5, "S2"), (6, "S1"), (7, None), (8, "S3")):
        pending.begin(offset, whose)
    assert pending.behind() == {"S1": 3, "S2": 3, progress.nobodys(7): 7, "S3": 8}
    pending.done(3, "S2")
    pending.done(8, "S3")
    assert pending.behind() == {"S1": 3, "S2": 5, progress.nobodys(7): 7}


def test_behind_tells_the_first_offset_though_it_was_begun_out_of_order() -> None:
    pending = progress.Pending()
    for offset in (8, 3, 5):
        pending.begin(offset, "S1")
    pending.reorder()
    assert pending.behind() == {"S1": 3}


# -- what was done before a restart


DONE = progress.Done({0: 10, 1: 20}, {0: {"S1": 4, progress.nobodys(7): 7}})


@pytest.mark.parametrize(
    ("slot", "offset", "whose", "has"),
    [
        (0, 3, "S1", True),
        (0, 4, "S1", False),
        (0, 9, "S1", False),
        (0, 9, "S2", True),
        (0, 10, "S2", False),
        (0, 6, None, True),
        (0, 7, None, False),
        (1, 19, "S1", True),
        (1, 20, "S1", False),
        (2, 0, "S1", False),
    ],
)
def test_all_before_an_offset_is_done_but_for_the_stations_that_are_behind(
    slot: int, offset: int, whose: str, has: bool
) -> None:
    assert DONE.has(slot, offset, whose) is has


def test_the_first_that_is_left_is_the_lowest_of_what_is_not_done() -> None:
    assert DONE.first_left() == 4
    assert progress.Done({0: 10, 1: 20}, {1: {"S2": 15}}).first_left() == 10
    assert progress.Done().first_left() == 0


def test_beyond_a_position_only_slots_count_that_are_further() -> None:
    assert DONE.beyond(9) == DONE
    assert DONE.beyond(10) == progress.Done({1: 20}, {})
    assert DONE.beyond(20) == progress.Done()


def test_slots_that_are_forgotten_have_nothing_done() -> None:
    made = progress.Done(dict(DONE.before), dict(DONE.behind))
    made.forget([0, 5])
    assert made == progress.Done({1: 20}, {})
