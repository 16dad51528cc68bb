"""`analysis-worker replay`: real charging sessions, or the records of a file, sent to Kafka as they were."""

import argparse
import collections
import datetime
import itertools
import pathlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from analysis_worker import simulation
from analysis_worker.commands import kafka_target, progress

if TYPE_CHECKING:
    pass

EXAMPLES = """examples:
  analysis-worker replay --data DIR --dry-run --limit 100000
  analysis-worker replay --data DIR --from 2019-06-01 --speedup 600 --bootstrap-servers kafka:9092
  analysis-worker replay --file records.jsonl --speedup 0 --kafka-from module.yaml

The data folder holds boulder-sessions.csv.gz, shenzhen-stations.csv and shenzhen-weather.csv. A line of a
file is {"topic": ..., "key": ..., "value": ..., "timestamp": epoch ms}.

exit codes: 0 ended, or stopped when told to; 1 some records were not taken by Kafka; 2 an option, the data
or the manifest is wrong; 3 Kafka was not reached
"""

Read = tuple[simulation.SimulatedRecord, float]
"""A record, and how much of the total is read by then."""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "replay",
        help="send recorded data",
        description="Send real charging sessions, or the records of a file, in their order and rhythm.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", type=pathlib.Path, metavar="DIR", help="the folder of the real data")
    source.add_argument("--file", type=pathlib.Path, metavar="FILE.jsonl", help="a record a line")
    kafka_target.add_arguments(parser, instead="--dry-run", help="count and show records, send nothing")
    parser.add_argument(
        "--speedup", type=float, default=60.0, help="times as fast as it was (default 60); 0: at full speed"
    )
    parser.add_argument(
        "--from",
        dest="begin",
        type=_moment,
        metavar="TIME",
        help="leave out what was before, as 2019-06-01T08:00",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="end after so many records")
    parser.add_argument(
        "--order-period", type=int, default=60, metavar="SECONDS", help="of --data: between a car's records"
    )
    parser.add_argument(
        "--keep-timestamps",
        action="store_true",
        help="send the records' own times; a topic's retention may delete old ones at once",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Send all that was asked for, or until told to stop; the exit code."""
    return kafka_target.exit_code(lambda: _run(arguments))


def _moment(text: str) -> int:
    """A date or time in ISO form, UTC unless it says otherwise, as epoch ms."""
    moment = datetime.datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp() * 1000)


def _run(arguments: argparse.Namespace) -> int:
    for name, least in (("speedup", 0), ("limit", 1), ("order_period", 1), ("partitions", 1)):
        value = getattr(arguments, name)
        if value is not None and not value >= least:
            raise ValueError(f"--{name.replace('_', '-')}: {value:g} is too small; give {least} or more")
    records, total = _source(arguments)
    records = _chosen(records, arguments)
    if arguments.limit is not None:
        total = arguments.limit
    return _rehearse(records, total) if arguments.dry_run else _send(records, total, arguments)


def _source(arguments: argparse.Namespace) -> tuple[Iterator[Read], float | None]:
    """Records with how far the source is read, and its whole if it is known: a file's bytes."""
    from analysis_worker.simulation import recorded, sessions_data

    if arguments.file is not None:
        return recorded.records(arguments.file), arguments.file.stat().st_size
    replayed = sessions_data.records(arguments.data, order_period_s=arguments.order_period)
    return ((record, 0.0) for record in replayed), None


def _chosen(records: Iterator[Read], arguments: argparse.Namespace) -> Iterator[Read]:
    if arguments.begin is not None:
        begin = arguments.begin
        records = itertools.dropwhile(lambda read: read[0].timestamp_ms < begin, records)
    if arguments.limit is None:
        return records
    limited = itertools.islice(records, arguments.limit)
    return ((record, float(count)) for count, (record, _) in enumerate(limited, start=1))


def _rehearse(records: Iterator[Read], total: float | None) -> int:
    topics: collections.Counter[str] = collections.Counter()
    size = 0
    first = last = None
    with progress.Progress("reading", total=total, unit="records") as shown:
        for record, done in records:
            first, last = first or record, record
            topics[record.topic] += 1
            size += len(record.value or b"")
            shown.advance(1, done=done, note=_day(record.timestamp_ms))
    for topic, count in sorted(topics.items()):
        print(f"{count:>12,}  {topic}")
    if first is None or last is None:
        print("no record")
    else:
        span = f"{_day(first.timestamp_ms)} to {_day(last.timestamp_ms)}"
        print(f"{topics.total():>12,}  records, {size:,} bytes, {span}; nothing was sent")
        print(f"the first: {(first.value or b'null').decode(errors='replace')[:300]}")
    return 0


def _send(records: Iterator[Read], total: float | None, arguments: argparse.Namespace) -> int:
    from analysis_worker.kafka import synchronous
    from analysis_worker.simulation import delivering, stopping

    stop = stopping.told_to_stop()
    first = next(records, None)
    if first is None:
        print("no record")
        return 0
    topics = simulation.TOPICS if arguments.data is not None else _topics_of(arguments)
    with kafka_target.connected(arguments, topics) as connection:
        delivery = delivering.Delivery(synchronous.producer(connection))
        with progress.Progress("replaying", total=total, unit="records") as shown:
            watched = _watched(itertools.chain([first], records), shown)
            schedule = delivering.replay_schedule(
                watched,
                start_ms=int(time.time() * 1000),
                speedup=arguments.speedup,
                keep_timestamps=arguments.keep_timestamps,
            )
            delivering.deliver(schedule, delivery, stop)
            delivery.close()
    print(f"{delivery.acknowledged:,} records sent in {shown.seconds:.1f} s")
    return kafka_target.told_failures(delivery)


def _watched(records: Iterator[Read], shown: progress.Progress) -> Iterator[simulation.SimulatedRecord]:
    for record, done in records:
        shown.advance(1, done=done, note=_day(record.timestamp_ms))
        yield record


def _topics_of(arguments: argparse.Namespace) -> list[str]:
    """The topics that a file names: they have to be there before the first record."""
    records, _ = _source(arguments)
    return list(dict.fromkeys(record.topic for record, _ in _chosen(records, arguments)))


def _day(timestamp_ms: int) -> str:
    return f"{datetime.datetime.fromtimestamp(timestamp_ms / 1000, datetime.UTC):%Y-%m-%d %H:%M}"
