"""KAFKA_CONFIG in both its forms, and every problem with its path."""

from typing import Any

import pytest

from analysis_module import errors, findings, spec
from d_a import kafka_settings

GUIDE = {
    "bootstrap_servers": ["kafka:9092"],
    "consumer": {
        "group_id": "data_analysis_prod",
        "auto_offset_reset": "latest",
        "enable_auto_commit": True,
        "max_poll_records": 500,
        "session_timeout_ms": 30000,
        "request_timeout_ms": 40000,
        "heartbeat_interval_ms": 3000,
    },
    "producer": {
        "acks": "all",
        "retries": 3,
        "max_in_flight_requests_per_connection": 5,
        "compression_type": "gzip",
        "linger_ms": 10,
        "batch_size": 16384,
    },
}


def read(document: Any, **options: Any) -> kafka_settings.KafkaSettings:
    found = findings.Findings()
    settings = kafka_settings.read(document, "KAFKA_CONFIG", found, **options)
    found.close()
    assert settings is not None
    return settings


def problems(document: Any) -> list[str]:
    with pytest.raises(errors.InvalidSpec) as caught:
        read(document)
    return [str(problem) for problem in caught.value.problems]


def test_the_guides_values_are_accepted_as_they_stand() -> None:
    settings = read(GUIDE)
    assert (settings.group_id, settings.bootstrap_servers) == ("data_analysis_prod", ("kafka:9092",))
    assert settings.auto_offset_reset is spec.AutoOffsetReset.LATEST
    assert settings.consumer["max_poll_records"] == 500
    assert settings.producer["compression_type"] == "gzip"
    assert settings.warnings == ()


def test_a_flat_configuration_says_the_same_as_a_nested_one() -> None:
    flat: dict[str, Any] = {"bootstrap_servers": "kafka:9092"}
    flat |= GUIDE["consumer"] | GUIDE["producer"]  # type: ignore[operator]
    nested, read_flat = read(GUIDE), read(flat)
    assert read_flat.consumer == {**nested.consumer}
    assert read_flat.producer == {**nested.producer, "request_timeout_ms": 40000}


def test_a_section_goes_before_the_top_level() -> None:
    settings = read({**GUIDE, "request_timeout_ms": 1, "client_id": "top"})
    assert settings.consumer["request_timeout_ms"] == 40000
    assert settings.producer["request_timeout_ms"] == 1
    assert settings.consumer["client_id"] == settings.producer["client_id"] == "top"


def test_servers_may_be_a_text_with_commas() -> None:
    assert read({**GUIDE, "bootstrap_servers": "a:1, b:2"}).bootstrap_servers == ("a:1", "b:2")


def test_servers_may_stand_in_the_sections() -> None:
    settings = read(
        {
            "consumer": {"bootstrap_servers": "in:1", "group_id": "g"},
            "producer": {"bootstrap_servers": "out:1"},
        }
    )
    assert settings.bootstrap_servers == ("in:1",)
    assert settings.producer["bootstrap_servers"] == ("out:1",)


def test_keys_of_java_clients_get_one_warning_together() -> None:
    java = {"key.deserializer": "org.apache.kafka.StringDeserializer", "listener": 1}
    (warning,) = read({**GUIDE, **java, "producer": {"key.serializer": "x"}}).warnings
    assert warning == (
        "KAFKA_CONFIG: key.deserializer, listener, producer.key.serializer are not settings of these clients "
        "and ignored"
    )


def test_all_problems_come_at_once_each_with_its_path() -> None:
    found = problems(
        {
            "bootstrap_servers": ["kafka"],
            "consumer": {"max_poll_records": "many", "enable_auto_commit": "yes"},
            "producer": {"acks": 2, "compression_type": "rar", "linger_ms": -1},
        }
    )
    assert [problem.split(":")[0] for problem in found] == [
        "KAFKA_CONFIG.group_id",
        "KAFKA_CONFIG.consumer.max_poll_records",
        "KAFKA_CONFIG.consumer.enable_auto_commit",
        "KAFKA_CONFIG.producer.acks",
        "KAFKA_CONFIG.producer.compression_type",
        "KAFKA_CONFIG.producer.linger_ms",
        "KAFKA_CONFIG.bootstrap_servers[0]",
    ]


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (None, "KAFKA_CONFIG: is missing; give bootstrap_servers and the sections consumer and producer"),
        ([], "KAFKA_CONFIG: is an empty list, not an object"),
        ({**GUIDE, "consumer": "x"}, "KAFKA_CONFIG.consumer: is text, not an object"),
        ({**GUIDE, "bootstrap_servers": []}, "bootstrap_servers: is missing; give it, as in kafka:9092"),
        ({**GUIDE, "auto_offset_reset": "newest", "consumer": {}}, 'auto_offset_reset: is "newest"'),
        ({**GUIDE, "security_protocol": "SASL_SSL"}, "sasl_mechanism: is missing, which SASL_SSL needs"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_told_with_the_mend(document: Any, told: str) -> None:
    assert any(told in problem for problem in problems(document))


def test_a_producer_alone_needs_no_group() -> None:
    assert read({"bootstrap_servers": "kafka:9092"}, needs_group=False).group_id == ""


def test_secrets_are_in_no_repr_no_problem_and_not_in_the_resource() -> None:
    secret = {
        **GUIDE,
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "PLAIN",
        "sasl_plain_username": "user",
        "sasl_plain_password": "hunter2",
    }
    settings = read(secret)
    assert settings.consumer["sasl_plain_password"] == "hunter2"
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in repr(kafka_settings.resource_part(settings, "g"))
    assert "hunter2" not in "".join(
        problems({**secret, "sasl_plain_username": 1, "sasl_plain_password": ["hunter2"]})
    )


def test_the_resource_part_has_the_overrides_and_the_given_group() -> None:
    part = kafka_settings.resource_part(read(GUIDE), "mine")
    assert (part.group_id, part.bootstrap_servers) == ("mine", ("kafka:9092",))
    assert part.consumer["request_timeout_ms"] == 40000
    assert "group_id" not in part.consumer
