"""kafka-python, where no event loop runs: producers of the command line, and the doctor's questions.

The only file that imports kafka-python; others take its modules from here.
"""

import asyncio
import logging
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from analysis_worker.kafka import connecting, probing

with warnings.catch_warnings():
    # kafka-python 3.0 reads its schemas by a call that Python 3.11 and 3.12 deprecate.
    warnings.filterwarnings("ignore", r"(read|open)_text is deprecated", DeprecationWarning)
    import kafka
    from kafka import admin as kafka_admin
    from kafka import errors, structs
    from kafka.net.sasl import oauth

__all__ = [
    "Unreachable",
    "admin",
    "ensure_topics",
    "errors",
    "kafka_admin",
    "producer",
    "structs",
]

logging.getLogger("kafka").addHandler(logging.NullHandler())  # what it logs is told by our own errors

EMBEDDED_VERSION = (2, 0)
"""What kafka-python takes the embedded broker for: it cannot read that broker's list of requests."""
_BOOTSTRAP_MS = 8_000


class Unreachable(ConnectionError):
    """The cluster cannot be used: names the servers, the reason and the mend."""


def producer(connection: connecting.Connection) -> Any:
    """A producer that sends in batches and waits for every replica; raises Unreachable."""
    return _connected(
        kafka.KafkaProducer,
        connection,
        acks="all",
        linger_ms=20,
        batch_size=128 * 1024,
        compression_type=connection.producer.get("compression_type"),
        max_request_size=int(connection.producer.get("max_request_size") or 2 * 2**20),
    )


def admin(connection: connecting.Connection) -> Any:
    """An admin client; raises Unreachable."""
    return _connected(kafka.KafkaAdminClient, connection)


def ensure_topics(connection: connecting.Connection, topics: Sequence[str], partitions: int) -> list[str]:
    """Create those of the topics that do not exist, and tell which; the embedded broker makes its own.

    Raises Unreachable, also where the cluster refuses.
    """
    if _embedded(connection):
        return []
    client = admin(connection)
    try:
        described = client.describe_topics(list(topics))
        missing = [topic["name"] for topic in described if topic["error_code"]]
        if missing:
            client.create_topics([kafka_admin.NewTopic(topic, partitions, -1) for topic in missing])
        return missing
    except errors.KafkaError as error:
        wrong = f"the topics cannot be created: {type(error).__name__}: {error}"
        raise Unreachable(f"{wrong}; create them, or allow this user to") from error
    finally:
        client.close()


def _embedded(connection: connecting.Connection) -> bool:
    """Whether the embedded broker answers there; raises Unreachable if nothing does."""
    tls = connection.security.get("ssl_context")
    try:
        return probing.CREATE_TOPICS not in probing.first_answer(connection.bootstrap_servers, tls)
    except probing.NoAnswer as error:
        raise Unreachable(f"no Kafka is reached: {error}") from error


def _connected(make: Callable[..., Any], connection: connecting.Connection, **settings: Any) -> Any:
    arguments = {
        "bootstrap_servers": list(connection.bootstrap_servers),
        "bootstrap_timeout_ms": _BOOTSTRAP_MS,
        **_security(connection),
        **settings,
    }
    if _embedded(connection):
        arguments["api_version"] = EMBEDDED_VERSION
    try:
        return make(**arguments)
    except (errors.KafkaError, OSError) as error:
        raise Unreachable(_refusal(connection, error)) from error


def _refusal(connection: connecting.Connection, error: Exception) -> str:
    servers = ", ".join(connection.bootstrap_servers)
    mechanism = connection.security.get("sasl_mechanism")
    if mechanism:
        wrong = f"the brokers answer at {servers}, but no login by {mechanism} succeeded"
        return f"{wrong}; check kafka.security: mechanism, username and password"
    wrong = f"the brokers answer at {servers}, but serve nobody without a login, or nobody at all"
    return f"{wrong} ({type(error).__name__}); check kafka.security.protocol and the brokers' log"


def _security(connection: connecting.Connection) -> dict[str, Any]:
    arguments = dict(connection.security)
    provider = arguments.get("sasl_oauth_token_provider")
    if provider is not None:
        arguments["sasl_oauth_token_provider"] = _Token(provider)
    return arguments


class _Token(oauth.AbstractTokenProvider):  # type: ignore[misc]
    """An aiokafka token provider for kafka-python."""

    def __init__(self, provider: Any) -> None:
        super().__init__()
        self._provider = provider

    def token(self) -> str:
        """The token, read anew."""
        token: str = asyncio.run(self._provider.token())
        return token
