"""A stream in which every record of a station has its number, and the module that hands its windows back.

From its outputs alone a test can tell what was lost, doubled, out of order, or seen through a wrong window.
"""

import collections
import dataclasses
import json
import random
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

from analysis_module import names
from tests.infrastructure import kafka_tools

WINDOW = 20
CALLBACK = """
def callback(station_id, module_input):
    return {"number": module_input["number"], "window": list(module_input["number_window"])}
"""


@dataclasses.dataclass(frozen=True)
class NumberedStream:
    """Topics of one test: an input, the module's output, and the module's own ones."""

    bootstrap: str
    topic: str
    group: str

    @property
    def output_topic(self) -> str:
        """Where the module writes."""
        return f"{self.group}-output"

    @property
    def dead_letter_topic(self) -> str:
        """Where bad records go."""
        return names.dead_letter_topic(self.group)

    def spec(self, *, window: int = WINDOW, **changes: Any) -> dict[str, Any]:
        """The module's spec, with windows of so many records; `changes` replace whole top-level fields."""
        spec: dict[str, Any] = {
            "module": self.group,
            "kafka": {
                "bootstrapServers": self.bootstrap.split(","),
                "groupId": self.group,
                "autoOffsetReset": "earliest",
            },
            "inputs": [{"topic": self.topic, "fields": ["stationId", "number"], "windowSize": window}],
            "callback": {"source": CALLBACK},
            "output": {"topic": self.output_topic},
        }
        return {**spec, **changes}

    def outputs(self) -> list[kafka_tools.Record]:
        """Every output so far, as an independent client reads it."""
        return kafka_tools.read_all(self.bootstrap, self.output_topic)

    def output_count(self) -> int:
        """How many outputs there are, cheaply."""
        return sum(kafka_tools.end_offsets(self.bootstrap, self.output_topic).values())


def make(bootstrap: str, name: str, *, partitions: int = 4, replication: int = 1) -> NumberedStream:
    """New topics for a test."""
    group = kafka_tools.unique_name(name)
    stream = NumberedStream(bootstrap, f"{group}-input", group)
    for topic in (stream.topic, stream.output_topic):
        kafka_tools.create_topic(bootstrap, topic, partitions=partitions, replication=replication)
    return stream


def records(
    count: int, stations: int, *, seed: int = 1, keyed: bool = True, start: Mapping[str, int] | None = None
) -> Iterator[tuple[bytes | None, bytes, list[tuple[str, bytes]], None, None]]:
    """Records of stations in random order, each station's numbered from 1 (or on from `start`)."""
    chance = random.Random(seed)
    numbers: dict[str, int] = dict(start or {})
    for _ in range(count):
        station = f"S{chance.randrange(stations)}"
        numbers[station] = numbers.get(station, 0) + 1
        value = json.dumps({"stationId": station, "number": numbers[station]}).encode()
        yield (station.encode() if keyed else None), value, [], None, None


class SteadyStream(threading.Thread):
    """Writes numbered records, a few at a time, while its context is open or until `enough` is called."""

    def __init__(self, stream: NumberedStream, stations: int = 10) -> None:
        super().__init__(daemon=True)
        self.sent: list[Any] = []
        self._stream = stream
        self._records = records(1_000_000, stations)
        self._enough = threading.Event()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.enough()

    def run(self) -> None:
        """The thread."""
        while not self._enough.is_set():
            self.write(20)

    def enough(self) -> None:
        """Write no more; everything sent is acknowledged then."""
        self._enough.set()
        self.join()

    def write(self, count: int) -> None:
        """So many more records, once the thread has had `enough`."""
        some = [next(self._records) for _ in range(count)]
        kafka_tools.produce_all(self._stream.bootstrap, self._stream.topic, some)
        self.sent += some


def window_at(number: int, size: int = WINDOW) -> list[int]:
    """The window that a callback must see at a station's record of this number."""
    return [max(0, n) for n in range(number - size + 1, number + 1)]


@dataclasses.dataclass(frozen=True)
class Findings:
    """What a test's outputs tell: numbers that no output has, ids seen twice, outputs of a wrong window."""

    lost: list[tuple[str, int]]
    doubled: int
    doubled_unmarked: int
    wrong_windows: list[tuple[str, int, Sequence[int]]]
    out_of_order: list[tuple[str, int, int]]


def examine(outputs: Iterable[kafka_tools.Record], sent: Iterable[Any], *, windows: bool = True) -> Findings:
    """Hold outputs against the records that were sent."""
    expected = collections.Counter(json.loads(value)["stationId"] for _, value, *_ in sent)
    ids: set[bytes] = set()
    seen: dict[str, set[int]] = collections.defaultdict(set)
    newest: dict[str, int] = {}
    doubled = unmarked = 0
    wrong: list[tuple[str, int, Sequence[int]]] = []
    disorder: list[tuple[str, int, int]] = []
    for output in outputs:
        station, result = _result(output)
        number = result["number"]
        output_id = dict(output.headers)[names.HEADER_OUTPUT_ID]
        if output_id in ids:
            doubled += 1
        elif number in seen[station]:
            unmarked += 1
        elif number < newest.get(station, 0):
            disorder.append((station, newest[station], number))
        newest[station] = max(number, newest.get(station, 0))
        ids.add(output_id)
        seen[station].add(number)
        if windows and result["window"] != window_at(number):
            wrong.append((station, number, result["window"]))
    lost = [(s, n) for s, total in expected.items() for n in range(1, total + 1) if n not in seen[s]]
    return Findings(lost, doubled, unmarked, wrong, disorder)


def _result(output: kafka_tools.Record) -> tuple[str, Any]:
    assert output.value is not None
    envelope = json.loads(output.value)
    return envelope["stationId"], envelope["output"]
