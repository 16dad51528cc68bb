"""Findings of the doctor from facts that are made up."""

from collections.abc import Mapping
from typing import Any

import pytest

from analysis_module import catalogue, reading
from analysis_worker.commands import diagnosis
from analysis_worker.commands.diagnosis import Level
from analysis_worker.engine.records import TopicPartition
from analysis_worker.kafka import inspecting

REALTIME = "SCHEDULE-STATION-REALTIME-DATA"
GOOD = {"min.insync.replicas": "2", "retention.ms": "-1", "cleanup.policy": "delete"}
COMPACT = {**GOOD, "cleanup.policy": "compact"}
ALL = frozenset({"READ", "WRITE", "DESCRIBE", "CREATE"})


def a_topic(name: str, **changes: Any) -> inspecting.TopicFacts:
    config = COMPACT if name.endswith(("-progress", "-last")) else GOOD
    given = {"partitions": 4, "replicas": 3, "in_sync": 3, "config": config, "allowed": ALL, **changes}
    return inspecting.TopicFacts(name=name, **given)


def findings(
    *changed: inspecting.TopicFacts,
    without: str = "",
    settings: Mapping[str, Any] | None = None,
    **facts: Any,
) -> list[diagnosis.Finding]:
    """What is found of a module on three brokers where all is well but for what is changed."""
    inputs = [{"topic": REALTIME, "fields": ["historyCurveStationAvg"], "windowSize": 60}]
    module_spec = reading.read_spec({"module": "thermal_management", "inputs": inputs, **(settings or {})})
    resolved = catalogue.resolve(module_spec)
    topics = {name: a_topic(name) for name in diagnosis.topics_of(resolved) if name != without}
    topics |= {topic.name: topic for topic in changed}
    given = {
        "servers": ("a:9092", "b:9092"),
        "silent": {},
        "embedded": False,
        "brokers": 3,
        "topics": topics,
        "committed": {},
        "allowed": ALL,
        "group_allowed": ALL,
        **facts,
    }
    return diagnosis.diagnose(diagnosis.Case(module_spec, resolved, inspecting.ClusterFacts(**given)))


def bad(found: list[diagnosis.Finding]) -> list[tuple[Level, str]]:
    return [(finding.level, finding.subject) for finding in found if finding.level > Level.NOTE]


def test_a_cluster_in_order_has_nothing_to_mend() -> None:
    assert bad(findings()) == []


def test_exactly_once_names_the_transactional_ids_that_brokers_may_want_permitted() -> None:
    noted = [
        each for each in findings(settings={"delivery": "ExactlyOnce"}) if "transactional" in each.subject
    ]
    assert [(each.level, each.subject) for each in noted] == [
        (Level.NOTE, "transactional ids thermal_management-*")
    ]
    assert "--transactional-id thermal_management- " in noted[0].mend
    assert not [each for each in findings() if "transactional" in each.subject]


def test_whatever_is_to_mend_says_how() -> None:
    found = findings(a_topic(REALTIME, replicas=1, in_sync=1), without="MODULE-OUTPUT-LOAD-PREDICTION")
    assert all(finding.mend for finding in found if finding.level > Level.NOTE)


def test_an_input_topic_that_is_not_there_is_a_failure() -> None:
    assert bad(findings(without=REALTIME)) == [(Level.FAILURE, REALTIME)]


def test_a_dependency_without_outputs_yet_is_a_warning() -> None:
    missing = "MODULE-OUTPUT-LOAD-PREDICTION"
    assert bad(findings(without=missing)) == [(Level.WARNING, missing)]


def test_an_own_topic_that_is_not_there_is_in_order_where_the_worker_may_create_it() -> None:
    assert bad(findings(without="thermal_management-progress")) == []


def test_an_own_topic_that_is_not_there_is_a_failure_where_the_worker_may_not_create_it() -> None:
    found = findings(without="thermal_management-progress", allowed=frozenset({"DESCRIBE"}))
    assert bad(found) == [(Level.FAILURE, "thermal_management-progress")]


def test_progress_that_is_not_compacted_is_a_failure() -> None:
    found = findings(a_topic("thermal_management-progress", config=GOOD))
    assert bad(found) == [(Level.FAILURE, "thermal_management-progress")]


KEPT = {"inputs": [{"topic": "SCHEDULE-CAR-PRICE"}]}


def test_the_topic_of_last_records_is_looked_at_where_some_topic_is_slow() -> None:
    last = "thermal_management-last"
    told = [found.found for found in findings(settings=KEPT) if found.subject == last]
    assert told == ["last records: 4 partitions, 3 replicas"]
    assert [found for found in findings() if found.subject == last] == []


def test_last_records_that_are_not_compacted_are_a_failure() -> None:
    found = findings(a_topic("thermal_management-last", config=GOOD), settings=KEPT)
    assert bad(found) == [(Level.FAILURE, "thermal_management-last")]


def test_last_records_have_to_be_read_and_written() -> None:
    found = findings(
        a_topic("thermal_management-last", allowed=frozenset({"WRITE", "DESCRIBE"})), settings=KEPT
    )
    assert bad(found) == [(Level.FAILURE, "thermal_management-last")]


def test_aligned_routing_wants_a_partition_for_each_slot() -> None:
    own = {"topic": "OWN", "fields": ["x"], "windowSize": 1, "routing": "Aligned"}
    settings = {"inputs": [own], "partitioning": {"slots": 8}}
    assert bad(findings(settings=settings)) == [(Level.FAILURE, "OWN")]
    assert bad(findings(a_topic("OWN", partitions=8), settings=settings)) == []


def test_one_replica_among_three_brokers_is_a_warning() -> None:
    found = findings(a_topic(REALTIME, replicas=1, in_sync=1, config={**GOOD, "min.insync.replicas": "1"}))
    assert bad(found) == [(Level.WARNING, REALTIME)]


def test_one_replica_on_the_only_broker_is_in_order() -> None:
    names = diagnosis.topics_of(catalogue.resolve(reading.read_spec({"module": "thermal_management"})))
    lone = {"replicas": 1, "in_sync": 1}
    topics = [
        a_topic(
            name, **lone, config={**(COMPACT if "progress" in name else GOOD), "min.insync.replicas": "1"}
        )
        for name in names
    ]
    assert bad(findings(*topics, brokers=1)) == []


def test_a_write_that_one_broker_acknowledges_is_a_warning_on_three() -> None:
    found = findings(a_topic(REALTIME, config={**GOOD, "min.insync.replicas": "1"}))
    assert bad(found) == [(Level.WARNING, REALTIME)]


def test_more_in_sync_replicas_wanted_than_there_are_is_a_failure() -> None:
    found = findings(a_topic(REALTIME, config={**GOOD, "min.insync.replicas": "4"}))
    assert bad(found) == [(Level.FAILURE, REALTIME)]


def test_too_few_replicas_in_sync_now_is_a_failure() -> None:
    found = findings(a_topic(REALTIME, in_sync=1))
    assert (Level.FAILURE, REALTIME) in bad(found)


@pytest.mark.parametrize(("retention_s", "level"), [(3_599, Level.WARNING), (3_600, None), (-0.001, None)])
def test_a_topic_has_to_keep_what_the_window_spans(retention_s: float, level: Level | None) -> None:
    config = {**GOOD, "retention.ms": f"{retention_s * 1000:.0f}"}
    expected = [] if level is None else [(level, REALTIME)]
    assert bad(findings(a_topic(REALTIME, config=config))) == expected


def test_a_compacted_input_with_a_window_is_a_warning() -> None:
    assert bad(findings(a_topic(REALTIME, config=COMPACT))) == [(Level.WARNING, REALTIME)]


def test_a_topic_that_may_not_be_read_is_a_failure() -> None:
    found = findings(a_topic(REALTIME, allowed=frozenset({"DESCRIBE"})))
    assert bad(found) == [(Level.FAILURE, REALTIME)]


def test_progress_has_to_be_read_and_written() -> None:
    found = findings(a_topic("thermal_management-progress", allowed=frozenset({"WRITE"})))
    assert bad(found) == [(Level.FAILURE, "thermal_management-progress")]


def test_a_group_that_may_not_be_read_is_a_failure() -> None:
    found = findings(group_allowed=frozenset({"DESCRIBE"}))
    assert bad(found) == [(Level.FAILURE, "group thermal_management")]


def test_a_server_that_is_silent_is_a_warning_with_its_reason() -> None:
    found = findings(silent={"b:9092": "b:9092: nothing listens there; start the broker"})
    told = [finding for finding in found if finding.subject == "b:9092"]
    assert told == [diagnosis.Finding(Level.WARNING, "b:9092", "nothing listens there", "start the broker")]


def test_offsets_that_are_deleted_though_not_done_are_a_warning() -> None:
    topic = a_topic(REALTIME, bounds={0: (100, 200)})
    found = findings(topic, committed={TopicPartition(REALTIME, 0): 40})
    assert bad(found) == [(Level.WARNING, REALTIME)]


def test_the_lag_is_told_over_all_partitions() -> None:
    topic = a_topic(REALTIME, bounds={0: (0, 200), 1: (0, 50)})
    committed = {TopicPartition(REALTIME, 0): 150, TopicPartition(REALTIME, 1): 50}
    assert findings(topic, committed=committed)[-1].found == "offsets of 2 partitions, 50 records behind"


def test_what_a_cluster_does_not_tell_is_a_note() -> None:
    names = diagnosis.topics_of(catalogue.resolve(reading.read_spec({"module": "thermal_management"})))
    untold = [a_topic(name, config=None, allowed=None) for name in names]
    found = findings(*untold, committed=None, allowed=None, group_allowed=None, embedded=True)
    assert {finding.subject for finding in found if finding.level is Level.NOTE} == {
        "brokers",
        "permissions",
        "group thermal_management",
    }
