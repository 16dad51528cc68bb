"""How slots change hands: the gainer follows them, the loser lets go and confirms, then the gainer is told.

A slot has at most one owner at any time because the ConfigMap of a gainer names it only once no worker of
another shard may own it. What a shard was told to let go of, and has not confirmed, is its `releasing`. What
it will get, and follows muted behind the present owner until then, is its `arriving`.
"""

import collections
import dataclasses
import functools
from collections.abc import Callable, Mapping

from analysis_operator.decisions import partitioning

_NOTHING: frozenset[int] = frozenset()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Holding:
    """What the ConfigMap of one shard says: slots it owns, lets go of and follows, epoch of its last change.

    The epoch is that of `slots`. Epoch 0 is that of a shard that was never told anything, or of which nothing
    is known.
    """

    slots: frozenset[int]
    releasing: frozenset[int]
    epoch: int
    arriving: frozenset[int] = _NOTHING


@dataclasses.dataclass(frozen=True, kw_only=True)
class Readiness:
    """What the workers are fit for: the shards that serve, and what each of them has followed.

    `followed` has the arriving slots that a shard's worker is up with; None for a worker that follows nothing
    and is not waited for. A shard that is not in it has not said which: it is waited for, and told nothing.
    """

    serving: frozenset[int] = _NOTHING
    followed: Mapping[int, frozenset[int] | None] = dataclasses.field(default_factory=dict)

    def follows(self, shard: int) -> bool:
        """Whether a shard may be told what arrives."""
        return self.followed.get(shard) is not None

    def is_up_with(self, shard: int, slot: int) -> bool:
        """Whether a shard could go on with a slot at once, as far as that can be waited for."""
        followed = self.followed.get(shard, _NOTHING)
        return shard in self.serving and (followed is None or slot in followed)


_NOBODY = Readiness()


@dataclasses.dataclass(frozen=True)
class Reported:
    """What a worker's /status says: the epoch it runs, the slots it owns, those it is still draining."""

    epoch: int
    slots: frozenset[int]
    letting_go: frozenset[int]


def unconfirmed_slots(
    releasing: frozenset[int], *, pod_alive: bool, reported: Reported | None, epoch: int
) -> frozenset[int]:
    """List the slots of a shard's releasing set that its worker may still own.

    Without a live pod there is no worker, and none. A worker that says nothing, or runs an older epoch than
    `epoch`, that of the shard's ConfigMap, may own them all.
    """
    if not pod_alive:
        return _NOTHING
    if reported is None or reported.epoch < epoch:
        return releasing
    return releasing & (reported.slots | reported.letting_go)


def recovered(*, pod_alive: bool, reported: Reported | None, slots: int) -> Holding | None:
    """Work out what a shard holds whose ConfigMap is gone; None if it has no worker, and so nothing.

    `reported` is what the worker answered after the ConfigMap was found missing: that is what it holds. One
    that says nothing may own any slot: no other shard gets one that is free until it confirms a new epoch.
    """
    if not pod_alive:
        return None
    if reported is None:
        return Holding(slots=_NOTHING, releasing=frozenset(range(slots)), epoch=0)
    return Holding(slots=reported.slots, releasing=reported.letting_go, epoch=reported.epoch)


def step(
    holdings: Mapping[int, Holding],
    *,
    unconfirmed: Mapping[int, frozenset[int]],
    slots: int,
    shards: int,
    readiness: Readiness = _NOBODY,
    last_epoch: int = 0,
) -> dict[int, Holding]:
    """Take the next step towards `balanced` owners: what every shard is to be told now.

    `unconfirmed` has, for each shard, the slots of its releasing set that its worker may still own; none for
    a shard that is absent. `last_epoch` is the highest ever given, should a ConfigMap have been lost.

    - What is confirmed is released.
    - A slot of the wrong shard goes to that shard's releasing set; one that is served where it is stays until
      the shard that it is wanted for serves too and has followed it, so that its stations wait neither for a
      pod to start nor for windows to be rebuilt.
    - A slot that a shard does not get yet, as another one has it or lets go of it, arrives there: it is named
      until the shard is told it, for the worker drops what it has followed as soon as it is not named.
    - A slot of no shard goes to its wanted one, unless another may still own it. A shard that lets go of a
      slot and has room again takes it back at once.
    - Of two shards that hold the same slot, the one of the higher epoch keeps it, of equals the lowest; the
      other lets go of it.
    - Slots beyond `slots` are dropped.

    The result has shards 0 to `shards - 1`, and above them those that still hold or let go of something. All
    shards whose slots changed get the same new epoch; those that are as before stay equal. Until something is
    confirmed, or another shard serves or has followed, a further step changes nothing.
    """
    reach = {
        shard: _reach(holding, unconfirmed.get(shard, _NOTHING), slots) for shard, holding in holdings.items()
    }
    owners = _owners(holdings, slots)
    reached = _reached(owners, reach)
    balance = functools.partial(
        partitioning.balanced,
        slots=slots,
        shards=shards,
        serving=readiness.serving,
        arriving=_promised(holdings, readiness),
    )
    wanted = _wanted(owners, reached, balance)
    told = _told(owners, wanted, reached, readiness)
    arriving = _arriving(wanted, told, readiness)
    epoch = max([last_epoch, *(holding.epoch for holding in holdings.values())]) + 1
    result = {}
    for shard in sorted({*range(shards), *holdings}):
        own = frozenset(told[shard])
        releasing = reach.get(shard, _NOTHING) - own
        if shard < shards or own or releasing:
            held = _holding(holdings.get(shard), own, releasing, epoch)
            # What its own worker still drains it cannot follow.
            result[shard] = dataclasses.replace(held, arriving=arriving.get(shard, _NOTHING) - releasing)
    return result


def _reach(holding: Holding, unconfirmed: frozenset[int], slots: int) -> frozenset[int]:
    """The slots that a shard's worker may own: told to it, or not confirmed to be released."""
    return ((holding.releasing & unconfirmed) | holding.slots) & frozenset(range(slots))


def _reached(owners: Mapping[int, int], reach: Mapping[int, frozenset[int]]) -> dict[int, set[int]]:
    """For each slot without an owner the shards whose workers may own it, if there are any."""
    reached: dict[int, set[int]] = collections.defaultdict(set)
    for shard, reaches in reach.items():
        for slot in reaches - owners.keys():
            reached[slot].add(shard)
    return reached


def _told(
    owners: Mapping[int, int],
    wanted: Mapping[int, int],
    reached: Mapping[int, set[int]],
    readiness: Readiness,
) -> dict[int, set[int]]:
    """The slots that each shard may be told to own now."""
    told: dict[int, set[int]] = collections.defaultdict(set)
    for slot, shard in wanted.items():
        owner = owners.get(slot)
        if owner is None:
            if reached.get(slot, set()) <= {shard}:
                told[shard].add(slot)
        elif owner == shard or (owner in readiness.serving and not readiness.is_up_with(shard, slot)):
            told[owner].add(slot)
    return told


def _arriving(
    wanted: Mapping[int, int], told: Mapping[int, set[int]], readiness: Readiness
) -> dict[int, frozenset[int]]:
    """The slots that each shard is to follow: wanted for it, and with another one still."""
    arriving: dict[int, set[int]] = collections.defaultdict(set)
    for slot, shard in wanted.items():
        if readiness.follows(shard) and slot not in told.get(shard, ()):
            arriving[shard].add(slot)
    return {shard: frozenset(slots) for shard, slots in arriving.items()}


def _promised(holdings: Mapping[int, Holding], readiness: Readiness) -> dict[int, int]:
    """The shard that each arriving slot was promised to, if its worker still follows; of two the lowest."""
    promised: dict[int, int] = {}
    for shard in sorted(holdings):
        if readiness.follows(shard):
            for slot in holdings[shard].arriving:
                promised.setdefault(slot, shard)
    return promised


def _holding(before: Holding | None, own: frozenset[int], releasing: frozenset[int], epoch: int) -> Holding:
    """Keep the epoch of a shard whose slots are as before; one that was told nothing yet gets its first."""
    same = before is not None and before.epoch > 0 and before.slots == own
    return Holding(slots=own, releasing=releasing, epoch=before.epoch if before and same else epoch)


def _owners(holdings: Mapping[int, Holding], slots: int) -> dict[int, int]:
    """The one owner of each slot that has any: the highest epoch wins, then the lowest shard."""
    owners: dict[int, int] = {}
    for shard in sorted(holdings, key=lambda each: (-holdings[each].epoch, each)):
        for slot in holdings[shard].slots:
            if 0 <= slot < slots:
                owners.setdefault(slot, shard)
    return owners


def _wanted(
    owners: Mapping[int, int],
    reached: Mapping[int, set[int]],
    balance: Callable[[Mapping[int, int]], dict[int, int]],
) -> dict[int, int]:
    """Balance over the present owners, preferring to give back what a shard is still letting go of.

    `reached` has the shards whose workers may own a slot without an owner. Taking back changes who holds
    most, and so who has room: it is repeated until nobody takes more.
    """
    held = dict(owners)
    while True:
        wanted = balance(held)
        room = collections.Counter(wanted.values())
        room.subtract(held.values())
        returned = {}
        for slot in sorted(reached.keys() - held.keys()):
            shard = min(reached[slot])
            if len(reached[slot]) == 1 and room[shard] > 0:
                room[shard] -= 1
                returned[slot] = shard
        if not returned:
            return wanted
        held |= returned
