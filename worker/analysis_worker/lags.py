"""How far partitions are behind their ends, and whether one stands still although records wait in it."""

import dataclasses
from collections.abc import Collection, Mapping

from analysis_worker.engine import intake
from analysis_worker.engine.records import TopicPartition
from analysis_worker.kafka import ports

_STALLED_LOOKS = 2


@dataclasses.dataclass
class Lag:
    """How far a partition is behind its end."""

    end_offset: int | None = None
    looks_without_progress: int = 0
    position_at_look: int = -1

    def stands_still(self, position: int, end: int, *, paused: bool) -> bool:
        """Whether records wait and none has come since a few looks; to be asked once a look."""
        self.end_offset = end
        moves = paused or position >= end or position != self.position_at_look
        self.looks_without_progress = 0 if moves else self.looks_without_progress + 1
        self.position_at_look = position
        return self.looks_without_progress >= _STALLED_LOOKS


def stream_time_ms(
    parts: Mapping[TopicPartition, intake.PartitionIntake], lags: Mapping[TopicPartition, Lag], now_ms: int
) -> int:
    """Now, or as far as the slowest partition has been read: a backlog must not expire its stations."""
    behind = [
        part.last_timestamp
        for place, part in parts.items()
        if part.source.trigger
        and not part.caught_up
        and (part.taken or (lags[place].end_offset or 0) > part.progress.position)
    ]
    return min([now_ms, *behind])


async def look(
    source: ports.Source,
    parts: Mapping[TopicPartition, intake.PartitionIntake],
    lags: Mapping[TopicPartition, Lag],
    bounds: Mapping[TopicPartition, tuple[int, int]],
    *,
    paused: Collection[TopicPartition],
) -> bool:
    """Take the partitions' ends over, as `bounds` tell them; whether one of the partitions stands still."""
    stalled = False
    for place, (_, end) in bounds.items():
        part = parts.get(place)
        if part is None:
            continue  # a hot change has just left its topic
        if part.progress.position < end and place not in paused:
            # The end of a transaction, or what compaction left out, is passed without a record.
            passed = await source.position(place)
            part.progress.position = max(part.progress.position, passed)
        lag = lags.get(place, Lag())
        stalled |= lag.stands_still(part.progress.position, end, paused=place in paused)
    return stalled
