"""The tree is as docs/architecture.md draws it: rooms, sizes, names, signs on the doors."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.project import tree

PACKAGES = ("crds", "operator", "worker")
MOST_LINES = 400
MOST_FUNCTION_LINES = 60
MEANINGLESS = {
    "base",
    "common",
    "helper",
    "helpers",
    "lib",
    "manager",
    "managers",
    "misc",
    "shared",
    "util",
    "utils",
}


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree.parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_the_operators_folder_does_not_shadow_pythons_operator() -> None:
    assert not (tree.ROOT / "operator" / "__init__.py").exists()


def test_no_file_of_the_packages_is_longer_than_the_limit() -> None:
    lengths = {
        tree.shown(path): len(path.read_text(encoding="utf-8").splitlines())
        for path in tree.sources(*PACKAGES)
    }
    assert {path: lines for path, lines in lengths.items() if lines > MOST_LINES} == {}


def test_no_function_of_the_packages_is_longer_than_the_limit() -> None:
    long = {
        f"{tree.shown(path)}:{node.name}": node.end_lineno - node.lineno + 1
        for path in tree.sources(*PACKAGES)
        for node in functions(path)
        if node.end_lineno is not None and node.end_lineno - node.lineno >= MOST_FUNCTION_LINES
    }
    assert long == {}


def test_no_file_or_folder_has_a_name_that_says_nothing() -> None:
    places = {part for path in tree.files() for part in (path, *path.relative_to(tree.ROOT).parents)}
    found = [str(place) for place in places if MEANINGLESS & set(re.split(r"[_\W]+", place.stem.lower()))]
    assert found == []


def test_every_source_says_first_what_lives_there() -> None:
    silent = [
        tree.shown(path)
        for path in tree.sources(*PACKAGES, "bench", "docs", "tests")
        if not ast.get_docstring(tree.parsed(path))
    ]
    assert silent == []


def test_every_public_class_says_what_it_is() -> None:
    silent = [
        f"{tree.shown(path)}:{node.name}"
        for path in tree.sources(*PACKAGES)
        for node in tree.parsed(path).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and not ast.get_docstring(node)
    ]
    assert silent == []


def test_the_resource_stands_on_the_standard_library_alone() -> None:
    allowed = {*sys.stdlib_module_names, "analysis_module"}
    foreign = {tree.shown(path): tree.imported(path) - allowed for path in tree.sources("crds")}
    assert {path: names for path, names in foreign.items() if names} == {}


@pytest.mark.parametrize("folder", ["crds", "worker/analysis_worker/engine"])
def test_nothing_pure_waits(folder: str) -> None:
    waiting = [
        f"{tree.shown(path)}:{node.name}"
        for path in tree.sources(folder)
        for node in functions(path)
        if isinstance(node, ast.AsyncFunctionDef)
    ]
    assert waiting == []


def test_a_unit_test_lies_where_its_module_does() -> None:
    stray = []
    for path in tree.sources("tests/unit"):
        folder = path.parent.relative_to(tree.ROOT / "tests" / "unit")
        modules = [each.stem for package in PACKAGES for each in (tree.ROOT / package / folder).glob("*.py")]
        tested = "__init__" if path.stem == "test_init" else path.stem.removeprefix("test_")
        # A large module's tests may lie in several files, called after it and what they are about.
        if path.name.startswith("test_") and not any(f"{tested}_".startswith(f"{each}_") for each in modules):
            stray.append(tree.shown(path))
    assert stray == []


def test_every_folder_of_the_packages_has_its_folder_of_unit_tests() -> None:
    folders = {
        path.parent.relative_to(tree.ROOT / package)
        for package in PACKAGES
        for path in tree.sources(package)
        if path.name != "__init__.py"
    }
    tested = {path.parent.relative_to(tree.ROOT / "tests" / "unit") for path in tree.sources("tests/unit")}
    assert folders - tested == set()


def test_no_test_is_skipped_retried_or_patched() -> None:
    banned = re.compile(r"mark\.(skip|skipif|xfail|flaky)\b|pytest\.skip\(|mock\.patch|unittest import mock")
    found = [
        tree.shown(path)
        for path in tree.sources("tests")
        if banned.search(path.read_text(encoding="utf-8")) and path != Path(__file__)
    ]
    assert found == []
