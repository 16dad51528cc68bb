"""What several modules come to when they run together: cycles, shared groups, shared outputs. Pure."""

import dataclasses
from collections.abc import Iterator, Sequence

from analysis_module import catalogue, errors, spec, wiring


@dataclasses.dataclass(frozen=True)
class Declared:
    """One module as a file declares it, and what it is wired to; `where` is the file."""

    where: str
    module_spec: spec.ModuleSpec
    wiring: wiring.Wiring

    @classmethod
    def of(cls, where: str, module_spec: spec.ModuleSpec) -> "Declared":
        """Resolve a spec; raises InvalidSpec."""
        return cls(where, module_spec, catalogue.resolve(module_spec))


def problems(declared: Sequence[Declared]) -> list[errors.Problem]:
    """All that is wrong between modules each of which is right by itself."""
    return [*_shared(declared), *_cycle(declared)]


def _shared(declared: Sequence[Declared]) -> Iterator[errors.Problem]:
    """A group serves one module (seed system W7), and a topic has one writer."""
    groups: dict[str, str] = {}
    outputs: dict[str, str] = {}
    for each in declared:
        group, output = each.wiring.group_id, each.wiring.output_topic
        first = groups.setdefault(group, each.where)
        if first != each.where:
            wrong = f"{group} is the group of {first} too, whose progress would be mixed with this one's"
            yield errors.Problem(f"{each.where}: spec.kafka.groupId", wrong, "give each a group of its own")
        elif output is not None and outputs.setdefault(output, each.where) != each.where:
            wrong = f"{output} is written by {outputs[output]} too"
            yield errors.Problem(f"{each.where}: spec.output.topic", wrong, "give one of them another topic")


def _cycle(declared: Sequence[Declared]) -> Iterator[errors.Problem]:
    """Follow the topics that are really read and written, whatever the modules are called."""
    writers = {each.wiring.output_topic: each.where for each in declared if each.wiring.output_topic}
    joined = {
        each.where: [writers[topic] for topic in _read(each.wiring) if topic in writers] for each in declared
    }
    cycle = catalogue.dependency_cycle(joined)
    if cycle is not None:
        modules = {each.where: each.wiring.module for each in declared}
        wrong = "the modules wait for each other: " + " -> ".join(modules[where] for where in cycle)
        yield errors.Problem(f"{cycle[0]}: spec.dependencies", wrong, "remove one of these dependencies")


def _read(resolved: wiring.Wiring) -> list[str]:
    """Every topic that a module reads."""
    inputs = [source.topic for source in resolved.inputs]
    return inputs + [dependency.topic for dependency in resolved.dependencies]


def unserved(declared: Sequence[Declared]) -> list[str]:
    """Dependencies that none of these modules is, as `dependant needs module`."""
    written = {each.wiring.output_topic for each in declared}
    return [
        f"{each.wiring.module} needs {dependency.module}, whose outputs are {dependency.topic}"
        for each in declared
        for dependency in each.wiring.dependencies
        if dependency.topic not in written
    ]
