"""Situations and what the status says in each: phase, conditions, figures."""

import dataclasses

import pytest

from analysis_module.names import ConditionType
from analysis_operator.decisions import conditions
from analysis_operator.decisions.observed import Neighbours
from tests.unit.analysis_operator import fleets, situations
from tests.unit.analysis_operator.situations import SITUATIONS


@pytest.mark.parametrize("name", SITUATIONS)
def test_a_situation_is_told_by_phase_condition_and_reason(name: str) -> None:
    situation = SITUATIONS[name]
    plan = situation.plan()
    value, reason, message = fleets.condition(plan, situation.condition)
    assert (plan.status.phase, value, reason) == (situation.phase, situation.value, situation.reason)
    assert message


@pytest.mark.parametrize("name", SITUATIONS)
def test_every_condition_is_there_in_one_order_and_answers_this_generation(name: str) -> None:
    fleet = SITUATIONS[name].bring()
    told = fleet.plan().status
    assert [each.type for each in told.conditions] == list(ConditionType)
    assert told.observed_generation == fleet.module.generation


BY_ITSELF = {"Lagging", "HandOver", "WorkersNotReady", "NoWorkers", "Suspended", "Settled"}
"""Reasons of what is not as it shall be, but passes by itself or was asked for."""


@pytest.mark.parametrize("name", SITUATIONS)
def test_whatever_is_bad_is_told_with_its_mend(name: str) -> None:
    for each in SITUATIONS[name].plan().status.conditions:
        is_bad = each.status == ("True" if each.type is ConditionType.DEGRADED else "False")
        if is_bad and each.type is not ConditionType.PROGRESSING and each.reason not in BY_ITSELF:
            assert "; " in each.message, each


class TestTransitionTimes:
    def test_stay_while_the_value_stays_and_change_with_it(self) -> None:
        fleet = situations.running()
        since = {each.type: each.last_transition_time for each in fleet.plan().status.conditions}
        assert set(since.values()) == {"2025-11-07T01:46:40Z"}
        fleet.now += 60
        fleet.change_pod(0, ready=False)
        told = fleet.step().status.conditions
        changed = {each.type for each in told if each.last_transition_time != since[each.type]}
        assert changed == {"Ready", "Progressing"}
        fleet.now += 60
        later = {each.type: each.last_transition_time for each in fleet.plan().status.conditions}
        assert {later["Ready"], later["Progressing"]} == {"2025-11-07T01:47:40Z"}

    def test_stay_while_only_reason_or_message_change(self) -> None:
        fleet = situations.running()
        before = fleet.plan().status.conditions
        fleet.now += 60
        fleet.seen["neighbours"] = Neighbours(providers=("a/b",))
        after = fleet.plan().status.conditions
        assert [each.last_transition_time for each in before] == [each.last_transition_time for each in after]
        assert before != after

    def test_survive_a_refused_spec(self) -> None:
        fleet = situations.running()
        before = {each.type: each.last_transition_time for each in fleet.plan().status.conditions}
        fleet.now += 60
        fleet.edit(fleets.a_spec(padding="Round"))
        after = {each.type: each.last_transition_time for each in fleet.plan().status.conditions}
        assert {kind for kind in before if before[kind] != after[kind]} == {"Accepted"}


class TestFigures:
    def test_stations_are_summed_and_lags_are_of_the_slowest_reader(self) -> None:
        fleet = situations.running()
        fleet.said = {"stations": 20, "lags": {("POWER", 0): 5, ("POWER", 1): 7}, "lag_seconds": 1.2345}
        told = fleet.plan().status
        assert (told.stations, told.lag, told.lag_seconds) == (40, 12, 1.2)
        assert [each.stations for each in told.shards] == [20, 20]
        assert [each.lag for each in told.shards] == [12, 12]

    def test_rates_are_summed_to_two_digits(self) -> None:
        fleet = situations.running()
        fleet.said = {"rate": 1234.5}
        assert fleet.plan().status.rate == 2500.0

    def test_what_nobody_knows_is_absent(self) -> None:
        document = situations.running().plan().status.to_json()
        assert not {"lag", "lagSeconds", "rate"} & document.keys()

    def test_a_silent_worker_counts_as_lagging_and_its_shard_as_silent(self) -> None:
        fleet = situations.running()
        fleet.silent = {fleet.pod(1).name}
        told = fleet.plan().status
        assert told.config.summary == "1/2"
        assert [each.state for each in told.shards] == ["running", "silent"]

    def test_a_shard_without_pod_is_absent_and_one_that_waits_says_for_what(self) -> None:
        fleet = situations.running()
        fleet.end_pod(fleet.pod(0).name)
        fleet.silent = {fleet.pod(1).name}
        fleet.change_pod(1, ready=False, waiting="ImagePullBackOff")
        assert [each.state for each in fleet.plan().status.shards] == ["absent", "ImagePullBackOff"]

    def test_refusals_name_their_shard(self) -> None:
        fleet = situations.running()
        fleet.edit(fleets.a_spec(padding="Linear", workers={"replicas": 2}))
        fleet.step()
        fleet.run_workers(refusal=situations.BAD)
        assert fleet.plan().status.config.refused == (
            f"shard-0: {situations.BAD}",
            f"shard-1: {situations.BAD}",
        )

    def test_dependencies_and_dependants_are_told(self) -> None:
        fleet = situations.running()
        fleet.seen["neighbours"] = Neighbours(providers=("a/b",), dependants=("c/d",))
        told = fleet.plan().status
        assert (told.dependencies, told.dependants) == (("a/b",), ("c/d",))

    @pytest.mark.parametrize("name", ["suspended", "scaled to nothing"])
    def test_of_a_module_that_shall_not_run_no_worker_is_wanted(self, name: str) -> None:
        told = SITUATIONS[name].plan().status
        assert (told.ready, told.replicas, told.config.summary) == ("0/0", 0, "0/0")

    def test_the_scale_subresource_gets_its_selector_and_its_count(self) -> None:
        told = situations.running().plan().status
        assert told.selector == "dataanalysis.io/module=demo,app.kubernetes.io/component=worker"
        assert told.replicas == 2


def test_a_status_that_is_garbage_is_told_anew() -> None:
    fleet = situations.running()
    wanted = fleet.plan().status
    for garbage in ({"conditions": 5, "shards": [{}], "epoch": "x"}, {"phase": "Dancing"}, {"a": 1}):
        fleet.module = dataclasses.replace(fleet.module, status=garbage)
        told = fleet.plan().status
        assert (told.phase, told.shards, told.config) == (wanted.phase, wanted.shards, wanted.config)


def test_messages_are_no_longer_than_a_person_reads() -> None:
    fleet = situations.running()
    fleet.seen["neighbours"] = Neighbours(missing=tuple((f"module-{number}", "T") for number in range(500)))
    longest = max(len(each.message) for each in fleet.plan().status.conditions)
    assert longest == conditions._LONGEST_MESSAGE


class TestWindowsThatComeBack:
    def test_are_told_by_shard_in_tens_so_that_not_each_record_is_a_write(self) -> None:
        fleet = SITUATIONS["windows come back"].bring()
        plan = fleet.plan()
        told = fleets.condition(plan, "Progressing")[2]
        assert told == "; ".join(f"shard {n} has restored 40 % of its windows" for n in range(2))
        fleet.said = {"restored": 0.49}
        assert fleet.plan().status == plan.status
        fleet.said = {"restored": 0.5}
        assert fleet.plan().status != plan.status

    @pytest.mark.parametrize("state", ["starting", "stopping", "stopped", "failed"])
    def test_are_not_told_of_a_worker_that_does_not_restore(self, state: str) -> None:
        fleet = SITUATIONS["windows come back"].bring()
        fleet.said["state"] = state
        assert fleets.condition(fleet.plan(), "Progressing")[1] != "Restoring"
