"""Modules written as documents of the resource, and problems brought back to where they were said."""

from typing import Any

import pytest

from analysis_module import findings, names
from d_a import documents, named, tables

COMMON: dict[str, Any] = {"padding": "Zero", "output": {"enabled": True}, "callback": {"concurrency": 32}}
PATHS = {"MODULE_DEPENDENCIES": "module_dependencies", "MODULE_OUTPUT_TOPICS": "module_output.topics"}


def writer(common: dict[str, Any] | None = None, **settings: Any) -> documents.Writer:
    outputs = tables.Outputs(prefix=names.OUTPUT_TOPIC_PREFIX, style=names.STYLE_HYPHEN)
    laid = tables.read(named.Named(settings), None, outputs, findings.Findings())
    return documents.Writer(tables=laid, common=common or COMMON, output_window=12, paths=PATHS)


def test_a_module_has_its_topics_dependencies_and_output_topic() -> None:
    spec, problems = writer().module("operation_optimization", ["SCHEDULE-CAR-PRICE"]).read()
    assert problems == ()
    assert spec is not None
    assert [entry.topic for entry in spec.inputs or ()] == ["SCHEDULE-CAR-PRICE"]
    (dependency,) = spec.dependencies or ()
    assert (dependency.module, dependency.topic, dependency.window_size) == (
        "load_prediction",
        "MODULE-OUTPUT-LOAD-PREDICTION",
        12,
    )
    assert spec.output.topic == "MODULE-OUTPUT-OPERATION-OPTIMIZATION"


def test_a_window_said_of_an_output_topic_is_the_dependencys() -> None:
    told = writer(TOPIC_DETAIL={"MODULE-OUTPUT-LOAD-PREDICTION": {"fields": [], "window_size": 3}})
    spec, _ = told.module("operation_optimization", []).read()
    assert spec is not None
    assert [dependency.window_size for dependency in spec.dependencies or ()] == [3]


def test_an_output_topic_listed_as_a_topic_is_a_dependency() -> None:
    spec, _ = writer().module("load_prediction", ["MODULE-OUTPUT-PV-PREDICTION"]).read()
    assert spec is not None
    assert [dependency.module for dependency in spec.dependencies or ()] == ["pv_prediction"]
    assert spec.inputs == ()


def test_the_union_has_every_topic_once_in_order_and_uploads_nothing() -> None:
    modules = {
        "SOH_model": ["SCHEDULE-DEVICE-ERROR"],
        "load_prediction": ["SCHEDULE-STATION-PARAM", "SCHEDULE-DEVICE-ERROR"],
    }
    spec, problems = writer().union("all", modules).read()
    assert problems == ()
    assert spec is not None
    assert [entry.topic for entry in spec.inputs or ()] == ["SCHEDULE-STATION-PARAM", "SCHEDULE-DEVICE-ERROR"]
    assert not spec.output.enabled


@pytest.mark.parametrize(
    ("settings", "common", "place"),
    [
        ({"TOPIC_DETAIL": {"SCHEDULE-CAR-PRICE": {"window_size": 0}}}, {},
         "TOPIC_DETAIL.SCHEDULE-CAR-PRICE.window_size"),
        ({"TOPIC_DETAIL": {"SCHEDULE-CAR-PRICE": {"fields": ["a", 2]}}}, {},
         "TOPIC_DETAIL.SCHEDULE-CAR-PRICE.fields[1]"),
        ({"MODULE_OUTPUT_TOPICS": {"SOH_model": "no topic"}}, {}, "module_output.topics.SOH_model"),
        ({"MODULE_DEPENDENCIES": {"SOH_model": ["SOH_model"]}}, {}, "module_dependencies.SOH_model[0]"),
        ({}, {"expireAfterSeconds": 0}, "data_expire_seconds"),
        ({}, {"stations": {"include": [1]}}, "stations[0]"),
        ({}, {"stations": {"exclude": [1]}}, "stations.exclude[0]"),
        ({}, {"callback": {"concurrency": 0}}, "max_workers"),
    ],
)  # fmt: skip
def test_a_problem_is_told_where_the_configuration_said_it(
    settings: dict[str, Any], common: dict[str, Any], place: str
) -> None:
    told = writer({**COMMON, **common}, **settings)
    spec, problems = told.module("SOH_model", ["SCHEDULE-CAR-PRICE"]).read()
    assert spec is None
    assert place in [problem.path for problem in problems]


def test_a_module_without_any_topic_is_a_problem_of_its_name() -> None:
    spec, problems = writer().module("load_prediction", []).read()
    assert spec is None
    assert [problem.path for problem in problems] == ["module_name"]
