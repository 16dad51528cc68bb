"""Problems and their exception read well and survive a process boundary."""

import pickle

from analysis_module import errors

WINDOW = errors.Problem("spec.inputs[2].windowSize", "0 is less than 1", "give a number of 1 or more")
MODULE = errors.Problem("spec.module", "is missing", "give a name")


def test_a_problem_says_path_fault_and_mend() -> None:
    assert str(WINDOW) == "spec.inputs[2].windowSize: 0 is less than 1; give a number of 1 or more"


def test_one_problem_is_the_whole_message() -> None:
    assert str(errors.InvalidSpec([WINDOW])) == str(WINDOW)


def test_several_problems_are_counted_and_listed() -> None:
    text = str(errors.InvalidSpec([WINDOW, MODULE]))
    assert text == f"2 problems:\n  {WINDOW}\n  {MODULE}"


def test_omitted_problems_are_counted() -> None:
    text = str(errors.InvalidSpec([WINDOW], omitted=41))
    assert text.startswith("42 problems:")
    assert text.endswith("... and 41 more")


def test_an_invalid_spec_survives_pickling() -> None:
    copied = pickle.loads(pickle.dumps(errors.InvalidSpec([WINDOW, MODULE], omitted=3)))
    assert copied.problems == (WINDOW, MODULE)
    assert copied.omitted == 3


def test_an_invalid_spec_is_a_value_error() -> None:
    assert issubclass(errors.InvalidSpec, ValueError)


def test_closest_sets_letter_case_aside() -> None:
    assert errors.closest("WINDOW_SIZE", ["fields", "windowSize"]) == "windowSize"


def test_closest_of_nothing_near_is_none() -> None:
    assert errors.closest("qqq", ["fields", "windowSize"]) is None


def test_closest_is_not_sought_among_very_many() -> None:
    assert errors.closest("word7", [f"word{number}" for number in range(1000)]) is None


def test_a_suggestion_names_the_near_word_and_the_other_way() -> None:
    assert (
        errors.suggestion("feilds", ["fields"], "leave it out")
        == "did you mean fields? Otherwise leave it out"
    )
    assert errors.suggestion("qqq", ["fields"], "leave it out") == "leave it out"
