"""The real Kafka that the tests stand on keeps its word: it serves, survives a kill, and guards its doors."""

import contextlib
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kafka as kafka_python
import pytest

from tests.infrastructure import (
    kafka_cluster,
    kafka_distribution,
    kafka_starting,
    kafka_tools,
    local_ports,
    waiting,
)

REFUSALS = {
    "PLAIN": "Authentication failed: Invalid username or password",
    "SCRAM-SHA-256": "invalid credentials with SASL mechanism SCRAM-SHA-256",
    "SCRAM-SHA-512": "invalid credentials with SASL mechanism SCRAM-SHA-512",
}
MECHANISMS = list(REFUSALS)


def some_records(count: int) -> list[kafka_tools.Outgoing]:
    return [kafka_tools.Outgoing(b"%d" % number, b"value %d" % number) for number in range(count)]


@contextlib.contextmanager
def transactional_producer(bootstrap: str) -> Iterator[Any]:
    name = kafka_tools.unique_name("transaction")
    producer = kafka_python.KafkaProducer(bootstrap_servers=bootstrap.split(","), transactional_id=name)
    with contextlib.closing(producer):
        producer.init_transactions()
        yield producer


def write_in_transactions(producer: Any, topic: str, *, committed: bytes, aborted: bytes) -> None:
    producer.begin_transaction()
    producer.send(topic, committed)
    producer.commit_transaction()
    producer.begin_transaction()
    producer.send(topic, aborted).get()
    producer.abort_transaction()


class TestOneBroker:
    def test_a_record_comes_back_as_it_was_written(
        self, kafka: kafka_cluster.KafkaEndpoint, topic_factory: kafka_tools.TopicFactory
    ) -> None:
        topic = topic_factory(partitions=3)
        written = kafka_tools.Outgoing(b"station-1", b"{}", [("trace", b"7")], 1_700_000_000_123, 2)

        kafka_tools.produce_all(kafka.bootstrap_servers, topic, [written])

        (read,) = kafka_tools.read_all(kafka.bootstrap_servers, topic)
        assert read == kafka_tools.Record(2, 0, 1_700_000_000_123, b"station-1", b"{}", (("trace", b"7"),))

    def test_ten_thousand_records_keep_their_order_within_a_partition(
        self, kafka: kafka_cluster.KafkaEndpoint, topic_factory: kafka_tools.TopicFactory
    ) -> None:
        topic = topic_factory(partitions=2)

        kafka_tools.produce_all(
            kafka.bootstrap_servers,
            topic,
            ((None, b"%d" % number, (), None, number % 2) for number in range(10_000)),
        )

        records = kafka_tools.read_all(kafka.bootstrap_servers, topic)
        assert [each.value for each in records if each.partition == 0] == [
            b"%d" % n for n in range(0, 10_000, 2)
        ]
        assert [each.value for each in records if each.partition == 1] == [
            b"%d" % n for n in range(1, 10_000, 2)
        ]
        assert kafka_tools.end_offsets(kafka.bootstrap_servers, topic) == {0: 5_000, 1: 5_000}

    def test_read_committed_leaves_out_what_was_aborted(
        self, kafka: kafka_cluster.KafkaEndpoint, topic_factory: kafka_tools.TopicFactory
    ) -> None:
        topic = topic_factory()

        with transactional_producer(kafka.bootstrap_servers) as producer:
            write_in_transactions(producer, topic, committed=b"kept", aborted=b"dropped")

        committed = kafka_tools.read_all(kafka.bootstrap_servers, topic, "read_committed")
        everything = kafka_tools.read_all(kafka.bootstrap_servers, topic, "read_uncommitted")
        assert [each.value for each in committed] == [b"kept"]
        assert [each.value for each in everything] == [b"kept", b"dropped"]

    def test_waiting_for_records_that_do_not_come_says_how_many_came(
        self, kafka: kafka_cluster.KafkaEndpoint, topic_factory: kafka_tools.TopicFactory
    ) -> None:
        topic = topic_factory()
        kafka_tools.produce_all(kafka.bootstrap_servers, topic, some_records(2))

        with pytest.raises(TimeoutError, match="for 3 records; 2 came"):
            kafka_tools.wait_for_records(kafka.bootstrap_servers, topic, 3, timeout_seconds=0.5)

    def test_writing_to_a_topic_does_not_create_it(self, kafka: kafka_cluster.KafkaEndpoint) -> None:
        topic = kafka_tools.unique_name("missing")
        producer = kafka_python.KafkaProducer(bootstrap_servers=kafka.bootstrap_servers, max_block_ms=500)

        with contextlib.closing(producer), pytest.raises(kafka_python.errors.KafkaTimeoutError):
            producer.send(topic, b"value")

        assert topic not in kafka_tools.topics(kafka.bootstrap_servers)


class TestThreeBrokers:
    def test_acknowledged_records_survive_the_kill_of_their_leader(
        self, kafka_trio: kafka_cluster.KafkaCluster
    ) -> None:
        bootstrap = kafka_trio.bootstrap_servers
        topic = kafka_tools.create_topic(bootstrap, kafka_tools.unique_name("survivor"))
        kafka_tools.produce_all(bootstrap, topic, some_records(500))
        leader = kafka_tools.leaders(bootstrap, topic)[0]

        kafka_trio.kill(leader)
        kafka_tools.produce_all(bootstrap, topic, some_records(500))

        records = kafka_tools.read_all(bootstrap, topic)
        assert [each.value for each in records] == 2 * [each.value for each in some_records(500)]
        assert kafka_tools.leaders(bootstrap, topic)[0] != leader

    def test_a_killed_broker_has_all_data_again_after_its_restart(
        self, kafka_trio: kafka_cluster.KafkaCluster
    ) -> None:
        bootstrap = kafka_trio.bootstrap_servers
        topic = kafka_tools.create_topic(bootstrap, kafka_tools.unique_name("returner"))
        victim = kafka_tools.leaders(bootstrap, topic)[0]
        kafka_trio.kill(victim)
        kafka_tools.produce_all(bootstrap, topic, some_records(100))

        kafka_trio.restart(victim)

        waiting.until(
            lambda: kafka_tools.in_sync_replicas(bootstrap, topic)[0] == {0, 1, 2},
            what="all three brokers are in sync",
            timeout_seconds=30,
        )
        assert kafka_trio.running == {0, 1, 2}

    def test_a_broker_killed_by_the_test_before_runs_again(
        self, kafka_trio_for_all: kafka_cluster.KafkaCluster
    ) -> None:
        kafka_trio_for_all.kill(1)

        kafka_trio_for_all.restore()

        assert kafka_trio_for_all.running == {0, 1, 2}


class TestSecuredBroker:
    @pytest.mark.parametrize("mechanism", MECHANISMS)
    def test_the_right_password_opens_the_sasl_listener(
        self, kafka_secured: kafka_cluster.KafkaCluster, mechanism: str
    ) -> None:
        login = sasl_settings(kafka_secured, mechanism)

        with consumer(
            kafka_secured.sasl_bootstrap_servers, security_protocol="SASL_PLAINTEXT", **login
        ) as client:
            assert isinstance(client.topics(), set)

    @pytest.mark.parametrize("mechanism", MECHANISMS)
    def test_a_wrong_password_is_refused(
        self, kafka_secured: kafka_cluster.KafkaCluster, mechanism: str
    ) -> None:
        login = sasl_settings(kafka_secured, mechanism) | {"sasl_plain_password": "wrong"}

        with pytest.raises(kafka_python.errors.KafkaTimeoutError):
            kafka_python.KafkaConsumer(
                bootstrap_servers=kafka_secured.sasl_bootstrap_servers,
                security_protocol="SASL_PLAINTEXT",
                bootstrap_timeout_ms=1000,
                **login,
            )

        # kafka-python tries again until its timeout and names no cause; the broker does.
        assert REFUSALS[mechanism] in kafka_secured.log_tail(0, lines=100)

    @pytest.mark.parametrize("mechanism", MECHANISMS)
    def test_password_and_ca_open_the_sasl_listener_over_tls(
        self, kafka_secured: kafka_cluster.KafkaCluster, mechanism: str
    ) -> None:
        login = sasl_settings(kafka_secured, mechanism) | tls_settings(kafka_secured)
        address = kafka_secured.sasl_ssl_bootstrap_servers

        with consumer(address, security_protocol="SASL_SSL", **login) as client:
            assert isinstance(client.topics(), set)

    def test_the_ca_opens_the_tls_listener(self, kafka_secured: kafka_cluster.KafkaCluster) -> None:
        address = kafka_secured.ssl_bootstrap_servers

        with consumer(address, security_protocol="SSL", **tls_settings(kafka_secured)) as client:
            assert isinstance(client.topics(), set)

    def test_without_our_ca_the_broker_is_not_trusted(
        self, kafka_secured: kafka_cluster.KafkaCluster
    ) -> None:
        with pytest.raises(ssl.SSLCertVerificationError):
            shake_hands(kafka_secured.ssl_bootstrap_servers, ssl.create_default_context())

    def test_the_client_certificate_opens_the_mutual_tls_listener(
        self, kafka_secured: kafka_cluster.KafkaCluster
    ) -> None:
        client_files = kafka_secured.security.client
        settings = tls_settings(kafka_secured) | {
            "ssl_certfile": str(client_files.certificate_file),
            "ssl_keyfile": str(client_files.key_file),
        }
        address = kafka_secured.mutual_tls_bootstrap_servers

        with consumer(address, security_protocol="SSL", **settings) as client:
            assert isinstance(client.topics(), set)

    def test_without_a_client_certificate_mutual_tls_is_refused(
        self, kafka_secured: kafka_cluster.KafkaCluster
    ) -> None:
        context = ssl.create_default_context(cafile=kafka_secured.security.ca_file)

        with pytest.raises(ssl.SSLError, match=r"(?i)certificate.required|bad.certificate"):
            shake_hands(kafka_secured.mutual_tls_bootstrap_servers, context)


class TestEnd:
    def test_brokers_and_data_are_gone_when_their_owner_is_killed(self) -> None:
        kafka_distribution.java()
        kafka_distribution.jars()
        command = [sys.executable, "-m", "tests.infrastructure.kafka_cluster", "--brokers", "1"]
        root = Path(__file__).parents[2]
        with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as owner:
            assert owner.stdout is not None
            printed = dict(owner.stdout.readline().strip().split("=", 1) for _ in range(2))
            port = int(printed["bootstrap_servers"].rpartition(":")[2])
            assert local_ports.accepts(port)

            owner.kill()

        waiting.until(lambda: not local_ports.accepts(port), what="the broker is gone", timeout_seconds=10)
        waiting.until(
            lambda: not Path(printed["directory"]).exists(), what="its data are gone", timeout_seconds=10
        )

    def test_an_orderly_stop_leaves_no_directory(self, tmp_path: Path) -> None:
        with kafka_cluster.KafkaCluster(data_root=tmp_path):
            assert list(tmp_path.iterdir())

        assert not list(tmp_path.iterdir())

    def test_a_broker_that_cannot_start_shows_the_end_of_its_log(self, tmp_path: Path) -> None:
        cluster = kafka_cluster.KafkaCluster(data_root=tmp_path, overrides={"num.io.threads": "none"})

        with pytest.raises(kafka_starting.KafkaDidNotStart, match=r"num\.io\.threads"):
            cluster.start()

        assert not list(tmp_path.iterdir())


def sasl_settings(cluster: kafka_cluster.KafkaCluster, mechanism: str) -> dict[str, str]:
    return {
        "sasl_mechanism": mechanism,
        "sasl_plain_username": cluster.security.user,
        "sasl_plain_password": cluster.security.password,
    }


def tls_settings(cluster: kafka_cluster.KafkaCluster) -> dict[str, str]:
    return {"ssl_cafile": str(cluster.security.ca_file)}


def consumer(address: str, **settings: str) -> contextlib.AbstractContextManager[Any]:
    return contextlib.closing(kafka_python.KafkaConsumer(bootstrap_servers=address, **settings))


def shake_hands(address: str, context: ssl.SSLContext) -> None:
    """Connects and reads once: TLS 1.3 tells the client only then that the server refuses it."""
    host, port = address.split(":")
    with (
        socket.create_connection((host, int(port)), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=host) as secured,
    ):
        secured.recv(1)
