"""The graph across resources: who provides what, what is missing, circular or in conflict, and the order."""

import time
from collections.abc import Callable, Iterable

import pytest

from analysis_module import errors, reading, spec
from analysis_operator.decisions import dependencies

KAFKA = ("kafka:9092",)


def a_node(
    name: str,
    *reads: str,
    namespace: str = "a",
    bootstrap: tuple[str, ...] = KAFKA,
    group: str | None = None,
    output: str | None = "",
) -> dependencies.Node:
    """A resource that writes the topic of its own name, unless told otherwise, and reads those named."""
    return dependencies.Node(
        namespace=namespace,
        name=name,
        module=name,
        group_id=group or f"{namespace}-{name}",
        bootstrap=bootstrap,
        output_topic=name if output == "" else output,
        reads=tuple(dependencies.Read(f"module-{topic}", topic) for topic in reads),
    )


def keys(nodes: Iterable[dependencies.Node]) -> list[str]:
    return [node.key for node in nodes]


def a_spec(module: str = "thermal_management", **fields: object) -> spec.ModuleSpec:
    return reading.read_spec({"module": module, "kafka": {"bootstrapServers": ["Kafka:9092"]}, **fields})


def test_a_node_knows_what_the_catalogue_says_of_its_module() -> None:
    assert dependencies.node_of("a", "heat", a_spec()) == dependencies.Node(
        namespace="a",
        name="heat",
        module="thermal_management",
        group_id="thermal_management",
        bootstrap=KAFKA,
        output_topic="MODULE-OUTPUT-THERMAL-MANAGEMENT",
        reads=(
            dependencies.Read("load_prediction", "MODULE-OUTPUT-LOAD-PREDICTION"),
            dependencies.Read("operation_optimization", "MODULE-OUTPUT-OPERATION-OPTIMIZATION"),
        ),
    )


def test_a_node_follows_what_its_spec_says_otherwise() -> None:
    asked = a_spec(
        dependencies=[{"module": "mine", "topic": "MINE"}],
        output={"enabled": False},
        kafka={"bootstrapServers": "one:1,two:2", "groupId": "heat"},
    )
    node = dependencies.node_of("a", "heat", asked)
    assert node.reads == (dependencies.Read("mine", "MINE"),)
    assert (node.output_topic, node.group_id, node.bootstrap) == (None, "heat", ("one:1", "two:2"))


def test_a_spec_that_the_catalogue_refuses_has_no_node() -> None:
    with pytest.raises(errors.InvalidSpec, match=r"spec\.module"):
        dependencies.node_of("a", "x", spec.ModuleSpec(module="nothing-to-read"))


def test_a_reader_is_provided_from_any_namespace_of_the_same_kafka() -> None:
    reader, near, far = a_node("r", "x"), a_node("x"), a_node("x", namespace="b")
    graph = dependencies.Graph([reader, far, near])
    assert graph.providers(reader) == ((dependencies.Read("module-x", "x"), (near, far)),)
    assert graph.missing(reader) == ()
    assert keys(graph.dependants(near)) == ["a/r"]


def test_a_topic_of_another_kafka_is_missing() -> None:
    reader, elsewhere = a_node("r", "x", "y"), a_node("x", bootstrap=("other:9092",))
    graph = dependencies.Graph([reader, elsewhere, a_node("y")])
    assert graph.missing(reader) == (dependencies.Read("module-x", "x"),)
    assert graph.dependants(elsewhere) == ()


def test_one_bootstrap_server_in_common_is_enough() -> None:
    reader, writer = a_node("r", "x", bootstrap=("k1:1", "k2:1")), a_node("x", bootstrap=("k2:1", "k3:1"))
    assert dependencies.Graph([reader, writer]).missing(reader) == ()


def test_a_resource_whose_outputs_are_off_provides_nothing() -> None:
    reader, silent = a_node("r", "x"), a_node("x", output=None)
    graph = dependencies.Graph([reader, silent])
    assert graph.missing(reader) == reader.reads
    assert graph.dependants(silent) == ()


def test_a_node_that_the_graph_does_not_have_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        dependencies.Graph([]).missing(a_node("x"))


def test_resources_start_after_those_they_read() -> None:
    nodes = [a_node("a", "b", "c"), a_node("b", "d"), a_node("c"), a_node("d", "missing")]
    assert keys(dependencies.Graph(nodes).start_order()) == ["a/d", "a/b", "a/c", "a/a"]


def test_a_graph_without_cycles_has_none() -> None:
    nodes = [a_node("a", "b", "c"), a_node("b", "c"), a_node("c")]
    graph = dependencies.Graph(nodes)
    assert graph.cycles() == ()
    assert [graph.cycle_through(node) for node in nodes] == [None, None, None]


def test_a_cycle_is_named_in_reading_order_from_its_smallest_member() -> None:
    nodes = [a_node("b", "c"), a_node("c", "a"), a_node("a", "b"), a_node("d", "a")]
    graph = dependencies.Graph(nodes)
    assert graph.cycles() == (("a/a", "a/b", "a/c"),)
    assert graph.cycle_through(nodes[1]) == ("a/a", "a/b", "a/c")
    assert graph.cycle_through(nodes[3]) is None


def test_members_of_a_cycle_start_together_after_those_they_read() -> None:
    nodes = [a_node("a", "b"), a_node("b", "a", "z"), a_node("c", "a"), a_node("z")]
    assert keys(dependencies.Graph(nodes).start_order()) == ["a/z", "a/a", "a/b", "a/c"]


def test_a_resource_that_reads_itself_is_a_cycle_of_one() -> None:
    node = a_node("a", "a")
    graph = dependencies.Graph([node])
    assert graph.cycles() == (("a/a",),)
    assert graph.cycle_through(node) == ("a/a",)


def test_each_node_is_named_in_its_own_shortest_cycle() -> None:
    nodes = [a_node("a", "b"), a_node("b", "a", "c"), a_node("c", "d"), a_node("d", "b")]
    assert dependencies.Graph(nodes).cycles() == (("a/a", "a/b"), ("a/b", "a/c", "a/d"))


def test_two_groups_of_one_name_on_a_shared_kafka_are_a_conflict_across_namespaces() -> None:
    one, two = a_node("one", group="g"), a_node("two", group="g", namespace="b")
    elsewhere = a_node("far", group="g", bootstrap=("other:9092",))
    graph = dependencies.Graph([two, elsewhere, one, a_node("x")])
    assert graph.conflicts(one) == (two,)
    assert graph.conflicts(two) == (one,)
    assert graph.conflicts(elsewhere) == ()


def test_two_writers_of_one_topic_are_a_conflict() -> None:
    one, two = a_node("one", output="OUT"), a_node("two", output="OUT")
    assert dependencies.Graph([one, two]).conflicts(one) == (two,)


def test_resources_without_outputs_do_not_conflict_over_them() -> None:
    one, two = a_node("one", output=None), a_node("two", output=None)
    assert dependencies.Graph([one, two]).conflicts(one) == ()


MANY = 1_000
HOSTILE: dict[str, Callable[[int], Iterable[int]]] = {
    "each reads every other": lambda number: (other for other in range(MANY) if other != number),
    "each reads all after it, the last the first": lambda number: range(number + 1, MANY) or [0],
    "one ring": lambda number: [(number + 1) % MANY],
    "one chain": lambda number: range(number + 1, min(number + 2, MANY)),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_graph_of_a_thousand_resources_is_answered_in_bounded_time_and_size(kind: str) -> None:
    nodes = [
        a_node(f"n{number}", *(f"n{other}" for other in HOSTILE[kind](number))) for number in range(MANY)
    ]
    begin = time.process_time()
    graph = dependencies.Graph(nodes)
    cycles, order = graph.cycles(), graph.start_order()
    assert time.process_time() - begin < 15.0
    assert len(cycles) <= MANY
    assert len(order) == MANY
    assert len(set(cycles)) == len(cycles)
