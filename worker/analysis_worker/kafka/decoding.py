"""JSON of every accepted shape (seed system 2.1, 5.4) into rows, by decoders made from the declared fields.

Only declared fields, their aliases and the station key's names are decoded and kept.
"""

import dataclasses
import operator
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from analysis_module import spec, wiring
from analysis_worker.engine import segments
from analysis_worker.engine.records import ABSENT, Arrival, Ident, Refusal, Row

Scalar = str | int | float | bool | None
_SCALARS = (str, int, float, bool, type(None))

_REPLACING_LIST: Final = "realTimeData"
_LISTS: Final = ("realTimeData", "fee", "weather")
_CALENDAR: Final = "calendar"
_MOST_INCOMPLETE: Final = 1000
"""Records that lacked a field before incomplete rows are decoded the quick way too."""
_STATION_KEYS: Final = frozenset({"stationId", "station_id"})
_DEVICE_KEYS: Final = ("hostId", "meterId", "hostCode", "host_id", "meter_id")


class _RowReaders(segments.Readers):
    """Readers that turn a block of complete rows over at once."""

    complete: Any = None
    order: tuple[int, ...] = ()

    def columns(self, rows: Sequence[Row]) -> Sequence[Sequence[Any]]:
        """The values of every field, one sequence per field."""
        if set(map(type, rows)) != {self.complete}:
            return super().columns(rows)
        turned = list(zip(*map(msgspec.structs.astuple, rows), strict=True))
        return [turned[index] for index in self.order]


class RowShape:
    """The row type of one topic: which attribute holds which JSON key.

    `readers` are the declared fields in order; `attributes` maps each JSON key that is decoded to its
    attribute; the first station key field is always `key0`.
    """

    def __init__(self, fields: Sequence[wiring.FieldWiring], station_key: Sequence[str]) -> None:
        self.arrays = frozenset(
            name for field in fields if field.array for name in (field.name, *field.aliases)
        )
        self.attributes: dict[str, str] = {key: f"key{i}" for i, key in enumerate(dict.fromkeys(station_key))}
        for field in fields:
            for name in (field.name, *field.aliases):
                self.attributes.setdefault(name, f"field{len(self.attributes)}")
        self.type = self._struct()
        self.complete_type = self._complete_struct(fields)
        self.readers = _RowReaders(self._reader(field) for field in fields)
        names = list(self.complete_type.__struct_fields__)
        self.readers.complete = self.complete_type
        self.readers.order = tuple(names.index(self.attributes[field.name]) for field in fields)

    def _reader(self, field: wiring.FieldWiring) -> segments.FieldReader:
        names = [self.attributes[name] for name in (field.name, *field.aliases)]
        kind = segments.SingleReader if field.dtype == spec.Dtype.FLOAT32 else segments.FieldReader
        return kind(field.name, names, field.dtype)

    def _struct(self) -> Any:
        attributes = {**self.attributes, **self._lists()}
        members = [(attribute, self._type_of(key), ABSENT) for key, attribute in attributes.items()]
        return msgspec.defstruct(
            "Row", members, rename={own: key for key, own in attributes.items()}, gc=False
        )

    def _complete_struct(self, fields: Sequence[wiring.FieldWiring]) -> Any:
        """A row with every field under its own name and the first station key: small and quick to read."""
        attributes = {**self.attributes, **self._lists()}
        keys = dict.fromkeys((next(iter(attributes)), *(field.name for field in fields)))
        members: list[Any] = [(attributes[key], self._type_of(key)) for key in keys]
        # A list under an alias makes a whole window even beside the field's own name.
        aliases = [name for field in fields for name in field.aliases]
        others = [key for key in dict.fromkeys((*aliases, *self._lists())) if key not in keys]
        members += [(attributes[key], self._type_of(key), ABSENT) for key in others]
        rename = {attributes[key]: key for key in (*keys, *others)}
        return msgspec.defstruct("CompleteRow", members, rename=rename, gc=False)

    def _lists(self) -> dict[str, str]:
        """Lists of samples are known only to be refused: a record that has one is no sample itself."""
        return {name: f"list{i}" for i, name in enumerate(_LISTS) if name not in self.attributes}

    def _type_of(self, key: str) -> Any:
        return list[Scalar] | Scalar if key in self.arrays else Scalar

    def make(self, values: Mapping[str, Any]) -> Row:
        """A row from JSON keys and values; keys that are not decoded are left out."""
        attributes = self.attributes
        return self.type(**{attributes[key]: value for key, value in values.items() if key in attributes})


class InputDecoder:
    """Decodes the records of an input topic."""

    def __init__(self, source: wiring.InputWiring) -> None:
        # hostId and meterId are wanted from every topic that may teach device ids; they cost nothing unread.
        self._keys = tuple(dict.fromkeys(source.station_key.fields))
        self.shape = RowShape(source.fields, (*self._keys, *_DEVICE_KEYS))
        # With `via` whatever is not a station's own id leads to one.
        self._device_keys = frozenset(self._keys if source.station_key.via else _DEVICE_KEYS) - _STATION_KEYS
        # Most producers send every field under its own name; if theirs do not, rows of any kind it is.
        self.row = msgspec.json.Decoder(self.shape.complete_type).decode
        self._incomplete = 0
        self._complete = frozenset((self._keys[0], *(field.name for field in source.fields)))
        self._shared = source.scope is spec.Scope.GLOBAL
        self._declared = tuple(
            dict.fromkeys(name for field in source.fields for name in (field.name, *field.aliases))
        )
        self._scalars = tuple(name for name in self._declared if name not in self.shape.arrays)

    @property
    def by_device(self) -> bool:
        """Whether the first station key field is a device's id."""
        return self._keys[0] in self._device_keys

    @property
    def readers(self) -> segments.Readers:
        """Readers of the declared fields from this decoder's rows."""
        return self.shape.readers

    def arrivals(self, value: bytes) -> Sequence[Arrival]:
        """What the record brings, per station, newest last; raises Refusal."""
        document = parsed(value)
        if isinstance(document, list):
            return self._each(document)
        if not isinstance(document, dict):
            raise Refusal("wrong_type", f"the value is a JSON {kind_of(document)}; send an object")
        if self._shared and isinstance(document.get(_CALENDAR), list):
            return [Arrival(None, (self._calendar(document[_CALENDAR]),))]
        for name in _LISTS:
            if isinstance(document.get(name), list) and name not in self.shape.attributes:
                return self._grouped(document, name)
        if not document.keys() >= self._complete:
            self._incomplete += 1
            if self._incomplete == _MOST_INCOMPLETE:
                self.row = msgspec.json.Decoder(self.shape.type).decode
        return [self._arrival(document)]

    def devices(self, row: Row) -> Sequence[str]:
        """Host and meter ids that the row names."""
        devices: list[str] = []
        for key in _DEVICE_KEYS:
            value = getattr(row, self.shape.attributes[key])
            named = value if isinstance(value, list) else [value]
            devices.extend(text for item in named if (text := id_text(item)) is not None)
        return devices

    def cut(self, value: bytes, wanted: Sequence[Collection[Ident]]) -> Sequence[bytes]:
        """The record once for each of these sets of ids, with only their elements of a list of many."""
        document = parsed(value)
        name = None
        if isinstance(document, dict):
            lists = (name for name in _LISTS if isinstance(document.get(name), list))
            name = next((name for name in lists if name not in self.shape.attributes), None)
            if name is None:
                return [value] * len(wanted)
        elements: list[Any] = document[name] if name is not None else document
        outer = {key: document[key] for key in self._keys if key in document} if name is not None else {}
        parts: list[list[Any]] = [[] for _ in wanted]
        part_of = {ident: part for part, own in zip(parts, wanted, strict=True) for ident in own}
        for each in elements:
            if isinstance(each, dict) and (ident := self._identified({**outer, **each})) in part_of:
                part_of[ident].append(each)
        wholes = [value if len(part) == len(elements) else None for part in parts]
        return [
            whole or msgspec.json.encode(part if name is None else {**document, name: part})
            for whole, part in zip(wholes, parts, strict=True)
        ]

    def _each(self, elements: Sequence[Any]) -> list[Arrival]:
        """A top-level array: each element is a record of its own station."""
        sound: dict[tuple[str | None, bool], list[Arrival]] = {}
        refused: list[Refusal] = []
        for index, element in enumerate(elements):
            try:
                arrival = self._element(element, f"[{index}]", {})
                sound.setdefault((arrival.station_id, arrival.device), []).append(arrival)
            except Refusal as refusal:
                refused.append(refusal)
        return _without_refused(map(_merged, sound.values()), refused)

    def _element(self, element: Any, path: str, outer: Mapping[str, Any]) -> Arrival:
        if not isinstance(element, dict):
            raise Refusal("wrong_type", f"{path} is a JSON {kind_of(element)}; send an object")
        return self._arrival({**outer, **element}, f"{path}.")

    def _grouped(self, document: Mapping[str, Any], name: str) -> list[Arrival]:
        """A list under a name of its own: grouped by station, sorted by sendTime."""
        outer = {key: document[key] for key in self._keys if key in document}
        groups: dict[tuple[str | None, bool], list[tuple[str, Arrival]]] = {}
        refused: list[Refusal] = []
        for index, element in enumerate(document[name]):
            try:
                arrival = self._element(element, f"{name}[{index}]", outer)
                sent = str(element.get("sendTime") or "")
                groups.setdefault((arrival.station_id, arrival.device), []).append((sent, arrival))
            except Refusal as refusal:
                refused.append(refusal)
        arrivals = []
        for samples in groups.values():
            samples.sort(key=operator.itemgetter(0))
            merged = _merged([arrival for _, arrival in samples])
            arrivals.append(dataclasses.replace(merged, replace=merged.replace or name == _REPLACING_LIST))
        return _without_refused(arrivals, refused)

    def _calendar(self, days: Sequence[Any]) -> Row:
        names = ("date", "isHoliday", "isWeekend")
        listed = {name: [day.get(name) for day in days if isinstance(day, dict)] for name in names}
        return self.shape.make(listed)

    def _arrival(self, document: dict[str, Any], path: str = "") -> Arrival:
        self._check(document, path)
        station_id, device = (None, False) if self._shared else self._identified(document)
        if not self._shared and station_id is None:
            raise Refusal("missing_station_id", f"{path}none of {', '.join(self._keys)} is present; add one")
        lists = [name for name in self._scalars if isinstance(document.get(name), list)]
        if not lists:
            return Arrival(station_id, (self.shape.make(document),), False, device)
        return Arrival(station_id, tuple(self._samples(document, lists, path)), True, device)

    def _samples(self, document: Mapping[str, Any], lists: Sequence[str], path: str) -> Iterable[Row]:
        """A whole window: as many samples as the longest list has, shorter lists right-aligned."""
        count = max(len(document[name]) for name in lists)
        for name in lists:
            for index, value in enumerate(document[name]):
                if not isinstance(value, _SCALARS):
                    raise Refusal(
                        "wrong_type", f"{path}{name}[{index}] is a JSON {kind_of(value)}; send a scalar"
                    )
        aligned = {name: [None] * (count - len(document[name])) + document[name] for name in lists}
        scalars = {key: value for key, value in document.items() if key not in aligned}
        for index in range(count):
            yield self.shape.make({**scalars, **{name: values[index] for name, values in aligned.items()}})

    def _check(self, document: Mapping[str, Any], path: str) -> None:
        for key in self._declared:
            value = document.get(key)
            if isinstance(value, dict):
                raise Refusal("wrong_type", f"{path}{key} is a JSON object; send a scalar")
            if isinstance(value, list) and key in self.shape.arrays:
                for index, item in enumerate(value):
                    if not isinstance(item, _SCALARS):
                        raise Refusal(
                            "wrong_type", f"{path}{key}[{index}] is a JSON {kind_of(item)}; send a scalar"
                        )

    def _identified(self, document: Mapping[str, Any]) -> tuple[str | None, bool]:
        for key in self._keys:
            text = id_text(document.get(key))
            if text is not None:
                return text, key in self._device_keys
        return None, False


class OutputDecoder:
    """Decodes another module's outputs: every envelope of seed system 5.4. A row is (output, seconds)."""

    by_device = False
    _KEYS = ("stationId", "station_id", "hostId", "meterId", "host_id", "hostCode", "meter_id")

    def row(self, value: bytes) -> Row:
        """Outputs have no quick way."""
        raise ValueError("outputs come in envelopes")

    def devices(self, row: Row) -> Sequence[str]:
        """Outputs name no devices."""
        return ()

    def cut(self, value: bytes, wanted: Sequence[Collection[Ident]]) -> Sequence[bytes]:
        """Outputs are not kept in parts."""
        return [value] * len(wanted)

    def arrivals(self, value: bytes) -> Sequence[Arrival]:
        """The output of each station in the record; raises Refusal."""
        document = parsed(value)
        if not isinstance(document, dict):
            raise Refusal("wrong_type", f"the value is a JSON {kind_of(document)}; send an object")
        results = document.get("results")
        if isinstance(results, list) and "batch_id" in document:
            return self._each(results, document.get("timestamp"))
        return [self._arrival(document, None)]

    def _each(self, results: Sequence[Any], timestamp: Any) -> Sequence[Arrival]:
        arrivals, refused = [], []
        for result in results:
            try:
                arrivals.append(self._arrival(result, timestamp))
            except Refusal as refusal:
                refused.append(refusal)
        return _without_refused(arrivals, refused)

    def _arrival(self, envelope: Any, timestamp: Any) -> Arrival:
        if not isinstance(envelope, dict):
            raise Refusal("wrong_type", f"a result is a JSON {kind_of(envelope)}; send an object")
        station_id = next((t for key in self._KEYS if (t := id_text(envelope.get(key))) is not None), None)
        if station_id is None:
            raise Refusal("missing_station_id", "the output names no station; add stationId")
        seconds = _seconds(envelope.get("timestamp", timestamp))
        return Arrival(station_id, ((self._payload(envelope), seconds),))

    @staticmethod
    def _payload(envelope: Mapping[str, Any]) -> Any:
        for name in ("output", "result"):
            if name in envelope:
                return envelope[name]
        return envelope


def parsed(value: bytes) -> Any:
    """The JSON document of a record's value; raises Refusal."""
    try:
        return msgspec.json.decode(value)
    except UnicodeDecodeError as error:
        raise Refusal("invalid_utf8", f"the value is not UTF-8 at byte {error.start}") from error
    except RecursionError as error:
        raise Refusal("invalid_json", "the value is nested too deeply to be read") from error
    except (msgspec.DecodeError, ValueError) as error:
        kind = "invalid_utf8" if "utf-8" in str(error).lower() else "invalid_json"
        raise Refusal(kind, f"the value is not JSON: {error}") from error


def id_text(value: Any) -> str | None:
    """A station or device id as text: numbers in decimal; None for null, "" and what cannot be an id."""
    if isinstance(value, str):
        return value or None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _seconds(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def kind_of(value: Any) -> str:
    """The JSON name of a value's type."""
    names = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")


def _without_refused(arrivals: Iterable[Arrival], refused: Sequence[Refusal]) -> list[Arrival]:
    """The sound parts of a record of many; a Refusal that brings them along if there are others."""
    sound = list(arrivals)
    if not refused:
        return sound
    more = f" (and {len(refused) - 1} more like it)" if len(refused) > 1 else ""
    raise Refusal(refused[0].error_type, f"{refused[0]}{more}", sound)


def _merged(arrivals: Sequence[Arrival]) -> Arrival:
    """One station's arrivals of one record as one: a whole window among them starts it anew."""
    first = arrivals[0]
    rows: tuple[Row, ...] = ()
    replace = False
    for arrival in arrivals:
        rows = arrival.rows if arrival.replace else rows + arrival.rows
        replace = replace or arrival.replace
    return Arrival(first.station_id, rows, replace, first.device)
