"""What a record costs at a window of 604,800 records and at one of 10: same path, same callback, by turns.

Both windows are full before anything is measured. A turn takes as many records as the large window takes
before its newest records are copied into a fresh buffer, so each turn pays for that copy exactly once.
"""

import itertools
import statistics
from collections.abc import Iterator
from typing import Any

from analysis_worker.engine import segments
from bench import records
from bench.subjects import in_process, measuring

SMALL = 10
LARGE = 604_800
QUICK_LARGE = 6_048
STATIONS = 2
TURNS = 3
_BATCH = 20_000


def read_one_window(station_id: str, module_input: dict[str, Any]) -> None:
    """The oldest and the newest value of one window, and the window as an array."""
    window = module_input["demandCurrent_window"]
    _ = window[-1] - window[0]
    window.numpy()


def measure(large: int) -> dict[str, Any]:
    """CPU seconds per record at both sizes, one figure per turn, and the ratio of their medians."""
    pipelines = [in_process.Pipeline(size, records.FIELDS, read_one_window) for size in (SMALL, large)]
    cycle = STATIONS * (segments.capacity_for(large) - large)
    stream = records.orders(STATIONS * large + (TURNS + 1) * cycle, stations=STATIONS)
    for batch in _batches(itertools.islice(stream, STATIONS * large)):
        for pipeline in pipelines:
            pipeline.fill(pipeline.fetched(batch))
    turns: list[list[float]] = [[], []]
    for _ in range(TURNS + 1):
        spent = [0.0, 0.0]
        for batch in _batches(itertools.islice(stream, cycle)):
            for index, pipeline in enumerate(pipelines):
                spent[index] += pipeline.run(pipeline.fetched(batch))
        for index, seconds in enumerate(spent):
            turns[index].append(seconds / cycle)
    small_turns, large_turns = turns[0][1:], turns[1][1:]  # the first turn warms both up
    return {
        "small_window": SMALL,
        "large_window": large,
        "records_per_turn": cycle,
        "small_cpu_seconds_per_record": small_turns,
        "large_cpu_seconds_per_record": large_turns,
        "window_cost_ratio": statistics.median(large_turns) / statistics.median(small_turns),
    }


def _batches(stream: Iterator[records.Order]) -> Iterator[list[records.Order]]:
    while batch := list(itertools.islice(stream, _BATCH)):
        yield batch


if __name__ == "__main__":
    measuring.report(measure(QUICK_LARGE if measuring.job().variant == "quick" else LARGE))
