"""The documents are true: generated pages are fresh, links lead somewhere, names exist, examples run."""

import ast
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from analysis_module import assignment, errors, reading, shape, spec
from analysis_worker.callbacks import loading
from analysis_worker.engine import padding
from docs import generate
from tests import builders
from tests.project import markdown, tree

PAGES = [markdown.Page(path) for path in tree.files() if path.suffix == ".md"]
BY_PATH = {page.path: page for page in PAGES}
GUIDE = BY_PATH[tree.ROOT / "docs" / "guide" / "worker.md"]
STANDALONE = BY_PATH[tree.ROOT / "docs" / "guide" / "standalone.md"]
DECISIONS = sorted((tree.ROOT / "docs" / "decisions").glob("[0-9]*.md"))


def ids(pages: Iterable[markdown.Page]) -> list[str]:
    return [tree.shown(page.path) for page in pages]


class TestGenerated:
    def test_the_generated_pages_are_up_to_date(self) -> None:
        assert [tree.shown(path) for path in generate.stale()] == [], "run docs/generate.py"

    def test_a_page_that_was_edited_is_told(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        edited = tmp_path / "metrics.md"
        edited.write_text(f"{generate.metrics_page()}edited\n", encoding="utf-8")
        monkeypatch.setattr(generate, "METRICS", edited)
        assert generate.stale() == [edited]

    def test_the_table_of_changes_names_every_path_once(self) -> None:
        rows = markdown.Page(Path("changes"), generate.changes_table()).tables[0][1:]
        named = [path for row in rows for path in re.findall(r"`([^`]+)`", row[2])]
        assert len(named) == len(set(named))
        assert [path for path in named if not _is_path(f"spec.{path}")] == []

    def test_a_document_without_markers_is_refused(self) -> None:
        with pytest.raises(ValueError, match="needs one"):
            generate.placed("no place", "table")


def _is_path(path: str) -> bool:
    return path in shape.field_changes()


class TestReferences:
    @pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
    def test_every_link_leads_somewhere(self, page: markdown.Page) -> None:
        broken = []
        for link in page.links:
            if link.startswith(("http://", "https://")):
                continue
            name, _, anchor = link.partition("#")
            target = (page.path.parent / name).resolve() if name else page.path
            known = target in BY_PATH and anchor in BY_PATH[target].anchors
            if not target.exists() or (anchor and not known):
                broken.append(link)
        assert broken == []

    @pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
    def test_every_source_that_is_named_exists(self, page: markdown.Page) -> None:
        sources = [tree.shown(path) for path in tree.files()]
        named = {code for code in page.codes if re.fullmatch(r"[\w./-]+\.(py|toml|yaml)", code)}
        unknown = {
            name
            for name in named - _WRITTEN_BY_THE_READER
            if not any(f"/{each}".endswith(f"/{name}") for each in sources)
        }
        assert unknown == set()

    @pytest.mark.parametrize(
        "page", [page for page in PAGES if "docs" in page.path.parts], ids=lambda page: page.path.stem
    )
    def test_every_method_that_is_named_exists(self, page: markdown.Page) -> None:
        named = {code for code in page.codes if re.fullmatch(r"[A-Z]\w*[a-z]\w*\.[a-z_]\w*", code)}
        assert named - _members() == set()

    def test_every_variable_of_the_environment_that_is_named_is_read(self) -> None:
        text = "".join(path.read_text(encoding="utf-8") for path in tree.sources("crds", "worker", "tests"))
        named = {code.partition("=")[0] for page in PAGES for code in page.codes}
        variables = {name for name in named if re.fullmatch(r"(DATA_ANALYSIS|DEMO|LOG|KAFKA)_[A-Z_]+", name)}
        assert variables
        assert {name for name in variables - _CONFIGURATION if f'"{name}"' not in text} == set()


_WRITTEN_BY_THE_READER = {
    "callback.py",
    "config.yaml",
    "crds/analysismodule.yaml",
    "forecast.py",
    "module.yaml",
}
"""Names of files that a reader makes, and of one that comes with the operator."""
_CONFIGURATION = {"KAFKA_CONFIG"}
"""Names within the old configuration, not of the environment."""


def _members() -> set[str]:
    """Methods, attributes and values of all classes, as `Class.name`."""
    return {
        f"{kind.name}.{name}"
        for path in tree.sources("crds", "worker")
        for kind in ast.walk(tree.parsed(path))
        if isinstance(kind, ast.ClassDef)
        for node in ast.walk(kind)
        for name in _named(node)
    }


def _named(node: ast.AST) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return [node.name]
    targets = (
        node.targets
        if isinstance(node, ast.Assign)
        else [node.target]
        if isinstance(node, ast.AnnAssign)
        else []
    )
    return [
        target.attr if isinstance(target, ast.Attribute) else target.id
        for target in targets
        if isinstance(target, ast.Attribute | ast.Name)
    ]


class TestExamples:
    def test_every_manifest_of_the_guide_is_valid(self) -> None:
        read = [_read(yaml.safe_load(text)) for page in (GUIDE, STANDALONE) for text in page.code("yaml")]
        assert len(read) >= 3

    def test_the_whole_manifest_says_something_for_every_hot_part_but_the_output(self) -> None:
        said = yaml.safe_load(GUIDE.code("yaml")[0])["spec"]
        hot = {member.name for member in shape.members(spec.ModuleSpec) if member.change is spec.Change.HOT}
        assert hot - set(said) == {"output"}

    def test_the_callback_of_the_guide_runs_with_its_hooks(self) -> None:
        text = GUIDE.code("python")[0]
        loaded = loading.load(spec.Callback(source=text, parameters={"horizon": 3}))
        assert loaded.set_up is not None
        assert loaded.tear_down is not None
        hand = builders.an_engine(
            "m", inputs=[{"topic": builders.REALTIME, "fields": ["historyCurveStationAvg"], "windowSize": 2}]
        )
        hand.take(builders.REALTIME, *({"stationId": "S1", "historyCurveStationAvg": kw} for kw in (70, 80)))
        assert loaded.function("S1", hand.module_input()) == {"load_forecast": [75.0] * 3}

    def test_the_guides_test_of_a_module_passes(self) -> None:
        exec(compile(GUIDE.code("python")[1], "guide", "exec"), {})

    def test_the_assignment_of_the_guide_is_one(self) -> None:
        (text,) = STANDALONE.code("json")
        assert assignment.Assignment.from_json(text).slots == frozenset(range(32))

    def test_the_paddings_of_the_guide_are_the_paddings(self) -> None:
        (table,) = [table for table in GUIDE.tables if table[0][1] == "`Zero`"]
        for present, *shown in table[1:]:
            values: list[Any] = (
                [] if present == "none" else [ast.literal_eval(each) for each in present.split(", ")]
            )
            for name, cell in zip(table[0][1:], shown, strict=True):
                expected = [ast.literal_eval(each) for each in cell.split()]
                padded = padding.padded(values, 5, spec.Padding(name.strip("`")))
                assert [repr(each) for each in padded] == [repr(each) for each in expected], (present, name)

    def test_the_guide_knows_every_kind_of_dead_letter(self) -> None:
        raised = {
            call.args[0].value
            for path in tree.sources("worker/analysis_worker/kafka", "worker/analysis_worker/engine")
            for call in ast.walk(tree.parsed(path))
            if isinstance(call, ast.Call)
            and isinstance(call.func, ast.Name)
            and call.func.id == "Refusal"
            and isinstance(call.args[0], ast.Constant)
        }
        assert raised
        assert raised - set(GUIDE.codes) == set()


def _read(document: Any) -> spec.ModuleSpec:
    """A whole manifest, or a part of a spec under its name."""
    if "kind" in document:
        return reading.read_manifest(document)[2]
    try:
        return reading.read_spec({"module": "load_prediction", **document})
    except errors.InvalidSpec as error:
        raise AssertionError(f"{document}: {error}") from error


class TestDecisions:
    def test_they_are_numbered_without_a_gap(self) -> None:
        assert [int(path.name[:4]) for path in DECISIONS] == list(range(1, len(DECISIONS) + 1))

    def test_the_list_has_each_by_its_title(self) -> None:
        index = BY_PATH[tree.ROOT / "docs" / "decisions" / "README.md"]
        listed = dict(zip(index.links, (title for _, title in index.tables[0][1:]), strict=True))
        titles = {path.name: BY_PATH[path].headings[0][1].partition(": ")[2] for path in DECISIONS}
        assert listed == titles

    @pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem)
    def test_each_has_context_decision_alternatives_consequences_and_places(self, path: Path) -> None:
        assert [text for level, text in BY_PATH[path].headings if level == 2] == [
            "Context",
            "Decision",
            "What was weighed",
            "Consequences",
            "Where",
        ]
        assert re.search(r"^Status: (accepted|replaced by)", BY_PATH[path].text, re.MULTILINE)
