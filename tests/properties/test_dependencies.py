"""The graph agrees with a search of everything, on small graphs; order and cycles hold on any."""

import itertools
import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis_operator.decisions import dependencies

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""How long a busy machine takes to draw an example is not what is tested."""

TOPICS = st.sampled_from(["T0", "T1", "T2", "T3"])
SERVERS = st.lists(st.sampled_from(["k0:1", "k1:1", "k2:1"]), max_size=2, unique=True).map(tuple)


@st.composite
def fleets(draw: st.DrawFn) -> list[dependencies.Node]:
    """Up to seven resources in two namespaces, over three bootstrap servers and four topics."""
    names = draw(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("wxyz")), unique=True, max_size=7))
    return [
        dependencies.Node(
            namespace=namespace,
            name=name,
            module="m",
            group_id=draw(st.sampled_from(["g", "h", "i"])),
            bootstrap=draw(SERVERS),
            output_topic=draw(st.none() | TOPICS),
            reads=tuple(
                dependencies.Read("m", topic) for topic in draw(st.lists(TOPICS, max_size=2, unique=True))
            ),
        )
        for namespace, name in names
    ]


@st.composite
def webs(draw: st.DrawFn) -> list[dependencies.Node]:
    """Up to six resources on one Kafka, each the only writer of its topic, that read each other at will."""
    names = "abcdef"[: draw(st.integers(1, 6))]
    topics = [f"T{name}" for name in names]
    return [
        dependencies.Node(
            namespace="n",
            name=name,
            module=name,
            group_id=name,
            bootstrap=("k:1",),
            output_topic=f"T{name}",
            reads=tuple(
                dependencies.Read(topic[1:], topic) for topic in draw(st.sets(st.sampled_from(topics)))
            ),
        )
        for name in names
    ]


def share_kafka(one: dependencies.Node, two: dependencies.Node) -> bool:
    return bool(set(one.bootstrap) & set(two.bootstrap))


def reads_from(reader: dependencies.Node, writer: dependencies.Node) -> bool:
    """Whether one reads the other, by the rule as it is told."""
    return share_kafka(reader, writer) and writer.output_topic in [read.topic for read in reader.reads]


def all_cycles(nodes: list[dependencies.Node]) -> set[tuple[str, ...]]:
    """Every elementary cycle, by trying every sequence of nodes that starts at its smallest."""
    return {
        tuple(node.key for node in sequence)
        for length in range(1, len(nodes) + 1)
        for sequence in itertools.permutations(nodes, length)
        if sequence[0].key == min(node.key for node in sequence)
        and all(itertools.starmap(reads_from, itertools.pairwise((*sequence, sequence[0]))))
    }


@given(fleets())
@UNHURRIED
def test_providers_dependants_and_what_is_missing_are_those_of_the_rule(
    nodes: list[dependencies.Node],
) -> None:
    graph = dependencies.Graph(nodes)
    for node in nodes:
        for read, provided in graph.providers(node):
            writers = {
                other.key for other in nodes if share_kafka(node, other) and other.output_topic == read.topic
            }
            assert [found.key for found in provided] == sorted(writers)
            assert (read in graph.missing(node)) == (not writers)
        assert {reader.key for reader in graph.dependants(node)} == {
            other.key for other in nodes if reads_from(other, node)
        }


@given(fleets())
@UNHURRIED
def test_conflicts_are_mutual_and_those_of_the_rule(nodes: list[dependencies.Node]) -> None:
    graph = dependencies.Graph(nodes)
    for one, two in itertools.permutations(nodes, 2):
        same_output = one.output_topic is not None and one.output_topic == two.output_topic
        rule = share_kafka(one, two) and (one.group_id == two.group_id or same_output)
        assert (two in graph.conflicts(one)) == rule
        assert (one in graph.conflicts(two)) == rule


@given(webs() | fleets())
@UNHURRIED
def test_cycles_are_real_each_once_and_name_every_node_that_is_on_any(
    nodes: list[dependencies.Node],
) -> None:
    cycles, every = dependencies.Graph(nodes).cycles(), all_cycles(nodes)
    assert len(set(cycles)) == len(cycles)
    assert set(cycles) <= every
    assert {key for cycle in cycles for key in cycle} == {key for cycle in every for key in cycle}


@given(webs() | fleets())
@UNHURRIED
def test_the_cycle_through_a_node_is_a_shortest_one(nodes: list[dependencies.Node]) -> None:
    graph, every = dependencies.Graph(nodes), all_cycles(nodes)
    for node in nodes:
        through = [cycle for cycle in every if node.key in cycle]
        found = graph.cycle_through(node)
        if found is None:
            assert not through
        else:
            assert found in through
            assert len(found) == min(map(len, through))
            assert found in graph.cycles()


@given(webs() | fleets())
@UNHURRIED
def test_each_starts_after_all_it_reads_but_those_it_stands_in_a_cycle_with(
    nodes: list[dependencies.Node],
) -> None:
    graph, every = dependencies.Graph(nodes), all_cycles(nodes)
    order = [node.key for node in graph.start_order()]
    assert sorted(order) == sorted(node.key for node in nodes)
    for reader, writer in itertools.permutations(nodes, 2):
        edge = (reader.key, writer.key)
        circular = any(edge in itertools.pairwise((*cycle, cycle[0])) for cycle in every)
        if reads_from(reader, writer) and not circular:
            assert order.index(writer.key) < order.index(reader.key)


@given(webs() | fleets(), st.integers(0))
@UNHURRIED
def test_the_order_in_which_resources_are_given_means_nothing(
    nodes: list[dependencies.Node], seed: int
) -> None:
    mixed = list(nodes)
    random.Random(seed).shuffle(mixed)
    one, two = dependencies.Graph(nodes), dependencies.Graph(mixed)
    assert one.cycles() == two.cycles()
    assert one.start_order() == two.start_order()
    assert [one.providers(node) for node in nodes] == [two.providers(node) for node in nodes]
