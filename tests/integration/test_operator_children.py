"""What the operator made stays as planned on a real API server, and nothing else is touched."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from analysis_module import names
from tests.infrastructure import api_client, operated_namespace, waiting
from tests.infrastructure.control_plane import ControlPlane
from tests.infrastructure.module_driver import CHILDREN, ModuleDriver
from tests.infrastructure.operated_namespace import OperatedNamespace

REPAIRED_WITHIN_SECONDS = 2.0
BY_PLURAL = {resource.plural: resource for resource in CHILDREN}


@pytest.fixture(scope="module")
def place(
    control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OperatedNamespace]:
    directory: Path = tmp_path_factory.mktemp("operator")
    settings = {"resyncSeconds": 1}
    with operated_namespace.operated(control_plane, directory, "children", settings) as place:
        yield place


@pytest.fixture(scope="module")
def module(place: OperatedNamespace) -> ModuleDriver:
    module = place.module("cars")
    module.apply(operated_namespace.spec("cars", workers={"replicas": 2}))
    module.until_condition("KafkaReachable", "False")
    module.until_condition("Assigned", "True")
    return module


def test_each_child_is_there_and_belongs_to_the_module(module: ModuleDriver) -> None:
    children = module.children()
    assert set(children) == {
        ("configmaps", "cars-0"),
        ("configmaps", "cars-1"),
        ("deployments", "cars-0"),
        ("deployments", "cars-1"),
        ("services", "cars"),
        ("poddisruptionbudgets", "cars"),
        ("networkpolicies", "cars"),
    }
    owners = {each["metadata"]["ownerReferences"][0]["uid"] for each in children.values()}
    assert owners == {module.get()["metadata"]["uid"]}


def test_the_module_bears_no_finalizer_and_no_annotation_of_ours(module: ModuleDriver) -> None:
    metadata = module.get()["metadata"]
    assert "finalizers" not in metadata
    assert "annotations" not in metadata


@pytest.mark.parametrize("plural", BY_PLURAL)
def test_a_deleted_child_is_there_again(place: OperatedNamespace, module: ModuleDriver, plural: str) -> None:
    name = min(name for each, name in module.children() if each == plural)
    resource = BY_PLURAL[plural]
    before = module.api.get(resource, name, namespace=module.namespace)
    module.api.delete(resource, name, namespace=module.namespace)

    def is_back() -> bool:
        found = module.api.find(resource, name, namespace=module.namespace)
        return found is not None and found["metadata"]["uid"] != before["metadata"]["uid"]

    waiting.until(is_back, what=f"{plural} {name} is back", timeout_seconds=REPAIRED_WITHIN_SECONDS)
    after = module.api.get(resource, name, namespace=module.namespace)
    assert after.get("data") == before.get("data")
    module.until(lambda: _was_told_of(module, f"{before['kind']} {name} was deleted"), "an event tells of it")


EDITS: dict[str, tuple[str, str, dict[str, Any], Callable[[dict[str, Any]], bool]]] = {
    "the image": (
        "deployments",
        "cars-0",
        {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 1}}}},
        lambda found: found["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 30,
    ),
    "the replicas": (
        "deployments",
        "cars-1",
        {"spec": {"replicas": 3}},
        lambda found: found["spec"]["replicas"] == 1,
    ),
    "the Assignment": (
        "configmaps",
        "cars-1",
        {"data": {"assignment.json": "{}"}},
        lambda found: '"slots"' in found["data"]["assignment.json"],
    ),
    "a label": (
        "services",
        "cars",
        {"metadata": {"labels": {"app.kubernetes.io/managed-by": None}}},
        lambda found: "app.kubernetes.io/managed-by" in found["metadata"]["labels"],
    ),
    "the budget": (
        "poddisruptionbudgets",
        "cars",
        {"spec": {"maxUnavailable": 2}},
        lambda found: found["spec"]["maxUnavailable"] == 1,
    ),
    "the ports": (
        "networkpolicies",
        "cars",
        {"spec": {"ingress": [{}]}},
        lambda found: "ports" in found["spec"]["ingress"][0],
    ),
}


@pytest.mark.parametrize("what", EDITS)
def test_an_edited_child_is_as_planned_again(module: ModuleDriver, what: str) -> None:
    plural, name, change, mended = EDITS[what]
    resource = BY_PLURAL[plural]
    edited = module.api.patch(resource, name, change, namespace=module.namespace)
    waiting.until(
        lambda: mended(module.api.get(resource, name, namespace=module.namespace)),
        what=f"{what} is mended",
        timeout_seconds=REPAIRED_WITHIN_SECONDS,
    )
    if what != "a label":  # then it looks deleted for a moment
        module.until(
            lambda: _was_told_of(module, f"{edited['kind']} {name} was changed at"), "an event tells of it"
        )


def test_slots_survive_an_edited_assignment(module: ModuleDriver) -> None:
    told = module.assignments()
    assert {number: len(each.slots) for number, each in told.items()} == {0: 32, 1: 32}


def test_what_others_add_stays_and_causes_no_write(place: OperatedNamespace, module: ModuleDriver) -> None:
    settled(place, module)
    place.mark()
    name = "cars-0"
    foreign = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "namespace": module.namespace,
            "annotations": {"example.com/owner": "team-a"},
            "labels": {"example.com/cost": "42"},
        },
    }
    module.api.apply(foreign, manager="somebody-else")
    resyncs(place, 3)
    found = module.api.get(api_client.DEPLOYMENTS, name, namespace=module.namespace)
    assert found["metadata"]["annotations"]["example.com/owner"] == "team-a"
    assert found["metadata"]["labels"]["example.com/cost"] == "42"
    assert place.writes() == []


def test_20_idle_resyncs_write_nothing(place: OperatedNamespace, module: ModuleDriver) -> None:
    settled(place, module)
    place.mark()
    resyncs(place, 20)
    assert place.writes() == []


def test_an_edit_that_means_the_same_writes_nothing(place: OperatedNamespace) -> None:
    module = place.module("whole")
    module.api.create(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "code", "namespace": place.name},
            "data": {"callback.py": "def callback(station_id, module_input):\n    return {}\n"},
        }
    )
    module.apply(operated_namespace.spec("whole", **SECTIONS))
    module.until_condition("Accepted", "True")
    settled(place, module)
    before = module.get()
    crd = place.plane.api.get(api_client.CRDS, f"{names.PLURAL}.{names.API_GROUP}")
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    written_out = turned_and_written_out(schema, module.spec)
    assert written_out == before["spec"] != module.spec
    place.mark()
    module.apply(written_out)
    resyncs(place, 2)
    after = module.get()
    assert after["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"]
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    assert place.writes() == []


def test_of_an_edit_that_says_what_holds_anyway_only_its_generation_is_told(
    place: OperatedNamespace, module: ModuleDriver
) -> None:
    settled(place, module)
    before = module.get()["metadata"]["generation"]
    place.mark()
    module.apply(
        stations={"include": []},
        partitioning={"slots": 64, "routing": "Filtered"},
        output={"enabled": True},
        errors={"retries": 0, "breaker": {"failures": 0}},
    )
    generation = module.get()["metadata"]["generation"]
    assert generation > before
    module.until(lambda: module.status["observedGeneration"] == generation, "the edit is seen")
    resyncs(place, 2)
    assert set(place.writes()) == {"patch analysismodules cars status"}


SECTIONS: dict[str, Any] = {
    "kafka": {"bootstrapServers": [operated_namespace.NOWHERE], "security": {}},
    "stations": {},
    "inputs": [{"topic": "SCHEDULE-CAR-ORDER", "fields": ["currentSOC", "targetSOC"], "stationKey": {}}],
    "dependencies": [operated_namespace.output_of("cars")],
    "trigger": {},
    "callback": {"configMapRef": {"name": "code"}},
    "output": {},
    "errors": {"breaker": {}},
    "partitioning": {},
    "workers": {"autoscaling": {}},
    "observability": {},
}
"""Every part of a spec that has fields with defaults, which hold only where the part is there."""


def turned_and_written_out(schema: Mapping[str, Any], value: Any) -> Any:
    """The value with the schema's defaults, as the API server fills them in, its keys turned round."""
    if isinstance(value, list):
        return [turned_and_written_out(schema["items"], each) for each in value]
    if not isinstance(value, dict):
        return value
    known = schema.get("properties", {})
    defaults = {key: each["default"] for key, each in known.items() if "default" in each}
    whole = {**defaults, **value}
    return {key: turned_and_written_out(known.get(key, {}), whole[key]) for key in reversed(whole)}


def settled(place: OperatedNamespace, module: ModuleDriver) -> None:
    """Wait until the operator has said all that there is to say of what happened before."""

    def quiet() -> bool:
        place.mark()
        resyncs(place, 2)
        return not place.writes()

    module.until(quiet, "the operator has nothing to write")


def resyncs(place: OperatedNamespace, count: int) -> None:
    """Wait for so many whole comparisons with the API server."""
    name = "analysis_operator_resyncs_total"
    wanted = place.operator.metric(name) + count + 1
    waiting.until(lambda: place.operator.metric(name) >= wanted, what=f"{count} resyncs", timeout_seconds=120)


def _was_told_of(module: ModuleDriver, text: str) -> bool:
    return any(reason == "Repaired" and text in message for reason, message in module.events())
