"""One of two sites of Kafka with the guide's module: its topics, producers, and where its group stands."""

import contextlib
import dataclasses
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import kafka

from analysis_module import slots
from tests.infrastructure import kafka_connections, kafka_tools, numbered_stream

GROUP = "data_analysis_prod.load_prediction"
INPUTS = (
    *("SCHEDULE-STATION-PARAM", "SCHEDULE-STATION-REALTIME-DATA", "SCHEDULE-ENVIRONMENT-CALENDAR"),
    *("SCHEDULE-CAR-ORDER", "REAL-STATION-DATA"),
)
"""The topics of the guide's module, of which the worker here reads one."""
PARTITIONS = 4
TRIMMED = 7
"""Records that no topic of `make_trimmed_topics` holds any more; the offsets of later ones count them."""


@dataclasses.dataclass(frozen=True)
class SiteStream(numbered_stream.NumberedStream):
    """The numbered stream at one site, on topics that are called as in the guide."""

    @property
    def output_topic(self) -> str:
        """Where the module writes."""
        return "MODULE-OUTPUT-LOAD-PREDICTION"

    def module(self) -> dict[str, Any]:
        """Its spec; like most modules it begins with what comes next, unless it is told otherwise."""
        return self.spec(kafka={**self.spec()["kafka"], "autoOffsetReset": "latest"})

    def input_count(self) -> int:
        """How many inputs were ever written at this site, cheaply."""
        return sum(kafka_tools.end_offsets(self.bootstrap, self.topic).values())

    def make_trimmed_topics(self) -> None:
        """The module's topics, which have lost their first records as if by retention."""
        with self._admin() as admin:
            for topic in (*INPUTS, self.output_topic):
                kafka_tools.create_topic(self.bootstrap, topic, partitions=PARTITIONS)
                old = (kafka_tools.Outgoing(value=b"{}", partition=n % PARTITIONS) for n in range(TRIMMED))
                kafka_tools.produce_all(self.bootstrap, topic, old)
                ends = kafka_tools.end_offsets(self.bootstrap, topic)
                admin.delete_records({kafka.TopicPartition(topic, n): end for n, end in ends.items()})

    def group_offsets(self) -> dict[int, tuple[int, str]]:
        """Partition of the input -> offset and metadata that the module's group has here."""
        with self._admin() as admin:
            found = admin.list_group_offsets(self.group)[self.group]
        return {
            place.partition: (kept.offset, kept.metadata)
            for place, kept in found.items()
            if place.topic == self.topic
        }

    def _admin(self) -> contextlib.AbstractContextManager[Any]:
        return contextlib.closing(kafka.KafkaAdminClient(**kafka_connections.settings(self.bootstrap)))


class Producer:
    """Writes the next number of each station; no two records of a station have the same time."""

    def __init__(self, stream: SiteStream, numbers: Mapping[str, int] | None = None) -> None:
        self.sent: list[Any] = []
        self.newest_ms = 0
        self._stream = stream
        self._numbers = dict(numbers or {})

    def write(self, stations: Sequence[str], rounds: int = 1) -> None:
        """So many records of each station, by turns."""
        some: list[Any] = []
        for _ in range(rounds):
            self.newest_ms = max(self.newest_ms + 1, int(time.time() * 1000))
            for station in stations:
                self._numbers[station] = self._numbers.get(station, 0) + 1
                value = json.dumps({"stationId": station, "number": self._numbers[station]}).encode()
                some.append((station.encode(), value, [], self.newest_ms, None))
        kafka_tools.produce_all(self._stream.bootstrap, self._stream.topic, some)
        self.sent += some


def at(bootstrap: str) -> SiteStream:
    """The module's stream at a site."""
    return SiteStream(bootstrap, "SCHEDULE-CAR-ORDER", GROUP)


def stations_in(partition: int, count: int) -> list[str]:
    """Names of stations whose records come into this partition."""
    every = (f"S{number}" for number in range(10_000))
    of = (each for each in every if slots.to_positive(slots.murmur2(each.encode())) % PARTITIONS == partition)
    return [next(of) for _ in range(count)]
