"""The outbox writes every message at least once and in order, whatever the brokers do meanwhile."""

import asyncio
import collections
import logging

import pytest

from analysis_worker.kafka import outbox, partitioning, ports
from tests.fakes.kafka import FakeKafka
from tests.unit.analysis_worker.in_memory import until

TOPIC = "OUT"


class Box:
    """An outbox on a fake, and what it told."""

    def __init__(
        self,
        *,
        partitions: int = 1,
        batch_bytes: int = 512 * 1024,
        config: str = "",
        stuck_seconds: float = 10.0,
    ) -> None:
        self.kafka = FakeKafka(batch_bytes=batch_bytes)
        self.kafka.create_topic(TOPIC, partitions=partitions, config=_config(config))
        self.refused: list[tuple[ports.Message, str]] = []
        self.acknowledged: list[bytes | None] = []
        self.reconnects = 0
        self.box = outbox.Outbox(
            self.kafka.sink, self._refused, self._reconnected, stuck_seconds=stuck_seconds
        )

    def _refused(self, message: ports.Message, reason: str) -> None:
        self.refused.append((message, reason))

    def _reconnected(self) -> None:
        self.reconnects += 1

    def put(self, value: bytes, key: bytes | None = b"key", topic: str = TOPIC) -> None:
        self.box.put(ports.Message(topic, key, value), lambda: self.acknowledged.append(value))

    def put_numbers(self, first: int, last: int, key: bytes | None = b"key") -> None:
        for number in range(first, last + 1):
            self.put(str(number).encode(), key)

    def written(self, topic: str = TOPIC) -> list[int]:
        return [int(record.value or b"") for record in self.kafka.records(topic)]


def _config(text: str) -> dict[str, str]:
    return dict(pair.split("=") for pair in text.split() if pair)


async def test_messages_of_a_key_are_written_in_order_and_each_is_acknowledged() -> None:
    made = Box(partitions=4)
    await made.box.start()
    made.put_numbers(1, 2_000)
    assert await made.box.flush(5)
    assert made.written() == list(range(1, 2_001))
    assert [int(value or b"") for value in made.acknowledged] == list(range(1, 2_001))
    assert made.box.pending == 0
    await made.box.close()


async def test_a_message_goes_to_the_partition_that_its_key_has_everywhere_in_kafka() -> None:
    made = Box(partitions=7)
    await made.box.start()
    for station in range(50):
        made.put(b"1", f"S{station}".encode())
    assert await made.box.flush(5)
    for record in made.kafka.records(TOPIC):
        assert record.partition == partitioning.partition_of(record.key or b"", 7)
    await made.box.close()


async def test_messages_without_a_key_are_spread_over_the_partitions() -> None:
    made = Box(partitions=4)
    await made.box.start()
    made.put_numbers(1, 200, key=None)
    assert await made.box.flush(5)
    assert {record.partition for record in made.kafka.records(TOPIC)} == {0, 1, 2, 3}
    await made.box.close()


async def test_messages_that_come_while_a_batch_is_under_way_go_together_in_the_next() -> None:
    made = Box()
    await made.box.start()
    gate = made.kafka.hold("sink.send")
    made.put_numbers(1, 1)
    await until(lambda: made.kafka.calls["sink.send"] == 1, "the first batch is under way")
    made.put_numbers(2, 300)
    gate.set()
    assert await made.box.flush(5)
    assert made.kafka.calls["sink.send"] == 2
    assert made.written() == list(range(1, 301))
    await made.box.close()


async def test_after_a_failed_send_a_new_producer_sends_the_same_messages_again_in_order() -> None:
    made = Box()
    await made.box.start()
    made.kafka.fail_next(2, "sink.send")
    made.put_numbers(1, 500)
    assert await made.box.flush(5)
    assert made.written() == list(range(1, 501))
    assert made.kafka.calls["sink.start"] == 3
    assert made.reconnects == 2
    await made.box.close()


async def test_after_a_lost_acknowledgement_messages_are_written_twice_rather_than_not_at_all() -> None:
    made = Box()
    await made.box.start()
    made.kafka.fail_next(1, "sink.send", written=True)
    made.put_numbers(1, 100)
    assert await made.box.flush(5)
    assert collections.Counter(made.written()) == dict.fromkeys(range(1, 101), 2)
    assert len(made.acknowledged) == 100
    await made.box.close()


async def test_messages_wait_for_brokers_that_are_away_and_none_is_lost() -> None:
    made = Box(partitions=3)
    await made.box.start()
    made.put(b"0")
    assert await made.box.flush(5)
    made.kafka.disconnect()
    for number in range(1, 101):
        made.put(str(number).encode(), f"S{number % 10}".encode())
    await until(lambda: made.kafka.calls["sink.start"] > 1, "it tries to connect anew")
    assert not made.box.connected
    assert not await made.box.flush(0.01)
    assert made.acknowledged == [b"0"]
    made.kafka.reconnect()
    assert await made.box.flush(10)
    assert sorted(made.written()) == list(range(101))
    assert made.box.connected
    await made.box.close()


async def test_a_topic_that_takes_nothing_is_told_while_others_go_on() -> None:
    made = Box(stuck_seconds=0.0)
    await made.box.start()
    made.put(b"0")
    assert await made.box.flush(5)
    assert made.box.connected
    made.put(b"1", topic="missing")
    await until(lambda: made.box.stuck_topics() == ["missing"], "it is told")
    assert not made.box.connected
    made.put(b"2")
    await until(lambda: made.written() == [0, 2], "another topic goes on")
    assert made.box.stuck_topics() == ["missing"]
    made.kafka.create_topic("missing")
    assert await made.box.flush(5)
    assert made.box.connected
    await made.box.close()


async def test_a_partition_that_takes_nothing_is_told_by_its_topic() -> None:
    made = Box(stuck_seconds=0.0)
    await made.box.start()
    gate = made.kafka.hold("sink.send")
    made.put(b"0")
    await until(lambda: made.box.stuck_topics() == [TOPIC], "it is told")
    gate.set()
    assert await made.box.flush(5)
    assert made.box.connected
    await made.box.close()


async def test_a_message_too_large_is_refused_alone_and_its_neighbours_pass_in_order() -> None:
    made = Box(config="max.message.bytes=1000")
    await made.box.start()
    gate = made.kafka.hold("sink.send")
    made.put_numbers(1, 3)
    made.put(b"x" * 2_000)
    made.put_numbers(4, 6)
    gate.set()
    assert await made.box.flush(5)
    assert made.written() == [1, 2, 3, 4, 5, 6]
    ((message, reason),) = made.refused
    assert message.value == b"x" * 2_000
    assert "1000 bytes" in reason
    assert len(made.acknowledged) == 7
    await made.box.close()


async def test_a_batch_that_only_together_is_too_large_is_sent_in_parts() -> None:
    made = Box(config="max.message.bytes=500")
    await made.box.start()
    gate = made.kafka.hold("sink.send")
    made.put_numbers(1, 40)
    gate.set()
    assert await made.box.flush(5)
    assert (made.written(), made.refused) == (list(range(1, 41)), [])
    await made.box.close()


async def test_what_a_batch_has_no_room_for_goes_with_the_next_one() -> None:
    made = Box(batch_bytes=1_000)
    await made.box.start()
    made.put_numbers(1, 100)
    assert await made.box.flush(5)
    assert made.written() == list(range(1, 101))
    await made.box.close()


async def test_credentials_refused_on_the_way_hold_the_messages_back_and_drop_none() -> None:
    made = Box()
    await made.box.start()
    made.kafka.fail_next(1, "sink.send")
    made.kafka.fail_next(2, "sink.start", ports.KafkaRefused("the password has changed"))
    made.put_numbers(1, 20)
    assert await made.box.flush(5)
    assert (made.written(), made.refused) == (list(range(1, 21)), [])
    await made.box.close()


async def test_messages_for_a_missing_topic_wait_for_it_and_the_log_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    made = Box()
    await made.box.start()
    with caplog.at_level(logging.WARNING, "analysis_worker"):
        made.put(b"1", topic="LATE")
        made.put(b"2", topic="LATE")
        await until(lambda: "LATE" in caplog.text, "the log names the topic")
    made.put(b"7")
    await until(lambda: made.written() == [7], "another topic is not held up")
    made.kafka.create_topic("LATE")
    assert await made.box.flush(5)
    assert made.written("LATE") == [1, 2]
    await made.box.close()


async def test_a_held_up_partition_holds_up_no_other() -> None:
    made = Box(partitions=2)
    keys = {partitioning.partition_of(key, 2): key for key in (b"a", b"b", b"c", b"d")}
    await made.box.start()
    made.kafka.create_topic("FULL", config={})
    made.put(b"0", keys[0])
    assert await made.box.flush(5)
    made.kafka.fail_next(3, "sink.send")
    made.put_numbers(1, 10, keys[0])
    made.put_numbers(11, 20, keys[1])
    assert await made.box.flush(10)
    assert sorted(made.written()) == list(range(21))
    await made.box.close()


async def test_a_defect_in_the_client_costs_no_message() -> None:
    made = Box()
    await made.box.start()
    made.kafka.fail_next(1, "sink.send", TypeError("a defect"))
    made.put_numbers(1, 10)
    assert await made.box.flush(5)
    assert made.written() == list(range(1, 11))
    await made.box.close()


async def test_a_close_leaves_what_is_pending_unacknowledged() -> None:
    made = Box()
    await made.box.start()
    made.kafka.disconnect()
    made.put_numbers(1, 5)
    await asyncio.sleep(0)
    await made.box.close()
    assert (made.acknowledged, made.written(), made.box.pending) == ([], [], 5)
    assert not made.box.connected


async def test_what_is_put_after_a_close_is_not_sent() -> None:
    made = Box()
    await made.box.start()
    await made.box.close()
    made.put(b"late")
    await asyncio.sleep(0)
    assert (made.written(), made.acknowledged) == ([], [])
    assert made.kafka.calls["sink.start"] == 1


async def test_a_start_without_brokers_is_unavailable() -> None:
    made = Box()
    made.kafka.disconnect()
    with pytest.raises(ports.KafkaUnavailable):
        await made.box.start()
    assert not made.box.connected


# -- another producer -------------------------------------------------------------------------------


async def test_another_producer_sends_what_comes_once_the_former_has_ended_its_batch() -> None:
    made = Box()
    await made.box.start()
    gate = made.kafka.hold("sink.send")
    made.put_numbers(1, 200)
    await until(lambda: made.kafka.calls["sink.send"] == 1, "a batch is under way")
    fresh = made.kafka.sink()
    await fresh.start()
    ended = made.box.renew(fresh)
    made.put_numbers(201, 400)
    await asyncio.sleep(0)
    assert not ended.is_set(), "while a batch of the former one is under way"
    gate.set()
    assert await made.box.flush(5)
    async with asyncio.timeout(5):
        await ended.wait()
    assert made.written() == list(range(1, 401))
    assert made.kafka.calls["sink.start"] == 2
    assert made.reconnects == 0
    await made.box.close()


async def test_a_producer_made_after_a_failure_gives_way_to_one_that_has_come_meanwhile() -> None:
    made = Box()
    await made.box.start()
    made.kafka.fail_next(1, "sink.send")
    fresh = made.kafka.sink()
    await fresh.start()
    gate = made.kafka.hold("sink.start")
    made.put_numbers(1, 100)
    await until(lambda: made.kafka.calls["sink.start"] == 3, "another one is being made")
    ended = made.box.renew(fresh)
    assert ended.is_set(), "there is no former one to end"
    gate.set()
    assert await made.box.flush(5)
    assert made.written() == list(range(1, 101))
    assert made.reconnects == 0
    await made.box.close()


async def test_a_batch_of_the_former_producer_that_fails_is_sent_by_the_other_one() -> None:
    made = Box()
    await made.box.start()
    gate = made.kafka.hold("sink.send")
    made.kafka.fail_next(1, "sink.send")
    made.put_numbers(1, 100)
    await until(lambda: made.kafka.calls["sink.send"] == 1, "a batch is under way")
    fresh = made.kafka.sink()
    await fresh.start()
    ended = made.box.renew(fresh)
    gate.set()
    assert await made.box.flush(5)
    assert ended.is_set()
    assert made.written() == list(range(1, 101))
    assert made.kafka.calls["sink.start"] == 2
    await made.box.close()


async def test_a_close_ends_the_former_producer_whatever_it_has_under_way() -> None:
    made = Box()
    await made.box.start()
    made.kafka.hold("sink.send")
    made.put_numbers(1, 100)
    await until(lambda: made.kafka.calls["sink.send"] == 1, "a batch is under way")
    former, fresh = made.box._sink, made.kafka.sink()
    assert former is not None
    await fresh.start()
    made.box.renew(fresh)
    await made.box.close()
    for sink in (former, fresh):
        with pytest.raises(ports.KafkaUnavailable, match="closed"):
            await sink.partitions(TOPIC)
