"""Whenever a worker crashes: what was done before and what is called again are disjoint, and together all."""

import dataclasses
import json
from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from analysis_module import spec
from analysis_worker import starting
from analysis_worker.engine import progress
from analysis_worker.engine.records import TopicPartition
from analysis_worker.kafka import progress_log
from tests.builders import a_record

SLOT = 3
PLACE = TopicPartition("POWER", 0)
NOBODY = "nobody"
"""Stands for dead letters and strays, which end in any order."""
STATIONS = ("S1", "S2", "S3", NOBODY)
Call = tuple[str, int]

offsets_of_calls = st.lists(st.lists(st.sampled_from(STATIONS), max_size=4, unique=True), max_size=25)
"""Of each offset, whose outputs its record asks for."""
steps = st.lists(st.sampled_from(("take", "commit", *STATIONS)), max_size=80)
"""What happens: the next record is taken, progress is committed, or a station's next output is done."""


def station_of(whose: str) -> str | None:
    """The station, if it is one."""
    return None if whose == NOBODY else whose


@dataclasses.dataclass
class Life:
    """A worker's slot from a start to a crash: only what is committed with its progress is left of it."""

    records: list[list[str]]
    done: progress.Done
    position: int

    def __post_init__(self) -> None:
        self.slot = progress.PartitionProgress(self.position, [SLOT])
        self.waiting: dict[str, list[int]] = {station: [] for station in STATIONS}
        self.written: list[Call] = []
        self.committed: list[Call] = []
        self.kept: progress_log.SlotProgress | None = None

    def run(self, schedule: list[str]) -> None:
        for step in schedule:
            if step == "take":
                self.take()
            elif step == "commit":
                self.commit()
            else:
                self.answer(step)

    def take(self) -> None:
        offset = self.slot.position
        if offset == len(self.records):
            return
        for whose in self.records[offset]:
            if not self.done.has(SLOT, offset, station_of(whose)):
                self.slot.pending[SLOT].begin(offset, station_of(whose))
                self.waiting[whose].append(offset)
        self.slot.position += 1
        self.done = self.done.beyond(self.slot.position)

    def answer(self, whose: str) -> None:
        if self.waiting[whose]:
            offset = self.waiting[whose].pop(-1 if whose == NOBODY else 0)
            self.slot.pending[SLOT].done(offset, station_of(whose))
            self.written.append((whose, offset))

    def commit(self) -> None:
        """As a transaction: the outputs that are settled, and the progress as it is then."""
        if self.slot.position < max(self.done.before.values(), default=0):
            return  # windows are still being restored
        self.committed += self.written
        self.written = []
        pending = self.slot.pending[SLOT]
        self.kept = progress_log.SlotProgress(
            SLOT,
            "owner",
            1,
            {PLACE: self.slot.next_offset(SLOT)},
            {},
            ahead={PLACE: progress_log.Ahead(self.slot.reached(SLOT), pending.behind())} if pending else {},
        )


def started(records: list[list[str]], kept: progress_log.SlotProgress | None, floor: int = 0) -> Life:
    """The next life, from what the progress topic has."""
    held: Mapping[int, progress_log.SlotProgress] = {}
    if kept is not None:
        message = kept.message("progress")
        read = progress_log.read_progress(a_record(message.value, key=message.key))
        assert read == kept
        held = {SLOT: read}
    earliest = spec.AutoOffsetReset.EARLIEST
    start = starting.Start(PLACE, (0, len(records)), None, earliest)
    resume = {SLOT: start.resume(held.get(SLOT))}
    return Life(records, start.done(held, resume), min(floor, resume[SLOT]))


def asked(records: list[list[str]]) -> list[Call]:
    return sorted((whose, offset) for offset, calls in enumerate(records) for whose in calls)


@given(offsets_of_calls, st.lists(steps, max_size=4), st.integers(0, 25))
def test_what_is_committed_over_any_number_of_crashes_is_each_call_once(
    records: list[list[str]], lives: list[list[str]], floor: int
) -> None:
    committed: list[Call] = []
    kept: progress_log.SlotProgress | None = None
    for schedule in lives:
        life = started(records, kept, floor)
        life.run(schedule)
        committed += life.committed
        kept = life.kept or kept
    assert len(committed) == len(set(committed)), "nothing is done twice"
    last = started(records, kept, floor)
    last.run(["take"] * len(records) + [whose for whose in STATIONS for _ in range(4 * len(records))])
    last.commit()
    assert sorted(committed + last.committed) == asked(records), "and all of it is done"
    assert last.slot.next_offset(SLOT) == len(records)


@given(offsets_of_calls, steps)
def test_a_restart_calls_again_exactly_what_was_not_done_and_a_stations_in_order(
    records: list[list[str]], schedule: list[str]
) -> None:
    life = started(records, None)
    life.run(schedule)
    life.commit()
    again = started(records, life.kept)
    again.run(["take"] * len(records))
    called = [(whose, offset) for whose, offsets in again.waiting.items() for offset in offsets]
    assert sorted(life.committed + called) == asked(records)
    assert all(offsets == sorted(offsets) for offsets in again.waiting.values())


@given(offsets_of_calls, steps)
def test_what_is_ahead_is_told_as_briefly_as_it_can_be(records: list[list[str]], schedule: list[str]) -> None:
    life = started(records, None)
    life.run(schedule)
    life.commit()
    assert life.kept is not None
    value = json.loads(life.kept.message("progress").value or b"")
    waiting = {whose: offsets[0] for whose, offsets in life.waiting.items() if offsets and whose != NOBODY}
    waiting |= {progress.nobodys(offset): offset for offset in life.waiting[NOBODY]}
    assert ("ahead" in value) == bool(waiting)
    if waiting:
        assert value["ahead"] == [["POWER", 0, life.slot.position, waiting]]
