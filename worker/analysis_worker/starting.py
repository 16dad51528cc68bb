"""Where a partition is read from: progress, floors, committed offsets and the reset policy, weighed."""

import dataclasses
import logging
from collections.abc import Mapping, Sequence

from analysis_module import spec
from analysis_worker.engine import intake, progress
from analysis_worker.engine.records import TopicPartition
from analysis_worker.kafka import progress_log
from analysis_worker.observability.metrics import WorkerMetrics

log = logging.getLogger(__name__)

Progress = Mapping[int, progress_log.SlotProgress]
Kept = Mapping[int, Mapping[TopicPartition, int]]
"""Of slots whose windows were kept: the first offset in a partition that is not in them."""


@dataclasses.dataclass(frozen=True)
class Start:
    """What decides where a partition is read from; `bounds` are the first offset held and the end."""

    place: TopicPartition
    bounds: tuple[int, int]
    committed: int | None
    reset: spec.AutoOffsetReset

    def resume(self, held: progress_log.SlotProgress | None) -> int:
        """The first offset of a slot that was not done."""
        if held is not None and self.place in held.offsets:
            return held.offsets[self.place]
        if held is None and self.committed is not None:
            return self.committed
        return self._by_policy()

    def done(self, held: Mapping[int, progress_log.SlotProgress], resume: Mapping[int, int]) -> progress.Done:
        """What counts as done of slots that go on at `resume`: there may be more, beyond what is not."""
        before, behind = dict(resume), {}
        for slot in resume:
            ahead = held[slot].ahead.get(self.place) if slot in held else None
            if ahead is not None and resume[slot] <= ahead.reached <= self.bounds[1]:
                before[slot], behind[slot] = ahead.reached, ahead.behind
        return progress.Done(before, behind)

    def floor(self, held: progress_log.SlotProgress | None, resume: int, kept: int | None = None) -> int:
        """Where the rebuild of a slot's windows starts: where kept ones end; without any progress, at the
        beginning."""
        if kept is not None:
            return max(self.bounds[0], min(kept, resume))
        if held is None:
            return self.bounds[0]
        return max(self.bounds[0], held.floors.get(self.place, resume))

    def within(self, offset: int) -> int:
        """An offset that the partition has: this one, or where to go on in its stead."""
        first, end = self.bounds
        if offset < first:
            return first
        return self._by_policy() if offset > end else offset

    def _by_policy(self) -> int:
        return self.bounds[0] if self.reset is spec.AutoOffsetReset.EARLIEST else self.bounds[1]

    def tell(self, lowest: int, highest: int, metrics: WorkerMetrics) -> None:
        """Say what is skipped or read anew, of the offsets that were to be read on from."""
        first, end = self.bounds
        if lowest < first:
            metrics.skipped(self.place.topic, first - lowest)
            log.error(
                "%s/%s: offsets %s to %s are no longer held; %s records are lost to this module",
                *self.place,
                lowest,
                first - 1,
                first - lowest,
            )
        if highest > end:
            log.error(
                "%s/%s ends at %s, before offset %s: it was made anew; reading from %s",
                *self.place,
                end,
                highest,
                self.within(highest),
            )


def intake_of(
    topic: intake.TopicIntake,
    start: Start,
    slots: Sequence[int],
    held: Progress,
    kept: Kept,
    metrics: WorkerMetrics,
) -> intake.PartitionIntake:
    """A partition's intake, at the lowest offset that its slots still need."""
    wanted = {slot: start.resume(held.get(slot)) for slot in slots}
    start.tell(min(wanted.values(), default=0), max(wanted.values(), default=0), metrics)
    resume = {slot: start.within(offset) for slot, offset in wanted.items()}
    first, end = start.bounds
    have = {slot: kept[slot][start.place] for slot in slots if start.place in kept.get(slot, {})}
    floors = [start.floor(held.get(slot), resume[slot], have.get(slot)) for slot in slots]
    position = min([*resume.values(), *floors], default=end)
    if topic.teaches or topic.kind is intake.Kind.DEVICES:
        position = first
    part = intake.PartitionIntake(topic, start.place.partition, position=position, slots=slots)
    part.done = start.done(held, resume)
    # If a slot resumes before that, the topic was made anew: what comes there is in no window.
    part.progress.skip = {slot: offset for slot, offset in have.items() if position < offset <= resume[slot]}
    return part


def replayed(part: intake.PartitionIntake) -> tuple[int, int]:
    """What is to be read of a partition before it is restored: from where to where."""
    position = part.progress.position
    return position, max([position, *part.done.before.values()])


def reposition(part: intake.PartitionIntake, start: Start, offset: int, metrics: WorkerMetrics) -> None:
    """Read on where the partition has records, for it has none at `offset`; says what is skipped."""
    start.tell(offset, offset, metrics)
    part.progress.position = start.within(offset)
    before = {slot: min(done, part.progress.position) for slot, done in part.done.before.items()}
    part.done = progress.Done(before, part.done.behind)


def go_on(part: intake.PartitionIntake, start: Start, held: Progress) -> None:
    """Windows that were filled behind another owner go on as one's own, from where that one got to."""
    resume = {slot: start.within(start.resume(held.get(slot))) for slot in part.progress.pending}
    part.done = start.done(held, resume)
    part.progress.position = min([part.progress.position, *resume.values()])
