"""Progress tells what is done beyond the first open offset, and in transactions whose the slots are."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

from analysis_module import slots as slot_math
from analysis_worker import committing, progress_writing
from analysis_worker.engine.records import TopicPartition
from analysis_worker.kafka import outbox, progress_log, transactions
from tests.fakes.kafka import FakeKafka
from tests.unit.analysis_worker.feeding_on_fake import Fed, progress_of, windows
from tests.unit.analysis_worker.in_memory import INPUT, OUTPUT, until

PROGRESS = "module-progress"
PLACE = TopicPartition(INPUT, 0)


def stations_of(slot: int, count: int) -> list[str]:
    names = (f"S{number}" for number in range(100_000))
    found = (name for name in names if slot_math.slot_of(name, 64) == slot)
    return [next(found) for _ in range(count)]


LATE, EARLY = stations_of(1, 2)


class Gated:
    """The windows as results; of one station only once it is let."""

    def __init__(self, station: str = LATE) -> None:
        self.station = station
        self.gate = threading.Event()

    def __call__(self, station_id: str, module_input: Mapping[str, Any]) -> list[Any]:
        if station_id == self.station:
            self.gate.wait(10.0)
        return windows(station_id, module_input)


class Committed:
    """A fed module and its committer, with transactions or without."""

    def __init__(self, fed: Fed, *, transactional: bool = False, process: str = "here") -> None:
        self.fed = fed
        if PROGRESS not in fed.cluster.topics():
            fed.cluster.create_topic(PROGRESS)
        ledger = transactions.Ledger(
            process, PROGRESS, lambda: fed.cluster.transactional_sink("module-0"), self.written
        )
        self.transactional = transactional
        if transactional:
            fed.box = outbox.Outbox(ledger.sink, lambda message, reason: None)
        self.committer = committing.Committer(
            fed.engine,
            progress_writing.InTransactions(fed.box, ledger)
            if transactional
            else progress_writing.Acknowledged(fed.box, PROGRESS),
            owner="module-0",
        )
        self.committer.epoch = 3

    async def commit(self) -> None:
        await self.committer.commit([self.fed.feed])

    async def written(self) -> dict[int, progress_log.SlotProgress]:
        """The newest progress of every slot, as another worker would find it."""
        source = self.fed.cluster.source()
        await source.start()
        found = await progress_log.load(source, PROGRESS, transactional=self.transactional)
        await source.close()
        return found

    async def quiet(self, left: int) -> None:
        """Wait until all but so many triggers are answered, and the answers are sent."""
        fed = self.fed
        await until(
            lambda: sum(p.progress.outstanding for p in fed.feed.parts.values()) == left,
            f"{left} offsets are left",
        )


@contextlib.asynccontextmanager
async def committed(
    cluster: FakeKafka,
    *held: progress_log.SlotProgress,
    callback: Any = windows,
    slots: Iterable[int] = (1,),
    **options: Any,
) -> AsyncIterator[Committed]:
    fed = Fed(cluster, slots=slots, callback=callback)
    made = Committed(fed, **options)
    async with fed.begun(*held):
        made.committer.remember({progress.slot: progress for progress in held})
        try:
            yield made
        finally:
            if isinstance(callback, Gated):
                callback.gate.set()


def a_stream(count: int, *stations: str) -> FakeKafka:
    """Records of these stations in turn, each station's powers counted from 1."""
    cluster = FakeKafka()
    cluster.create_topic(INPUT)
    for number in range(1, count + 1):
        for station in stations:
            cluster.produce(INPUT, {"stationId": station, "power": number})
    return cluster


def outputs(cluster: FakeKafka) -> list[tuple[str, Any]]:
    values = [record.json() for record in cluster.records(OUTPUT)]
    return [(value["stationId"], value["output"]) for value in values]


# -- beyond the first open offset -------------------------------------------------------------------


async def test_a_commit_tells_what_is_done_beyond_the_first_offset_that_is_not() -> None:
    slow = Gated()
    async with committed(a_stream(4, EARLY, LATE), callback=slow, slots=[1, 2]) as made:
        await made.fed.live()
        await made.quiet(4)
        await made.commit()
        written = await made.written()
    assert written[1].offsets == {PLACE: 1}
    assert written[1].ahead == {PLACE: progress_log.Ahead(8, {LATE: 1})}
    assert (written[2].offsets, written[2].ahead) == ({PLACE: 8}, {})


async def test_what_moves_only_beyond_the_first_open_offset_is_written_too() -> None:
    slow = Gated()
    cluster = a_stream(1, LATE, EARLY)
    async with committed(cluster, callback=slow) as made:
        await made.fed.live()
        await made.quiet(1)
        await made.commit()
        cluster.produce(INPUT, {"stationId": EARLY, "power": 2})
        await made.fed.feed.step()
        await made.quiet(1)
        await made.commit()
        assert (await made.written())[1].ahead == {PLACE: progress_log.Ahead(3, {LATE: 0})}
        slow.gate.set()
        await made.quiet(0)
        await made.commit()
        written = (await made.written())[1]
    assert (written.offsets, written.ahead) == ({PLACE: 3}, {})


async def test_a_restart_calls_exactly_what_was_not_done_and_by_the_windows_of_then() -> None:
    slow = Gated()
    cluster = a_stream(4, EARLY, LATE)
    async with committed(cluster, callback=slow, transactional=True) as made:
        await made.fed.live()
        await made.quiet(4)
        await made.commit()
        held = await made.written()
        assert outputs(cluster) == [(EARLY, [max(0, n - 2), max(0, n - 1), n]) for n in range(1, 5)]
        await made.fed.box.close()
    async with committed(cluster, *held.values(), transactional=True, process="there") as made:
        await made.fed.live()
        cluster.produce(INPUT, {"stationId": EARLY, "power": 5})
        while made.fed.part().progress.position < 9:
            await made.fed.feed.step()
        await made.quiet(0)
        await made.commit()
        assert (await made.written())[1].offsets == {PLACE: 9}
    again = outputs(cluster)[4:]
    assert [window for station, window in again if station == LATE] == [
        [0, 0, 1],
        [0, 1, 2],
        [1, 2, 3],
        [2, 3, 4],
    ]
    assert [window for station, window in again if station == EARLY] == [[3, 4, 5]]


# -- letting go -------------------------------------------------------------------------------------


async def test_a_slot_that_leaves_is_in_every_commit_until_it_is_released_and_not_after() -> None:
    slow = Gated()
    cluster = a_stream(2, LATE, EARLY)
    async with committed(cluster, callback=slow, slots=[1, 2], transactional=True) as made:
        await made.fed.live()
        left = made.fed.feed.lose([1])
        release = asyncio.create_task(made.committer.release(left, [1], 10.0))
        await until(lambda: len(left[PLACE][1][1]) == 2, "two are left")
        await made.commit()
        meanwhile = (await made.written())[1]
        assert (meanwhile.released, meanwhile.ahead) == (False, {PLACE: progress_log.Ahead(4, {LATE: 0})})
        assert len(outputs(cluster)) == 2
        slow.gate.set()
        assert await release
        released = (await made.written())[1]
        assert (released.released, released.offsets, released.ahead) == (True, {PLACE: 4}, {})
        count = sum(record.key == b"1" for record in cluster.records(PROGRESS))
        cluster.produce(INPUT, {"stationId": stations_of(2, 1)[0], "power": 1})
        await made.fed.feed.step()
        await made.quiet(0)
        await made.commit()
        assert (await made.written())[2].offsets == {PLACE: 5}
        assert sum(record.key == b"1" for record in cluster.records(PROGRESS)) == count


async def test_in_transactions_a_slot_is_not_let_go_of_while_something_of_it_is_under_way() -> None:
    slow = Gated()
    async with committed(a_stream(2, LATE), callback=slow, transactional=True) as made:
        await made.fed.live()
        await made.commit()
        before = await made.written()
        left = made.fed.feed.lose([1])
        assert not await made.committer.release(left, [1], 0.02)
        assert await made.written() == before
        assert not before[1].released


async def test_a_release_tells_of_nothing_ahead_for_nothing_is_left() -> None:
    async with committed(a_stream(3, LATE, EARLY), transactional=True) as made:
        await made.fed.live()
        await made.quiet(0)
        left = made.fed.feed.lose([1])
        assert await made.committer.release(left, [1], 5.0)
        written = (await made.written())[1]
        assert (written.released, written.offsets, written.ahead) == (True, {PLACE: 6}, {})
        assert len(outputs(made.fed.cluster)) == 6


# -- whose they are ---------------------------------------------------------------------------------


async def test_in_transactions_a_start_claims_the_slots_that_were_held_and_those_that_are_new() -> None:
    ahead = {PLACE: progress_log.Ahead(4, {LATE: 2})}
    held = progress_log.SlotProgress(1, "another", 7, {PLACE: 2}, {PLACE: 0}, released=True, ahead=ahead)
    mine = progress_of(2, 1)
    cluster = a_stream(3, LATE, EARLY)
    async with committed(cluster, held, mine, slots=[1, 2, 3], transactional=True) as made:
        await made.committer.initial(made.fed.feed)
        written = await made.written()
    assert {slot: (p.owner, p.process, p.released) for slot, p in written.items()} == dict.fromkeys(
        (1, 2, 3), ("module-0", "here", False)
    )
    assert (written[1].offsets, written[1].ahead) == (held.offsets, held.ahead), "as far as it was"
    assert {slot: p.epoch for slot, p in written.items()} == {1: 7, 2: 3, 3: 3}
    assert written[3].offsets == {PLACE: 0}


async def test_without_transactions_a_start_claims_nothing_that_is_held() -> None:
    async with committed(a_stream(3, LATE), progress_of(1, 2), slots=[1]) as made:
        await made.committer.initial(made.fed.feed)
        assert made.fed.cluster.records(PROGRESS) == []


async def test_in_transactions_what_has_not_moved_is_not_written_again() -> None:
    async with committed(a_stream(2, LATE), slots=[1, 2], transactional=True) as made:
        await made.fed.live()
        await made.quiet(0)
        await made.commit()
        count, sends = len(made.fed.cluster.records(PROGRESS)), made.fed.cluster.calls["sink.send"]
        await made.commit()
        assert len(made.fed.cluster.records(PROGRESS)) == count
        assert made.fed.cluster.calls["sink.send"] == sends
