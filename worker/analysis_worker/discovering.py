"""Which partitions there are to read of a module's topics, and which topics are still missing."""

import dataclasses
import logging
from collections.abc import Mapping

from analysis_worker.assembling import Assembly
from analysis_worker.engine import intake
from analysis_worker.engine.records import TopicPartition
from analysis_worker.kafka import ports

log = logging.getLogger(__name__)

Topics = Mapping[str, intake.TopicIntake]


class Discovery:
    """Looks for the partitions of topics.

    `missing` are the topics that were not there at the last look; `awaited` those that were missing once and
    are not read yet: all that is in them is new; `misaligned` the Aligned ones that are read as Filtered for
    the number of their partitions. Without `shared_topics` the topics that every slot shares are left to
    another feed.
    """

    def __init__(self, *, shared_topics: bool = True) -> None:
        self.missing: set[str] = set()
        self.awaited: set[str] = set()
        self.shared_topics = shared_topics
        self.misaligned: set[str] = set()

    def topics(self, assembly: Assembly) -> Topics:
        """The topics to read, by name; one that cannot be read as Aligned is not."""
        topics = {
            name: dataclasses.replace(topic, aligned=False) if name in self.misaligned else topic
            for name, topic in assembly.topics.items()
        }
        if self.shared_topics:
            return topics
        return {t: i for t, i in topics.items() if not i.shared and i.kind is not intake.Kind.DEVICES}

    async def partitions(
        self, source: ports.Source, assembly: Assembly, slots: set[int]
    ) -> list[TopicPartition]:
        """The partitions to read: of an Aligned topic those of these slots, of others all."""
        topics = self.topics(assembly)
        counts = await source.partitions(topics)
        missing = set(topics) - set(counts)
        for topic in sorted(missing - self.missing):
            log.warning("topic %s does not exist yet; create it, it is looked for again", topic)
        self.missing = missing
        self.awaited |= missing
        total = assembly.engine_settings.slots
        return [
            TopicPartition(topic, partition)
            for topic, count in counts.items()
            for partition in range(count)
            if not self._is_aligned(topics[topic], count, total) or partition in slots
        ]

    def _is_aligned(self, topic: intake.TopicIntake, partitions: int, slots: int) -> bool:
        """Slot n can only be partition n if there are as many: otherwise every partition must be read."""
        if topic.aligned and partitions != slots and topic.topic not in self.misaligned:
            self.misaligned.add(topic.topic)
            log.error(
                "topic %s has %s partitions but the module %s slots; it is read as Filtered: make them equal",
                topic.topic,
                partitions,
                slots,
            )
        return topic.aligned and topic.topic not in self.misaligned
