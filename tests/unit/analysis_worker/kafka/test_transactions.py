"""What a process writes as its owner is committed with its progress, once, or is another process's to do."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from analysis_worker.engine.records import TopicPartition
from analysis_worker.kafka import partitioning, ports, progress_log, transactions
from tests.fakes.kafka import FakeKafka
from tests.fakes.kafka_clients import FakeTransactionalSink
from tests.unit.analysis_worker.in_memory import until

OUT, PROGRESS, OWNER_ID = "OUT", "module-progress", "module-owner"
PLACE = TopicPartition("POWER", 0)


def a_progress(slot: int = 1, offset: int = 0, **changes: object) -> progress_log.SlotProgress:
    given: dict[str, object] = {"owner": "owner", "epoch": 1, "offsets": {PLACE: offset}, **changes}
    return progress_log.SlotProgress(slot, floors={}, **given)  # type: ignore[arg-type]


class LateSink(FakeTransactionalSink):
    """A producer whose answers come when they are let."""

    def __init__(self, kafka: FakeKafka) -> None:
        super().__init__(kafka, OWNER_ID)
        self.done = 0
        self.answers = asyncio.Event()
        self.answers.set()

    async def send(self, topic: str, partition: int, messages: Sequence[ports.Message]) -> int:
        count = await super().send(topic, partition, messages)
        await self._answered()
        return count

    async def commit(self) -> None:
        await super().commit()
        await self._answered()

    async def _answered(self) -> None:
        self.done += 1
        await self.answers.wait()


class Book:
    """A ledger on a fake, its current sink, and what a read_committed reader sees."""

    def __init__(self, kafka: FakeKafka | None = None, process: str = "here") -> None:
        self.kafka = kafka or FakeKafka()
        for topic, partitions in ((OUT, 2), (PROGRESS, 1)):
            if topic not in self.kafka.topics():
                self.kafka.create_topic(topic, partitions=partitions)
        self.producers: list[LateSink] = []
        self.ended: list[str] = []
        self.ledger = transactions.Ledger(process, PROGRESS, self._make_sink, self.newest, self.ended.append)

    def _make_sink(self) -> LateSink:
        self.producers.append(LateSink(self.kafka))
        return self.producers[-1]

    async def newest(self) -> Mapping[int, progress_log.SlotProgress]:
        source = self.kafka.source()
        await source.start()
        return await progress_log.load(source, PROGRESS, transactional=True)

    async def sink(self) -> transactions.LedgerSink:
        """Another producer, connected."""
        sink = self.ledger.sink()
        await sink.start()
        return sink

    async def write(self, sink: ports.Sink, *values: str, partition: int = 0) -> None:
        messages = [ports.Message(OUT, None, value.encode()) for value in values]
        assert await sink.send(OUT, partition, messages) == len(messages)

    def seen(self, partition: int = 0, topic: str = OUT) -> list[str]:
        """The values that are committed."""
        log = self.kafka.log(TopicPartition(topic, partition))
        assert log is not None
        return [(record.value or b"").decode() for record in log.since(0, 1_000)]

    async def offset(self, slot: int = 1) -> int | None:
        """A slot's progress as it is committed."""
        held = (await self.newest()).get(slot)
        return None if held is None else held.offsets[PLACE]


# -- together, and once -----------------------------------------------------------------------------


async def test_outputs_and_the_progress_that_tells_of_them_become_visible_together() -> None:
    book = Book()
    sink = await book.sink()
    await book.write(sink, "a", "b")
    await book.write(sink, "c", partition=1)
    assert (book.seen(), book.seen(1), book.seen(topic=PROGRESS)) == ([], [], [])
    stamped = await book.ledger.commit(sink, [a_progress(offset=2)])
    assert (book.seen(), book.seen(1), await book.offset()) == (["a", "b"], ["c"], 2)
    assert [(each.process, each.number) for each in stamped] == [("here", 1)]
    assert (await book.newest())[1] == stamped[0]


async def test_each_commit_has_a_number_of_its_own() -> None:
    book = Book()
    sink = await book.sink()
    for number in (1, 2, 3):
        (stamped,) = await book.ledger.commit(sink, [a_progress(offset=number)])
        assert stamped.number == number
    assert book.ended == ["committed"] * 3


async def test_a_commit_of_nothing_writes_nothing() -> None:
    book = Book()
    sink = await book.sink()
    assert await book.ledger.commit(sink, []) == []
    assert (book.kafka.calls["sink.commit"], book.kafka.calls["sink.send"]) == (0, 0)


async def test_after_a_failed_send_another_producer_writes_what_was_noted_again_in_order_and_once() -> None:
    book = Book()
    first = await book.sink()
    await book.write(first, "a", "b")
    await book.write(first, "c")
    await book.write(first, "x", partition=1)
    book.kafka.fail_next(1, "sink.send", written=True)
    with pytest.raises(ports.KafkaUnavailable):
        await book.write(first, "d")
    await first.close()
    second = await book.sink()
    await book.write(second, "d")
    await book.ledger.commit(second, [a_progress(offset=4)])
    assert (book.seen(), book.seen(1)) == (["a", "b", "c", "d"], ["x"])
    assert book.ended == ["given_up", "committed"]


async def test_what_is_written_again_is_written_again_once_more_if_that_producer_is_lost_too() -> None:
    book = Book()
    first = await book.sink()
    await book.write(first, "a")
    second = await book.sink()
    await book.write(second, "b")
    third = await book.sink()
    await book.ledger.commit(third, [a_progress(offset=2)])
    assert book.seen() == ["a", "b"]


async def test_what_found_no_room_in_a_batch_is_not_noted_with_it() -> None:
    book = Book(FakeKafka(batch_bytes=300))
    first = await book.sink()
    messages = [ports.Message(OUT, None, b"%d" % number * 100) for number in range(6)]
    for number in range(6):
        assert await first.send(OUT, 0, messages[number:]) == 1
    book.kafka.batch_bytes = 600
    second = await book.sink()
    await book.ledger.commit(second, [a_progress(offset=6)])
    assert [value[0] for value in book.seen()] == ["0", "1", "2", "3", "4", "5"]


async def test_what_is_too_much_for_one_batch_by_now_is_written_again_in_several() -> None:
    book = Book()
    first = await book.sink()
    await book.write(first, *(f"{number}" * 100 for number in range(6)))
    book.kafka.batch_bytes = 300
    second = await book.sink()
    await book.ledger.commit(second, [a_progress(offset=6)])
    assert [value[0] for value in book.seen()] == ["0", "1", "2", "3", "4", "5"]


async def test_a_start_that_fails_on_the_way_is_closed_and_the_next_one_writes_all_again() -> None:
    book = Book()
    first = await book.sink()
    await book.write(first, "a", "b")
    await book.write(first, "c")
    book.kafka.fail_next(1, "sink.send", written=True)
    broken = book.ledger.sink()
    with pytest.raises(ports.KafkaUnavailable):
        await broken.start()
    with pytest.raises(ports.KafkaUnavailable, match="closed"):
        await broken.send(OUT, 0, [ports.Message(OUT, None, b"x")])
    second = await book.sink()
    await book.ledger.commit(second, [a_progress(offset=3)])
    assert book.seen() == ["a", "b", "c"]


async def test_a_commit_whose_answer_is_lost_is_found_to_be_committed_and_nothing_is_written_again() -> None:
    book = Book()
    first = await book.sink()
    await book.write(first, "a", "b")
    book.kafka.fail_next(1, "sink.commit", written=True)
    with pytest.raises(ports.KafkaUnavailable):
        await book.ledger.commit(first, [a_progress(offset=2)])
    assert book.ended == []
    second = await book.sink()
    assert book.ended == ["committed"]
    await book.write(second, "c")
    await book.ledger.commit(second, [a_progress(offset=3)])
    assert (book.seen(), await book.offset()) == (["a", "b", "c"], 3)


async def test_a_lost_answer_is_found_out_once_though_the_producer_after_it_is_lost_too() -> None:
    book = Book()
    first = await book.sink()
    await book.write(first, "a")
    book.kafka.fail_next(1, "sink.commit", written=True)
    with pytest.raises(ports.KafkaUnavailable):
        await book.ledger.commit(first, [a_progress(offset=1)])
    second = await book.sink()
    await book.write(second, "b")
    third = await book.sink()
    await book.ledger.commit(third, [a_progress(offset=2)])
    assert book.seen() == ["a", "b"]


async def test_a_commit_that_failed_before_it_took_place_is_written_again_and_seen_once() -> None:
    book = Book()
    first = await book.sink()
    await book.ledger.commit(first, [a_progress(offset=0)])
    await book.write(first, "a", "b")
    book.kafka.fail_next(1, "sink.commit")
    with pytest.raises(ports.KafkaUnavailable):
        await book.ledger.commit(first, [a_progress(offset=2)])
    await first.close()
    assert (book.seen(), await book.offset()) == ([], 0)
    second = await book.sink()
    await book.ledger.commit(second, [a_progress(offset=2)])
    assert (book.seen(), await book.offset()) == (["a", "b"], 2)


async def test_outputs_without_new_progress_are_committed_with_a_record_by_which_to_tell() -> None:
    """Else a commit whose answer is lost could not be told from one that never took place."""
    book = Book()
    first = await book.sink()
    await book.ledger.commit(first, [a_progress(1, 5), a_progress(2, 5)])
    await book.write(first, "a")
    book.kafka.fail_next(1, "sink.commit", written=True)
    with pytest.raises(ports.KafkaUnavailable):
        await book.ledger.commit(first, [])
    numbers = {slot: each.number for slot, each in (await book.newest()).items()}
    assert sorted(numbers.values()) == [1, 2]
    second = await book.sink()
    await book.ledger.commit(second, [])
    assert book.seen() == ["a"]


async def test_send_keyed_writes_each_message_to_its_keys_partition_in_batches() -> None:
    kafka = FakeKafka(batch_bytes=250)
    kafka.create_topic(OUT, partitions=5)
    sink = kafka.sink()
    await sink.start()
    await transactions.send_keyed(sink, [])
    assert kafka.calls["sink.partitions"] == 0
    messages = [ports.Message(OUT, b"%d" % (number % 7), b"%d" % number) for number in range(100)]
    await transactions.send_keyed(sink, messages)
    records = kafka.records(OUT)
    assert {r.key: r.partition for r in records} == {
        key: partitioning.partition_of(key, 5) for key in {message.key or b"" for message in messages}
    }
    for key in {record.key for record in records}:
        of_key = [int(record.value or b"") for record in records if record.key == key]
        assert of_key == [n for n in range(100) if b"%d" % (n % 7) == key]


# -- replaced ---------------------------------------------------------------------------------------


async def claimed_by_another(book: Book, *slots: int) -> None:
    """Another process of this owner starts, and says that the slots are its own."""
    sink = book.kafka.transactional_sink(OWNER_ID)
    await sink.start()
    claims = [a_progress(slot, owner="other", process="there") for slot in slots]
    await transactions.send_keyed(sink, [claim.message(PROGRESS) for claim in claims])
    await sink.commit()
    await sink.close()


async def test_once_another_process_has_claimed_a_slot_nothing_is_committed_any_more() -> None:
    book = Book()
    first = await book.sink()
    await book.ledger.commit(first, [a_progress(1), a_progress(2)])
    await book.write(first, "a")
    await claimed_by_another(book, 2)
    with pytest.raises(ports.KafkaUnavailable):
        await book.ledger.commit(first, [a_progress(1, 1)])
    assert not book.ledger.superseded.is_set()
    with pytest.raises(ports.KafkaUnavailable, match=r"as other, has written of the slots \[2\]"):
        await book.sink()
    assert book.ledger.superseded.is_set()
    starts = book.kafka.calls["sink.start"]
    with pytest.raises(ports.KafkaUnavailable, match="place"):
        await book.sink()
    assert book.kafka.calls["sink.start"] == starts, "it bars the other one no more"
    with pytest.raises(ports.KafkaUnavailable, match="place"):
        await book.ledger.commit(first, [a_progress(1, 1)])
    assert (book.seen(), await book.offset(1)) == ([], 0)


async def test_a_former_process_of_the_same_name_is_no_reason_to_give_way() -> None:
    book = Book()
    await claimed_by_another(book, 1, 2, 3)
    sink = await book.sink()
    await book.ledger.commit(sink, [a_progress(1, 1)])
    await book.write(sink, "a")
    again = await book.sink()
    await book.ledger.commit(again, [a_progress(1, 2)])
    assert (book.seen(), book.ledger.superseded.is_set()) == (["a"], False)


async def test_who_gives_way_commits_nothing_from_then_on() -> None:
    book = Book()
    sink = await book.sink()
    await book.write(sink, "a")
    book.ledger.give_way()
    with pytest.raises(ports.KafkaUnavailable):
        await book.ledger.commit(sink, [a_progress(offset=1)])
    await sink.close()
    with pytest.raises(ports.KafkaUnavailable):
        await book.sink()
    assert (book.seen(), book.seen(topic=PROGRESS)) == ([], [])


async def test_an_acknowledgement_that_reaches_a_replaced_producer_does_not_count() -> None:
    book = Book()
    first = await book.sink()
    late = book.producers[0]
    late.answers.clear()
    writing = asyncio.create_task(book.write(first, "a"))
    await until(lambda: late.done, "it is written")
    second = await book.sink()
    late.answers.set()
    with pytest.raises(ports.KafkaUnavailable, match="another producer of this worker"):
        await writing
    await book.write(second, "a")  # as the outbox does
    await book.ledger.commit(second, [a_progress(offset=1)])
    assert book.seen() == ["a"]


async def test_a_commit_that_ends_by_a_replaced_producer_counts_as_its_successor_has_found_it() -> None:
    book = Book()
    first = await book.sink()
    await book.ledger.commit(first, [a_progress()])
    await book.write(first, "a")
    late = book.producers[0]
    late.answers.clear()
    ending = asyncio.create_task(book.ledger.commit(first, [a_progress(offset=1)]))
    sent = late.done
    await until(lambda: late.done == sent + 1, "its progress is sent")
    late.answers.set()
    late.answers.clear()
    await until(lambda: late.done == sent + 2, "it is committed")
    second = await book.sink()
    assert book.ended == ["committed"] * 2
    await book.write(second, "b")
    late.answers.set()
    with pytest.raises(ports.KafkaUnavailable, match="another producer of this worker"):
        await ending
    third = await book.sink()
    await book.ledger.commit(third, [a_progress(offset=2)])
    assert book.seen() == ["a", "b"], "what was noted since is not forgotten with the late answer"


async def test_slots_that_were_let_go_of_are_another_process_without_harm() -> None:
    book = Book()
    sink = await book.sink()
    await book.ledger.commit(sink, [a_progress(1), a_progress(2)])
    await book.ledger.commit(sink, [a_progress(2, 4, released=True)])
    await claimed_by_another(book, 2)
    again = await book.sink()
    await book.write(again, "a")
    await book.ledger.commit(again, [a_progress(1, 1)])
    assert (book.seen(), book.ledger.superseded.is_set()) == (["a"], False)


async def test_a_slot_that_was_let_go_of_tells_of_no_commit_any_more() -> None:
    book = Book()
    sink = await book.sink()
    await book.ledger.commit(sink, [a_progress(1), a_progress(2)])
    await book.ledger.commit(sink, [a_progress(1, 4, released=True)])
    await book.write(sink, "a")
    (stamped,) = await book.ledger.commit(sink, [])
    assert (stamped.slot, stamped.released) == (2, False)
