"""Whole workers of ExactlyOnce on Kafka in memory: each output is seen once, whatever is lost or replaced."""

import asyncio
import collections
import contextlib
import random
import threading
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from analysis_module import names
from analysis_worker import service
from analysis_worker.engine.records import TopicPartition
from analysis_worker.kafka import partitioning
from analysis_worker.settings import Settings
from tests.fakes.cluster import FakeRecord
from tests.fakes.faults import Operation
from tests.fakes.kafka import FakeKafka
from tests.unit.analysis_worker.in_memory import DEAD_LETTERS, OUTPUT, until
from tests.unit.analysis_worker.serving import SLOTS, Serving, stations_of

ALL = stations_of(range(SLOTS), each=1)
QUICK = Settings(
    commit_interval_seconds=0.005,
    stop_within_seconds=0.3,
    connect_within_seconds=5.0,
    takeover_after_seconds=0.3,
    release_within_seconds=5.0,
)


class Exactly(Serving):
    """A module of ExactlyOnce, and its outputs as a read_committed reader sees them."""

    def __init__(self, partitions: int = 2, **spec: Any) -> None:
        super().__init__(partitions=partitions, delivery="ExactlyOnce", **spec)

    def committed(self, topic: str = OUTPUT) -> list[FakeRecord]:
        places = (TopicPartition(topic, n) for n in range(self.cluster.partition_count(topic)))
        logs = filter(None, map(self.cluster.log, places))
        return [record for log in logs for record in log.since(0, 1_000_000)]

    @property
    def outputs(self) -> list[tuple[str, Any]]:
        values = [record.json() for record in self.committed()]
        return [(value["stationId"], value["output"]) for value in values]

    @property
    def output_count(self) -> int:
        return len(self.committed())

    def assert_each_once(self) -> None:
        """Every record has one output that is seen, of the right window, and no id is there twice."""
        self.assert_exact()
        ids = [dict(record.headers)[names.HEADER_OUTPUT_ID] for record in self.committed()]
        assert len(ids) == len(set(ids)) == sum(self.sent.values())


@contextlib.asynccontextmanager
async def started(serving: Serving, *told: Any, **options: Any) -> AsyncIterator[service.Worker]:
    worker = serving.worker(*told, **{"settings": QUICK, **options})
    try:
        await worker.start()
        await asyncio.sleep(0)
        yield worker
    finally:
        await worker.stop()


async def crash(cluster: FakeKafka, worker: service.Worker) -> None:
    """Nothing more is sent or committed; what it has open is given up."""
    cluster.disconnect()
    await worker.stop()
    cluster.reconnect()


async def slow(station_id: str, module_input: Mapping[str, Any]) -> list[Any]:
    await asyncio.sleep(random.random() / 500)
    return list(module_input["power_window"])


class Gated:
    """A callback that ends once it is let, but for stations other than these."""

    def __init__(self, *stations: str) -> None:
        self.stations = stations
        self.gate = threading.Event()
        self.entered = threading.Event()

    def __call__(self, station_id: str, module_input: Mapping[str, Any]) -> list[Any]:
        if station_id in self.stations:
            self.entered.set()
            self.gate.wait(20.0)
        return list(module_input["power_window"])


# -- faults and crashes -----------------------------------------------------------------------------


async def test_outputs_are_seen_once_they_are_committed_and_each_once() -> None:
    serving = Exactly()
    async with started(serving) as worker:
        serving.send(ALL, 20)
        await serving.all_out()
        await until(lambda: worker.committer.committed_at is not None, "all is committed")
    serving.assert_each_once()


async def test_a_restart_in_order_doubles_nothing() -> None:
    serving = Exactly()
    for _ in range(3):
        async with started(serving):
            serving.send(ALL, 10)
            await serving.all_out()
    serving.assert_each_once()


FAULTS: list[tuple[Operation, bool]] = [
    ("sink.send", False),
    ("sink.send", True),
    ("sink.commit", False),
    ("sink.commit", True),
    ("sink.start", False),
]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("callback", [None, slow])
async def test_under_faults_crashes_and_restarts_each_output_is_seen_once(seed: int, callback: Any) -> None:
    serving = Exactly()
    chance = random.Random(seed)
    for life in range(4):
        async with started(serving, callback=callback) as worker:
            before = sum(serving.sent.values())
            for _ in range(15):
                serving.send(ALL, 2)
                if chance.random() < 0.2:
                    operation, written = chance.choice(FAULTS)
                    serving.cluster.fail_next(1, operation, written=written)
                await asyncio.sleep(chance.random() / 200)
            if life < 3:
                await serving.some_out(before + int(30 * len(ALL) * chance.random() ** 2))
                await crash(serving.cluster, worker)
            else:
                await serving.all_out()
            assert worker.failure is None
    serving.assert_each_once()


async def test_a_station_that_is_stuck_at_a_crash_is_called_again_and_no_other() -> None:
    serving = Exactly()
    stations = stations_of(range(SLOTS), each=2)  # so that its slot has one that is not stuck
    stuck = Gated(stations[0])
    serving.send(stations, 5)
    async with started(serving, callback=stuck) as worker:
        await serving.some_out(5 * (len(stations) - 1))
        await crash(serving.cluster, worker)
        stuck.gate.set()
    calls: collections.Counter[str] = collections.Counter()

    def counting(station_id: str, module_input: Mapping[str, Any]) -> list[Any]:
        calls[station_id] += 1
        return list(module_input["power_window"])

    async with started(serving, callback=counting):
        await serving.all_out()
    assert calls == {stations[0]: 5}
    serving.assert_each_once()


async def test_dead_letters_are_seen_once_over_crashes() -> None:
    serving = Exactly(partitions=1)
    for life in range(3):
        async with started(serving) as worker:
            for _ in range(20):
                serving.cluster.produce("POWER", b"broken", partition=0)
                serving.send(ALL[:1])
            await until(
                lambda life=life: len(serving.committed(DEAD_LETTERS)) >= 20 * life + 10,  # type: ignore[misc]
                "half of the letters",
            )
            await crash(serving.cluster, worker)
    async with started(serving):
        await until(lambda: len(serving.committed(DEAD_LETTERS)) >= 60, "all letters")
        await serving.all_out()
    origins = [dict(letter.headers)["dead-letter-offset"] for letter in serving.committed(DEAD_LETTERS)]
    assert len(origins) == len(set(origins)) == 60
    serving.assert_each_once()


# -- replaced ---------------------------------------------------------------------------------------


async def test_a_worker_that_another_of_its_owner_replaces_ends_and_writes_nothing_more() -> None:
    serving = Exactly()
    stuck = Gated(*ALL)
    async with started(serving, callback=stuck) as first:
        serving.send(ALL, 5)
        await until(stuck.entered.is_set, "the first one's callbacks run")
        async with started(serving):
            await serving.all_out()
            stuck.gate.set()
            await until(first.stopped.is_set, "the first one ends")
            assert isinstance(first.failure, service.Superseded)
            assert first.state == "failed"
            serving.send(ALL, 5)
            await serving.all_out()
    serving.assert_each_once()


async def test_slots_of_an_owner_that_does_not_answer_are_taken_over_and_it_ends_when_it_wakes() -> None:
    serving = Exactly()
    stuck = Gated(*ALL)
    mine, theirs = range(4), range(4, SLOTS)
    async with started(serving, serving.told("a"), callback=stuck) as a:
        serving.send(ALL, 5)
        await until(stuck.entered.is_set, "its callbacks run")
        async with started(serving, serving.told("b", theirs, 1)):
            await serving.some_out(5 * len(stations_of(theirs, each=1)))
            stuck.gate.set()
            await until(a.stopped.is_set, "a ends")
            assert isinstance(a.failure, service.Superseded)
            async with started(serving, serving.told("a", mine, 1)):
                serving.send(ALL, 5)
                await serving.all_out()
    serving.assert_each_once()


async def test_slots_that_change_hands_in_order_are_answered_once_and_nobody_ends() -> None:
    serving = Exactly()
    low, high = frozenset(range(4)), frozenset(range(4, SLOTS))
    async with (
        started(serving, serving.told("a", low)) as a,
        started(serving, serving.told("b", high)) as b,
    ):
        for epoch, moved in enumerate(({2, 3}, {3}, {1, 2, 3}, set()), start=1):
            serving.send(ALL, 10)
            a_next, b_next = low - moved, high | moved
            gaining = asyncio.gather(
                a.apply(serving.told("a", a_next, epoch)), b.apply(serving.told("b", b_next, epoch))
            )
            serving.send(ALL, 10)
            await gaining
            await until(lambda: not a.moves.gains and not b.moves.gains, "slots are taken over")
        await serving.all_out()
        assert (a.failure, b.failure) == (None, None)
    serving.assert_each_once()


async def test_a_hand_over_that_a_callback_holds_up_too_long_ends_the_loser_and_doubles_nothing() -> None:
    serving = Exactly()
    hasty = Settings(**{**vars(QUICK), "release_within_seconds": 0.05})
    moved = frozenset(range(4))
    stuck = Gated(stations_of(moved, each=1)[0])
    async with started(serving, serving.told("a"), callback=stuck, settings=hasty) as a:
        serving.send(ALL, 3)
        await serving.some_out(3 * (len(ALL) - 1))
        await a.apply(serving.told("a", frozenset(range(SLOTS)) - moved, 1))
        await until(a.stopped.is_set, "the loser ends")
        assert isinstance(a.failure, service.Superseded)
        async with started(serving, serving.told("b", moved, 1)):
            stuck.gate.set()
            await serving.some_out(3 * len(ALL))
            async with started(serving, serving.told("a", frozenset(range(SLOTS)) - moved, 1)):
                serving.send(ALL, 3)
                await serving.all_out()
    serving.assert_each_once()


async def test_a_worker_that_starts_beside_a_live_one_of_its_owner_does_nothing_twice() -> None:
    serving = Exactly()
    async with started(serving) as first:
        serving.send(ALL, 2)
        await serving.all_out()
        gate = serving.cluster.hold("source.committed")  # the second has looked how far slots have got
        second = serving.worker(settings=QUICK)
        starting = asyncio.create_task(second.start())
        await until(lambda: serving.cluster.calls["source.committed"] == 2, "it is about to begin")
        serving.send(ALL, 2)
        await serving.all_out()  # by the first, which has barred the second in turn
        gate.set()
        await until(lambda: second.delivery.ledger.superseded.is_set(), "it finds out")  # type: ignore[union-attr]
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        await second.stop()
        serving.send(ALL, 2)
        await serving.all_out()
        assert first.failure is None
    serving.assert_each_once()


async def test_dead_letters_of_a_topic_of_several_partitions_are_seen_once_over_crashes() -> None:
    serving = Exactly(partitions=1)
    serving.cluster.create_topic(DEAD_LETTERS, partitions=2)
    serving.cluster.batch_bytes = 3_000
    keys = {partitioning.partition_of(b"%d" % n, 2): b"%d" % n for n in range(10)}
    for number in range(3_000):
        serving.cluster.produce("POWER", b"broken", partition=0, key=keys[number % 10 == 9])
    for _ in range(3):
        async with started(serving) as worker:
            seen = len(serving.committed(DEAD_LETTERS))
            await until(
                lambda seen=seen: len(serving.committed(DEAD_LETTERS)) > seen or seen >= 3_000,  # type: ignore[misc]
                "some letters",
            )
            await crash(serving.cluster, worker)
    async with started(serving):
        await until(lambda: len(serving.committed(DEAD_LETTERS)) >= 3_000, "all letters")
    origins = [dict(letter.headers)["dead-letter-offset"] for letter in serving.committed(DEAD_LETTERS)]
    assert len(origins) == len(set(origins)) == 3_000


async def test_an_output_too_large_costs_few_producers_however_many_are_before_it() -> None:
    serving = Exactly(partitions=1)
    serving.cluster.create_topic(OUTPUT, config={"max.message.bytes": "20000"})
    serving.send(ALL[:1], 60)

    def large(station_id: str, module_input: Mapping[str, Any]) -> Any:
        return "x" * 30_000 if module_input["power"] == 40 else list(module_input["power_window"])

    async with started(serving, callback=large):
        await until(lambda: len(serving.committed()) == 59, "all but one")
    assert serving.cluster.calls["sink.start"] < 12
