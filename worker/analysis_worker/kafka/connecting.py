"""From a module's Kafka settings to client arguments: brokers, security, and the guide's configuration names.

Keys of the guide (seed system 6) are taken as they stand; what aiokafka has no use for gives one warning
that names the key and why, never an error.
"""

import contextlib
import dataclasses
import logging
import os
import pathlib
import ssl
from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol

from aiokafka import errors
from aiokafka.abc import AbstractTokenProvider

from analysis_module import names, spec

log = logging.getLogger(__name__)

_CONSUMER_KEYS: Final = frozenset(
    {
        "client_id",
        "request_timeout_ms",
        "fetch_min_bytes",
        "fetch_max_bytes",
        "fetch_max_wait_ms",
        "max_partition_fetch_bytes",
        "metadata_max_age_ms",
        "connections_max_idle_ms",
        "retry_backoff_ms",
        "check_crcs",
        "client_rack",
    }
)
_PRODUCER_KEYS: Final = frozenset(
    {
        "client_id",
        "acks",
        "request_timeout_ms",
        "compression_type",
        "metadata_max_age_ms",
        "connections_max_idle_ms",
        "retry_backoff_ms",
        "max_request_size",
        "enable_idempotence",
        "transaction_timeout_ms",
    }
)
_OWN_KEYS: Final = {
    "bootstrap_servers": "taken from kafka.bootstrapServers",
    "group_id": "taken from kafka.groupId",
    "auto_offset_reset": "taken from kafka.autoOffsetReset",
    "max_poll_records": "bounds a fetch",
    "batch_size": "bounds a produce batch",
}
_TRANSACTION_MS: Final = 30_000
"""How long brokers keep a transaction open of which they hear no more: readers wait so long behind it."""
_NEEDLESS: Final = {
    "enable_auto_commit": "offsets are always committed, after the outputs are acknowledged",
    "auto_commit_interval_ms": "offsets are committed after the outputs are acknowledged",
    "session_timeout_ms": "partitions are assigned without a consumer group, so there is no session",
    "heartbeat_interval_ms": "partitions are assigned without a consumer group, so there are no heartbeats",
    "max_poll_interval_ms": "partitions are assigned without a consumer group, so no poll can be late",
    "retries": "sending is retried until it succeeds",
    "isolation_level": "what a transaction gave up was never written, and is never read",
    "linger_ms": "a batch is sent as soon as the one before it is acknowledged",
    "buffer_memory": "memory is bounded by the outputs in flight",
    "max_in_flight_requests_per_connection": "one batch is in flight per partition, which keeps the order",
    "multi_consumer_mode": "one consumer reads all topics fairly",
}


@dataclasses.dataclass(frozen=True)
class Connection:
    """Everything that a client needs to reach the brokers, secrets included: never log it."""

    bootstrap_servers: tuple[str, ...]
    group_id: str
    security: Mapping[str, Any] = dataclasses.field(default_factory=dict, repr=False)
    consumer: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    producer: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    max_poll_records: int = 2000
    batch_bytes: int = 512 * 1024

    def current(self) -> "Connection":
        """This one, which never changes: a fixed Connection is Connecting too."""
        return self

    def source_arguments(self) -> dict[str, Any]:
        """Keyword arguments of AIOKafkaConsumer; it joins no group (see `group_offsets`)."""
        return {
            "bootstrap_servers": list(self.bootstrap_servers),
            "enable_auto_commit": False,
            "auto_offset_reset": "none",
            "isolation_level": "read_committed",
            **self.consumer,
            **self.security,
        }

    def sink_arguments(self) -> dict[str, Any]:
        """Keyword arguments of AIOKafkaProducer."""
        return {
            "bootstrap_servers": list(self.bootstrap_servers),
            "enable_idempotence": self.producer.get("acks", "all") in ("all", -1),
            "acks": "all",
            "max_batch_size": self.batch_bytes,
            **self.producer,
            **self.security,
        }

    def transaction_arguments(self, transactional_id: str) -> dict[str, Any]:
        """Keyword arguments of a transactional AIOKafkaProducer."""
        return {
            "transaction_timeout_ms": _TRANSACTION_MS,
            **self.sink_arguments(),
            "transactional_id": transactional_id,
            "enable_idempotence": True,
            "acks": "all",
        }

    def admin_arguments(self) -> dict[str, Any]:
        """Keyword arguments of AIOKafkaAdminClient."""
        return {"bootstrap_servers": list(self.bootstrap_servers), **self.security}


class Connecting(Protocol):
    """Who knows how to connect: asked each time that a client does."""

    def current(self) -> Connection:
        """The connection to make now; raises KafkaUnavailable while there is none."""


def connection_of(kafka: spec.Kafka, group_id: str) -> Connection:
    """The connection that a module's settings ask for; raises KafkaSettingsError if a secret is missing."""
    consumer = _known(kafka.consumer, _CONSUMER_KEYS, "consumer")
    producer = _known(kafka.producer, _PRODUCER_KEYS, "producer")
    return Connection(
        bootstrap_servers=kafka.bootstrap_servers,
        group_id=group_id,
        security=security_arguments(kafka.security),
        consumer=consumer,
        producer=producer,
        max_poll_records=int(kafka.consumer.get("max_poll_records") or 2000),
        batch_bytes=max(int(kafka.producer.get("batch_size") or 0), 512 * 1024),
    )


class KafkaSettingsError(ValueError):
    """A Kafka setting that cannot be used: names the setting, what was wrong and the mend."""


def _known(overrides: Mapping[str, Any], known: frozenset[str], section: str) -> dict[str, Any]:
    taken = {}
    for key, value in overrides.items():
        if key in known:
            taken[key] = value
        elif key not in _OWN_KEYS and not key.startswith(("security_", "sasl_", "ssl_")):
            reason = _NEEDLESS.get(key, "it is not a setting of this client")
            log.warning("kafka.%s.%s is ignored: %s", section, key, reason)
    return taken


def security_arguments(security: spec.Security) -> dict[str, Any]:
    """aiokafka's security arguments; secrets are read now."""
    arguments: dict[str, Any] = {"security_protocol": security.protocol.value}
    if security.protocol in (spec.SecurityProtocol.SSL, spec.SecurityProtocol.SASL_SSL):
        arguments["ssl_context"] = _ssl_context(security)
    if security.mechanism is not None and security.protocol.value.startswith("SASL"):
        arguments["sasl_mechanism"] = security.mechanism.value
        if security.mechanism is spec.SaslMechanism.OAUTHBEARER:
            arguments["sasl_oauth_token_provider"] = _Token(security.token)
        else:
            arguments["sasl_plain_username"] = secret_text(security.username, "kafka.security.username")
            arguments["sasl_plain_password"] = secret_text(security.password, "kafka.security.password")
    return arguments


def _ssl_context(security: spec.Security) -> ssl.SSLContext:
    authority = secret_path(security.ca, "kafka.security.ca")
    with _told_of("kafka.security.ca"):
        context = ssl.create_default_context(cafile=str(authority) if authority else None)
    context.check_hostname = security.check_hostname
    certificate = secret_path(security.certificate, "kafka.security.certificate")
    if certificate is not None:
        key = secret_path(security.private_key, "kafka.security.privateKey")
        with _told_of("kafka.security.certificate"):
            context.load_cert_chain(str(certificate), str(key) if key else None)
    return context


@contextlib.contextmanager
def _told_of(setting: str) -> Iterator[None]:
    try:
        yield
    except ssl.SSLError as error:
        raise KafkaSettingsError(f"{setting}: {error.reason or error}; give PEM text that fits") from error
    except OSError as error:
        raise KafkaSettingsError(f"{setting}: {error}; mount the secret so that it can be read") from error


class _Token(AbstractTokenProvider):  # type: ignore[misc]
    """Reads the bearer token anew each time it is asked for, so a rotated one is used."""

    def __init__(self, source: spec.SecretSource | None) -> None:
        self._source = source

    async def token(self) -> str:
        try:
            return secret_text(self._source, "kafka.security.token") or ""
        except KafkaSettingsError as error:  # to aiokafka, which asks, this is a connection that failed
            raise errors.KafkaConnectionError(str(error)) from error


def secret_files(security: spec.Security) -> dict[str, pathlib.Path]:
    """Setting -> file of each secret in use that is read from one, whether it is there or not."""
    protocol = security.protocol.value
    used: dict[str, spec.SecretSource | None] = {}
    if protocol.endswith("SSL"):
        used = {"ca": security.ca, "certificate": security.certificate, "privateKey": security.private_key}
    if protocol.startswith("SASL"):
        token = security.mechanism is spec.SaslMechanism.OAUTHBEARER
        texts = {"token": security.token} if token else _login(security)
        # A variable holds the text itself, which no one can change while the process runs.
        used |= {name: source for name, source in texts.items() if source and source.env is None}
    return {f"kafka.security.{name}": _file(source) for name, source in used.items() if source is not None}


def _login(security: spec.Security) -> dict[str, spec.SecretSource | None]:
    return {"username": security.username, "password": security.password}


def secret_path(source: spec.SecretSource | None, setting: str) -> pathlib.Path | None:
    """The file that holds a secret; raises KafkaSettingsError if it is not there."""
    if source is None:
        return None
    path = _file(source)
    if not path.is_file():
        raise KafkaSettingsError(f"{setting}: no file {path}; mount the secret there, or name another")
    return path


def _file(source: spec.SecretSource) -> pathlib.Path:
    if source.env is not None:
        return pathlib.Path(os.environ.get(source.env, ""))
    if source.file is not None:
        return pathlib.Path(source.file)
    return pathlib.Path(names.secret_path(source.secret_name or "", source.key or ""))


def secret_text(source: spec.SecretSource | None, setting: str) -> str | None:
    """A secret's text, without the line end that editors add.

    Raises KafkaSettingsError if it is missing, cannot be read or is no text; never with a part of it.
    """
    if source is None:
        return None
    if source.env is not None:
        text = os.environ.get(source.env)
        if text is None:
            raise KafkaSettingsError(f"{setting}: the environment has no {source.env}; set it")
        return text
    path = secret_path(source, setting)
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise KafkaSettingsError(f"{setting}: {error}; mount the secret so that it can be read") from error
    except UnicodeDecodeError:  # it holds what was read: it must not be seen in a traceback
        raise KafkaSettingsError(f"{setting}: {path} is not UTF-8 text; write it anew") from None
