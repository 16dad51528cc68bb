"""Records from a JSONL file: one object a line, `{"topic", "key", "value", "timestamp"}`.

`value` is an object, a list or a text (sent as it stands), or null; `key` is a text or null; `timestamp` is
epoch milliseconds, and may be left out for "with the line before".
"""

import json
import pathlib
from collections.abc import Iterator
from typing import Any

from analysis_worker import simulation

_FIELDS = {"topic", "key", "value", "timestamp"}


class BadLine(ValueError):
    """A line that is no record: names the file, the line, what was wrong and the mend."""


def records(path: pathlib.Path) -> Iterator[tuple[simulation.SimulatedRecord, int]]:
    """Each record with the bytes of the file read by then; raises BadLine, and OSError for the file."""
    timestamp_ms, read = 0, 0
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            read += len(line)
            if line.strip():
                record = _record(line, f"{path}, line {number}", timestamp_ms)
                timestamp_ms = record.timestamp_ms
                yield record, read


def _record(line: bytes, where: str, timestamp_ms: int) -> simulation.SimulatedRecord:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadLine(f"{where}: it is not JSON: {error}; give one object a line") from error
    if not isinstance(document, dict):
        raise BadLine(f"{where}: it is not an object; give topic, key, value, timestamp")
    if unknown := sorted(document.keys() - _FIELDS):
        raise BadLine(f"{where}: {unknown[0]} is not known; the fields are topic, key, value, timestamp")
    topic, key = document.get("topic"), document.get("key")
    if not isinstance(topic, str) or not topic:
        raise BadLine(f"{where}: topic is missing or no text; name the topic")
    if key is not None and not isinstance(key, str):
        raise BadLine(f"{where}: key is no text; give a text or null")
    moment = document.get("timestamp", timestamp_ms)
    if isinstance(moment, bool) or not isinstance(moment, int | float) or moment < 0:
        raise BadLine(f"{where}: timestamp is no number of milliseconds; give epoch milliseconds")
    encoded_key = None if key is None else key.encode()
    return simulation.SimulatedRecord(topic, encoded_key, _value(document.get("value")), int(moment))


def _value(value: Any) -> bytes | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")
