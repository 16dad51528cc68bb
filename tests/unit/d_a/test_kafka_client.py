"""The small clients, as far as that needs no broker."""

import pytest

from d_a import kafka_client
from d_a.errors import ConfigurationError, KafkaConnectionError
from tests.infrastructure import local_ports

KAFKA = {"bootstrap_servers": "127.0.0.1:1", "group_id": "g"}


def test_values_are_json_on_both_sides() -> None:
    assert kafka_client.decoded(kafka_client.encoded({"站": [1, None]})) == {"站": [1, None]}
    assert kafka_client.encoded({"站": 1}) == '{"站":1}'.encode()


def test_bytes_go_as_they_are_and_no_json_comes_as_it_is() -> None:
    assert kafka_client.encoded(b"\xff") == b"\xff"
    assert kafka_client.decoded(b"\xff") == b"\xff"
    assert kafka_client.decoded(None) is None


@pytest.mark.parametrize("kind", [kafka_client.KafkaConsumerClient, kafka_client.KafkaProducerClient])
def test_a_synchronous_client_gives_up_after_its_tries(kind: type, caplog: pytest.LogCaptureFixture) -> None:
    port = local_ports.ReservedPort()
    config = {**KAFKA, "bootstrap_servers": f"127.0.0.1:{port.number}"}
    arguments = (["topic"], config) if kind is kafka_client.KafkaConsumerClient else (config,)
    with pytest.raises(KafkaConnectionError, match=f"no Kafka at 127.0.0.1:{port.number}"):
        kind(*arguments, max_retries=3, retry_interval=0.01)
    assert [record.getMessage()[:8] for record in caplog.records] == ["try 1 of", "try 2 of"]
    port.release()


async def test_an_asynchronous_client_that_cannot_connect_says_so() -> None:
    port = local_ports.ReservedPort()
    config = {**KAFKA, "bootstrap_servers": f"127.0.0.1:{port.number}"}
    for client in (
        kafka_client.AsyncKafkaConsumerClient(["topic"], config),
        kafka_client.AsyncKafkaProducerClient(config),
    ):
        with pytest.raises(KafkaConnectionError, match=r"check bootstrap_servers"):
            await client.start()
    port.release()


async def test_use_before_the_start_is_a_runtime_error() -> None:
    consumer = kafka_client.AsyncKafkaConsumerClient(["topic"], KAFKA)
    producer = kafka_client.AsyncKafkaProducerClient(KAFKA, loop=None)
    for use in (consumer.getone, consumer.getmany):
        with pytest.raises(RuntimeError, match=r"AsyncKafkaConsumerClient is not started; await start"):
            await use()
    with pytest.raises(RuntimeError, match="AsyncKafkaProducerClient is not started"):
        await producer.send("topic", {})
    await consumer.stop()
    await producer.stop()


def test_a_wrong_configuration_is_told_with_its_path() -> None:
    with pytest.raises(ConfigurationError, match=r"config\.group_id: is missing"):
        kafka_client.AsyncKafkaConsumerClient(["topic"], {"bootstrap_servers": "k:1"})
    with pytest.raises(ConfigurationError, match=r"config\.producer\.acks"):
        kafka_client.AsyncKafkaProducerClient({"bootstrap_servers": "k:1", "producer": {"acks": 7}})


def test_keys_of_other_clients_are_told_and_left_out(caplog: pytest.LogCaptureFixture) -> None:
    kafka_client.AsyncKafkaProducerClient({"bootstrap_servers": "k:1", "key.serializer": "x"})
    assert "key.serializer is not a setting of these clients" in caplog.text
