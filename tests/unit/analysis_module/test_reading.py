"""A document is read whole: all problems at once, each with its exact path, fault and mend."""

from types import MappingProxyType
from typing import Any

import pytest

from analysis_module import errors, reading, spec

FULL: dict[str, Any] = {
    "module": "mine",
    "profile": "v1.1",
    "kafka": {
        "bootstrapServers": ["a:9092", "b:9093"],
        "groupId": "g",
        "autoOffsetReset": "earliest",
        "security": {
            "protocol": "SASL_SSL",
            "mechanism": "SCRAM-SHA-512",
            "username": {"secretName": "kafka", "key": "username"},
            "password": {"file": "/run/password"},
            "ca": {"env": "CA"},
            "checkHostname": False,
        },
        "consumer": {"max_poll_records": 500, "enable_auto_commit": True},
        "producer": {"linger_ms": 10, "compression_type": None},
    },
    "stations": {"include": ["S*"], "exclude": ["S9"]},
    "inputs": [
        {
            "topic": "T",
            "fields": ["a", "b"],
            "arrays": ["b"],
            "aliases": {"a": ["x", "y"]},
            "dtypes": {"a": "float32"},
            "windowSize": 7,
            "stationKey": {"fields": ["id"], "via": "SCHEDULE-STATION-PARAM"},
            "scope": "Station",
            "trigger": False,
            "padding": "Linear",
            "routing": "Aligned",
        }
    ],
    "dependencies": [{"module": "theirs", "topic": "O", "windowSize": 3, "trigger": False}],
    "padding": "Missing",
    "trigger": {"policy": "Interval", "intervalSeconds": 2, "requiredTopics": ["T", "O"]},
    "callback": {
        "configMapRef": {"name": "code", "key": "main.py"},
        "function": "run",
        "timeoutSeconds": 1.5,
        "concurrency": 4,
        "inputFormat": "list",
        "parameters": {"deep": [{"er": None}]},
    },
    "output": {"enabled": True, "topic": "OUT", "topicStyle": "underscore", "envelope": "v1.0"},
    "delivery": "ExactlyOnce",
    "errors": {
        "retries": 2,
        "backoffSeconds": 0.5,
        "maxBackoffSeconds": 8,
        "breaker": {"failures": 5, "openSeconds": 30},
        "deadLetterTopic": "bad",
    },
    "expireAfterSeconds": 60,
    "partitioning": {"slots": 16, "routing": "Aligned"},
    "workers": {
        "replicas": 3,
        "image": "worker:1",
        "resources": {"limits": {"cpu": "1"}},
        "podTemplate": {"spec": {"nodeName": "n"}},
        "autoscaling": {"minReplicas": 2, "maxReplicas": 5, "targetLag": 100},
    },
    "observability": {
        "logLevel": "DEBUG",
        "logFormat": "json",
        "perStationSeries": True,
        "maxStationSeries": 5,
    },
    "suspend": True,
}


def _problems(document: object) -> dict[str, errors.Problem]:
    with pytest.raises(errors.InvalidSpec) as caught:
        reading.read_spec(document)
    return {problem.path: problem for problem in caught.value.problems}


def _about(**fields: Any) -> dict[str, errors.Problem]:
    return _problems({"module": "load_prediction", **fields})


def test_the_shortest_useful_document_is_two_lines() -> None:
    read = reading.read_spec({"module": "load_prediction", "kafka": {"bootstrapServers": ["kafka:9092"]}})
    assert read == spec.ModuleSpec(
        module="load_prediction", kafka=spec.Kafka(bootstrap_servers=("kafka:9092",))
    )


def test_every_field_is_read() -> None:
    read = reading.read_spec(FULL)
    assert read.kafka.security.username == spec.SecretSource(secret_name="kafka", key="username")
    assert read.kafka.consumer == {"max_poll_records": 500, "enable_auto_commit": True}
    assert read.kafka.producer == {"linger_ms": 10, "compression_type": None}
    assert read.inputs is not None
    assert read.inputs[0].aliases == {"a": ("x", "y")}
    assert read.inputs[0].dtypes == {"a": spec.Dtype.FLOAT32}
    assert read.inputs[0].station_key == spec.StationKey(fields=("id",), via="SCHEDULE-STATION-PARAM")
    assert read.callback.parameters == {"deep": [{"er": None}]}
    assert read.output.envelope is spec.Envelope.V1_0
    assert read.workers.autoscaling == spec.Autoscaling(min_replicas=2, max_replicas=5, target_lag=100)
    assert read.observability.log_level is spec.LogLevel.DEBUG


def test_writing_what_was_read_gives_the_document() -> None:
    written = reading.write_spec(reading.read_spec(FULL))
    assert written == {**FULL, "output": {"topic": "OUT", "topicStyle": "underscore", "envelope": "v1.0"}}


def test_writing_leaves_defaults_out() -> None:
    assert reading.write_spec(spec.ModuleSpec(module="m")) == {"module": "m"}


def test_writing_keeps_what_is_said_to_be_empty() -> None:
    asked = spec.ModuleSpec(module="m", inputs=(), workers=spec.Workers(autoscaling=spec.Autoscaling()))
    assert reading.write_spec(asked) == {"module": "m", "inputs": [], "workers": {"autoscaling": {}}}


def test_numbers_of_seconds_are_written_alike_however_they_were_given() -> None:
    asked = spec.ModuleSpec(module="m", expire_after_seconds=60)
    assert repr(reading.write_spec(asked)["expireAfterSeconds"]) == "60.0"


def test_a_read_spec_shares_nothing_with_the_document() -> None:
    document = {"module": "load_prediction", "callback": {"parameters": {"a": [1]}}}
    read = reading.read_spec(document)
    document["callback"]["parameters"]["a"].append(2)  # type: ignore[index]
    assert read.callback.parameters == {"a": [1]}


def test_any_mapping_is_an_object() -> None:
    read = reading.read_spec(MappingProxyType({"module": "load_prediction"}))
    assert read.module == "load_prediction"


def test_null_means_not_given() -> None:
    read = reading.read_spec({"module": "load_prediction", "inputs": None, "padding": None, "kafka": None})
    assert read == spec.ModuleSpec(module="load_prediction")


def test_servers_may_be_one_text_with_commas() -> None:
    read = reading.read_spec({"module": "load_prediction", "kafka": {"bootstrapServers": "a:1, b:2,"}})
    assert read.kafka.bootstrap_servers == ("a:1", "b:2")


def test_a_text_with_commas_is_no_list_elsewhere() -> None:
    assert list(_about(stations={"include": "S1,S2"})) == ["spec.stations.include"]


def test_a_whole_number_is_a_number_of_seconds() -> None:
    read = reading.read_spec({"module": "load_prediction", "expireAfterSeconds": 5})
    assert repr(read.expire_after_seconds) == "5.0"


def test_all_problems_are_told_at_once() -> None:
    told = _problems(
        {
            "module": "load_prediction",
            "pading": "Zero",
            "inputs": [
                {"topic": "SCHEDULE-DEVICE-GUN"},
                {"topic": "two words"},
                {"topic": "T", "window_size": 3, "fields": ["a"], "windowSize": 0},
            ],
            "trigger": {"policy": "Interval"},
            "dependencies": [{"module": "theirs"}],
            "workers": {"replicas": True},
        }
    )
    assert set(told) == {
        "spec.pading",
        "spec.inputs[1].topic",
        "spec.inputs[2].window_size",
        "spec.inputs[2].windowSize",
        "spec.trigger.intervalSeconds",
        "spec.dependencies[0].module",
        "spec.workers.replicas",
    }


def test_a_missing_field_is_told_with_what_to_give() -> None:
    problem = _problems({})["spec.module"]
    assert problem.wrong == "is missing"
    assert "letters" in problem.mend


@pytest.mark.parametrize("document", [None, 5, "text", [], True])
def test_what_is_no_object_is_told_at_the_root(document: object) -> None:
    assert list(_problems(document)) == ["spec"]


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [("windowsize", "windowSize"), ("window_size", "windowSize"), ("feilds", "fields"), ("TOPIC", "topic")],
)
def test_an_unknown_field_is_told_with_the_closest_known(wrong: str, meant: str) -> None:
    problem = _about(inputs=[{"topic": "SCHEDULE-DEVICE-GUN", wrong: 1}])[f"spec.inputs[0].{wrong}"]
    assert problem.wrong == "there is no such field"
    assert problem.mend == f"did you mean {meant}?"


def test_an_unknown_field_like_no_other_is_told_with_all_known() -> None:
    assert "include or exclude" in _about(stations={"qqq": 1})["spec.stations.qqq"].mend


@pytest.mark.parametrize(
    ("value", "shown"), [(True, "true"), ("12", '"12"'), (12.0, "12.0"), ([12], "a list of 1 items")]
)
def test_a_whole_number_is_no_other_thing(value: object, shown: str) -> None:
    problem = _about(callback={"concurrency": value})["spec.callback.concurrency"]
    assert problem.wrong == f"is {shown}, not a whole number"
    assert problem.mend == "give a whole number from 1 to 1024"


@pytest.mark.parametrize("value", [False, "5", None, {}, float("nan"), float("inf")])
def test_a_number_of_seconds_is_no_other_thing(value: object) -> None:
    document = {"module": "load_prediction", "callback": {"timeoutSeconds": value}}
    if value is None:
        assert reading.read_spec(document).callback.timeout_seconds == 60.0
    else:
        assert list(_problems(document)) == ["spec.callback.timeoutSeconds"]


@pytest.mark.parametrize("value", [0, 1, "true", [], "yes"])
def test_only_true_and_false_are_true_or_false(value: object) -> None:
    problem = _about(suspend=value)["spec.suspend"]
    assert problem.wrong.endswith("not true or false")


@pytest.mark.parametrize(("value", "side"), [(0, "less than 1"), (10_000_001, "more than 10000000")])
def test_a_number_beyond_its_bounds_is_told_with_both(value: int, side: str) -> None:
    told = _about(inputs=[{"topic": "SCHEDULE-DEVICE-GUN", "windowSize": value}])
    problem = told["spec.inputs[0].windowSize"]
    assert problem.wrong == f"{value} is {side}"
    assert problem.mend == "give a number from 1 to 10000000"


@pytest.mark.parametrize("value", [10**400, -(10**400), 1e308])
def test_an_absurd_number_is_a_problem_and_no_crash(value: float) -> None:
    assert list(_about(expireAfterSeconds=value)) == ["spec.expireAfterSeconds"]


def test_a_choice_is_told_with_all_allowed_and_the_closest() -> None:
    problem = _about(delivery="exactly_once")["spec.delivery"]
    assert problem.wrong == 'is "exactly_once", which is not allowed'
    assert problem.mend == "give AtLeastOnce or ExactlyOnce; did you mean ExactlyOnce?"


def test_a_text_of_another_form_is_told_in_words() -> None:
    problem = _about(callback={"entrypoint": "no colon"})["spec.callback.entrypoint"]
    assert problem.wrong == '"no colon" does not have the right form'
    assert problem.mend == "give package.module:function"


def test_a_line_break_at_the_end_is_not_overlooked() -> None:
    assert list(_about(output={"topic": "OUT\n"})) == ["spec.output.topic"]


@pytest.mark.parametrize("value", ["", "x" * 1025, "a\x00b", "\ud800"])
def test_a_text_that_no_file_or_label_can_hold_is_told(value: str) -> None:
    assert list(_about(stations={"include": ["S1", value]})) == ["spec.stations.include[1]"]


def test_a_source_text_may_be_long() -> None:
    source = "x" * 500_000
    read = reading.read_spec({"module": "load_prediction", "callback": {"source": source}})
    assert read.callback.source == source


def test_a_value_is_shown_shortened() -> None:
    assert len(_about(padding="x" * 10_000)["spec.padding"].wrong) < 100


def test_the_same_text_twice_in_a_list_is_told_at_the_second() -> None:
    told = _about(stations={"exclude": ["S1", "S2", "S1"]})
    assert told["spec.stations.exclude[2]"].wrong == '"S1" stands already at [0]'


def test_only_two_widths_of_numbers_are_known() -> None:
    told = _about(inputs=[{"topic": "SCHEDULE-DEVICE-GUN", "dtypes": {"gunStatus": "int8"}}])
    assert told["spec.inputs[0].dtypes.gunStatus"].mend.startswith("give float64 or float32")


@pytest.mark.parametrize(
    "security",
    [
        "sasl://me:hunter2@kafka",
        {"password": "hunter2"},
        {"password": {"file": ["hunter2"]}},
        {"password": {"env": "hunter2!"}},
        {"password": {"secretName": "hunter2!", "key": "hunter2/"}},
        {"password": ["hunter2"]},
        {"pasword": "hunter2"},
    ],
)
def test_a_secret_is_never_shown(security: object) -> None:
    with pytest.raises(errors.InvalidSpec) as caught:
        reading.read_spec({"module": "load_prediction", "kafka": {"security": security}})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "at"),
    [
        (float("nan"), "a"),
        (2**63, "a"),
        (b"bytes", "a"),
        ([1, {"b": float("inf")}], "a[1].b"),
        ({5: 1}, "a.5"),
        ("\ud800", "a"),
    ],
)
def test_a_free_value_holds_only_what_json_holds(value: object, at: str) -> None:
    told = _about(callback={"parameters": {"a": value}})
    assert list(told) == [f"spec.callback.parameters.{at}"]


def test_the_path_begins_where_the_caller_says() -> None:
    with pytest.raises(errors.InvalidSpec) as caught:
        reading.read_spec({}, "modules[3]")
    assert caught.value.problems[0].path == "modules[3].module"


MANIFEST: dict[str, Any] = {
    "apiVersion": "dataanalysis.io/v1alpha1",
    "kind": "AnalysisModule",
    "metadata": {"name": "load-prediction", "namespace": "production", "labels": {"a": "b"}},
    "spec": {"module": "load_prediction"},
}


def test_a_manifest_gives_name_namespace_and_spec() -> None:
    read = reading.read_manifest({**MANIFEST, "status": {"phase": "Running"}})
    assert read == ("load-prediction", "production", spec.ModuleSpec(module="load_prediction"))


def test_a_manifest_without_a_namespace_is_in_default() -> None:
    _, namespace, _ = reading.read_manifest({**MANIFEST, "metadata": {"name": "a"}})
    assert namespace == "default"


def test_a_manifests_problems_are_told_at_once() -> None:
    document = {
        "apiVersion": "dataanalysis.io/v2",
        "kind": "Deployment",
        "metadata": {"name": "Load_Prediction", "namespace": 5},
        "spce": {},
        "spec": {"module": "load_prediction", "padding": "None"},
    }
    with pytest.raises(errors.InvalidSpec) as caught:
        reading.read_manifest(document)
    paths = {problem.path for problem in caught.value.problems}
    assert paths == {"apiVersion", "kind", "metadata.name", "metadata.namespace", "spce", "spec.padding"}


@pytest.mark.parametrize(
    ("document", "at"),
    [
        ([], "manifest"),
        ({key: MANIFEST[key] for key in ("apiVersion", "kind", "spec")}, "metadata"),
        ({**MANIFEST, "metadata": {}}, "metadata.name"),
        ({**MANIFEST, "metadata": {"name": 10**5000}}, "metadata.name"),
        ({key: MANIFEST[key] for key in ("apiVersion", "kind", "metadata")}, "spec"),
    ],
)
def test_a_manifest_that_lacks_a_part_says_which(document: object, at: str) -> None:
    with pytest.raises(errors.InvalidSpec) as caught:
        reading.read_manifest(document)
    assert [problem.path for problem in caught.value.problems] == [at]
