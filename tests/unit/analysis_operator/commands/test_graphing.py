"""`graph` of manifests: text, Mermaid, and exit codes that a pipeline can use."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from analysis_operator.__main__ import main
from tests.unit.analysis_operator import fleets
from tests.unit.analysis_operator.commands import views


def write(directory: Path, **reads: list[str]) -> Path:
    """A folder of modules, each with those that it reads."""
    for name, others in reads.items():
        spec = fleets.a_spec(
            module=name,
            dependencies=[{"module": each, "topic": f"MODULE-OUTPUT-{each.upper()}"} for each in others],
        )
        (directory / f"{name}.yaml").write_text(yaml.safe_dump(views.manifest(spec, name)))
    return directory


def graph(path: Path, *arguments: str) -> int:
    return main(["graph", "-f", str(path), *arguments])


def test_of_a_folder_is_drawn_as_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert graph(write(tmp_path, a=[], b=["a"])) == 0
    assert capsys.readouterr().out == "default/a (a)\n  default/b (b) <- default/a\n"


def test_of_a_folder_is_drawn_for_mermaid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert graph(write(tmp_path, a=[], b=["a"]), "-o", "mermaid") == 0
    assert capsys.readouterr().out.startswith("flowchart LR\n")


@pytest.mark.parametrize(
    ("reads", "said"),
    [
        ({"a": ["b"]}, "missing: b, nobody writes MODULE-OUTPUT-B"),
        ({"a": ["b"], "b": ["a"]}, "cycle: default/a -> default/b -> default/a"),
    ],
)
def test_what_is_missing_or_circular_gives_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], reads: Any, said: str
) -> None:
    assert graph(write(tmp_path, **reads)) == 1
    assert said in capsys.readouterr().out


def test_of_a_single_file_is_drawn_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert graph(write(tmp_path, a=[], b=[]) / "a.yaml") == 0
    assert capsys.readouterr().out == "default/a (a)\n"


def test_a_folder_without_manifests_gives_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert graph(tmp_path) == 2
    assert "holds no manifest; give a folder with .yaml files" in capsys.readouterr().err


def test_a_manifest_with_a_problem_gives_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.yaml").write_text("kind: Pod\n")
    assert graph(tmp_path) == 2
    assert "kind: is" in capsys.readouterr().err
