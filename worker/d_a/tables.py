"""The tables of a configuration laid over the catalogue's: topics, dependencies, output topics.

Only shapes are judged here. What the values may be is the business of the resource's reader, to which
`configuration` hands them.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from analysis_module import catalogue, errors, findings, modules, names, spec, topics, wording
from d_a.named import Named

_INPUT_KEYS: Final = {
    "fields": "fields",
    "window_size": "windowSize",
    "arrays": "arrays",
    "aliases": "aliases",
    "scope": "scope",
    "trigger": "trigger",
}
"""Keys of a TOPIC_DETAIL entry -> fields of the resource's Input; those after the second are ours."""

ENTRY_KEYS: Final = (*_INPUT_KEYS, "frequency", "modules", "padding", "via")
PADDINGS: Final = {padding.value.lower(): padding for padding in spec.Padding}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Topic:
    """An entry of TOPIC_DETAIL: `document` is the resource's Input as far as it was said, `path` where."""

    name: str
    path: str
    document: Mapping[str, Any]
    modules: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tables:
    """All topics in the catalogue's order, then the user's; per module its dependencies and output topic.

    `output_windows` are window sizes said of output topics, by topic.
    """

    topics: Mapping[str, Topic]
    output_windows: Mapping[str, Any]
    dependencies: Mapping[str, tuple[str, ...]]
    output_topics: Mapping[str, str]
    warnings: tuple[str, ...] = ()

    def topics_of(self, module: str) -> tuple[str, ...]:
        """The input topics of a module, in order."""
        return tuple(name for name, topic in self.topics.items() if module in topic.modules)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outputs:
    """How output topics are named: the prefix and style, over which the mapping lies."""

    prefix: str
    style: str


def read(settings: Named, extra: object, outputs: Outputs, found: findings.Findings) -> Tables:
    """Lay `settings`, and over them the entries of `extra` (an argument `topic_detail`), on the catalogue."""
    reader = _Reader(found)
    details = reader.details(settings, extra)
    dependencies = reader.dependencies(settings)
    mapping = reader.output_topics(settings)
    known = dict.fromkeys((*dependencies, *mapping))
    known |= dict.fromkeys(module for topic in details.values() for module in topic.modules)
    output_topics = {module: _output_topic(module, mapping, outputs) for module in known}
    reader.check_dependencies(settings, dependencies, known)
    is_output = {*output_topics.values(), *_shipped_output_topics()}
    inputs = {name: topic for name, topic in details.items() if name not in is_output}
    if extra is None:
        inputs = reader.with_tables(settings, inputs)
    windows = {name: topic.document.get("windowSize") for name, topic in details.items() if name in is_output}
    return Tables(
        topics=inputs,
        output_windows={name: size for name, size in windows.items() if size is not None},
        dependencies=dependencies,
        output_topics=output_topics,
        warnings=tuple(reader.warnings),
    )


def _shipped_output_topics() -> Iterator[str]:
    for module in modules.ALL:
        yield names.output_topic(module.name)
        yield names.output_topic(module.name, names.STYLE_UNDERSCORE)


def _output_topic(module: str, mapping: Mapping[str, str], outputs: Outputs) -> str:
    """The mapping's topic, unless it only says what every configuration ships; then prefix and style."""
    mapped = mapping.get(module)
    if mapped is not None and mapped != names.output_topic(module):
        return mapped
    return names.output_topic(module, outputs.style, outputs.prefix)


class _Reader:
    """Reads the tables; what is wrong goes to `found`."""

    def __init__(self, found: findings.Findings) -> None:
        self._found = found
        self.warnings: list[str] = []

    def mapping(self, settings: Named, name: str, wanted: str) -> Mapping[str, Any]:
        """The value of a name that must be an object; empty if it is absent."""
        return self._object(settings.get(name), settings.path(name), wanted)

    def _object(self, value: object, path: str, wanted: str) -> Mapping[str, Any]:
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            self._found.add(path, f"is {wording.kind(value)}, not an object", f"give {wanted}")
            return {}
        for key in value:
            if not isinstance(key, str) or not key:
                self._found.add(path, f"{wording.shown(key)} is not a name", "quote it")
        return {key: held for key, held in value.items() if isinstance(key, str) and key}

    def _texts(self, value: object, path: str, wanted: str) -> tuple[str, ...]:
        if not isinstance(value, list | tuple | set | frozenset):
            self._found.add(path, f"is {wording.shown(value)}, not a list", f"give a list of {wanted}")
            return ()
        for index, item in enumerate(value):
            if not isinstance(item, str) or not item:
                self._found.add(f"{path}[{index}]", f"is {wording.shown(item)}", f"give {wanted} as text")
        return tuple(dict.fromkeys(item for item in value if isinstance(item, str) and item))

    # -- topics -------------------------------------------------------------------------------------

    def details(self, settings: Named, extra: object) -> dict[str, Topic]:
        """The catalogue's topics, replaced and followed by those that are named."""
        merged = {topic.name: _shipped(topic) for topic in topics.ALL}
        layers = [(settings.path("TOPIC_DETAIL"), settings.get("TOPIC_DETAIL")), ("topic_detail", extra)]
        for path, layer in layers:
            for name, entry in self._object(layer, path, "an object of topics").items():
                merged[name] = self._entry(name, entry, f"{path}.{name}")
        return merged

    def _entry(self, name: str, entry: object, path: str) -> Topic:
        said = self._object(entry, path, "an object with fields, frequency, modules, window_size")
        known = topics.BY_NAME.get(name)
        for key in said:
            if key not in ENTRY_KEYS:
                mend = errors.suggestion(key, ENTRY_KEYS, "remove it")
                self.warnings.append(f"{path}.{key} is not a setting and is ignored; {mend}")
        if not isinstance(said.get("frequency", ""), str):
            wrong = f"is {wording.shown(said['frequency'])}, not a text"
            self._found.add(f"{path}.frequency", wrong, "say in words how often it is pushed")
        reading = tuple(known.modules) if known is not None and known.standard else ()
        if said.get("modules") is not None:
            reading = self._texts(said["modules"], f"{path}.modules", "module names")
        return Topic(name=name, path=path, document=self._document(name, said, path), modules=reading)

    def _document(self, name: str, said: Mapping[str, Any], path: str) -> dict[str, Any]:
        document = {_INPUT_KEYS[key]: value for key, value in said.items() if key in _INPUT_KEYS}
        listed = document.get("fields")
        if isinstance(listed, list | tuple):
            listed = [spec.REMAINING_FIELDS if field is ... else field for field in listed]
            document["fields"] = listed
            if listed == [field.name for field in catalogue.fields_of(name)] and listed:
                del document["fields"]  # what every profile of the catalogue declares in its own names
        if said.get("via") is not None:
            document["stationKey"] = {"via": said["via"]}
        if said.get("padding") is not None:
            document["padding"] = self.padding(said["padding"], f"{path}.padding")
        return document

    def padding(self, value: object, path: str) -> str:
        """The resource's word for a padding strategy."""
        known = PADDINGS.get(value.lower()) if isinstance(value, str) else None
        if known is None:
            mend = f"give {wording.one_of(list(PADDINGS))}"
            self._found.add(path, f"is {wording.shown(value)}, which is no padding", mend)
            return spec.Padding.ZERO.value
        return known.value

    def with_tables(self, settings: Named, inputs: Mapping[str, Topic]) -> dict[str, Topic]:
        """Follow MODULE_TO_TOPICS, else TOPIC_TO_MODULES, where a configuration says them outright."""
        by_module = self._lists(settings, "MODULE_TO_TOPICS", "topics")
        if by_module:
            return {
                name: dataclasses.replace(topic, modules=_readers(topic, by_module))
                for name, topic in inputs.items()
            }
        by_topic = self._lists(settings, "TOPIC_TO_MODULES", "module names")
        return {
            name: dataclasses.replace(topic, modules=by_topic.get(name, topic.modules))
            for name, topic in inputs.items()
        }

    def _lists(self, settings: Named, name: str, wanted: str) -> dict[str, tuple[str, ...]]:
        path = settings.path(name)
        held = self.mapping(settings, name, f"an object of lists of {wanted}")
        return {key: self._texts(value, f"{path}.{key}", wanted) for key, value in held.items()}

    # -- outputs and dependencies -------------------------------------------------------------------

    def output_topics(self, settings: Named) -> dict[str, str]:
        """MODULE_OUTPUT_TOPICS as far as it names topics."""
        path = settings.path("MODULE_OUTPUT_TOPICS")
        held = self.mapping(settings, "MODULE_OUTPUT_TOPICS", "an object of module names and topics")
        for module, topic in held.items():
            if not isinstance(topic, str) or not topic:
                self._found.add(f"{path}.{module}", f"is {wording.shown(topic)}", "give a topic as text")
        return {module: topic for module, topic in held.items() if isinstance(topic, str) and topic}

    def dependencies(self, settings: Named) -> dict[str, tuple[str, ...]]:
        """The catalogue's dependencies, replaced and followed by those that are named."""
        merged = {module.name: module.dependencies for module in modules.ALL}
        return merged | self._lists(settings, "MODULE_DEPENDENCIES", "module names")

    def check_dependencies(
        self, settings: Named, dependencies: Mapping[str, Sequence[str]], known: Iterable[str]
    ) -> None:
        """Find dependencies that do not exist, and a cycle."""
        path, known = settings.path("MODULE_DEPENDENCIES"), set(known)
        for module, joined in dependencies.items():
            for index, other in enumerate(joined):
                if other not in known:
                    mend = errors.suggestion(other, known, "give its topic in MODULE_OUTPUT_TOPICS")
                    self._found.add(f"{path}.{module}[{index}]", f"there is no module {other}", mend)
        cycle = catalogue.dependency_cycle(dependencies)
        if cycle is not None:
            told = " -> ".join(cycle)
            self._found.add(path, f"the modules depend on each other: {told}", "remove one of these")


def _shipped(topic: topics.Topic) -> Topic:
    """A topic that the configuration does not name; the reader takes all else from the catalogue."""
    reading = topic.modules if topic.standard else ()
    return Topic(name=topic.name, path=f"TOPIC_DETAIL.{topic.name}", document={}, modules=reading)


def _readers(topic: Topic, by_module: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    kept = [module for module in topic.modules if module not in by_module]
    return (*kept, *(module for module, listed in by_module.items() if topic.name in listed))
