"""What others have changed is mended and told, what they have added stays; pods are stamped when due."""

from typing import Any

import pytest

from analysis_operator.decisions import planning
from analysis_operator.decisions.manifests import Reference
from tests.unit.analysis_operator import fleets
from tests.unit.analysis_operator.fleets import Fleet

DEPLOYMENT = Reference("Deployment", "demo-0")
CONTAINER = ("spec", "template", "spec", "containers", "0")
IN_CONTAINER = "spec.template.spec.containers[name=worker]"

CHANGES: dict[str, tuple[Reference, tuple[str, ...], Any, str]] = {
    "replicas": (DEPLOYMENT, ("spec", "replicas"), 3, "spec.replicas"),
    "an image": (DEPLOYMENT, (*CONTAINER, "image"), "evil:1", f"{IN_CONTAINER}.image"),
    "a label": (DEPLOYMENT, ("metadata", "labels", "app.kubernetes.io/name"), "x", "metadata.labels."),
    "a right": (
        DEPLOYMENT,
        (*CONTAINER, "securityContext", "allowPrivilegeEscalation"),
        True,
        f"{IN_CONTAINER}.securityContext.allowPrivilegeEscalation",
    ),
    "a limit": (
        DEPLOYMENT,
        (*CONTAINER, "resources", "limits", "memory"),
        "2Gi",
        f"{IN_CONTAINER}.resources.limits.memory",
    ),
    "data": (Reference("ConfigMap", "demo-0"), ("data", "assignment.json"), "{}", "data.assignment.json"),
    "a selector": (Reference("Service", "demo"), ("spec", "selector"), {"a": "b"}, "spec.selector."),
    "a bound": (Reference("PodDisruptionBudget", "demo"), ("spec", "maxUnavailable"), 5, "maxUnavailable"),
    "a way in": (Reference("NetworkPolicy", "demo"), ("spec", "ingress"), [{}], "spec.ingress[0].ports"),
}
REMOVALS: dict[str, tuple[Reference, tuple[str, ...]]] = {
    "the owner": (DEPLOYMENT, ("metadata", "ownerReferences")),
    "a probe": (DEPLOYMENT, (*CONTAINER, "livenessProbe")),
    "the token's absence": (DEPLOYMENT, ("spec", "template", "spec", "automountServiceAccountToken")),
    "an annotation": (DEPLOYMENT, ("metadata", "annotations", "dataanalysis.io/defaults")),
    "ingress": (Reference("NetworkPolicy", "demo"), ("spec", "ingress")),
}
ADDITIONS: dict[str, tuple[Reference, tuple[str, ...], Any]] = {
    "an annotation": (DEPLOYMENT, ("metadata", "annotations", "example.com/by"), "them"),
    "a label": (Reference("Service", "demo"), ("metadata", "labels", "team"), "grid"),
    "a field": (DEPLOYMENT, ("spec", "minReadySeconds"), 5),
    "data": (Reference("ConfigMap", "demo-0"), ("data", "note"), "theirs"),
    "a pod's annotation": (
        DEPLOYMENT,
        ("spec", "template", "metadata", "annotations", "kubectl.kubernetes.io/restartedAt"),
        "2026-01-01T00:00:00Z",
    ),
}


class TestWhatOthersChange:
    @pytest.mark.parametrize("name", CHANGES)
    def test_is_put_right_once_and_named_by_its_field(self, name: str) -> None:
        reference, path, value, where = CHANGES[name]
        fleet = fleets.settled()
        fleet.change(reference, path, value)
        plan = fleet.step()
        assert [each.reference for each in plan.apply] == [reference]
        (message,) = fleets.messages(plan, "Repaired")
        assert message.startswith(f"{reference} was changed at ")
        assert where in message
        assert fleets.is_idle(fleet.plan())

    @pytest.mark.parametrize("name", REMOVALS)
    def test_or_remove_is_there_again(self, name: str) -> None:
        reference, path = REMOVALS[name]
        fleet = fleets.settled()
        before = fleets.at(fleet.objects[reference], path)
        fleet.change(reference, path, None)
        (message,) = fleets.messages(fleet.step(), "Repaired")
        assert f"changed at {path[0]}" in message
        assert fleets.at(fleet.objects[reference], path) == before

    @pytest.mark.parametrize("name", ADDITIONS)
    def test_or_add_stays_and_costs_no_write(self, name: str) -> None:
        reference, path, value = ADDITIONS[name]
        fleet = fleets.settled()
        fleet.change(reference, path, value)
        assert fleets.is_idle(fleet.plan())
        fleet.edit(fleets.a_spec(padding="Linear", observability={"logFormat": "json"}))
        fleet.settle()
        assert fleets.at(fleet.objects[reference], path) == value

    @pytest.mark.parametrize(
        "reference",
        [
            DEPLOYMENT,
            Reference("Service", "demo"),
            Reference("PodDisruptionBudget", "demo"),
            Reference("NetworkPolicy", "demo"),
        ],
        ids=str,
    )
    def test_or_delete_is_made_again_and_told(self, reference: Reference) -> None:
        fleet = fleets.settled()
        before = fleet.objects.pop(reference)
        plan = fleet.step()
        assert fleets.messages(plan, "Repaired") == [f"{reference} was deleted and is there again"]
        assert fleet.objects[reference]["spec"] == before["spec"]

    def test_is_no_repair_where_a_new_spec_wants_it_otherwise(self) -> None:
        fleet = fleets.settled()
        fleet.edit(fleets.with_workers(replicas=2, image="registry.example/other:1"))
        assert "Repaired" not in [reason for plan in fleet.settle() for reason in fleets.reasons(plan)]

    def test_a_lost_deployment_gets_the_defaults_of_now(self) -> None:
        fleet = fleets.settled()
        del fleet.objects[DEPLOYMENT]
        fleet.settle()
        assert fleets.is_idle(fleet.plan())


def hot_edit(fleet: Fleet) -> None:
    replicas = len(fleet.pods)
    fleet.edit(fleets.a_spec(padding="Linear", workers={"replicas": replicas}))


def stamped(fleet: Fleet) -> list[str]:
    return [each.pod for each in fleet.step().stamp]


class TestStamps:
    def test_reach_every_pod_with_the_configmap(self) -> None:
        fleet = fleets.settled(fleets.with_workers(replicas=2))
        hot_edit(fleet)
        plan = fleet.step()
        assert {each.pod for each in plan.stamp} == set(fleet.pods)
        desired = plan.status.config.desired
        assert {each.value for each in plan.stamp} == {f"{desired}-1.{int(fleets.NOW)}"}

    def test_are_given_once_and_again_after_ten_seconds(self) -> None:
        fleet = fleets.settled()
        hot_edit(fleet)
        assert len(stamped(fleet)) == 1
        for seconds, due in ((0, 0), (5, 0), (5, 0), (1, 1), (1, 0), (9, 0), (1, 1)):
            fleet.now += seconds
            assert len(stamped(fleet)) == due, fleet.now - fleets.NOW

    def test_are_given_anew_for_the_next_edit(self) -> None:
        fleet = fleets.settled()
        hot_edit(fleet)
        stamped(fleet)
        fleet.edit(fleets.a_spec(padding="Forward"))
        assert len(stamped(fleet)) == 1

    def test_are_given_for_a_new_epoch_too(self) -> None:
        fleet = fleets.settled()
        fleet.edit(fleets.with_workers(replicas=2))
        fleet.step()
        fleet.run_pods()
        assert len(stamped(fleet)) == 1

    def test_end_once_the_worker_runs_it(self) -> None:
        fleet = fleets.settled()
        hot_edit(fleet)
        stamped(fleet)
        fleet.run_workers()
        fleet.now += 60
        assert stamped(fleet) == []

    def test_are_not_given_to_a_worker_that_has_refused(self) -> None:
        fleet = fleets.settled()
        hot_edit(fleet)
        stamped(fleet)
        fleet.run_workers(refusal="spec.padding: is wrong; mend it")
        fleet.now += 60
        assert stamped(fleet) == []
        assert fleets.condition(fleet.plan(), "ConfigApplied")[1] == "Refused"

    @pytest.mark.parametrize("change", [{"terminating": True}, {"alive": False}], ids=str)
    def test_are_not_given_to_a_pod_on_its_way_out(self, change: dict[str, Any]) -> None:
        fleet = fleets.settled()
        hot_edit(fleet)
        fleet.change_pod(0, **change)
        assert stamped(fleet) == []

    def test_are_not_given_to_a_pod_that_says_nothing(self) -> None:
        fleet = fleets.settled()
        hot_edit(fleet)
        fleet.silent = set(fleet.pods)
        assert stamped(fleet) == []

    def test_are_not_given_to_a_shard_that_waits_for_its_turn(self) -> None:
        fleet = fleets.settled(fleets.with_workers(replicas=2))
        fleet.edit(
            fleets.a_spec(padding="Linear", observability={"logFormat": "json"}, workers={"replicas": 2})
        )
        assert stamped(fleet) == []

    @pytest.mark.parametrize("stamp", [None, "", "nonsense", "a.b", "a.-5", ".", "…"])
    def test_that_others_wrote_count_as_none(self, stamp: str | None) -> None:
        fleet = fleets.settled()
        hot_edit(fleet)
        fleet.change_pod(0, stamp=stamp)
        assert len(stamped(fleet)) == 1

    def test_are_repeated_after_as_long_as_the_constant_says(self) -> None:
        assert planning.STAMP_AGAIN_SECONDS == 10
