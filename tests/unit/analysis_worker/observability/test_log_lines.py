"""How a line is written."""

import json
import logging
import sys
from typing import Any

from analysis_worker.observability import log_lines


def a_record(**changes: Any) -> logging.LogRecord:
    facts = {
        "name": "analysis_worker.kafka",
        "levelno": 20,
        "levelname": "INFO",
        "msg": "站 %s",
        "args": ("S1",),
    }
    record = logging.makeLogRecord({**facts, **changes})
    record.created, record.msecs = 1_700_000_000.25, 250.0
    return record


def written(record: logging.LogRecord, **constants: Any) -> dict[str, Any]:
    line = log_lines.JsonLines(constants).format(record)
    assert "\n" not in line
    document: dict[str, Any] = json.loads(line)
    return document


def test_a_text_line_is_the_guides() -> None:
    line = log_lines.text_lines().format(a_record())
    time, rest = line.split("] ")
    assert rest == "INFO analysis_worker.kafka 站 S1"
    assert (time[0], time[-4:]) == ("[", ",250")


def test_a_json_line_has_time_level_logger_and_message() -> None:
    assert written(a_record()) == {
        "time": "2023-11-14T22:13:20.250Z",
        "level": "INFO",
        "logger": "analysis_worker.kafka",
        "message": "站 S1",
    }


def test_what_a_call_gives_is_written_with_its_type() -> None:
    given = {"station_id": "S1", "topic": "T", "partition": 0, "offset": 12, "processing_time": 1.5}
    line = written(a_record(**given, error_type="timeout", shard=3, analysis_module="load_prediction"))
    assert {name: line[name] for name in given} == given
    assert (line["error_type"], line["shard"], line["module"]) == ("timeout", 3, "load_prediction")


def test_the_file_of_the_call_is_not_the_module() -> None:
    assert "module" not in written(a_record(module="consuming"))


def test_every_line_has_the_constants_unless_the_call_gives_its_own() -> None:
    assert written(a_record(), module="m", shard=1)["module"] == "m"
    line = written(a_record(analysis_module="other", shard=2), module="m", shard=1)
    assert (line["module"], line["shard"]) == ("other", 2)


def test_an_exception_is_written_with_its_type() -> None:
    try:
        raise KeyError("load")
    except KeyError:
        line = written(a_record(exc_info=sys.exc_info()))
    assert line["error_type"] == "KeyError"
    assert line["exception"].endswith("KeyError: 'load'")


def test_the_kind_of_error_that_a_call_gives_wins() -> None:
    try:
        raise KeyError("load")
    except KeyError:
        line = written(a_record(exc_info=sys.exc_info(), error_type="callback"))
    assert line["error_type"] == "callback"


def test_chinese_stays_readable() -> None:
    assert "站 S1" in log_lines.JsonLines({}).format(a_record())
