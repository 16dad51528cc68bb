"""`run`: what it refuses to start with, and by which exit code."""

from pathlib import Path

import pytest

from analysis_operator.__main__ import main
from analysis_operator.commands import running


def test_a_bad_setting_gives_2_and_the_mend(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("concurrency: 0\n")
    assert main(["run", "--settings", str(path)]) == 2
    assert "settings.concurrency: 0 is less than 1; give a number from 1 to 256" in capsys.readouterr().err


def test_settings_that_are_not_there_give_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--settings", str(tmp_path / "nowhere.yaml")]) == 2
    assert "nowhere.yaml" in capsys.readouterr().err


def test_the_lease_is_in_the_pods_own_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POD_NAMESPACE", "operators")
    assert running._own_namespace() == "operators"
    monkeypatch.delenv("POD_NAMESPACE")
    assert running._own_namespace() == "default"
