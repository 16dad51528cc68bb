"""Who reads whose outputs, across all resources and namespaces: what is missing, circular or in conflict.

A resource provides a topic to another if it writes that topic and both name a bootstrap server in common.
Everything is ordered by "namespace/name", whatever the order in which the resources are given.
"""

import collections
import dataclasses
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence

from analysis_module import catalogue, spec


@dataclasses.dataclass(frozen=True)
class Read:
    """One dependency: the module meant, and the topic of its outputs."""

    module: str
    topic: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Node:
    """One resource as the graph sees it; `output_topic` is None when its outputs are off."""

    namespace: str
    name: str
    module: str
    group_id: str
    bootstrap: tuple[str, ...]
    output_topic: str | None = None
    reads: tuple[Read, ...] = ()

    @property
    def key(self) -> str:
        """What it is called everywhere: "namespace/name"."""
        return f"{self.namespace}/{self.name}"


def node_of(namespace: str, name: str, module_spec: spec.ModuleSpec) -> Node:
    """Work out the node of a resource.

    Its bootstrap servers are those of the spec: the operator's own default must stand in it already. Host
    names are compared in lower case. Raises InvalidSpec if the catalogue finds a problem in the spec.
    """
    resolved = catalogue.resolve(module_spec)
    servers = (server.lower() for server in module_spec.kafka.bootstrap_servers)
    return Node(
        namespace=namespace,
        name=name,
        module=resolved.module,
        group_id=resolved.group_id,
        bootstrap=tuple(dict.fromkeys(servers)),
        output_topic=resolved.output_topic,
        reads=tuple(Read(joined.module, joined.topic) for joined in resolved.dependencies),
    )


Cycle = tuple[str, ...]
"""The "namespace/name" of each member, each a reader of the next, the last of the first; smallest first."""

_Index = Mapping[tuple[str, str], Sequence[int]]
"""Bootstrap server and topic or group -> positions of the nodes there."""


class Graph:
    """The resources and who reads whom; built once, asked often.

    `nodes` are in the order of their keys, of which no two may be equal. Methods that take a node raise
    KeyError for one that the graph does not have.
    """

    def __init__(self, nodes: Iterable[Node]) -> None:
        self.nodes = tuple(sorted(nodes, key=lambda node: node.key))
        self._positions = {node.key: position for position, node in enumerate(self.nodes)}
        self._writers = self._index((node, [node.output_topic]) for node in self.nodes)
        self._readers = self._index((node, [read.topic for read in node.reads]) for node in self.nodes)
        self._members = self._index((node, [node.group_id]) for node in self.nodes)
        self._found: dict[tuple[tuple[str, ...], str], tuple[Node, ...]] = {}

    def providers(self, node: Node) -> tuple[tuple[Read, tuple[Node, ...]], ...]:
        """Give each dependency of a node with the resources that write its topic."""
        here = self._own(node)
        return tuple((read, self._providers(here, read)) for read in here.reads)

    def missing(self, node: Node) -> tuple[Read, ...]:
        """List the dependencies of a node that no resource provides."""
        return tuple(read for read, found in self.providers(node) if not found)

    def dependants(self, node: Node) -> tuple[Node, ...]:
        """List the resources that read what a node writes."""
        here = self._own(node)
        return self._at(self._readers, here.bootstrap, here.output_topic)

    def conflicts(self, node: Node) -> tuple[Node, ...]:
        """List the other resources that would overwrite a node's progress or mix with its outputs.

        They have the same group id, or the same output topic, on a bootstrap server in common.
        """
        here = self._own(node)
        same_group = self._at(self._members, here.bootstrap, here.group_id)
        same_output = self._at(self._writers, here.bootstrap, here.output_topic)
        others = {other.key: other for other in (*same_group, *same_output) if other.key != here.key}
        return tuple(others[key] for key in sorted(others))

    def start_order(self) -> tuple[Node, ...]:
        """Order the nodes so that each comes after those it reads; members of a cycle stand together."""
        return tuple(self.nodes[position] for component in self._components for position in component)

    def cycles(self) -> tuple[Cycle, ...]:
        """List the shortest cycle through each node that is on any, every cycle once.

        So there are never more cycles than nodes, and each node on a cycle is named in one.
        """
        found = (self._cycle(position) for position in range(len(self.nodes)))
        return tuple(sorted({cycle for cycle in found if cycle is not None}))

    def cycle_through(self, node: Node) -> Cycle | None:
        """Give a shortest cycle through a node; None if it is on none."""
        return self._cycle(self._positions[node.key])

    def _own(self, node: Node) -> Node:
        return self.nodes[self._positions[node.key]]

    def _index(self, named: Iterable[tuple[Node, Sequence[str | None]]]) -> _Index:
        index: dict[tuple[str, str], list[int]] = collections.defaultdict(list)
        for position, (node, names) in enumerate(named):
            for name in dict.fromkeys(names):
                for server in dict.fromkeys(node.bootstrap):
                    if name is not None:
                        index[server, name].append(position)
        return dict(index)

    def _at(self, index: _Index, bootstrap: Iterable[str], name: str | None) -> tuple[Node, ...]:
        """The nodes indexed under a name on any of these servers."""
        if name is None:
            return ()
        positions = set().union(*(index.get((server, name), ()) for server in bootstrap))
        return tuple(self.nodes[position] for position in sorted(positions))

    def _providers(self, node: Node, read: Read) -> tuple[Node, ...]:
        place = (node.bootstrap, read.topic)
        if place not in self._found:
            self._found[place] = self._at(self._writers, *place)
        return self._found[place]

    @functools.cached_property
    def _links(self) -> tuple[tuple[int, ...], ...]:
        """The positions of each node's providers."""
        links = []
        for node in self.nodes:
            found = {place.key for _, provided in self.providers(node) for place in provided}
            links.append(tuple(sorted(self._positions[key] for key in found)))
        return tuple(links)

    @functools.cached_property
    def _components(self) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(sorted(component)) for component in _components(self._links))

    @functools.cached_property
    def _rings(self) -> Mapping[int, tuple["_Ring", int]]:
        """For each position that is on a cycle its component, and its place therein."""
        rings: dict[int, tuple[_Ring, int]] = {}
        for component in self._components:
            if len(component) > 1 or component[0] in self._links[component[0]]:
                ring = _Ring(component, self._links)
                rings |= {position: (ring, place) for place, position in enumerate(component)}
        return rings

    def _cycle(self, position: int) -> Cycle | None:
        if position not in self._rings:
            return None
        ring, place = self._rings[position]
        members = [self.nodes[member].key for member in ring.shortest_cycle(place)]
        first = members.index(min(members))
        return (*members[first:], *members[:first])


class _Ring:
    """A strongly connected component; sets of its members are the bits of one number, for speed."""

    def __init__(self, component: Sequence[int], links: Sequence[Sequence[int]]) -> None:
        self._component = component
        places = {position: place for place, position in enumerate(component)}
        self._links = [
            sum(1 << places[following] for following in links[position] if following in places)
            for position in component
        ]

    def shortest_cycle(self, start: int) -> list[int]:
        """Search breadth first until the start is met again."""
        goal, unseen = 1 << start, -1
        came_from = {start: start}
        queue = collections.deque([start])
        while not self._links[queue[0]] & goal:
            here = queue.popleft()
            fresh = self._links[here] & unseen
            unseen ^= fresh
            for place in _bits(fresh):
                came_from[place] = here
                queue.append(place)
        trail = [queue[0]]
        while trail[-1] != start:
            trail.append(came_from[trail[-1]])
        return [self._component[place] for place in reversed(trail)]


def _bits(number: int) -> Iterator[int]:
    """The places of a number's bits, lowest first."""
    while number:
        lowest = number & -number
        yield lowest.bit_length() - 1
        number ^= lowest


def _components(links: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Find the strongly connected components, each after those that it leads to.

    Gabow's path-based algorithm, on a stack of its own: a chain of any length is followed.
    """
    order: dict[int, int] = {}
    assigned: set[int] = set()
    open_nodes: list[int] = []  # met, and in no component yet
    path: list[int] = []  # those of them that may still begin a component
    for root in range(len(links)):
        trail = [] if root in order else [(root, iter(links[root]))]
        while trail:
            here, following = trail[-1]
            if here not in order:
                order[here] = len(order)
                open_nodes.append(here)
                path.append(here)
            step = next(following, None)
            if step is None:
                trail.pop()
                if path[-1] == here:
                    path.pop()
                    component = [open_nodes.pop()]
                    while component[-1] != here:
                        component.append(open_nodes.pop())
                    assigned.update(component)
                    yield component
            elif step not in order:
                trail.append((step, iter(links[step])))
            elif step not in assigned:
                while order[path[-1]] > order[step]:
                    path.pop()
