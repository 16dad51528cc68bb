"""What is declared is followed: fields of the resource have readers, hot ones are edited, counts are made.

The gaps named here are known; a list may only shrink.
"""

import ast
import dataclasses
import inspect

from analysis_module import shape, spec
from analysis_worker.observability import metrics, station_series
from tests.project import tree

OPERATORS = {
    *("ModuleSpec.workers", "ModuleSpec.suspend"),
    *("Workers.image", "Workers.resources", "Workers.pod_template", "Workers.autoscaling"),
    "Autoscaling.target_lag",
}
"""What only the operator will follow."""
UNFOLLOWED: set[str] = set()
"""Accepted, and not carried out yet."""
UNEDITED: set[str] = set()
"""Hot parts that the test of hot edits does not edit yet."""
UNCOUNTED: set[str] = set()
"""Counts that nobody makes yet: their metrics stand still."""


def attributes(*folders: str) -> set[str]:
    """Every name that is read as an attribute there."""
    return {
        node.attr
        for path in tree.sources(*folders)
        if path.name != "spec.py"
        for node in ast.walk(tree.parsed(path))
        if isinstance(node, ast.Attribute)
    }


def test_every_field_of_the_resource_has_a_reader() -> None:
    read = attributes("crds", "worker")
    parts = [
        part for part in vars(spec).values() if isinstance(part, type) and dataclasses.is_dataclass(part)
    ]
    unread = {
        f"{part.__name__}.{member.attribute}"
        for part in parts
        for member in shape.members(part)
        if member.attribute not in read
    }
    assert unread <= OPERATORS | UNFOLLOWED


def test_every_hot_part_is_edited_on_real_kafka() -> None:
    source = tree.parsed(tree.ROOT / "tests" / "integration" / "test_worker_hot_edits.py")
    edited = {
        keyword.arg
        for node in ast.walk(source)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "edit"
        for keyword in node.keywords
    }
    hot = {member.name for member in shape.members(spec.ModuleSpec) if member.change is spec.Change.HOT}
    assert hot - edited <= UNEDITED


def test_every_count_is_made_somewhere() -> None:
    called = {
        ast.unparse(each)
        for path in tree.sources("worker")
        for node in ast.walk(tree.parsed(path))
        if isinstance(node, ast.Call)
        for each in (node.func, *node.args)  # called, or handed over to be called
    }
    events = {name for name in _own_methods(metrics.WorkerMetrics) if name not in ("collect", "describe")}
    events |= {
        f"stations.{name}" for name in _own_methods(station_series.StationSeries) if name != "families"
    }
    unmade = {name for name in events if not any(call.endswith(f"metrics.{name}") for call in called)}
    assert unmade <= UNCOUNTED


def _own_methods(kind: type) -> set[str]:
    return {
        name for name, value in vars(kind).items() if inspect.isfunction(value) and not name.startswith("_")
    }
