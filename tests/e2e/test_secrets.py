"""Secrets on a true node: rotated under running workers, and shown nowhere."""

import secrets
from collections.abc import Callable
from typing import Any

from tests.infrastructure import kafka_tools, waiting
from tests.infrastructure.scenario import NOTHING_WRONG, Scenario
from tests.infrastructure.true_cluster import TrueCluster

Scenarios = Callable[[str], Scenario]
NAME = "kafka-login"
TAKEN_OVER = "new credentials are taken over: kafka.security.password"
KUBELET_SECONDS = 180.0
"""How long the kubelet may take to bring a changed Secret into pods: a minute between two looks, or two."""


def login(numbered: Scenario, user: str, password: str) -> None:
    """What a user does: apply the Secret."""
    metadata = {"name": NAME, "namespace": numbered.namespace}
    data = {"user": user, "password": password}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data}
    numbered.module.api.apply(secret, manager="user")


def with_login(numbered: Scenario, servers: str) -> dict[str, Any]:
    """The module's spec.kafka with that Secret."""
    security = {
        "protocol": "SASL_PLAINTEXT",
        "mechanism": "SCRAM-SHA-512",
        "username": {"secretName": NAME, "key": "user"},
        "password": {"secretName": NAME, "key": "password"},
    }
    kafka: dict[str, Any] = numbered.stream.spec()["kafka"]
    return {**kafka, "bootstrapServers": servers.split(","), "security": security}


def printed(numbered: Scenario, *arguments: str) -> str:
    """What `kubectl ...` prints in the module's namespace."""
    done = numbered.cluster.access.kubectl(*arguments, "--namespace", numbered.namespace)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_rotated_password_is_taken_over_by_running_workers_and_shown_nowhere(
    true_cluster: TrueCluster, scenarios: Scenarios
) -> None:
    numbered, broker = scenarios("secret rotated"), true_cluster.kafka
    user, old, new = kafka_tools.unique_name("user"), secrets.token_urlsafe(12), secrets.token_urlsafe(12)
    kafka_tools.set_password(broker.bootstrap_servers, user, old)
    login(numbered, user, old)
    kafka = with_login(numbered, broker.sasl_bootstrap_servers)
    numbered.run(kafka=kafka, workers={"replicas": 2})
    before = numbered.containers()

    kafka_tools.set_password(broker.bootstrap_servers, user, new)
    login(numbered, user, new)
    for pod in sorted(numbered.module.pods()):
        waiting.until(
            lambda pod=pod: TAKEN_OVER in printed(numbered, "logs", pod),  # type: ignore[misc]
            what=f"{pod} has the new password",
            timeout_seconds=KUBELET_SECONDS,
        )
    broker.restart(0)  # every connection is made anew, hence with the new password
    numbered.until_more_outputs(400)

    assert numbered.conclude() == NOTHING_WRONG
    assert numbered.containers() == before
    shown = [printed(numbered, "get", "am,cm,deploy,pods,events", "--output", "yaml")]
    shown += [printed(numbered, "logs", pod) for pod in numbered.module.pods()]
    assert [each for each in (old, new) if any(each in text for text in shown)] == []
