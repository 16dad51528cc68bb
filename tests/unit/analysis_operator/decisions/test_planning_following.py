"""Slots are followed before they move, on a cluster in memory: what is told, stamped, looked at and said."""

import dataclasses

import pytest

from analysis_operator.decisions import planning
from analysis_operator.decisions.manifests import Reference
from analysis_operator.decisions.planning import Plan
from tests.unit.analysis_operator import fleets
from tests.unit.analysis_operator.fleets import Fleet

ALL, HALVES = {0: "0-63", 1: ""}, {0: "0-31", 1: "32-63"}


@pytest.fixture
def fleet() -> Fleet:
    """One worker, scaled to two, the second of which has just begun to serve and has said that it follows."""
    fleet = fleets.settled(fleets.with_workers(replicas=1), older=False)
    fleet.edit(fleets.with_workers(replicas=2))
    fleet.step()
    fleet.run_pods()
    return fleet


def followed_so_far(fleet: Fleet, slots: range) -> None:
    fleet.run_workers(follow=False)
    fleet.worker(1).followed = frozenset(slots)


def stamps(plan: Plan) -> list[str]:
    return [each.pod for each in plan.stamp]


def progress(fleet: Fleet) -> tuple[str, str, str]:
    return fleets.condition(fleet.plan(), "Progressing")


class TestScaledUp:
    def test_what_will_come_is_named_and_stays_until_it_has_been_followed(self, fleet: Fleet) -> None:
        epochs = [each.epoch for each in fleet.told().values()]
        for _ in range(3):
            fleet.step()
            fleet.run_workers(follow=False)
            assert (fleet.slots(), fleet.arriving()) == (ALL, {1: "32-63"})
        assert [each.epoch for each in fleet.told().values()] == epochs
        fleet.run_workers()
        fleet.step()
        assert (fleet.slots(), fleet.arriving()) == ({0: "0-31", 1: ""}, {1: "32-63"})
        fleet.run_workers()
        fleet.step()
        assert (fleet.slots(), fleet.arriving()) == (HALVES, {})

    def test_each_slot_goes_when_it_has_been_followed_itself(self, fleet: Fleet) -> None:
        fleet.step()
        followed_so_far(fleet, range(40, 42))
        fleet.step()
        assert fleet.slots() == {0: "0-39,42-63", 1: ""}
        fleet.run_workers(follow=False)
        fleet.step()
        assert (fleet.slots(), fleet.arriving()) == ({0: "0-39,42-63", 1: "40-41"}, {1: "32-39,42-63"})

    def test_nothing_is_named_before_the_worker_has_said_that_it_follows(self, fleet: Fleet) -> None:
        fleet.silent = {fleet.pod(1).name}
        fleet.step()
        assert (fleet.slots(), fleet.arriving()) == (ALL, {})
        fleet.silent = set()
        fleet.step()
        assert fleet.arriving() == {1: "32-63"}

    def test_a_follower_that_does_not_answer_for_once_goes_on(self, fleet: Fleet) -> None:
        fleet.step()
        fleet.silent = {fleet.pod(1).name}
        assert fleets.applied(fleet.step()) == []
        assert fleet.arriving() == {1: "32-63"}

    def test_a_follower_that_is_gone_is_told_nothing_until_it_says_again_that_it_follows(
        self, fleet: Fleet
    ) -> None:
        fleet.step()
        fleet.end_pod(fleet.pod(1).name)
        fleet.step()
        assert (fleet.slots(), fleet.arriving()) == (ALL, {})
        fleet.older = True
        fleet.run_pods()
        fleet.settle()
        assert fleet.slots() == HALVES

    def test_taken_back_nothing_moves_and_nobody_follows(self, fleet: Fleet) -> None:
        fleet.step()
        before = fleet.told()[0].epoch
        fleet.edit(fleets.with_workers(replicas=1))
        fleet.settle()
        assert (fleet.slots(), fleet.arriving()) == ({0: "0-63"}, {})
        assert fleet.told()[0].epoch == before

    def test_what_was_followed_before_a_rescale_taken_back_does_not_count(self, fleet: Fleet) -> None:
        fleet.step()
        followed_so_far(fleet, range(32, 64))
        fleet.edit(fleets.with_workers(replicas=1))
        kept = fleet.pods, fleet.workers
        fleet.step()
        fleet.pods, fleet.workers = kept
        fleet.edit(fleets.with_workers(replicas=2))
        fleet.step()
        assert (fleet.slots(), fleet.arriving()) == (ALL, {1: "32-63"})

    def test_a_configmap_that_is_lost_comes_back_with_what_arrives(self, fleet: Fleet) -> None:
        fleet.step()
        before = fleet.assignment(1)
        del fleet.objects[Reference("ConfigMap", "demo-1")]
        fleet.silent = {fleet.pod(1).name}
        fleet.step()
        assert fleet.assignment(1) == before


def test_scaled_down_the_one_that_stays_follows_first() -> None:
    fleet = fleets.settled(fleets.with_workers(replicas=2), older=False)
    fleet.edit(fleets.with_workers(replicas=1))
    fleet.step()
    fleet.run_workers(follow=False)
    assert fleet.step().delete == ()
    assert (fleet.slots(), fleet.arriving()) == (HALVES, {0: "32-63"})
    fleet.settle()
    assert fleet.slots() == {0: "0-63"}


class TestTheStamp:
    def test_is_put_on_the_pod_at_once_though_no_epoch_changes(self, fleet: Fleet) -> None:
        plan = fleet.step()
        assert stamps(plan) == [fleet.pod(1).name]
        fleet.run_workers(follow=False)
        assert stamps(fleet.step()) == []

    def test_comes_again_after_a_while_until_all_has_been_followed(self, fleet: Fleet) -> None:
        fleet.step()
        fleet.now += planning.STAMP_AGAIN_SECONDS + 1
        followed_so_far(fleet, range(0))
        assert stamps(fleet.step()) == [fleet.pod(1).name]
        fleet.now += planning.STAMP_AGAIN_SECONDS + 1
        fleet.change_pod(0, ready=False)
        fleet.change_pod(1, ready=False)
        followed_so_far(fleet, range(32, 64))
        assert stamps(fleet.plan()) == [fleet.pod(0).name]

    def test_is_put_on_when_there_is_nothing_more_to_follow(self) -> None:
        fleet = fleets.settled(fleets.with_workers(replicas=2), older=False)
        fleet.edit(fleets.with_workers(replicas=1))
        fleet.step()
        fleet.run_workers(follow=False)
        fleet.edit(fleets.with_workers(replicas=2))
        plan = fleet.step()
        assert fleets.applied(plan)[0] == "ConfigMap demo-0"
        assert stamps(plan) == [fleet.pod(0).name]
        assert stamps(fleet.step()) == []

    def test_of_a_worker_of_an_older_version_is_as_it_was(self) -> None:
        fleet = fleets.settled(fleets.with_workers(replicas=2))
        fleet.change_pod(0, stamp="hash-1-arriving.0")
        assert stamps(fleet.plan()) == []


class TestWhatIsSaid:
    def test_who_follows_what_while_that_is_waited_for(self, fleet: Fleet) -> None:
        assert progress(fleet) == ("True", "Following", "shard 1 follows 32-63")
        told = fleet.step().status
        assert [(each.slots, each.arriving) for each in told.shards] == [("0-63", ""), ("", "32-63")]
        assert told.phase == "Progressing"

    def test_while_some_change_hands_who_follows_the_others(self, fleet: Fleet) -> None:
        fleet.step()
        followed_so_far(fleet, range(32, 34))
        fleet.step()
        said = "slots are changing hands; shard 1 follows 34-63"
        assert progress(fleet) == ("True", "HandOver", said)

    def test_in_the_end_nothing(self, fleet: Fleet) -> None:
        fleet.settle()
        assert progress(fleet)[0] == "False"
        assert not any(each.arriving for each in fleet.plan().status.shards)

    def test_the_workers_are_looked_at_now_and_then_until_they_change_hands(self, fleet: Fleet) -> None:
        fleet.step()
        fleet.run_workers(follow=False)
        assert fleet.step().look_again_seconds == planning._LATER
        fleet.run_workers()
        fleet.step()
        fleet.run_workers(drain=False)
        assert fleet.step().look_again_seconds == planning._SOON


def test_the_autoscaler_does_nothing_while_slots_are_followed() -> None:
    bounds = {"minReplicas": 1, "maxReplicas": 4, "targetLag": 100}
    fleet = fleets.settled(fleets.with_workers(replicas=2, autoscaling=bounds), older=False)
    told = fleet.assignment(0)
    assert told is not None
    fleet.said = {"lags": {("POWER", 0): 100_000}}
    fleet.now += 3600
    following = dataclasses.replace(told, slots=frozenset(range(31)), arriving=frozenset({31}))
    kept = fleet.object("ConfigMap", "demo-0")["data"]["assignment.json"]
    fleet.object("ConfigMap", "demo-0")["data"]["assignment.json"] = following.to_json()
    assert fleet.plan().status.autoscaling == fleet.module.last_told.autoscaling
    fleet.object("ConfigMap", "demo-0")["data"]["assignment.json"] = kept
    assert fleet.plan().status.autoscaling != fleet.module.last_told.autoscaling
