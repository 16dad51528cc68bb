"""The hand-over: the gainer follows, the loser confirms, the gainer is told, and nobody else notices."""

from collections.abc import Iterable, Mapping
from typing import ClassVar

import pytest

from analysis_operator.decisions import handover
from analysis_operator.decisions.handover import Readiness

Fleet = Mapping[int, handover.Holding]


def held(
    slots: Iterable[int] = (), releasing: Iterable[int] = (), epoch: int = 1, arriving: Iterable[int] = ()
) -> handover.Holding:
    return handover.Holding(
        slots=frozenset(slots),
        releasing=frozenset(releasing),
        epoch=epoch,
        arriving=frozenset(arriving),
    )


NOBODY = Readiness()


def following(*followed: Iterable[int] | None) -> Readiness:
    """Workers that all serve, by what each has followed; None for one of an older version."""
    said = {shard: None if slots is None else frozenset(slots) for shard, slots in enumerate(followed)}
    return Readiness(serving=frozenset(said), followed=said)


def step(
    fleet: Fleet, shards: int, ready: Readiness = NOBODY, *, slots: int = 8, last: int = 0
) -> dict[int, handover.Holding]:
    """A step when nothing has been confirmed."""
    unconfirmed = {shard: holding.releasing for shard, holding in fleet.items()}
    return handover.step(
        fleet, unconfirmed=unconfirmed, slots=slots, shards=shards, readiness=ready, last_epoch=last
    )


def confirmed(
    fleet: Fleet,
    shards: int,
    ready: Readiness = NOBODY,
    *,
    slots: int = 8,
    still: Mapping[int, frozenset[int]] | None = None,
) -> dict[int, handover.Holding]:
    """A step when all but `still` has been confirmed."""
    return handover.step(fleet, unconfirmed=still or {}, slots=slots, shards=shards, readiness=ready)


ONE = {0: held(range(8))}
RELEASING = {0: held(range(4), range(4, 8), 2), 1: held(epoch=2)}
TWO = {0: held(range(4), epoch=2), 1: held(range(4, 8), epoch=3)}


def test_a_new_fleet_is_told_at_once_and_under_one_epoch() -> None:
    assert step({}, 2) == {0: held(range(4)), 1: held(range(4, 8))}


def test_the_loser_is_told_first_and_the_gainer_waits_with_nothing() -> None:
    assert step(ONE, 2) == RELEASING


def test_nothing_changes_until_the_loser_confirms() -> None:
    assert step(RELEASING, 2) == RELEASING


def test_what_is_confirmed_goes_to_the_gainer_and_the_loser_keeps_its_epoch() -> None:
    assert confirmed(RELEASING, 2) == TWO


def test_each_slot_goes_when_it_is_confirmed_itself() -> None:
    assert confirmed(RELEASING, 2, still={0: frozenset({5, 7})}) == {
        0: held(range(4), [5, 7], 2),
        1: held([4, 6], epoch=3),
    }


def test_shards_that_neither_gain_nor_lose_stay_equal() -> None:
    three = {0: held([0, 1]), 1: held([2, 3]), 2: held([4, 5], epoch=4)}
    after = confirmed(three, 2, slots=6)
    assert (after[0], after[1]) == (three[0], three[1])
    assert after[2] == held(releasing=[4, 5], epoch=5)


def test_a_rescale_taken_back_gives_the_loser_its_slots_at_once() -> None:
    assert step(RELEASING, 1) == {0: held(range(8), epoch=3)}


def test_a_removed_shard_stays_while_it_lets_go_and_is_absent_afterwards() -> None:
    emptied = step(TWO, 1)
    assert emptied == {0: TWO[0], 1: held(releasing=range(4, 8), epoch=4)}
    assert confirmed(emptied, 1) == {0: held(range(8), epoch=5)}


def test_without_shards_all_let_go_and_then_nobody_is_left() -> None:
    emptied = step(TWO, 0)
    assert emptied == {0: held(releasing=range(4), epoch=4), 1: held(releasing=range(4, 8), epoch=4)}
    assert confirmed(emptied, 0) == {}


def test_epochs_go_on_where_they_were_though_no_shard_is_left() -> None:
    assert step({}, 1, last=9) == {0: held(range(8), epoch=10)}


def test_a_slot_is_not_given_while_any_other_shard_lets_go_of_it() -> None:
    fleet = {0: held([0]), 1: held(releasing=[1, 2]), 2: held(releasing=[2, 3])}
    after = step(fleet, 2, slots=4)
    assert after == {0: held([0]), 1: held([1], [2], 2), 2: held(releasing=[2, 3])}


def test_a_shard_takes_back_its_own_before_it_waits_for_anothers() -> None:
    fleet = {0: held([0], [2, 3]), 1: held(releasing=[1])}
    assert step(fleet, 2, slots=4) == {0: held([0, 2], [3], 2), 1: held([1], epoch=2)}


def test_who_has_taken_back_so_much_that_it_may_have_more_takes_that_too() -> None:
    fleet = {0: held(), 1: held([3, 4], [5]), 2: held(releasing=[0, 2]), 3: held([1])}
    after = step(fleet, 4, slots=6)
    assert after == {0: held(), 1: held([3, 4], [5]), 2: held([0, 2], epoch=2), 3: held([1])}


@pytest.mark.parametrize(("epochs", "keeper", "loser"), [((2, 3), 1, 0), ((3, 2), 0, 1), ((2, 2), 0, 1)])
def test_of_two_holders_the_one_of_the_higher_epoch_keeps_the_slot(
    epochs: tuple[int, int], keeper: int, loser: int
) -> None:
    fleet = {0: held([0, 1], epoch=epochs[0]), 1: held([1, 2], epoch=epochs[1])}
    after = step(fleet, 2, slots=3)
    assert after[keeper] == fleet[keeper]
    assert after[loser] == held(fleet[loser].slots - {1}, [1], max(epochs) + 1)
    assert step(after, 2, slots=3) == after


def test_a_slot_that_is_owned_is_not_let_go_of_as_well() -> None:
    assert step({0: held([0, 1], [1])}, 1, slots=2) == {0: held([0, 1])}


def test_slots_that_do_not_exist_are_dropped() -> None:
    assert step({0: held([-1, 0, 1, 99], [50])}, 1, slots=2) == {0: held([0, 1], epoch=2)}


def test_slots_nobody_holds_are_given_out() -> None:
    assert step({0: held([0, 1])}, 1) == {0: held(range(8), epoch=2)}


def test_a_shard_that_was_told_nothing_gets_an_epoch_though_it_gets_no_slot() -> None:
    fleet = {0: held(range(8)), 1: held(releasing=range(8), epoch=0)}
    assert step(fleet, 1) == {0: held(range(8)), 1: held(releasing=range(8), epoch=2)}


class TestWhatIsServed:
    """One shard serves all eight slots, and four of them are wanted for the second one."""

    arriving: ClassVar[Fleet] = {0: held(range(8)), 1: held(arriving=range(4, 8), epoch=2)}

    def test_is_told_to_the_gainer_as_arriving_and_stays(self) -> None:
        assert step(ONE, 2, following([], [])) == self.arriving
        assert step(self.arriving, 2, following([], [])) == self.arriving

    def test_goes_slot_by_slot_as_it_has_been_followed_and_is_named_until_it_is_told(self) -> None:
        ready = following([], [5, 7])
        letting_go = step(self.arriving, 2, ready)
        assert letting_go == {0: held([0, 1, 2, 3, 4, 6], [5, 7], 3), 1: self.arriving[1]}
        after = confirmed(letting_go, 2, ready, still={0: frozenset({7})})
        assert after == {
            0: held([0, 1, 2, 3, 4, 6], [7], 3),
            1: held([5], epoch=4, arriving=[4, 6, 7]),
        }

    def test_stays_while_the_follower_does_not_serve(self) -> None:
        ready = Readiness(serving=frozenset({0}), followed={0: frozenset(), 1: frozenset(range(4, 8))})
        assert step(self.arriving, 2, ready) == self.arriving

    def test_goes_at_once_to_a_worker_of_an_older_version_which_is_told_nothing_before(self) -> None:
        assert step(ONE, 2, following([], None)) == RELEASING

    def test_stays_while_the_gainer_has_not_said_whether_it_follows_and_is_not_named(self) -> None:
        ready = Readiness(serving=frozenset({0, 1}), followed={0: frozenset()})
        assert step(ONE, 2, ready) == {0: held(range(8)), 1: held(epoch=2)}

    def test_goes_at_once_when_it_is_served_no_more(self) -> None:
        ready = Readiness(serving=frozenset({1}), followed={1: frozenset()})
        assert step(self.arriving, 2, ready) == {
            0: held(range(4), range(4, 8), 3),
            1: held(arriving=range(4, 8), epoch=2),
        }

    def test_arrives_nowhere_once_the_rescale_is_taken_back_and_no_epoch_changes(self) -> None:
        assert step(self.arriving, 1, following([], [4])) == {0: held(range(8))}
        three = {**self.arriving, 1: held(arriving=range(4, 6), epoch=2), 2: held(arriving=[6, 7], epoch=2)}
        after = step(three, 2, following([], [], []))
        assert after == {0: held(range(8)), 1: held(arriving=range(4, 8), epoch=2)}

    def test_is_promised_to_one_shard_though_another_serves_earlier_by_and_by(self) -> None:
        first = step(ONE, 3, Readiness(serving=frozenset({0, 2}), followed={2: frozenset()}))
        assert first[2].arriving == {3, 4}
        second = step(first, 3, following([], [], []))
        assert (second[1].arriving, second[2].arriving) == ({5, 6, 7}, {3, 4})

    def test_is_promised_to_one_shard_though_another_holds_more_meanwhile(self) -> None:
        fleet = {0: held(range(7)), 1: held(arriving=[3, 4, 5]), 2: held([7], arriving=[6])}
        assert step(fleet, 3, following([], [], [])) == fleet

    def test_does_not_arrive_where_it_is_still_drained(self) -> None:
        fleet = {0: held([0]), 1: held(releasing=[1], epoch=2), 2: held(releasing=[1], epoch=2)}
        assert step(fleet, 2, following([], [], []), slots=2)[1] == held(releasing=[1], epoch=2)

    def test_is_dropped_from_what_arrives_where_it_does_not_exist(self) -> None:
        fleet = {0: held([0, 1]), 1: held(arriving=[-1, 1, 9])}
        assert step(fleet, 2, following([], [], []), slots=2)[1].arriving == {1}


RELEASED = frozenset({1, 2, 3})


def unconfirmed(reported: handover.Reported | None, *, alive: bool = True) -> frozenset[int]:
    return handover.unconfirmed_slots(RELEASED, pod_alive=alive, reported=reported, epoch=5)


def report(epoch: int, slots: Iterable[int] = (), letting_go: Iterable[int] = ()) -> handover.Reported:
    return handover.Reported(epoch, frozenset(slots), frozenset(letting_go))


def test_without_a_live_pod_everything_is_confirmed() -> None:
    assert unconfirmed(report(4, [1]), alive=False) == frozenset()


def test_a_worker_that_says_nothing_confirms_nothing() -> None:
    assert unconfirmed(None) == RELEASED


def test_a_report_of_an_older_epoch_confirms_nothing() -> None:
    assert unconfirmed(report(4)) == RELEASED


def test_what_a_worker_owns_or_drains_is_not_confirmed_and_the_rest_is() -> None:
    assert unconfirmed(report(5, slots=[1, 7], letting_go=[2])) == {1, 2}
    assert unconfirmed(report(6)) == frozenset()


def test_a_shard_without_configmap_and_pod_holds_nothing() -> None:
    assert handover.recovered(pod_alive=False, reported=report(3, [1]), slots=8) is None


def test_a_shard_without_configmap_holds_what_its_worker_says() -> None:
    found = handover.recovered(pod_alive=True, reported=report(3, [1, 2], [5]), slots=8)
    assert found == held([1, 2], [5], 3)


def test_a_silent_worker_without_configmap_may_own_anything() -> None:
    found = handover.recovered(pod_alive=True, reported=None, slots=8)
    assert found == held(releasing=range(8), epoch=0)


def test_the_slots_of_a_silent_worker_return_to_it_and_to_nobody_else() -> None:
    fleet = {0: held(range(4)), 1: held(releasing=range(8), epoch=0)}
    after = step(fleet, 3, last=6)
    assert after[0] == held(range(3), [3], 7)
    assert after[1].slots == {4, 5, 6}
    assert after[2] == held(epoch=7)
