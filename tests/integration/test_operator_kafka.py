"""What the operator says of a module's Kafka: topics, partitions, connection; on a real broker."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.infrastructure import kafka_tools, operated_namespace
from tests.infrastructure.control_plane import ControlPlane
from tests.infrastructure.kafka_cluster import KafkaEndpoint
from tests.infrastructure.operated_namespace import OperatedNamespace


@pytest.fixture(scope="module")
def place(
    control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OperatedNamespace]:
    directory: Path = tmp_path_factory.mktemp("operator")
    with operated_namespace.operated(control_plane, directory, "kafka") as place:
        yield place


def spec(module: str, servers: str, topic: str, **changes: Any) -> dict[str, Any]:
    kafka = {"bootstrapServers": servers.split(",")}
    return operated_namespace.spec(module, kafka=kafka, inputs=[reading(topic)], **changes)


def reading(topic: str, **changes: Any) -> dict[str, Any]:
    return {"topic": topic, "fields": ["number"], "windowSize": 1, **changes}


def test_a_topic_that_is_missing_is_named_and_found_once_it_is_made(
    place: OperatedNamespace, kafka: KafkaEndpoint
) -> None:
    topic = kafka_tools.unique_name("absent")
    module = place.module("missing")
    module.apply(spec("missing", kafka.bootstrap_servers, topic))
    told = module.until_condition("KafkaReachable", "False", "TopicsMissing")
    assert topic in told["message"]
    assert "create" in told["message"]
    assert module.row()["Phase"] == "Degraded"
    kafka_tools.create_topic(kafka.bootstrap_servers, topic, partitions=1)
    module.until_condition("KafkaReachable", "True")


def test_a_partition_count_that_rules_out_aligned_is_named_with_its_mend(
    place: OperatedNamespace, kafka: KafkaEndpoint
) -> None:
    topic = kafka_tools.create_topic(kafka.bootstrap_servers, kafka_tools.unique_name("three"), partitions=3)
    module = place.module("aligned")
    module.apply(
        spec("aligned", kafka.bootstrap_servers, topic, partitioning={"slots": 8, "routing": "Aligned"})
    )
    told = module.until_condition("KafkaReachable", "False", "PartitionCount")
    assert f"{topic} has 3" in told["message"]
    assert "8 partitions" in told["message"]
    module.apply(inputs=[reading(topic, routing="Filtered")])
    module.until_condition("KafkaReachable", "True")


def test_a_kafka_that_is_not_reached_is_told_with_the_servers(place: OperatedNamespace) -> None:
    module = place.module("nowhere")
    module.apply(operated_namespace.spec("nowhere"))
    told = module.until_condition("KafkaReachable", "False", "Unreachable")
    assert operated_namespace.NOWHERE in told["message"]
    assert "spec.kafka.bootstrapServers" in told["message"]


def test_without_credentials_the_operator_does_not_judge(
    place: OperatedNamespace, kafka: KafkaEndpoint
) -> None:
    secret = {"secretName": "kafka-user", "key": "password"}
    security = {
        "protocol": "SASL_PLAINTEXT",
        "mechanism": "PLAIN",
        "username": secret,
        "password": secret,
    }
    servers = kafka.bootstrap_servers.split(",")
    module = place.module("secured")
    module.apply(
        operated_namespace.spec("secured", kafka={"bootstrapServers": servers, "security": security})
    )
    told = module.until_condition("KafkaReachable", "Unknown", "NotLookedAt")
    assert "no credentials" in told["message"]
