"""A limit on repeated lines, and secrets blotted out."""

import logging
import sys
import time
from typing import Any

import pytest

from analysis_worker.observability import log_filters


def a_line(message: str = "no luck with %s", at: float = 1000.0, **changes: Any) -> logging.LogRecord:
    facts = {"name": "analysis_worker.x", "levelno": logging.ERROR, "levelname": "ERROR", "args": ("S1",)}
    record = logging.makeLogRecord({**facts, "msg": message, **changes})
    record.created = at
    return record


def passed(limit: log_filters.RateLimited, *lines: logging.LogRecord) -> list[bool]:
    return [bool(limit.filter(line)) for line in lines]


def told(notices: list[logging.LogRecord]) -> list[str]:
    return [notice.getMessage() for notice in notices]


def test_a_minute_lets_so_many_lines_of_a_kind_through() -> None:
    limit = log_filters.RateLimited(2)
    assert passed(limit, *(a_line(at=1000.0 + second) for second in range(4))) == [True, True, False, False]


def test_the_kind_is_the_template_whatever_its_arguments() -> None:
    limit = log_filters.RateLimited(1)
    assert passed(limit, a_line(args=("S1",)), a_line(args=("S2",))) == [True, False]


@pytest.mark.parametrize(
    "other", [{"name": "analysis_worker.y"}, {"message": "other"}, {"levelno": logging.WARNING}]
)
def test_another_logger_template_or_level_is_another_kind(other: dict[str, Any]) -> None:
    limit = log_filters.RateLimited(1)
    assert passed(limit, a_line(), a_line(**other)) == [True, True]


def test_a_new_minute_lets_lines_through_again() -> None:
    limit = log_filters.RateLimited(1)
    assert passed(limit, a_line(at=1000), a_line(at=1059), a_line(at=1060)) == [True, False, True]


def test_what_was_suppressed_is_told_once_when_its_minute_is_over() -> None:
    limit = log_filters.RateLimited(1)
    passed(limit, *(a_line(at=1000 + second) for second in range(6)))
    assert limit.notices(1001) == []
    notices = limit.notices(1061)
    assert told(notices) == ["5 more lines in one minute suppressed, all like: no luck with %s"]
    assert (notices[0].name, notices[0].levelname) == ("analysis_worker.x", "ERROR")
    assert limit.notices(1200) == []


def test_a_line_of_the_next_minute_brings_the_count_of_the_last() -> None:
    limit = log_filters.RateLimited(1)
    passed(limit, a_line(at=1000), a_line(at=1001), a_line(at=1070))
    assert told(limit.notices(1070)) == ["1 more lines in one minute suppressed, all like: no luck with %s"]


def test_lines_within_the_limit_bring_no_notice() -> None:
    limit = log_filters.RateLimited(3)
    passed(limit, a_line(), a_line())
    assert limit.notices() == []


def test_at_the_end_every_count_is_told() -> None:
    limit = log_filters.RateLimited(1)
    passed(limit, a_line(), a_line(), a_line("other"), a_line("other"))
    assert len(limit.notices()) == 2


def test_lines_asked_for_at_debug_are_never_suppressed() -> None:
    limit = log_filters.RateLimited(1)
    assert passed(limit, *(a_line(levelno=logging.DEBUG) for _ in range(3))) == [True] * 3


def test_a_clock_set_back_begins_a_new_minute() -> None:
    limit = log_filters.RateLimited(1)
    assert passed(limit, a_line(at=5000), a_line(at=1000)) == [True, True]


def test_messages_that_are_all_different_fill_no_memory() -> None:
    limit = log_filters.RateLimited(1)
    passed(limit, *(a_line(f"line {number}") for number in range(10_500)))
    assert len(limit._windows) <= 10_000


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("password=hunter2, user=x", "password=***, user=x"),
        ("{'sasl_plain_password': 'hun\\'ter2', 'a': 1}", "{'sasl_plain_password': ***, 'a': 1}"),
        ('{"token": "abc"}', '{"token": ***}'),
        ('{"password": 12345}', '{"password": ***}'),
        ("Security(password='hunter2', port=1)", "Security(password=***, port=1)"),
        ("ssl_password: hunter2\nuser: x", "ssl_password: ***\nuser: x"),
        ("{'client_secret': b'ab'}", "{'client_secret': ***}"),
        ("SASL_OAUTH_TOKEN=abc", "SASL_OAUTH_TOKEN=***"),
        ("Authorization: Bearer eyJhbGciOi.J9", "Authorization: Bearer ***"),
        ("kafka://user:hunter2@host:9092", "kafka://user:***@host:9092"),
        ('jaas required username="u" password="p w";', 'jaas required username="u" password=***;'),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
            "-----BEGIN RSA PRIVATE KEY-----*** RSA PRIVATE KEY-----",
        ),
        ("api_key = k1 and more", "api_key = *** and more"),
    ],
)
def test_a_secret_is_blotted_out(text: str, safe: str) -> None:
    assert log_filters.redacted(text) == safe


@pytest.mark.parametrize(
    "text",
    [
        "spec.kafka.security.password: neither file nor env; give one",
        "unexpected token at column 5",
        "bearer authentication failed",
        "{'password': {'file': '/run/secret'}}",
        "http://host:8001/livez answered after 5 s",
        "站点 S1 的回调失败",
    ],
)
def test_prose_about_secrets_stays(text: str) -> None:
    assert log_filters.redacted(text) == text


@pytest.mark.parametrize("piece", ["token=", "password: ", "token: \\", 'secret="', "Bearer ", "a://"])
def test_a_long_hostile_text_is_read_in_time_that_grows_with_its_length(piece: str) -> None:
    def seconds(count: int) -> float:
        started = time.process_time()
        log_filters.redacted(piece * count)
        return time.process_time() - started

    seconds(10)
    assert seconds(20_000) < 100 * max(seconds(1_000), 0.001)


def test_a_secret_in_the_arguments_is_blotted_out() -> None:
    line = a_line("config %s", args=({"password": "hunter2"},))
    assert log_filters.Redaction().filter(line)
    assert line.getMessage() == "config {'password': ***}"


def test_a_line_without_a_secret_keeps_its_template() -> None:
    line = a_line()
    log_filters.Redaction().filter(line)
    assert (line.msg, line.args) == ("no luck with %s", ("S1",))


def test_a_secret_in_a_traceback_is_blotted_out() -> None:
    try:
        raise ValueError("password=hunter2")
    except ValueError:
        line = a_line(exc_info=sys.exc_info())
    log_filters.Redaction().filter(line)
    written = logging.Formatter().format(line)
    assert "hunter2" not in written
    assert written.endswith("ValueError: password=***")
