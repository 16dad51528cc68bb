"""In which order slots come back at a start: what is at hand first, then the busiest, the others meanwhile.

Only windows that come from a snapshot come in parts. Those in files are there at once, and what is read from
Kafka has records of every slot in each partition: none of them is whole before all is read.
"""

import itertools
from collections.abc import Collection, Mapping

_PARTS = (16, 4, 1)
"""The first of those parts is a 16th of the slots, up to the second is a quarter. Each part costs one more
reading of what came since the snapshot, so they are few and grow."""


def parts(slots: Collection[int], apart: Mapping[int, int]) -> list[frozenset[int]]:
    """All the slots, part by part; `apart` has how many records the windows of those hold that can wait."""
    at_hand = frozenset(slots) - apart.keys()
    ordered = sorted(apart.keys() & set(slots), key=lambda slot: (-apart[slot], slot))
    ends = [-(-len(ordered) // share) for share in _PARTS]
    waiting = [frozenset(ordered[begin:end]) for begin, end in itertools.pairwise([0, *ends])]
    found = [part for part in (at_hand, *waiting) if part]
    return found or [frozenset()]
