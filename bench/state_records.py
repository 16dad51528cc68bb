"""What the state benchmark's stations send, and the module that keeps it: two topics, two numbers in each."""

import asyncio
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import aiokafka

from analysis_worker.kafka import partitioning
from tests.infrastructure import kafka_tools

PARTITIONS = 4
PER_SECOND = 600
"""Records of all stations in both topics while there is load: 300 stations send one a second in each."""
FIELDS = (("gridVoltage", "gridCurrent"), ("packVoltage", "packCurrent"))
"""The numbers of each topic, beside stationId."""
ALL_ROWS = -1.0
"""A gridVoltage that asks the callback to read its windows from end to end."""
CALLBACK = f"""
def callback(station_id, module_input):
    whole = module_input["gridVoltage"] == {ALL_ROWS}
    newest = slice(None) if whole else slice(-3600, None)
    result = {{"whole": whole}}
    for name in ("gridVoltage", "gridCurrent", "packVoltage", "packCurrent"):
        window = module_input[name + "_window"]
        if window.present:
            result[name] = float(window.numpy()[newest].mean())
    return result
"""
_BATCH_BYTES = 512 * 1024
_AT_ONCE = 50_000


@dataclasses.dataclass(frozen=True)
class Fleet:
    """Topics of `stations` stations, and a module with windows of `window` records of each."""

    bootstrap: str
    group: str
    stations: int
    window: int

    @property
    def topics(self) -> tuple[str, str]:
        """Both inputs."""
        return f"{self.group}-grid", f"{self.group}-pack"

    @property
    def output_topic(self) -> str:
        """Its records have the broker's clock: they say when they were written."""
        return f"{self.group}-output"

    @property
    def rows(self) -> int:
        """Records in all full windows."""
        return 2 * self.stations * self.window

    def spec(self, *, reset: str = "earliest") -> dict[str, Any]:
        """The module's spec; `reset` is where it begins in a group that read nothing yet."""
        inputs = [
            {"topic": topic, "fields": ["stationId", *fields], "windowSize": self.window}
            for topic, fields in zip(self.topics, FIELDS, strict=True)
        ]
        return {
            "module": "state-bench",
            "kafka": {
                "bootstrapServers": self.bootstrap.split(","),
                "groupId": self.group,
                "autoOffsetReset": reset,
            },
            "inputs": inputs,
            "callback": {"source": CALLBACK, "inputFormat": "numpy"},
            "output": {"topic": self.output_topic},
            "state": {"maxBytes": 2**40},
        }

    def make_topics(self) -> None:
        """Make the inputs and the output."""
        for topic in self.topics:
            kafka_tools.create_topic(self.bootstrap, topic, partitions=PARTITIONS)
        clock = {"message.timestamp.type": "LogAppendTime"}
        kafka_tools.create_topic(self.bootstrap, self.output_topic, partitions=PARTITIONS, config=clock)


def station_id(number: int) -> str:
    """The id of the station with this number."""
    return f"S{number:03d}"


def value(station: int, step: int, topic: int, *, voltage: float | None = None) -> bytes:
    """A station's record of one of the topics; its numbers change from step to step and are no whole ones."""
    first, second = FIELDS[topic]
    volts = 380.5 + (step * 7 + station) % 40 if voltage is None else voltage
    amperes = 20.25 + (step * 13 + station) % 160
    return b'{"stationId":"%s","%s":%.2f,"%s":%.2f}' % (
        station_id(station).encode(),
        first.encode(),
        volts,
        second.encode(),
        amperes,
    )


def outgoing(
    fleet: Fleet, topic: int, first_step: int, *, voltage: float | None = None
) -> Iterator[kafka_tools.Outgoing]:
    """Records of one topic, station after station in each step, without end."""
    step = first_step
    while True:
        for station in range(fleet.stations):
            key = station_id(station).encode()
            yield kafka_tools.Outgoing(key, value(station, step, topic, voltage=voltage))
        step += 1


def write(
    fleet: Fleet, steps: int, told: Callable[[int], None] = lambda done: None, *, topics: int = 2
) -> None:
    """Write so many records of each station to each topic, or to the first alone, in large batches."""
    asyncio.run(_write(fleet, steps, told, topics))


async def _write(fleet: Fleet, steps: int, told: Callable[[int], None], topics: int) -> None:
    places = [partitioning.partition_of(station_id(n).encode(), PARTITIONS) for n in range(fleet.stations)]
    keys = [station_id(n).encode() for n in range(fleet.stations)]
    producer = aiokafka.AIOKafkaProducer(
        bootstrap_servers=fleet.bootstrap,
        acks="all",
        max_batch_size=_BATCH_BYTES,
        max_request_size=2 * _BATCH_BYTES,
    )
    async with producer:
        for number, topic in enumerate(fleet.topics[:topics]):
            batches = [producer.create_batch() for _ in range(PARTITIONS)]
            sent: list[asyncio.Future[Any]] = []
            for step in range(steps):
                for station, (key, place) in enumerate(zip(keys, places, strict=True)):
                    written = value(station, step, number)
                    if batches[place].append(key=key, value=written, timestamp=None) is None:
                        sent.append(await producer.send_batch(batches[place], topic, partition=place))
                        batches[place] = producer.create_batch()
                        batches[place].append(key=key, value=written, timestamp=None)
                if step % max(1, _AT_ONCE // fleet.stations) == 0:
                    await asyncio.gather(*sent)
                    sent.clear()
                    told((number * steps + step) * fleet.stations)
            for place, batch in enumerate(batches):
                if batch.record_count():
                    sent.append(await producer.send_batch(batch, topic, partition=place))
            await asyncio.gather(*sent)
