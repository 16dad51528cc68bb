"""The log file: opened by the first service, closed by the last, in the guide's place."""

import json
import logging
from pathlib import Path

import pytest

from analysis_worker.observability import logs
from d_a import log_files
from d_a.configuration import Logging


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATA_ANALYSIS_LOG", raising=False)
    monkeypatch.delenv("LOG_LEVEL", raising=False)
    monkeypatch.delenv("DATA_ANALYSIS_LOG_FORMAT", raising=False)
    return tmp_path


def write(text: str) -> None:
    logging.getLogger("d_a.test").info("%s", text)


def test_by_default_it_is_data_analysis_log_in_the_working_directory(directory: Path) -> None:
    log_files.open_log(Logging())
    write("first line")
    log_files.close_log()
    assert "INFO d_a.test first line" in (directory / "data_analysis.log").read_text()


def test_the_environment_goes_before_the_configuration(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA_ANALYSIS_LOG", str(directory / "told.log"))
    log_files.open_log(Logging(log_file=str(directory / "configured.log")))
    log_files.close_log()
    assert [path.name for path in directory.iterdir()] == ["told.log"]


def test_the_configuration_names_file_and_rotation(directory: Path) -> None:
    log_files.open_log(Logging(log_file="own.log", max_bytes=200, backup_count=1))
    for number in range(10):
        write(f"line {number} " + "x" * 50)
    log_files.close_log()
    assert sorted(path.name for path in directory.iterdir()) == ["own.log", "own.log.1"]


def test_it_is_closed_with_the_last_of_its_users(directory: Path) -> None:
    log_files.open_log(Logging())
    log_files.open_log(Logging())
    log_files.close_log()
    write("still open")
    log_files.close_log()
    write("closed")
    text = (directory / "data_analysis.log").read_text()
    assert "still open" in text
    assert "closed" not in text
    assert logging.getLogger("d_a").handlers == []


def test_a_default_file_that_cannot_be_is_done_without(directory: Path) -> None:
    (directory / "data_analysis.log").mkdir()
    log_files.open_log(Logging())
    log_files.close_log()


def test_a_file_asked_for_that_cannot_be_is_an_error_and_leaves_nothing_open(directory: Path) -> None:
    with pytest.raises(logs.LogError, match="create its directory"):
        log_files.open_log(Logging(log_file="nowhere/own.log"))
    log_files.open_log(Logging())
    log_files.close_log()
    assert logging.getLogger("d_a").handlers == []


@pytest.mark.parametrize(
    ("told", "configured", "is_json"),
    [(None, "json", True), ("json", "text", True), ("text", "json", False), ("", "json", True)],
)
def test_its_lines_are_json_if_the_environment_else_the_configuration_says_so(
    told: str | None, configured: str, is_json: bool, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if told is not None:
        monkeypatch.setenv("DATA_ANALYSIS_LOG_FORMAT", told)
    log_files.open_log(Logging(log_format=configured))
    write("first line")
    log_files.close_log()
    (line,) = (directory / "data_analysis.log").read_text().splitlines()
    assert line.startswith("{") is is_json
    assert not is_json or json.loads(line)["message"] == "first line"


@pytest.mark.parametrize("file", [None, "own.log"])
@pytest.mark.parametrize("variable", ["DATA_ANALYSIS_LOG_FORMAT", "LOG_LEVEL"])
def test_a_form_or_level_that_there_is_not_is_an_error_and_leaves_nothing_open(
    variable: str, file: str | None, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "xml")
    with pytest.raises(logs.LogError, match="'xml' is unknown: give"):
        log_files.open_log(Logging(log_file=file))
    assert logging.getLogger("d_a").handlers == []


def test_json_lines_name_module_and_shard_as_long_as_one_service_writes(
    directory: Path,
) -> None:
    log_files.open_log(Logging(log_format="json"))
    log_files.identify(module="load_prediction", shard=1)
    write("of one")
    log_files.open_log(Logging())
    log_files.identify(module="pv_prediction", shard=1)
    write("of two")
    log_files.close_log()
    log_files.close_log()
    alone, together = map(json.loads, (directory / "data_analysis.log").read_text().splitlines())
    assert (alone["module"], alone["shard"]) == ("load_prediction", 1)
    assert {"module", "shard"} & set(together) == set()
