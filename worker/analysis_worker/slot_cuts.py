"""What is kept of one slot: its large windows, and how far its partitions were taken, at one moment."""

import dataclasses
import time
from collections.abc import Mapping, Sequence

from analysis_module import spec, wiring
from analysis_worker.engine import cuts
from analysis_worker.engine.engine import Engine
from analysis_worker.engine.records import TopicPartition
from analysis_worker.engine.stations import Station
from analysis_worker.feeding import Feed
from analysis_worker.kafka import progress_log
from analysis_worker.state import store


@dataclasses.dataclass(frozen=True, slots=True)
class SlotCut:
    """A slot's windows of the topics that are kept, and the offsets that they hold every record before."""

    slot: int
    at: float
    topics: Mapping[str, tuple[wiring.InputWiring, Mapping[int, int], Sequence[cuts.WindowCut]]]

    @property
    def positions(self) -> dict[TopicPartition, int]:
        """Of all topics the next offsets."""
        return {
            TopicPartition(topic, number): offset
            for topic, (_, positions, _) in self.topics.items()
            for number, offset in positions.items()
        }

    def is_done(self, written: progress_log.SlotProgress | None) -> bool:
        """Whether all that the windows hold is done by a progress."""
        offsets = written.offsets if written is not None else {}
        return all(offsets.get(place, -1) >= offset for place, offset in self.positions.items())


def kept_inputs(engine: Engine) -> dict[int, wiring.InputWiring]:
    """The inputs whose windows are worth a file."""
    return {
        index: source
        for index, source in enumerate(engine.layout.inputs)
        if source.window_size >= store.LEAST_ROWS and source.scope is spec.Scope.STATION
    }


def cut_of(engine: Engine, feed: Feed, slot: int, stations: Sequence[Station]) -> SlotCut:
    """The cut of a slot with these stations, as it is now."""
    topics = {}
    for index, source in kept_inputs(engine).items():
        windows = cuts.of_input(stations, index)
        # A record that strayed is in another topic: where that is read from again no cut could tell.
        if all(place.topic == source.topic for cut in windows for place in cut.floors):
            topics[source.topic] = (source, _reached(feed, source.topic, slot), windows)
    return SlotCut(slot, time.time(), topics)


def _reached(feed: Feed, topic: str, slot: int) -> dict[int, int]:
    return {
        place.partition: part.progress.reached(slot)
        for place, part in feed.parts.items()
        if place.topic == topic and slot in part.progress.pending
    }
