"""`analysis-worker doctor`: will this module run on that cluster, and what may go wrong later?"""

import argparse
import collections
import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from analysis_module import catalogue
from analysis_worker.commands import documents, kafka_target

if TYPE_CHECKING:
    from analysis_worker.commands import diagnosis

EXAMPLES = """examples:
  analysis-worker doctor -f module.yaml
  analysis-worker doctor -f module.yaml --bootstrap-servers localhost:9092 --strict

Nothing is changed. A failure keeps the module from working now; a warning may cost data, time, or a rebuild
of its windows later; a note is only to be known.

exit codes: 0 no failure (with --strict: no warning either); 1 something to mend; 2 the manifest or a secret
is wrong; 3 Kafka was not reached, or no login succeeded
"""

_STYLES = ("green", "cyan", "yellow", "bold red")


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "doctor",
        help="check the cluster for a module",
        description="Check brokers, topics, permissions, retention and offsets for a module.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-f", "--file", type=pathlib.Path, required=True, help="an AnalysisModule manifest")
    parser.add_argument("--bootstrap-servers", metavar="HOST:PORT,...", help="instead of the manifest's")
    parser.add_argument("--strict", action="store_true", help="a warning gives exit code 1 too")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Examine and tell; the exit code."""
    return kafka_target.exit_code(lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    from analysis_worker.commands import diagnosis
    from analysis_worker.kafka import connecting, inspecting

    content = documents.read_bytes(arguments.file)
    module_spec = documents.module_spec_of(content, str(arguments.file))
    resolved = catalogue.resolve(module_spec)
    kafka = module_spec.kafka
    if arguments.bootstrap_servers:
        kafka = kafka_target.at_servers(kafka, arguments.bootstrap_servers)
    connection = connecting.connection_of(kafka, resolved.group_id)
    facts = inspecting.inspect(connection, diagnosis.topics_of(resolved))
    findings = diagnosis.diagnose(diagnosis.Case(module_spec, resolved, facts))
    _show(f"{resolved.module}: {arguments.file}", findings)
    limit = diagnosis.Level.WARNING if arguments.strict else diagnosis.Level.FAILURE
    return int(any(finding.level >= limit for finding in findings))


def _show(title: str, findings: "Sequence[diagnosis.Finding]") -> None:
    import rich.console
    import rich.table

    table = rich.table.Table(title=title, title_justify="left", show_lines=False)
    for name in ("", "of", "found", "mend"):
        table.add_column(name, overflow="fold")
    for finding in findings:
        style = _STYLES[finding.level]
        table.add_row(finding.level.name.lower(), finding.subject, finding.found, finding.mend, style=style)
    console = rich.console.Console(width=None if sys.stdout.isatty() else 160)
    console.print(table, markup=False)
    counts = collections.Counter(int(finding.level) for finding in findings)
    words = ("in order", "to note", "to look at (warning)", "to mend (failure)")
    console.print(", ".join(f"{counts[level]} {words[level]}" for level in sorted(counts, reverse=True)))
