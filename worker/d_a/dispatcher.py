"""DataDispatcher: the engine for programs that bring their data themselves (seed system 4.5).

It decodes, keeps windows, pads and joins like a worker, knows no Kafka, and may be called from any thread.
"""

import dataclasses
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from analysis_module import catalogue, spec, wording
from analysis_worker import assembling
from analysis_worker.engine import engine, inputs, intake
from analysis_worker.engine.records import Arrival, Refusal
from analysis_worker.engine.stations import Station
from analysis_worker.kafka import decoding, encoding
from d_a import configuration, sources, tables
from d_a.errors import DataAnalysisError, DispatcherError, handle_error
from d_a.module_inputs import ModuleInputs

log = logging.getLogger(__name__)

_STATION: Final = "station given to update_topic_data"
"""The key under which a record's station travels to the decoder: no producer writes it."""


class ParserBase:
    """A parser of one's own for a topic or a module: put an instance into `DataDispatcher.parsers`.

    Under a topic's name it gets each record's data, under a module's name the `module_input`.
    """

    def parse(self, raw: Any) -> dict[str, Any] | None:
        """What takes the place of `raw`; None drops it."""
        raise NotImplementedError(f"{type(self).__name__} does not say how to parse; define parse(raw)")


class DataDispatcher:
    """Windows per station and topic, and the `module_input` of every module built from them.

    `config` is anything that names settings (4.4): a module, a mapping, a path; None finds one. Attributes:
    `data_cache` (station -> topic -> records), `data_expire_seconds`, `padding_strategy`, `parsers`.
    Raises ConfigurationError.
    """

    def __init__(
        self, data_expire_seconds: float = 600, *, config: sources.Configurable | None = None
    ) -> None:
        self.data_expire_seconds = data_expire_seconds
        self.padding_strategy = "zero"
        self.parsers: dict[str, ParserBase] = {}
        self._lock = threading.RLock()
        self._others: dict[str, dict[str, Any]] = {}  # station -> topic not configured -> newest data
        self._assembly, self._inputs = self._assembled(self._configured(config))
        self._engine = engine.Engine(
            self._assembly.engine_settings, range(self._assembly.engine_settings.slots)
        )

    # -- configuration ------------------------------------------------------------------------------

    def _configured(self, config: sources.Configurable | None) -> configuration.Configuration:
        options = configuration.Options(
            data_expire_seconds=self.data_expire_seconds, padding_strategy=self.padding_strategy
        )
        return configuration.read(sources.reader_of(config)(), options, needs_kafka=False)

    def _assembled(self, read: configuration.Configuration) -> tuple[assembling.Assembly, ModuleInputs]:
        key = spec.StationKey(fields=(_STATION,))
        asked = tuple(dataclasses.replace(source, station_key=key) for source in read.union.inputs or ())
        assembly = assembling.assemble(dataclasses.replace(read.union, inputs=asked))
        wirings = {module: catalogue.resolve(each) for module, each in read.specs.items()}
        return assembly, ModuleInputs(wirings, snake_names=read.snake_names)

    def reload_config(self, config_module: sources.Configurable | None = None) -> None:
        """Take a new configuration over and keep all data; raises ConfigurationError, then the old stays."""
        with self._lock:
            self._assembly, self._inputs = self._assembled(self._configured(config_module))
            self._engine.reconfigure(self._assembly.engine_settings)
            for held in self._others.values():
                for topic in held.keys() & self._assembly.topics.keys():
                    del held[topic]

    def set_padding_strategy(self, strategy: str) -> None:
        """Pad by zero, linear, forward or missing from now on; raises AssertionError for any other."""
        known = tables.PADDINGS.get(strategy.lower()) if isinstance(strategy, str) else None
        if known is None:
            wanted = wording.one_of(list(tables.PADDINGS))
            raise AssertionError(f"padding strategy {wording.shown(strategy)} is unknown; give {wanted}")
        with self._lock:
            self.padding_strategy = strategy.lower()
            module_spec = self._assembly.module_spec
            padded = dataclasses.replace(module_spec, padding=known)
            self._assembly = assembling.assemble(padded)
            self._engine.reconfigure(self._assembly.engine_settings)

    # -- data in ------------------------------------------------------------------------------------

    def update_topic_data(
        self, station_id: Any, topic: str, data: Any, timestamp: float | None = None
    ) -> bool:
        """Take one record of a station at `timestamp` (epoch s, default now); whether it asks for a callback.

        `data` has any shape of seed system 2.1. A topic that is not configured is kept with window 1.
        Raises DataAnalysisError if data or id cannot be used, DispatcherError if the topic's parser fails.
        """
        now_ms = int((time.time() if timestamp is None else timestamp) * 1000)
        with self._lock:
            if topic in self.parsers:
                data = _parsed(self.parsers[topic], topic, data)
                if data is None:
                    return False
            if not isinstance(data, dict | list):
                wrong = f"{topic}: the data is a {type(data).__name__}, not an object"
                raise DataAnalysisError(f"{wrong}; give a dict")
            source = self._assembly.topics.get(topic)
            name = decoding.id_text(station_id)
            if name is None and (source is None or not source.shared):
                raise DataAnalysisError(f"{topic}: the station id is {station_id!r}; give its id as text")
            station = None if name is None else self._station(name, now_ms)
            if name is not None and station is None:
                return False
            return self._filed(source, topic, station, data)

    def _station(self, station_id: str, now_ms: int) -> Station | None:
        """The station, anew if it was not seen for longer than the expiry."""
        found = self._engine.stations.get(station_id)
        if found is not None and now_ms - found.last_seen > self.data_expire_seconds * 1000:
            self._forget(found)
        station = self._engine.station(station_id, now_ms)
        if station is not None:
            station.last_seen = max(station.last_seen, now_ms)
        return station

    def _filed(
        self, source: intake.TopicIntake | None, topic: str, station: Station | None, data: Any
    ) -> bool:
        if source is None:
            if station is not None:
                self._others.setdefault(station.id, {})[topic] = data
            return False
        for arrival in _arrivals(source, topic, station, data):
            if source.shared:
                self._engine.append_global(source.index, arrival.rows, replace=arrival.replace)
            elif station is not None and source.kind is intake.Kind.DEPENDENCY:
                self._engine.append_output(station, source.index, arrival.rows)
            elif station is not None:
                self._engine.append(station, source.index, arrival.rows, replace=arrival.replace)
        return source.trigger

    # -- data out -----------------------------------------------------------------------------------

    def get_topic_window(self, station_id: Any, topic: str) -> list[Any]:
        """The records that a station's window holds, oldest first, each with its declared fields.

        Of a module's output topic they are the outputs, of a topic not configured the newest data.
        """
        with self._lock:
            station = self._engine.stations.get(decoding.id_text(station_id) or "")
            if station is None:
                return []
            source = self._assembly.topics.get(topic)
            if source is None:
                held = self._others.get(station.id, {})
                return [held[topic]] if topic in held else []
            if source.kind is intake.Kind.DEPENDENCY:
                envelopes = station.heads[len(self._engine.layout.inputs) + source.index] or ()
                return [output for output, _ in envelopes]
            return self._records(station, source.index)

    def _records(self, station: Station, index: int) -> list[dict[str, Any]]:
        head, asked = station.heads[index], self._engine.layout.inputs[index]
        if not head:
            return []
        segment, count = head
        start = max(0, count - asked.window_size)
        names = [field.name for field in asked.fields]
        values = [segment.column(field, count).values(start, count) for field in range(len(names))]
        return [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]

    def get_module_input(self, station_id: Any, module: str) -> dict[str, Any] | None:
        """The `module_input` of one module (seed system 3.2); None for a station that is not known.

        Raises DispatcherError for a module that is not known, and if the module's parser fails.
        """
        with self._lock:
            station = self._engine.stations.get(decoding.id_text(station_id) or "")
            if station is None:
                return None
            if module not in self._inputs.wirings:
                known = ", ".join(self._inputs.wirings)
                raise DispatcherError(f"there is no module {module} that has topics; the modules are {known}")
            return self._parsed_input(module, self._inputs.one(self._engine.layout, station, module))

    def _parsed_input(self, module: str, module_input: inputs.ModuleInput) -> dict[str, Any] | None:
        parser = self.parsers.get(module)
        return module_input if parser is None else _parsed(parser, module, module_input)

    def get_all_inputs(self, station_id: Any) -> dict[str, dict[str, Any]]:
        """The inputs of all modules; {} for a station that is not known.

        A module whose parser fails or drops its input is left out, and the failure is logged.
        """
        with self._lock:
            station = self._engine.stations.get(decoding.id_text(station_id) or "")
            built = {} if station is None else self._inputs.all(self._engine.layout, station)
            found: dict[str, dict[str, Any]] = {}
            for module, module_input in built.items():
                try:
                    parsed = self._parsed_input(module, module_input)
                except DispatcherError as error:
                    handle_error(error, context={"station_id": station_id, "module": module})
                    continue
                if parsed is not None:
                    found[module] = parsed
            return found

    @property
    def data_cache(self) -> Mapping[str, Mapping[str, list[Any]]]:
        """Station -> topic -> records, as things stand; a view, read when asked."""
        return _Cache(self)

    def station_ids(self) -> list[str]:
        """Every station that is known."""
        with self._lock:
            return list(self._engine.stations)

    def topics_with_data(self, station_id: str) -> list[str]:
        """The topics of which a station has records."""
        with self._lock:
            station = self._engine.stations.get(station_id)
            if station is None:
                return []
            pairs = zip(self._engine.layout.topics, station.heads, strict=True)
            return [*(topic for topic, head in pairs if head), *self._others.get(station_id, ())]

    # -- expiry -------------------------------------------------------------------------------------

    def clean_expired(self, now: float | None = None) -> list[str]:
        """Drop the stations of which nothing came for longer than the expiry; return their ids.

        `now` is in epoch s, by default the time.
        """
        now_ms = int((time.time() if now is None else now) * 1000)
        oldest = now_ms - self.data_expire_seconds * 1000
        with self._lock:
            gone = [station for station in self._engine.stations.values() if station.last_seen < oldest]
            for station in gone:
                self._forget(station)
        return [station.id for station in gone]

    def _forget(self, station: Station) -> None:
        self._engine.forget(station)
        self._others.pop(station.id, None)


class _Cache(Mapping[str, Mapping[str, list[Any]]]):
    """What `DataDispatcher.data_cache` gives."""

    def __init__(self, dispatcher: DataDispatcher) -> None:
        self._dispatcher = dispatcher

    def __getitem__(self, station_id: str) -> dict[str, list[Any]]:
        topics = self._dispatcher.topics_with_data(station_id)
        if not topics and station_id not in self._dispatcher.station_ids():
            raise KeyError(station_id)
        return {topic: self._dispatcher.get_topic_window(station_id, topic) for topic in topics}

    def __iter__(self) -> Iterator[str]:
        return iter(self._dispatcher.station_ids())

    def __len__(self) -> int:
        return len(self._dispatcher.station_ids())

    def __repr__(self) -> str:
        return repr(dict(self))


def _parsed(parser: ParserBase, name: str, raw: Any) -> dict[str, Any] | None:
    """Run a user's parser; whatever it raises becomes a DispatcherError that names it."""
    try:
        return parser.parse(raw)
    except Exception as error:
        told = f"the parser of {name} raised {type(error).__name__}: {error}"
        raise DispatcherError(f"{told}; only this record is lost") from error


def _arrivals(source: intake.TopicIntake, topic: str, station: Station | None, data: Any) -> list[Arrival]:
    """Decode data by the same path as a Kafka record's; the given station is the one that it belongs to."""
    name = "" if station is None else station.id
    document = _output(name, data) if source.kind is intake.Kind.DEPENDENCY else _addressed(name, data)
    try:
        arrivals = source.decoder.arrivals(encoding.encode_json(document))
    except (Refusal, TypeError, ValueError) as error:
        raise DataAnalysisError(f"{topic}: {error}") from error
    return [arrival for arrival in arrivals if arrival.station_id in (name, None)]


def _addressed(name: str, data: Any) -> Any:
    if isinstance(data, list):
        return [{**item, _STATION: name} if isinstance(item, dict) else item for item in data]
    return {**data, _STATION: name}


def _output(name: str, data: Any) -> Any:
    """An envelope of the station's; a bare object becomes the output of one."""
    if not isinstance(data, dict) or "batch_id" in data:
        return data
    if "output" in data or "result" in data:
        return {**data, "stationId": name}
    return {"stationId": name, "output": data, "timestamp": data.get("timestamp")}


__all__ = ["DataDispatcher", "ParserBase"]
