"""`analysis-operator where STATION`: which worker has a station, module by module."""

import argparse
import sys

from analysis_module import slots
from analysis_operator import settings
from analysis_operator.commands import cluster_view
from analysis_operator.commands.cluster_view import View
from analysis_operator.decisions import accepting, fleet
from analysis_operator.decisions.observed import Observed

EXAMPLES = """examples:
  analysis-operator where S1
  kubectl analysis where S1 -n production -m load-prediction

exit codes: 0 found; 1 no module runs for it; 3 the cluster cannot be read
"""
_HEADINGS = ("MODULE", "SLOT", "SHARD", "POD", "STATE", "EPOCH")


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "where",
        help="tell which worker has a station",
        description="Tell which slot a station belongs to, and which shard and pod own it, in each module.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("station", metavar="STATION", help="a station id")
    parser.add_argument("-m", "--module", help="the name of one AnalysisModule")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")
    cluster_view.add_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Tell; the exit code."""
    return cluster_view.told(lambda: _run(arguments))


async def _run(arguments: argparse.Namespace) -> int:
    options = settings.Settings().options
    async with cluster_view.opened(arguments, options) as view:
        await view.read(arguments.namespace)
        found = located(view, arguments.station, arguments.module)
    if arguments.output == "json":
        print(cluster_view.as_json([dict(zip(map(str.lower, _HEADINGS), row, strict=True)) for row in found]))
    elif found:
        print("\n".join(table(found)))
    else:
        print(f"no module runs for {arguments.station}", file=sys.stderr)
    return 0 if found else 1


Row = tuple[str, int, int, str, str, int]
"""A module, and the slot, shard, pod, state and epoch of a station in it."""


def located(view: View, station: str, module: str | None = None) -> list[Row]:
    """Where a station is, in each module or in those of one name."""
    return [
        row
        for each in sorted(view.store.modules(), key=lambda each: each.key)
        if module in (None, each.key.name)
        for row in _rows(view.observed(each), station)
    ]


def _rows(observed: Observed, station: str) -> list[Row]:
    partitioning = accepting.slots_of(observed.module.spec)
    slot = slots.slot_of(station, partitioning)
    for number, shard in fleet.shards_of(observed).items():
        holding = shard.holding
        if slot in holding.slots or slot in holding.releasing:
            pod = shard.pod.name if shard.pod is not None else "-"
            state = "ready" if shard.ready else "not ready"
            if slot in holding.releasing:
                state = "letting go"
            return [(str(observed.module.key), slot, number, pod, state, holding.epoch)]
    return []


def table(rows: list[Row]) -> list[str]:
    """Lines of a table with headings."""
    texts = [[str(cell) for cell in row] for row in (_HEADINGS, *rows)]
    widths = [max(len(row[column]) for row in texts) for column in range(len(_HEADINGS))]
    return [
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in texts
    ]
