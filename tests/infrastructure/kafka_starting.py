"""The start of one of Kafka's programs: waited for until it listens, or told of by the end of its log."""

from collections.abc import Collection

import kafka

from tests.infrastructure import guarded_process, local_ports, waiting

TIMEOUT_SECONDS = 90.0


class KafkaDidNotStart(RuntimeError):
    """A program ended, refused or did not serve in time; the text holds the end of its log."""


def until_listening(
    process: guarded_process.GuardedProcess, name: str, ports: Collection[int], host: str
) -> None:
    """Returns when all `ports` of `host` are open; raises KafkaDidNotStart."""

    def listens() -> bool:
        if not process.is_running():
            raise KafkaDidNotStart(f"{name} ended; its log:\n{process.log_tail()}")
        return all(local_ports.accepts(port, host) for port in ports)

    try:
        waiting.until(listens, what="its ports are open", timeout_seconds=TIMEOUT_SECONDS)
    except TimeoutError as error:
        raise KafkaDidNotStart(f"{name}: {error}; log:\n{process.log_tail()}") from error


def in_service(admin: kafka.KafkaAdminClient) -> frozenset[int]:
    """The brokers that take requests, as any of them says; none if the one that was asked does not answer."""
    try:
        described = admin.describe_cluster()["brokers"]
    except kafka.errors.KafkaError:
        return frozenset()
    return frozenset(each["broker_id"] for each in described if not each.get("is_fenced"))
