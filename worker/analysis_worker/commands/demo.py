"""`analysis-worker demo`: everything in one command, on this machine, with nothing left behind."""

import argparse
import asyncio
import contextlib
import io
import json
import os
import pathlib
import re
import signal
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analysis_worker.simulation import demo, live_table

ENV_SECONDS = "DEMO_SECONDS"
JSON_FILE = pathlib.Path("build") / "demo.json"

EXAMPLES = f"""examples:
  analysis-worker demo                       until Ctrl-C
  {ENV_SECONDS}=30 analysis-worker demo          ends by itself and writes {JSON_FILE}
  analysis-worker demo --seconds 30 --record docs/images/demo.svg

exit codes: 0 all went well; 1 an error was met, or a module of a demo that ended by itself had no output;
2 an option is wrong, or the demo cannot run here
"""

_LINE_SECONDS = 3.0
_RECORD_WIDTH = 150
_MOST_ERRORS = 5
"""Shown of one module."""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "demo",
        help="see all nine modules at work, without Kafka or Kubernetes",
        description="An embedded broker, nine worker processes and simulated stations, shown live.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--seconds", type=float, help=f"end by itself after so long (default: ${ENV_SECONDS}, else never)"
    )
    parser.add_argument("--stations", type=int, default=20, help="how many stations (default 20)")
    parser.add_argument("--speedup", type=float, default=60.0, help="simulated seconds a second (default 60)")
    parser.add_argument("--seed", type=int, default=1, help="another seed, other stations (default 1)")
    parser.add_argument(
        "--record", type=pathlib.Path, metavar="FILE.svg|.txt", help="save the last table and the summary"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the demo; the exit code."""
    started = time.monotonic()
    from analysis_worker.simulation import embedded_broker

    try:
        settings = _settings(arguments)
        outcome = asyncio.run(_run(settings, started))
    except (ValueError, embedded_broker.BrokerUnavailable) as error:
        print(error, file=sys.stderr)
        return 2
    return _conclude(outcome, settings, arguments.record)


def _settings(arguments: argparse.Namespace) -> "demo.Settings":
    """What was asked for; raises ValueError naming the option and the mend."""
    from analysis_worker.simulation import demo

    seconds, named = arguments.seconds, "--seconds"
    if seconds is None and os.environ.get(ENV_SECONDS):
        seconds, named = _number(os.environ[ENV_SECONDS]), ENV_SECONDS
    for option, value in (
        ("--stations", arguments.stations),
        ("--speedup", arguments.speedup),
        (named, seconds),
    ):
        if value is not None and not value > 0:
            raise ValueError(f"{option}: {value:g} is not above 0; give a number above 0")
    if arguments.record is not None and arguments.record.suffix not in (".svg", ".txt"):
        raise ValueError(f"--record: {arguments.record} is neither .svg nor .txt; name one of those")
    return demo.Settings(
        stations=arguments.stations, speedup=arguments.speedup, seed=arguments.seed, seconds=seconds
    )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{ENV_SECONDS}: {text!r} is no number; give seconds, or unset it") from None


async def _run(settings: "demo.Settings", started: float) -> "demo.Outcome":
    from analysis_worker.simulation import demo

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with _screen() as show:
        return await demo.run(settings, started=started, stop=stop, show=show)


@contextlib.contextmanager
def _screen() -> "Iterator[demo.Show]":
    """A live table on a terminal, else a plain line every few seconds."""
    import rich.console
    import rich.live

    from analysis_worker.simulation import live_table

    console = rich.console.Console()
    if not console.is_terminal:
        yield _Lines().show
        return
    with rich.live.Live(console=console, auto_refresh=False, transient=True) as live:
        yield lambda picture: live.update(live_table.table(picture), refresh=True)


class _Lines:
    """The demo in plain lines: where the pages are, each first output, and how it goes."""

    def __init__(self) -> None:
        self._next_line = 0.0
        self._answering: set[str] = set()

    def show(self, picture: "live_table.Picture") -> None:
        """Print what is new, and a line if it is time."""
        from analysis_worker.simulation import live_table

        if not self._next_line:
            for row in picture.rows:
                print(f"{row.module:<24} http://127.0.0.1:{row.port}/metrics")
        for row in picture.rows:
            if row.first_output_seconds is not None and row.module not in self._answering:
                self._answering.add(row.module)
                print(f"{row.first_output_seconds:5.1f} s  first output of {row.module}: {row.last_output}")
        if picture.seconds >= self._next_line:
            self._next_line = picture.seconds + _LINE_SECONDS
            print(live_table.line(picture))
        sys.stdout.flush()


def _conclude(outcome: "demo.Outcome", settings: "demo.Settings", record: pathlib.Path | None) -> int:
    """Print the summary, write the files; the exit code."""
    import rich.console

    from analysis_worker.simulation import live_table

    console = rich.console.Console(width=None if sys.stdout.isatty() else _RECORD_WIDTH)
    console.print(live_table.summary(outcome.picture))
    faults = ", ".join(f"{count} {kind}" for kind, count in sorted(outcome.faults.items())) or "none"
    console.print(
        f"put in on purpose: {faults}; each broken record is a dead letter of every module it meets"
    )
    for name, texts in outcome.errors.items():
        for text in texts[:_MOST_ERRORS]:
            console.print(f"error of {name}: {text}", style="red", markup=False)
        if len(texts) > _MOST_ERRORS:
            console.print(f"error of {name}: ... and {len(texts) - _MOST_ERRORS} more", style="red")
    if record is not None:
        _save(outcome.picture, record)
        console.print(f"recorded in {record}")
    complete = True
    if settings.seconds is not None and not outcome.told_to_stop:
        complete = outcome.picture.answering == len(outcome.picture.rows)
        JSON_FILE.parent.mkdir(parents=True, exist_ok=True)
        JSON_FILE.write_text(json.dumps(outcome.to_json(), indent=2) + "\n", encoding="utf-8")
        console.print(f"the facts are in {JSON_FILE}")
    return 0 if complete and not outcome.error_count else 1


def _save(picture: "live_table.Picture", record: pathlib.Path) -> None:
    """Write the table as a picture or as text."""
    import rich.console

    from analysis_worker.simulation import live_table

    console = rich.console.Console(record=True, file=io.StringIO(), width=_RECORD_WIDTH)
    console.print(live_table.table(picture))
    record.parent.mkdir(parents=True, exist_ok=True)
    if record.suffix == ".svg":
        # Without the fonts that the picture would fetch from a foreign server: any fixed-width one will do.
        svg = re.sub(r"@font-face \{.*?\}", "", console.export_svg(title="make demo"), flags=re.DOTALL)
        record.write_text(svg, encoding="utf-8")
    else:
        console.save_text(str(record))
