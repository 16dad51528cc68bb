"""`analysis-worker state export` and `import`: windows' files copied to a store and made from it again."""

import argparse
import os
import pathlib
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from analysis_module import names
from analysis_worker.commands import progress

if TYPE_CHECKING:
    from analysis_worker.state import inspecting

_T = TypeVar("_T")
_URL = "a path, file:///path, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix"
_UNBOUNDED = 2**63


def add_actions(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare both."""
    export = actions.add_parser(
        "export",
        help="copy windows to a store",
        description="Copy the windows in files to a store; what is there already is not written again.",
    )
    add_directory(export)
    export.add_argument("--to", required=True, metavar="URL", help=_URL)
    export.add_argument("--group", help="of this group alone (default: all)")
    export.add_argument("--owner", help="of this worker alone (default: all)")
    export.set_defaults(run=run_export)
    taking = actions.add_parser(
        "import",
        help="make files of windows from a store",
        description="Make files of windows from a store, where the worker that owns them finds them.",
    )
    add_directory(taking)
    taking.add_argument("--from", dest="source", required=True, metavar="URL", help=_URL)
    taking.add_argument("--group", required=True, help="whose windows: kafka.groupId, or the module")
    taking.add_argument("--owner", required=True, help="the worker that shall find them, as `ls` shows it")
    taking.add_argument("--force", action="store_true", help="also in the place of files that hold more")
    taking.set_defaults(run=run_import)


def add_directory(parser: argparse.ArgumentParser) -> None:
    """Declare where the files are."""
    parser.add_argument(
        "--state-directory",
        type=pathlib.Path,
        default=pathlib.Path(names.STATE_DIRECTORY),
        metavar="PATH",
        help="where windows are kept in files, as in `run` (default: %(default)s, the operator's volume)",
    )


def directories_of(arguments: argparse.Namespace) -> list[pathlib.Path] | None:
    """Each worker's directory; None, said on standard error, if the whole cannot be read."""
    from analysis_worker.state import inspecting

    try:
        return inspecting.directories(arguments.state_directory)
    except OSError as error:
        print(f"--state-directory {arguments.state_directory}: {error.strerror}", file=sys.stderr)
        return None


def tell(faults: "Iterable[inspecting.Fault]") -> None:
    """Say what is wrong, and the mend."""
    for fault in faults:
        print(f"{fault.file}: {fault.wrong}; {fault.mend}")


def run_export(arguments: argparse.Namespace) -> int:
    """Copy; the exit code."""
    directories = directories_of(arguments)
    if directories is None:
        return 2
    return _reached(lambda: _export(arguments, directories))


def _export(arguments: argparse.Namespace, directories: list[pathlib.Path]) -> int:
    from analysis_worker.state import exporting, inspecting, objects

    paths = {
        (directory.parent.name, path.name, directory.name): path
        for directory in directories
        if arguments.group in (None, directory.parent.name) and arguments.owner in (None, directory.name)
        for path in inspecting.slot_paths(directory)
    }
    if not paths:
        print("no windows to copy")
        return 0
    store = objects.at(arguments.to, make=True)
    rounds = []
    with progress.Progress("exporting", total=len(paths), unit="slots") as shown:
        for group in sorted({group for group, _, _ in paths}):
            own = [path for key, path in sorted(paths.items()) if key[0] == group]
            # Where two workers left files of one slot, the newer ones are what the store has in the end.
            rounds.append(exporting.Exporter(store, group, yields=True).round(_shown(own, shown)))
    for each in rounds:
        tell(each.faults)
    faults = sum(len(each.faults) for each in rounds)
    slots, chunks = sum(each.slots for each in rounds), sum(each.chunks for each in rounds)
    size = sum(each.size for each in rounds)
    print(f"{slots} of {len(paths)} slots written, {chunks} chunks of {size:,} bytes: {faults} faults")
    return int(bool(faults))


def run_import(arguments: argparse.Namespace) -> int:
    """Make files; the exit code."""
    for option in ("group", "owner"):
        if pathlib.PurePath(getattr(arguments, option)).name != getattr(arguments, option):
            print(f"--{option}: it is a name, not a path", file=sys.stderr)
            return 2
    return _reached(lambda: _import(arguments))


def _import(arguments: argparse.Namespace) -> int:
    from analysis_worker.state import importing, objects, store

    source = objects.at(arguments.source)
    directory = arguments.state_directory / arguments.group / arguments.owner
    slots = importing.slots_at(source, arguments.group)
    if not slots:
        print(f"the store has no snapshot of the group {arguments.group}", file=sys.stderr)
        return 1
    taken = importing.Taken()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        held = store.locked(directory)
    except OSError as error:
        print(f"{directory}: {error}; stop the worker first", file=sys.stderr)
        return 1
    try:
        files = store.Store(directory, _UNBOUNDED)
        importer = importing.Importer(
            source, arguments.group, files, importing.room_in(directory, _UNBOUNDED)
        )
        with progress.Progress("importing", total=len(slots), unit="slots") as shown:
            importer.take(_shown(slots, shown), taken, force=arguments.force)
        files.proven()
    except OSError as error:
        if isinstance(error, objects.Failed):
            raise
        print(f"{directory}: {error}", file=sys.stderr)
        return 1
    finally:
        os.close(held)
    for each in taken.wrong:
        print(f"{each}; left out, the worker reads these windows from Kafka")
    print(
        f"{taken.slots} of {len(slots)} slots made, {taken.windows} windows of {taken.size:,} bytes:"
        f" {len(taken.wrong)} faults"
    )
    return int(bool(taken.wrong))


def _shown(items: Iterable[_T], shown: progress.Progress) -> Iterator[_T]:
    for item in items:
        yield item
        shown.advance(1)


def _reached(work: Callable[[], int]) -> int:
    from analysis_worker.state import objects

    try:
        return work()
    except objects.WrongUrl as error:
        print(error, file=sys.stderr)
        return 2
    except objects.Failed as error:
        print(error, file=sys.stderr)
        return 3
