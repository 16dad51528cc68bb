"""The worker's log: where lines go, from which level on, and in which form.

Importing this touches nothing; `configure` gives the loggers `analysis_worker` and `d_a` one handler, which
limits, redacts and passes lines to the console and a rotating file. The root logger is never touched.

A program that has given the root logger handlers of its own already shows our lines there: then they go on
to it, and `configure` adds only the file. Otherwise they do not go on, so that a callback which calls
`logging.basicConfig` later doubles no line. Lines that go on are redacted, but not limited.
"""

import errno
import logging
import logging.handlers
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, TextIO

from analysis_module import names
from analysis_worker.observability import log_filters, log_lines

LOGGERS: Final = ("analysis_worker", "d_a")
CLIENT_LOGGERS: Final = ("aiokafka", "kafka")
"""The Kafka clients' own: only their warnings and errors are let through, limited like ours."""
LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
DEFAULT_FILE: Final = "data_analysis.log"
"""The deployment guide's file, in the working directory; for the programs that keep to it."""

ENV_FORMAT: Final = "DATA_ANALYSIS_LOG_FORMAT"

_log = logging.getLogger(__name__)

_MENDS: Final = {
    errno.ENOENT: "create its directory",
    errno.EISDIR: "give a file, this is a directory",
    errno.ENOTDIR: "give a path whose parents are directories",
    errno.EACCES: "make it writable for this user",
    errno.EPERM: "make it writable for this user",
}


class LogError(ValueError):
    """A log setting that cannot be followed; the message names it and the mend."""


class Chosen(NamedTuple):
    """What a program is told of its log."""

    file: str | None = None
    level: str = "INFO"
    fmt: str = "text"


UNTOLD: Final = Chosen()


def from_environment(environment: Mapping[str, str], default: Chosen = UNTOLD) -> Chosen:
    """What DATA_ANALYSIS_LOG, LOG_LEVEL and DATA_ANALYSIS_LOG_FORMAT say; an empty one counts as absent."""
    return Chosen(
        environment.get(names.ENV_LOG_FILE) or default.file,
        environment.get(names.ENV_LOG_LEVEL) or default.level,
        environment.get(ENV_FORMAT) or default.fmt,
    )


def configure(
    log_file: str | Path | None = None,
    level: str = "INFO",
    fmt: str = "text",
    *,
    max_bytes: int = 10 * 2**20,
    backups: int = 5,
    stream: TextIO | None = None,
) -> None:
    """Write to the console (`stream`, else standard error) and to `log_file`, from `level` on.

    The file is UTF-8 and rotates at `max_bytes`, with `backups` older ones kept; it belongs to one
    process. On a read-only file system there is none, and one warning says so. A second call replaces
    what the first set up. Raises LogError for an unknown level or form, and a file that cannot be opened.
    """
    number = _level_number(level)
    constants: dict[str, Any] = {}
    formatter = _formatter(fmt, constants)
    hosted = bool(logging.getLogger().handlers)
    targets: list[logging.Handler] = [] if hosted else [logging.StreamHandler(stream or sys.stderr)]
    file = None if log_file is None else _file_handler(Path(log_file), max_bytes, backups)
    if file is not None:
        targets.append(file)
    for target in targets:
        target.setFormatter(formatter)
    _install(_Outlet(targets, constants), number, propagate=hosted)
    if log_file is not None and file is None:
        wrong = "the log file %s is on a read-only file system: lines go to the console only; mount a volume"
        _log.warning(f"{wrong} there, or name another file in {names.ENV_LOG_FILE}", log_file)


def set_level(level: str) -> None:
    """Write from this level on, from now; raises LogError if it is unknown."""
    number = _level_number(level)
    for name in LOGGERS:
        logging.getLogger(name).setLevel(number)


def identify(*, module: str | None, shard: int | None) -> None:
    """Give every JSON line from now the module and shard, unless the call gives its own; None: neither."""
    known = {name: value for name, value in (("module", module), ("shard", shard)) if value is not None}
    for outlet in _outlets():
        outlet.constants.clear()
        outlet.constants.update(known)


def release() -> None:
    """Undo `configure`: tell what was suppressed, close the file, leave the loggers as they were."""
    for outlet in _outlets():
        for name in (*LOGGERS, *CLIENT_LOGGERS):
            logging.getLogger(name).removeHandler(outlet)
        outlet.close()
    for name in (*LOGGERS, *CLIENT_LOGGERS):
        logger = logging.getLogger(name)
        logger.propagate = True
        logger.setLevel(logging.NOTSET)


class _Outlet(logging.Handler):
    """The one handler on our loggers: each line is judged once, then goes to every target."""

    def __init__(self, targets: list[logging.Handler], constants: dict[str, Any]) -> None:
        super().__init__()
        self.constants = constants
        self._targets = targets
        self._limit = log_filters.RateLimited()
        self._redaction = log_filters.Redaction()

    def filter(self, record: logging.LogRecord) -> bool:
        """Judge a line by its template, then redact it: a suppressed one may go on to the root logger."""
        written = self._limit.filter(record)
        self._redaction.filter(record)
        return written

    def emit(self, record: logging.LogRecord) -> None:
        """Pass the line on, after what is to be told of suppressed ones."""
        self._tell(self._limit.notices(record.created))
        self._pass(record)

    def _tell(self, notices: Iterable[logging.LogRecord]) -> None:
        for notice in notices:
            self._redaction.filter(notice)
            self._pass(notice)

    def _pass(self, record: logging.LogRecord) -> None:
        for target in self._targets:
            target.handle(record)

    def close(self) -> None:
        """Tell what was suppressed and close the targets; standard error stays open."""
        self._tell(self._limit.notices())
        targets, self._targets = self._targets, []
        for target in targets:
            target.close()
        super().close()


def _outlets() -> list[_Outlet]:
    handlers = [handler for name in LOGGERS for handler in logging.getLogger(name).handlers]
    return list(dict.fromkeys(handler for handler in handlers if isinstance(handler, _Outlet)))


def _install(outlet: _Outlet, level: int, *, propagate: bool) -> None:
    release()
    for name in (*LOGGERS, *CLIENT_LOGGERS):
        logger = logging.getLogger(name)
        logger.addHandler(outlet)
        logger.propagate = propagate
        logger.setLevel(level if name in LOGGERS else max(level, logging.WARNING))


def _level_number(level: str) -> int:
    known = level.strip().upper() if isinstance(level, str) else ""
    if known not in LEVELS:
        raise LogError(f"the log level {level!r} is unknown: give one of {', '.join(LEVELS)}")
    return logging.getLevelNamesMapping()[known]


def _formatter(fmt: str, constants: Mapping[str, Any]) -> logging.Formatter:
    known = fmt.strip().lower() if isinstance(fmt, str) else ""
    if known == "text":
        return log_lines.text_lines()
    if known == "json":
        return log_lines.JsonLines(constants)
    raise LogError(f"the log format {fmt!r} is unknown: give text or json")


def _file_handler(path: Path, max_bytes: int, backups: int) -> logging.Handler | None:
    """The file's handler, None on a read-only file system; raises LogError."""
    try:
        # A lone surrogate, as a hostile id may hold, must not cost the line.
        return logging.handlers.RotatingFileHandler(
            path, maxBytes=max_bytes, backupCount=backups, encoding="utf-8", errors="backslashreplace"
        )
    except OSError as error:
        if (problem := problem_with_file(path, error)) is None:
            return None
        raise problem from error


def problem_with_file(path: Path, error: OSError) -> LogError | None:
    """What a user is to be told of a log file that could not be opened; None if the console will do."""
    if error.errno == errno.EROFS:  # a container's root, as it should be
        return None
    mend = _MENDS.get(error.errno or 0, f"{error.strerror}; name another file")
    return LogError(f"the log file {path} cannot be opened: {mend}, or set {names.ENV_LOG_FILE} to another")
