"""The resource's shape: names, and a change class for every path."""

import dataclasses
import typing

import pytest

from analysis_module import shape, spec


def test_json_names_are_camel_case() -> None:
    assert shape.json_name("window_size") == "windowSize"
    assert shape.json_name("config_map_ref") == "configMapRef"
    assert shape.json_name("topic") == "topic"


def _parts() -> list[type]:
    found = [spec.ModuleSpec]
    for part in found:
        for member in shape.members(part):
            for hint in (member.hint, shape.item_of(member.hint)):
                if shape.is_part(hint) and hint not in found:
                    found.append(hint)
    return found


def test_every_dataclass_of_spec_is_a_part_of_the_resource() -> None:
    defined = {
        value for value in vars(spec).values() if isinstance(value, type) and dataclasses.is_dataclass(value)
    }
    assert set(_parts()) == defined


@pytest.mark.parametrize("part", _parts(), ids=lambda part: part.__name__)
def test_every_field_has_a_change_class_as_metadata(part: type) -> None:
    assert all(isinstance(member.change, spec.Change) for member in shape.members(part))


@pytest.mark.parametrize("part", _parts(), ids=lambda part: part.__name__)
def test_every_member_knows_its_default_and_whether_none_is_one(part: type) -> None:
    for member in shape.members(part):
        hint = typing.get_type_hints(part)[member.attribute]
        assert member.nullable == (type(None) in typing.get_args(hint))
        if not member.required and member.default() is None:
            assert member.nullable


def test_each_path_has_its_change_class() -> None:
    changes = shape.field_changes()
    assert changes["spec.callback.timeoutSeconds"] is spec.Change.HOT
    assert changes["spec.inputs[].windowSize"] is spec.Change.HOT
    assert changes["spec.inputs[].stationKey.via"] is spec.Change.HOT
    assert changes["spec.kafka.security.username.secretName"] is spec.Change.ROLLING
    assert changes["spec.partitioning.slots"] is spec.Change.RECREATE
    assert changes["spec.module"] is spec.Change.RECREATE
    assert changes["spec.workers.autoscaling.maxReplicas"] is spec.Change.NONE
    assert changes["spec.suspend"] is spec.Change.NONE


def test_the_paths_are_those_of_all_parts() -> None:
    assert len(shape.field_changes()) > 100
    assert all(path.startswith("spec.") for path in shape.field_changes())


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("spec.inputs[2].windowSize", spec.Change.HOT),
        ("spec.inputs[3]", spec.Change.HOT),
        ("spec.inputs[0].routing", spec.Change.ROLLING),
        ("spec.inputs[0].aliases.gunId[1]", spec.Change.HOT),
        ("spec.stations.include[7]", spec.Change.HOT),
        ("spec.callback.parameters.a.b[3].c", spec.Change.HOT),
        ("spec.workers.resources.limits.cpu", spec.Change.ROLLING),
    ],
)
def test_a_path_with_positions_and_free_parts_has_a_class(path: str, change: spec.Change) -> None:
    assert shape.change_class(path) is change


@pytest.mark.parametrize("path", ["", "spec", "spec.foo", "spec.callback.foo", "spec.inputs[0].foo", "foo"])
def test_a_path_that_does_not_exist_has_none(path: str) -> None:
    with pytest.raises(KeyError):
        shape.change_class(path)


def test_only_these_edits_start_a_module_anew() -> None:
    anew = {path for path, change in shape.field_changes().items() if change is spec.Change.RECREATE}
    assert anew == {
        "spec.module",
        "spec.kafka.groupId",
        "spec.partitioning",
        "spec.partitioning.slots",
    }


def test_only_these_edits_reach_no_worker() -> None:
    quiet = {path for path, change in shape.field_changes().items() if change is spec.Change.NONE}
    bounds = {f"spec.workers.autoscaling.{name}" for name in ("minReplicas", "maxReplicas", "targetLag")}
    assert quiet == bounds | {
        "spec.workers",
        "spec.workers.replicas",
        "spec.workers.autoscaling",
        "spec.suspend",
    }
