"""`analysis-operator plan -f module.yaml`: what an edit would do, before it is applied."""

import argparse
import dataclasses
import pathlib
import time
from collections.abc import Iterator
from typing import Any

import yaml

from analysis_module import assignment as assignments
from analysis_module import changes, errors, reading, slots, spec
from analysis_operator import settings
from analysis_operator.commands import cluster_view
from analysis_operator.commands.cluster_view import View
from analysis_operator.decisions import accepting, fleet, partitioning, planning, pods
from analysis_operator.decisions.accepting import Refused
from analysis_operator.decisions.observed import Key, Module, Observed
from analysis_operator.decisions.options import Options

EXAMPLES = """examples:
  analysis-operator plan -f module.yaml
  kubectl analysis plan -f module.yaml -n production --settings settings.yaml
  analysis-operator plan -f module.yaml -o json

exit codes: 0 nothing would change; 1 something would; 2 the manifest is refused; 3 the cluster cannot be read
"""
_MOST_STATIONS = 20
_NOT_YET = "9999-12-31T23:59:59Z"
"""When a module is made that is not: whatever is there already is older."""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "plan",
        help="tell what applying a manifest would do",
        description="Tell what applying a manifest would change: hot, rolling or recreate, by which field, "
        "which objects, and which stations would move. Nothing is written.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "-f", "--file", type=pathlib.Path, required=True, help="AnalysisModules, YAML or JSON"
    )
    parser.add_argument("--settings", type=pathlib.Path, metavar="FILE", help="the operator's settings file")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")
    cluster_view.add_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Tell; the exit code."""
    return cluster_view.told(lambda: _run(arguments))


async def _run(arguments: argparse.Namespace) -> int:
    documents = read_documents(arguments.file)
    options = settings.load(arguments.settings).options
    found = []
    async with cluster_view.opened(arguments, options) as view:
        await view.read(arguments.namespace)
        for document in documents:
            key = cluster_view.key_of(document, arguments.namespace)
            found.append(await foreseen(view, document, key, options))
    if arguments.output == "json":
        print(cluster_view.as_json([each.to_json() for each in found]))
    else:
        print("\n\n".join("\n".join(each.lines()) for each in found))
    if any(each.refused for each in found):
        return 2
    return 1 if any(each.changes_something for each in found) else 0


def read_documents(path: pathlib.Path) -> list[dict[str, Any]]:
    """The documents of a file; raises InvalidSpec that names the file and the mend."""
    try:
        documents = [
            each for each in yaml.safe_load_all(path.read_text(encoding="utf-8")) if each is not None
        ]
    except OSError as error:
        problem = errors.Problem(str(path), f"cannot be read: {error.strerror}", "name a file that is there")
        raise errors.InvalidSpec([problem]) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        problem = errors.Problem(str(path), "is not YAML", f"mend the text: {' '.join(str(error).split())}")
        raise errors.InvalidSpec([problem]) from error
    for document in documents:
        reading.read_manifest(document)
    return documents


@dataclasses.dataclass(frozen=True, kw_only=True)
class Foreseen:
    """What applying one manifest would do."""

    module: str
    is_new: bool
    refused: tuple[str, ...] = ()
    strongest: spec.Change = spec.Change.NONE
    reason: str = ""
    paths: dict[str, spec.Change] = dataclasses.field(default_factory=dict)
    objects: tuple[str, ...] = ()
    slots: int = 0
    moved_slots: tuple[int, ...] = ()
    stations: int | None = None
    moved_stations: tuple[str, ...] = ()

    @property
    def changes_something(self) -> bool:
        """Whether anything would be written."""
        return self.is_new or bool(self.paths or self.objects or self.moved_slots)

    def lines(self) -> Iterator[str]:
        """For people."""
        if self.refused:
            yield f"{self.module}: would be refused"
            yield from (f"  {problem}" for problem in self.refused)
            return
        yield f"{self.module}: {self._headline()}"
        for path, change in self.paths.items():
            yield f"  {path:<44} {change.name.lower()}"
        for told in self.objects:
            yield f"  {told}"
        if self.moved_slots:
            yield f"  {len(self.moved_slots)} of {self.slots} slots would move: " + assignments.format_slots(
                self.moved_slots
            )
            yield f"  {self._stations()}"

    def _headline(self) -> str:
        if self.is_new:
            return "new"
        if not self.changes_something:
            return "nothing would change"
        if not self.paths:
            return "the spec means the same; objects would be mended"
        return f"{self.strongest.name.lower()}, because of {self.reason}"

    def _stations(self) -> str:
        if self.stations is None:
            return "which stations that are is not known: a worker could not be asked"
        shown = ", ".join(self.moved_stations[:_MOST_STATIONS])
        more = len(self.moved_stations) - _MOST_STATIONS
        tail = f" and {more} more" if more > 0 else ""
        return f"{len(self.moved_stations)} of {self.stations} stations would move" + (
            f": {shown}{tail}" if shown else ""
        )

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "module": self.module,
            "new": self.is_new,
            "refused": list(self.refused),
            "change": self.strongest.name.lower(),
            "reason": self.reason,
            "fields": {path: change.name.lower() for path, change in self.paths.items()},
            "objects": list(self.objects),
            "slots": self.slots,
            "movedSlots": assignments.format_slots(self.moved_slots),
            "stations": self.stations,
            "movedStations": list(self.moved_stations),
        }


async def foreseen(view: View, document: dict[str, Any], key: Key, options: Options) -> Foreseen:
    """What applying a manifest would do to the module of this key; raises ApiError."""
    live = view.store.module(key)
    wanted = Module(
        key=key,
        uid=live.uid if live else "",
        generation=(live.generation if live else 0) + 1,
        created_at=live.created_at if live else _NOT_YET,
        spec=document["spec"],
        status=live.status if live else {},
    )
    view.imagine(wanted)
    observed = view.observed(wanted, await view.callback(wanted))
    outcome = accepting.accept(observed, options)
    if isinstance(outcome, Refused):
        return Foreseen(module=str(key), is_new=live is None, refused=outcome.problems)
    before = _read(live, options) if live is not None else None
    difference = changes.compared(before, outcome.asked) if before is not None else changes.Difference({})
    frozen = [path for path, change in difference.paths.items() if change is spec.Change.RECREATE]
    foreseen = Foreseen(
        module=str(key),
        is_new=live is None,
        strongest=difference.strongest,
        reason=difference.reason or "",
        paths=dict(difference.paths),
        objects=tuple(_objects(observed, options)),
        slots=outcome.asked.partitioning.slots,
        refused=tuple(f"{path}: cannot be changed; delete the module and apply it anew" for path in frozen),
    )
    return await _with_moves(view, foreseen, observed, outcome.asked)


def _read(module: Module, options: Options) -> spec.ModuleSpec | None:
    try:
        return accepting.read(module.spec, options)
    except errors.InvalidSpec:
        return None


def _objects(observed: Observed, options: Options) -> Iterator[str]:
    """What would happen to objects, at once or in the course of a rolling edit."""
    told = planning.plan(observed, dataclasses.replace(options, rollout=10_000), time.time())
    shards = fleet.shards_of(observed)
    for each in told.apply:
        verb = "would be made" if each.new else "would be changed"
        number = fleet.shard_number(each.manifest)
        shard = shards.get(number) if number is not None else None
        if each.reference.kind == "Deployment" and shard is not None and not each.new:
            template = each.manifest["spec"]["template"]["metadata"]["annotations"]
            if template[pods.ANNOTATION_ROLLOUT] != shard.rollout:
                verb = "would replace its pod"
        yield f"{each.reference} {verb}"
    for reference in told.delete:
        yield f"{reference} would be deleted"


async def _with_moves(view: View, foreseen: Foreseen, observed: Observed, asked: spec.ModuleSpec) -> Foreseen:
    held = fleet.shards_of(observed)
    before = {slot: number for number, shard in held.items() for slot in shard.holding.slots}
    after = partitioning.balanced(before, slots=asked.partitioning.slots, shards=asked.workers.replicas)
    moved = sorted(partitioning.moves(before, after))
    if not moved:
        return foreseen
    stations = await view.stations(observed.module)
    going = [each for each in stations or () if slots.slot_of(each, asked.partitioning.slots) in set(moved)]
    return dataclasses.replace(
        foreseen,
        moved_slots=tuple(moved),
        stations=None if stations is None else len(stations),
        moved_stations=tuple(going),
    )
