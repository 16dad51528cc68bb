"""From settings of any form and a service's arguments to one spec per module."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from analysis_module import catalogue, spec
from d_a import config, configuration, named, sources
from d_a.errors import ConfigurationError

KAFKA = {"bootstrap_servers": "kafka:9092", "consumer": {"group_id": "data_analysis_prod"}}
GUIDE = Path(__file__).parents[3] / "examples" / "guide" / "config.py"


def read(settings: dict[str, Any] | None = None, **options: Any) -> configuration.Configuration:
    document = {"KAFKA_CONFIG": KAFKA, **(settings or {})}
    return configuration.read(named.of_mapping(document), configuration.Options(**options))


def problems(settings: dict[str, Any] | None = None, **options: Any) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        read(settings, **options)
    return [problem.path for problem in caught.value.problems]


def topics(module_spec: spec.ModuleSpec) -> list[str]:
    return [entry.topic for entry in module_spec.inputs or ()]


def test_each_module_gets_its_spec() -> None:
    read_all = read()
    assert list(read_all.specs) == list(catalogue.MODULES)
    assert topics(read_all.specs["load_prediction"]) == list(catalogue.topics_of("load_prediction"))


def test_the_guides_configmap_alone_is_enough() -> None:
    guide = configuration.read(
        sources.reader_of(GUIDE)(), configuration.Options(module_name="load_prediction")
    )
    wiring = catalogue.resolve(guide.running_spec)
    by_topic = {source.topic: source for source in wiring.inputs}
    assert [field.name for field in by_topic["REAL-STATION-DATA"].fields] == ["stationId", "power"]
    assert by_topic["SCHEDULE-STATION-REALTIME-DATA"].window_size == 168
    assert "historyCurveStationAvg" in {f.name for f in by_topic["SCHEDULE-STATION-REALTIME-DATA"].fields}
    assert wiring.output_topic == "MODULE-OUTPUT-LOAD-PREDICTION"
    assert wiring.group_id == "data_analysis_prod.load_prediction"


def test_the_yaml_form_says_the_same_as_a_module() -> None:
    text = yaml.safe_dump(
        {
            "kafka": KAFKA,
            "topic_detail": {
                "REAL-STATION-DATA": {"fields": ["power"], "modules": ["mine"], "window_size": 5}
            },
            "module_dependencies": {"mine": ["load_prediction"]},
            "module_output": {"topics": {"mine": "MINE"}, "window_size": 3},
        }
    )
    said = configuration.read(named.of_mapping(yaml.safe_load(text)))
    same = read(
        {
            "TOPIC_DETAIL": {
                "REAL-STATION-DATA": {"fields": ["power"], "modules": ["mine"], "window_size": 5}
            },
            "MODULE_DEPENDENCIES": {"mine": ["load_prediction"]},
            "MODULE_OUTPUT_TOPICS": {"mine": "MINE"},
            "MODULE_OUTPUT_WINDOW_SIZE": 3,
        }
    )
    assert said.specs == same.specs
    assert said.specs["mine"].output.topic == "MINE"


def test_each_module_of_one_configuration_has_a_group_of_its_own() -> None:
    groups = [each.kafka.group_id for each in read().specs.values()]
    assert len(set(groups)) == len(groups) == 9
    assert read().specs["SOH_model"].kafka.group_id == "data_analysis_prod.SOH_model"
    assert read().union.kafka.group_id == "data_analysis_prod.all"


def test_a_configuration_of_one_module_gives_it_the_group_as_it_stands() -> None:
    own = read({"module_name": "load_prediction"})
    assert own.module_name == "load_prediction"
    assert own.running_spec.kafka.group_id == "data_analysis_prod"
    other = read({"module_name": "load_prediction"}, module_name="SOH_model")
    assert other.running_spec.kafka.group_id == "data_analysis_prod.SOH_model"


def test_without_a_module_all_run_in_one_and_nothing_is_uploaded() -> None:
    union = read().running_spec
    assert union.module == "all"
    assert topics(union) == [topic for topic in catalogue.TOPICS if topic != "SCHEDULE-DEVICE-HOST"]
    assert not union.output.enabled


def test_topics_given_take_the_place_of_the_modules_own() -> None:
    given = read(module_name="load_prediction", topics=["SCHEDULE-CAR-PRICE", "SCHEDULE-STATION-PARAM"])
    assert topics(given.running_spec) == ["SCHEDULE-STATION-PARAM", "SCHEDULE-CAR-PRICE"]


def test_topics_given_without_a_module_limit_all_of_them() -> None:
    given = read(topics=["SCHEDULE-STATION-PARAM"])
    assert topics(given.running_spec) == ["SCHEDULE-STATION-PARAM"]


def test_a_subscribed_topic_that_is_nowhere_described_is_a_problem() -> None:
    assert problems(module_name="load_prediction", topics=["SCHEDULE-CAR-PRICE", "NO-TOPIC"]) == ["topics[1]"]


def test_the_upload_is_off_without_a_prefix_while_dependencies_stay() -> None:
    off = read(module_name="operation_optimization", output_topic_prefix=None).running_spec
    assert not off.output.enabled
    assert [dependency.topic for dependency in off.dependencies or ()] == ["MODULE-OUTPUT-LOAD-PREDICTION"]


def test_a_prefix_names_the_outputs_of_module_and_dependencies_alike() -> None:
    for given in (
        read(module_name="operation_optimization", output_topic_prefix="OUT-"),
        read({"MODULE_OUTPUT_TOPIC_PREFIX": "OUT-"}, module_name="operation_optimization"),
    ):
        assert given.running_spec.output.topic == "OUT-OPERATION-OPTIMIZATION"
        assert given.running_spec.dependencies is not None
        assert given.running_spec.dependencies[0].topic == "OUT-LOAD-PREDICTION"


def test_the_default_module_with_another_prefix_reads_no_output_topic_as_an_input() -> None:
    options = configuration.Options(output_topic_prefix="OUT-")
    given = configuration.read(sources.reader_of(config)(), options)
    assert not any(topic.startswith("MODULE-OUTPUT-") for topic in topics(given.union))


def test_the_profile_of_1_1_declares_its_names_and_underscores() -> None:
    old = read({"profile": "v1.1"}, module_name="load_prediction")
    wiring = catalogue.resolve(old.running_spec)
    assert wiring.output_topic == "MODULE-OUTPUT-LOAD_PREDICTION"
    assert "outputPowerPerStationAvg" in {field.name for field in wiring.inputs[1].fields}


def test_the_profile_of_1_1_holds_with_the_default_module_too() -> None:
    options = configuration.Options(module_name="load_prediction", profile="v1.1")
    old = configuration.read(sources.reader_of(config)(), options)
    fields = catalogue.resolve(old.running_spec).inputs[1].fields
    assert "outputPowerPerStationAvg" in {field.name for field in fields}


def test_options_of_1_0_come_from_settings_or_arguments() -> None:
    for given in (read({"names": "snake", "envelope": "v1.0"}), read(names="snake", envelope="v1.0")):
        assert given.snake_names
        assert given.specs["SOH_model"].output.envelope is spec.Envelope.V1_0


def test_arguments_reach_the_spec() -> None:
    given = read(
        module_name="load_prediction",
        data_expire_seconds=30,
        padding_strategy="forward",
        stations=["S1", "A*"],
        max_workers=5,
    ).running_spec
    assert given.expire_after_seconds == 30.0
    assert given.padding is spec.Padding.FORWARD
    assert given.stations.include == ("S1", "A*")
    assert given.callback.concurrency == 5


def test_kafka_given_takes_the_place_of_the_configurations() -> None:
    other = {"bootstrap_servers": "other:1", "group_id": "flat"}
    given = configuration.read(
        named.of_mapping({}), configuration.Options(kafka_config=other, module_name="SOH_model")
    )
    assert given.running_spec.kafka.bootstrap_servers == ("other:1",)
    assert given.running_spec.kafka.group_id == "flat.SOH_model"


def test_offset_commit_and_logging_are_read() -> None:
    given = read(
        {
            "offset_commit": {"commit_interval_seconds": 2, "commit_batch_size": 7},
            "logging": {"log_file": "x.log", "log_format": "json"},
        }
    )
    assert given.offset_commit.commit_interval_seconds == 2
    assert given.offset_commit.commit_batch_size == 7
    assert given.logging.log_file == "x.log"
    assert given.logging.log_format == "json"


def test_a_form_of_the_log_that_there_is_not_is_told_with_those_that_there_are() -> None:
    with pytest.raises(ConfigurationError, match=r"logging\.log_format: .*xml.*text or json"):
        read({"logging": {"log_format": "xml"}})


def test_all_problems_come_at_once_each_by_the_name_that_was_used() -> None:
    found = problems(
        {
            "KAFKA_CONFIG": {"consumer": {}},
            "TOPIC_DETAIL": {"MINE": {"fields": [""], "window_size": True, "modules": ["load_prediction"]}},
            "MODULE_DEPENDENCIES": {"SOH_model": ["nobody"]},
            "offset_commit": {"commit_interval_seconds": 0},
            "module_output": {"window_size": 0},
            "envelope": "v9",
        },
        padding_strategy="cubic",
        data_expire_seconds=-1,
        stations="S1",
        names="kebab",
    )
    assert set(found) == {
        "MODULE_DEPENDENCIES.SOH_model[0]",
        "KAFKA_CONFIG.bootstrap_servers",
        "KAFKA_CONFIG.group_id",
        "padding_strategy",
        "envelope",
        "module_output.window_size",
        "TOPIC_DETAIL.MINE.fields[0]",
        "TOPIC_DETAIL.MINE.window_size",
        "data_expire_seconds",
        "stations",
        "offset_commit.commit_interval_seconds",
        "names",
    }


@pytest.mark.parametrize("value", [0, -1, True, 2.5, "5", None])
def test_a_window_size_is_a_whole_number_of_at_least_one(value: Any) -> None:
    entry = {"fields": ["a"], "modules": ["load_prediction"], "window_size": value}
    assert problems({"TOPIC_DETAIL": {"MINE": entry}}) == ["TOPIC_DETAIL.MINE.window_size"]


def test_an_input_topic_needs_fields() -> None:
    entry = {"fields": [], "modules": ["load_prediction"], "window_size": 1}
    assert problems({"TOPIC_DETAIL": {"MINE": entry}}) == ["TOPIC_DETAIL.MINE.fields"]


def test_an_unknown_module_is_named_with_the_near_one() -> None:
    with pytest.raises(ConfigurationError, match="did you mean load_prediction") as caught:
        read(module_name="load_predictions")
    assert [problem.path for problem in caught.value.problems] == ["module_name"]


def test_a_module_left_without_topics_is_a_problem_only_for_who_runs_it() -> None:
    emptied = {"TOPIC_DETAIL": {"SCHEDULE-CAR-ORDER": {"modules": []}}}
    assert "customer_mining" not in read(emptied, module_name="load_prediction").specs
    assert problems(emptied, module_name="customer_mining") == ["module_name"]


def test_a_dispatcher_needs_no_kafka() -> None:
    given = configuration.read(named.of_mapping({}), needs_kafka=False)
    assert given.kafka is None
    assert len(given.specs) == 9


def test_warnings_of_all_parts_are_told() -> None:
    given = read(
        {
            "KAFKA_CONFIG": {**KAFKA, "listener": 1},
            "topics": [],
            "TOPIC_DETAIL": {"SCHEDULE-CAR-ORDER": {"note": ""}},
            "logging": {"level": "INFO"},
        }
    )
    assert len(given.warnings) == 4


def test_an_entry_may_say_more_than_the_old_ones_could() -> None:
    entry = {
        "fields": ["code", "values"],
        "modules": ["load_prediction"],
        "window_size": 4,
        "arrays": ["values"],
        "aliases": {"code": ["c"]},
        "padding": "missing",
        "trigger": False,
        "via": "SCHEDULE-STATION-PARAM",
    }
    wiring = catalogue.resolve(read({"TOPIC_DETAIL": {"MINE": entry}}).specs["load_prediction"])
    source = wiring.inputs[-1]
    assert (source.padding, source.trigger) == (spec.Padding.MISSING, False)
    assert source.station_key.via == "SCHEDULE-STATION-PARAM"
    assert source.fields[0].aliases == ("c",)
    assert source.fields[1].array
