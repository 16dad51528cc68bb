"""Where lines go, from which level on."""

import contextlib
import errno
import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from analysis_worker.observability import logs

LOG = logging.getLogger("analysis_worker.kafka")


@pytest.fixture(autouse=True)
def released() -> Iterator[None]:
    yield
    logs.release()


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """As in a program of our own: the root logger has no handlers, not even the test runner's."""
    root = logging.getLogger()
    handlers, root.handlers = root.handlers, []
    try:
        yield
    finally:
        root.handlers = handlers


@pytest.fixture
def console() -> io.StringIO:
    return io.StringIO()


def test_importing_touches_no_file_and_no_logger(tmp_path: Path) -> None:
    program = """
import logging, os
before = dict(logging.root.manager.loggerDict)
import analysis_worker.observability.logs
assert not logging.root.handlers and logging.root.level == logging.WARNING
assert not any(logging.getLogger(name).handlers for name in ("analysis_worker", "d_a"))
assert os.listdir() == []
"""
    environment = {"DATA_ANALYSIS_LOG": "data_analysis.log", "LOG_LEVEL": "DEBUG"}
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment, check=True)


@pytest.mark.parametrize("name", ["analysis_worker", "analysis_worker.engine", "d_a", "d_a.services"])
@alone()
def test_lines_of_both_packages_go_to_the_console(console: io.StringIO, name: str) -> None:
    logs.configure(stream=console)
    logging.getLogger(name).info("started")
    assert console.getvalue().endswith(f"] INFO {name} started\n")


@alone()
def test_lines_go_to_console_and_file(console: io.StringIO, tmp_path: Path) -> None:
    logs.configure(tmp_path / "data_analysis.log", stream=console)
    LOG.error("站点 %s", "S1")
    assert (tmp_path / "data_analysis.log").read_text(encoding="utf-8") == console.getvalue()
    assert console.getvalue().endswith("ERROR analysis_worker.kafka 站点 S1\n")


def test_an_id_that_utf8_cannot_write_costs_no_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    logs.configure(path, fmt="json", stream=io.StringIO())
    LOG.info("station", extra={"station_id": "\ud800"})
    assert json.loads(path.read_bytes())["station_id"] == "\ud800"


@alone()
def test_lines_below_the_level_are_not_written_until_it_is_set(console: io.StringIO) -> None:
    logs.configure(level="warning", stream=console)
    LOG.info("first")
    logs.set_level("INFO")
    LOG.info("second")
    assert [line.split()[-1] for line in console.getvalue().splitlines()] == ["second"]


@pytest.mark.parametrize("level", ["LOUD", "", "NOTSET", "10"])
def test_an_unknown_level_is_refused_with_those_that_are(level: str) -> None:
    wrong = f"the log level {level!r} is unknown: give one of DEBUG, INFO, WARNING, ERROR, CRITICAL"
    for call in (lambda: logs.configure(level=level), lambda: logs.set_level(level)):
        with pytest.raises(logs.LogError) as raised:
            call()
        assert str(raised.value) == wrong


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(logs.LogError, match="the log format 'xml' is unknown: give text or json"):
        logs.configure(fmt="xml")


@alone()
def test_a_form_may_be_in_capitals_as_a_level_may_be_in_small_letters(console: io.StringIO) -> None:
    logs.configure(level="info", fmt=" JSON", stream=console)
    LOG.info("started")
    assert json.loads(console.getvalue())["message"] == "started"


@alone()
def test_a_refused_level_leaves_what_was_set_up(console: io.StringIO) -> None:
    logs.configure(stream=console)
    with pytest.raises(logs.LogError):
        logs.configure(level="LOUD")
    LOG.info("still here")
    assert "still here" in console.getvalue()


def test_a_file_without_its_directory_is_named_with_the_mend(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "data_analysis.log"
    with pytest.raises(logs.LogError) as raised:
        logs.configure(path)
    assert str(raised.value) == (
        f"the log file {path} cannot be opened: create its directory, or set DATA_ANALYSIS_LOG to another"
    )


def test_a_directory_as_the_file_is_named_with_the_mend(tmp_path: Path) -> None:
    with pytest.raises(logs.LogError, match="give a file, this is a directory"):
        logs.configure(tmp_path)


def test_a_read_only_file_system_is_no_problem_of_the_users() -> None:
    error = OSError(errno.EROFS, "Read-only file system")
    assert logs.problem_with_file(Path("/app/data_analysis.log"), error) is None


def test_any_other_trouble_is_told_in_the_systems_words() -> None:
    error = OSError(errno.ENOSPC, "No space left on device")
    problem = logs.problem_with_file(Path("/app/x.log"), error)
    assert str(problem) == (
        "the log file /app/x.log cannot be opened: No space left on device; name another file, "
        "or set DATA_ANALYSIS_LOG to another"
    )


def test_the_file_rotates_and_keeps_so_many_older_ones(tmp_path: Path) -> None:
    logs.configure(tmp_path / "log", level="DEBUG", max_bytes=200, backups=2, stream=io.StringIO())
    for number in range(50):
        LOG.debug("line %d", number)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "log.1", "log.2"]
    assert all(path.stat().st_size <= 200 for path in tmp_path.iterdir())


@alone()
def test_a_second_call_replaces_the_first(console: io.StringIO, tmp_path: Path) -> None:
    logs.configure(tmp_path / "log", stream=io.StringIO())
    logs.configure(stream=console)
    LOG.info("once")
    assert console.getvalue().count("once") == 1
    assert (tmp_path / "log").read_text() == ""


@alone()
def test_the_root_logger_stays_untouched(console: io.StringIO) -> None:
    level = logging.getLogger().level
    logs.configure(level="DEBUG", stream=console)
    assert (logging.getLogger().handlers, logging.getLogger().level) == ([], level)


@alone()
def test_alone_a_later_basic_config_doubles_no_line(console: io.StringIO) -> None:
    logs.configure(stream=console)
    root = logging.StreamHandler(console)
    logging.getLogger().addHandler(root)
    LOG.info("once")
    assert console.getvalue().count("once") == 1


@alone()
def test_in_a_program_that_logs_already_the_lines_are_its_own_to_show() -> None:
    theirs, ours = io.StringIO(), io.StringIO()
    logging.getLogger().addHandler(logging.StreamHandler(theirs))
    logs.configure(stream=ours)
    LOG.info("password=hunter2")
    assert (theirs.getvalue(), ours.getvalue()) == ("password=***\n", "")


@alone()
def test_release_leaves_the_loggers_as_they_were(console: io.StringIO, tmp_path: Path) -> None:
    logs.configure(tmp_path / "log", stream=console)
    logs.release()
    for name in logs.LOGGERS:
        logger = logging.getLogger(name)
        assert (logger.handlers, logger.propagate, logger.level) == ([], True, logging.NOTSET)


@alone()
def test_json_lines_carry_module_and_shard_once_known(console: io.StringIO) -> None:
    logs.configure(fmt="json", stream=console)
    LOG.info("before")
    logs.identify(module="load_prediction", shard=2)
    LOG.info("after", extra={"station_id": "S1", "processing_time": 0.5})
    before, after = map(json.loads, console.getvalue().splitlines())
    assert "module" not in before
    assert {name: after[name] for name in ("module", "shard", "station_id", "processing_time")} == {
        "module": "load_prediction",
        "shard": 2,
        "station_id": "S1",
        "processing_time": 0.5,
    }


@alone()
def test_json_lines_carry_neither_once_they_are_of_several(console: io.StringIO) -> None:
    logs.configure(fmt="json", stream=console)
    logs.identify(module="load_prediction", shard=2)
    logs.identify(module=None, shard=None)
    LOG.info("after")
    assert {"module", "shard"} & set(json.loads(console.getvalue())) == set()


@alone()
def test_a_flood_is_cut_and_its_count_told_in_console_and_file(console: io.StringIO, tmp_path: Path) -> None:
    logs.configure(tmp_path / "log", stream=console)
    for number in range(1000):
        LOG.error("no luck with %d", number)
    logs.release()
    lines = console.getvalue().splitlines()
    assert len(lines) == 31
    assert lines[-1].endswith("970 more lines in one minute suppressed, all like: no luck with %d")
    assert (tmp_path / "log").read_text().splitlines() == lines


@alone()
def test_secrets_reach_neither_console_nor_file(console: io.StringIO, tmp_path: Path) -> None:
    logs.configure(tmp_path / "log", fmt="json", stream=console)
    try:
        raise ValueError("bad login: password=hunter2")
    except ValueError:
        LOG.exception("cannot connect with %s", {"sasl_plain_password": "hunter2"})
    for text in (console.getvalue(), (tmp_path / "log").read_text()):
        assert "cannot connect" in text
        assert "hunter2" not in text
        assert "bad login: password=***" in text


@pytest.mark.parametrize(
    ("environment", "chosen"),
    [
        ({}, (None, "INFO", "text")),
        ({"DATA_ANALYSIS_LOG": "/var/log/x.log", "LOG_LEVEL": "debug"}, ("/var/log/x.log", "debug", "text")),
        ({"DATA_ANALYSIS_LOG_FORMAT": "json"}, (None, "INFO", "json")),
        ({"DATA_ANALYSIS_LOG": "", "LOG_LEVEL": "", "DATA_ANALYSIS_LOG_FORMAT": ""}, (None, "INFO", "text")),
    ],
)
def test_the_environment_names_file_level_and_form(
    environment: dict[str, str], chosen: tuple[str | None, str, str]
) -> None:
    assert logs.from_environment(environment) == chosen


def test_what_the_environment_leaves_out_is_as_the_program_has_it() -> None:
    own = logs.Chosen(logs.DEFAULT_FILE, "ERROR", "json")
    assert logs.from_environment({}, own) == ("data_analysis.log", "ERROR", "json")
    told = {"LOG_LEVEL": "DEBUG", "DATA_ANALYSIS_LOG_FORMAT": "text"}
    assert logs.from_environment(told, own) == ("data_analysis.log", "DEBUG", "text")
