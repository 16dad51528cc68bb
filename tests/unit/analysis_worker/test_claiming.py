"""Slots are taken over once they are let go of, or after a time: then nobody else can write for them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from analysis_worker import claiming
from analysis_worker.engine.records import TopicPartition
from analysis_worker.kafka import ports, progress_log, transactions
from tests.fakes.kafka import FakeKafka
from tests.unit.analysis_worker.in_memory import until

OUT, PROGRESS, GROUP = "OUT", "module-progress", "module"
PLACE = TopicPartition("POWER", 0)
_T = TypeVar("_T")


def a_progress(slot: int, owner: str = "a", **changes: object) -> progress_log.SlotProgress:
    given: dict[str, object] = {"epoch": 4, "offsets": {PLACE: 10 * slot}, "floors": {PLACE: slot}, **changes}
    return progress_log.SlotProgress(slot, owner, **given)  # type: ignore[arg-type]


class Taking:
    """The progress topic, and owner b that takes slots over from it."""

    def __init__(self, *written: progress_log.SlotProgress, transactional: bool = True) -> None:
        self.kafka = FakeKafka()
        for topic in (OUT, PROGRESS):
            self.kafka.create_topic(topic)
        self.write(*written)
        self.attempts = 0
        ids = claiming.Transactional(GROUP, self.kafka.transactional_sink)
        self.claims = claiming.Claims(
            PROGRESS, self.kafka.source, self.reached, ids if transactional else None
        )
        self.transactional = transactional

    def write(self, *entries: progress_log.SlotProgress) -> None:
        for entry in entries:
            message = entry.message(PROGRESS)
            self.kafka.produce(PROGRESS, message.value, key=message.key)

    async def reached(self, attempt: Callable[[], Awaitable[_T]]) -> _T:
        while True:
            try:
                return await attempt()
            except ports.KafkaUnavailable:
                self.attempts += 1
                assert self.attempts < 10
                await asyncio.sleep(0)

    async def take(self, *slots: int, after: float = 0.0) -> dict[int, progress_log.SlotProgress]:
        claimant = claiming.Claimant("b", 2, "process of b")
        async with asyncio.timeout(10):
            return await self.claims.take(slots, claimant, after)

    async def newest(self) -> dict[int, progress_log.SlotProgress]:
        source = self.kafka.source()
        await source.start()
        return await progress_log.load(source, PROGRESS, transactional=self.transactional)

    async def sink_of(self, owner: str) -> ports.TransactionalSink:
        """Its producer, connected."""
        sink = self.kafka.transactional_sink(transactions.transactional_id(GROUP, owner))
        await sink.start()
        return sink


async def is_barred(sink: ports.TransactionalSink) -> bool:
    try:
        await sink.send(OUT, 0, [ports.Message(OUT, None, b"x")])
    except ports.KafkaUnavailable:
        return True
    return False


@pytest.mark.parametrize("transactional", [True, False])
async def test_slots_that_nobody_has_are_taken_at_once_as_they_are(transactional: bool) -> None:
    released, own = a_progress(1, released=True), a_progress(2, "b")
    made = Taking(released, own, a_progress(3), transactional=transactional)
    assert await made.take(1, 2, 7, after=5.0) == {1: released, 2: own}
    assert len(made.kafka.records(PROGRESS)) == 3
    assert not any(source.started for source in made.kafka.sources)


@pytest.mark.parametrize("transactional", [True, False])
async def test_an_owner_that_still_has_a_slot_is_waited_for_and_not_barred(transactional: bool) -> None:
    made = Taking(a_progress(1), a_progress(2), transactional=transactional)
    former = await made.sink_of("a")
    taking = asyncio.create_task(made.take(1, 2, after=30.0))
    reads = len(made.kafka.sources)
    await until(lambda: made.kafka.calls["source.assign"] >= 2, "it has looked twice")
    made.write(a_progress(1, released=True))
    await until(lambda: made.kafka.calls["source.assign"] >= 4, "it has looked again")
    assert not taking.done(), "one of two is not enough"
    later = a_progress(2, offsets={PLACE: 25}, released=True)
    made.write(later)
    assert (await taking)[2] == later
    assert not await is_barred(former)
    assert made.kafka.calls["sink.start"] == 1
    assert len(made.kafka.sources) == reads + 1


async def test_without_transactions_slots_are_just_taken_once_the_time_is_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    made = Taking(a_progress(1), a_progress(2, released=True), transactional=False)
    former = await made.sink_of("a")
    assert await made.take(1, 2) == {1: a_progress(1), 2: a_progress(2, released=True)}
    assert len(made.kafka.records(PROGRESS)) == 2
    assert not await is_barred(former)
    assert "slots [1] were never let go of by their owner; taken over" in caplog.text


async def test_with_transactions_the_former_owner_is_barred_and_the_claim_is_kept() -> None:
    held = a_progress(1, process="process of a", number=17)
    made = Taking(held, a_progress(3, process="process of a"))
    former = await made.sink_of("a")
    await former.send(OUT, 0, [ports.Message(OUT, None, b"under way")])
    claim = a_progress(1, "b", process="process of b")  # of the higher of both epochs
    assert await made.take(1) == {1: claim}
    assert await is_barred(former)
    with pytest.raises(ports.KafkaUnavailable):
        await former.commit()
    assert await made.newest() == {1: claim, 3: a_progress(3, process="process of a")}
    assert made.kafka.records(OUT) == [], "what it had under way is given up"


async def test_a_claim_is_of_the_claimants_epoch_if_that_is_the_higher_one() -> None:
    made = Taking(a_progress(1, epoch=1))
    assert (await made.take(1))[1].epoch == 2


async def test_slots_of_several_owners_are_claimed_from_each() -> None:
    made = Taking(a_progress(1, "a"), a_progress(2, "c"), a_progress(3, "c", released=True))
    formers = [await made.sink_of(owner) for owner in "ac"]
    found = await made.take(1, 2, 3)
    assert {slot: (each.owner, each.released) for slot, each in found.items()} == {
        1: ("b", False),
        2: ("b", False),
        3: ("c", True),
    }
    assert [await is_barred(former) for former in formers] == [True, True]


async def test_what_a_former_owner_committed_before_it_was_barred_counts() -> None:
    made = Taking(a_progress(1))
    former = await made.sink_of("a")
    gate = made.kafka.hold("sink.start")
    taking = asyncio.create_task(made.take(1))
    await until(lambda: made.kafka.calls["sink.start"] == 2, "it is about to bar it")
    await former.send(PROGRESS, 0, [a_progress(1, offsets={PLACE: 77}).message(PROGRESS)])
    await former.commit()
    gate.set()
    assert (await taking)[1].offsets == {PLACE: 77}


async def test_what_a_former_owner_let_go_of_meanwhile_is_not_claimed_from_it() -> None:
    made = Taking(a_progress(1), a_progress(2))
    former = await made.sink_of("a")
    gate = made.kafka.hold("sink.start")
    taking = asyncio.create_task(made.take(1, 2))
    await until(lambda: made.kafka.calls["sink.start"] == 2, "it is about to bar it")
    released = a_progress(2, offsets={PLACE: 55}, released=True)
    await former.send(PROGRESS, 0, [released.message(PROGRESS)])
    await former.commit()
    gate.set()
    found = await taking
    assert (found[1].owner, found[2]) == ("b", released)


async def test_a_former_owner_that_comes_back_in_the_middle_is_barred_once_more() -> None:
    made = Taking(a_progress(1))
    gate = made.kafka.hold("sink.commit")
    taking = asyncio.create_task(made.take(1))
    await until(lambda: made.kafka.calls["sink.commit"], "it is about to claim")
    back = await made.sink_of("a")
    gate.set()
    assert (await taking)[1].owner == "b"
    assert made.attempts == 1
    assert await is_barred(back)


@pytest.mark.parametrize(
    "operation", ["sink.start", "sink.partitions", "sink.send", "sink.commit", "source.poll", "source.bounds"]
)
@pytest.mark.parametrize("written", [True, False])
async def test_what_fails_in_the_middle_of_a_claim_is_tried_again(operation: str, written: bool) -> None:
    made = Taking(a_progress(1), a_progress(2))
    made.kafka.fail_next(1, operation, written=written)  # type: ignore[arg-type]
    claim = a_progress(1, "b", process="process of b")
    assert (await made.take(1, 2))[1] == claim
    assert (await made.newest())[1] == claim
    assert not any(source.started for source in made.kafka.sources[:1])


async def test_newest_is_what_is_committed_and_leaves_no_connection() -> None:
    made = Taking(a_progress(1), a_progress(1, "c", epoch=5))
    assert await made.claims.newest() == {1: a_progress(1, "c", epoch=5)}
    made.kafka.fail_next(1, "source.poll")
    with pytest.raises(ports.KafkaUnavailable):
        await made.claims.newest()
    assert not any(source.started for source in made.kafka.sources)
