"""Which shard owns which slot: the wanted owners, by least movement from the present ones."""

import collections
from collections.abc import Mapping, Sequence

_NONE: Mapping[int, int] = {}


def balanced(
    owners: Mapping[int, int],
    *,
    slots: int,
    shards: int,
    serving: frozenset[int] = frozenset(),
    arriving: Mapping[int, int] = _NONE,
) -> dict[int, int]:
    """Give the wanted owner, 0 to `shards - 1`, of every slot from 0 to `slots - 1`; {} for no shards.

    `owners` leads from slots to their present shards. A slot without one, or whose shard is not one of
    `shards`, is free; slots outside the range are ignored. `arriving` leads from slots to shards that were
    told that they will get them.

    The rule: each shard has a quota, floor(slots / shards), or one more for as many shards as the division
    leaves slots over: those that hold so many or more, then those that do with what arrives at them, then
    those that hold most, of equals the lowest. A shard keeps its lowest slots up to its quota; what is free
    then goes where it arrives if there is room, and the rest fills the others, lowest slots to lowest shards,
    those of `serving` before the others.

    Movement is minimal: with loads within one of each other some shards have the larger quota, a shard must
    give up what exceeds its own, and no choice of the larger quotas saves more slots than giving them to
    those that would fill them. What arrives only chooses among plans that move as little: a slot that a shard
    follows is not promised to another while its turn comes. What is balanced already stays as it is, and a
    shard that has not yet given up all that it must changes nothing for the others.
    """
    if shards < 1:
        return {}
    held = _held(owners, slots, shards)
    coming = collections.Counter(
        shard for slot, shard in arriving.items() if 0 <= slot < slots and owners.get(slot) != shard
    )
    quotas = _quotas(held, coming, slots)
    wanted = {slot: shard for shard, own in enumerate(held) for slot in own[: quotas[shard]]}
    room = {shard: quotas[shard] - len(held[shard]) for shard in range(shards)}
    for slot in range(slots):
        shard = arriving.get(slot, -1)
        if slot not in wanted and room.get(shard, 0) > 0:
            wanted[slot] = shard
            room[shard] -= 1
    free = [slot for slot in range(slots) if slot not in wanted]
    order = sorted(range(shards), key=lambda shard: (shard not in serving, shard))
    places = (shard for shard in order for _ in range(room[shard]))
    wanted.update(zip(free, places, strict=True))
    return {slot: wanted[slot] for slot in range(slots)}


def moves(before: Mapping[int, int], after: Mapping[int, int]) -> frozenset[int]:
    """List the slots that had an owner before and have another, or none, after."""
    return frozenset(slot for slot, shard in before.items() if after.get(slot) != shard)


def _held(owners: Mapping[int, int], slots: int, shards: int) -> list[list[int]]:
    """The slots of each shard, ascending."""
    held: list[list[int]] = [[] for _ in range(shards)]
    for slot in range(slots):
        shard = owners.get(slot)
        if shard is not None and 0 <= shard < shards:
            held[shard].append(slot)
    return held


def _quotas(held: Sequence[Sequence[int]], coming: Mapping[int, int], slots: int) -> list[int]:
    quota, left_over = divmod(slots, len(held))

    def rank(shard: int) -> tuple[bool, int, int]:
        holds = len(held[shard])
        return holds + coming.get(shard, 0) <= quota, -min(holds, quota + 1), shard

    larger = frozenset(sorted(range(len(held)), key=rank)[:left_over])
    return [quota + (shard in larger) for shard in range(len(held))]
