"""Modules together: cycles, shared groups, shared outputs, dependencies that nobody serves."""

from typing import Any

from analysis_module import reading
from analysis_worker.commands import together


def declared(where: str, module: str, **settings: Any) -> together.Declared:
    return together.Declared.of(where, reading.read_spec({"module": module, **settings}))


def test_modules_that_wait_for_each_other_are_a_cycle_named_in_full() -> None:
    found = together.problems(
        [
            declared("a.yaml", "load_prediction", dependencies=[{"module": "thermal_management"}]),
            declared("b.yaml", "thermal_management", dependencies=[{"module": "load_prediction"}]),
        ]
    )
    assert [problem.path for problem in found] == ["a.yaml: spec.dependencies"]
    assert "load_prediction -> thermal_management -> load_prediction" in found[0].wrong


def test_a_cycle_by_topics_is_found_though_no_dependency_says_so() -> None:
    window = {"fields": ["x"], "windowSize": 1}
    found = together.problems(
        [
            declared("a.yaml", "a", inputs=[{"topic": "B", **window}], output={"topic": "A"}),
            declared("b.yaml", "b", inputs=[{"topic": "A", **window}], output={"topic": "B"}),
        ]
    )
    assert "a -> b -> a" in found[0].wrong


def test_a_group_of_two_modules_is_a_problem() -> None:
    found = together.problems(
        [
            declared("a.yaml", "load_prediction", kafka={"groupId": "g"}),
            declared("b.yaml", "customer_mining", kafka={"groupId": "g"}),
        ]
    )
    assert [problem.path for problem in found] == ["b.yaml: spec.kafka.groupId"]


def test_a_topic_that_two_modules_write_is_a_problem() -> None:
    found = together.problems(
        [
            declared("a.yaml", "load_prediction", output={"topic": "OUT"}),
            declared("b.yaml", "customer_mining", output={"topic": "OUT"}),
        ]
    )
    assert [problem.path for problem in found] == ["b.yaml: spec.output.topic"]


def test_modules_that_fit_together_have_no_problem() -> None:
    assert (
        together.problems([declared("a", "load_prediction"), declared("b", "operation_optimization")]) == []
    )


def test_a_dependency_that_no_file_serves_is_told() -> None:
    (told,) = together.unserved([declared("a", "operation_optimization")])
    assert (
        told
        == "operation_optimization needs load_prediction, whose outputs are MODULE-OUTPUT-LOAD-PREDICTION"
    )


def test_a_dependency_that_a_file_serves_is_not_told() -> None:
    assert (
        together.unserved([declared("a", "load_prediction"), declared("b", "operation_optimization")]) == []
    )
