"""Each way of proving who one is, on a real broker, from a module's settings with files as secrets."""

import pathlib
import time

import pytest

from analysis_module import reading
from analysis_worker.kafka import clients, connecting, ports
from tests.infrastructure import kafka_tools
from tests.infrastructure.kafka_cluster import KafkaCluster

BOUND_SECONDS = 20.0


class Secrets:
    """Files of secrets, and the security settings that name them."""

    def __init__(self, cluster: KafkaCluster, directory: pathlib.Path) -> None:
        self._security = cluster.security
        self._directory = directory

    def text(self, name: str, value: str) -> dict[str, str]:
        file = self._directory / name
        file.write_text(value + "\n", encoding="utf-8")
        return {"file": str(file)}

    def sasl(self, mechanism: str, protocol: str = "SASL_PLAINTEXT", password: str = "") -> dict[str, object]:
        settings: dict[str, object] = {
            "protocol": protocol,
            "mechanism": mechanism,
            "username": self.text("username", self._security.user),
            "password": self.text("password", password or self._security.password),
        }
        return settings | (self.authority() if protocol == "SASL_SSL" else {})

    def authority(self) -> dict[str, object]:
        return {"ca": {"file": str(self._security.ca_file)}}

    def certificate(self) -> dict[str, object]:
        client = self._security.client
        return {
            "certificate": {"file": str(client.certificate_file)},
            "privateKey": {"file": str(client.key_file)},
        }


@pytest.fixture
def secrets(kafka_secured: KafkaCluster, tmp_path: pathlib.Path) -> Secrets:
    return Secrets(kafka_secured, tmp_path)


def connection(servers: str, security: dict[str, object]) -> connecting.Connection:
    kafka = {"bootstrapServers": servers.split(","), "security": security}
    module_spec = reading.read_spec({"module": "load_prediction", "kafka": kafka})
    return connecting.connection_of(module_spec.kafka, kafka_tools.unique_name("group"))


async def written_and_read(cluster: KafkaCluster, made: connecting.Connection) -> bytes | None:
    """A record through all three ports of a connection, as an independent reader finds it."""
    topic = kafka_tools.unique_name("secured")
    await clients.KafkaTopics(made).ensure(topic, partitions=1, config={})
    source, sink = clients.KafkaSource(made), clients.KafkaSink(made)
    try:
        await source.start()
        await sink.start()
        assert await source.partitions([topic]) == {topic: 1}
        await sink.send(topic, 0, [ports.Message(topic, None, b"proved")])
    finally:
        await source.close()
        await sink.close()
    (record,) = kafka_tools.read_all(cluster.bootstrap_servers, topic)
    return record.value


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_a_password_opens_a_sasl_listener(
    kafka_secured: KafkaCluster, secrets: Secrets, mechanism: str
) -> None:
    made = connection(kafka_secured.sasl_bootstrap_servers, secrets.sasl(mechanism))
    assert await written_and_read(kafka_secured, made) == b"proved"


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
async def test_a_password_opens_a_sasl_listener_over_tls(
    kafka_secured: KafkaCluster, secrets: Secrets, mechanism: str
) -> None:
    settings = secrets.sasl(mechanism, "SASL_SSL")
    made = connection(kafka_secured.sasl_ssl_bootstrap_servers, settings)
    assert await written_and_read(kafka_secured, made) == b"proved"


async def test_an_authority_opens_a_tls_listener(kafka_secured: KafkaCluster, secrets: Secrets) -> None:
    made = connection(kafka_secured.ssl_bootstrap_servers, {"protocol": "SSL", **secrets.authority()})
    assert await written_and_read(kafka_secured, made) == b"proved"


async def test_a_client_certificate_opens_a_listener_of_mutual_tls(
    kafka_secured: KafkaCluster, secrets: Secrets
) -> None:
    settings = {"protocol": "SSL", **secrets.authority(), **secrets.certificate()}
    made = connection(kafka_secured.mutual_tls_bootstrap_servers, settings)
    assert await written_and_read(kafka_secured, made) == b"proved"


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
async def test_a_wrong_password_is_refused_by_every_port_within_a_bound(
    kafka_secured: KafkaCluster, secrets: Secrets, mechanism: str
) -> None:
    made = connection(kafka_secured.sasl_bootstrap_servers, secrets.sasl(mechanism, password="wrong"))
    for attempt in (
        clients.KafkaSource(made).start,
        clients.KafkaSink(made).start,
        lambda: clients.KafkaTopics(made).ensure("some-topic", partitions=1, config={}),
    ):
        began = time.monotonic()
        with pytest.raises(ports.KafkaRefused) as raised:
            await attempt()
        assert time.monotonic() - began < BOUND_SECONDS
        assert "wrong" not in str(raised.value)


async def test_brokers_of_an_unknown_authority_are_refused_and_the_reason_is_told(
    kafka_secured: KafkaCluster,
) -> None:
    made = connection(kafka_secured.ssl_bootstrap_servers, {"protocol": "SSL"})
    with pytest.raises(ports.KafkaRefused, match="certificate verify failed"):
        await clients.KafkaSource(made).start()


async def test_without_a_client_certificate_mutual_tls_makes_no_connection(
    kafka_secured: KafkaCluster, secrets: Secrets
) -> None:
    settings = {"protocol": "SSL", **secrets.authority()}
    made = connection(kafka_secured.mutual_tls_bootstrap_servers, settings)
    with pytest.raises(ports.KafkaUnavailable):
        await clients.KafkaSource(made).start()
