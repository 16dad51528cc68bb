"""Edits that replace workers, on a cluster in memory: one at a time, and an upgrade of the operator."""

from typing import Any

import pytest

from analysis_module import names
from analysis_operator.decisions import pods
from analysis_operator.decisions.options import Options
from analysis_operator.decisions.planning import Plan
from tests.unit.analysis_operator import fleets
from tests.unit.analysis_operator.fleets import Fleet

JSON_LOGS = {"observability": {"logFormat": "json"}}
OTHER_IMAGE = "analysis-worker:0.2.0"
OTHER_RESOURCES = {"requests": {"cpu": "2"}}


def running(replicas: int = 3, options: Options | None = None, **spec: Any) -> Fleet:
    return fleets.settled(fleets.a_spec(workers={"replicas": replicas}, **spec), options)


def roll(fleet: Fleet, **spec: Any) -> Plan:
    """Make an edit that replaces workers, and the first pass after it."""
    replicas = fleet.module.spec["workers"]["replicas"]
    fleet.edit(fleets.a_spec(workers={"replicas": replicas}, **{**JSON_LOGS, **spec}))
    return fleet.step()


def deployments(plan: Plan) -> list[str]:
    return [each.reference.name for each in plan.apply if each.reference.kind == "Deployment"]


def config_maps(plan: Plan) -> list[str]:
    return [each.reference.name for each in plan.apply if each.reference.kind == "ConfigMap"]


class TestARollingEdit:
    def test_replaces_one_shard_and_tells_it_alone(self) -> None:
        plan = roll(running())
        assert (config_maps(plan), deployments(plan)) == (["demo-0"], ["demo-0"])
        assert fleets.messages(plan, "RollingEdit") == ["shard 0: rolling: spec.observability.logFormat"]

    def test_waits_for_the_new_pod_though_the_old_one_still_looks_ready(self) -> None:
        fleet = running()
        roll(fleet)
        assert fleet.pod(0).ready
        assert fleets.is_idle(fleet.plan())

    def test_waits_until_the_new_pod_is_ready(self) -> None:
        fleet = running()
        roll(fleet)
        fleet.run_pods(ready=False)
        assert fleets.is_idle(fleet.plan())
        fleet.change_pod(0, ready=True)
        assert deployments(fleet.plan()) == ["demo-1"]

    def test_goes_on_from_shard_to_shard_to_the_end(self) -> None:
        fleet = running()
        order = deployments(roll(fleet))
        for _ in range(5):
            fleet.run_pods()
            order += deployments(fleet.step())
        assert order == ["demo-0", "demo-1", "demo-2"]
        assert fleets.is_idle(fleet.plan())

    def test_takes_as_many_at_a_time_as_the_options_say(self) -> None:
        assert deployments(roll(running(5, Options(rollout=2)))) == ["demo-0", "demo-1"]

    def test_leaves_waiting_shards_their_old_spec(self) -> None:
        fleet = running()
        before = fleet.assignment(1)
        roll(fleet, padding="Linear")
        assert fleet.assignment(1) == before
        assert fleet.assignment(0) != before

    def test_moves_no_slot(self) -> None:
        fleet = running()
        before = fleet.slots()
        roll(fleet)
        fleet.settle()
        assert fleet.slots() == before

    def test_replaces_shards_that_are_not_ready_first_and_then_no_ready_one(self) -> None:
        fleet = running()
        fleet.change_pod(2, ready=False)
        assert deployments(roll(fleet)) == ["demo-2"]

    def test_replaces_all_that_are_not_ready_at_once(self) -> None:
        fleet = running()
        for shard in range(3):
            fleet.change_pod(shard, ready=False)
        assert deployments(roll(fleet)) == ["demo-0", "demo-1", "demo-2"]

    def test_of_a_suspended_module_needs_no_turns(self) -> None:
        fleet = running(suspend=True)
        assert deployments(roll(fleet, suspend=True)) == ["demo-0", "demo-1", "demo-2"]

    def test_taken_back_leaves_those_that_waited_alone(self) -> None:
        fleet = running()
        waiting = {fleet.pod(1).name, fleet.pod(2).name}
        roll(fleet)
        fleet.run_pods()
        fleet.edit(fleets.with_workers(replicas=3))
        fleet.settle()
        assert waiting < set(fleet.pods)

    def test_does_not_stamp_a_pod_that_is_replaced(self) -> None:
        fleet = running()
        assert roll(fleet).stamp == ()
        assert fleet.plan().stamp == ()

    def test_under_way_is_told_by_its_condition(self) -> None:
        status = fleets.condition(roll(running()), "Progressing")
        assert status == ("True", "RollingOut", "shards 1, 2 wait for their turn")

    def test_and_a_change_of_scale_at_once_still_reach_the_whole(self) -> None:
        fleet = running()
        fleet.edit(fleets.a_spec(workers={"replicas": 5}, **JSON_LOGS))
        fleet.settle()
        assert fleet.owned_twice() == set()
        hashes = {worker.assignment.config_hash for worker in fleet.workers.values()}
        assert (len(fleet.workers), len(hashes)) == (5, 1)


@pytest.mark.parametrize(
    "workers",
    [
        {"image": "registry.example/other:1"},
        {"resources": {"limits": {"memory": "3Gi"}}},
        {"podTemplate": {"metadata": {"labels": {"team": "grid"}}}},
    ],
    ids=["image", "resources", "podTemplate"],
)
def test_edits_of_the_pod_itself_replace_workers_and_change_no_config(workers: dict[str, Any]) -> None:
    fleet = running(1)
    before = fleet.assignment(0)
    fleet.edit(fleets.with_workers(replicas=1, **workers))
    plan = fleet.step()
    assert fleets.applied(plan) == ["Deployment demo-0"]
    assert fleets.messages(plan, "RollingEdit") == [
        "shard 0: rolling: spec.workers, or the operator's defaults"
    ]
    assert fleet.assignment(0) == before


UPGRADES = {
    "image": Options(worker_image=OTHER_IMAGE),
    "resources": Options(resources=OTHER_RESOURCES),
    "pull policy": Options(image_pull_policy="Always"),
    "pull secrets": Options(image_pull_secrets=("registry",)),
    "inline source": Options(allow_inline_source=False),
}


class TestAnUpgradeOfTheOperator:
    @pytest.mark.parametrize("name", UPGRADES)
    def test_changes_no_object(self, name: str) -> None:
        fleet = running()
        fleet.options = UPGRADES[name]
        assert fleets.is_idle(fleet.plan())

    def test_reaches_workers_with_the_next_edit_that_replaces_them(self) -> None:
        fleet = running(1)
        fleet.options = Options(worker_image=OTHER_IMAGE, resources=OTHER_RESOURCES)
        roll(fleet)
        (container,) = fleet.object("Deployment", "demo-0")["spec"]["template"]["spec"]["containers"]
        assert (container["image"], container["resources"]) == (OTHER_IMAGE, OTHER_RESOURCES)
        assert fleets.is_idle(fleet.plan())

    def test_reaches_no_worker_with_a_hot_edit(self) -> None:
        fleet = running(1)
        fleet.options = Options(worker_image=OTHER_IMAGE)
        fleet.edit(fleets.a_spec(padding="Linear", workers={"replicas": 1}))
        assert fleets.applied(fleet.plan()) == ["ConfigMap demo-0"]

    def test_gives_new_shards_the_new_defaults_and_old_ones_theirs(self) -> None:
        fleet = running(1)
        fleet.options = Options(worker_image=OTHER_IMAGE)
        fleet.edit(fleets.with_workers(replicas=2))
        fleet.settle()
        images = [
            fleet.object("Deployment", f"demo-{shard}")["spec"]["template"]["spec"]["containers"][0]["image"]
            for shard in range(2)
        ]
        assert images == [Options().worker_image, OTHER_IMAGE]

    def test_replaces_workers_one_at_a_time_where_that_is_asked_for(self) -> None:
        fleet = running()
        fleet.options = Options(worker_image=OTHER_IMAGE, roll_on_upgrade=True)
        plan = fleet.step()
        assert fleets.applied(plan) == ["Deployment demo-0"]
        assert len(fleets.messages(plan, "RollingEdit")) == 1
        assert fleets.is_idle(fleet.plan())
        fleet.run_pods()
        assert deployments(fleet.step()) == ["demo-1"]

    def test_replaces_nobody_who_has_an_image_of_his_own(self) -> None:
        fleet = fleets.settled(fleets.SPECS["an image"])
        fleet.options = Options(worker_image=OTHER_IMAGE, roll_on_upgrade=True)
        assert fleets.is_idle(fleet.plan())

    def test_is_not_smuggled_in_by_the_annotation_that_remembers_defaults(self) -> None:
        fleet = running(1)
        metadata = fleet.object("Deployment", "demo-0")["metadata"]
        (name,) = (each for each in metadata["annotations"] if each.endswith("/defaults"))
        metadata["annotations"][name] = '{"worker_image": "registry.example/evil:1"}'
        plan = fleet.step()
        (applied,) = plan.apply
        assert applied.drifted == f"metadata.annotations.{name}"
        assert "evil" not in str(applied.manifest)
        assert fleets.is_idle(fleet.plan())


def test_the_rollout_stands_on_the_pod_template_alone() -> None:
    fleet = running(1)
    document = fleet.object("Deployment", "demo-0")
    assert pods.ANNOTATION_ROLLOUT not in document["metadata"]["annotations"]
    assert pods.ANNOTATION_ROLLOUT in document["spec"]["template"]["metadata"]["annotations"]
    assert names.ANNOTATION_CONFIG_STAMP not in document["spec"]["template"]["metadata"]["annotations"]
