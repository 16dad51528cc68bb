"""`python -m bench.run`: the whole benchmark, from the broker's start to the table.

Exit codes: 0 measured; 1 a figure is missing, or with --check a goal is not reached; 2 wrong arguments, or
the broker did not start; 130 stopped by Ctrl-C or SIGTERM. Whatever happens, nothing that it started is left.
"""

import argparse
import datetime
import importlib.metadata
import json
import logging
import os
import platform
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from bench import broker, figures, plan, tables, turns
from tests.infrastructure import kafka_distribution, kafka_starting, programs

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "build" / "bench.json"
DOCUMENTS = {
    ROOT / "bench" / "README.md": tables.ENGLISH,
    ROOT / "README.md": tables.ENGLISH,
    ROOT / "README.zh-CN.md": tables.CHINESE,
}
DISTRIBUTIONS = (
    "station-analysis",
    "aiokafka",
    "orjson",
    "msgspec",
    "numpy",
    "quixstreams",
    "bytewax",
    "faust-streaming",
    "confluent-kafka",
)

EPILOG = """examples:
  python -m bench.run                            three rounds, build/bench.json and the table
  python -m bench.run --rounds 5 --write-table   ... and the table into the READMEs
  python -m bench.run --only ceiling ours_ingest --rounds 1
  python -m bench.run --quick                    few records: does everything work?
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit code."""
    arguments = _arguments(argv)
    found = attempt(lambda: measure(arguments))
    return found if isinstance(found, int) else conclude(found, arguments)


def attempt(measuring: Callable[[], dict[str, Any]]) -> dict[str, Any] | int:
    """What was measured; an exit code if it was stopped, or no broker started."""
    signal.signal(signal.SIGTERM, _interrupt)
    logging.basicConfig(level=logging.ERROR)  # a client that tries again is no news
    try:
        return measuring()
    except KeyboardInterrupt:
        announce("stopped; everything that was started has ended")
        return 130
    except (programs.Unavailable, kafka_starting.KafkaDidNotStart) as problem:
        announce(f"no broker, so nothing is measured: {problem}")
        return 2


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.run",
        description="Measure the worker beside its ceiling and its peers on a real broker started here.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [subject.name for subject in (*plan.SUBJECTS, *plan.IN_PROCESS)]
    parser.add_argument("--rounds", type=positive, default=3, help="how often each subject runs (default 3)")
    parser.add_argument("--only", nargs="+", choices=names, metavar="SUBJECT", help=f"of: {', '.join(names)}")
    parser.add_argument(
        "--quick", action="store_true", help="few records and one round; figures mean nothing"
    )
    parser.add_argument(
        "--bootstrap", metavar="HOST:PORT", help="a running Kafka to use instead of starting one"
    )
    parser.add_argument("--result", type=Path, default=RESULT, help="default: build/bench.json")
    parser.add_argument(
        "--write-table", action="store_true", help="put the table between the READMEs' markers"
    )
    parser.add_argument("--check", action="store_true", help="exit 1 if a goal is not reached")
    arguments = parser.parse_args(argv)
    if arguments.quick:
        arguments.rounds = 1
        if arguments.write_table:
            parser.error("--write-table: the figures of a --quick run mean nothing; leave one of the two out")
    if arguments.write_table and arguments.only:
        parser.error("--write-table: a table needs every subject; leave --only out")
    return arguments


def positive(text: str) -> int:
    """A number of an option; raises ArgumentTypeError."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of them; give 1 or more")
    return int(text)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def announce(text: str) -> None:
    """One line of progress."""
    print(text, file=sys.stderr, flush=True)


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Everything that was asked for, as build/bench.json has it."""
    chosen = set(arguments.only or [subject.name for subject in (*plan.SUBJECTS, *plan.IN_PROCESS)])
    subjects = tuple(subject for subject in plan.SUBJECTS if subject.name in chosen)
    once = {}
    for subject in plan.IN_PROCESS:
        if subject.name in chosen:
            announce(f"{subject.name}: {subject.label} ...")
            once[subject.name] = turns.measure_in_process(subject, quick=arguments.quick)
    rounds = on_broker(subjects, arguments) if subjects else []
    return {
        **figures.summary(rounds, once),
        "quick": arguments.quick,
        "rounds_per_subject": arguments.rounds,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": versions(),
    }


def on_broker(subjects: tuple[plan.Subject, ...], arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """The rounds of the subjects that read from a broker, by turns."""
    started = time.monotonic()
    announce("starting a broker ..." if arguments.bootstrap is None else f"using {arguments.bootstrap} ...")
    with broker.reached(arguments.bootstrap) as where:
        sizes = plan.sizes(subjects, quick=arguments.quick)
        announce(f"writing topics of {', '.join(f'{size:,}' for size in sizes)} records ...")
        run = turns.Turns(where, where.preload(sizes), arguments.quick, announce)
        announce(f"ready after {time.monotonic() - started:.0f} s; a first reading, which does not count:")
        run.take(subjects[:1], 0)
        warm, run.rounds = run.rounds, []
        for number in range(1, arguments.rounds + 1):
            announce(f"round {number} of {arguments.rounds}")
            run.take(subjects, number)
        return [each for each in warm if "unmeasured" in each] + run.rounds


def conclude(found: dict[str, Any], arguments: argparse.Namespace) -> int:
    """Write the result and the table; the exit code."""
    arguments.result.parent.mkdir(parents=True, exist_ok=True)
    arguments.result.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(tables.markdown(found))
    announce(f"written: {arguments.result}")
    if arguments.write_table:
        for path in tables.write(found, DOCUMENTS):
            announce(f"written: {path}")
    missed = [] if arguments.quick or arguments.only else figures.missed(found)
    for line in missed:
        announce(f"GOAL MISSED: {line}")
    incomplete = bool(found["unmeasured"]) or any("not measured" in line for line in missed)
    return 1 if incomplete or (arguments.check and missed) else 0


def machine() -> dict[str, Any]:
    """The processor's name, how many cores this process may use, the memory and the system."""
    return {
        "cpu": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
    }


def _processor() -> str:
    try:
        described = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = [line.partition(":")[2].strip() for line in described if line.startswith("model name")]
    return models[0] if models else platform.machine()


def versions() -> dict[str, str]:
    """Versions of Python, the broker and the packages that matter; of a missing one, "-"."""
    found = {"python": platform.python_version(), "kafka": kafka_distribution.version()}
    for distribution in DISTRIBUTIONS:
        try:
            found[distribution] = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            found[distribution] = "-"
    return found


if __name__ == "__main__":
    sys.exit(main())
