"""What the subjects share: their command line, the span that is measured, and the line that they print."""

import argparse
import dataclasses
import gc
import json
import sys
import time
from collections.abc import Callable
from typing import Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """What a subject is to do.

    Read exactly `records` records of `topic` from its beginning, in the consumer group `group`; write, if it
    writes at all, to `output_topic`; keep files, if any, in the directory `scratch`.
    """

    bootstrap: str
    topic: str
    output_topic: str
    records: int
    group: str
    scratch: str
    variant: str


class Span:
    """Wall clock and process CPU from the first record in user code to the end of the last one.

    A subject that is done with a record when its function returns only ticks; one that waits for
    acknowledgements calls `end` itself.
    """

    __slots__ = ("_begun", "_ended", "count", "on_last", "records")

    def __init__(self, records: int = 0) -> None:
        self.records = records
        self.count = 0
        self.on_last: Callable[[], Any] = _nothing
        self._begun = (0.0, 0.0)
        self._ended = (0.0, 0.0)

    def begin(self) -> None:
        """The first record is here."""
        self._begun = (time.perf_counter(), time.process_time())

    def end(self) -> None:
        """The last record is done; a later end counts."""
        self._ended = (time.perf_counter(), time.process_time())

    def tick(self) -> None:
        """One record is in user code: the first begins the span, the last ends it and calls `on_last`."""
        self.count = count = self.count + 1
        if count == 1:
            self.begin()
        if count == self.records:
            self.end()
            self.on_last()

    def figures(self) -> dict[str, float]:
        """`records`, `seconds` of wall clock and `cpu_seconds`; raises ValueError before the end."""
        if self.count < self.records or not self._ended[0]:
            raise ValueError(f"only {self.count} of {self.records} records came")
        seconds, cpu_seconds = (
            after - before for before, after in zip(self._begun, self._ended, strict=True)
        )
        return {"records": self.records, "seconds": seconds, "cpu_seconds": cpu_seconds}


def _nothing() -> None:
    """Nobody waits for the last record."""


def job() -> Job:
    """The job on the command line; every subject also gets the collector setting of our own command."""
    # `analysis-worker run` sets this; the peers and the ceiling shall gain by it just as much.
    gc.set_threshold(50_000, 20, 100)
    parser = argparse.ArgumentParser(description="One subject of the benchmark; started by bench.run.")
    for field in dataclasses.fields(Job):
        kind = int if field.type in (int, "int") else str
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=kind, required=True)
    return Job(**vars(parser.parse_args()))


def report(figures: dict[str, Any]) -> None:
    """Print the subject's one line."""
    sys.stdout.write("\n" + json.dumps(figures) + "\n")
    sys.stdout.flush()
