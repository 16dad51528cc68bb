"""Problems are bounded in number, counted in full, and cast doubt on what is around them."""

import pytest

from analysis_module import errors, findings


def _closed(found: findings.Findings) -> errors.InvalidSpec:
    with pytest.raises(errors.InvalidSpec) as caught:
        found.close()
    return caught.value


def test_closing_without_a_problem_raises_nothing() -> None:
    findings.Findings().close()


def test_the_first_hundred_are_shown_and_the_rest_counted() -> None:
    found = findings.Findings()
    for number in range(250):
        found.add(f"spec.a{number}", "is wrong", "mend it")
    invalid = _closed(found)
    assert [problem.path for problem in invalid.problems] == [f"spec.a{number}" for number in range(100)]
    assert invalid.omitted == 150


def test_a_mend_is_worded_only_for_a_problem_that_is_shown() -> None:
    worded = []
    found = findings.Findings()
    for number in range(101):
        found.add("spec.a", "is wrong", lambda number=number: worded.append(number) or "mend it")
    assert worded == list(range(100))


def test_a_problem_makes_its_place_and_all_around_it_unsound() -> None:
    found = findings.Findings()
    found.add("spec.inputs[2].windowSize", "is wrong", "mend it")
    for path in ("spec", "spec.inputs", "spec.inputs[2]", "spec.inputs[2].windowSize"):
        assert not found.sound(path)
    for path in ("spec.inputs[1]", "spec.inputs[2].topic", "spec.kafka"):
        assert found.sound(path)


def test_a_doubt_is_no_problem() -> None:
    found = findings.Findings()
    found.doubt("spec.padding")
    assert not found.sound("spec.padding")
    found.close()


def test_a_document_of_absurd_size_ends_the_reading() -> None:
    found = findings.Findings()
    for _ in range(100_000):
        found.visit("spec.x")
    with pytest.raises(errors.InvalidSpec, match="more than 100000 values"):
        found.visit("spec.x")
