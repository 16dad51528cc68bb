"""Secrets and certificates on their way to the clients, and on no other."""

import ssl
from pathlib import Path
from typing import Any

import pytest

from analysis_module import findings
from d_a import connections, kafka_settings
from d_a.errors import ConfigurationError

SASL = {
    "security_protocol": "SASL_PLAINTEXT",
    "sasl_mechanism": "PLAIN",
    "sasl_plain_username": "user",
    "sasl_plain_password": "hunter2",
}
KAFKA: dict[str, Any] = {"bootstrap_servers": "in:1", "group_id": "g", **SASL}


def settings(document: dict[str, Any]) -> kafka_settings.KafkaSettings:
    read = kafka_settings.read(document, "KAFKA_CONFIG", findings.Findings())
    assert read is not None
    return read


def test_the_password_reaches_the_clients_arguments_and_no_repr() -> None:
    read = settings(KAFKA)
    connection = connections.connection_of(read, kafka_settings.resource_part(read, "g.m"))
    assert connection.source_arguments()["sasl_plain_password"] == "hunter2"
    assert connection.group_id == "g.m"
    assert "hunter2" not in repr(connection)


def test_a_producer_with_settings_of_its_own_writes_by_them() -> None:
    other = {"bootstrap_servers": "out:1", "security_protocol": "PLAINTEXT"}
    read = settings({**KAFKA, "producer": other})
    connection = connections.connection_of(read, kafka_settings.resource_part(read, "g"))
    connector = connections.connector_of(read, connection)
    sink: Any = connector.sink()
    source: Any = connector.source()
    writing, reading = sink._connecting.current(), source._connecting.current()
    assert writing.sink_arguments()["bootstrap_servers"] == ["out:1"]
    assert writing.sink_arguments()["security_protocol"] == "PLAINTEXT"
    assert reading.source_arguments()["bootstrap_servers"] == ["in:1"]
    assert reading.source_arguments()["security_protocol"] == "SASL_PLAINTEXT"


def test_plain_connections_have_no_secrets() -> None:
    assert connections.security_arguments({}, "KAFKA_CONFIG") == {"security_protocol": "PLAINTEXT"}


def test_tls_needs_no_file_and_checks_the_host_unless_told_not_to() -> None:
    checked = connections.security_arguments({"security_protocol": "SSL"}, "KAFKA_CONFIG")["ssl_context"]
    section = {"security_protocol": "SSL", "ssl_check_hostname": False}
    unchecked = connections.security_arguments(section, "KAFKA_CONFIG")["ssl_context"]
    assert (checked.check_hostname, unchecked.check_hostname) == (True, False)
    assert unchecked.verify_mode is ssl.CERT_REQUIRED


def test_a_certificate_that_is_not_there_is_told_with_its_path() -> None:
    section = {"security_protocol": "SSL", "ssl_cafile": "/nowhere/ca.pem"}
    with pytest.raises(ConfigurationError, match=r"KAFKA_CONFIG\.ssl_cafile: there is no file /nowhere"):
        connections.security_arguments(section, "KAFKA_CONFIG")


@pytest.mark.parametrize("key", ["ssl_cafile", "ssl_certfile"])
def test_a_certificate_that_is_none_is_told_with_its_path(key: str, tmp_path: Path) -> None:
    path = tmp_path / "text.pem"
    path.write_text("no certificate")
    with pytest.raises(ConfigurationError, match=rf"KAFKA_CONFIG\.{key}: cannot be used"):
        connections.security_arguments({"security_protocol": "SSL", key: str(path)}, "KAFKA_CONFIG")
