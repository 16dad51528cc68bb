"""The graph of resources as text for a terminal, and as a Mermaid flowchart."""

import re
from collections.abc import Iterator

from analysis_operator.decisions import dependencies

_INDENT = "  "
_UNSAFE = re.compile(r"[^\w ./:-]")


def as_text(graph: dependencies.Graph) -> str:
    """Draw one line per resource in start order, each deeper than the deepest of those it reads before it.

    A line names the module and, after `<-`, the resources read; what is missing stands in a line below, and
    every cycle is named in full at the end. Without resources the text is "no modules".
    """
    depths: dict[str, int] = {}
    lines = []
    for node in graph.start_order():
        providers = {found.key for _, provided in graph.providers(node) for found in provided}
        depths[node.key] = 1 + max((depths[key] for key in providers if key in depths), default=-1)
        indent = _INDENT * depths[node.key]
        reads = f" <- {', '.join(sorted(providers))}" if providers else ""
        lines.append(f"{indent}{node.key} ({node.module}){reads}")
        lines += [f"{indent}{_INDENT}missing: {_missing(read)}" for read in graph.missing(node)]
    lines += [f"cycle: {cycle_text(cycle)}" for cycle in graph.cycles()]
    return "\n".join(lines or ["no modules"])


def cycle_text(cycle: dependencies.Cycle) -> str:
    """Name a cycle in full: `a/x -> a/y -> a/x`, each a reader of the next."""
    return " -> ".join((*cycle, cycle[0]))


def as_mermaid(graph: dependencies.Graph) -> str:
    """Draw a flowchart: arrows lead from who writes to who reads, and name the topic.

    What is missing is a dashed box, members of a cycle are red. Ids are numbers, and labels are quoted with
    everything but letters, digits and a few signs written as character codes.
    """
    circular = {key for cycle in graph.cycles() for key in cycle}
    ids = {node.key: f"n{number}" for number, node in enumerate(graph.start_order())}
    lines = ["flowchart LR"]
    for node in graph.start_order():
        style = ":::cycle" if node.key in circular else ""
        lines.append(f"{_INDENT}{ids[node.key]}[{_label(node.key, node.module)}]{style}")
    boxes = 0
    for node in graph.start_order():
        for read, provided in graph.providers(node):
            sources = [ids[found.key] for found in provided]
            if not sources:
                sources, boxes = [f"m{boxes}"], boxes + 1
                lines.append(f"{_INDENT}{sources[0]}[{_label(read.module, 'missing')}]:::missing")
            lines += [f"{_INDENT}{source} -->|{_label(read.topic)}| {ids[node.key]}" for source in sources]
    return "\n".join((*lines, *_styles()))


def _styles() -> Iterator[str]:
    yield f"{_INDENT}classDef missing stroke-dasharray: 5 5"
    yield f"{_INDENT}classDef cycle stroke:#c00"


def _missing(read: dependencies.Read) -> str:
    return f"{read.module}, nobody writes {read.topic}"


def _label(*lines: str) -> str:
    escaped = (_UNSAFE.sub(lambda found: f"#{ord(found[0])};", line) for line in lines)
    return f'"{"<br/>".join(escaped)}"'
