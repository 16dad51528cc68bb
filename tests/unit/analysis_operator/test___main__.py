"""The command line: what it offers, its help, its exit codes for what is typed wrongly."""

import re

import pytest

from analysis_operator import VERSION
from analysis_operator.__main__ import kubectl, main

USERS = ("plan", "where", "graph")


def ended(arguments: list[str], run: object = main) -> int:
    with pytest.raises(SystemExit) as ending:
        run(arguments)  # type: ignore[operator]
    return int(ending.value.code or 0)


@pytest.mark.parametrize("command", ["run", *USERS])
def test_every_command_has_a_help_with_examples_and_exit_codes(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended([command, "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: analysis-operator {command}")
    assert f"analysis-operator {command}" in out.partition("examples:")[2]
    assert re.search(r"exit codes: 0 ", out)


def test_the_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"\n    {command} " in out for command in ("run", *USERS))


def test_as_a_plugin_it_is_named_so_and_does_not_offer_to_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(["--help"], kubectl) == 0
    out = capsys.readouterr().out
    assert out.startswith("usage: kubectl analysis")
    assert "\n    run " not in out
    assert ended(["run"], kubectl) == 2


@pytest.mark.parametrize(
    "arguments", [[], ["dance"], ["plan"], ["where"], ["graph", "-o", "png"], ["plan", "-f", "x", "--no"]]
)
def test_what_is_typed_wrongly_gives_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(arguments) == 2
    assert "usage: analysis-operator" in capsys.readouterr().err


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(["--version"]) == 0
    assert capsys.readouterr().out == f"analysis-operator {VERSION}\n"


@pytest.mark.parametrize("arguments", [["plan", "-f", "m.yaml"], ["where", "S1"], ["graph"]])
def test_without_a_cluster_a_command_gives_3_and_the_mend(
    arguments: list[str],
    tmp_path: object,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    nowhere = f"{tmp_path}/nowhere"
    with open(f"{tmp_path}/m.yaml", "w") as manifest:
        manifest.write(
            "apiVersion: dataanalysis.io/v1alpha1\nkind: AnalysisModule\nmetadata: {name: a}\n"
            "spec: {module: load_prediction}\n"
        )
    monkeypatch.chdir(str(tmp_path))
    assert main([*arguments, "--kubeconfig", nowhere]) == 3
    assert "set KUBECONFIG, or give --kubeconfig" in capsys.readouterr().err
