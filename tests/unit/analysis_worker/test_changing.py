"""A running worker takes over what is hot, and refuses the rest by the name of the field."""

from typing import Any

import pytest

from analysis_module import assignment, reading, shape, spec
from analysis_worker import changing

POWER = {"topic": "POWER", "fields": ["stationId", "power"], "windowSize": 3}
BASE: dict[str, Any] = {"module": "module", "inputs": [POWER], "kafka": {"bootstrapServers": ["kafka:9092"]}}
OTHER: dict[str, dict[str, Any]] = {
    "spec.module": {"module": "another"},
    "spec.profile": {"profile": "v1.1"},
    "spec.kafka.bootstrapServers": {"kafka": {"bootstrapServers": ["other:9092"]}},
    "spec.kafka.groupId": {"kafka": {**BASE["kafka"], "groupId": "another"}},
    "spec.kafka.autoOffsetReset": {"kafka": {**BASE["kafka"], "autoOffsetReset": "earliest"}},
    "spec.kafka.consumer": {"kafka": {**BASE["kafka"], "consumer": {"fetch_min_bytes": 5}}},
    "spec.kafka.producer": {"kafka": {**BASE["kafka"], "producer": {"acks": 1}}},
    "spec.kafka.security.protocol": {"kafka": {**BASE["kafka"], "security": {"protocol": "SSL"}}},
    "spec.kafka.security.checkHostname": {"kafka": {**BASE["kafka"], "security": {"checkHostname": False}}},
    "spec.inputs[0].routing": {"inputs": [{**POWER, "routing": "Aligned"}]},
    "spec.delivery": {"delivery": "ExactlyOnce"},
    "spec.partitioning.slots": {"partitioning": {"slots": 32}},
    "spec.partitioning.routing": {"partitioning": {"routing": "Aligned"}},
    "spec.state.enabled": {"state": {"enabled": False}},
    "spec.state.maxBytes": {"state": {"maxBytes": 2**20}},
    "spec.state.snapshots.url": {"state": {"snapshots": {"url": "s3://bucket"}}},
    "spec.state.snapshots.intervalSeconds": {"state": {"snapshots": {"intervalSeconds": 60}}},
    "spec.workers.image": {"workers": {"image": "another"}},
    "spec.workers.resources": {"workers": {"resources": {"limits": {"cpu": "1"}}}},
    "spec.workers.podTemplate": {"workers": {"podTemplate": {"metadata": {}}}},
    "spec.observability.logFormat": {"observability": {"logFormat": "json"}},
}
"""Path of a field that a running worker cannot change -> a change of it."""


def an_assignment(epoch: int = 1, owner: str = "module-0", **changes: Any) -> assignment.Assignment:
    return assignment.Assignment(reading.read_spec({**BASE, **changes}), owner, epoch, frozenset(range(64)))


@pytest.mark.parametrize("path", OTHER)
def test_a_change_of_a_field_that_is_not_hot_is_refused_by_its_name(path: str) -> None:
    with pytest.raises(changing.ChangeRefused) as raised:
        changing.check(an_assignment(), an_assignment(2, **OTHER[path]))
    assert str(raised.value).startswith(f"{path}: a change of it is ")
    assert "restart the worker" in str(raised.value)


def test_every_field_that_is_not_hot_has_a_case_above() -> None:
    cold = {path for path, change in shape.field_changes().items() if change > spec.Change.HOT}
    parts = {path for path in cold if any(other.startswith((f"{path}.", f"{path}[]")) for other in cold)}
    tried = {path.replace("[0]", "[]") for path in OTHER}
    secrets = {path for path in cold if path.startswith("spec.kafka.security.")} - tried
    assert cold - parts - secrets <= tried


def test_equal_assignments_of_the_same_epoch_are_taken() -> None:
    changing.check(an_assignment(), an_assignment())


@pytest.mark.parametrize(
    "changes",
    [
        {"inputs": [{**POWER, "windowSize": 30}]},
        {"inputs": [{**POWER, "topic": "OTHER"}]},
        {"inputs": [{**POWER, "topic": "OTHER"}, POWER]},
        {"callback": {"source": "def callback(s, m): pass"}},
        {"workers": {"replicas": 5, "autoscaling": {"maxReplicas": 9}}},
        {"suspend": True},
        {"observability": {"logLevel": "DEBUG"}},
    ],
)
def test_hot_changes_and_those_that_concern_no_worker_are_taken(changes: dict[str, Any]) -> None:
    changing.check(an_assignment(), an_assignment(2, **changes))


def test_a_routing_that_stays_may_stand_at_another_place() -> None:
    aligned = {**POWER, "routing": "Aligned"}
    other = {**POWER, "topic": "OTHER"}
    changing.check(an_assignment(inputs=[aligned, other]), an_assignment(2, inputs=[other, aligned]))


def test_an_older_epoch_is_refused() -> None:
    with pytest.raises(changing.ChangeRefused, match="epoch: 1 is older than 2"):
        changing.check(an_assignment(2), an_assignment(1))


def test_another_workers_assignment_is_refused() -> None:
    with pytest.raises(changing.ChangeRefused, match="owner: module-1 is not this worker, module-0"):
        changing.check(an_assignment(), an_assignment(2, owner="module-1"))


def test_slots_are_taken_over_from_an_assignment_whose_config_is_refused() -> None:
    old = assignment.Assignment(reading.read_spec(BASE), "w", 3, frozenset({1, 2}))
    refused = reading.read_spec({**BASE, "delivery": "ExactlyOnce"})
    new = assignment.Assignment(refused, "w", 4, frozenset({2, 5}), 0, 2)
    taken = changing.with_slots(old, new)
    assert (taken.module_spec, taken.epoch, taken.slots, taken.shards) == (old.module_spec, 4, {2, 5}, 2)


@pytest.mark.parametrize("change", [{"epoch": 2}, {"owner": "v"}, {"slots": 32}])
def test_slots_that_do_not_fit_are_not_taken_over(change: dict[str, Any]) -> None:
    old = assignment.Assignment(reading.read_spec(BASE), "w", 3, frozenset({1, 2}))
    slots = change.get("slots", 64)
    other = reading.read_spec({**BASE, "partitioning": {"slots": slots}})
    told = change.get("owner", "w"), change.get("epoch", 4)
    assert changing.with_slots(old, assignment.Assignment(other, *told, frozenset({5}))) == old
