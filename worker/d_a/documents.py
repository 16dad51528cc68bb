"""Modules as documents of the AnalysisModule resource, read by its reader; problems in the user's words."""

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from analysis_module import errors, reading, spec
from d_a import tables

_SAID_BY: Final = {
    "spec.padding": "padding_strategy",
    "spec.expireAfterSeconds": "data_expire_seconds",
    "spec.stations.include": "stations",
    "spec.stations": "stations",
    "spec.callback.concurrency": "max_workers",
    "spec.module": "module_name",
    "spec.inputs": "module_name",
}
"""Fields of the resource -> the argument that sets them."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Document:
    """One module's document, and where its inputs, dependencies and output topic were said."""

    module: str
    content: Mapping[str, Any]
    inputs: tuple[str, ...]
    dependencies: str
    output: str

    def read(self) -> tuple[spec.ModuleSpec | None, tuple[errors.Problem, ...]]:
        """The spec, or None and every problem, told by the configuration's names."""
        try:
            return reading.read_spec(self.content), ()
        except errors.InvalidSpec as error:
            told = (errors.Problem(self._place(p.path), p.wrong, p.mend) for p in error.problems)
            return None, tuple(told)

    def _place(self, path: str) -> str:
        match = re.fullmatch(r"spec\.(inputs|dependencies)\[(\d+)\](.*)", path)
        if match is not None and match[1] == "inputs":
            return self.inputs[int(match[2])] + _snake(match[3])
        if match is not None:
            return f"{self.dependencies}[{match[2]}]"
        if path == "spec.dependencies":
            return self.dependencies
        if path == "spec.output.topic":
            return self.output
        for field, argument in _SAID_BY.items():
            if path.startswith(field):
                return argument + path.removeprefix(field)
        return f"{self.module}{path.removeprefix('spec')}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Writer:
    """Writes the documents of a configuration's modules.

    `common` is what all of them say alike, `output_window` how many outputs of a dependency are kept;
    `topics` are the input topics of a module that reads others than the tables say.
    """

    tables: tables.Tables
    common: Mapping[str, Any]
    output_window: Any
    paths: Mapping[str, str]

    def module(self, module: str, topics: Sequence[str]) -> Document:
        """The document of one module that reads these topics."""
        joined = self.tables.dependencies.get(module, ())
        joined += tuple(self._outputs_among(topics, besides=(*joined, module)))
        output = {**self.common["output"], "topic": self.tables.output_topics.get(module)}
        return self._document(module, topics, joined, output)

    def union(self, name: str, modules: Mapping[str, Sequence[str]]) -> Document:
        """The document of all modules in one, which uploads nothing."""
        read = {topic for topics in modules.values() for topic in topics}
        ordered = [topic for topic in self.tables.topics if topic in read]
        joined = dict.fromkeys(d for module in modules for d in self.tables.dependencies.get(module, ()))
        return self._document(name, ordered, tuple(joined), {"enabled": False})

    def _document(
        self, module: str, topics: Sequence[str], joined: Sequence[str], output: Mapping[str, Any]
    ) -> Document:
        inputs = [self.tables.topics[topic] for topic in topics if topic in self.tables.topics]
        content = {
            **self.common,
            "module": module,
            "inputs": [{**topic.document, "topic": topic.name} for topic in inputs],
            "dependencies": [self._dependency(other) for other in joined],
            "output": output,
        }
        return Document(
            module=module,
            content=content,
            inputs=tuple(topic.path for topic in inputs),
            dependencies=f"{self.paths['MODULE_DEPENDENCIES']}.{module}",
            output=f"{self.paths['MODULE_OUTPUT_TOPICS']}.{module}",
        )

    def _dependency(self, module: str) -> dict[str, Any]:
        topic = self.tables.output_topics.get(module)
        size = self.tables.output_windows.get(topic or "", self.output_window)
        return {"module": module, "topic": topic, "windowSize": size}

    def _outputs_among(self, topics: Iterable[str], besides: Sequence[str]) -> Iterator[str]:
        """Modules whose output topics are listed as topics to read."""
        listed = set(topics)
        for module, topic in self.tables.output_topics.items():
            if topic in listed and module not in besides:
                yield module


def _snake(path: str) -> str:
    return re.sub(r"(?<=[a-z])([A-Z])", lambda match: f"_{match[1].lower()}", path)
