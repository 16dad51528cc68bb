"""Fields of one part that contradict each other are told by path, fault and mend."""

from typing import Any

import pytest

from analysis_module import errors, reading, rules, shape


def _problems(**fields: Any) -> dict[str, str]:
    """Path -> what is wrong, of a module of the catalogue with these fields."""
    try:
        reading.read_spec({"module": "load_prediction", **fields})
    except errors.InvalidSpec as invalid:
        return {problem.path: problem.wrong for problem in invalid.problems}
    return {}


def _security(**fields: Any) -> dict[str, str]:
    told = _problems(kafka={"security": fields})
    return {path.removeprefix("spec.kafka.security."): wrong for path, wrong in told.items()}


ENV = {"env": "SECRET"}


@pytest.mark.parametrize("rule", rules.ALL, ids=lambda rule: rule.check.__name__)
def test_a_rule_needs_fields_that_its_part_has(rule: rules.Rule) -> None:
    assert set(rule.needs) <= {member.name for member in shape.members(rule.part)}


@pytest.mark.parametrize("server", ["kafka:9092", "10.0.0.1:1", "a.b-c_d:65535", "[::1]:9092"])
def test_host_and_port_are_a_server(server: str) -> None:
    assert _problems(kafka={"bootstrapServers": [server]}) == {}


@pytest.mark.parametrize("server", ["kafka", "kafka:", ":9092", "kafka:x", "PLAINTEXT://kafka:9092", "a b:1"])
def test_another_form_is_no_server(server: str) -> None:
    told = _problems(kafka={"bootstrapServers": ["ok:1", server]})
    assert list(told) == ["spec.kafka.bootstrapServers[1]"]
    assert "host:port" in told["spec.kafka.bootstrapServers[1]"]


@pytest.mark.parametrize("port", ["0", "65536", "99999"])
def test_a_port_is_within_what_tcp_has(port: str) -> None:
    told = _problems(kafka={"bootstrapServers": [f"kafka:{port}"]})
    assert told == {"spec.kafka.bootstrapServers[0]": f"there is no port {port}"}


def test_a_password_in_a_server_is_not_shown() -> None:
    told = _problems(kafka={"bootstrapServers": ["user:hunter2@kafka:9092"]})
    assert "hunter2" not in str(told)


@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
def test_sasl_needs_a_mechanism(protocol: str) -> None:
    assert list(_security(protocol=protocol)) == ["mechanism"]


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_a_mechanism_with_a_password_needs_both_parts(mechanism: str) -> None:
    assert list(_security(protocol="SASL_SSL", mechanism=mechanism)) == ["username", "password"]
    whole = _security(protocol="SASL_SSL", mechanism=mechanism, username=ENV, password=ENV)
    assert whole == {}


def test_oauthbearer_needs_a_token() -> None:
    assert list(_security(protocol="SASL_SSL", mechanism="OAUTHBEARER")) == ["token"]
    assert _security(protocol="SASL_SSL", mechanism="OAUTHBEARER", token=ENV) == {}


def test_credentials_without_sasl_are_told_instead_of_left_unused() -> None:
    assert list(_security(protocol="SSL", mechanism="PLAIN", username=ENV)) == ["mechanism", "username"]


def test_certificates_without_tls_are_told_instead_of_left_unused() -> None:
    assert list(_security(protocol="PLAINTEXT", ca=ENV)) == ["ca"]
    assert _security(protocol="SSL", ca=ENV) == {}


def test_certificate_and_key_come_together() -> None:
    assert list(_security(protocol="SSL", certificate=ENV)) == ["privateKey"]
    assert list(_security(protocol="SSL", privateKey=ENV)) == ["certificate"]
    assert _security(protocol="SSL", certificate=ENV, privateKey=ENV) == {}


@pytest.mark.parametrize(
    ("source", "at"),
    [
        ({}, "ca"),
        ({"file": "/ca.pem", "env": "CA"}, "ca"),
        ({"secretName": "kafka", "key": "ca.crt", "env": "CA"}, "ca"),
        ({"secretName": "kafka"}, "ca.key"),
        ({"key": "ca.crt"}, "ca.secretName"),
    ],
)
def test_a_secret_has_exactly_one_whole_source(source: dict[str, str], at: str) -> None:
    assert list(_security(protocol="SSL", ca=source)) == [at]


@pytest.mark.parametrize(
    "source", [{"secretName": "kafka", "key": "ca.crt"}, {"file": "/ca.pem"}, {"env": "CA"}]
)
def test_each_source_alone_is_enough(source: dict[str, str]) -> None:
    assert _security(protocol="SSL", ca=source) == {}


def test_a_station_key_names_a_field() -> None:
    told = _problems(inputs=[{"topic": "SCHEDULE-DEVICE-GUN", "stationKey": {"fields": []}}])
    assert list(told) == ["spec.inputs[0].stationKey.fields"]


@pytest.mark.parametrize(
    ("fields", "at"), [(["_topics"], 0), (["a", "_data_quality"], 1), (["a_window", "a"], 0)]
)
def test_a_field_does_not_take_a_key_of_module_input(fields: list[str], at: int) -> None:
    told = _problems(inputs=[{"topic": "T", "windowSize": 1, "fields": fields}])
    assert list(told) == [f"spec.inputs[0].fields[{at}]"]


def test_a_field_may_be_called_window_where_nothing_collides() -> None:
    assert _problems(inputs=[{"topic": "T", "windowSize": 1, "fields": ["a_window", "b"]}]) == {}


def test_the_interval_policy_needs_its_seconds() -> None:
    assert list(_problems(trigger={"policy": "Interval"})) == ["spec.trigger.intervalSeconds"]
    assert _problems(trigger={"policy": "Interval", "intervalSeconds": 5}) == {}


def test_a_callback_comes_from_one_place() -> None:
    told = _problems(callback={"entrypoint": "a:b", "source": "x", "file": "/x.py"})
    assert list(told) == ["spec.callback.file", "spec.callback.source"]


def test_back_off_does_not_shrink() -> None:
    told = _problems(errors={"backoffSeconds": 60})
    assert told == {"spec.errors.maxBackoffSeconds": "30 is less than backoffSeconds, 60"}
    assert _problems(errors={"backoffSeconds": 60, "maxBackoffSeconds": 60}) == {}


def _snapshots(url: Any) -> dict[str, str]:
    return _problems(state={"snapshots": {"url": url}})


@pytest.mark.parametrize(
    "url",
    ["file:///mnt/windows", "s3://bucket", "gs://a.bucket_of/ours/", "az://container/prefix", "s3://b-1/a@b"],
)
def test_a_path_or_a_bucket_is_a_place_for_snapshots(url: str) -> None:
    assert _snapshots(url) == {}


@pytest.mark.parametrize(
    "url",
    [
        *(
            "/mnt/windows",
            "file://mnt",
            "file:///",
            "https://example.com/bucket",
            "S3://bucket",
            "s3:/bucket",
            "s3://",
        ),
        *(
            "s3://bucket:9000/a",
            "s3://bucket/a b",
            "az://container/a?sig=1",
            "gs://bucket#a",
            "s3://bucket\n",
        ),
    ],
)
def test_another_form_is_no_place_for_snapshots(url: str) -> None:
    assert _snapshots(url) == {"spec.state.snapshots.url": "the text does not have the right form"}


@pytest.mark.parametrize("url", ["s3://user@bucket/a", "s3://key:hunter2@bucket", "az://a@b@container/x"])
def test_credentials_in_a_place_for_snapshots_are_refused_by_what_to_do_instead(url: str) -> None:
    with pytest.raises(errors.InvalidSpec) as told:
        reading.read_spec({"module": "load_prediction", "state": {"snapshots": {"url": url}}})
    assert str(told.value) == (
        "spec.state.snapshots.url: names a user or a password before an @; "
        "remove it, and give credentials by the worker's environment or its service account"
    )


@pytest.mark.parametrize(
    "url",
    [
        "s3://key:hunter2@bucket",
        "s3://k:hun/hunter2@bucket",
        "https://key:hunter2@example.com",
        ["hunter2"],
    ],
)
def test_a_password_in_a_place_for_snapshots_is_not_shown(url: Any) -> None:
    told = _snapshots(url)
    assert list(told) == ["spec.state.snapshots.url"]
    assert "hunter2" not in str(told)


def test_replicas_have_room_between_their_bounds() -> None:
    told = _problems(workers={"autoscaling": {"minReplicas": 3, "maxReplicas": 2}})
    assert told == {"spec.workers.autoscaling.maxReplicas": "2 is less than minReplicas, 3"}
