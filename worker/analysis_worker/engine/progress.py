"""How far each slot has got in one partition: the contiguous prefix of what is done, and what is done beyond.

An offset is done when its record is in the windows and every output it asked for is acknowledged. Outputs
finish in any order; a slot's progress never passes an unfinished offset (the Faust #606 class of bugs).
"""

import collections
import dataclasses
from collections.abc import Iterable, Mapping


def nobodys(offset: int) -> str:
    """Whose an output is that is no station's: a dead letter, or a stray that is passed on.

    Each record's is its own, for such outputs have no order among each other.
    """
    return f"\0{offset}"


def copys(offset: int) -> str:
    """Whose an output is that keeps a record of a slow topic; apart from a dead letter of the same record."""
    return f"\0copy {offset}"


class Pending(dict[int, "str | collections.Counter[str]"]):
    """Offsets of one slot in one partition still to be done, in order; whose outputs each waits for."""

    __slots__ = ()

    def begin(self, offset: int, station: str | None = None) -> None:
        """One more output, a station's or nobody's, is due for `offset`; offsets must not go back."""
        whose = nobodys(offset) if station is None else station
        held = self.get(offset)
        if held is None:
            self[offset] = whose
        elif isinstance(held, str):
            self[offset] = collections.Counter((held, whose))
        else:
            held[whose] += 1

    def done(self, offset: int, station: str | None = None) -> None:
        """One output of `offset` is acknowledged, or given up for good."""
        held, whose = self[offset], nobodys(offset) if station is None else station
        if not isinstance(held, str):
            held[whose] -= 1
            if not held[whose]:
                del held[whose]
            if held:
                return
        del self[offset]

    def behind(self) -> dict[str, int]:
        """Of each whose output is due the first such offset; a station's outputs are done in order."""
        first: dict[str, int] = {}
        for offset, held in self.items():
            for whose in (held,) if isinstance(held, str) else held:
                first.setdefault(whose, offset)
        return first

    def reorder(self) -> None:
        """Put offsets that were begun out of order in order again."""
        ordered = sorted(self.items())
        self.clear()
        self.update(ordered)


@dataclasses.dataclass(frozen=True, slots=True)
class Done:
    """What was done before a restart: of a slot all before an offset, but for the stations behind that."""

    before: dict[int, int] = dataclasses.field(default_factory=dict)
    behind: dict[int, Mapping[str, int]] = dataclasses.field(default_factory=dict)

    def has(self, slot: int, offset: int, station: str | None = None) -> bool:
        """Whether what an offset asked of a station, or of nobody, was done."""
        whose = nobodys(offset) if station is None else station
        if offset >= self.before.get(slot, 0):
            return False
        first = self.behind.get(slot, {}).get(whose)
        return first is None or offset < first

    def first_left(self) -> int:
        """The lowest offset of which something may be left to do; 0 without any slot."""
        lowest = list(self.before.values())
        lowest += [offset for behind in self.behind.values() for offset in behind.values()]
        return min(lowest, default=0)

    def beyond(self, position: int) -> "Done":
        """Only what is still ahead of a position."""
        before = {slot: offset for slot, offset in self.before.items() if offset > position}
        return Done(before, {slot: behind for slot, behind in self.behind.items() if slot in before})

    def forget(self, slots: Iterable[int]) -> None:
        """These slots are another's."""
        for slot in slots:
            self.before.pop(slot, None)
            self.behind.pop(slot, None)


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
