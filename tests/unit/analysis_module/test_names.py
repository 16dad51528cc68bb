"""The spellings that users, dashboards and both programs rely on."""

import re

import pytest

from analysis_module import forms, names, spec


@pytest.mark.parametrize(
    ("module", "hyphen", "underscore"),
    [
        ("load_prediction", "MODULE-OUTPUT-LOAD-PREDICTION", "MODULE-OUTPUT-LOAD_PREDICTION"),
        ("SOH_model", "MODULE-OUTPUT-SOH-MODEL", "MODULE-OUTPUT-SOH_MODEL"),
        ("mine", "MODULE-OUTPUT-MINE", "MODULE-OUTPUT-MINE"),
    ],
)
def test_output_topics_are_capitals_in_either_style(module: str, hyphen: str, underscore: str) -> None:
    assert names.output_topic(module) == hyphen
    assert names.output_topic(module, spec.TopicStyle.HYPHEN) == hyphen
    assert names.output_topic(module, "underscore") == underscore


def test_the_prefix_of_output_topics_can_be_another() -> None:
    assert names.output_topic("load_prediction", "hyphen", "OUT.") == "OUT.LOAD-PREDICTION"


def test_the_styles_are_the_specs() -> None:
    assert {names.STYLE_HYPHEN, names.STYLE_UNDERSCORE} == {style.value for style in spec.TopicStyle}


def test_topics_of_a_group_are_legal_for_the_longest_group() -> None:
    group = "g" * 100
    own = (names.progress_topic, names.dead_letter_topic, names.strays_topic, names.last_topic)
    for topic in (named(group) for named in own):
        assert re.fullmatch(forms.TOPIC, topic)


def test_topics_of_a_group_bear_its_name() -> None:
    assert names.progress_topic("g") == "g-progress"
    assert names.dead_letter_topic("g") == "g-dead-letters"
    assert names.strays_topic("g") == "g-strays"
    assert names.last_topic("g") == "g-last"


def test_the_guides_five_metrics_are_spelt_to_the_letter() -> None:
    assert names.METRIC_PROCESSED_TOTAL == "data_analysis_processed_total"
    assert names.METRIC_ERRORS_TOTAL == "data_analysis_errors_total"
    assert names.METRIC_MEMORY_USAGE == "data_analysis_memory_usage"
    assert names.METRIC_STATION_COUNT == "data_analysis_station_count"
    assert names.METRIC_PROCESSING_SECONDS == "data_analysis_processing_seconds"


def test_files_in_the_pod_stand_in_their_directories() -> None:
    assert names.ASSIGNMENT_PATH == "/etc/analysis/assignment/assignment.json"
    assert names.secret_path("kafka", "password") == "/etc/analysis/secrets/kafka/password"
    assert names.STATE_DIRECTORY == "/var/lib/analysis/state"
    assert names.callback_path("callback.py") == "/etc/analysis/callback/callback.py"


def test_the_resource_is_named_as_its_definition_names_it() -> None:
    assert names.API_GROUP_VERSION == "dataanalysis.io/v1alpha1"
    assert (names.KIND, names.PLURAL, names.SHORT_NAME) == ("AnalysisModule", "analysismodules", "am")


def test_a_resource_name_leaves_room_in_a_label() -> None:
    assert re.fullmatch(names.RESOURCE_NAME_PATTERN, "a" * 52)
    assert not re.fullmatch(names.RESOURCE_NAME_PATTERN, "a" * 53)
    assert not re.fullmatch(names.RESOURCE_NAME_PATTERN, "a-")
    assert not re.fullmatch(names.RESOURCE_NAME_PATTERN, "A")


def test_the_conditions_are_the_documented_eight() -> None:
    assert [condition.value for condition in names.ConditionType] == [
        "Accepted",
        "DependenciesReady",
        "KafkaReachable",
        "Assigned",
        "Ready",
        "ConfigApplied",
        "Progressing",
        "Degraded",
    ]
