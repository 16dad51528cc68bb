"""How far each slot has got in one partition: the contiguous prefix of what is done.

An offset is done when its record is in the windows and every output it asked for is acknowledged. Outputs
finish in any order; a slot's progress never passes an unfinished offset (the Faust #606 class of bugs).
"""

from collections.abc import Iterable


class Pending(dict[int, int]):
    """Offsets of one slot in one partition still to be done, in order; how many outputs each waits for."""

    __slots__ = ()

    def begin(self, offset: int) -> None:
        """One more output is due for `offset`; offsets must not go back."""
        self[offset] = self.get(offset, 0) + 1

    def done(self, offset: int) -> None:
        """One output of `offset` is acknowledged, or given up for good."""
        left = self[offset] - 1
        if left:
            self[offset] = left
        else:
            del self[offset]

    def reorder(self) -> None:
        """Put offsets that were begun out of order in order again."""
        ordered = sorted(self.items())
        self.clear()
        self.update(ordered)


class PartitionProgress:
    """The slots' progress in one partition; `position` is the next offset to take.

    `skip` tells of slots that another reader takes, or took, beyond that: the first offset to take of each.
    """

    __slots__ = ("pending", "position", "skip")

    def __init__(self, position: int, slots: Iterable[int] = ()) -> None:
        self.position = position
        self.skip: dict[int, int] = {}
        self.pending: dict[int, Pending] = {slot: Pending() for slot in slots}

    def reached(self, slot: int) -> int:
        """The next offset of `slot` to take."""
        return max(self.position, self.skip.get(slot, 0))

    def next_offset(self, slot: int) -> int:
        """The first offset of `slot` that a restart would have to take again."""
        return next(iter(self.pending[slot]), self.reached(slot))

    def lowest(self) -> int:
        """The lowest progress of all slots here."""
        return min((self.next_offset(slot) for slot in self.pending), default=self.position)

    @property
    def outstanding(self) -> int:
        """Offsets begun and not done."""
        return sum(len(pending) for pending in self.pending.values())
