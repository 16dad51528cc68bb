"""What only the catalogue can tell is wrong, each with its path."""

from typing import Any

import pytest

from analysis_module import errors, reading

GUN = "SCHEDULE-DEVICE-GUN"
MINE = {"topic": "T", "fields": ["a"], "windowSize": 1}


def _problems(module: str = "load_prediction", **fields: Any) -> dict[str, errors.Problem]:
    try:
        reading.read_spec({"module": module, **fields})
    except errors.InvalidSpec as invalid:
        return {problem.path: problem for problem in invalid.problems}
    return {}


def test_an_unknown_module_without_inputs_has_no_topic_to_read() -> None:
    (problem,) = _problems("load_predicton").values()
    assert problem.path == "spec.module"
    assert "no topic to read" in problem.wrong
    assert "load_prediction" in problem.mend


def test_a_module_whose_lists_are_emptied_has_no_topic_to_read() -> None:
    (problem,) = _problems(inputs=[], dependencies=[]).values()
    assert problem.path == "spec.inputs"
    assert "no topic to read" in problem.wrong


def test_a_module_of_any_name_runs_on_inputs_of_its_own() -> None:
    assert _problems("mine", inputs=[MINE]) == {}


def test_an_unknown_topic_needs_fields_and_a_window() -> None:
    told = _problems(inputs=[{"topic": "SCHEDULE-DEVICE-GUNS"}])
    assert list(told) == ["spec.inputs[0].fields", "spec.inputs[0].windowSize"]
    assert all(GUN in problem.mend for problem in told.values())


def test_an_unknown_topic_has_no_remaining_fields() -> None:
    told = _problems(inputs=[{"topic": "T", "fields": ["..."], "windowSize": 1}])
    assert list(told) == ["spec.inputs[0].fields"]


def test_an_empty_list_of_fields_is_told() -> None:
    assert list(_problems(inputs=[{"topic": GUN, "fields": []}])) == ["spec.inputs[0].fields"]


@pytest.mark.parametrize(
    ("said", "at"),
    [
        ({"arrays": ["gunStatus", "gunid"]}, "arrays[1]"),
        ({"aliases": {"gunid": ["x"]}}, "aliases.gunid"),
        ({"dtypes": {"gunid": "float32"}}, "dtypes.gunid"),
    ],
)
def test_what_is_said_about_an_undeclared_field_is_told(said: dict[str, Any], at: str) -> None:
    (problem,) = _problems(inputs=[{"topic": GUN, **said}]).values()
    assert problem.path == f"spec.inputs[0].{at}"
    assert "gunId" in problem.mend


def test_a_field_is_no_alias_of_another() -> None:
    told = _problems(inputs=[{"topic": GUN, "aliases": {"gunStatus": ["state", "gunId"]}}])
    assert list(told) == ["spec.inputs[0].aliases.gunStatus[1]"]


@pytest.mark.parametrize(
    "topic", ["SCHEDULE-ENVIRONMENT-CALENDAR", "SCHEDULE-STATION-PARAM", "SCHEDULE-CAR-PRICE"]
)
def test_aligned_routing_is_refused_where_a_record_concerns_many_stations(topic: str) -> None:
    told = _problems(inputs=[{"topic": topic, "routing": "Aligned"}])
    assert list(told) == ["spec.inputs[0].routing"]


def test_aligned_routing_is_refused_for_a_topic_made_global() -> None:
    told = _problems(inputs=[{**MINE, "scope": "Global", "routing": "Aligned"}])
    assert list(told) == ["spec.inputs[0].routing"]


def test_aligned_routing_is_free_for_topics_of_one_station_a_record() -> None:
    assert _problems(inputs=[{"topic": GUN, "routing": "Aligned"}]) == {}


def test_a_module_does_not_depend_on_itself() -> None:
    told = _problems(dependencies=[{"module": "load_prediction"}])
    assert list(told) == ["spec.dependencies[0].module"]
    assert "itself" in told["spec.dependencies[0].module"].wrong


def test_a_dependency_outside_the_catalogue_needs_its_topic() -> None:
    (problem,) = _problems(dependencies=[{"module": "theirs"}]).values()
    assert problem.path == "spec.dependencies[0].module"
    assert "topic" in problem.mend
    assert _problems(dependencies=[{"module": "theirs", "topic": "THEIRS"}]) == {}


def test_the_same_topic_twice_is_told_at_the_second() -> None:
    assert list(_problems(inputs=[{"topic": GUN}, {"topic": GUN}])) == ["spec.inputs[1].topic"]


def test_the_same_dependency_twice_is_told_at_the_second() -> None:
    told = _problems(dependencies=[{"module": "SOH_model"}, {"module": "SOH_model", "topic": "X"}])
    assert list(told) == ["spec.dependencies[1].module"]


def test_a_topic_is_an_input_or_a_dependencys_output_and_not_both() -> None:
    told = _problems(inputs=[MINE], dependencies=[{"module": "SOH_model", "topic": "T"}])
    assert list(told) == ["spec.dependencies[0].topic"]


@pytest.mark.parametrize(
    "said",
    [
        {"output": {"topic": "T"}},
        {"errors": {"deadLetterTopic": "T"}},
        {"inputs": [{**MINE, "topic": "load_prediction-progress"}]},
        {"inputs": [{**MINE, "topic": "load_prediction-strays"}]},
        {"inputs": [{**MINE, "topic": "load_prediction-last"}]},
        {"inputs": [{**MINE, "topic": "MODULE-OUTPUT-LOAD-PREDICTION"}]},
    ],
)
def test_a_module_does_not_read_what_it_writes(said: dict[str, Any]) -> None:
    assert list(_problems(**{"inputs": [MINE], **said})) == ["spec.inputs[0].topic"]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({**MINE, "windowSize": 1_000, "keepLast": True}, []),
        ({**MINE, "windowSize": 1_001, "keepLast": True}, ["spec.inputs[0].keepLast"]),
        ({**MINE, "windowSize": 1_001, "keepLast": False}, []),
        ({"topic": "SCHEDULE-CAR-PRICE", "windowSize": 1_001}, []),
        ({"topic": GUN, "keepLast": True}, ["spec.inputs[0].keepLast"]),
        ({"topic": GUN, "windowSize": 10, "keepLast": True}, []),
    ],
)
def test_only_a_window_of_at_most_a_thousand_records_is_kept(asked: dict[str, Any], told: list[str]) -> None:
    problems = _problems(inputs=[asked])
    assert list(problems) == told
    assert all("windowSize" in str(each) for each in problems.values())


def test_a_module_may_read_its_output_topic_when_its_outputs_are_off() -> None:
    own = {**MINE, "topic": "MODULE-OUTPUT-LOAD-PREDICTION"}
    assert _problems(inputs=[own], output={"enabled": False}) == {}


def test_a_required_topic_is_one_that_is_read() -> None:
    required = ["SCHEDULE-STATION-PARAM", "SCHEDULE-DEVICE-GUN"]
    told = _problems(trigger={"requiredTopics": required})
    assert list(told) == ["spec.trigger.requiredTopics[1]"]


def test_a_required_topic_may_be_a_dependencys() -> None:
    required = ["MODULE-OUTPUT-LOAD-PREDICTION"]
    assert _problems("operation_optimization", trigger={"requiredTopics": required}) == {}


def test_nothing_is_concluded_from_what_is_broken_already() -> None:
    told = _problems(inputs=[{"topik": GUN}], trigger={"requiredTopics": [GUN]})
    assert list(told) == ["spec.inputs[0].topik", "spec.inputs[0].topic"]


def test_a_broken_input_hides_no_problem_of_another() -> None:
    told = _problems(inputs=[{"topic": GUN, "windowSize": 0}, {"topic": "T", "windowSize": 1}])
    assert list(told) == ["spec.inputs[0].windowSize", "spec.inputs[1].fields"]


def test_a_problem_of_the_wiring_hides_no_other() -> None:
    told = _problems(inputs=[{"topic": GUN, "arrays": ["x"]}, {"topic": GUN, "routing": "Aligned"}])
    assert list(told) == ["spec.inputs[0].arrays[0]", "spec.inputs[1].topic"]
