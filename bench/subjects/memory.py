"""What a record of a full window of 604,800 takes in memory, 15 fields of it, counted and weighed.

A window's buffer is a seventh longer than the window, so it is looked at twice: when the window has just
become full, and when the buffer has, just before the newest records move on to a fresh one. The figure is
the largest of all: what the engine counts, or what the process has grown by.
"""

import ctypes
import gc
import itertools
import sys
from collections.abc import Iterator
from typing import Any

from analysis_worker.engine import segments
from analysis_worker.observability import metrics
from bench import records
from bench.subjects import in_process, measuring

WINDOW = 604_800
QUICK_WINDOW = 20_000
STATIONS = 2
_BATCH = 20_000


def measure(window: int) -> dict[str, Any]:
    """Bytes per record, counted by the engine and by resident memory, at both moments."""
    _fill(_pipeline(QUICK_WINDOW), records.orders(STATIONS * QUICK_WINDOW, stations=STATIONS, extended=True))
    pipeline = _pipeline(window)
    before = _resident_bytes()
    spare = segments.capacity_for(window) - window - segments.BLOCK_ROWS
    stream = records.orders(STATIONS * (window + spare), stations=STATIONS, extended=True)
    figures: dict[str, Any] = {"window": window, "fields": len(records.ALL_FIELDS)}
    for moment, count in (("window_full", STATIONS * window), ("buffer_full", STATIONS * spare)):
        _fill(pipeline, itertools.islice(stream, count))
        kept = STATIONS * window
        figures[f"{moment}_counted"] = pipeline.engine.window_bytes() / kept
        figures[f"{moment}_resident"] = (_resident_bytes() - before) / kept
    figures["bytes_per_record"] = max(v for k, v in figures.items() if k.endswith(("_counted", "_resident")))
    return figures


def _pipeline(window: int) -> in_process.Pipeline:
    return in_process.Pipeline(window, records.ALL_FIELDS, lambda station_id, module_input: None)


def _fill(pipeline: in_process.Pipeline, stream: Iterator[records.Order]) -> None:
    while batch := list(itertools.islice(stream, _BATCH)):
        pipeline.fill(pipeline.fetched(batch))


def _resident_bytes() -> float:
    """Resident memory, after giving back to the system what is free."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)
    return (metrics.resident_megabytes() or 0.0) * 2**20


if __name__ == "__main__":
    measuring.report(measure(QUICK_WINDOW if measuring.job().variant == "quick" else WINDOW))
