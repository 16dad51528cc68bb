"""Where an object in the cluster is not as planned, and what is no difference."""

from typing import Any

import pytest

from analysis_operator.decisions import drift, manifests
from analysis_operator.decisions.observed import Child
from tests.unit.analysis_operator import fleets

LIMITS = "resources.limits.cpu"


def limits(value: object) -> dict[str, Any]:
    return {"resources": {"limits": {"cpu": value}}}


DIFFERENT: dict[str, tuple[Any, Any, str]] = {
    "a missing field": ({"a": 1}, {}, "a"),
    "a field inside": ({"a": {"b": {"c": 1}}}, {"a": {"b": {"c": 2}}}, "a.b.c"),
    "the first of several": ({"a": 1, "b": 2}, {"a": 2, "b": 3}, "a"),
    "another type": ({"a": {"b": 1}}, {"a": [1]}, "a"),
    "a text for an object": ({"a": {"b": 1}}, {"a": "b"}, "a"),
    "null for an object": ({"a": {"b": 1}}, {"a": None}, "a"),
    "a missing list": ({"a": [1]}, {}, "a"),
    "a longer list": ({"a": [1]}, {"a": [1, 2]}, "a"),
    "a shorter list": ({"a": [1, 2]}, {"a": [1]}, "a"),
    "another order": ({"a": [1, 2]}, {"a": [2, 1]}, "a[0]"),
    "a missing item": ({"a": [{"name": "x"}]}, {"a": [{"name": "y"}]}, "a[name=x]"),
    "a field of an item": ({"a": [{"name": "x", "v": 1}]}, {"a": [{"name": "x", "v": 2}]}, "a[name=x].v"),
    "an item by its mount": (
        {"a": [{"name": "m", "mountPath": "/a"}, {"name": "m", "mountPath": "/b"}]},
        {"a": [{"name": "m", "mountPath": "/a"}, {"name": "n", "mountPath": "/b"}]},
        "a[mountPath=/b].name",
    ),
    "an item without a key": ({"a": [{"v": 1}]}, {"a": [{"v": 2}]}, "a[0].v"),
    "false for true": ({"a": True}, {"a": False}, "a"),
    "another quantity": (limits("1"), limits("1001m"), LIMITS),
    "no quantity": (limits("1"), limits("one"), LIMITS),
    "a false that is gone": ({"automountServiceAccountToken": False}, {}, "automountServiceAccountToken"),
    "a zero that is gone": ({"replicas": 0}, {}, "replicas"),
    "two ways of writing what is no quantity": (
        {"labels": {"a": "1"}},
        {"labels": {"a": "1000m"}},
        "labels.a",
    ),
}

ALIKE: dict[str, tuple[Any, Any]] = {
    "the same": ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 2}]}),
    "a further field": ({"a": 1}, {"a": 1, "b": 2}),
    "a further field inside": ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}),
    "a further item": ({"a": [{"name": "x"}]}, {"a": [{"name": "y"}, {"name": "x"}]}),
    "items in another order": ({"a": [{"name": "x"}, {"name": "y"}]}, {"a": [{"name": "y"}, {"name": "x"}]}),
    "an empty object that is gone": ({"a": {}}, {}),
    "an empty list that is gone": ({"a": []}, {}),
    "an empty list that is null": ({"a": []}, {"a": None}),
    "an empty text that is gone": ({"a": ""}, {}),
    "a null that is gone": ({"a": None}, {}),
    "a readOnly of false that is gone": ({"m": {"readOnly": False}}, {"m": {}}),
    "one mounted twice": (
        {"m": [{"name": "m", "mountPath": "/a"}, {"name": "m", "mountPath": "/b"}]},
        {"m": [{"name": "m", "mountPath": "/b"}, {"name": "m", "mountPath": "/a"}]},
    ),
    "two rules for one topology": (
        {"t": [{"topologyKey": "zone", "maxSkew": 1}, {"topologyKey": "zone", "maxSkew": 2}]},
        {"t": [{"topologyKey": "zone", "maxSkew": 1}, {"topologyKey": "zone", "maxSkew": 2}]},
    ),
    "a size limit": ({"emptyDir": {"sizeLimit": 1048576}}, {"emptyDir": {"sizeLimit": "1Mi"}}),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_the_first_difference_is_named_by_its_path(name: str) -> None:
    planned, live, path = DIFFERENT[name]
    assert drift.difference(planned, live) == path


@pytest.mark.parametrize("name", ALIKE)
def test_what_says_the_same_is_no_difference(name: str) -> None:
    planned, live = ALIKE[name]
    assert drift.difference(planned, live) is None


@pytest.mark.parametrize(
    ("planned", "live"),
    [
        ("1000m", "1"),
        ("0.5", "500m"),
        ("1024Mi", "1Gi"),
        ("1e3", "1k"),
        ("1.5Gi", "1536Mi"),
        ("1E", "1e18"),
        ("2000000000", "2G"),
        (2, "2"),
        (0.25, "250m"),
        (2e9, "2G"),
        ("100n", "0.1u"),
        ("-1", "-1000m"),
    ],
)
def test_one_quantity_in_two_forms_is_no_difference(planned: object, live: str) -> None:
    assert drift.difference(limits(planned), limits(live)) is None


def test_a_planned_object_is_known_by_its_name_on_the_live_one() -> None:
    fleet = fleets.Fleet()
    plan = fleet.step()
    for each in plan.apply:
        live = Child(fleet.objects[each.reference])
        assert not drift.is_outdated(each.manifest, live)
        assert (
            drift.planned_name(live.document)
            == each.manifest["metadata"]["annotations"][manifests.ANNOTATION_PLANNED]
        )


def test_an_object_of_another_plan_is_outdated_and_so_is_one_without_a_name() -> None:
    fleet = fleets.Fleet()
    (applied,) = (each for each in fleet.step().apply if each.reference.kind == "Service")
    live = fleet.objects[applied.reference]
    live["metadata"]["annotations"] = {manifests.ANNOTATION_PLANNED: "another"}
    assert drift.is_outdated(applied.manifest, Child(live))
    del live["metadata"]["annotations"]
    assert drift.is_outdated(applied.manifest, Child(live))
    assert drift.planned_name(live) is None
