"""The resolved wiring is plain frozen data."""

import dataclasses

import pytest

from analysis_module import catalogue, spec, wiring


def test_wirings_of_equal_specs_are_equal_and_hashable() -> None:
    first = catalogue.resolve(spec.ModuleSpec(module="load_prediction"))
    second = catalogue.resolve(spec.ModuleSpec(module="load_prediction"))
    assert first == second
    assert hash(first) == hash(second)


def test_a_field_is_a_plain_numeric_scalar_unless_said() -> None:
    assert wiring.FieldWiring("a") == wiring.FieldWiring("a", aliases=(), array=False, dtype="float64")


def test_a_wiring_cannot_be_changed_in_place() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        wiring.FieldWiring("a").name = "b"  # type: ignore[misc]
