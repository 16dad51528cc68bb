"""Plans on a cluster in memory: what is made, when nothing is to be done, what an edit does."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from analysis_module import names
from analysis_operator.decisions.manifests import Reference
from analysis_operator.decisions.observed import Callback, Neighbours
from analysis_operator.decisions.options import Options
from tests.unit.analysis_operator import fleets
from tests.unit.analysis_operator.fleets import SPECS, Fleet

CODE = {"callback": Callback(text="def callback(station_id, module_input):\n    return 1\n")}


def a_fleet(name: str) -> Fleet:
    fleet = Fleet(SPECS[name])
    fleet.seen = CODE if name == "a callback in a ConfigMap" else {}
    return fleet


def reversed_keys(value: Any) -> Any:
    """The same document with its keys in another order."""
    if isinstance(value, dict):
        return {key: reversed_keys(value[key]) for key in reversed(value)}
    return [reversed_keys(each) for each in value] if isinstance(value, list) else value


class TestAFreshModule:
    def test_gets_two_objects_a_shard_and_three_for_all(self) -> None:
        plan = Fleet(fleets.with_workers(replicas=2)).plan()
        assert fleets.applied(plan) == [
            "Service demo",
            "PodDisruptionBudget demo",
            "NetworkPolicy demo",
            "ConfigMap demo-0",
            "Deployment demo-0",
            "ConfigMap demo-1",
            "Deployment demo-1",
        ]
        assert all(each.new for each in plan.apply)
        assert (plan.stamp, plan.delete) == ((), ())

    def test_gets_no_network_policy_where_they_are_switched_off(self) -> None:
        plan = Fleet(options=Options(network_policy=False)).plan()
        assert "NetworkPolicy demo" not in fleets.applied(plan)

    def test_has_its_slots_spread_evenly_under_one_epoch(self) -> None:
        fleet = Fleet(fleets.with_workers(replicas=3))
        assert fleet.step().status.epoch == 1
        assert fleet.slots() == {0: "0-21", 1: "22-42", 2: "43-63"}

    def test_owns_every_object_that_it_gets(self) -> None:
        for each in Fleet(fleets.with_workers(replicas=2)).plan().apply:
            (owner,) = each.manifest["metadata"]["ownerReferences"]
            assert (owner["kind"], owner["uid"], owner["controller"]) == ("AnalysisModule", "uid-1", True)

    def test_without_workers_gets_what_they_share_alone(self) -> None:
        plan = Fleet(SPECS["no workers"]).plan()
        assert [each.reference.kind for each in plan.apply] == [
            "Service",
            "PodDisruptionBudget",
            "NetworkPolicy",
        ]

    def test_suspended_gets_its_objects_and_no_pod(self) -> None:
        fleet = fleets.settled(SPECS["suspended"])
        assert fleet.object("Deployment", "demo-0")["spec"]["replicas"] == 0
        assert fleet.pods == {}


class TestAFixedPoint:
    def test_there_are_seventeen_specs(self) -> None:
        assert len(SPECS) == 17

    @pytest.mark.parametrize("name", SPECS)
    def test_a_second_plan_has_nothing_to_do(self, name: str) -> None:
        fleet = a_fleet(name)
        fleet.step()
        assert fleets.is_idle(fleet.plan())

    @pytest.mark.parametrize("name", SPECS)
    def test_nothing_is_to_be_done_for_a_fleet_that_runs_nor_is_anything_new_to_be_told(
        self, name: str
    ) -> None:
        fleet = a_fleet(name)
        fleet.settle()
        told = fleet.module.status
        fleet.now += 3600
        plan = fleet.plan()
        assert fleets.is_idle(plan)
        assert plan.status.to_json() == told
        assert plan.events == ()

    @pytest.mark.parametrize("name", SPECS)
    def test_the_same_keys_in_another_order_change_nothing(self, name: str) -> None:
        fleet = a_fleet(name)
        fleet.settle()
        fleet.edit(reversed_keys(SPECS[name]))
        assert fleets.is_idle(fleet.plan())

    def test_defaults_written_out_and_nulls_change_nothing(self) -> None:
        fleet = fleets.settled()
        fleet.edit(
            fleets.a_spec(
                kafka={
                    **fleets.KAFKA,
                    "groupId": None,
                    "security": {"protocol": "PLAINTEXT"},
                    "consumer": {},
                },
                inputs=[{**fleets.INPUTS[0], "arrays": [], "scope": None, "stationKey": {}}],
                padding="Zero",
                partitioning={"slots": 64, "routing": "Filtered"},
                workers={"replicas": 1, "resources": {}, "podTemplate": {}, "image": None},
                suspend=False,
            )
        )
        assert fleets.is_idle(fleet.plan())

    def test_a_plan_does_not_depend_on_the_order_of_what_is_observed(self) -> None:
        fleet = fleets.settled(fleets.with_workers(replicas=3))
        fleet.edit(fleets.a_spec(padding="Linear", workers={"replicas": 3}))
        plan = fleet.plan()
        fleet.objects = dict(reversed(fleet.objects.items()))
        assert fleet.plan() == plan


class TestAHotEdit:
    def test_reaches_the_configmaps_and_no_deployment(self) -> None:
        fleet = fleets.settled(fleets.with_workers(replicas=2))
        fleet.edit(fleets.a_spec(padding="Linear", workers={"replicas": 2}))
        plan = fleet.step()
        assert fleets.applied(plan) == ["ConfigMap demo-0", "ConfigMap demo-1"]
        assert fleets.messages(plan, "HotEdit") == [
            "shard 0: hot: spec.padding",
            "shard 1: hot: spec.padding",
        ]
        assert "RollingEdit" not in fleets.reasons(plan)

    def test_changes_no_slot_and_no_epoch(self) -> None:
        fleet = fleets.settled(fleets.with_workers(replicas=2))
        slots, epoch = fleet.slots(), fleet.plan().status.epoch
        fleet.edit(fleets.a_spec(padding="Linear", workers={"replicas": 2}))
        fleet.step()
        assert (fleet.slots(), fleet.plan().status.epoch) == (slots, epoch)


def hash_of(fleet: Fleet) -> str:
    told = fleet.assignment(0)
    assert told is not None
    return told.config_hash


def templates(fleet: Fleet) -> list[Any]:
    found = [each for each in fleet.objects if each.kind == "Deployment"]
    return [fleet.objects[each]["spec"]["template"] for each in sorted(found, key=str)]


class TestWhatNoWorkerNeedsToKnow:
    @pytest.mark.parametrize(
        "workers",
        [{"replicas": 2, "autoscaling": {"maxReplicas": 5}}, {"replicas": 3}],
        ids=["autoscaling", "replicas"],
    )
    def test_changes_neither_a_pod_nor_the_config_hash(self, workers: Any) -> None:
        fleet = fleets.settled(fleets.with_workers(replicas=2))
        before = templates(fleet), hash_of(fleet), set(fleet.pods)
        fleet.edit(fleets.with_workers(**workers))
        fleet.settle()
        assert (templates(fleet)[:2], hash_of(fleet)) == before[:2]
        assert before[2] <= set(fleet.pods)

    def test_a_suspended_module_keeps_its_templates_and_its_config_hash(self) -> None:
        fleet = fleets.settled(fleets.with_workers(replicas=2))
        before = templates(fleet), hash_of(fleet), fleet.slots()
        fleet.edit(fleets.a_spec(workers={"replicas": 2}, suspend=True))
        fleet.settle()
        assert fleet.pods == {}
        assert (templates(fleet), hash_of(fleet), fleet.slots()) == before
        fleet.edit(fleets.with_workers(replicas=2))
        fleet.settle()
        assert (templates(fleet), hash_of(fleet), fleet.slots()) == before
        assert len(fleet.pods) == 2


class TestObjectsBeyondThePlan:
    def test_are_deleted_deployments_first(self) -> None:
        fleet = fleets.settled(fleets.with_workers(replicas=3))
        fleet.edit(fleets.with_workers(replicas=1))
        deleted = [str(each) for plan in fleet.settle() for each in plan.delete]
        assert deleted == ["Deployment demo-1", "Deployment demo-2", "ConfigMap demo-1", "ConfigMap demo-2"]

    def test_go_when_network_policies_are_switched_off(self) -> None:
        fleet = fleets.settled()
        fleet.options = Options(network_policy=False)
        assert fleet.plan().delete == (Reference("NetworkPolicy", "demo"),)

    def test_a_copy_of_a_shards_configmap_goes_and_is_not_believed(self) -> None:
        fleet = fleets.settled(fleets.with_workers(replicas=2))
        copied = fleet.object("ConfigMap", "demo-1")
        labels = {**copied["metadata"]["labels"], names.LABEL_SHARD: "0"}
        metadata = {**copied["metadata"], "name": "copied", "labels": labels}
        fleet.objects[Reference("ConfigMap", "copied")] = {**copied, "metadata": metadata}
        plan = fleet.plan()
        assert plan.apply == ()
        assert plan.delete == (Reference("ConfigMap", "copied"),)


REFUSED: dict[str, tuple[Callable[[Fleet], None], str, str]] = {
    "another window size than a number": (
        lambda fleet: fleet.edit(fleets.a_spec(expireAfterSeconds="soon")),
        "InvalidSpec",
        "spec.expireAfterSeconds",
    ),
    "a cycle": (
        lambda fleet: fleet.seen.update(neighbours=Neighbours(cycle=("default/demo", "default/other"))),
        "DependencyCycle",
        "default/demo -> default/other -> default/demo",
    ),
    "a conflict": (
        lambda fleet: fleet.seen.update(neighbours=Neighbours(conflicts=(("spec.kafka.groupId", "a/b"),))),
        "Conflict",
        "spec.kafka.groupId: a/b uses the same; give this module another one",
    ),
    "a missing callback": (
        lambda fleet: (
            fleet.edit(fleets.a_spec(callback={"configMapRef": {"name": "code"}})),
            fleet.seen.update(callback=Callback(missing="there is no ConfigMap code; apply it")),
        )[0],
        "CallbackMissing",
        "spec.callback.configMapRef: there is no ConfigMap code; apply it",
    ),
    "more than a ConfigMap holds": (
        lambda fleet: fleet.edit(fleets.a_spec(callback={"source": "# " + "阿" * 200_000})),
        "TooLarge",
        "give an entrypoint",
    ),
    "a pod template that lifts its restrictions": (
        lambda fleet: fleet.edit(fleets.with_overlay({"hostNetwork": True})),
        "InvalidSpec",
        "spec.workers.podTemplate.spec.hostNetwork",
    ),
}


class TestARefusedSpec:
    @pytest.mark.parametrize("name", REFUSED)
    def test_changes_nothing_that_runs_and_says_why(self, name: str) -> None:
        refuse, reason, said = REFUSED[name]
        fleet = fleets.settled(fleets.with_workers(replicas=2))
        refuse(fleet)
        plan = fleet.plan()
        assert fleets.is_idle(plan)
        assert plan.status.phase == "Rejected"
        value, because, message = fleets.condition(plan, "Accepted")
        assert (value, because) == ("False", reason)
        assert said in message
        assert message.endswith("What runs already goes on unchanged")
        assert ("Warning", reason) in [(event.kind, event.reason) for event in plan.events]

    def test_that_never_ran_is_not_said_to_go_on(self) -> None:
        plan = Fleet(fleets.a_spec(module="?")).plan()
        assert "goes on" not in fleets.condition(plan, "Accepted")[2]

    def test_has_every_problem_in_its_message(self) -> None:
        fleet = Fleet(fleets.with_overlay({"hostPID": True, "hostIPC": True, "serviceAccountName": "admin"}))
        message = fleets.condition(fleet.plan(), "Accepted")[2]
        assert all(name in message for name in ("hostPID", "hostIPC", "serviceAccountName"))

    def test_keeps_the_figures_and_the_conditions_that_it_had(self) -> None:
        fleet = fleets.settled(fleets.with_workers(replicas=2))
        before = fleet.plan().status
        fleet.edit(fleets.a_spec(expireAfterSeconds="soon"))
        after = fleet.plan().status
        assert (after.ready, after.shards, after.config) == (before.ready, before.shards, before.config)
        assert {each.type for each in after.conditions} == {each.type for each in before.conditions}
        assert after.observed_generation == 2

    def test_mended_runs_on_as_if_nothing_had_been(self) -> None:
        fleet = fleets.settled()
        pods = set(fleet.pods)
        fleet.edit(fleets.a_spec(expireAfterSeconds="soon"))
        fleet.settle()
        fleet.edit(fleets.SHORTEST)
        plan = fleet.plan()
        assert fleets.is_idle(plan)
        assert plan.status.phase == "Running"
        assert "Accepted" in fleets.reasons(plan)
        assert set(fleet.pods) == pods

    def test_inline_code_is_refused_where_it_is_switched_off(self) -> None:
        for name, path in (
            ("inline source", "spec.callback.source"),
            ("a callback in a ConfigMap", "spec.callback.configMapRef"),
        ):
            fleet = Fleet(SPECS[name], Options(allow_inline_source=False))
            message = fleets.condition(fleet.plan(), "Accepted")[2]
            assert message.startswith(f"{path}: the operator's owner has switched off")
            assert "entrypoint" in message


class TestWhenToLookAgain:
    def test_a_fleet_that_runs_is_looked_at_at_the_usual_pace(self) -> None:
        fleet = fleets.settled(options=Options(status_seconds=42))
        assert fleet.plan().look_again_seconds == 42

    def test_soon_after_a_stamp(self) -> None:
        fleet = fleets.settled()
        fleet.edit(fleets.a_spec(padding="Linear"))
        fleet.step()
        assert fleet.step().look_again_seconds < 1
        assert fleet.plan().look_again_seconds < 1

    def test_a_refused_spec_at_the_usual_pace(self) -> None:
        assert Fleet(fleets.a_spec(module="?"), Options(status_seconds=42)).plan().look_again_seconds == 42


def test_every_object_lies_in_the_modules_namespace() -> None:
    fleet = Fleet()
    fleet.module = dataclasses.replace(fleet.module, key=fleet.module.key._replace(namespace="other"))
    assert {each.manifest["metadata"]["namespace"] for each in fleet.plan().apply} == {"other"}
