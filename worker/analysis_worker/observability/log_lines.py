"""How a line of the log is written: the deployment guide's text, or one JSON object a line."""

import datetime
import json
import logging
from collections.abc import Mapping
from typing import Any, Final

TEXT: Final = "[%(asctime)s] %(levelname)s %(name)s %(message)s"

FIELDS: Final = (
    *("shard", "station_id", "topic", "partition", "offset"),
    *("processing_time", "error_type"),
)
"""What a call may give by `extra`, besides `analysis_module`; `processing_time` is in seconds."""


def text_lines() -> logging.Formatter:
    """Lines as `[time] LEVEL name message`, in local time."""
    return logging.Formatter(TEXT)


class JsonLines(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, and whatever fields are known.

    `constants` are fields that every line has unless the call gives its own. The key `module` is the
    analysis module; a call gives it as `analysis_module`, because logging keeps `module` for itself.
    """

    def __init__(self, constants: Mapping[str, Any]) -> None:
        super().__init__()
        self._constants = constants

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        time = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line: dict[str, Any] = {
            "time": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **self._constants,
        }
        given = vars(record)
        line.update({name: given[name] for name in FIELDS if given.get(name) is not None})
        if given.get("analysis_module") is not None:
            line["module"] = given["analysis_module"]
        self._add_exception(line, record)
        return json.dumps(line, ensure_ascii=False, default=str)

    def _add_exception(self, line: dict[str, Any], record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[0] is not None:
            line.setdefault("error_type", record.exc_info[0].__name__)
            line["exception"] = record.exc_text or self.formatException(record.exc_info)
