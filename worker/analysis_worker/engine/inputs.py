"""`module_input`: what a callback gets for one trigger, built key by key as it is read (seed system 3.2).

It is a dict. Until everything is asked for (by iteration, length, `in`, `get` of an unknown key, copying)
only the keys that were read exist in it, so building one costs the same whatever the windows and however
many topics.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from analysis_worker.engine import layout as layouts
from analysis_worker.engine import views
from analysis_worker.engine.windows import Head

Envelope = tuple[Any, float | None]
"""A dependency's output and its envelope's time in seconds."""

Heads = tuple[Any, ...]
"""Per input a `Head` or None, then per dependency a tuple of `Envelope`, newest last."""

_UNKNOWN: Final = object()


class _Pending:
    """Key of a `module_input` not yet complete.

    C encoders walk a dict's own storage and would see only part of it: they refuse this key, loudly.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "<read it by key, or take dict(module_input) first>"


_PENDING: Final = _Pending()


class ModuleInput(dict[str, Any]):
    """The windows, latest values, dependencies and quality of one station at one moment."""

    __slots__ = ("_complete", "heads", "layout", "station_id", "timestamp")

    def __init__(self, layout: layouts.Layout, station_id: str, heads: Heads, timestamp: float) -> None:
        self.layout = layout
        self.station_id = station_id
        self.heads = heads
        self.timestamp = timestamp
        self._complete = False
        dict.__setitem__(self, _PENDING, None)  # type: ignore[misc]

    def __missing__(self, key: str) -> Any:
        if self._complete:
            raise KeyError(key)
        quick = self.layout.quick.get(key)
        if quick is not None:
            is_window, topic, field, size, padding = quick
            if not is_window:
                return views.latest(self.heads[topic], field, size, padding)
            window = views.Window(self.heads[topic], field, size, padding)
            dict.__setitem__(self, key, window)
            return window
        value = self._static(key)
        if value is _UNKNOWN:
            return self.complete()[key]
        dict.__setitem__(self, key, value)
        return value

    def complete(self) -> dict[str, Any]:
        """Build every key, in contract order; keys the callback had set keep their values."""
        if not self._complete:
            self._complete = True
            read = dict(dict.items(self))
            del read[_PENDING]  # type: ignore[arg-type]
            built = self._built()
            dict.clear(self)
            dict.update(self, {key: read.get(key, value) for key, value in built.items()})
        return self

    def plain(self) -> dict[str, Any]:
        """An ordinary dict with lists for windows, ready for any JSON encoder."""
        return {key: plain_value(value) for key, value in self.items()}

    def _static(self, key: str) -> Any:
        if key == "stationId":
            return self.station_id
        found = self.layout.keys.get(key)
        if found is None:
            return _UNKNOWN
        if found.source is layouts.Source.WINDOW:
            return self._window(self._place(found.places))
        if found.source is layouts.Source.LATEST:
            return self._latest(self._place(found.places))
        return self._dependency(found)

    def _place(self, places: tuple[layouts.Place, ...]) -> layouts.Place:
        """The last place, in catalogue order, whose topic has data; the last of all if none has."""
        if len(places) > 1:
            for place in reversed(places):
                if self.heads[place.topic]:
                    return place
        return places[-1]

    def _window(self, place: layouts.Place) -> views.Window:
        source = self.layout.inputs[place.topic]
        return views.Window(self.heads[place.topic], place.field, source.window_size, source.padding)

    def _latest(self, place: layouts.Place) -> Any:
        source = self.layout.inputs[place.topic]
        head: Head | None = self.heads[place.topic]
        return views.latest(head, place.field, source.window_size, source.padding)

    def _envelopes(self, dependency: int) -> tuple[Envelope, ...]:
        return self.heads[len(self.layout.inputs) + dependency] or ()

    def _dependency(self, key: layouts.Key) -> Any:
        envelopes = self._envelopes(key.dependency)
        if key.source is layouts.Source.DEPENDENCY_WINDOW:
            return [output for output, _ in envelopes]
        if not envelopes:
            return None
        return envelopes[-1][0 if key.source is layouts.Source.DEPENDENCY_OUTPUT else 1]

    def _built(self) -> dict[str, Any]:
        built: dict[str, Any] = {"stationId": self.station_id}
        fields = {key: self._static(key) for key in self.layout.keys}
        built.update(fields)
        newest = self._newest_outputs()
        for module, output in newest:
            for key, value in output.items():
                built.setdefault(f"{module}_{key}", value)
        for _, output in newest:
            for key, value in output.items():
                built.setdefault(key, value)
        for key in self.layout.summary_keys:
            if key not in fields:
                built[key] = self._summary(key, newest)
        built["_data_quality"] = self._data_quality()
        built["_topics"] = self._topics()
        return built

    def _newest_outputs(self) -> list[tuple[str, Mapping[str, Any]]]:
        newest = []
        for index, dependency in enumerate(self.layout.dependencies):
            envelopes = self._envelopes(index)
            if envelopes and isinstance(envelopes[-1][0], Mapping):
                newest.append((dependency.module, envelopes[-1][0]))
        return newest

    def _summary(self, key: str, newest: list[tuple[str, Mapping[str, Any]]]) -> Any:
        if key == "timestamp":
            return self.timestamp
        return next((output[key] for _, output in newest if key in output), None)

    def _data_quality(self) -> dict[str, Any]:
        topics = self.layout.topics
        available = [topic for topic, head in zip(topics, self.heads, strict=True) if head]
        missing = [topic for topic, head in zip(topics, self.heads, strict=True) if not head]
        return {
            "available_topics": available,
            "missing_topics": missing,
            "total_topics": len(topics),
            "availability_ratio": len(available) / len(topics) if topics else 0.0,
        }

    def _topics(self) -> dict[str, dict[str, Any]]:
        topics: dict[str, dict[str, Any]] = {}
        for topic, source in enumerate(self.layout.inputs):
            values = topics[source.topic] = {}
            for index, field in enumerate(source.fields):
                place = layouts.Place(topic, index)
                values[f"{field.name}_window"] = self._window(place)
                values[field.name] = self._latest(place)
        return topics

    def get(self, key: str, default: Any = None) -> Any:
        """The value of `key`, or `default`."""
        try:
            return self[key]
        except KeyError:
            return default

    def __contains__(self, key: object) -> bool:
        return dict.__contains__(self.complete(), key)

    def __iter__(self) -> Iterator[str]:
        return dict.__iter__(self.complete())

    def __len__(self) -> int:
        return dict.__len__(self.complete())

    def __bool__(self) -> bool:
        return True

    def __eq__(self, other: object) -> bool:
        if isinstance(other, ModuleInput):
            other.complete()
        return dict.__eq__(self.complete(), other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __repr__(self) -> str:
        return dict.__repr__(self.complete())

    def __setitem__(self, key: str, value: Any) -> None:
        dict.__setitem__(self.complete(), key, value)

    def __delitem__(self, key: str) -> None:
        dict.__delitem__(self.complete(), key)

    def __or__(self, other: Any) -> Any:
        return dict(self.complete()) | other

    def __ror__(self, other: Any) -> Any:
        return other | dict(self.complete())

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return (dict, (self.plain(),))

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return self.plain()


def _completing(name: str) -> Callable[..., Any]:
    inherited = getattr(dict, name)

    def method(self: ModuleInput, *arguments: Any, **keywords: Any) -> Any:
        return inherited(self.complete(), *arguments, **keywords)

    method.__name__ = name
    method.__doc__ = inherited.__doc__
    return method


for _name in (
    "keys",
    "values",
    "items",
    "copy",
    "pop",
    "popitem",
    "setdefault",
    "update",
    "clear",
    "__reversed__",
    "__ior__",
):
    setattr(ModuleInput, _name, _completing(_name))


def plain_value(value: Any) -> Any:
    """`value` with every Window in it made a list."""
    if isinstance(value, views.Window):
        return value.tolist()
    if isinstance(value, dict):
        return {key: plain_value(inner) for key, inner in value.items()}
    return value
