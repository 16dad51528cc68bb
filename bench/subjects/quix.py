"""Quix Streams: `apply`, `apply -> to_topic`, a tumbling mean and a sliding count window.

Set for speed as far as its documentation goes: its JSON (de)serialisers are orjson by default; librdkafka
fetches ahead; the checkpoint interval stays at 5 s; `use_changelog_topics` is off, so that Quix keeps no
copy of its state in Kafka and pays nothing for one. A record counts as done when Quix says so
(`on_message_processed`); outputs when the producer is flushed at the end of the run.
"""

from typing import Any

from quixstreams import Application
from quixstreams.dataframe.windows import Mean

from bench.subjects import measuring

WINDOW = 10
VARIANTS = ("apply", "to_topic", "tumbling", "sliding_count")


def latest(value: dict[str, Any]) -> dict[str, Any]:
    """The stateless work: two fields of the record."""
    return {"soc": value["currentSOC"], "demandCurrent": value["demandCurrent"]}


def application(job: measuring.Job, span: measuring.Span) -> Application:
    """The application without its work: it stops by itself after the job's records."""
    app = Application(
        broker_address=job.bootstrap,
        consumer_group=job.group,
        auto_offset_reset="earliest",
        use_changelog_topics=False,
        state_dir=job.scratch,
        producer_extra_config={"linger.ms": 5},
        loglevel="WARNING",
        on_message_processed=lambda topic, partition, offset: span.tick(),
    )
    span.on_last = app.stop
    return app


def build(app: Application, job: measuring.Job) -> None:
    """The work of the job's variant; raises ValueError for one that is not here."""
    frame = app.dataframe(app.topic(job.topic, value_deserializer="json"))
    if job.variant == "apply":
        frame.apply(latest)
    elif job.variant == "to_topic":
        frame.apply(latest).to_topic(app.topic(job.output_topic, value_serializer="json"))
    elif job.variant == "tumbling":
        # Ten records of a station, which sends one a second; `current` answers every record, as ours does.
        frame.tumbling_window(duration_ms=WINDOW * 1000).agg(mean=Mean("demandCurrent")).current()
    elif job.variant == "sliding_count":
        frame.sliding_count_window(count=WINDOW).agg(mean=Mean("demandCurrent")).current()
    else:
        raise ValueError(f"variant {job.variant!r} is unknown; give one of {', '.join(VARIANTS)}")


def measure(job: measuring.Job) -> measuring.Span:
    """Run until the job's records are processed and, where there are outputs, acknowledged."""
    span = measuring.Span(job.records)
    app = application(job, span)
    build(app, job)
    app.run()
    if job.variant == "to_topic":
        span.end()
    return span


if __name__ == "__main__":
    measuring.report(measure(measuring.job()).figures())
