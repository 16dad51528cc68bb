"""What modules mean for each other, and who is woken by a change of whom."""

import time
from typing import Any

import pytest

from analysis_operator.cluster.store import Store
from analysis_operator.decisions.observed import Key, Neighbours
from analysis_operator.decisions.options import Options
from analysis_operator.reconciling.neighbourhood import Neighbourhood
from tests.unit.analysis_operator import documents, fleets


class Cluster:
    """Modules as they are applied, and the neighbourhood of them all."""

    def __init__(self) -> None:
        self.store = Store()
        self.neighbourhood = Neighbourhood(self.store, Options(kafka=fleets.KAFKA))
        self.version = 0

    def apply(self, name: str, *reads: str, **changes: Any) -> set[str]:
        """Apply a module that reads the outputs of others; the names of those that are woken.

        `spec` replaces the whole spec, `group` and `output` are its group and its topic; everything else is
        metadata or `status`.
        """
        self.version += 1
        spec = {
            "module": name,
            "inputs": fleets.INPUTS,
            "dependencies": [{"module": each, "topic": f"OUT-{each}"} for each in reads],
            "kafka": {"groupId": changes.pop("group", name)},
            "output": {"topic": f"OUT-{changes.pop('output', name)}"},
        }
        given = {"spec": spec, "generation": self.version, "uid": f"uid-{name}", **changes}
        self.store.put(documents.a_module(name, version=self.version, **given))
        return self._update(name)

    def delete(self, name: str) -> set[str]:
        """Delete a module; the names of those that are woken."""
        self.store.drop(documents.a_module(name, uid=f"uid-{name}"))
        return self._update(name)

    def _update(self, name: str) -> set[str]:
        self.neighbourhood.note(Key("default", name))
        return {key.name for key in self.neighbourhood.concerned()} - {name}

    def of(self, name: str) -> Neighbours:
        """A module's neighbours."""
        return self.neighbourhood.of(Key("default", name))


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


class TestWhoIsWoken:
    def test_nobody_by_a_module_that_is_alone(self, cluster: Cluster) -> None:
        cluster.apply("a")
        assert cluster.apply("b") == set()
        assert cluster.apply("b") == set()
        assert cluster.delete("b") == set()

    def test_a_reader_by_its_provider_that_comes_and_by_its_end(self, cluster: Cluster) -> None:
        cluster.apply("reader", "provider")
        assert cluster.apply("provider") == {"reader"}
        assert cluster.delete("provider") == {"reader"}

    def test_a_provider_by_its_reader_that_comes_and_by_its_end(self, cluster: Cluster) -> None:
        cluster.apply("provider")
        assert cluster.apply("reader", "provider") == {"provider"}
        assert cluster.delete("reader") == {"provider"}

    def test_the_provider_before_and_the_one_after_by_a_reader_that_changes(self, cluster: Cluster) -> None:
        cluster.apply("one")
        cluster.apply("two")
        cluster.apply("reader", "one")
        assert cluster.apply("reader", "two") == {"one", "two"}

    def test_readers_of_the_topic_before_and_after_by_a_provider_that_changes(self, cluster: Cluster) -> None:
        cluster.apply("provider")
        cluster.apply("old", "provider")
        cluster.apply("new", "other")
        assert cluster.apply("provider", output="other") == {"old", "new"}

    def test_a_rival_by_one_that_comes_and_by_its_end(self, cluster: Cluster) -> None:
        cluster.apply("first", group="shared")
        assert cluster.apply("second", group="shared") == {"first"}
        assert cluster.delete("second") == {"first"}

    def test_all_on_a_cycle_by_who_closes_it_and_by_who_opens_it(self, cluster: Cluster) -> None:
        cluster.apply("a", "b")
        cluster.apply("b", "c")
        cluster.apply("c", "d")
        assert cluster.apply("d", "a") == {"a", "b", "c"}
        assert cluster.apply("d") == {"a", "b", "c"}

    def test_readers_by_a_provider_whose_spec_turns_bad_and_good_again(self, cluster: Cluster) -> None:
        cluster.apply("provider")
        cluster.apply("reader", "provider")
        assert cluster.apply("provider", spec={"module": "?"}) == {"reader"}
        assert cluster.apply("provider") == {"reader"}

    @pytest.mark.parametrize("phase", ["Suspended", "Rejected"])
    def test_neighbours_by_one_that_stops_to_run(self, cluster: Cluster, phase: str) -> None:
        cluster.apply("provider", generation=1)
        cluster.apply("reader", "provider", generation=1)
        assert cluster.apply("provider", generation=1, status={"phase": phase}) == {"reader"}
        assert cluster.apply("provider", generation=1, status={"phase": "Running"}) == {"reader"}

    def test_nobody_by_a_phase_that_makes_no_difference_to_others(self, cluster: Cluster) -> None:
        cluster.apply("provider", generation=1)
        cluster.apply("reader", "provider", generation=1)
        for phase in ("Pending", "Progressing", "Running", "Degraded"):
            assert cluster.apply("provider", generation=1, status={"phase": phase}) == set()

    def test_readers_by_a_provider_that_is_being_deleted(self, cluster: Cluster) -> None:
        cluster.apply("provider", generation=1)
        cluster.apply("reader", "provider", generation=1)
        assert cluster.apply("provider", generation=1, deletionTimestamp="now") == {"reader"}

    def test_nobody_by_an_edit_that_the_graph_does_not_know(self, cluster: Cluster) -> None:
        cluster.apply("provider")
        cluster.apply("reader", "provider")
        assert cluster.apply("provider", annotations={"a": "b"}) == set()

    def test_rivals_by_one_that_is_made_anew(self, cluster: Cluster) -> None:
        cluster.apply("first", group="shared")
        cluster.apply("second", group="shared")
        assert cluster.apply("first", group="shared", uid="another") == {"second"}

    def test_those_of_all_changes_at_once_by_one_question(self, cluster: Cluster) -> None:
        cluster.apply("a")
        cluster.apply("b", "a")
        cluster.apply("c", "b")
        for name in "ab":
            cluster.store.drop(documents.a_module(name, uid=f"uid-{name}"))
            cluster.neighbourhood.note(Key("default", name))
        assert {"c"} <= {key.name for key in cluster.neighbourhood.concerned()} <= {"a", "b", "c"}
        assert cluster.neighbourhood.concerned() == set()


class TestNeighbours:
    def test_of_one_that_is_not_known_are_none(self, cluster: Cluster) -> None:
        assert cluster.of("nobody") == Neighbours()

    def test_of_one_whose_spec_cannot_be_read_are_none(self, cluster: Cluster) -> None:
        cluster.apply("a", spec={"module": "?"})
        assert cluster.of("a") == Neighbours()

    def test_are_providers_and_dependants_by_their_whole_names(self, cluster: Cluster) -> None:
        cluster.apply("a")
        cluster.apply("b", "a")
        assert cluster.of("a") == Neighbours(dependants=("default/b",))
        assert cluster.of("b") == Neighbours(providers=("default/a",))

    def test_that_are_missing_are_told_with_their_topic(self, cluster: Cluster) -> None:
        cluster.apply("b", "a")
        assert cluster.of("b").missing == (("a", "OUT-a"),)

    def test_that_do_not_run_or_are_leaving_are_told(self, cluster: Cluster) -> None:
        cluster.apply("a", status={"phase": "Suspended"})
        cluster.apply("b", deletionTimestamp="now")
        cluster.apply("c", "a", "b")
        assert (cluster.of("c").waiting, cluster.of("c").leaving) == (("default/a",), ("default/b",))

    def test_on_a_cycle_are_told_to_each_member_and_to_nobody_else(self, cluster: Cluster) -> None:
        cluster.apply("a", "b")
        cluster.apply("b", "a")
        cluster.apply("c", "a")
        assert cluster.of("a").cycle == cluster.of("b").cycle == ("default/a", "default/b")
        assert cluster.of("c").cycle == ()


def test_a_spec_is_known_as_it_was_read(cluster: Cluster) -> None:
    cluster.apply("a")
    asked = cluster.neighbourhood.asked(Key("default", "a"))
    assert asked is not None
    assert asked.kafka.bootstrap_servers == ("kafka:9092",)
    cluster.apply("a", spec={"module": "?"})
    assert cluster.neighbourhood.asked(Key("default", "a")) is None
    assert cluster.neighbourhood.asked(Key("default", "nobody")) is None


class TestConflicts:
    def test_of_two_the_younger_one_has_it(self, cluster: Cluster) -> None:
        cluster.apply("old", group="shared", creationTimestamp="2026-01-01T00:00:00Z")
        cluster.apply("young", group="shared", creationTimestamp="2026-01-02T00:00:00Z")
        assert cluster.of("old").conflicts == ()
        assert cluster.of("young").conflicts == (("spec.kafka.groupId", "default/old"),)

    def test_of_two_of_the_same_second_exactly_one_has_it(self, cluster: Cluster) -> None:
        cluster.apply("a", group="shared")
        cluster.apply("b", group="shared")
        assert [bool(cluster.of(name).conflicts) for name in "ab"] == [False, True]

    def test_of_one_output_topic_is_told_by_that_field(self, cluster: Cluster) -> None:
        cluster.apply("a", output="shared")
        cluster.apply("b", output="shared")
        assert cluster.of("b").conflicts == (("spec.output.topic", "default/a"),)

    def test_the_one_that_runs_keeps_it_from_an_older_one(self, cluster: Cluster) -> None:
        cluster.apply("young", group="shared", creationTimestamp="2026-01-02T00:00:00Z", status={"epoch": 1})
        cluster.apply("old", group="shared", creationTimestamp="2026-01-01T00:00:00Z")
        assert cluster.of("young").conflicts == ()
        assert cluster.of("old").conflicts == (("spec.kafka.groupId", "default/young"),)

    def test_end_with_the_older_one(self, cluster: Cluster) -> None:
        cluster.apply("a", group="shared")
        cluster.apply("b", group="shared")
        assert cluster.delete("a") == {"b"}
        assert cluster.of("b").conflicts == ()


def test_the_graph_is_of_all_that_can_be_read(cluster: Cluster) -> None:
    cluster.apply("b", "a")
    cluster.apply("a")
    cluster.apply("c", spec={"module": "?"})
    assert [node.key for node in cluster.neighbourhood.graph().start_order()] == ["default/a", "default/b"]


def test_a_thousand_modules_are_taken_in_within_seconds(cluster: Cluster) -> None:
    for number in range(1000):
        name = f"m-{number}"
        spec = {"module": name, "inputs": fleets.INPUTS, "kafka": {"groupId": name}}
        cluster.store.put(documents.a_module(name, uid=name, spec=spec))
    began = time.process_time()
    for key in cluster.store.all_keys():
        cluster.neighbourhood.note(key)
    assert cluster.neighbourhood.concerned() == set()
    assert time.process_time() - began < 10
