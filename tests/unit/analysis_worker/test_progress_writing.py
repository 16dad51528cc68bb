"""Progress is written when what it tells of is in Kafka: acknowledged before it, or committed with it."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Sequence

import pytest

from analysis_worker import progress_writing
from analysis_worker.engine.records import TopicPartition
from analysis_worker.kafka import outbox, ports, progress_log, transactions
from tests.fakes.kafka import FakeKafka
from tests.unit.analysis_worker.in_memory import until

OUT, PROGRESS = "OUT", "module-progress"
PLACE = TopicPartition("POWER", 0)


def a_progress(slot: int = 1, offset: int = 0) -> progress_log.SlotProgress:
    return progress_log.SlotProgress(slot, "owner", 1, {PLACE: offset}, {})


class Written:
    """A writer on a fake, its outbox, and what was due each time that it asked."""

    def __init__(self, kafka: FakeKafka) -> None:
        self.kafka = kafka
        for topic in (OUT, PROGRESS):
            self.kafka.create_topic(topic)
        self.ledger = transactions.Ledger("here", PROGRESS, self._make_sink, self.newest)
        self.acknowledged = 0
        self.asked: list[int] = []

    def _make_sink(self) -> ports.TransactionalSink:
        return self.kafka.transactional_sink("module-owner")

    async def newest(self) -> dict[int, progress_log.SlotProgress]:
        source = self.kafka.source()
        await source.start()
        return await progress_log.load(source, PROGRESS, transactional=True)

    def put(self, box: outbox.Outbox, *values: bytes) -> None:
        for value in values:
            box.put(ports.Message(OUT, b"key", value), self._count)

    def _count(self) -> None:
        self.acknowledged += 1

    def due(self) -> Sequence[progress_log.SlotProgress]:
        """Progress as far as what is acknowledged when it is called."""
        self.asked.append(self.acknowledged)
        return [a_progress(offset=self.acknowledged)]

    def seen(self) -> list[bytes | None]:
        """Outputs that a read_committed reader sees."""
        log = self.kafka.log(TopicPartition(OUT, 0))
        assert log is not None
        return [record.value for record in log.since(0, 1_000)]


@contextlib.asynccontextmanager
async def transacting() -> AsyncIterator[tuple[Written, outbox.Outbox, progress_writing.InTransactions]]:
    made = Written(FakeKafka())
    box = outbox.Outbox(made.ledger.sink, lambda message, reason: None)
    await box.start()
    yield made, box, progress_writing.InTransactions(box, made.ledger)
    await box.close()


# -- with the outputs -------------------------------------------------------------------------------


async def test_a_transaction_has_the_outputs_that_are_settled_and_the_progress_that_tells_of_them() -> None:
    async with transacting() as (made, box, writer):
        assert writer.is_transactional
        made.put(box, b"a", b"b")
        assert await box.flush(5)
        assert made.seen() == []
        (written,) = await writer.write(made.due)
        assert (made.seen(), written.offsets) == ([b"a", b"b"], {PLACE: 2})
        assert await made.newest() == {1: written}


async def test_a_release_whose_answer_was_lost_is_not_written_again() -> None:
    async with transacting() as (made, _, writer):
        released = dataclasses.replace(a_progress(offset=3), released=True)
        made.kafka.fail_next(1, "sink.commit", written=True)
        (written,) = await writer.write(lambda: [released])
        assert (written.offsets, written.released) == (released.offsets, True)
        assert len(made.kafka.records(PROGRESS)) == 1


async def test_what_is_due_is_asked_once_a_batch_under_way_is_settled() -> None:
    async with transacting() as (made, box, writer):
        made.put(box, b"a")
        assert await box.flush(5)
        gate = made.kafka.hold("sink.send")
        made.put(box, b"b")
        await until(lambda: made.kafka.calls["sink.send"] == 2, "a batch is under way")
        writing = asyncio.create_task(writer.write(made.due))
        await asyncio.sleep(0)
        assert made.asked == []
        gate.set()
        await writing
        assert (made.asked, made.seen()) == ([2], [b"a", b"b"])


@pytest.mark.parametrize("written", [True, False])
@pytest.mark.parametrize("operation", ["sink.send", "sink.commit"])
async def test_a_commit_is_tried_until_it_succeeds_and_nothing_is_seen_twice(
    operation: str, written: bool
) -> None:
    async with transacting() as (made, box, writer):
        made.put(box, b"a", b"b")
        assert await box.flush(5)
        made.kafka.fail_next(2, operation, written=written)  # type: ignore[arg-type]
        (entry,) = await writer.write(made.due)
        assert (made.seen(), entry.offsets) == ([b"a", b"b"], {PLACE: 2})
        assert (await made.newest())[1].offsets == {PLACE: 2}


async def test_what_is_due_is_asked_anew_each_time_for_more_may_be_settled_by_then(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with transacting() as (made, box, writer):
        made.put(box, b"a")
        assert await box.flush(5)
        made.kafka.fail_next(1, "sink.commit")
        writing = asyncio.create_task(writer.write(made.due))
        await until(lambda: "not committed yet" in caplog.text, "the first attempt has failed")
        made.put(box, b"b")
        assert await box.flush(5)
        (entry,) = await writing
        assert (made.asked, entry.offsets) == ([1, 2], {PLACE: 2})
        assert made.seen() == [b"a", b"b"]


async def test_an_error_of_its_own_is_not_tried_again() -> None:
    async with transacting() as (_, _, writer):

        def due() -> Sequence[progress_log.SlotProgress]:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await writer.write(due)


# -- after the outputs ------------------------------------------------------------------------------


async def test_acknowledged_progress_is_written_and_each_of_it_waited_for() -> None:
    made = Written(FakeKafka())
    box = outbox.Outbox(made.kafka.sink, lambda message, reason: None)
    await box.start()
    writer = progress_writing.Acknowledged(box, PROGRESS)
    assert not writer.is_transactional
    gate = made.kafka.hold("sink.send")
    entries = [a_progress(slot, 5) for slot in range(3)]
    writing = asyncio.create_task(writer.write(lambda: entries))
    await until(lambda: made.kafka.calls["sink.send"], "it is on its way")
    assert not writing.done()
    gate.set()
    assert await writing == entries
    assert await made.newest() == {entry.slot: entry for entry in entries}
    await box.close()


async def test_without_anything_due_nothing_is_waited_for() -> None:
    made = Written(FakeKafka())
    box = outbox.Outbox(made.kafka.sink, lambda message, reason: None)
    await box.start()
    made.kafka.disconnect()
    async with asyncio.timeout(5):
        assert await progress_writing.Acknowledged(box, PROGRESS).write(list) == []
    await box.close()
