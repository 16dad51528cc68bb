"""`validate` on files."""

from pathlib import Path

import pytest

from analysis_worker import __main__

MANIFEST = """
apiVersion: dataanalysis.io/v1alpha1
kind: AnalysisModule
metadata: {name: a}
spec: {module: thermal_management%s}
"""


def validate(*paths: Path, options: tuple[str, ...] = ()) -> int:
    files = [word for path in paths for word in ("-f", str(path))]
    return __main__.main(["validate", *options, *files])


def written(directory: Path, text: str, name: str = "module.yaml") -> Path:
    path = directory / name
    path.write_text(text, encoding="utf-8")
    return path


def test_what_a_module_comes_to_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert validate(written(tmp_path, MANIFEST % "")) == 0
    shown = capsys.readouterr().out
    assert "SCHEDULE-DEVICE-STORAGE" in shown
    assert "MODULE-OUTPUT-THERMAL-MANAGEMENT" in shown
    assert "7 d" in shown


def test_every_problem_of_a_file_is_told_with_its_path_and_mend(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, MANIFEST % ", padding: Zeroo, expireAfterSeconds: -1")
    assert validate(path) == 2
    told = capsys.readouterr().err
    assert f"{path}: spec.padding:" in told
    assert "did you mean Zero?" in told
    assert f"{path}: spec.expireAfterSeconds:" in told
    assert "2 problems" in told


def test_a_good_file_beside_a_bad_one_is_still_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = written(tmp_path, MANIFEST % ", padding: 3", "bad.yaml")
    good = written(tmp_path, MANIFEST % "", "good.yaml")
    assert validate(bad, good) == 2
    assert "MODULE-OUTPUT-THERMAL-MANAGEMENT" in capsys.readouterr().out


def test_a_cycle_over_two_files_is_a_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = written(tmp_path, MANIFEST % ", dependencies: [{module: customer_mining}]", "a.yaml")
    second = written(
        tmp_path,
        MANIFEST.replace("thermal_management", "customer_mining")
        % ", dependencies: [{module: thermal_management}]",
        "b.yaml",
    )
    assert validate(first, second) == 2
    assert "thermal_management -> customer_mining -> thermal_management" in capsys.readouterr().err


def test_a_folder_stands_for_its_manifests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path, MANIFEST % "", "a.yaml")
    written(tmp_path, "not one", "b.txt")
    assert validate(tmp_path) == 0
    assert str(tmp_path / "a.yaml") in capsys.readouterr().out.replace("\n", "")


def test_a_file_that_is_not_there_is_a_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert validate(tmp_path / "none.yaml") == 2
    assert "name a file that is there" in capsys.readouterr().err


def test_a_callback_is_loaded_only_when_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, MANIFEST % ", callback: {file: /nowhere/callback.py}")
    assert validate(path, options=("--quiet",)) == 0
    assert validate(path, options=("--quiet", "--load-callback")) == 2
    assert "/nowhere/callback.py cannot be read" in capsys.readouterr().err


def test_a_python_configuration_of_the_old_system_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = """
KAFKA_CONFIG = {"bootstrap_servers": ["k:9092"], "consumer": {"group_id": "g"}}
TOPIC_DETAIL = {
    "SCHEDULE-CAR-ORDER": {
        "fields": ["stationId"], "frequency": "1s", "modules": ["load_prediction"], "window_size": %s
    }
}
"""
    assert validate(written(tmp_path, config % 5, "config.py"), options=("-q",)) == 0
    assert validate(written(tmp_path, config % 0, "config.py"), options=("-q",)) == 2
    assert "TOPIC_DETAIL.SCHEDULE-CAR-ORDER.window_size" in capsys.readouterr().err


def test_a_yaml_configuration_of_2_0_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = """
module_name: load_prediction
kafka: {bootstrap_servers: ["k:9092"], consumer: {group_id: g}}
topic_detail:
  SCHEDULE-CAR-ORDER: {fields: [stationId], frequency: 1s, modules: [load_prediction], window_size: 7}
"""
    assert validate(written(tmp_path, config)) == 0
    assert "MODULE-OUTPUT-LOAD-PREDICTION" in capsys.readouterr().out
