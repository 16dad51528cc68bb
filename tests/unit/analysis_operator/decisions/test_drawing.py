"""The graph as people see it: text in start order, and a flowchart that no name can break."""

import re

import pytest

from analysis_operator.decisions import dependencies, drawing
from tests.unit.analysis_operator.decisions.test_dependencies import a_node

CHAIN = [a_node("load"), a_node("price", "load", "soh"), a_node("guide", "load", "price")]


def graph(*nodes: dependencies.Node) -> dependencies.Graph:
    return dependencies.Graph(nodes)


def test_the_text_is_indented_by_what_is_read_and_marks_what_is_missing() -> None:
    assert drawing.as_text(graph(*CHAIN)).splitlines() == [
        "a/load (load)",
        "  a/price (price) <- a/load",
        "    missing: module-soh, nobody writes soh",
        "    a/guide (guide) <- a/load, a/price",
    ]


def test_the_text_names_cycles_in_full() -> None:
    assert drawing.as_text(graph(a_node("x", "y"), a_node("y", "z"), a_node("z", "x"))).splitlines() == [
        "a/x (x) <- a/y",
        "a/y (y) <- a/z",
        "  a/z (z) <- a/x",
        "cycle: a/x -> a/y -> a/z -> a/x",
    ]


def test_a_cycle_of_one_leads_to_itself() -> None:
    assert drawing.cycle_text(("a/x",)) == "a/x -> a/x"


def test_without_resources_both_drawings_say_so_and_stay_valid() -> None:
    assert drawing.as_text(graph()) == "no modules"
    assert drawing.as_mermaid(graph()).splitlines()[0] == "flowchart LR"


def test_a_chain_of_any_length_is_drawn() -> None:
    chain = [a_node(f"n{number:04}", f"n{number + 1:04}") for number in range(1_500)]
    lines = drawing.as_text(graph(*chain)).splitlines()
    assert len(lines) == 1_501
    assert lines[-1].startswith("  " * 1_499 + "a/n0000")


def test_the_flowchart_leads_from_writers_to_readers() -> None:
    assert drawing.as_mermaid(graph(*CHAIN)).splitlines() == [
        "flowchart LR",
        '  n0["a/load<br/>load"]',
        '  n1["a/price<br/>price"]',
        '  n2["a/guide<br/>guide"]',
        '  n0 -->|"load"| n1',
        '  m0["module-soh<br/>missing"]:::missing',
        '  m0 -->|"soh"| n1',
        '  n0 -->|"load"| n2',
        '  n1 -->|"price"| n2',
        "  classDef missing stroke-dasharray: 5 5",
        "  classDef cycle stroke:#c00",
    ]


def test_the_flowchart_marks_the_members_of_cycles_and_no_others() -> None:
    drawn = drawing.as_mermaid(graph(a_node("x", "y"), a_node("y", "x"), a_node("z", "x")))
    assert re.findall(r'"a/(\w)<br/>\w"\]:::cycle', drawn) == ["x", "y"]


LINE = re.compile(
    r'  (n\d+\["[^"\n]*"\](:::cycle)?|m\d+\["[^"\n]*"\]:::missing|[nm]\d+ -->\|"[^"\n]*"\| n\d+)'
)


@pytest.mark.parametrize(
    "name", ['x"];evil', "end", "a\nb --> c", "<script>", "`code`", "#35;", "x|y", "%% no", "电价", "]]"]
)
def test_no_name_breaks_out_of_its_label(name: str) -> None:
    drawn = drawing.as_mermaid(graph(a_node("r", name, namespace=name), a_node(name, "missing-" + name)))
    body = drawn.splitlines()[1:-2]
    assert len(body) == 5
    assert all(LINE.fullmatch(line) for line in body)
    assert not set("<>`|") & set("".join(re.findall(r'"([^"]*)"', drawn)).replace("<br/>", ""))


def test_letters_of_any_script_stay_readable_in_labels() -> None:
    assert '"a/电价<br/>电价"' in drawing.as_mermaid(graph(a_node("电价")))
