"""Bytewax: a stateful map that keeps the last ten values of each station and answers with their mean.

Set for speed as far as its documentation goes: the Kafka source's batches of 1000, decoding and keying in
one `flat_map_batch` (one call per batch), no recovery store, one worker. The source reads the topic to its
end; records beyond the job's number pass through unmeasured.
"""

import collections
from collections.abc import Iterator

import orjson
from bytewax import operators
from bytewax.connectors.kafka import KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.run import cli_main

from bench.subjects import measuring

WINDOW = 10

Last = collections.deque[float]
Answer = tuple[float, float]


class _Nowhere(StatelessSinkPartition[tuple[str, Answer]]):  # type: ignore[misc]
    """Takes answers in batches and drops them."""

    def write_batch(self, items: list[tuple[str, Answer]]) -> None:
        """Drop them."""


class Nowhere(DynamicSink[tuple[str, Answer]]):  # type: ignore[misc]
    """A dataflow must end in a sink; this one costs one call per batch."""

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _Nowhere:
        """The only partition."""
        return _Nowhere()


def keyed(messages: list[KafkaSourceMessage]) -> Iterator[tuple[str, dict[str, float]]]:
    """Station id and record of each message of a batch."""
    for message in messages:
        record = orjson.loads(message.value)
        yield record["stationId"], record


def dataflow(job: measuring.Job, span: measuring.Span) -> Dataflow:
    """From Kafka to nowhere."""

    def mean(last: Last | None, record: dict[str, float]) -> tuple[Last, Answer]:
        span.tick()
        if last is None:
            last = collections.deque(maxlen=WINDOW)
        last.append(record["demandCurrent"])
        return last, (record["currentSOC"], sum(last) / len(last))

    flow = Dataflow("bench")
    source = KafkaSource(job.bootstrap.split(","), [job.topic], tail=False)
    messages = operators.input("orders", flow, source)
    records = operators.flat_map_batch("decode", messages, keyed)
    answers = operators.stateful_map("mean", records, mean)
    operators.output("nowhere", answers, Nowhere())
    return flow


def measure(job: measuring.Job) -> measuring.Span:
    """Run to the topic's end."""
    span = measuring.Span(job.records)
    cli_main(dataflow(job, span))
    return span


if __name__ == "__main__":
    measuring.report(measure(measuring.job()).figures())
