"""`analysis-worker simulate`: an invented fleet of stations sends its records to Kafka."""

import argparse
import math
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from analysis_worker import simulation
from analysis_worker.commands import kafka_target, progress

if TYPE_CHECKING:
    from analysis_worker.simulation import delivering, faults

EXAMPLES = """examples:
  analysis-worker simulate --embedded                       a broker in memory, twenty stations, until Ctrl-C
  analysis-worker simulate --bootstrap-servers kafka:9092 --stations 200 --duration 60
  analysis-worker simulate --kafka-from module.yaml --rate 500 --late 0 --doubled 0 --broken 0

exit codes: 0 ended, or stopped when told to; 1 some records were not taken by Kafka; 2 an option or the
manifest is wrong; 3 Kafka was not reached
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "simulate",
        help="send the records of invented stations",
        description="Send what a fleet of charging stations would send, some of it late, doubled or broken.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kafka_target.add_arguments(parser)
    parser.add_argument("--stations", type=int, default=20, help="how many stations (default 20)")
    parser.add_argument(
        "--speedup", type=float, default=60.0, help="simulated seconds in one second (default 60)"
    )
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same fleet (default 0)")
    parser.add_argument(
        "--rate", type=float, default=math.inf, help="at most so many records a second (default: no bound)"
    )
    parser.add_argument(
        "--source-rate",
        type=float,
        default=5.0,
        help="at most so many records a second from one device or order (default 5)",
    )
    parser.add_argument(
        "--duration", type=float, default=math.inf, metavar="SECONDS", help="default: until told to stop"
    )
    for fault, share in (("late", 0.01), ("doubled", 0.01), ("broken", 0.005)):
        parser.add_argument(
            f"--{fault}", type=float, default=share, metavar="SHARE", help=f"of the records (default {share})"
        )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Send until the duration is over or until told to stop; the exit code."""
    return kafka_target.exit_code(lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    from analysis_worker.kafka import synchronous
    from analysis_worker.simulation import delivering, faults, stopping

    _check(arguments)
    injector = faults.FaultInjector(
        seed=arguments.seed, late=arguments.late, doubled=arguments.doubled, broken=arguments.broken
    )
    stop = stopping.told_to_stop()
    total = arguments.duration if math.isfinite(arguments.duration) else None
    with kafka_target.connected(arguments, simulation.TOPICS) as connection:
        delivery = delivering.Delivery(synchronous.producer(connection))
        start_ms = int(time.time() * 1000)
        with progress.Progress("simulating", total=total, unit="records") as shown:
            delivering.deliver(
                _schedule(arguments, injector, start_ms),
                delivery,
                stop,
                told=lambda due_ms, count: shown.advance(count, done=(due_ms - start_ms) / 1000),
            )
            delivery.close()
    print(f"{delivery.acknowledged:,} records sent in {shown.seconds:.1f} s")
    print("faults: " + (", ".join(f"{n} {kind}" for kind, n in injector.injected.most_common()) or "none"))
    return kafka_target.told_failures(delivery)


def _schedule(
    arguments: argparse.Namespace, injector: "faults.FaultInjector", start_ms: int
) -> "Iterator[delivering.Batch]":
    from analysis_worker.simulation import delivering, stations

    fleet = stations.Fleet(
        stations=arguments.stations,
        seed=arguments.seed,
        start_ms=start_ms,
        speedup=arguments.speedup,
        cap_per_second=arguments.source_rate,
    )
    return delivering.fleet_schedule(
        fleet,
        injector,
        start_ms=start_ms,
        duration_seconds=arguments.duration,
        most_per_second=arguments.rate,
    )


def _check(arguments: argparse.Namespace) -> None:
    for name in ("stations", "speedup", "rate", "source_rate", "duration", "partitions"):
        value = getattr(arguments, name)
        if not value > 0:
            option = name.replace("_", "-")
            raise ValueError(f"--{option}: {value:g} is not above 0; give a number above 0")
