"""docs/guide-checklist.md has every item of the deployment guide, and names only what exists.

The guide is no part of the tree, so its sections stand here, in its order; "Environment" has four items.
"""

import ast
import re
from pathlib import Path

import pytest

from tests.project import markdown, tree

SECTIONS = [
    *["Environment"] * 4,
    *("Install", "Config file", "Window, padding", "Performance", "sync_main.py, async_main.py", "start.sh"),
    *("systemd", "Docker", "Kubernetes Deployment", "Service, ConfigMap", "Log file", "Log format, levels"),
    *("Environment variables", "Metrics: service", "Metrics: performance", "Metrics: business"),
    *("Health function", "Prometheus", "Filebeat / ELK", "HA: several instances", "Shared configuration"),
    *("Kafka HA", "Failover", "Backup", "Distributed: groups", "Distributed: partition"),
    *("Dependent services", "DR", "Recovery, drills", "Consistency"),
]
PAGE = markdown.Page(tree.ROOT / "docs" / "guide-checklist.md")
(TABLE,) = PAGE.tables
ROWS = TABLE[1:]
PROGRAMS = ("analysis-worker ", "kubectl ", "make ")


def codes(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def nodes_in(cell: str) -> list[str]:
    return [code for code in codes(cell) if code.startswith("tests/") and "::" in code]


def exists(node: str) -> bool:
    """Whether a test stands in the tree under this name, as `path::Class::name` or `path::name`."""
    name, *inside = node.split("::")
    path = Path(tree.ROOT / name)
    body: list[ast.stmt] = list(tree.parsed(path).body) if path.is_file() else []
    found: list[ast.stmt] = []
    for part in inside:
        kinds = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        found = [each for each in body if isinstance(each, kinds) and each.name == part]
        body = [within for each in found if isinstance(each, ast.ClassDef) for within in each.body]
    return bool(found) and not isinstance(found[0], ast.ClassDef)


def test_every_item_of_the_guide_has_its_row_in_its_order() -> None:
    assert [row[0] for row in ROWS] == SECTIONS


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_row_says_what_is_asked_and_names_a_file_that_is_there_and_a_proof(row: list[str]) -> None:
    _, asked, files, proof = row
    linked = re.findall(r"\]\(([^)#]+)", files)
    assert asked
    assert linked
    assert [link for link in linked if not (PAGE.path.parent / link).is_file()] == []
    assert nodes_in(proof) or any(code.startswith(PROGRAMS) for code in codes(proof))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_every_test_that_a_row_names_exists(row: list[str]) -> None:
    assert [node for node in nodes_in(row[3]) if not exists(node)] == []


def test_a_test_that_does_not_exist_would_be_found() -> None:
    own = f"{tree.shown(Path(__file__))}::"
    assert exists(f"{own}test_a_test_that_does_not_exist_would_be_found")
    assert not exists(f"{own}test_that_is_nowhere")
    assert not exists("tests/nowhere.py::test_that_is_nowhere")
    assert not exists("tests/project/test_docs.py::TestExamples")


def test_every_path_in_the_tree_that_is_named_as_code_is_there() -> None:
    named = [code.partition("::")[0] for code in PAGE.codes if code.startswith("tests/")]
    assert [path for path in named if not (tree.ROOT / path).is_file()] == []
