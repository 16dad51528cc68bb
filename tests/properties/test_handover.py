"""Slots change hands under any interleaving of rescales, confirmations, crashes and losses: never two owners.

Nor is a slot that is served let go of before the shard that it is wanted for has followed it.
"""

import collections
import itertools
from collections.abc import Callable, Iterable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis_operator.decisions import handover, partitioning
from analysis_operator.decisions.handover import Readiness
from tests.properties.handover_world import NOTHING, Event, Fleet, World

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""How long a busy machine takes to draw an example is not what is tested."""

MOST_SHARDS = 4
ANY_SHARD = st.integers(0, MOST_SHARDS - 1)
SETTLED = [("reconcile", 0), *(("settle", shard) for shard in range(MOST_SHARDS)), ("reconcile", 0)]
WORK = ["apply", "apply", "drain", "follow", "follow_last", "poll", "poll", "start"]


@st.composite
def histories(draw: st.DrawFn, *mishaps: str) -> list[Event]:
    """A fleet that runs, then rescales among what happens to some shards; the operator looks often."""
    older = [("image", shard) for shard in sorted(draw(st.sets(ANY_SHARD, max_size=1)))]
    history: list[Event] = [*older, ("rescale", draw(st.integers(1, MOST_SHARDS))), *SETTLED]
    kinds = st.sampled_from([*WORK, *mishaps])
    to_some = st.tuples(kinds, st.sets(ANY_SHARD, min_size=1, max_size=MOST_SHARDS))
    rescales = st.tuples(st.just("rescale"), st.integers(0, MOST_SHARDS).map(lambda shards: {shards}))
    happens = st.tuples(to_some | to_some | to_some | rescales, st.booleans())
    for (kind, numbers), looks in draw(st.lists(happens, min_size=16)):  # else mostly short ones are drawn
        history += [(kind, number) for number in sorted(numbers)]
        history += [("reconcile", 0)] if looks or kind == "rescale" else []
    return history


SLOTS = st.integers(1, 9)
SOUND = histories("silence", "falter", "crash", "image")
HARSH = histories("silence", "falter", "crash", "image", "lose", "lose")
BUSY = ("reconcile", 0)
THERE = [each for shard in (2, 3, 4) for each in (("start", shard), ("poll", shard))]
IN_MID_HANDOVER = [
    *[("rescale", 2), BUSY, ("settle", 0), ("settle", 1), ("rescale", 5), BUSY, *THERE, BUSY],
    *[("settle", 2), ("settle", 4), BUSY, ("apply", 0), BUSY, ("rescale", 3), BUSY],
    *[("apply", 1), ("drain", 1), ("poll", 1), BUSY, ("settle", 4), BUSY],
]
"""2 -> 5 -> 3 shards before the first change of hands is over: 2 and 4 have followed, 3 has not."""


def apart(sets: Iterable[frozenset[int]]) -> bool:
    """Whether no slot is in two of them."""
    return max(collections.Counter(itertools.chain(*sets)).values(), default=0) <= 1


def lived(slots: int, history: Iterable[Event], watch: Callable[[World], None]) -> World:
    """A world after a history, watched after each event."""
    world = World(slots)
    for event in history:
        world.do(event)
        watch(world)
    return world


def one_owner_in_truth(world: World) -> None:
    assert apart(world.owned())
    assert apart(holding.slots for holding in world.maps.values())


def one_owner_on_paper(world: World) -> None:
    assert apart(holding.slots for holding in world.maps.values())
    for shard, holding in world.maps.items():
        others = [other for key, other in world.maps.items() if key != shard]
        assert not any(holding.slots & (other.slots | other.releasing) for other in others)


@given(SLOTS, HARSH)
@UNHURRIED
def test_no_slot_ever_has_two_owners_whatever_dies_or_is_lost(slots: int, history: list[Event]) -> None:
    lived(slots, history, one_owner_in_truth)


@given(SLOTS, SOUND)
@UNHURRIED
def test_no_slot_is_given_while_another_shard_owns_it_or_lets_go(slots: int, history: list[Event]) -> None:
    lived(slots, history, one_owner_on_paper)


class Follows:
    """Looks at what the operator changes: nobody waits for windows, and no work of a follower is lost."""

    def __init__(self) -> None:
        self.maps: Fleet = {}
        self.shards = 0

    def __call__(self, world: World) -> None:
        if world.maps is not self.maps:
            for shard, holding in self.maps.items():
                now = world.maps.get(shard, NONE)
                for slot in holding.slots - now.slots if shard in world.readiness.serving else ():
                    assert world.shards == 0 or any(takes(world, other, slot) for other in world.maps)
                if shard in world.readiness.serving and world.readiness.follows(shard):
                    kept = now.arriving | now.slots
                    assert world.shards != self.shards or holding.arriving <= kept
            self.maps, self.shards = world.maps, world.shards
        one_owner_on_paper(world)


NONE = handover.Holding(slots=NOTHING, releasing=NOTHING, epoch=0)


def takes(world: World, shard: int, slot: int) -> bool:
    """Whether a worker could go on with a slot at once and is to get it, or is of an older version."""
    worker = world.workers.get(shard)
    if worker is None or not worker.is_ready:
        return False
    return worker.is_older or slot in worker.followed & world.maps[shard].arriving


@given(SLOTS, SOUND)
@UNHURRIED
def test_what_is_served_is_not_let_go_of_before_it_has_been_followed(
    slots: int, history: list[Event]
) -> None:
    lived(slots, history, Follows())


@given(SLOTS, HARSH)
@UNHURRIED
def test_any_history_ends_in_a_balance_once_all_goes_well(slots: int, history: list[Event]) -> None:
    world = lived(slots, history, one_owner_in_truth)
    for _ in range(9):
        world.reconcile()
        for shard in list(world.maps):
            world.settle(shard)
    owners = owners_of(world.maps)
    assert partitioning.balanced(owners, slots=slots, shards=world.shards) == owners
    assert set(world.maps) == set(world.workers) == set(range(world.shards))
    assert all(world.workers[shard].slots == holding.slots for shard, holding in world.maps.items())
    assert not any(holding.releasing | holding.arriving for holding in world.maps.values())


def owners_of(fleet: Fleet) -> dict[int, int]:
    return {slot: shard for shard, holding in fleet.items() for slot in holding.slots}


@given(st.integers(1, 130))
@UNHURRIED
def test_two_to_five_to_three_in_mid_handover_ends_in_a_balance(slots: int) -> None:
    world = lived(slots, IN_MID_HANDOVER, one_owner_on_paper)
    for _ in range(4):
        for shard in list(world.maps):
            world.settle(shard)
        world.reconcile()
        one_owner_on_paper(world)
    owners = owners_of(world.maps)
    assert partitioning.balanced(owners, slots=slots, shards=3) == owners
    assert set(world.maps) == {0, 1, 2}


@given(SLOTS, SOUND)
@UNHURRIED
def test_an_epoch_is_new_exactly_where_the_slots_are(slots: int, history: list[Event]) -> None:
    world = World(slots)
    for event in history:
        before, highest = world.maps, world.last_epoch
        world.do(event)
        for shard, holding in world.maps.items():
            if shard in before and before[shard].slots == holding.slots:
                assert holding.epoch == before[shard].epoch
            else:
                assert holding.epoch == highest + 1


@given(SLOTS, HARSH)
@UNHURRIED
def test_a_further_step_changes_nothing_until_something_is_confirmed(
    slots: int, history: list[Event]
) -> None:
    world = lived(slots, history, one_owner_in_truth)
    world.reconcile()
    followed = dict.fromkeys(world.workers)
    readiness = Readiness(serving=frozenset(world.workers), followed=followed)
    once = stepped(world.maps, readiness, slots, world.shards)
    assert stepped(once, readiness, slots, world.shards) == once


@given(SLOTS, SOUND)
@UNHURRIED
def test_a_further_step_changes_nothing_until_something_more_has_been_followed(
    slots: int, history: list[Event]
) -> None:
    world = lived(slots, history, one_owner_in_truth)
    world.reconcile()
    followed = {shard: worker.followed for shard, worker in world.workers.items()}
    readiness = Readiness(serving=frozenset(world.workers), followed=followed)
    once = stepped(world.maps, readiness, slots, world.shards)
    assert stepped(once, readiness, slots, world.shards) == once


def stepped(maps: Fleet, readiness: Readiness, slots: int, shards: int) -> Fleet:
    """A step when nothing has been confirmed."""
    unconfirmed = {shard: holding.releasing for shard, holding in maps.items()}
    return handover.step(maps, unconfirmed=unconfirmed, slots=slots, shards=shards, readiness=readiness)


@given(SLOTS, st.integers(1, 5), st.integers(1, 5), st.lists(st.integers(0, 4), max_size=20))
@UNHURRIED
def test_a_rescale_moves_what_a_balance_must_in_whatever_order_shards_confirm(
    slots: int, before: int, after: int, order: list[int]
) -> None:
    start = partitioning.balanced({}, slots=slots, shards=before)
    world = lived(slots, [("rescale", before), ("reconcile", 0)], one_owner_on_paper)
    for shard in range(before):
        world.settle(shard)
    world.rescale(after)
    world.reconcile()
    everything = [*order, *3 * [*range(max(before, after))]]
    released: set[int] = set()
    for shard in everything:
        world.reconcile()
        released |= {slot for holding in world.maps.values() for slot in holding.releasing}
        world.settle(shard)
    world.reconcile()
    least = partitioning.moves(start, partitioning.balanced(start, slots=slots, shards=after))
    assert released == least
    assert partitioning.moves(start, owners_of(world.maps)) == least


SOME = st.frozensets(st.integers(-1, 10))
CORRUPT = st.dictionaries(
    st.integers(0, 6),
    st.builds(handover.Holding, slots=SOME, releasing=SOME, arriving=SOME, epoch=st.integers(0, 4)),
    max_size=5,
)
"""ConfigMaps as no operator would have written them."""
READINESS = st.builds(
    Readiness,
    serving=st.frozensets(st.integers(0, 6)),
    followed=st.dictionaries(st.integers(0, 6), st.none() | SOME),
)


@given(CORRUPT, st.dictionaries(st.integers(0, 6), SOME), READINESS, st.integers(1, 9), st.integers(0, 5))
@UNHURRIED
def test_no_configmaps_are_so_corrupt_that_a_slot_is_told_to_two_or_none_exists(
    fleet: Fleet, unconfirmed: dict[int, frozenset[int]], readiness: Readiness, slots: int, shards: int
) -> None:
    after = handover.step(fleet, unconfirmed=unconfirmed, slots=slots, shards=shards, readiness=readiness)
    assert apart(holding.slots for holding in after.values())
    for holding in after.values():
        assert holding.slots | holding.releasing | holding.arriving <= set(range(slots))
        assert apart([holding.slots, holding.releasing, holding.arriving])
    assert apart(holding.arriving for holding in after.values())


@given(CORRUPT, st.dictionaries(st.integers(0, 6), SOME), READINESS, st.integers(1, 9), st.integers(0, 5))
@UNHURRIED
def test_a_slot_is_taken_only_from_who_owned_it_and_it_has_to_let_go(
    fleet: Fleet, unconfirmed: dict[int, frozenset[int]], readiness: Readiness, slots: int, shards: int
) -> None:
    after = handover.step(fleet, unconfirmed=unconfirmed, slots=slots, shards=shards, readiness=readiness)
    for shard, holding in fleet.items():
        then = after.get(shard, NONE)
        assert holding.slots & set(range(slots)) <= then.slots | then.releasing


@given(CORRUPT, st.frozensets(st.integers(0, 6)), st.integers(1, 9), st.integers(0, 5))
@UNHURRIED
def test_of_corrupt_configmaps_a_further_step_changes_nothing(
    fleet: Fleet, serving: frozenset[int], slots: int, shards: int
) -> None:
    readiness = Readiness(serving=serving)
    after = handover.step(fleet, unconfirmed={}, slots=slots, shards=shards, readiness=readiness)
    assert stepped(after, readiness, slots, shards) == after


@given(CORRUPT, READINESS, st.integers(1, 9), st.integers(0, 5))
@UNHURRIED
def test_of_corrupt_configmaps_and_workers_of_two_versions_some_further_steps_come_to_rest(
    fleet: Fleet, readiness: Readiness, slots: int, shards: int
) -> None:
    """What is wanted for a worker that does not follow is written nowhere, and may go to another first."""
    for _ in range(4):
        fleet = stepped(fleet, readiness, slots, shards)
    assert stepped(fleet, readiness, slots, shards) == fleet


@given(CORRUPT, st.booleans(), st.integers(1, 9), st.integers(0, 5))
@UNHURRIED
def test_when_all_is_confirmed_and_followed_three_steps_reach_a_balance(
    fleet: Fleet, serve: bool, slots: int, shards: int
) -> None:
    followed = {shard: None if shard % 2 else frozenset(range(slots)) for shard in range(shards)}
    readiness = Readiness(serving=frozenset(range(7 if serve else 0)), followed=followed)
    for _ in range(3):
        fleet = handover.step(fleet, unconfirmed={}, slots=slots, shards=shards, readiness=readiness)
    owners = owners_of(fleet)
    assert partitioning.balanced(owners, slots=slots, shards=shards) == owners
    assert set(fleet) == set(range(shards))


@given(CORRUPT, st.dictionaries(st.integers(0, 6), SOME), READINESS, st.integers(1, 9), st.integers(0, 5))
@UNHURRIED
def test_the_order_in_which_holdings_are_given_means_nothing(
    fleet: Fleet, unconfirmed: dict[int, frozenset[int]], readiness: Readiness, slots: int, shards: int
) -> None:
    shuffled = dict(reversed(fleet.items()))
    after = handover.step(fleet, unconfirmed=unconfirmed, slots=slots, shards=shards, readiness=readiness)
    again = handover.step(shuffled, unconfirmed=unconfirmed, slots=slots, shards=shards, readiness=readiness)
    assert again == after


@st.composite
def torn(draw: st.DrawFn) -> tuple[Fleet, int]:
    """A fleet in mid hand-over: each slot is owned by one shard, let go of by one, or free."""
    parts: dict[tuple[int, str], set[int]] = collections.defaultdict(set)
    places = draw(st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["slots", "releasing", "free"]))))
    for slot, place in enumerate(places):
        parts[place].add(slot)
    fleet = {
        shard: handover.Holding(
            slots=frozenset(parts[shard, "slots"]), releasing=frozenset(parts[shard, "releasing"]), epoch=1
        )
        for shard in range(5)
    }
    return fleet, len(places)


@given(torn(), st.integers(0, 5))
@UNHURRIED
def test_in_mid_handover_a_step_gives_back_all_there_is_room_for(
    given_fleet: tuple[Fleet, int], shards: int
) -> None:
    fleet, slots = given_fleet
    unconfirmed = {shard: holding.releasing for shard, holding in fleet.items()}
    after = handover.step(fleet, unconfirmed=unconfirmed, slots=slots, shards=shards)
    still = {shard: holding.releasing for shard, holding in after.items()}
    assert handover.step(after, unconfirmed=still, slots=slots, shards=shards) == after
    for shard in range(shards):
        has_room = len(after[shard].slots) < slots // shards
        assert not (has_room and after[shard].releasing)
