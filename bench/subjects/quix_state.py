"""Quix Streams: the newest records of each station, kept in its state and recovered from the changelog.

Each record is a value of its own in the state, at its number modulo the window: one record of the changelog
for each, the least that a window of which every value can be read takes (a list in one value would be written
anew with every record; a sliding window keeps and expires more). Everything else is as its documentation
has it by default: RocksDB, a checkpoint every 5 s, changelog topics.

`build` reads the job's records; `recover` starts without a state directory in the same group and ends after
the first record: `first_at` is when that was through, in seconds since the epoch.
"""

import time
from typing import Any

from quixstreams import Application, State

from bench.subjects import measuring


def application(job: measuring.Job, span: measuring.Span) -> Application:
    """The application without its work; its state is below the job's `scratch`."""
    app = Application(
        broker_address=job.bootstrap,
        consumer_group=job.group,
        auto_offset_reset="earliest",
        state_dir=job.scratch,
        producer_extra_config={"linger.ms": 5},
        loglevel="WARNING",
        on_message_processed=lambda topic, partition, offset: span.tick(),
    )
    span.on_last = app.stop
    return app


def build(app: Application, job: measuring.Job, window: int) -> None:
    """A ring of `window` records in each station's state."""

    def keep(record: dict[str, Any], state: State) -> None:
        number = state.get("number", 0)
        state.set("number", number + 1)
        state.set(str(number % window), [record["gridVoltage"], record["gridCurrent"]])

    app.dataframe(app.topic(job.topic, value_deserializer="json")).update(keep, stateful=True)


def measure(job: measuring.Job) -> dict[str, float]:
    """Run until the job's records are processed; the span's figures and when the last one was through."""
    variant, _, window = job.variant.partition(":")
    span = measuring.Span(job.records if variant == "build" else 1)
    app = application(job, span)
    stop, ended = span.on_last, []

    def on_last() -> None:
        ended.append(time.time())
        stop()

    span.on_last = on_last
    build(app, job, int(window))
    app.run()
    return {**span.figures(), "first_at": ended[0]}


if __name__ == "__main__":
    measuring.report(measure(measuring.job()))
