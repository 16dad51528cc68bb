"""What tests make often: fields, inputs, wirings, records, windows, and an engine driven by hand."""

import dataclasses
import json
import types
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from analysis_module import reading, wiring
from analysis_module.spec import Padding, StationKey
from analysis_worker import assembling
from analysis_worker.engine import (
    engine,
    inputs,
    intake,
    layout,
    places,
    progress,
    segments,
    stations,
    views,
    windows,
)
from analysis_worker.engine.records import TopicPartition
from analysis_worker.engine.taken import Taken

NOW = 1_762_480_000.0
"""Seconds since the epoch: when things happen in tests that do not care."""
SLOTS = range(64)

CALENDAR = "SCHEDULE-ENVIRONMENT-CALENDAR"
ERROR = "SCHEDULE-DEVICE-ERROR"
GUN = "SCHEDULE-DEVICE-GUN"
METER = "SCHEDULE-DEVICE-METER"
ORDER = "SCHEDULE-CAR-ORDER"
PARAM = "SCHEDULE-STATION-PARAM"
PRICE = "SCHEDULE-CAR-PRICE"
REALTIME = "SCHEDULE-STATION-REALTIME-DATA"
STORAGE = "SCHEDULE-DEVICE-STORAGE"
WEATHER = "SCHEDULE-ENVIRONMENT-WEATHER"


def a_field(name: str = "power", *aliases: str, **changes: Any) -> wiring.FieldWiring:
    """A declared field."""
    return wiring.FieldWiring(name, aliases, **changes)


def an_input(topic: str = "POWER", fields: Sequence[str | wiring.FieldWiring] = (), **changes: Any) -> Any:
    """An input topic with fields stationId and power, window 3, unless changed."""
    declared = [field if isinstance(field, wiring.FieldWiring) else a_field(field) for field in fields]
    given: dict[str, Any] = {"window_size": 3, "station_key": StationKey(), **changes}
    return wiring.InputWiring(
        topic=topic, fields=tuple(declared or [a_field("stationId"), a_field()]), **given
    )


def a_wiring(*sources: wiring.InputWiring, **changes: Any) -> wiring.Wiring:
    """A module's wiring; one input unless others are given."""
    given = {
        "group_id": "module",
        "dead_letter_topic": "module-dead-letters",
        "progress_topic": "module-progress",
        "strays_topic": "module-strays",
        "last_topic": "module-last",
        "summary_keys": ("timestamp",),
        **changes,
    }
    return wiring.Wiring(module="module", inputs=sources or (an_input(),), **given)


@dataclasses.dataclass(slots=True)
class ARecord:
    """A consumed record; `timestamp` in ms."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


def a_record(value: Any = None, *, offset: int = 0, at: float = NOW, **changes: Any) -> ARecord:
    """A record of a JSON value, of these very bytes, or of none."""
    encoded = value if isinstance(value, bytes | None) else json.dumps(value).encode()
    return ARecord(
        **{"offset": offset, "timestamp": round(at * 1000), "key": None, "value": encoded, **changes}
    )


def rows(*values: Any, field: str = "power") -> list[Any]:
    """Rows of one field."""
    return [types.SimpleNamespace(**{field: value}) for value in values]


def readers(*fields: str) -> segments.Readers:
    """Readers of rows that have these attributes."""
    return segments.Readers(segments.FieldReader(name, [name]) for name in fields or ("power",))


def a_window(values: Iterable[Any], size: int) -> windows.TopicWindow:
    """A window that these values went through, of the field `power`."""
    window = windows.TopicWindow(readers(), size)
    for row in rows(*values):
        window.append(row)
    return window


def a_view(values: Iterable[Any], size: int, padding: Padding = Padding.ZERO) -> views.Window:
    """What a callback sees of such a window."""
    return views.Window(a_window(values, size).head, 0, size, padding)


def a_station(station_id: str = "S1", *, sources: int = 1, dependencies: int = 0) -> stations.Station:
    """A station without records."""
    return stations.Station(station_id, 0, inputs=sources, dependencies=dependencies, owned=True)


def a_trigger(
    station: stations.Station | None = None, offset: int = 0, *, at: float = NOW, topic: str = "POWER"
) -> stations.Trigger:
    """A trigger of a record at partition 0, which owes its offset to a progress of its own."""
    made = station or a_station()
    pending = progress.Pending()
    pending.begin(offset)
    batch = stations.Batch(layout.layout_of(a_wiring()), TopicPartition(topic, 0), {made.slot: pending})
    return stations.Trigger(made, batch, offset, round(at * 1000))


class HandDriven:
    """An engine, and what leads from records to it, with no Kafka: takes records when told to."""

    def __init__(
        self,
        spec: Mapping[str, Any],
        slots: Iterable[int] = SLOTS,
        memory: places.Memory = places.HEAP,
    ) -> None:
        self.assembly = assembling.assemble(reading.read_spec(spec))
        self.slots = list(slots)
        self.engine = engine.Engine(self.assembly.engine_settings, self.slots, memory)
        self.reader = intake.Reader(self.engine, self.slots)
        self.parts: dict[TopicPartition, intake.PartitionIntake] = {}

    def part(self, topic: str, partition: int = 0) -> intake.PartitionIntake:
        """The intake of a partition, live and caught up."""
        place = TopicPartition(topic, partition)
        if place not in self.parts:
            source = self.assembly.topics[topic]
            slots = [partition] if source.aligned else self.slots
            self.parts[place] = intake.PartitionIntake(source, partition, position=0, slots=slots)
            self.parts[place].caught_up = True
        return self.parts[place]

    def take(self, topic: str, *values: Any, at: float = NOW, partition: int = 0) -> Taken:
        """Take records of these values, written and read at the same time."""
        part = self.part(topic, partition)
        first = part.progress.position
        records = [a_record(value, offset=first + index, at=at) for index, value in enumerate(values)]
        return self.reader.take(part, records, round(at * 1000))

    def station(self, station_id: str = "S1") -> stations.Station:
        """A station that is known."""
        return self.engine.stations[station_id]

    def module_input(self, station_id: str = "S1", at: float = NOW) -> inputs.ModuleInput:
        """What a callback of this station would get now."""
        heads = tuple(self.station(station_id).heads)
        return inputs.ModuleInput(self.engine.layout, station_id, heads, at)

    def reconfigure(self, spec: Mapping[str, Any]) -> None:
        """Take another spec over while running."""
        self.assembly = assembling.assemble(reading.read_spec(spec))
        self.engine.reconfigure(self.assembly.engine_settings)
        topics = self.assembly.topics
        self.parts = {place: part for place, part in self.parts.items() if place.topic in topics}
        for part in self.parts.values():
            part.source = topics[part.source.topic]


def an_engine(module: str = "module", *, slots: Iterable[int] = SLOTS, **spec: Any) -> HandDriven:
    """An engine driven by hand; for a module outside the catalogue one input, unless `spec` says which."""
    if module == "module":
        spec.setdefault("inputs", [{"topic": "POWER", "fields": ["stationId", "power"], "windowSize": 3}])
    return HandDriven({"module": module, **spec}, slots)


def input_of(trigger: stations.Trigger) -> inputs.ModuleInput:
    """What the callback of a trigger gets."""
    return inputs.ModuleInput(
        trigger.batch.layout, trigger.station.id, trigger.heads, trigger.timestamp / 1000
    )
