"""A user's tables over the catalogue's: replaced entry by entry, extended, emptied."""

from typing import Any

import pytest

from analysis_module import errors, findings, names
from d_a import named, tables

OUTPUTS = tables.Outputs(prefix=names.OUTPUT_TOPIC_PREFIX, style=names.STYLE_HYPHEN)
REAL = {"fields": ["power"], "frequency": "every minute", "modules": ["load_prediction"], "window_size": 5}


def read(extra: Any = None, outputs: tables.Outputs = OUTPUTS, **settings: Any) -> tables.Tables:
    found = findings.Findings()
    laid = tables.read(named.Named(settings), extra, outputs, found)
    found.close()
    return laid


def problems(**settings: Any) -> list[str]:
    with pytest.raises(errors.InvalidSpec) as caught:
        read(**settings)
    return [str(problem) for problem in caught.value.problems]


def test_without_settings_it_is_the_catalogue() -> None:
    laid = read()
    assert laid.topics_of("pv_prediction") == ("SCHEDULE-DEVICE-PV", "SCHEDULE-ENVIRONMENT-WEATHER")
    assert laid.dependencies["operation_optimization"] == ("load_prediction",)
    assert laid.output_topics["SOH_model"] == "MODULE-OUTPUT-SOH-MODEL"


def test_a_topic_that_is_named_replaces_that_entry_and_no_other() -> None:
    laid = read(TOPIC_DETAIL={"SCHEDULE-CAR-ORDER": {"modules": ["pv_prediction"], "window_size": 7}})
    assert "SCHEDULE-CAR-ORDER" not in laid.topics_of("load_prediction")
    assert "SCHEDULE-CAR-ORDER" in laid.topics_of("pv_prediction")
    assert laid.topics["SCHEDULE-CAR-ORDER"].document == {"windowSize": 7}
    assert "SCHEDULE-STATION-PARAM" in laid.topics_of("load_prediction")


def test_what_an_entry_leaves_out_is_the_catalogues() -> None:
    laid = read(TOPIC_DETAIL={"SCHEDULE-CAR-ORDER": {"window_size": 7}})
    assert "SCHEDULE-CAR-ORDER" in laid.topics_of("load_prediction")


def test_a_topic_of_ones_own_comes_after_the_catalogues() -> None:
    laid = read(TOPIC_DETAIL={"REAL-STATION-DATA": REAL})
    assert laid.topics_of("load_prediction")[-1] == "REAL-STATION-DATA"


def test_an_empty_list_of_modules_takes_the_topic_from_all() -> None:
    laid = read(TOPIC_DETAIL={"SCHEDULE-CAR-ORDER": {"modules": []}})
    assert laid.topics_of("customer_mining") == ()


def test_the_argument_lies_over_the_configuration() -> None:
    laid = read({"REAL-STATION-DATA": {**REAL, "window_size": 9}}, TOPIC_DETAIL={"REAL-STATION-DATA": REAL})
    assert laid.topics["REAL-STATION-DATA"].document["windowSize"] == 9
    assert laid.topics["REAL-STATION-DATA"].path == "topic_detail.REAL-STATION-DATA"


def test_python_and_yaml_ellipsis_both_mean_the_remaining_fields() -> None:
    for literal in (..., "..."):
        laid = read(TOPIC_DETAIL={"SCHEDULE-DEVICE-METER": {"fields": ["meterId", literal]}})
        assert laid.topics["SCHEDULE-DEVICE-METER"].document["fields"] == ["meterId", "..."]


def test_dependencies_that_are_named_replace_those_of_that_module() -> None:
    laid = read(MODULE_DEPENDENCIES={"station_guidance": [], "mine": ["load_prediction"]})
    assert laid.dependencies["station_guidance"] == ()
    assert laid.dependencies["mine"] == ("load_prediction",)
    assert laid.dependencies["operation_optimization"] == ("load_prediction",)


def test_prefix_and_style_name_the_output_topics_that_no_mapping_names() -> None:
    laid = read(
        outputs=tables.Outputs(prefix="OUT-", style=names.STYLE_UNDERSCORE),
        MODULE_OUTPUT_TOPICS={"SOH_model": "health", "pv_prediction": "MODULE-OUTPUT-PV-PREDICTION"},
    )
    assert laid.output_topics["load_prediction"] == "OUT-LOAD_PREDICTION"
    assert laid.output_topics["SOH_model"] == "health"
    assert laid.output_topics["pv_prediction"] == "OUT-PV_PREDICTION"


def test_an_entry_of_an_output_topic_says_only_its_window() -> None:
    entry = {"fields": [], "modules": ["operation_optimization"], "window_size": 3}
    laid = read(TOPIC_DETAIL={"MODULE-OUTPUT-LOAD-PREDICTION": entry})
    assert laid.output_windows == {"MODULE-OUTPUT-LOAD-PREDICTION": 3}
    assert "MODULE-OUTPUT-LOAD-PREDICTION" not in laid.topics


def test_explicit_tables_of_topics_by_module_are_followed() -> None:
    laid = read(MODULE_TO_TOPICS={"load_prediction": ["SCHEDULE-CAR-PRICE"]})
    assert laid.topics_of("load_prediction") == ("SCHEDULE-CAR-PRICE",)
    assert "SCHEDULE-CAR-ORDER" in laid.topics_of("customer_mining")


def test_explicit_tables_of_modules_by_topic_are_followed() -> None:
    laid = read(TOPIC_TO_MODULES={"SCHEDULE-CAR-ORDER": ["pv_prediction"]})
    assert "SCHEDULE-CAR-ORDER" not in laid.topics_of("load_prediction")
    assert "SCHEDULE-CAR-ORDER" in laid.topics_of("pv_prediction")


def test_an_argument_is_not_shadowed_by_the_configurations_tables() -> None:
    laid = read({"REAL-STATION-DATA": REAL}, MODULE_TO_TOPICS={"load_prediction": []})
    assert "REAL-STATION-DATA" in laid.topics_of("load_prediction")


def test_a_cycle_is_named_in_full() -> None:
    (problem,) = problems(MODULE_DEPENDENCIES={"load_prediction": ["thermal_management"]})
    assert "load_prediction -> thermal_management -> load_prediction" in problem


def test_a_dependency_that_does_not_exist_is_named_with_the_one_it_may_have_meant() -> None:
    (problem,) = problems(MODULE_DEPENDENCIES={"station_guidance": ["load_predictions"]})
    assert problem.startswith("MODULE_DEPENDENCIES.station_guidance[0]: there is no module load_predictions")
    assert "did you mean load_prediction?" in problem


def test_a_module_with_an_output_topic_exists() -> None:
    laid = read(MODULE_OUTPUT_TOPICS={"other": "OTHER"}, MODULE_DEPENDENCIES={"station_guidance": ["other"]})
    assert laid.output_topics["other"] == "OTHER"


def test_shapes_that_cannot_be_are_told_at_once_each_with_its_path() -> None:
    found = problems(
        TOPIC_DETAIL={"A": 1, "B": {"modules": "load_prediction", "frequency": 5, "padding": "cubic"}},
        MODULE_DEPENDENCIES={"station_guidance": "load_prediction"},
        MODULE_OUTPUT_TOPICS={"SOH_model": 3},
    )
    assert [problem.split(": ")[0] for problem in found] == [
        "TOPIC_DETAIL.A",
        "TOPIC_DETAIL.B.frequency",
        "TOPIC_DETAIL.B.modules",
        "TOPIC_DETAIL.B.padding",
        "MODULE_DEPENDENCIES.station_guidance",
        "MODULE_OUTPUT_TOPICS.SOH_model",
    ]


def test_an_unknown_key_of_an_entry_is_a_warning_with_the_near_one() -> None:
    (warning,) = read(TOPIC_DETAIL={"SCHEDULE-CAR-ORDER": {"windowsize": 5}}).warnings
    assert "TOPIC_DETAIL.SCHEDULE-CAR-ORDER.windowsize is not a setting" in warning
    assert "did you mean window_size?" in warning
