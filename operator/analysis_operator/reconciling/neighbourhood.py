"""What modules mean for each other: one graph of them all, made anew only when one of them has changed."""

import contextlib
import dataclasses
from collections.abc import Iterable

from analysis_module import errors, spec
from analysis_module.names import Phase
from analysis_operator.cluster.store import Store
from analysis_operator.decisions import accepting, dependencies
from analysis_operator.decisions.dependencies import Graph, Node
from analysis_operator.decisions.observed import Key, Module, Neighbours
from analysis_operator.decisions.options import Options

_IDLE = (Phase.SUSPENDED, Phase.REJECTED)


@dataclasses.dataclass(frozen=True)
class _Known:
    """A module as it stands in the graph: `node` is None while its spec cannot be read."""

    uid: str
    generation: int
    created_at: str
    asked: spec.ModuleSpec | None
    node: Node | None
    holds: bool
    phase: str
    leaving: bool

    @property
    def rank(self) -> tuple[bool, str, str]:
        """Of two in the same place the lower one keeps it: the one that runs, else the older one."""
        return not self.holds, self.created_at, self.uid


class Neighbourhood:
    """Every module's neighbours. What is noted is taken in by the next question, all of it at once.

    `asked` gives a module's spec as it was read, so that nobody needs to read it again.
    """

    def __init__(self, store: Store, options: Options) -> None:
        self._store = store
        self._options = options
        self._known: dict[Key, _Known] = {}
        self._noted: set[Key] = set()
        self._concerned: set[Key] = set()
        self._graph: Graph | None = None

    def note(self, key: Key) -> None:
        """A module is another than before, or gone."""
        self._noted.add(key)

    def concerned(self) -> set[Key]:
        """Those that must look again because of what was noted since this was asked last."""
        self._settle()
        concerned, self._concerned = self._concerned, set()
        return concerned

    def asked(self, key: Key) -> spec.ModuleSpec | None:
        """A module's spec with the operator's defaults, None if it cannot be read."""
        self._settle()
        known = self._known.get(key)
        return None if known is None else known.asked

    def _settle(self) -> None:
        """Take in what was noted: the graph is made anew at most once for all of it."""
        noted, self._noted = self._noted, set()
        changes = [change for key in noted if (change := self._change(key)) is not None]
        for before, _, _ in changes:  # while the graph still has them
            self._concerned |= self._near(before)
        for before, after, key in changes:
            if after is None:
                del self._known[key]
            else:
                self._known[key] = after
            if _node(before) != _node(after):
                self._graph = None
        for before, after, _ in changes:
            if _node(before) != _node(after):
                self._concerned |= self._near(after)

    def _change(self, key: Key) -> tuple[_Known | None, _Known | None, Key] | None:
        """What a module was and is; None where no other module need care."""
        module, before = self._store.module(key), self._known.get(key)
        after = self._read(module, before) if module is not None else None
        if before is not None and after is not None and not _differ(before, after):
            self._known[key] = after
            return None
        return None if before is after is None else (before, after, key)

    def _read(self, module: Module, before: _Known | None) -> _Known:
        phase, leaving = str(module.status.get("phase", "")), module.deleting
        holds = bool(module.status.get("epoch"))
        if before is not None and (before.uid, before.generation) == (module.uid, module.generation):
            return dataclasses.replace(before, holds=holds, phase=phase, leaving=leaving)
        asked, node = None, None
        with contextlib.suppress(errors.InvalidSpec):
            asked = accepting.read(module.spec, self._options)
            node = dependencies.node_of(module.key.namespace, module.key.name, asked)
        return _Known(module.uid, module.generation, module.created_at, asked, node, holds, phase, leaving)

    def _near(self, known: _Known | None) -> set[Key]:
        """Those whose own verdict may depend on this one, which stands in the graph."""
        if known is None or known.node is None:
            return set()
        graph, node = self._current(), known.node
        near = {*graph.dependants(node), *graph.conflicts(node)}
        near |= {provider for _, providers in graph.providers(node) for provider in providers}
        cycle = graph.cycle_through(node) or ()
        return {_key(each) for each in near} | {Key(*each.split("/", 1)) for each in cycle}

    def of(self, key: Key) -> Neighbours:
        """One module's neighbours."""
        self._settle()
        known = self._known.get(key)
        if known is None or known.node is None:
            return Neighbours()
        graph, node = self._current(), known.node
        read = graph.providers(node)
        providers = [provider for _, each in read for provider in each]
        return Neighbours(
            providers=_names(providers),
            missing=tuple((each.module, each.topic) for each in graph.missing(node)),
            waiting=_names(each for each in providers if self._is_idle(each)),
            leaving=_names(each for each in providers if self._is_leaving(each)),
            dependants=_names(graph.dependants(node)),
            cycle=graph.cycle_through(node) or (),
            conflicts=tuple(self._conflicts(known, node, graph)),
        )

    def graph(self) -> Graph:
        """All modules that can be read."""
        self._settle()
        return self._current()

    def _current(self) -> Graph:
        if self._graph is None:
            self._graph = Graph(known.node for known in self._known.values() if known.node is not None)
        return self._graph

    def _is_idle(self, node: Node) -> bool:
        known = self._known.get(_key(node))
        return known is not None and known.phase in _IDLE

    def _is_leaving(self, node: Node) -> bool:
        known = self._known.get(_key(node))
        return known is not None and known.leaving

    def _conflicts(self, known: _Known, node: Node, graph: Graph) -> Iterable[tuple[str, str]]:
        """Those in the same place that keep it."""
        for other in graph.conflicts(node):
            rival = self._known.get(_key(other))
            if rival is None or rival.rank > known.rank:
                continue
            same_group = other.group_id == node.group_id
            yield "spec.kafka.groupId" if same_group else "spec.output.topic", other.key


def _node(known: _Known | None) -> Node | None:
    return None if known is None else known.node


def _differ(before: _Known, after: _Known) -> bool:
    """Whether anything differs that other modules' verdicts depend on."""
    one, other = ((each.node, each.rank, each.phase in _IDLE, each.leaving) for each in (before, after))
    return one != other


def _key(node: Node) -> Key:
    return Key(node.namespace, node.name)


def _names(nodes: Iterable[Node]) -> tuple[str, ...]:
    return tuple(sorted({node.key for node in nodes}))
