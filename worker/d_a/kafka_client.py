"""Small Kafka clients for programs of one's own: synchronous on kafka-python, asynchronous on aiokafka.

All take KAFKA_CONFIG in any of its forms. Values are JSON on both sides: a consumer's `message.value` is the
decoded document, or the bytes as they came if they are no JSON; what is sent is encoded, bytes as they are.
The services do not use these clients.
"""

import asyncio
import contextlib
import inspect
import json
import logging
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import aiokafka
import aiokafka.errors
import kafka
import kafka.errors
import kafka.serializer

from analysis_module import errors as spec_errors
from analysis_module import findings
from analysis_worker.kafka import encoding
from d_a import connections, kafka_settings
from d_a.errors import ConfigurationError, KafkaConnectionError

log = logging.getLogger(__name__)

Made = TypeVar("Made")
_SEND_SECONDS = 30.0


def decoded(value: bytes | None) -> Any:
    """The JSON document of a message's value; the value itself if it is none."""
    if value is None:
        return None
    try:
        return json.loads(value)
    except ValueError:
        return value


def encoded(value: Any) -> bytes:
    """A message's value for Kafka: UTF-8 JSON, bytes as they are."""
    return value if isinstance(value, bytes) else encoding.encode_json(value)


def _settings(config: Mapping[str, Any], *, needs_group: bool) -> kafka_settings.KafkaSettings:
    """KAFKA_CONFIG, validated; a producer needs no group."""
    found = findings.Findings()
    settings = kafka_settings.read(config, "config", found, needs_group=needs_group)
    try:
        found.close()
    except spec_errors.InvalidSpec as error:
        raise ConfigurationError(error.problems, omitted=error.omitted) from None
    assert settings is not None
    for warning in settings.warnings:
        log.warning("%s", warning)
    return settings


# -- synchronous -------------------------------------------------------------------------------------


def _connected(
    make: Callable[[], Made], servers: Sequence[str], *, max_retries: int, retry_interval: float
) -> Made:
    """Make a client, trying `max_retries` times, `retry_interval` seconds apart."""
    for attempt in range(1, max_retries + 1):
        started = time.monotonic()
        try:
            if not any(_accepts(server, retry_interval) for server in servers):
                raise KafkaConnectionError("no broker accepts a connection")
            return make()
        except (kafka.errors.KafkaError, OSError, KafkaConnectionError) as error:
            told = f"no Kafka at {', '.join(servers)}: {error}; check bootstrap_servers and the network"
            if attempt == max_retries:
                raise KafkaConnectionError(told) from error
            log.warning("try %s of %s: %s", attempt, max_retries, told)
        time.sleep(max(0.0, retry_interval - (time.monotonic() - started)))
    raise ValueError(f"max_retries: {max_retries} is less than 1; give 1 or more")


def _accepts(server: str, within_seconds: float) -> bool:
    """Whether a broker listens: asked first, for a client that cannot connect leaves threads behind."""
    host, _, port = server.rpartition(":")
    with contextlib.suppress(OSError):
        socket.create_connection((host.strip("[]"), int(port)), timeout=max(0.1, within_seconds)).close()
        return True
    return False


def _known(settings: Mapping[str, Any], client: Any) -> dict[str, Any]:
    known = {key: value for key, value in settings.items() if key in client.DEFAULT_CONFIG}
    if known.get("compression_type") == "none":
        del known["compression_type"]
    return {**known, "bootstrap_servers": list(settings["bootstrap_servers"])}


class KafkaConsumerClient:
    """A consumer in the configured group, connected when it is made.

    Raises KafkaConnectionError after `max_retries` tries `retry_interval` seconds apart, and
    ConfigurationError.
    """

    def __init__(
        self,
        topics: Iterable[str],
        config: Mapping[str, Any],
        max_retries: int = 5,
        retry_interval: float = 5,
    ) -> None:
        settings = _settings(config, needs_group=True).consumer
        listed = list(topics)
        self._consumer: Any = _connected(
            lambda: kafka.KafkaConsumer(
                *listed, **_known(settings, kafka.KafkaConsumer), value_deserializer=_Deserializer()
            ),
            settings["bootstrap_servers"],
            max_retries=max_retries,
            retry_interval=retry_interval,
        )

    def poll(self, timeout_ms: int = 1000) -> dict[Any, list[Any]]:
        """Messages per TopicPartition, {} if none came in time; raises KafkaConnectionError."""
        consumer = _started(self._consumer, "the consumer is closed; make a new one")
        try:
            polled: dict[Any, list[Any]] = consumer.poll(timeout_ms=timeout_ms)
        except kafka.errors.KafkaError as error:
            raise KafkaConnectionError(f"consume: {error}") from error
        return polled

    def close(self) -> None:
        """Leave the group and disconnect. Idempotent."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close()


class _Deserializer(kafka.serializer.Deserializer):  # type: ignore[misc]
    """kafka-python's form of `decoded`; before 3.0 it gives no headers."""

    def deserialize(self, topic: str, *headers_and_data: Any) -> Any:
        """The document of a value."""
        return decoded(headers_and_data[-1])


class KafkaProducerClient:
    """A producer, connected when it is made; errors as KafkaConsumerClient."""

    def __init__(self, config: Mapping[str, Any], max_retries: int = 5, retry_interval: float = 5) -> None:
        settings = _settings(config, needs_group=False).producer
        self._max_retries, self._retry_interval = max_retries, retry_interval
        self._producer: Any = _connected(
            lambda: kafka.KafkaProducer(**_known(settings, kafka.KafkaProducer)),
            settings["bootstrap_servers"],
            max_retries=max_retries,
            retry_interval=retry_interval,
        )

    def send(self, topic: str, value: Any, key: str | bytes | None = None) -> None:
        """Write one record and wait until it is acknowledged; raises KafkaConnectionError."""
        producer = _started(self._producer, "the producer is closed; make a new one")
        payload = encoded(value)
        for attempt in range(1, self._max_retries + 1):
            try:
                producer.send(topic, payload, _key(key)).get(timeout=_SEND_SECONDS)
                return
            except kafka.errors.KafkaError as error:
                if attempt == self._max_retries:
                    raise KafkaConnectionError(f"send to {topic}: {error}") from error
                log.warning("send to %s, try %s of %s: %s", topic, attempt, self._max_retries, error)
            time.sleep(self._retry_interval)

    def close(self) -> None:
        """Send what is waiting and disconnect. Idempotent."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.close()


def _key(key: str | bytes | None) -> bytes | None:
    return key.encode() if isinstance(key, str) else key


def _started(client: Any, otherwise: str) -> Any:
    if client is None:
        raise RuntimeError(otherwise)
    return client


# -- asynchronous ------------------------------------------------------------------------------------


def _accepted(settings: Mapping[str, Any], client: type) -> dict[str, Any]:
    parameters = inspect.signature(client).parameters
    known = {key: value for key, value in settings.items() if key in parameters}
    if known.get("compression_type") == "none":
        del known["compression_type"]
    known |= connections.security_arguments(settings, "config")
    return {**known, "bootstrap_servers": list(settings["bootstrap_servers"])}


class _AsyncClient:
    """What both asynchronous clients do: start, refuse use before it, stop."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._servers: Sequence[str] = settings["bootstrap_servers"]
        self._client: Any = None

    def _made(self) -> Any:
        raise NotImplementedError

    async def start(self) -> None:
        """Connect; raises KafkaConnectionError."""
        client = self._made()
        try:
            await client.start()
        except BaseException as error:
            await client.stop()
            if not isinstance(error, aiokafka.errors.KafkaError | OSError | asyncio.TimeoutError):
                raise
            told = f"no Kafka at {', '.join(self._servers)}: {error}; check bootstrap_servers and the network"
            raise KafkaConnectionError(told) from error
        self._client = client

    async def stop(self) -> None:
        """Disconnect. Idempotent."""
        client, self._client = self._client, None
        if client is not None:
            await client.stop()

    def _running(self) -> Any:
        return _started(self._client, f"this {type(self).__name__} is not started; await start() first")


class AsyncKafkaConsumerClient(_AsyncClient):
    """A consumer in the configured group. `loop` is taken for old callers and not needed."""

    def __init__(self, topics: Iterable[str], config: Mapping[str, Any], loop: Any = None) -> None:
        self._settings = _settings(config, needs_group=True).consumer
        self._topics = list(topics)
        super().__init__(self._settings)

    def _made(self) -> Any:
        arguments = _accepted(self._settings, aiokafka.AIOKafkaConsumer)
        return aiokafka.AIOKafkaConsumer(*self._topics, **arguments, value_deserializer=decoded)

    async def getone(self) -> Any:
        """The next message; raises KafkaConnectionError, and RuntimeError before start."""
        consumer = self._running()
        try:
            return await consumer.getone()
        except aiokafka.errors.KafkaError as error:
            raise KafkaConnectionError(f"consume: {error}") from error

    async def getmany(self, timeout_ms: int = 1000, max_records: int | None = None) -> dict[Any, list[Any]]:
        """Messages per TopicPartition, {} if none came in time; errors as getone."""
        consumer = self._running()
        try:
            fetched: dict[Any, list[Any]] = await consumer.getmany(
                timeout_ms=timeout_ms, max_records=max_records
            )
        except aiokafka.errors.KafkaError as error:
            raise KafkaConnectionError(f"consume: {error}") from error
        return fetched


class AsyncKafkaProducerClient(_AsyncClient):
    """A producer. `loop` is taken for old callers and not needed."""

    def __init__(self, config: Mapping[str, Any], loop: Any = None) -> None:
        self._settings = _settings(config, needs_group=False).producer
        super().__init__(self._settings)

    def _made(self) -> Any:
        arguments = _accepted(self._settings, aiokafka.AIOKafkaProducer)
        if "batch_size" in self._settings:
            arguments["max_batch_size"] = self._settings["batch_size"]
        return aiokafka.AIOKafkaProducer(**arguments)

    async def send(self, topic: str, value: Any, key: str | bytes | None = None) -> None:
        """Write one record, acknowledged; raises KafkaConnectionError, and RuntimeError before start."""
        producer = self._running()
        try:
            await producer.send_and_wait(topic, encoded(value), key=_key(key))
        except aiokafka.errors.KafkaError as error:
            raise KafkaConnectionError(f"send to {topic}: {error}") from error
