"""Modules that depend on each other, or get in each other's way, on a real API server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.infrastructure import api_client, operated_namespace
from tests.infrastructure.control_plane import ControlPlane
from tests.infrastructure.operated_namespace import OperatedNamespace, output_of, spec


@pytest.fixture
def place(control_plane: ControlPlane, tmp_path: Path) -> Iterator[OperatedNamespace]:
    with operated_namespace.operated(control_plane, tmp_path, "neighbours") as place:
        yield place


def test_a_missing_dependency_is_told_with_its_mend_and_found_once_it_is_there(
    place: OperatedNamespace,
) -> None:
    reader, provider = place.module("reader"), place.module("provider")
    reader.apply(spec("reader", dependencies=[output_of("provider")]))
    told = reader.until_condition("DependenciesReady", "False", "DependencyMissing")
    assert "provider (topic MODULE-OUTPUT-PROVIDER)" in told["message"]
    assert "apply an AnalysisModule for it" in told["message"]
    assert ("deployments", "reader-0") in reader.children()
    provider.apply(spec("provider"))
    found = reader.until_condition("DependenciesReady", "True", "Found")
    assert f"{place.name}/provider" in found["message"]
    readers = [f"{place.name}/reader"]
    provider.until(lambda: provider.status.get("dependants") == readers, "the provider knows its reader")
    assert [reason for reason, _ in reader.events() if reason in ("DependencyMissing", "Found")] == [
        "DependencyMissing",
        "Found",
    ]


def test_a_suspended_dependency_is_told(place: OperatedNamespace) -> None:
    reader, provider = place.module("reader"), place.module("provider")
    provider.apply(spec("provider", suspend=True))
    reader.apply(spec("reader", dependencies=[output_of("provider")]))
    told = reader.until_condition("DependenciesReady", "False", "DependencyNotRunning")
    assert f"{place.name}/provider" in told["message"]
    provider.apply(suspend=False)
    reader.until_condition("DependenciesReady", "True")


def test_a_cycle_is_named_in_full_changes_nothing_that_runs_and_starts_nothing_new(
    place: OperatedNamespace,
) -> None:
    first, second, third = (place.module(name) for name in ("first", "second", "third"))
    first.apply(spec("first"))
    second.apply(spec("second", dependencies=[output_of("first")]))
    second.until_condition("Accepted", "True")
    first.until(lambda: ("configmaps", "first-0") in first.children(), "the first runs")
    before = first.children()["configmaps", "first-0"]["data"]
    third.apply(spec("third", dependencies=[output_of("second")]))
    third.until_condition("Accepted", "True")
    first.apply(dependencies=[output_of("third")])
    told = first.until_condition("Accepted", "False", "DependencyCycle")
    names = [f"{place.name}/{name}" for name in ("first", "third", "second", "first")]
    assert " -> ".join(names) in told["message"]
    assert first.row()["Phase"] == "Rejected"
    assert first.children()["configmaps", "first-0"]["data"] == before
    for module in (second, third):
        module.until_condition("Accepted", "False", "DependencyCycle")
    first.apply(dependencies=[])
    for module in (first, second, third):
        module.until_condition("Accepted", "True")


def test_a_module_that_depends_on_itself_in_a_new_cycle_gets_no_children(place: OperatedNamespace) -> None:
    first, second = place.module("first"), place.module("second")
    first.apply(spec("first", dependencies=[output_of("second")]))
    first.until_condition("Accepted", "True")
    second.apply(spec("second", dependencies=[output_of("first")]))
    second.until_condition("Accepted", "False", "DependencyCycle")
    assert second.children() == {}


def test_deleting_a_module_that_others_join_is_told_on_both(place: OperatedNamespace) -> None:
    reader, provider = place.module("reader"), place.module("provider")
    provider.apply(spec("provider"))
    reader.apply(spec("reader", dependencies=[output_of("provider")]))
    reader.until_condition("DependenciesReady", "True")
    provider.delete()
    reader.until_condition("DependenciesReady", "False", "DependencyMissing")
    provider.until(
        lambda: any(reason == "DependantsLeft" for reason, _ in provider.events()), "an event tells of it"
    )
    message = dict(provider.events())["DependantsLeft"]
    assert f"{place.name}/reader" in message


def test_two_modules_of_one_group_are_never_run_together(place: OperatedNamespace) -> None:
    older, younger = place.module("older"), place.module("younger")
    kafka = {"bootstrapServers": [operated_namespace.NOWHERE], "groupId": "shared"}
    older.apply(spec("older", kafka=kafka))
    older.until_condition("Accepted", "True")
    younger.apply(spec("younger", kafka=kafka))
    told = younger.until_condition("Accepted", "False", "Conflict")
    assert f"spec.kafka.groupId: {place.name}/older uses the same" in told["message"]
    assert younger.children() == {}
    assert older.condition("Accepted")["status"] == "True"
    older.delete()
    younger.until_condition("Accepted", "True")


def test_a_foreign_object_of_the_name_that_is_needed_is_left_alone(place: OperatedNamespace) -> None:
    manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "cars-0", "namespace": place.name},
        "data": {"mine": "yes"},
    }
    place.plane.api.create(manifest)
    module = place.module("cars")
    module.apply(spec("cars"))
    module.until(lambda: "Failed" in dict(module.events()), "an event tells of it")
    assert "ConfigMap cars-0 exists and is not this module's" in dict(module.events())["Failed"]
    found = place.plane.api.get(api_client.CONFIG_MAPS, "cars-0", namespace=place.name)
    assert found["data"] == {"mine": "yes"}


def test_a_paused_module_is_left_alone(place: OperatedNamespace) -> None:
    module = place.module("cars")
    module.apply(spec("cars"))
    module.until(lambda: ("configmaps", "cars-0") in module.children(), "it runs")
    pause = {"metadata": {"annotations": {"dataanalysis.io/paused": "true"}}}
    module.api.patch(api_client.MODULES, "cars", pause, namespace=place.name)
    module.api.delete(api_client.SERVICES, "cars", namespace=place.name)
    other = place.module("other")
    other.apply(spec("other"))
    other.until_condition("Assigned", "True")
    assert ("services", "cars") not in module.children()
    unpause = {"metadata": {"annotations": {"dataanalysis.io/paused": None}}}
    module.api.patch(api_client.MODULES, "cars", unpause, namespace=place.name)
    module.until(lambda: ("services", "cars") in module.children(), "it is looked after again")
