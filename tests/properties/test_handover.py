"""Slots change hands under any interleaving of rescales, confirmations, crashes and losses: never two owners.

A fleet of ConfigMaps, worker pods and the operator's view of them is simulated. What a worker may own is
known to the simulation, while the operator knows only reports, which may be old or absent.
"""

import collections
import dataclasses
import itertools
from collections.abc import Callable, Iterable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis_operator.decisions import handover, partitioning

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""How long a busy machine takes to draw an example is not what is tested."""

NOTHING: frozenset[int] = frozenset()
Fleet = dict[int, handover.Holding]
Event = tuple[str, int]


@dataclasses.dataclass
class Worker:
    """One live pod: what it was told last, and what it still drains."""

    epoch: int
    slots: frozenset[int]
    letting_go: frozenset[int] = NOTHING


class World:
    """What exists: ConfigMaps, pods, the last report of each, and the number of shards that is asked for."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.shards = 0
        self.maps: Fleet = {}
        self.workers: dict[int, Worker] = {}
        self.reports: dict[int, handover.Reported] = {}
        self.last_epoch = 0

    def do(self, event: Event) -> None:
        """Let one thing happen; one that cannot happens not."""
        getattr(self, event[0])(event[1])

    def rescale(self, shards: int) -> None:
        self.shards = shards

    def reconcile(self, _: int = 0) -> None:
        """The operator takes a step and writes it down; pods of shards that are gone are deleted."""
        held = self.holdings()
        self.maps = handover.step(
            held,
            unconfirmed={shard: self.unconfirmed(shard, holding) for shard, holding in held.items()},
            slots=self.slots,
            shards=self.shards,
            serving=frozenset(self.workers),
            last_epoch=self.last_epoch,
        )
        self.last_epoch = max([self.last_epoch, *(holding.epoch for holding in self.maps.values())])
        for shard in self.workers.keys() - self.maps.keys():
            del self.workers[shard]

    def holdings(self) -> Fleet:
        """The ConfigMaps, and what is made out of live workers whose ConfigMap is gone."""
        held = dict(self.maps)
        for shard in self.workers.keys() - self.maps.keys():
            reported = self.reports.get(shard)
            found = handover.recovered(pod_alive=True, reported=reported, slots=self.slots)
            assert found is not None
            held[shard] = found
        return held

    def unconfirmed(self, shard: int, holding: handover.Holding) -> frozenset[int]:
        return handover.unconfirmed_slots(
            holding.releasing,
            pod_alive=shard in self.workers,
            reported=self.reports.get(shard),
            epoch=holding.epoch,
        )

    def start(self, shard: int) -> None:
        """A pod starts, which it can only with its ConfigMap."""
        if shard in self.maps and shard not in self.workers:
            self.workers[shard] = Worker(self.maps[shard].epoch, self.maps[shard].slots)

    def apply(self, shard: int) -> None:
        """A worker sees its ConfigMap; one of an older epoch it would refuse."""
        if shard in self.maps and shard in self.workers:
            worker, told = self.workers[shard], self.maps[shard]
            assert told.epoch >= worker.epoch
            assert told.epoch > worker.epoch or told.slots == worker.slots
            worker.letting_go = (worker.letting_go | worker.slots) - told.slots
            worker.epoch, worker.slots = told.epoch, told.slots

    def drain(self, shard: int) -> None:
        if shard in self.workers:
            self.workers[shard].letting_go = NOTHING

    def poll(self, shard: int) -> None:
        """The operator hears from a worker; until it does again, what it knows grows old."""
        if shard in self.workers:
            worker = self.workers[shard]
            self.reports[shard] = handover.Reported(worker.epoch, worker.slots, worker.letting_go)

    def silence(self, shard: int) -> None:
        self.reports.pop(shard, None)

    def crash(self, shard: int) -> None:
        """A pod dies; its last report is still around."""
        self.workers.pop(shard, None)

    def lose(self, shard: int) -> None:
        """A ConfigMap is deleted by hand; only what the worker answers from now on counts."""
        self.maps.pop(shard, None)
        self.reports.pop(shard, None)

    def settle(self, shard: int) -> None:
        """All goes well for one shard for a while."""
        for happens in (self.start, self.apply, self.drain, self.poll):
            happens(shard)

    def owned(self) -> list[frozenset[int]]:
        """What each worker may own in truth."""
        return [worker.slots | worker.letting_go for worker in self.workers.values()]


MOST_SHARDS = 4
ANY_SHARD = st.integers(0, MOST_SHARDS - 1)
SETTLED = [("reconcile", 0), *(("settle", shard) for shard in range(MOST_SHARDS)), ("reconcile", 0)]


@st.composite
def histories(draw: st.DrawFn, *mishaps: str) -> list[Event]:
    """A fleet that runs, then rescales among what happens to some shards; the operator looks often."""
    history: list[Event] = [("rescale", draw(st.integers(1, MOST_SHARDS))), *SETTLED]
    kinds = st.sampled_from(["apply", "apply", "drain", "poll", "poll", "start", *mishaps])
    to_some = st.tuples(kinds, st.sets(ANY_SHARD, min_size=1, max_size=MOST_SHARDS))
    rescales = st.tuples(st.just("rescale"), st.integers(0, MOST_SHARDS).map(lambda shards: {shards}))
    happens = st.tuples(to_some | to_some | to_some | rescales, st.booleans())
    for (kind, numbers), looks in draw(st.lists(happens, min_size=16)):  # else mostly short ones are drawn
        history += [(kind, number) for number in sorted(numbers)]
        history += [("reconcile", 0)] if looks or kind == "rescale" else []
    return history


SLOTS = st.integers(1, 9)
SOUND = histories("silence", "crash")
HARSH = histories("silence", "crash", "lose", "lose")
IN_MID_HANDOVER = [
    *[("rescale", 2), ("reconcile", 0), ("settle", 0), ("settle", 1)],
    *[("rescale", 5), ("reconcile", 0), ("apply", 0), ("reconcile", 0), ("rescale", 3), ("reconcile", 0)],
    *[("apply", 1), ("drain", 1), ("poll", 1), ("reconcile", 0), ("settle", 4), ("reconcile", 0)],
]
"""2 -> 5 -> 3 shards before the first change of hands is over."""


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


@given(SLOTS, HARSH)
@UNHURRIED
def test_any_history_ends_in_a_balance_once_all_goes_well(slots: int, history: list[Event]) -> None:
    world = lived(slots, history, one_owner_in_truth)
    for _ in range(4):
        world.reconcile()
        for shard in list(world.maps):
            world.settle(shard)
    owners = owners_of(world.maps)
    assert partitioning.balanced(owners, slots=slots, shards=world.shards) == owners
    assert set(world.maps) == set(world.workers) == set(range(world.shards))
    assert all(world.workers[shard].slots == holding.slots for shard, holding in world.maps.items())
    assert not any(holding.releasing for holding in world.maps.values())


def owners_of(fleet: Fleet) -> dict[int, int]:
    return {slot: shard for shard, holding in fleet.items() for slot in holding.slots}


@given(st.integers(1, 130))
@UNHURRIED
def test_two_to_five_to_three_in_mid_handover_ends_in_a_balance(slots: int) -> None:
    world = lived(slots, IN_MID_HANDOVER, one_owner_on_paper)
    for _ in range(2):
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
    unconfirmed = {shard: holding.releasing for shard, holding in world.maps.items()}
    serving = frozenset(world.workers)
    again = handover.step(
        world.maps, unconfirmed=unconfirmed, slots=slots, shards=world.shards, serving=serving
    )
    assert again == world.maps


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
    for shard in range(before, after):  # nobody lets go before those that gain are there
        world.start(shard)
    everything = [*order, *range(before), *range(before)]
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
    st.builds(handover.Holding, slots=SOME, releasing=SOME, epoch=st.integers(0, 4)),
    max_size=5,
)
"""ConfigMaps as no operator would have written them."""


@given(CORRUPT, st.dictionaries(st.integers(0, 6), SOME), st.integers(1, 9), st.integers(0, 5))
@UNHURRIED
def test_no_configmaps_are_so_corrupt_that_a_slot_is_told_to_two_or_none_exists(
    fleet: Fleet, unconfirmed: dict[int, frozenset[int]], slots: int, shards: int
) -> None:
    after = handover.step(fleet, unconfirmed=unconfirmed, slots=slots, shards=shards)
    assert apart(holding.slots for holding in after.values())
    assert all(holding.slots | holding.releasing <= set(range(slots)) for holding in after.values())
    assert not any(holding.slots & holding.releasing for holding in after.values())


@given(CORRUPT, st.dictionaries(st.integers(0, 6), SOME), st.integers(1, 9), st.integers(0, 5))
@UNHURRIED
def test_a_slot_is_taken_only_from_who_owned_it_and_it_has_to_let_go(
    fleet: Fleet, unconfirmed: dict[int, frozenset[int]], slots: int, shards: int
) -> None:
    after = handover.step(fleet, unconfirmed=unconfirmed, slots=slots, shards=shards)
    for shard, holding in fleet.items():
        then = after.get(shard, handover.Holding(slots=NOTHING, releasing=NOTHING, epoch=0))
        assert holding.slots & set(range(slots)) <= then.slots | then.releasing


@given(CORRUPT, st.integers(1, 9), st.integers(0, 5))
@UNHURRIED
def test_of_corrupt_configmaps_a_further_step_changes_nothing(fleet: Fleet, slots: int, shards: int) -> None:
    after = handover.step(fleet, unconfirmed={}, slots=slots, shards=shards)
    unconfirmed = {shard: holding.releasing for shard, holding in after.items()}
    assert handover.step(after, unconfirmed=unconfirmed, slots=slots, shards=shards) == after


@given(CORRUPT, st.integers(1, 9), st.integers(0, 5))
@UNHURRIED
def test_when_all_is_confirmed_three_steps_reach_a_balance(fleet: Fleet, slots: int, shards: int) -> None:
    for _ in range(3):
        fleet = handover.step(fleet, unconfirmed={}, slots=slots, shards=shards)
    owners = owners_of(fleet)
    assert partitioning.balanced(owners, slots=slots, shards=shards) == owners
    assert set(fleet) == set(range(shards))


@given(CORRUPT, st.dictionaries(st.integers(0, 6), SOME), st.integers(1, 9), st.integers(0, 5))
@UNHURRIED
def test_the_order_in_which_holdings_are_given_means_nothing(
    fleet: Fleet, unconfirmed: dict[int, frozenset[int]], slots: int, shards: int
) -> None:
    shuffled = dict(reversed(fleet.items()))
    after = handover.step(fleet, unconfirmed=unconfirmed, slots=slots, shards=shards)
    assert handover.step(shuffled, unconfirmed=unconfirmed, slots=slots, shards=shards) == after


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
