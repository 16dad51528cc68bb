"""What the ports do while no broker answers, on the fake and on a real broker that is killed."""

import asyncio
import time

import pytest

from analysis_worker.engine.records import TopicPartition
from analysis_worker.kafka import ports
from tests.contract.kafka_clusters import BOUND_SECONDS, Losable, polled, started

SILENCE_SECONDS = 5.0


async def test_without_brokers_every_call_is_unavailable_within_a_bound_and_they_may_come_back(
    losable: Losable,
) -> None:
    topic = losable.create()
    place = TopicPartition(topic, 0)
    source, sink = losable.source(), losable.sink()
    async with started(source), started(sink):
        await source.assign({place: 0})
        assert await sink.send(topic, 0, [ports.Message(topic, None, b"before")]) == 1
        await polled(source, 1)
        assert source.silent_seconds() < SILENCE_SECONDS
        losable.lose()
        try:
            for call in (
                lambda: sink.send(topic, 0, [ports.Message(topic, None, b"lost")]),
                lambda: source.bounds([place]),
                lambda: source.partitions([topic]),
                lambda: source.commit({place: 1}),
                lambda: source.committed([place]),
                lambda: losable.topics().ensure("some-topic", partitions=1, config={}),
                source.start,
                losable.source().start,
                losable.sink().start,
            ):
                began = time.monotonic()
                with pytest.raises(ports.KafkaUnavailable):
                    await call()
                assert time.monotonic() - began < BOUND_SECONDS
            assert await source.poll(wait_seconds=0.1, most=10) == {}
            assert await source.position(place) == 1
            async with asyncio.timeout(BOUND_SECONDS):
                while source.silent_seconds() < SILENCE_SECONDS:
                    await source.poll(wait_seconds=0.1, most=10)
        finally:
            losable.bring_back()
        fresh = losable.sink()
        async with started(fresh):
            assert await fresh.send(topic, 0, [ports.Message(topic, None, b"after")]) == 1
        assert (await polled(source, 1))[place][-1].value == b"after"
        assert source.silent_seconds() < SILENCE_SECONDS
        await source.commit({place: 2})
        assert await source.committed([place]) == {}
