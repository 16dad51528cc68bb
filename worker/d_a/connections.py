"""From KAFKA_CONFIG to the worker's Kafka clients; passwords and certificates go no other way."""

import dataclasses
import pathlib
import ssl
from collections.abc import Mapping
from typing import Any

from analysis_module import spec
from analysis_worker import delivery
from analysis_worker.kafka import clients, connecting
from d_a.errors import ConfigurationError
from d_a.kafka_settings import KafkaSettings


def connection_of(settings: KafkaSettings, kafka: spec.Kafka) -> connecting.Connection:
    """The consumer's connection; keys that need nothing done are told in the log, with the reason.

    Raises ConfigurationError for a certificate that cannot be read.
    """
    connection = connecting.connection_of(kafka, kafka.group_id or "")
    return dataclasses.replace(connection, security=security_arguments(settings.consumer, "KAFKA_CONFIG"))


def connector_of(settings: KafkaSettings, connection: connecting.Connection) -> delivery.Connector:
    """The worker's ports: the consumer's settings to read, the producer's to write."""
    writing = dataclasses.replace(
        connection,
        bootstrap_servers=tuple(settings.producer["bootstrap_servers"]),
        security=security_arguments(settings.producer, "KAFKA_CONFIG"),
    )
    return delivery.Connector(
        source=lambda: clients.KafkaSource(connection),
        sink=lambda: clients.KafkaSink(writing),
        topics=lambda: clients.KafkaTopics(writing),
        transactional_sink=lambda transactional_id: clients.TransactionalKafkaSink(writing, transactional_id),
    )


def security_arguments(section: Mapping[str, Any], path: str) -> dict[str, Any]:
    """aiokafka's security arguments; raises ConfigurationError for a file that cannot be used."""
    protocol = str(section.get("security_protocol", spec.SecurityProtocol.PLAINTEXT.value))
    arguments: dict[str, Any] = {"security_protocol": protocol}
    if protocol.endswith("SSL"):
        arguments["ssl_context"] = _ssl_context(section, path)
    if protocol.startswith("SASL"):
        for key in ("sasl_mechanism", "sasl_plain_username", "sasl_plain_password"):
            arguments[key] = section[key]
    return arguments


def _ssl_context(section: Mapping[str, Any], path: str) -> ssl.SSLContext:
    files = {key: section.get(key) for key in ("ssl_cafile", "ssl_certfile", "ssl_keyfile")}
    for key, name in files.items():
        if name is not None and not pathlib.Path(name).is_file():
            raise ConfigurationError.single(f"{path}.{key}", f"there is no file {name}", "put it there")
    key = "ssl_cafile"
    try:
        context = ssl.create_default_context(cafile=files["ssl_cafile"])
        context.check_hostname = bool(section.get("ssl_check_hostname", True))
        key = "ssl_certfile"
        if files["ssl_certfile"] is not None:
            context.load_cert_chain(files["ssl_certfile"], files["ssl_keyfile"], section.get("ssl_password"))
    except (ssl.SSLError, OSError) as error:
        wrong = f"cannot be used: {error}"
        raise ConfigurationError.single(
            f"{path}.{key}", wrong, "give PEM files that belong together"
        ) from error
    return context
