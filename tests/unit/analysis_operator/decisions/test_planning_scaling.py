"""Changes of the number of workers, on a cluster in memory: no slot is ever owned twice."""

import pytest

from analysis_module import status
from analysis_operator.decisions.manifests import Reference
from analysis_operator.decisions.planning import Plan
from tests.unit.analysis_operator import fleets
from tests.unit.analysis_operator.fleets import Fleet

HALVES = {0: "0-31", 1: "32-63"}


def scale(fleet: Fleet, replicas: int) -> None:
    fleet.edit(fleets.with_workers(replicas=replicas))


def steps(fleet: Fleet, *, most: int = 40) -> list[Plan]:
    """Let operator, pods and workers act in turns, each in small steps, and look after each of them."""
    plans = []
    for turn in range(most):
        plans.append(fleet.step())
        assert fleet.owned_twice() == set()
        fleet.run_pods()
        assert fleet.owned_twice() == set()
        fleet.run_workers(drain=turn % 3 == 2)
        assert fleet.owned_twice() == set()
    return plans


def test_scaled_from_2_to_5_to_3_no_slot_is_owned_twice_and_all_are_in_the_end() -> None:
    fleet = fleets.settled(fleets.with_workers(replicas=2))
    for replicas in (5, 3):
        scale(fleet, replicas)
        steps(fleet)
        assert fleets.is_idle(fleet.plan())
        told = [fleet.worker(shard).assignment.slots for shard in range(replicas)]
        assert frozenset().union(*told) == frozenset(range(64))
        assert max(map(len, told)) - min(map(len, told)) <= 1
        assert len(fleet.pods) == replicas


def test_scaled_up_nobody_lets_go_before_the_gainers_pod_is_ready() -> None:
    fleet = fleets.settled(fleets.with_workers(replicas=2))
    scale(fleet, 3)
    fleet.step()
    fleet.run_pods(ready=False)
    fleet.run_workers()
    fleet.step()
    assert fleet.slots() == {**HALVES, 2: ""}
    assert fleets.condition(fleet.plan(), "Progressing")[:2] == ("True", "Starting")
    fleet.change_pod(2, ready=True)
    fleet.settle()
    assert fleet.slots() == {0: "0-21", 1: "32-52", 2: "22-31,53-63"}


def test_scaled_down_nobody_lets_go_to_a_shard_whose_pod_is_not_ready() -> None:
    fleet = fleets.settled(fleets.with_workers(replicas=2))
    fleet.change_pod(0, ready=False)
    scale(fleet, 1)
    assert fleet.step().delete == ()
    assert fleet.slots() == HALVES
    fleet.change_pod(0, ready=True)
    fleet.settle()
    assert fleet.slots() == {0: "0-63"}


def test_a_shard_that_does_not_serve_lets_go_at_once() -> None:
    fleet = fleets.settled(fleets.with_workers(replicas=2))
    fleet.change_pod(1, ready=False)
    scale(fleet, 3)
    fleet.step()
    fleet.run_workers()
    fleet.step()
    assert fleet.slots() == {0: "0-31", 1: "32-52", 2: "53-63"}


def test_scaled_up_the_gainers_wait_for_the_losers_word() -> None:
    fleet = fleets.settled(fleets.with_workers(replicas=2))
    scale(fleet, 4)
    fleet.step()
    fleet.run_pods()
    fleet.step()
    assert fleet.slots() == {0: "0-15", 1: "32-47", 2: "", 3: ""}
    for _ in range(3):
        fleet.run_workers(drain=False)
        fleet.step()
    assert fleet.slots() == {0: "0-15", 1: "32-47", 2: "", 3: ""}
    fleet.run_workers()
    fleet.step()
    assert fleet.slots() == {0: "0-15", 1: "32-47", 2: "16-31", 3: "48-63"}


def test_a_silent_loser_confirms_nothing() -> None:
    fleet = fleets.settled(fleets.with_workers(replicas=1))
    fleet.silent = {fleet.pod(0).name}
    scale(fleet, 2)
    for _ in range(5):
        fleet.step()
        fleet.run_pods()
        fleet.run_workers()
    assert fleet.slots() == {0: "0-31", 1: ""}
    assert fleets.condition(fleet.plan(), "Assigned")[:2] == ("False", "HandOver")
    assert "shard 0 lets go of 32-63" in fleets.condition(fleet.plan(), "Assigned")[2]


def test_a_loser_whose_pod_is_gone_has_let_go() -> None:
    fleet = fleets.settled(fleets.with_workers(replicas=1))
    fleet.silent = {fleet.pod(0).name}
    scale(fleet, 2)
    fleet.step()
    fleet.run_pods()
    fleet.step()
    fleet.end_pod(fleet.pod(0).name)
    fleet.step()
    assert fleet.slots() == HALVES


def test_a_shard_that_neither_gains_nor_loses_hears_of_the_number_of_shards_alone() -> None:
    fleet = fleets.settled(fleets.a_spec(partitioning={"slots": 4}, workers={"replicas": 3}))
    assert fleet.slots() == {0: "0-1", 1: "2", 2: "3"}
    before = {shard: fleet.assignment(shard) for shard in range(3)}
    fleet.edit(fleets.a_spec(partitioning={"slots": 4}, workers={"replicas": 4}))
    fleet.settle()
    for shard in (1, 2):
        kept, now = before[shard], fleet.assignment(shard)
        assert kept is not None
        assert now is not None
        assert (now.epoch, now.slots, now.config_hash) == (kept.epoch, kept.slots, kept.config_hash)
        assert (kept.shards, now.shards) == (3, 4)


def test_of_a_removed_shard_deployment_and_configmap_stay_until_it_has_let_go() -> None:
    fleet = fleets.settled(fleets.with_workers(replicas=2))
    scale(fleet, 1)
    fleet.step()
    for _ in range(3):
        fleet.run_workers(drain=False)
        assert fleet.step().delete == ()
    fleet.run_workers()
    assert [str(each) for each in fleet.step().delete] == ["Deployment demo-1", "ConfigMap demo-1"]
    assert fleet.slots() == {0: "0-63"}


@pytest.mark.parametrize("silent", [True, False])
def test_a_removed_shard_does_not_come_back_while_its_pod_is_still_ending(silent: bool) -> None:
    fleet = fleets.settled(fleets.with_workers(replicas=2))
    pod = fleet.pod(1).name
    scale(fleet, 1)
    fleet.step()
    fleet.run_workers()
    assert [str(each) for each in fleet.step().delete] == ["Deployment demo-1", "ConfigMap demo-1"]
    fleet.change_pod(1, terminating=True, ready=False)
    fleet.silent = {pod} if silent else set()
    plan = fleet.step()
    fleet.run_workers()
    assert not [name for name in fleets.applied(plan) if name.endswith("-1")]
    assert fleets.is_idle(fleet.step())
    assert fleet.slots() == {0: "0-63"}


def test_a_shard_that_only_lets_go_gets_no_new_deployment() -> None:
    fleet = fleets.settled(fleets.with_workers(replicas=2))
    scale(fleet, 1)
    fleet.step()
    del fleet.objects[Reference("Deployment", "demo-1")]
    assert fleets.applied(fleet.step()) == []
    fleet.run_pods()
    fleet.settle()
    assert fleet.slots() == {0: "0-63"}


def test_scaled_to_nothing_everybody_lets_go_and_goes() -> None:
    fleet = fleets.settled(fleets.with_workers(replicas=2))
    scale(fleet, 0)
    fleet.settle()
    assert fleet.slots() == {}
    assert fleet.pods == {}
    assert fleet.plan().status.phase == "Suspended"


def test_scaled_up_again_from_nothing_the_epoch_goes_on() -> None:
    fleet = fleets.settled(fleets.with_workers(replicas=2))
    scale(fleet, 0)
    fleet.settle()
    last = fleet.plan().status.epoch
    scale(fleet, 2)
    fleet.settle()
    assert fleet.plan().status.epoch > last
    assert fleet.slots() == HALVES


def test_a_pod_without_a_shard_is_none() -> None:
    fleet = fleets.settled()
    fleet.change_pod(0, shard=-1)
    fleet.run_workers()
    plan = fleet.plan()
    assert not any("--1" in name for name in fleets.applied(plan))
    assert [each.shard for each in plan.status.shards] == [0]


class TestALostConfigMap:
    def test_comes_back_with_the_same_slots(self) -> None:
        fleet = fleets.settled(fleets.with_workers(replicas=3))
        before = fleet.assignment(1)
        del fleet.objects[Reference("ConfigMap", "demo-1")]
        plan = fleet.step()
        assert fleets.applied(plan) == ["ConfigMap demo-1"]
        assert fleet.assignment(1) == before
        assert fleets.messages(plan, "Repaired") == ["ConfigMap demo-1 was deleted and is there again"]

    def test_comes_back_without_a_worker_too(self) -> None:
        fleet = fleets.settled(fleets.with_workers(replicas=3))
        before = fleet.assignment(1)
        fleet.end_pod(fleet.pod(1).name)
        del fleet.objects[Reference("ConfigMap", "demo-1")]
        fleet.step()
        assert fleet.assignment(1) == before

    def test_is_known_by_its_worker_where_the_status_is_lost_too(self) -> None:
        fleet = fleets.settled(fleets.with_workers(replicas=3))
        before = fleet.slots()
        del fleet.objects[Reference("ConfigMap", "demo-1")]
        fleet.forget_status()
        fleet.settle()
        assert fleet.slots() == before
        assert fleet.owned_twice() == set()

    def test_that_cannot_be_read_is_written_anew_with_the_same_slots(self) -> None:
        fleet = fleets.settled(fleets.with_workers(replicas=2))
        before = fleet.assignment(1)
        fleet.object("ConfigMap", "demo-1")["data"]["assignment.json"] = "{"
        plan = fleet.step()
        assert fleet.assignment(1) == before
        assert fleets.messages(plan, "Repaired") == [
            "ConfigMap demo-1 was changed at data.assignment.json and is as planned again"
        ]

    def test_in_the_midst_of_a_hand_over_gives_nobody_what_is_not_confirmed(self) -> None:
        fleet = fleets.settled(fleets.with_workers(replicas=2))
        scale(fleet, 3)
        fleet.step()
        fleet.run_pods()
        fleet.run_workers(drain=False)
        del fleet.objects[Reference("ConfigMap", "demo-0")]
        steps(fleet)
        assert fleets.is_idle(fleet.plan())
        assert sorted(map(len, (each.assignment.slots for each in fleet.workers.values()))) == [21, 21, 22]

    def test_all_lost_at_once_slots_are_where_they_were(self) -> None:
        fleet = fleets.settled(fleets.with_workers(replicas=3))
        before = fleet.slots()
        for shard in range(3):
            del fleet.objects[Reference("ConfigMap", f"demo-{shard}")]
        fleet.settle()
        assert fleet.slots() == before


def test_the_status_tells_slots_epochs_and_pods_of_every_shard() -> None:
    fleet = fleets.settled(fleets.with_workers(replicas=2))
    fleet.step()
    told = fleet.plan().status
    assert [(each.shard, each.slots, each.epoch, each.state) for each in told.shards] == [
        (0, "0-31", 1, "running"),
        (1, "32-63", 1, "running"),
    ]
    assert [each.pod for each in told.shards] == [fleet.pod(0).name, fleet.pod(1).name]
    assert (told.replicas, told.ready_replicas, told.ready) == (2, 2, "2/2")
    assert told.config == status.ConfigCounts(desired=told.config.desired, applied=2, summary="2/2")
