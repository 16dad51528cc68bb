"""Where a configuration is found, and what a second reading sees."""

import importlib.util
import os
import sys
import types
from pathlib import Path

import pytest

from d_a import config, sources
from d_a.errors import ConfigurationError


def _module(path: Path, text: str) -> types.ModuleType:
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(sources.ENV_CONFIG_PATH, raising=False)
    return tmp_path


def test_with_nothing_else_the_packages_own_module_is_read(directory: Path) -> None:
    assert sources.reader_of(None)().get("KAFKA_CONFIG") is config.KAFKA_CONFIG


def test_a_yaml_file_in_the_working_directory_is_found(directory: Path) -> None:
    (directory / "config.yaml").write_text("kafka: {group_id: here}\n")
    assert sources.reader_of(None)().get("KAFKA_CONFIG") == {"group_id": "here"}


def test_the_environment_goes_before_the_working_directory(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (directory / "config.yaml").write_text("kafka: {group_id: here}\n")
    (directory / "other.yaml").write_text("kafka: {group_id: there}\n")
    monkeypatch.setenv(sources.ENV_CONFIG_PATH, str(directory / "other.yaml"))
    assert sources.reader_of(None)().get("KAFKA_CONFIG") == {"group_id": "there"}


def test_an_argument_goes_before_the_environment(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (directory / "other.yaml").write_text("kafka: {group_id: there}\n")
    monkeypatch.setenv(sources.ENV_CONFIG_PATH, str(directory / "other.yaml"))
    assert sources.reader_of({"kafka": {"group_id": "said"}})().get("KAFKA_CONFIG") == {"group_id": "said"}


@pytest.mark.parametrize("place", ["config.py", "d_a/config.py"])
def test_a_python_file_that_sets_kafka_config_is_found(directory: Path, place: str) -> None:
    (directory / "d_a").mkdir()
    (directory / place).write_text("KAFKA_CONFIG = {'group_id': 'mounted'}\n")
    assert sources.reader_of(None)().get("KAFKA_CONFIG") == {"group_id": "mounted"}


def test_a_python_file_of_someone_else_is_not_run(directory: Path) -> None:
    (directory / "config.py").write_text("raise SystemExit('run!')\n")
    assert sources.reader_of(None)().get("KAFKA_CONFIG") is config.KAFKA_CONFIG


def test_a_file_is_read_anew_each_time(directory: Path) -> None:
    path = directory / "mine.yaml"
    path.write_text("kafka: {group_id: one}\n")
    read = sources.reader_of(path)
    path.write_text("kafka: {group_id: two}\n")
    assert read().get("KAFKA_CONFIG") == {"group_id": "two"}


def test_an_edit_of_a_modules_attributes_is_seen(directory: Path) -> None:
    module = _module(directory / "mine.py", "KAFKA_CONFIG = {'group_id': 'one'}\n")
    read = sources.reader_of(module)
    vars(module)["KAFKA_CONFIG"] = {"group_id": "edited"}
    assert read().get("KAFKA_CONFIG") == {"group_id": "edited"}


def test_an_edit_of_a_modules_file_is_seen_and_a_removed_name_is_gone(directory: Path) -> None:
    module = _module(directory / "mine.py", "KAFKA_CONFIG = {}\nENVELOPE = 'v1.0'\n")
    read = sources.reader_of(module)
    (directory / "mine.py").write_text("KAFKA_CONFIG = {'group_id': 'two'}\n")
    assert read().values == {"KAFKA_CONFIG": {"group_id": "two"}}
    assert "ENVELOPE" not in vars(module)


def test_a_modules_file_that_no_longer_runs_leaves_the_module_as_it_was(directory: Path) -> None:
    module = _module(directory / "mine.py", "KAFKA_CONFIG = {'group_id': 'one'}\n")
    read = sources.reader_of(module)
    (directory / "mine.py").write_text("KAFKA_CONFIG = {}\n1 / 0\n")
    with pytest.raises(ConfigurationError, match="running it raised ZeroDivisionError"):
        read()
    assert vars(module)["KAFKA_CONFIG"] == {"group_id": "one"}


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.yaml", "kafka: [", "is not YAML"),
        ("a.yaml", "", "is empty"),
        ("a.yaml", "- 1", "holds a list, not a mapping"),
        ("a.py", "KAFKA_CONFIG = {", "a.py:1: is not Python"),
        ("a.py", "import nowhere_at_all", "running it raised ModuleNotFoundError"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_the_reason(
    directory: Path, name: str, text: str, told: str
) -> None:
    path = directory / name
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        sources.reader_of(path)()
    assert str(path) in str(caught.value)
    assert told in str(caught.value)


def test_a_file_that_is_not_there_is_named_with_the_mend(directory: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere\.yaml: cannot be read.*DATA_ANALYSIS_CONFIG_PATH"):
        sources.reader_of("nowhere.yaml")()


def test_reading_a_python_file_adds_no_module(directory: Path) -> None:
    before = set(sys.modules)
    (directory / "mine.py").write_text("KAFKA_CONFIG = {}\n")
    sources.reader_of(os.fspath(directory / "mine.py"))()
    assert set(sys.modules) == before
