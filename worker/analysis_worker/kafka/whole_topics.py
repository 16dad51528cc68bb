"""Reads a small topic whole, from its first record to where it ends now."""

from collections.abc import AsyncIterator, Sequence

from analysis_worker.engine.records import Record, TopicPartition
from analysis_worker.kafka import ports


async def read(source: ports.Source, topic: str, *, transactional: bool) -> AsyncIterator[Sequence[Record]]:
    """Its records, in order per partition; `source` stays assigned to it. One that is not there has none.

    If it is written in transactions, those that are open are waited for: what was committed after the begin
    of one that is stuck cannot be read before it ends.
    """
    partitions = (await source.partitions([topic])).get(topic, 0)
    places = [TopicPartition(topic, number) for number in range(partitions)]
    bounds = await source.bounds(places)
    positions = {place: first for place, (first, _) in bounds.items()}
    await source.assign(positions)
    ends = {place: None if transactional else end for place, (_, end) in bounds.items()}
    while any(end is None or positions[place] < end for place, end in ends.items()):
        for place, records in (await source.poll(wait_seconds=0.2, most=5000)).items():
            yield records
            positions[place] = records[-1].offset + 1
        for place, end in ends.items():
            if end is None:
                ends[place] = source.end_offset(place)
            elif positions[place] < end:
                positions[place] = max(positions[place], await source.position(place))
