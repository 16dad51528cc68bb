"""Where each key of `module_input` comes from: fixed by a module's wiring, looked up once per key read."""

import dataclasses
import enum
from collections.abc import Iterator, Mapping

from analysis_module import spec, wiring


class Source(enum.Enum):
    """What kind of thing a key names."""

    WINDOW = enum.auto()
    LATEST = enum.auto()
    DEPENDENCY_WINDOW = enum.auto()
    DEPENDENCY_OUTPUT = enum.auto()
    DEPENDENCY_TIMESTAMP = enum.auto()


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """A field of an input topic: both by index."""

    topic: int
    field: int


@dataclasses.dataclass(frozen=True, slots=True)
class Key:
    """One static key: a field's places, in catalogue order, or the index of a dependency."""

    source: Source
    places: tuple[Place, ...] = ()
    dependency: int = 0


Quick = tuple[bool, int, int, int, spec.Padding]
"""A key that one field alone has: is it the window (or the latest value), topic, field, size, padding."""


@dataclasses.dataclass(frozen=True)
class Layout:
    """The static keys in contract order (seed system 3.2), and what else a `module_input` is made of.

    `heads` of a station are indexed alike: first the inputs, then the dependencies.
    """

    inputs: tuple[wiring.InputWiring, ...]
    dependencies: tuple[wiring.DependencyWiring, ...]
    summary_keys: tuple[str, ...]
    topics: tuple[str, ...]
    keys: Mapping[str, Key]
    quick: Mapping[str, Quick] = dataclasses.field(default_factory=dict)


def layout_of(module: wiring.Wiring) -> Layout:
    """The layout of a module's wiring."""
    return Layout(
        inputs=module.inputs,
        dependencies=module.dependencies,
        summary_keys=module.summary_keys,
        topics=tuple(i.topic for i in module.inputs) + tuple(d.topic for d in module.dependencies),
        keys=dict(_keys(module)),
        quick=dict(_quick(module)),
    )


def global_inputs(layout: Layout) -> tuple[int, ...]:
    """Indices of the inputs whose records belong to every station."""
    return tuple(i for i, source in enumerate(layout.inputs) if source.scope is spec.Scope.GLOBAL)


def _keys(module: wiring.Wiring) -> Iterator[tuple[str, Key]]:
    places: dict[str, list[Place]] = {}
    for topic, source in enumerate(module.inputs):
        for index, field in enumerate(source.fields):
            places.setdefault(field.name, []).append(Place(topic, index))
    for name, where in places.items():
        yield f"{name}_window", Key(Source.WINDOW, tuple(where))
        if name != "stationId":
            yield name, Key(Source.LATEST, tuple(where))
    for index, dependency in enumerate(module.dependencies):
        yield f"{dependency.module}_output_window", Key(Source.DEPENDENCY_WINDOW, dependency=index)
        yield f"{dependency.module}_output", Key(Source.DEPENDENCY_OUTPUT, dependency=index)
        yield f"{dependency.module}_timestamp", Key(Source.DEPENDENCY_TIMESTAMP, dependency=index)


def _quick(module: wiring.Wiring) -> Iterator[tuple[str, Quick]]:
    for name, key in _keys(module):
        if len(key.places) == 1:
            place = key.places[0]
            source = module.inputs[place.topic]
            is_window = key.source is Source.WINDOW
            yield name, (is_window, place.topic, place.field, source.window_size, source.padding)
