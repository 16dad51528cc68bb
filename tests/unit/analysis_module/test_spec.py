"""The types of the resource: frozen, with the documented defaults."""

import dataclasses
import re

import pytest

from analysis_module import forms, spec

MINIMAL = spec.ModuleSpec(module="load_prediction")


def test_a_spec_cannot_be_changed_in_place() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        MINIMAL.suspend = True  # type: ignore[misc]


def test_specs_of_the_same_content_are_equal() -> None:
    assert spec.ModuleSpec(module="load_prediction") == MINIMAL


def test_the_guides_defaults_are_the_defaults() -> None:
    assert MINIMAL.padding is spec.Padding.ZERO
    assert MINIMAL.expire_after_seconds == 600.0
    assert MINIMAL.callback.concurrency == 32
    assert MINIMAL.observability.log_level == "INFO"
    assert spec.Dependency(module="m").window_size == 12


def test_defaults_promise_no_more_than_the_plain_service() -> None:
    assert MINIMAL.delivery is spec.Delivery.AT_LEAST_ONCE
    assert MINIMAL.trigger.policy is spec.TriggerPolicy.EVERY_RECORD
    assert MINIMAL.partitioning == spec.Partitioning(slots=64, routing=spec.Routing.FILTERED)


def test_windows_are_kept_in_ten_gibibytes_of_files_and_copied_nowhere() -> None:
    assert MINIMAL.state == spec.State(
        enabled=True, max_bytes=10_737_418_240, snapshots=spec.Snapshots(url=None, interval_seconds=900.0)
    )


def test_a_station_is_sought_under_the_seven_names_in_order() -> None:
    sought = ("stationId", "hostId", "meterId", "station_id", "host_id", "hostCode", "meter_id")
    assert spec.StationKey().fields == sought


@pytest.mark.parametrize("key", ["password", "ca.crt", ".env", "_x", "a..b"])
def test_keys_of_secrets_are_accepted(key: str) -> None:
    assert re.fullmatch(forms.KEY, key)


@pytest.mark.parametrize("key", ["", ".", "..", "../x", "a/b", "..data"])
def test_keys_that_would_leave_their_directory_are_not(key: str) -> None:
    assert not re.fullmatch(forms.KEY, key)


@pytest.mark.parametrize("change", list(spec.Change)[:-1])
def test_change_classes_grow_from_none_to_recreate(change: spec.Change) -> None:
    assert change < spec.Change(change + 1)
