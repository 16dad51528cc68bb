"""Looks at Kafka for the operator, with kafka-python in threads: the topics and their partitions.

One look serves every module of the same cluster. Where credentials are needed that the operator does not have
(it never reads Secrets), it does not look: the workers tell.
"""

import asyncio
import concurrent.futures
import logging
import pathlib
import time
import warnings
from typing import Any

from analysis_module import names, spec
from analysis_operator.decisions.observed import KafkaView

with warnings.catch_warnings():
    # kafka-python 3.0 reads its schemas by a call that Python 3.11 and 3.12 deprecate.
    warnings.filterwarnings("ignore", r"(read|open)_text is deprecated", DeprecationWarning)
    import kafka
    from kafka import errors as kafka_errors

log = logging.getLogger(__name__)

_BOOTSTRAP_MS = 5_000
_THREADS = 4

Cluster = tuple[tuple[str, ...], str]
"""What tells one cluster from another: its servers and how one gets in."""


class NoCredentials(Exception):
    """The operator has no file for a credential that the cluster wants."""


class KafkaLookout:
    """Remembers what it saw; close it when done."""

    def __init__(self) -> None:
        self._pool = concurrent.futures.ThreadPoolExecutor(_THREADS, thread_name_prefix="kafka-lookout")
        self._views: dict[Cluster, tuple[float, KafkaView]] = {}
        self._looks: dict[Cluster, asyncio.Task[KafkaView]] = {}

    def close(self) -> None:
        """Look no more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def known(
        self, asked: spec.Kafka, *, fresh_seconds: float
    ) -> tuple[KafkaView, asyncio.Task[KafkaView] | None]:
        """What is known of a module's Kafka now, and the look that is under way, if one is.

        What is older than `fresh_seconds` is looked at again. It never waits: a cluster that does not answer
        must not delay any module.
        """
        cluster = (tuple(sorted(asked.bootstrap_servers)), repr(asked.security))
        seen_at, view = self._views.get(cluster, (float("-inf"), KafkaView()))
        if time.monotonic() - seen_at < fresh_seconds:
            return view, None
        if cluster not in self._looks:
            self._looks[cluster] = asyncio.create_task(self._look(cluster, asked))
        return view, self._looks[cluster]

    async def _look(self, cluster: Cluster, asked: spec.Kafka) -> KafkaView:
        try:
            view = await asyncio.get_running_loop().run_in_executor(self._pool, _seen, asked)
            self._views[cluster] = (time.monotonic(), view)
            return view
        finally:
            del self._looks[cluster]


def _seen(asked: spec.Kafka) -> KafkaView:
    """One look; blocks for some seconds at most."""
    try:
        arguments = _security(asked.security)
    except (NoCredentials, OSError):
        return KafkaView()
    try:
        client = kafka.KafkaAdminClient(
            bootstrap_servers=list(asked.bootstrap_servers),
            bootstrap_timeout_ms=_BOOTSTRAP_MS,
            client_id=names.OPERATOR_NAME,
            **arguments,
        )
    except (kafka_errors.KafkaError, OSError) as error:
        return KafkaView(reached=False, error=_told(error))
    try:
        topics = client.describe_topics()
        partitions = {topic["name"]: len(topic["partitions"]) for topic in topics if not topic["error_code"]}
        return KafkaView(reached=True, partitions=partitions)
    except (kafka_errors.KafkaError, OSError) as error:
        return KafkaView(reached=False, error=_told(error))
    finally:
        client.close()


def _told(error: Exception) -> str:
    """What an error says, once: kafka-python's begin with their own name."""
    return (str(error) or type(error).__name__)[:200]


def _security(security: spec.Security) -> dict[str, Any]:
    """kafka-python's security arguments; raises NoCredentials without a file for each that is asked for."""
    arguments: dict[str, Any] = {"security_protocol": security.protocol.value}
    if security.protocol.value.startswith("SASL"):
        if security.mechanism is spec.SaslMechanism.OAUTHBEARER or security.mechanism is None:
            raise NoCredentials
        arguments["sasl_mechanism"] = security.mechanism.value
        arguments["sasl_plain_username"] = _text(security.username)
        arguments["sasl_plain_password"] = _text(security.password)
    if security.protocol.value.endswith("SSL"):
        arguments["ssl_check_hostname"] = security.check_hostname
        for name, source in (
            ("ssl_cafile", security.ca),
            ("ssl_certfile", security.certificate),
            ("ssl_keyfile", security.private_key),
        ):
            if source is not None:
                arguments[name] = str(_path(source))
    return arguments


def _path(source: spec.SecretSource | None) -> pathlib.Path:
    """The mounted file of a Secret that the operator's owner has given to the operator too."""
    if source is None or source.secret_name is None or source.key is None:
        raise NoCredentials
    path = pathlib.Path(names.secret_path(source.secret_name, source.key))
    if not path.is_file():
        raise NoCredentials
    return path


def _text(source: spec.SecretSource | None) -> str:
    return _path(source).read_text(encoding="utf-8").rstrip("\r\n")
