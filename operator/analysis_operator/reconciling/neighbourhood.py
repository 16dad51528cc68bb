"""What modules mean for each other: one graph of them all, made anew only when one of them has changed."""

import dataclasses
from collections.abc import Iterable

from analysis_module import errors
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
    node: Node | None
    phase: str
    leaving: bool


class Neighbourhood:
    """Every module's neighbours; `update` tells who must look again because of a change of one."""

    def __init__(self, store: Store, options: Options) -> None:
        self._store = store
        self._options = options
        self._known: dict[Key, _Known] = {}
        self._graph: Graph | None = None

    def update(self, key: Key) -> set[Key]:
        """Take a module's newest state in; the others that are concerned."""
        module, before = self._store.module(key), self._known.get(key)
        after = self._read(module, before) if module is not None else None
        if after == before:
            return set()
        near = self._near(before)  # while the graph still has it
        if after is None:
            self._known.pop(key, None)
        else:
            self._known[key] = after
        if (before.node if before else None) == (after.node if after else None):
            return near - {key} if before and after and _differ(before, after) else set()
        self._graph = None
        return (near | self._near(after)) - {key}

    def _read(self, module: Module, before: _Known | None) -> _Known:
        phase, leaving = str(module.status.get("phase", "")), module.deleting
        if before is not None and (before.uid, before.generation) == (module.uid, module.generation):
            return dataclasses.replace(before, phase=phase, leaving=leaving)
        try:
            asked = accepting.read(module.spec, self._options)
            node = dependencies.node_of(module.key.namespace, module.key.name, asked)
        except errors.InvalidSpec:
            node = None
        return _Known(module.uid, module.generation, module.created_at, node, phase, leaving)

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
        """Older ones in the same place: of two the one that was there first keeps it."""
        for other in graph.conflicts(node):
            rival = self._known.get(_key(other))
            if rival is None or (rival.created_at, rival.uid) > (known.created_at, known.uid):
                continue
            same_group = other.group_id == node.group_id
            yield "spec.kafka.groupId" if same_group else "spec.output.topic", other.key


def _differ(before: _Known, after: _Known) -> bool:
    """Whether anything differs that other modules' verdicts depend on, the node aside."""
    one, other = ((each.uid, each.created_at, each.phase in _IDLE, each.leaving) for each in (before, after))
    return one != other


def _key(node: Node) -> Key:
    return Key(node.namespace, node.name)


def _names(nodes: Iterable[Node]) -> tuple[str, ...]:
    return tuple(sorted({node.key for node in nodes}))
