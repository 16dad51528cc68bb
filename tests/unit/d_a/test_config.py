"""The default configuration module agrees with the catalogue, edited or not."""

import types

import pytest

from analysis_module import catalogue, topics
from d_a import config, configuration, named


def test_every_topic_of_the_catalogue_has_an_entry_with_its_fields_and_window() -> None:
    for topic in topics.ALL:
        entry = config.TOPIC_DETAIL[topic.name]
        assert entry["fields"] == [field.name for field in topic.fields]
        assert entry["window_size"] == topic.window_size


def test_the_legacy_topic_is_read_by_no_module_unless_configured() -> None:
    assert config.TOPIC_DETAIL["SCHEDULE-DEVICE-HOST"]["modules"] == []


def test_each_output_topic_has_an_entry_whose_modules_are_its_dependants() -> None:
    entry = config.TOPIC_DETAIL["MODULE-OUTPUT-LOAD-PREDICTION"]
    assert entry["modules"] == ["operation_optimization", "station_guidance", "thermal_management"]
    assert (entry["fields"], entry["window_size"]) == ([], 12)


def test_topics_and_modules_are_derived_both_ways() -> None:
    assert "load_prediction" in config.TOPIC_TO_MODULES["SCHEDULE-CAR-ORDER"]
    assert config.MODULE_TO_TOPICS["load_prediction"] == list(catalogue.topics_of("load_prediction"))
    assert config.MODULE_TO_TOPICS["operation_optimization"][-1] == "MODULE-OUTPUT-LOAD-PREDICTION"


def test_the_derived_tables_follow_an_edit_at_run_time(monkeypatch: pytest.MonkeyPatch) -> None:
    extra = {"fields": ["power"], "frequency": "", "modules": ["load_prediction"], "window_size": 5}
    monkeypatch.setitem(config.TOPIC_DETAIL, "REAL-STATION-DATA", extra)
    assert "REAL-STATION-DATA" in config.MODULE_TO_TOPICS["load_prediction"]
    assert config.TOPIC_TO_MODULES["REAL-STATION-DATA"] == ["load_prediction"]


def test_any_other_name_is_unknown_as_in_any_module() -> None:
    with pytest.raises(AttributeError, match="no attribute 'TOPICS'"):
        config.TOPICS  # noqa: B018


def test_it_says_the_same_as_a_configuration_that_names_nothing_but_kafka() -> None:
    bare = types.SimpleNamespace(KAFKA_CONFIG=config.KAFKA_CONFIG)
    whole, least = (configuration.read(named.of_module(each)) for each in (config, bare))
    assert whole.module_to_topics == least.module_to_topics
    assert [catalogue.resolve(spec) for spec in whole.specs.values()] == [
        catalogue.resolve(spec) for spec in least.specs.values()
    ]
