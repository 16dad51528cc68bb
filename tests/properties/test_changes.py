"""Edits that mean the same change nothing, others change their own paths, and what runs follows those."""

import dataclasses
import enum
import random
from collections.abc import Mapping
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis_module import assignment, changes, reading, shape, spec
from tests.properties.test_spec_round_trip import specs

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""Large documents are drawn slowly on a busy machine; how long that takes is not what is tested."""
PAIRS = settings(UNHURRIED, max_examples=30)
"""Two large documents are drawn for each example."""

FIELDS = [member.attribute for member in shape.members(spec.ModuleSpec)]


def reworded(value: Any, draw: random.Random) -> Any:
    """A document of the same meaning: keys in another order, defaults left out, written out or null."""
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, list | tuple):
        return [reworded(item, draw) for item in value]
    if isinstance(value, Mapping):
        return shuffled({key: reworded(entry, draw) for key, entry in value.items()}, draw)
    if not shape.is_part(type(value)):
        return value
    written = {}
    for member in shape.members(value.__class__):
        entry = getattr(value, member.attribute)
        way = "written" if member.required or entry != member.default() else draw.choice(WAYS)
        if way != "left out":
            written[member.name] = reworded(entry, draw) if way == "written" else None
    return shuffled(written, draw)


WAYS = ("left out", "written", "null")


def shuffled(document: dict[str, Any], draw: random.Random) -> dict[str, Any]:
    keys = list(document)
    draw.shuffle(keys)
    return {key: document[key] for key in keys}


def config_hash(module_spec: spec.ModuleSpec) -> str:
    return assignment.Assignment(module_spec, "module-0", 1, frozenset()).config_hash


@given(specs(), st.integers(0))
@UNHURRIED
def test_another_wording_of_the_same_is_no_change(module_spec: spec.ModuleSpec, seed: int) -> None:
    document = reworded(module_spec, random.Random(seed))
    again = reading.read_spec(document)
    assert changes.compared(module_spec, again) == changes.Difference({})
    assert config_hash(again) == config_hash(module_spec)


@given(specs(), specs(), st.sampled_from(FIELDS))
@PAIRS
def test_an_edit_of_one_field_is_told_of_that_field(
    old: spec.ModuleSpec, other: spec.ModuleSpec, field: str
) -> None:
    new = dataclasses.replace(old, **{field: getattr(other, field)})
    difference = changes.compared(old, new)
    here = f"spec.{shape.json_name(field)}"
    assert all(path == here or path.startswith((f"{here}.", f"{here}[")) for path in difference.paths)
    assert bool(difference.paths) == (config_hash(old) != config_hash(new))


@given(specs(), specs())
@PAIRS
def test_the_reason_has_the_strongest_class_of_all_paths(old: spec.ModuleSpec, new: spec.ModuleSpec) -> None:
    difference = changes.compared(old, new)
    if difference.reason is not None:
        assert difference.paths[difference.reason] is difference.strongest
        assert difference.strongest.name.lower() in difference.sentence()
    assert all(change <= difference.strongest for change in difference.paths.values())


@given(specs(), specs())
@PAIRS
def test_a_change_back_changes_the_same_settings(old: spec.ModuleSpec, new: spec.ModuleSpec) -> None:
    assert changes.changed_paths(old, new) == changes.changed_paths(new, old)


@given(specs(), specs())
@PAIRS
def test_what_runs_changes_exactly_if_a_path_of_a_class_above_none_does(
    old: spec.ModuleSpec, other: spec.ModuleSpec
) -> None:
    quiet = dataclasses.replace(old, suspend=other.suspend, workers=other.workers)
    strongest = changes.compared(old, quiet).strongest
    before, after = changes.running_part(old), changes.running_part(quiet)
    assert (config_hash(before) != config_hash(after)) == (strongest is not spec.Change.NONE)


@given(specs())
@UNHURRIED
def test_the_running_part_is_its_own_and_differs_in_what_reaches_no_worker(
    module_spec: spec.ModuleSpec,
) -> None:
    running = changes.running_part(module_spec)
    assert changes.running_part(running) == running
    assert changes.compared(module_spec, running).strongest is spec.Change.NONE
