"""While an outbox is held nothing is under way: what was sent is settled, and what comes waits."""

import asyncio
import contextlib

import pytest

from analysis_worker.kafka import outbox, ports
from tests.fakes.kafka import FakeKafka
from tests.unit.analysis_worker.in_memory import until

TOPIC = "OUT"


class Box:
    """A started outbox on a fake."""

    def __init__(self, partitions: int = 1) -> None:
        self.kafka = FakeKafka()
        self.kafka.create_topic(TOPIC, partitions=partitions)
        self.acknowledged: list[int] = []
        self.reconnects = 0
        self.box = outbox.Outbox(self.kafka.sink, lambda message, reason: None, self._reconnected)

    def _reconnected(self) -> None:
        self.reconnects += 1

    def put(self, *numbers: int, key: bytes = b"key") -> None:
        for number in numbers:
            message = ports.Message(TOPIC, key, b"%d" % number)
            self.box.put(message, lambda number=number: self.acknowledged.append(number))  # type: ignore[misc]

    def written(self) -> list[int]:
        return [int(record.value or b"") for record in self.kafka.records(TOPIC)]

    @property
    def sends(self) -> int:
        return self.kafka.calls["sink.send"]


async def started(partitions: int = 1) -> Box:
    made = Box(partitions)
    await made.box.start()
    made.put(0)
    assert await made.box.flush(5)
    return made


async def failed_inside(made: Box, error: Exception) -> ports.Sink:
    """A hold that ends by this error, with a message put meanwhile; the producer that it had."""
    with contextlib.suppress(type(error)):
        async with made.box.held() as sink:
            made.put(1)
            raise error
    return sink


async def turns() -> None:
    """Whatever can go on without anything more has gone on."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_second_hold_at_once_finds_nothing_under_way() -> None:
    made = await started()
    async with made.box.held():
        made.put(1)
        await turns()
    async with made.box.held():
        await turns()
        assert made.sends == 1
    assert await made.box.flush(5)
    await made.box.close()


async def test_while_it_is_held_nothing_is_sent_and_after_that_all_in_order() -> None:
    made = await started()
    async with made.box.held():
        made.put(1, 2)
        made.put(3)
        await turns()
        assert (made.sends, made.box.pending) == (1, 3)
    assert await made.box.flush(5)
    assert made.written() == made.acknowledged == [0, 1, 2, 3]
    await made.box.close()


async def test_every_partition_waits_while_it_is_held() -> None:
    made = await started(partitions=4)
    async with made.box.held():
        for number in range(1, 30):
            made.put(number, key=b"%d" % number)
        await turns()
        assert made.sends == 1
    assert await made.box.flush(5)
    assert sorted(made.written()) == list(range(30))
    await made.box.close()


async def test_a_hold_waits_for_a_batch_under_way_and_then_all_that_was_sent_is_settled() -> None:
    made = await started()
    gate = made.kafka.hold("sink.send")
    made.put(1, 2)
    await until(lambda: made.sends == 2, "a batch is under way")
    made.put(3)
    seen: list[tuple[list[int], list[int]]] = []

    async def hold() -> None:
        async with made.box.held():
            seen.append((made.written(), list(made.acknowledged)))

    holding = asyncio.create_task(hold())
    await turns()
    assert seen == []
    gate.set()
    await holding
    assert seen == [([0, 1, 2], [0, 1, 2])]
    assert await made.box.flush(5)
    assert made.written() == [0, 1, 2, 3]
    await made.box.close()


async def test_a_batch_under_way_that_fails_is_sent_again_after_the_hold() -> None:
    made = await started()
    gate = made.kafka.hold("sink.send")
    made.kafka.fail_next(1, "sink.send")
    made.put(1, 2)
    await until(lambda: made.sends == 2, "a batch is under way")

    async def hold() -> list[int]:
        async with made.box.held():
            await turns()
            return list(made.acknowledged)

    holding = asyncio.create_task(hold())
    await turns()
    gate.set()
    assert await holding == [0]
    assert await made.box.flush(5)
    assert made.written() == [0, 1, 2]
    await made.box.close()


async def test_the_producer_that_is_given_is_the_one_that_sends() -> None:
    made = await started()
    fresh = made.kafka.sink()
    await fresh.start()
    made.box.renew(fresh)
    async with made.box.held() as sink:
        assert sink is fresh
    await made.box.close()


async def test_unavailable_inside_gives_the_producer_up_and_the_next_use_makes_another() -> None:
    made = await started()
    first = await failed_inside(made, ports.KafkaUnavailable("inside"))
    with pytest.raises(ports.KafkaUnavailable, match="closed"):
        await first.partitions(TOPIC)
    async with made.box.held() as second:
        assert second is not first
        assert await second.partitions(TOPIC) == 1
    assert await made.box.flush(5)
    assert made.written() == [0, 1]
    assert (made.kafka.calls["sink.start"], made.reconnects) == (2, 1)
    await made.box.close()


async def test_another_error_inside_leaves_the_producer_as_it_is() -> None:
    made = await started()
    first = await failed_inside(made, ZeroDivisionError())
    async with made.box.held() as second:
        assert second is first
    assert await made.box.flush(5)
    assert made.written() == [0, 1]
    await made.box.close()


@pytest.mark.parametrize("error", [ports.KafkaUnavailable("away"), ports.KafkaRefused("the password")])
async def test_without_a_producer_a_hold_is_unavailable_and_sends_go_on(error: Exception) -> None:
    made = await started()
    await failed_inside(made, ports.KafkaUnavailable("inside"))
    made.kafka.fail_next(1, "sink.start", error)
    with pytest.raises(ports.KafkaUnavailable):
        async with made.box.held():
            raise AssertionError("there is none to give")
    made.put(2)
    assert await made.box.flush(5)
    assert made.written() == [0, 1, 2]
    await made.box.close()


async def test_two_holders_come_one_after_the_other() -> None:
    made = await started()
    order: list[str] = []

    async def hold(name: str, leave: asyncio.Event) -> None:
        async with made.box.held():
            order.append(f"{name} in")
            await leave.wait()
            order.append(f"{name} out")

    first, second = asyncio.Event(), asyncio.Event()
    holding = [asyncio.create_task(hold("a", first)), asyncio.create_task(hold("b", second))]
    second.set()
    await turns()
    assert order == ["a in"]
    made.put(1)
    first.set()
    await asyncio.gather(*holding)
    assert order == ["a in", "a out", "b in", "b out"]
    assert await made.box.flush(5)
    assert made.written() == [0, 1]
    await made.box.close()


async def test_a_hold_that_is_cancelled_while_it_waits_lets_sends_go_on() -> None:
    made = await started()
    gate = made.kafka.hold("sink.send")
    made.put(1)
    await until(lambda: made.sends == 2, "a batch is under way")

    async def hold() -> None:
        async with made.box.held():
            raise AssertionError("the batch is still under way")

    holding = asyncio.create_task(hold())
    await turns()
    holding.cancel()
    await asyncio.wait([holding])
    made.put(2)
    gate.set()
    assert await made.box.flush(5)
    assert made.written() == [0, 1, 2]
    await made.box.close()
