"""A Kafka broker without Java, for a first run and quick trials: librdkafka's in-process mock broker.

`python -m analysis_worker.simulation.embedded_broker` prints the address to connect to, and ends on SIGTERM,
on SIGINT, or with the process that started it. What it cannot do is written down in docs/embedded-broker.md;
above all it keeps everything in memory and forgets it when it ends.
"""

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator, Sequence

from analysis_worker.simulation import child_process, stopping

PARTITIONS = 4
"""What every topic of this broker has; it takes no other wish."""
_LOOK_FOR_PARENT_SECONDS = 0.5
_ANSWER_SECONDS = 10.0


class BrokerUnavailable(RuntimeError):
    """The embedded broker cannot run here; the message says the mend."""


@contextlib.contextmanager
def running(topics: Sequence[str] = ()) -> Iterator[str]:
    """Run a broker that has these topics in a process of its own; gives its address, as `host:port`.

    Raises BrokerUnavailable.
    """
    command = [sys.executable, "-m", "analysis_worker.simulation.embedded_broker"]
    with child_process.ChildProcess([*command, *topics]) as process:
        address = process.line()
        if not address:
            raise BrokerUnavailable("the embedded broker ended at once; what it wrote above says why")
        yield address


def main(argv: Sequence[str] | None = None) -> int:
    """Run the broker until told to end; 0, or 1 where it cannot run."""
    parser = argparse.ArgumentParser(
        prog="python -m analysis_worker.simulation.embedded_broker",
        description="Run a Kafka broker in memory and print its address; it ends with its parent.",
    )
    parser.add_argument(
        "topics", nargs="*", metavar="TOPIC", help=f"a topic to make, of {PARTITIONS} partitions"
    )
    arguments = parser.parse_args(argv)
    stopped, parent = stopping.told_to_stop(), os.getppid()
    try:
        broker = Broker(arguments.topics)
    except BrokerUnavailable as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{broker.address}\n")
    sys.stdout.flush()
    while not stopped.wait(_LOOK_FOR_PARENT_SECONDS) and os.getppid() == parent:
        pass
    return 0


class Broker:
    """The broker inside this process; it lives as long as this object. Raises BrokerUnavailable."""

    def __init__(self, topics: Sequence[str] = ()) -> None:
        try:
            import confluent_kafka
        except ImportError as error:
            wrong = "the embedded broker needs the package confluent-kafka"
            raise BrokerUnavailable(f"{wrong}: pip install 'station-analysis[worker,demo]'") from error
        # A producer's own configuration starts it, and the producer's metadata tells where it listens.
        self._producer = confluent_kafka.Producer({"test.mock.num.brokers": 1, "log_level": 0})
        try:
            metadata = self._producer.list_topics(timeout=_ANSWER_SECONDS)
            for topic in topics:
                self._producer.list_topics(topic, timeout=_ANSWER_SECONDS)
        except confluent_kafka.KafkaException as error:
            raise BrokerUnavailable(f"the embedded broker does not answer: {error}; start it anew") from error
        (broker,) = metadata.brokers.values()
        self.address = f"{broker.host}:{broker.port}"


if __name__ == "__main__":
    sys.exit(main())
