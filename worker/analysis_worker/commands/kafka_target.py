"""The options that say which Kafka a command feeds, and the connection they come to."""

import argparse
import contextlib
import dataclasses
import pathlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from analysis_module import errors, reading, spec
from analysis_worker.commands import documents
from analysis_worker.kafka import connecting

if TYPE_CHECKING:
    from analysis_worker.simulation import delivering

DEFAULT_PARTITIONS = 4


def add_arguments(
    parser: argparse.ArgumentParser, *, instead: str | None = None, help: str | None = None
) -> None:
    """Declare the options; one of them must be given, or the flag `instead` of all."""
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--bootstrap-servers", metavar="HOST:PORT,...", help="the brokers, without security")
    where.add_argument(
        "--kafka-from",
        type=pathlib.Path,
        metavar="MODULE.yaml",
        help="the brokers and the security of this manifest",
    )
    where.add_argument(
        "--embedded",
        action="store_true",
        help="a broker in memory that lasts as long as this command; its address is printed",
    )
    if instead is not None:
        where.add_argument(instead, action="store_true", help=help)
    parser.add_argument(
        "--partitions",
        type=int,
        default=DEFAULT_PARTITIONS,
        help="partitions of the topics that have to be created (default %(default)s)",
    )


@contextlib.contextmanager
def connected(arguments: argparse.Namespace, topics: Sequence[str]) -> Iterator[connecting.Connection]:
    """The connection that was asked for, with the topics there.

    Raises InvalidSpec, KafkaSettingsError, Unreachable, or BrokerUnavailable.
    """
    # Imported here, as in every command: no worker should pay at its start for what it does not use.
    from analysis_worker.kafka import synchronous
    from analysis_worker.simulation import embedded_broker

    with contextlib.ExitStack() as stack:
        if arguments.embedded:
            address = stack.enter_context(embedded_broker.running(topics))
            print(f"embedded broker at {address}", flush=True)
            connection = _plain(address)
        elif arguments.kafka_from is not None:
            content = documents.read_bytes(arguments.kafka_from)
            kafka = documents.module_spec_of(content, str(arguments.kafka_from)).kafka
            connection = connecting.connection_of(kafka, "")
        else:
            connection = _plain(arguments.bootstrap_servers)
        created = synchronous.ensure_topics(connection, topics, arguments.partitions)
        if created:
            print(f"created {len(created)} topics of {arguments.partitions} partitions: {', '.join(created)}")
        yield connection


def exit_code(work: Callable[[], int]) -> int:
    """Do the work of a command; what can go wrong with it becomes a message and 2, or 3 without Kafka."""
    from analysis_worker.kafka import synchronous
    from analysis_worker.simulation import embedded_broker

    try:
        return work()
    except synchronous.Unreachable as error:
        print(error, file=sys.stderr)
        return 3
    except (ValueError, OSError, embedded_broker.BrokerUnavailable) as error:
        print(error, file=sys.stderr)
        return 2


def told_failures(delivery: "delivering.Delivery") -> int:
    """Tell of the records that Kafka did not take; the exit code."""
    if not delivery.failed:
        return 0
    print(f"{delivery.failed:,} records were not taken, the first: {delivery.first_error}", file=sys.stderr)
    return 1


def at_servers(kafka: spec.Kafka, servers: str) -> spec.Kafka:
    """The same settings with other brokers, `host:port` with commas between; raises InvalidSpec."""
    document = {"module": "load_prediction", "kafka": {"bootstrapServers": servers}}
    try:
        read = reading.read_spec(document).kafka.bootstrap_servers
    except errors.InvalidSpec as error:
        named = [
            dataclasses.replace(problem, path=problem.path.removeprefix("spec.kafka."))
            for problem in error.problems
        ]
        raise errors.InvalidSpec(named) from error
    return dataclasses.replace(kafka, bootstrap_servers=read)


def _plain(servers: str) -> connecting.Connection:
    """A connection without security; raises InvalidSpec for what are no addresses."""
    return connecting.connection_of(at_servers(spec.Kafka(), servers), "")
