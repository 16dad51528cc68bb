"""Values and bounds in words."""

import pytest

from analysis_module import forms, names, wording


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (5, "5"),
        (2.5, "2.5"),
        ("站点", '"站点"'),
        ("x" * 41, '"' + "x" * 40 + '"...'),
        (10**19, "a number of more than 18 digits"),
        ([1, 2], "a list of 2 items"),
        ({}, "an empty object"),
        ({"a": 1}, "an object of 1 fields"),
        (b"x", "a bytes"),
    ],
)
def test_a_value_is_shown_in_short(value: object, text: str) -> None:
    assert wording.shown(value) == text


def test_a_number_longer_than_python_prints_is_shown_too() -> None:
    assert wording.shown(10**9999) == "a number of more than 18 digits"


@pytest.mark.parametrize(
    ("value", "text"), [("hunter2", "text"), (1234, "a number"), (True, "true or false"), (None, "null")]
)
def test_the_kind_of_a_value_does_not_show_it(value: object, text: str) -> None:
    assert wording.kind(value) == text


@pytest.mark.parametrize(
    ("minimum", "maximum", "text"),
    [
        (None, None, ""),
        (1, None, "of 1 or more"),
        (None, 5, "of at most 5"),
        (1, 10_000_000, "from 1 to 10000000"),
        (0.001, 86_400, "from 0.001 to 86400"),
        (2**20, 2**50, "from 1048576 to 1125899906842624"),
    ],
)
def test_bounds_are_put_into_words(minimum: float | None, maximum: float | None, text: str) -> None:
    assert wording.interval(minimum, maximum) == text


def test_choices_are_listed() -> None:
    assert wording.one_of(["A", "B", "C"]) == "A, B or C"
    assert wording.one_of(["A"]) == "A"


@pytest.mark.parametrize(
    "pattern",
    [
        *(value for name, value in vars(forms).items() if name.isupper() and not name.startswith("_")),
        *(value for name, value in vars(names).items() if name.endswith("_PATTERN")),
    ],
)
def test_every_pattern_is_described_for_people(pattern: str) -> None:
    assert pattern not in wording.form(pattern)


def test_an_unknown_pattern_is_shown_as_it_is() -> None:
    assert wording.form("a+") == "text that matches a+"
