"""A module, a mapping and the YAML form come to the same names."""

import types

from d_a import named


def test_a_module_gives_the_names_that_it_really_holds() -> None:
    module = types.ModuleType("mine")
    vars(module).update(KAFKA_CONFIG={"a": 1}, HELPER=2, os=types)
    assert named.of_module(module).values == {"KAFKA_CONFIG": {"a": 1}}


def test_the_yaml_form_leads_to_the_same_names_and_keeps_its_spelling_for_problems() -> None:
    read = named.of_mapping(
        {
            "module_name": "load_prediction",
            "kafka": {"group_id": "g"},
            "module_output": {"topic_prefix": "OUT-", "window_size": 3, "topics": {}},
            "names": "snake",
        }
    )
    assert read.get("MODULE_NAME") == "load_prediction"
    assert read.get("KAFKA_CONFIG") == {"group_id": "g"}
    assert read.get("MODULE_OUTPUT_WINDOW_SIZE") == 3
    assert read.get("FIELD_NAMES") == "snake"
    assert read.path("MODULE_OUTPUT_TOPIC_PREFIX") == "module_output.topic_prefix"
    assert read.path("KAFKA_CONFIG") == "kafka"
    assert read.path("TOPIC_DETAIL") == "TOPIC_DETAIL"
    assert read.warnings == ()


def test_a_key_that_is_no_setting_is_told_with_the_one_it_may_have_meant() -> None:
    (warning,) = named.of_mapping({"topic_details": {}}).warnings
    assert warning.startswith("topic_details is not a setting and is ignored; did you mean topic_detail?")


def test_an_unknown_key_of_the_output_section_is_told_with_its_path() -> None:
    (warning,) = named.of_mapping({"module_output": {"prefix": "X"}}).warnings
    assert warning.startswith("module_output.prefix is not a setting")


def test_the_settings_never_show_their_values() -> None:
    assert "secret" not in repr(named.of_mapping({"kafka": {"sasl_plain_password": "secret"}}))
