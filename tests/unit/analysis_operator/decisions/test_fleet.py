"""Shards as they are observed: labels, ConfigMaps, pods and reports of every kind."""

import dataclasses
from typing import Any

import pytest

from analysis_module import names
from analysis_operator.decisions import fleet as fleet_view
from analysis_operator.decisions.fleet import Shard
from analysis_operator.decisions.handover import Holding, Readiness
from analysis_operator.decisions.manifests import Reference
from tests.unit.analysis_operator import fleets
from tests.unit.analysis_operator.fleets import Fleet

CONFIG_MAP = Reference("ConfigMap", "demo-0")
ALL = frozenset(range(64))


def shards(fleet: Fleet) -> dict[int, Shard]:
    return fleet_view.shards_of(fleet.observed())


def another_pod(fleet: Fleet, **changes: Any) -> str:
    """A second pod of shard 0 that has no worker yet."""
    pod = dataclasses.replace(fleet.pod(0), name="demo-0-other", uid="pod-other", **changes)
    fleet.pods[pod.name] = pod
    return pod.name


@pytest.mark.parametrize(
    ("label", "number"),
    [
        ("0", 0),
        ("17", 17),
        ("0999", 999),
        ("", None),
        ("-1", None),
        ("1.0", None),
        ("٣", None),
        ("10000", None),
    ],
)
def test_a_shard_is_known_by_a_number_in_its_label(label: str, number: int | None) -> None:
    assert fleet_view.shard_number({"metadata": {"labels": {names.LABEL_SHARD: label}}}) == number


@pytest.mark.parametrize("metadata", [{}, {"labels": None}, {"labels": {}}])
def test_an_object_without_the_label_is_of_no_shard(metadata: Any) -> None:
    assert fleet_view.shard_number({"metadata": metadata}) is None


class TestAShard:
    def test_holds_what_its_configmap_says(self) -> None:
        (shard,) = shards(fleets.settled()).values()
        assert shard.holding == Holding(slots=ALL, releasing=frozenset(), epoch=1)
        assert (shard.ready, shard.alive) == (True, True)

    def test_lets_go_of_what_its_annotation_says_and_it_does_not_own(self) -> None:
        fleet = fleets.settled(fleets.a_spec(partitioning={"slots": 4}))
        annotations = fleet.objects[CONFIG_MAP]["metadata"]["annotations"]
        annotations["dataanalysis.io/releasing"] = "0-9"
        assert shards(fleet)[0].holding.releasing == frozenset(range(4, 10))

    @pytest.mark.parametrize("text", ["nonsense", "5-1", "99999", ""])
    def test_with_an_annotation_that_cannot_be_read_lets_go_of_nothing(self, text: str) -> None:
        fleet = fleets.settled()
        fleet.objects[CONFIG_MAP]["metadata"]["annotations"]["dataanalysis.io/releasing"] = text
        assert shards(fleet)[0].holding.releasing == frozenset()

    @pytest.mark.parametrize(
        "data", [None, {}, {"assignment.json": "{"}, {"assignment.json": '{"version": 9}'}]
    )
    def test_whose_assignment_cannot_be_read_holds_what_it_held(self, data: Any) -> None:
        fleet = fleets.settled()
        fleet.objects[CONFIG_MAP]["data"] = data
        shard = shards(fleet)[0]
        assert shard.assignment is None
        assert shard.holding.slots == ALL

    @pytest.mark.parametrize("kind", ["ConfigMap", "Deployment"])
    def test_is_not_made_of_objects_of_other_names(self, kind: str) -> None:
        fleet = fleets.settled()
        copied = fleet.objects.pop(Reference(kind, "demo-0"))
        copied["metadata"]["name"] = "copied"
        fleet.objects[Reference(kind, "copied")] = copied
        shard = shards(fleet)[0]
        assert (shard.config_map if kind == "ConfigMap" else shard.deployment) is None

    def test_is_there_for_its_deployment_or_its_pod_alone(self) -> None:
        fleet = fleets.settled(fleets.with_workers(replicas=2))
        del fleet.objects[CONFIG_MAP]
        del fleet.objects[Reference("Deployment", "demo-0")]
        del fleet.objects[Reference("ConfigMap", "demo-1")]
        fleet.end_pod(fleet.pod(1).name)
        assert sorted(shards(fleet)) == [0, 1]

    @pytest.mark.parametrize("text", ["{", "[]", "5", ""])
    def test_knows_no_defaults_where_their_annotation_cannot_be_read(self, text: str) -> None:
        fleet = fleets.settled()
        metadata = fleet.object("Deployment", "demo-0")["metadata"]
        metadata["annotations"]["dataanalysis.io/defaults"] = text
        assert shards(fleet)[0].defaults == {}

    def test_is_not_ready_by_a_pod_of_another_rollout(self) -> None:
        fleet = fleets.settled()
        fleet.change_pod(0, rollout="another")
        assert not shards(fleet)[0].ready
        del fleet.objects[Reference("Deployment", "demo-0")]
        assert shards(fleet)[0].ready

    def test_is_not_ready_by_a_pod_on_its_way_out(self) -> None:
        fleet = fleets.settled()
        fleet.change_pod(0, terminating=True)
        assert not shards(fleet)[0].ready
        assert shards(fleet)[0].alive


class TestTwoPodsOfAShard:
    def test_the_one_that_stays_is_its_pod(self) -> None:
        fleet = fleets.settled()
        first = fleet.pod(0).name
        another = another_pod(fleet)
        fleet.pods[first] = dataclasses.replace(fleet.pods[first], terminating=True)
        shard = shards(fleet)[0]
        assert shard.pod is not None
        assert (shard.pod.name, [pod.name for pod in shard.others]) == (another, [first])

    def test_the_one_that_runs_is_its_pod(self) -> None:
        fleet = fleets.settled()
        first = fleet.pod(0).name
        another_pod(fleet, alive=False)
        shard = shards(fleet)[0]
        assert shard.pod is not None
        assert shard.pod.name == first

    def test_confirm_nothing_while_both_may_run(self) -> None:
        fleet = fleets.settled()
        fleet.edit(fleets.with_workers(replicas=2))
        fleet.step()
        fleet.run_pods()
        fleet.step()
        fleet.run_workers()
        assert fleet_view.unconfirmed(shards(fleet)) == {}
        another_pod(fleet, terminating=True)
        assert fleet_view.unconfirmed(shards(fleet)) == {0: frozenset(range(32, 64))}
        fleet.pods["demo-0-other"] = dataclasses.replace(fleet.pods["demo-0-other"], alive=False)
        assert fleet_view.unconfirmed(shards(fleet)) == {}


class TestReadiness:
    """Two workers serve, the second one of which was told that all slots of the first will come to it."""

    @pytest.fixture
    def fleet(self) -> Fleet:
        fleet = fleets.settled(fleets.with_workers(replicas=2), older=False)
        told = fleet.assignment(1)
        assert told is not None
        arriving = dataclasses.replace(told, arriving=frozenset(range(32)))
        fleet.object("ConfigMap", "demo-1")["data"][names.ASSIGNMENT_FILE] = arriving.to_json()
        return fleet

    def followed(self, fleet: Fleet) -> dict[int, frozenset[int] | None]:
        return dict(fleet_view.readiness(shards(fleet)).followed)

    def test_is_whom_one_may_wait_for(self, fleet: Fleet) -> None:
        fleet.worker(1).followed = frozenset({3, 4})
        assert shards(fleet)[1].holding.arriving == frozenset(range(32))
        assert fleet_view.readiness(shards(fleet)) == Readiness(
            serving=frozenset({0, 1}), followed={0: frozenset(), 1: frozenset({3, 4})}
        )

    def test_counts_no_word_on_slots_that_are_not_named(self, fleet: Fleet) -> None:
        fleet.worker(0).followed = frozenset({40})
        fleet.worker(1).followed = frozenset({3, 40, 99})
        assert self.followed(fleet) == {0: frozenset(), 1: frozenset({3})}

    def test_has_none_for_a_worker_of_an_older_version(self, fleet: Fleet) -> None:
        fleet.worker(0).followed = None
        assert self.followed(fleet)[0] is None

    def test_keeps_who_was_told_and_does_not_answer_while_it_serves(self, fleet: Fleet) -> None:
        fleet.silent = {fleet.pod(0).name, fleet.pod(1).name}
        assert self.followed(fleet) == {1: frozenset()}
        fleet.change_pod(1, ready=False)
        assert self.followed(fleet) == {}

    def test_of_a_lost_configmap_is_by_the_status(self, fleet: Fleet) -> None:
        fleet.step()
        fleet.module = dataclasses.replace(
            fleet.module,
            status={"shards": [{"shard": 1, "slots": "32-63", "epoch": 9, "arriving": "0-31"}]},
        )
        del fleet.objects[Reference("ConfigMap", "demo-1")]
        assert shards(fleet)[1].holding.arriving == frozenset(range(32))


def test_a_report_of_another_pod_of_the_same_name_is_not_believed() -> None:
    fleet = fleets.settled()
    observed = fleet.observed()
    (name,) = observed.reports
    foreign = dataclasses.replace(observed.reports[name], pod_uid="another")
    shard = fleet_view.shards_of(dataclasses.replace(observed, reports={name: foreign}))[0]
    assert shard.report is None


def test_pods_without_a_shard_are_of_none() -> None:
    fleet = fleets.settled()
    another_pod(fleet, shard=-1)
    assert sorted(shards(fleet)) == [0]
