"""`analysis-operator`, and the same as a kubectl plugin: the command line."""

import argparse
import sys
from collections.abc import Sequence
from types import ModuleType

from analysis_operator import VERSION
from analysis_operator.commands import graphing, locating, planning, running

_FOR_USERS = (planning, locating, graphing)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit code."""
    return _run("analysis-operator", (running, *_FOR_USERS), argv)


def kubectl(argv: Sequence[str] | None = None) -> int:
    """Run a command as `kubectl analysis`; the exit code."""
    return _run("kubectl analysis", _FOR_USERS, argv)


def _run(program: str, known: Sequence[ModuleType], argv: Sequence[str] | None) -> int:
    parser = argparse.ArgumentParser(
        prog=program,
        description="Runs AnalysisModules on Kubernetes: worker Deployments, their stations, their status.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {VERSION}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in known:
        command.add_parser(commands)
    arguments = parser.parse_args(argv)
    code: int = arguments.run(arguments)
    return code


if __name__ == "__main__":
    sys.exit(main())
