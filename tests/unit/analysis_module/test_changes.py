"""What an edit changes: its paths, its strongest class, and nothing where the meaning is the same."""

import dataclasses
from typing import Any

import pytest

from analysis_module import assignment, changes, reading, shape, spec

POWER: dict[str, Any] = {"topic": "POWER", "fields": ["stationId", "power"], "windowSize": 3}
BASE: dict[str, Any] = {"module": "module", "inputs": [POWER], "kafka": {"bootstrapServers": ["kafka:9092"]}}


def a_spec(**edits: Any) -> spec.ModuleSpec:
    return reading.read_spec({**BASE, **edits})


def compared(**edits: Any) -> changes.Difference:
    """The base compared with an edit of it."""
    return changes.compared(a_spec(), a_spec(**edits))


def test_equal_specs_differ_in_nothing() -> None:
    same = compared()
    assert same.paths == {}
    assert same.strongest is spec.Change.NONE
    assert same.reason is None
    assert same.sentence() == "nothing changed"


def test_paths_go_down_to_the_field_and_stop_at_lists_and_free_values() -> None:
    edited = a_spec(
        callback={"timeoutSeconds": 5, "parameters": {"a": {"b": 1}}},
        errors={"breaker": {"failures": 3}},
        inputs=[{**POWER, "windowSize": 4}],
    )
    assert changes.changed_paths(a_spec(), edited) == [
        "spec.callback.parameters",
        "spec.callback.timeoutSeconds",
        "spec.errors.breaker.failures",
        "spec.inputs",
    ]


def test_each_path_has_its_class_and_the_strongest_decides() -> None:
    difference = compared(
        padding="Linear", suspend=True, kafka={"groupId": "another"}, delivery="ExactlyOnce"
    )
    assert difference.paths == {
        "spec.delivery": spec.Change.ROLLING,
        "spec.kafka.bootstrapServers": spec.Change.ROLLING,
        "spec.kafka.groupId": spec.Change.RECREATE,
        "spec.padding": spec.Change.HOT,
        "spec.suspend": spec.Change.NONE,
    }
    assert difference.strongest is spec.Change.RECREATE
    assert difference.reason == "spec.kafka.groupId"
    assert difference.sentence() == "recreate: spec.kafka.groupId (and 4 more)"


def test_the_reason_is_the_first_path_of_the_strongest_class() -> None:
    difference = compared(callback={"concurrency": 2}, profile="v1.1", delivery="ExactlyOnce")
    assert difference.reason == "spec.delivery"


def test_the_sentence_about_one_path_counts_no_others() -> None:
    assert compared(padding="Linear").sentence() == "hot: spec.padding"
    assert compared(suspend=True).sentence() == "none: spec.suspend"


def test_a_setting_taken_back_to_its_default_is_a_change_of_it() -> None:
    difference = changes.compared(a_spec(errors={"retries": 3}), a_spec())
    assert list(difference.paths) == ["spec.errors.retries"]


@pytest.mark.parametrize(
    "edits",
    [
        {"padding": "Zero", "errors": {"retries": 0, "breaker": {"openSeconds": 60}}},
        {"padding": None, "workers": None, "kafka": {**BASE["kafka"], "groupId": None}},
        {"kafka": {"bootstrapServers": "kafka:9092"}},
        {"inputs": [dict(reversed(POWER.items()))]},
        {"inputs": [{**POWER, "stationKey": {}, "aliases": {}, "trigger": None}]},
        {"workers": {"replicas": 1, "resources": {}}},
    ],
)
def test_an_edit_that_means_the_same_is_no_change(edits: dict[str, Any]) -> None:
    assert compared(**edits).paths == {}
    assert dataclasses.asdict(a_spec(**edits)) == dataclasses.asdict(a_spec())


@pytest.mark.parametrize(("old", "new"), [(1, True), (1, 1.0), (0, False), (None, 0), ([1], [True])])
def test_free_values_that_python_calls_equal_but_json_does_not_are_a_change(old: Any, new: Any) -> None:
    before, after = (a_spec(callback={"parameters": {"a": value}}) for value in (old, new))
    assert changes.changed_paths(before, after) == ["spec.callback.parameters"]


def test_a_part_that_says_nothing_but_stands_where_there_was_none_is_a_change() -> None:
    assert list(compared(workers={"autoscaling": {}}).paths) == ["spec.workers.autoscaling"]


def test_what_stands_in_a_new_part_is_named_rather_than_the_part() -> None:
    difference = compared(workers={"autoscaling": {"maxReplicas": 5}})
    assert list(difference.paths) == ["spec.workers.autoscaling.maxReplicas"]


def test_an_input_read_from_other_partitions_is_named_besides_its_list() -> None:
    difference = compared(inputs=[{**POWER, "routing": "Aligned"}])
    assert difference.paths == {
        "spec.inputs": spec.Change.HOT,
        "spec.inputs[0].routing": spec.Change.ROLLING,
    }


def test_an_input_that_another_scope_reads_from_other_partitions_is_named_too() -> None:
    before = a_spec(partitioning={"routing": "Aligned"})
    after = a_spec(partitioning={"routing": "Aligned"}, inputs=[{**POWER, "scope": "Global"}])
    assert changes.compared(before, after).reason == "spec.inputs[0].routing"


def test_routing_that_stays_or_comes_with_a_new_topic_is_none() -> None:
    aligned = {**POWER, "routing": "Aligned"}
    before, after = a_spec(inputs=[aligned]), a_spec(inputs=[{**aligned, "topic": "OTHER"}, aligned])
    assert list(changes.compared(before, after).paths) == ["spec.inputs"]


def test_the_modules_own_routing_is_the_reason_rather_than_every_input() -> None:
    assert list(compared(partitioning={"routing": "Aligned"}).paths) == ["spec.partitioning.routing"]


def test_specs_that_the_catalogue_would_refuse_can_be_compared() -> None:
    lost = changes.compared(a_spec(), spec.ModuleSpec(module="nothing-to-read"))
    assert lost.reason == "spec.module"


def running_hash(**edits: Any) -> str:
    """The config hash of an Assignment as the operator makes it."""
    running = changes.running_part(a_spec(**edits))
    return assignment.for_shard(running, shard=0, shards=1).config_hash


@pytest.mark.parametrize(
    "edits",
    [
        {"workers": {"replicas": 9}},
        {"workers": {"autoscaling": {"maxReplicas": 9}}},
        {"workers": {"autoscaling": {}}},
        {"suspend": True},
    ],
)
def test_scaling_and_suspending_leave_the_config_hash_alone(edits: dict[str, Any]) -> None:
    assert running_hash(**edits) == running_hash()


@pytest.mark.parametrize(
    "edits", [{"workers": {"image": "another"}}, {"padding": "Linear"}, {"inputs": [{**POWER, "arrays": []}]}]
)
def test_the_running_part_keeps_all_else(edits: dict[str, Any]) -> None:
    module_spec = a_spec(**edits)
    assert changes.running_part(module_spec) == module_spec


def test_a_field_that_reaches_workers_stays_inside_a_part_that_does_not() -> None:
    module_spec = a_spec(workers={"replicas": 9, "image": "another", "autoscaling": {}})
    assert changes.running_part(module_spec).workers == spec.Workers(image="another")


def test_every_difference_to_the_running_part_is_of_class_none() -> None:
    quiet = {path for path, change in shape.field_changes().items() if change is spec.Change.NONE}
    module_spec = a_spec(workers={"replicas": 9, "autoscaling": {"minReplicas": 2, "maxReplicas": 3}})
    difference = changes.compared(module_spec, changes.running_part(module_spec))
    assert difference.paths.keys() == {
        "spec.workers.replicas",
        "spec.workers.autoscaling.minReplicas",
        "spec.workers.autoscaling.maxReplicas",
    }
    assert difference.paths.keys() <= quiet
