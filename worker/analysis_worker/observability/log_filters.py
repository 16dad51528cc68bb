"""What keeps a log short and safe: a limit on repeated lines, and secrets blotted out."""

import logging
import re
import traceback
from typing import Final

MOST_A_MINUTE: Final = 30
_MINUTE: Final = 60.0
_MOST_KINDS: Final = 10_000

_Kind = tuple[str, int, str]


class _Window:
    """The lines of one kind in the minute that began with the first of them."""

    __slots__ = ("lines", "since")

    def __init__(self, since: float) -> None:
        self.since = since
        self.lines = 0

    def over(self, now: float) -> bool:
        """Whether the minute has passed, or the clock was set back."""
        return not self.since <= now < self.since + _MINUTE


class RateLimited(logging.Filter):
    """Lets at most `most` lines a minute through of one logger, level and message template.

    The rest is suppressed and counted; `notices` tells the counts once the minute is over. Lines at DEBUG
    are asked for line by line, and never suppressed. The time is that of the records.
    """

    def __init__(self, most: int = MOST_A_MINUTE) -> None:
        super().__init__()
        self._most = most
        self._windows: dict[_Kind, _Window] = {}
        self._told: list[logging.LogRecord] = []
        self._swept = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether this line is written."""
        if record.levelno <= logging.DEBUG:
            return True
        kind = (record.name, record.levelno, str(record.msg))
        window = self._windows.get(kind)
        if window is None or window.over(record.created):
            self._close(kind)
            if len(self._windows) >= _MOST_KINDS:
                self._sweep(None)
            window = self._windows[kind] = _Window(record.created)
        window.lines += 1
        return window.lines <= self._most

    def notices(self, now: float | None = None) -> list[logging.LogRecord]:
        """One line for each kind that was suppressed in a minute that is over; all kinds without `now`."""
        if now is None or not 0 <= now - self._swept < _MINUTE:
            self._sweep(now)
        told, self._told = self._told, []
        return told

    def _sweep(self, now: float | None) -> None:
        self._swept = now if now is not None else self._swept
        for kind in [kind for kind, window in self._windows.items() if now is None or window.over(now)]:
            self._close(kind)

    def _close(self, kind: _Kind) -> None:
        window = self._windows.pop(kind, None)
        if window is None or window.lines <= self._most:
            return
        name, level, template = kind
        fact = {"name": name, "levelno": level, "levelname": logging.getLevelName(level)}
        count = window.lines - self._most
        text = {"msg": "%d more lines in one minute suppressed, all like: %s", "args": (count, template)}
        self._told.append(logging.makeLogRecord({**fact, **text}))


BLOT: Final = "***"

_KEYS: Final = (
    *("password", "passwd", "passphrase", "secret", "token", "credential", "credentials"),
    *("api_key", "apikey", "api-key", "access_key", "secret_key", "private_key", "authorization"),
)
_KEY: Final = f"(?:{'|'.join(_KEYS)})"
_QUOTED: Final = r"""[bB]?(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')"""
_BARE: Final = r"(?![{\[])[^\s,;&)\]}]++"
_PATTERNS: Final[tuple[tuple[tuple[str, ...], re.Pattern[str]], ...]] = (
    # key=value, whatever the key's quotes.
    (_KEYS, re.compile(rf"""({_KEY}\\?["']?\s{{0,4}}=\s{{0,4}})(?:{_QUOTED}|{_BARE})""", re.I)),
    # "key": value
    (_KEYS, re.compile(rf"""({_KEY}\\?["']\s{{0,4}}:\s{{0,4}})(?:{_QUOTED}|{_BARE})""", re.I)),
    # key: value of YAML, which ends its line; else prose such as "password: give one" would lose words.
    (
        _KEYS,
        re.compile(
            rf"({_KEY}[ \t]{{0,4}}:[ \t]{{0,4}})(?:{_QUOTED}|[^\s,;]{{1,2000}}+(?=\s*$))", re.I | re.M
        ),
    ),
    # The header Authorization; what has no digit is prose.
    (
        ("bearer", "basic"),
        re.compile(r"(\b(?:Bearer|Basic)\s{1,4})(?=[\w.~+/-]*\d)[\w.~+/=-]{8,}", re.I),
    ),
    # scheme://user:password@host
    (("://",), re.compile(r"(\w://[^\s/:@]{0,200}:)[^\s/@]{1,500}(?=@)")),
    (
        ("private key",),
        re.compile(r"(-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----).*?(?:-----END|\Z)", re.DOTALL),
    ),
)
"""What begins a secret, in lower case, and the pattern whose group 1 is what stays of it."""


def redacted(text: str) -> str:
    """The text with the values of secrets blotted out.

    Known by their keys (password, token and others, also as the end of a longer key such as
    sasl_plain_password), as credentials in a URL or an HTTP header, or as a PEM private key.
    """
    lowered = text.lower()  # thirty times as quick as the patterns, on the many lines that hold none
    for beginnings, pattern in _PATTERNS:
        if any(beginning in lowered for beginning in beginnings):
            text = pattern.sub(rf"\1{BLOT}", text)
    return text


class Redaction(logging.Filter):
    """Blots secrets out of a line's message and traceback, for every handler that comes after."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always true: the line is written, changed where it must be."""
        message = record.getMessage()
        safe = redacted(message)
        if safe != message:
            record.msg, record.args = safe, None
        if record.exc_info and record.exc_info[0] is not None and not record.exc_text:
            trace = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
            record.exc_text = redacted(trace)
        return True
