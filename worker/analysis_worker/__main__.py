"""`analysis-worker`: the command line."""

import argparse
import sys
from collections.abc import Sequence

from analysis_worker import VERSION
from analysis_worker.commands import demo, doctor, replaying, running, simulating, state_files, validating

_COMMANDS = (running, validating, doctor, replaying, simulating, demo, state_files)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit code."""
    parser = argparse.ArgumentParser(
        prog="analysis-worker",
        description="Runs analysis modules over the Kafka streams of charging, PV and storage stations.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {VERSION}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add_parser(commands)
    arguments = parser.parse_args(argv)
    code: int = arguments.run(arguments)
    return code


if __name__ == "__main__":
    sys.exit(main())
