"""`analysis-worker state`: the windows that workers keep in files, listed, checked, copied away and back."""

import argparse
import dataclasses
import json
import pathlib
import sys
import time
from typing import TYPE_CHECKING, Any

from analysis_worker.commands import progress, state_snapshots

if TYPE_CHECKING:
    from analysis_worker.state import inspecting

EXAMPLES = """examples:
  analysis-worker state ls
  analysis-worker state ls --state-directory /srv/state --json
  analysis-worker state verify --state-directory /srv/state
  analysis-worker state export --to s3://bucket/prefix
  analysis-worker state import --from s3://bucket/prefix --group load-prediction --owner load-prediction-0
  analysis-worker state import --from /srv/copies --group load-prediction --owner load-prediction-0 --force

All but import only read the files, and may be run beside the workers.

exit codes: 0 all is sound; 1 a checkpoint, a file or a part of a snapshot is not, or a worker holds the
files; 2 an option is wrong; 3 the store of snapshots was not reached, or its library is missing
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "state",
        help="show, check and copy windows kept in files",
        description="Show, check and copy the windows that workers keep in files.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    ls = actions.add_parser(
        "ls", help="what each worker keeps", description="What each worker keeps, by slot."
    )
    state_snapshots.add_directory(ls)
    ls.add_argument("--json", action="store_true", help="as JSON, times in seconds since the epoch")
    ls.set_defaults(run=run_ls)
    verify = actions.add_parser(
        "verify", help="check every file", description="Compute every file's checksums and compare them."
    )
    state_snapshots.add_directory(verify)
    verify.set_defaults(run=run_verify)
    state_snapshots.add_actions(actions)


# -- ls -----------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class _Kept:
    """What one worker keeps; `faults` are of checkpoints that cannot be read."""

    directory: pathlib.Path
    slots: "list[inspecting.SlotFiles]"
    faults: "list[inspecting.Fault]"

    @property
    def totals(self) -> dict[str, int]:
        return {
            "slots": len(self.slots),
            "stations": sum(each.stations for each in self.slots),
            "records": sum(each.records for each in self.slots),
            "diskBytes": sum(each.disk_bytes for each in self.slots),
        }


def run_ls(arguments: argparse.Namespace) -> int:
    """Show a table for each worker; the exit code."""
    directories = state_snapshots.directories_of(arguments)
    if directories is None:
        return 2
    kept = [_kept(directory) for directory in directories]
    if arguments.json:
        print(json.dumps([_as_json(each) for each in kept], indent=2))
    elif not kept:
        print(f"no worker keeps windows in {arguments.state_directory}")
    else:
        for each in kept:
            _show(each, time.time())
    return int(any(each.faults for each in kept))


def _kept(directory: pathlib.Path) -> _Kept:
    from analysis_worker.state import checkpoints, inspecting

    kept = _Kept(directory, [], [])
    for path in inspecting.slot_paths(directory):
        try:
            found = inspecting.slot_files(path)
        except (OSError, checkpoints.NotACheckpoint) as error:
            kept.faults.append(inspecting.Fault(path, str(error)))
        else:
            kept.slots.extend([found] if found is not None else [])
    return kept


def _as_json(kept: _Kept) -> dict[str, Any]:
    return {
        "group": kept.directory.parent.name,
        "owner": kept.directory.name,
        "slots": [
            {
                "slot": each.slot,
                "topics": each.topics,
                "stations": each.stations,
                "records": each.records,
                "diskBytes": each.disk_bytes,
                "writtenAt": each.written_at,
            }
            for each in kept.slots
        ],
        "totals": kept.totals,
        "faults": [{"file": str(each.file), "wrong": each.wrong, "mend": each.mend} for each in kept.faults],
    }


def _show(kept: _Kept, now: float) -> None:
    import rich.console
    import rich.table

    title = f"{kept.directory.parent.name} / {kept.directory.name}"
    table = rich.table.Table(title=title, title_justify="left", show_footer=True)
    totals = kept.totals
    table.add_column("slot", footer=f"{totals['slots']} in all", justify="right")
    table.add_column("topics", overflow="fold")
    table.add_column("stations", footer=f"{totals['stations']:,}", justify="right")
    table.add_column("records", footer=f"{totals['records']:,}", justify="right")
    table.add_column("on disk", footer=_mib(totals["diskBytes"]), justify="right")
    table.add_column("checkpoint", justify="right")
    for each in kept.slots:
        age = f"{max(0.0, now - each.written_at):,.0f} s ago"
        numbers = (f"{each.stations:,}", f"{each.records:,}", _mib(each.disk_bytes), age)
        table.add_row(str(each.slot), ", ".join(each.topics), *numbers)
    console = rich.console.Console(width=None if sys.stdout.isatty() else 160)
    console.print(table, markup=False)
    state_snapshots.tell(kept.faults)


def _mib(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"


# -- verify -------------------------------------------------------------------------------------------


def run_verify(arguments: argparse.Namespace) -> int:
    """Check every file and tell what is wrong; the exit code."""
    from analysis_worker.state import inspecting

    directories = state_snapshots.directories_of(arguments)
    if directories is None:
        return 2
    paths = [path for directory in directories for path in inspecting.slot_paths(directory)]
    faults: list[inspecting.Fault] = []
    total = sum(map(inspecting.size_of, paths))
    with progress.Progress("verifying", total=total, unit="bytes") as shown:
        for path in paths:
            note = f"{path.parent.name}/{path.name}"
            faults += inspecting.verify(path, lambda count, note=note: shown.advance(count, note=note))  # type: ignore[misc]
    state_snapshots.tell(faults)
    print(f"{len(paths)} checkpoints, {shown.count:,} bytes of windows read: {len(faults)} faults")
    return int(bool(faults))
