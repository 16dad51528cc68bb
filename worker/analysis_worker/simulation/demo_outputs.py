"""Reads what the modules write, as any consumer would: the first of each, how many, and the last."""

import asyncio
import dataclasses
import time
from collections.abc import Mapping, Sequence

import msgspec

from analysis_worker.engine.records import Record, TopicPartition
from analysis_worker.kafka import clients, connecting, ports
from analysis_worker.simulation import live_table

_POLL_SECONDS = 0.2
_MOST_RECORDS = 2000
_PAUSE_SECONDS = 0.5


@dataclasses.dataclass
class Seen:
    """What was seen of one module's outputs; `first_at` is a monotonic time."""

    count: int = 0
    first_at: float | None = None
    last: str = ""


class OutputReader:
    """Follows output topics from their beginning; `seen` is by topic."""

    def __init__(self, address: str, topics: Sequence[str]) -> None:
        self._connection = connecting.Connection((address,), "demo", {"security_protocol": "PLAINTEXT"})
        self._topics = topics
        self._positions: dict[TopicPartition, int] = {}
        self.seen: Mapping[str, Seen] = {topic: Seen() for topic in topics}

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            source = clients.KafkaSource(self._connection)
            try:
                await source.start()
                await self._follow(source)
            except ports.KafkaUnavailable:
                await asyncio.sleep(_PAUSE_SECONDS)
            finally:
                await source.close()

    async def _follow(self, source: clients.KafkaSource) -> None:
        counts = await source.partitions(self._topics)
        places = [TopicPartition(topic, number) for topic, count in counts.items() for number in range(count)]
        bounds = await source.bounds(places)
        await source.assign(
            {place: self._positions.get(place, first) for place, (first, _) in bounds.items()}
        )
        while True:
            batches = await source.poll(wait_seconds=_POLL_SECONDS, most=_MOST_RECORDS)
            for place, records in batches.items():
                self._positions[place] = records[-1].offset + 1
                self._note(self.seen[place.topic], records)

    def _note(self, seen: Seen, records: Sequence[Record]) -> None:
        seen.count += len(records)
        if seen.first_at is None:
            seen.first_at = time.monotonic()
        envelope = msgspec.json.decode(records[-1].value or b"null")
        if isinstance(envelope, dict):
            seen.last = live_table.output_text(str(envelope.get("stationId")), envelope.get("output"))
