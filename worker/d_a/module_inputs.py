"""What callers get of a station: the `module_input` of one module, or of every module from the same windows.

An engine that serves all modules has one layout, the union; each module's own layout picks its topics from
it, so that nine inputs of a station cost as little as one and no record is kept twice.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Final, Protocol

from analysis_module import catalogue, wiring
from analysis_worker.engine import inputs, layout
from analysis_worker.engine.layout import Layout

_SNAKE_ID: Final = "station_id"


class Held(Protocol):
    """What is read of a station: its id, its heads, and when it was last seen in ms since the epoch."""

    id: str
    heads: list[Any]
    last_seen: int


class SnakeNames:
    """The option `names: snake`: every field's key also in snake_case, as callbacks of 1.0 read them."""

    def __init__(self) -> None:
        self._known: tuple[Layout, Layout] | None = None

    def layout(self, plain: Layout) -> Layout:
        """The layout with the other spellings added; a name that is taken stays as it is."""
        known = self._known
        if known is None or known[0] is not plain:
            known = self._known = (plain, dataclasses.replace(plain, keys=_with_snake_keys(plain)))
        return known[1]

    def add(self, module_input: inputs.ModuleInput) -> None:
        """Add the spellings to an input of which nothing was read yet."""
        module_input.layout = self.layout(module_input.layout)
        if _SNAKE_ID in module_input.layout.keys:
            # Like a key that the callback has set, it outlasts the building of the others.
            dict.__setitem__(module_input, _SNAKE_ID, module_input.station_id)


def _with_snake_keys(plain: Layout) -> dict[str, layout.Key]:
    keys: dict[str, layout.Key] = {}
    for name, key in plain.keys.items():
        keys[name] = key
        if key.source in (layout.Source.WINDOW, layout.Source.LATEST):
            base = name.removesuffix("_window") if key.source is layout.Source.WINDOW else name
            for form in catalogue.snake_case(base):
                keys.setdefault(form + name.removeprefix(base), key)
    if plain.inputs and plain.inputs[0].fields:
        keys.setdefault(_SNAKE_ID, layout.Key(layout.Source.LATEST, (layout.Place(0, 0),)))
    return keys


class ModuleInputs:
    """Makes inputs of modules from a layout that has the topics of all of them.

    `wirings` say which topics each module reads; fields, windows and padding are always those of the given
    layout, which is the one that the heads were taken with.
    """

    def __init__(self, wirings: Mapping[str, wiring.Wiring], *, snake_names: bool = False) -> None:
        self._known: tuple[Layout, dict[str, tuple[Layout, tuple[int, ...]]]] | None = None
        self.use(wirings, snake_names=snake_names)

    def use(self, wirings: Mapping[str, wiring.Wiring], *, snake_names: bool) -> None:
        """Follow another configuration from now on."""
        self.wirings = dict(wirings)
        self.snake = SnakeNames() if snake_names else None
        self._known = None

    def one(self, union: Layout, station: Held, module: str) -> inputs.ModuleInput:
        """The input of one module as things stand; raises KeyError for a module without topics."""
        heads, seconds = tuple(station.heads), station.last_seen / 1000
        return self._picked(self._layouts(union)[module], station.id, heads, seconds)

    def all(self, union: Layout, station: Held) -> dict[str, inputs.ModuleInput]:
        """The inputs of all modules as things stand."""
        heads, seconds = tuple(station.heads), station.last_seen / 1000
        return {
            module: self._picked(found, station.id, heads, seconds)
            for module, found in self._layouts(union).items()
        }

    def split(self, whole: inputs.ModuleInput) -> dict[str, inputs.ModuleInput]:
        """The inputs of all modules at the moment that the union's input stands for."""
        return {
            module: self._picked(found, whole.station_id, whole.heads, whole.timestamp)
            for module, found in self._layouts(whole.layout).items()
        }

    def _picked(
        self, found: tuple[Layout, tuple[int, ...]], station_id: str, heads: inputs.Heads, seconds: float
    ) -> inputs.ModuleInput:
        own, places = found
        made = inputs.ModuleInput(own, station_id, tuple(heads[place] for place in places), seconds)
        if self.snake is not None and _SNAKE_ID in own.keys:
            dict.__setitem__(made, _SNAKE_ID, station_id)
        return made

    def _layouts(self, union: Layout) -> dict[str, tuple[Layout, tuple[int, ...]]]:
        known = self._known
        if known is None or known[0] is not union:
            made = {module: self._layout(union, asked) for module, asked in self.wirings.items()}
            known = self._known = (union, made)
        return known[1]

    def _layout(self, union: Layout, asked: wiring.Wiring) -> tuple[Layout, tuple[int, ...]]:
        read = {source.topic for source in asked.inputs}
        joined = {dependency.topic: dependency.module for dependency in asked.dependencies}
        by_module = {dependency.module: dependency for dependency in union.dependencies}
        own = dataclasses.replace(
            asked,
            inputs=tuple(source for source in union.inputs if source.topic in read),
            dependencies=tuple(by_module[name] for name in joined.values() if name in by_module),
        )
        made = layout.layout_of(own)
        places = tuple(union.topics.index(topic) for topic in made.topics)
        if self.snake is not None:
            made = dataclasses.replace(made, keys=_with_snake_keys(made))
        return made, places
