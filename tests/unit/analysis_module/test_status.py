"""A status goes to JSON and back, reads whatever it is given, and keeps the times of its conditions."""

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis_module import names, shape, status

NOW = "2025-11-07T08:00:00Z"
EARLIER = "2025-11-07T07:00:00Z"


def condition(
    kind: names.ConditionType, truth: status.Truth, since: str = "", **fields: Any
) -> status.Condition:
    return status.Condition(type=kind, status=truth, reason="Tested", last_transition_time=since, **fields)


READY, DEGRADED = names.ConditionType.READY, names.ConditionType.DEGRADED
TRUE, FALSE = status.Truth.TRUE, status.Truth.FALSE

WHOLE = status.ModuleStatus(
    phase=names.Phase.RUNNING,
    observed_generation=3,
    module="load_prediction",
    output_topic="MODULE-OUTPUT-LOAD-PREDICTION",
    epoch=7,
    replicas=2,
    ready_replicas=1,
    ready="1/2",
    selector="app.kubernetes.io/instance=load-prediction",
    stations=500,
    lag=12,
    lag_seconds=0.5,
    rate=1024.0,
    config=status.ConfigCounts(desired="abc", applied=1, lagging=1, refused=("shard-1: no",), summary="1/2"),
    autoscaling=status.AutoscalingStatus(
        replicas=3, scaled_at="2026-11-25T00:00:00Z", low_since="2026-11-25T00:01:00Z", reason="lag"
    ),
    shards=(
        status.ShardStatus(
            shard=1, slots="0-31", releasing="40", stations=250, epoch=7, state="Running", pod="p", lag=6
        ),
    ),
    dependencies=("default/pv-prediction",),
    dependants=("default/thermal-management",),
    conditions=(condition(READY, TRUE, NOW, message="all ready", observed_generation=3),),
)
"""Every field has a value of its own."""


class TestJson:
    def test_what_is_written_is_read_again(self) -> None:
        assert status.ModuleStatus.from_json(json.loads(json.dumps(WHOLE.to_json()))) == WHOLE

    def test_the_test_says_every_field(self) -> None:
        written = WHOLE.to_json()
        assert set(written) == {member.name for member in shape.members(status.ModuleStatus)}
        plain = status.ModuleStatus()
        assert [name for name, value in vars(WHOLE).items() if value == getattr(plain, name)] == []

    def test_names_are_camel_case_and_unknown_numbers_are_absent(self) -> None:
        written = status.ModuleStatus(observed_generation=1).to_json()
        assert written["observedGeneration"] == 1
        assert not {"lag", "lagSeconds", "rate"} & set(written)

    def test_the_scale_subresource_finds_its_fields_in_every_status(self) -> None:
        assert {"replicas", "selector"} <= set(status.ModuleStatus().to_json())

    def test_a_whole_number_is_read_as_seconds(self) -> None:
        assert status.ModuleStatus.from_json({"lagSeconds": 2}).lag_seconds == 2.0


def json_like() -> st.SearchStrategy[Any]:
    names_of_fields = [member.name for member in shape.members(status.ModuleStatus)]
    keys = st.sampled_from([*names_of_fields, "type", "status", "reason", "shard"]) | st.text(max_size=3)
    leaves = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=3)
        | st.sampled_from(["Ready", "True", "Running", 10**400])
    )
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
        max_leaves=20,
    )


class TestReading:
    @given(json_like())
    def test_anything_can_be_read_and_written_again(self, document: Any) -> None:
        read = status.ModuleStatus.from_json(document)
        assert status.ModuleStatus.from_json(json.loads(json.dumps(read.to_json()))) == read

    @pytest.mark.parametrize("document", [None, 7, "text", [], True, {}])
    def test_what_is_no_status_is_an_empty_one(self, document: object) -> None:
        assert status.ModuleStatus.from_json(document) == status.ModuleStatus()

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("phase", "Sleeping"),
            ("phase", 1),
            ("epoch", "7"),
            ("epoch", True),
            ("epoch", 1.5),
            ("epoch", 2**63),
            ("lag", "many"),
            ("rate", True),
            ("rate", float("nan")),
            ("rate", float("inf")),
            ("rate", 10**400),
            ("ready", 2),
            ("config", "2/2"),
            ("shards", {"0": {}}),
            ("conditions", "Ready"),
        ],
    )
    def test_a_field_that_cannot_be_read_has_its_default(self, field: str, value: object) -> None:
        read = status.ModuleStatus.from_json({"module": "m", field: value})
        assert read == status.ModuleStatus(module="m")

    @pytest.mark.parametrize(
        "entry",
        [
            None,
            "Ready",
            {"type": "Ready"},
            {"type": "Ready", "status": "Maybe", "reason": "R"},
            {"type": "Waiting", "status": "True", "reason": "R"},
        ],
    )
    def test_a_condition_that_cannot_be_read_is_left_out(self, entry: object) -> None:
        known = condition(DEGRADED, FALSE, NOW)
        document = {"conditions": [entry, *status.ModuleStatus(conditions=(known,)).to_json()["conditions"]]}
        assert status.ModuleStatus.from_json(document).conditions == (known,)


class TestBounds:
    def test_ten_refusals_are_kept_and_each_is_cut_at_300_characters(self) -> None:
        counts = status.ConfigCounts(refused=tuple(f"shard-{shard}: {'x' * 400}" for shard in range(12)))
        assert len(counts.refused) == 10
        assert {len(text) for text in counts.refused} == {300}

    def test_a_message_is_no_longer_than_kubernetes_takes(self) -> None:
        assert len(condition(READY, TRUE, message="x" * 40_000).message) == 32_768

    def test_a_status_is_frozen(self) -> None:
        with pytest.raises(dataclasses.FrozenInstanceError):
            WHOLE.epoch = 8  # type: ignore[misc]


class TestMergedConditions:
    def test_a_status_that_stays_keeps_its_time(self) -> None:
        old = condition(READY, TRUE, EARLIER)
        new = dataclasses.replace(condition(READY, TRUE), message="other words", observed_generation=9)
        (merged,) = status.merged_conditions([old], [new], NOW)
        assert merged == dataclasses.replace(new, last_transition_time=EARLIER)

    def test_a_status_that_changes_has_the_time_of_now(self) -> None:
        (merged,) = status.merged_conditions(
            [condition(READY, TRUE, EARLIER)], [condition(READY, FALSE)], NOW
        )
        assert merged.last_transition_time == NOW

    def test_a_new_condition_has_the_time_of_now(self) -> None:
        (merged,) = status.merged_conditions(
            [condition(READY, TRUE, EARLIER)], [condition(DEGRADED, TRUE)], NOW
        )
        assert (merged.type, merged.last_transition_time) == (DEGRADED, NOW)

    def test_an_old_condition_without_a_time_gets_one(self) -> None:
        (merged,) = status.merged_conditions([condition(READY, TRUE)], [condition(READY, TRUE)], NOW)
        assert merged.last_transition_time == NOW

    def test_conditions_stand_in_the_order_of_their_types(self) -> None:
        new = [condition(kind, TRUE) for kind in reversed(names.ConditionType)]
        assert [each.type for each in status.merged_conditions([], new, NOW)] == list(names.ConditionType)

    def test_of_two_of_one_type_the_last_counts(self) -> None:
        merged = status.merged_conditions([], [condition(READY, TRUE), condition(READY, FALSE)], NOW)
        assert [each.status for each in merged] == [FALSE]

    def test_merging_again_changes_nothing(self) -> None:
        new = [condition(READY, TRUE), condition(DEGRADED, FALSE)]
        once = status.merged_conditions([], new, EARLIER)
        assert status.merged_conditions(once, new, NOW) == once
