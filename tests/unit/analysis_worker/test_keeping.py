"""Slow topics outlive their retention: whole workers on Kafka in memory, whose source topics are trimmed."""

import contextlib
import dataclasses
import json
import types
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

import pytest

from analysis_worker import service
from analysis_worker.kafka import last_records, progress_log
from analysis_worker.settings import Settings
from tests.unit.analysis_worker.in_memory import INPUT, until
from tests.unit.analysis_worker.serving import SLOTS, Serving, stations_of

LAST = "module-last"
POWER = {"topic": INPUT, "fields": ["stationId", "power"], "windowSize": 3}
PRICE = {
    "topic": "PRICE",
    "fields": ["stationId", "price"],
    "windowSize": 3,
    "trigger": False,
    "keepLast": True,
}
DAYS = {"topic": "DAYS", "fields": ["day"], "windowSize": 2, "scope": "Global", "keepLast": True}
HOSTS = {
    "topic": "HOSTS",
    "fields": ["hostId", "heat"],
    "windowSize": 2,
    "stationKey": {"fields": ["hostId"], "via": "SCHEDULE-STATION-PARAM"},
}
PARAM = "SCHEDULE-STATION-PARAM"
SOURCE = """
KEYS = "power_window", "price_window", "day_window", "heat_window"
def callback(station_id, module_input):
    return {key[:-7]: list(module_input[key]) for key in KEYS if key in module_input}
"""
QUICK = Settings(
    commit_interval_seconds=0.02,
    expiry_interval_seconds=0.02,
    stop_within_seconds=0.3,
    connect_within_seconds=2.0,
    takeover_after_seconds=1.0,
)
BOTH = pytest.mark.parametrize("delivery", ["AtLeastOnce", "ExactlyOnce"])


class Slow(Serving):
    """A module of one fast topic, and slow ones beside it."""

    def __init__(self, *others: Mapping[str, Any], **spec: Any) -> None:
        inputs = [POWER, *(others or (PRICE, DAYS))]
        super().__init__(inputs=inputs, callback={"source": SOURCE}, **{"padding": "Missing", **spec})
        for topic in ("PRICE", "DAYS", "HOSTS", PARAM):
            self.cluster.create_topic(topic)

    def price(self, station: str, *prices: int) -> None:
        """Records of a station's prices."""
        for price in prices:
            self.cluster.produce("PRICE", {"stationId": station, "price": price})

    def days(self, *days: int) -> None:
        """Records of the calendar."""
        for day in days:
            self.cluster.produce("DAYS", {"day": day})

    def trim(self, *topics: str, before: int | None = None) -> None:
        """Retention takes what is before an offset, or all."""
        for topic in topics or ("PRICE", "DAYS", "HOSTS", PARAM):
            self.cluster.trim(topic, 0, self.cluster.bounds(topic)[1] if before is None else before)

    async def settled(self, worker: service.Worker) -> None:
        """Wait until all there is has been taken, is written, and is told in the progress."""

        def done() -> bool:
            return not worker.box.pending and all(
                part.progress.lowest() == self.cluster.bounds(*place)[1]
                for place, part in worker.feed.parts.items()
            )

        await until(done, "all is done")
        commits = worker.committer.commits
        await until(lambda: worker.committer.commits > commits + 1, "it is committed")

    async def seen(self, station: str) -> Any:
        """What the callback sees of a station at a new record."""
        before = [result for name, result in self.outputs if name == station]
        self.send([station])

        def own() -> list[Any]:
            return [result for name, result in self.outputs if name == station]

        await until(lambda: len(own()) > len(before), f"an output of {station}")
        result = own()[len(before)]
        return {key: [each for each in window if each is not None] for key, window in result.items()}

    @contextlib.asynccontextmanager
    async def crashing(self, settings: Settings = QUICK) -> AsyncIterator[service.Worker]:
        """A worker that never gets to say that it ends."""
        worker = self.worker(settings=settings)
        await worker.start()
        await until(lambda: not worker.feed.restoring, "the windows are restored")
        yield worker
        self.cluster.disconnect()
        await worker.stop()
        self.cluster.reconnect()

    def live(self, *told: Any) -> contextlib.AbstractAsyncContextManager[service.Worker]:
        return self.running(*told, settings=QUICK)

    def kept(self) -> dict[str, Any]:
        """Key -> value of what is kept."""
        newest = {record.key: record.value for record in self.cluster.records(LAST)}
        return {key.decode(): json.loads(value) for key, value in newest.items() if key and value}


# -- what is kept -----------------------------------------------------------------------------------


async def test_the_newest_records_of_a_slow_topic_are_kept_per_station_and_no_more_than_its_window() -> None:
    serving = Slow()
    async with serving.live() as worker:
        serving.price("S2", 9)
        for number in range(1, 6):
            serving.price("S1", number)
            serving.days(number)
            await serving.settled(worker)
    kept = serving.kept()
    assert {key: each.get("price", each.get("day")) for key, each in kept.items()} == {
        "PRICE/S1/0": 5,
        "PRICE/S1/1": 2,
        "PRICE/S1/2": 3,
        "PRICE/S1/3": 4,
        "PRICE/S2/0": 9,
        "DAYS/*/0": 4,
        "DAYS/*/1": 5,
        "DAYS/*/2": 3,
    }
    assert serving.cluster.configs[LAST] == last_records.TOPIC_CONFIG == progress_log.TOPIC_CONFIG


async def test_without_a_slow_topic_there_is_no_topic_of_last_records() -> None:
    serving = Slow({**PRICE, "keepLast": False})
    async with serving.live() as worker:
        serving.price("S1", 1)
        await serving.settled(worker)
    assert LAST not in serving.cluster.topics()


async def test_of_a_record_of_many_stations_each_keeps_its_own_part() -> None:
    serving = Slow()
    both = [{"stationId": "S1", "price": 1}, {"stationId": "S2", "price": 2}, {"stationId": "S1", "price": 3}]
    async with serving.live() as worker:
        serving.cluster.produce("PRICE", json.dumps(both).encode())
        await serving.settled(worker)
    assert serving.kept() == {"PRICE/S1/0": [both[0], both[2]], "PRICE/S2/0": [both[1]]}
    serving.trim()
    async with serving.live():
        assert (await serving.seen("S1"))["price"] == [1, 3]
        assert (await serving.seen("S2"))["price"] == [2]


async def test_a_whole_window_in_one_record_takes_the_place_of_all_that_was_kept() -> None:
    serving = Slow()
    async with serving.live() as worker:
        serving.price("S1", 1, 2, 3)
        serving.cluster.produce("PRICE", {"stationId": "S1", "price": [7, 8]})
        await serving.settled(worker)
        serving.price("S1", 9)
        await serving.settled(worker)
    assert [each["price"] for each in serving.kept().values()] == [9, [7, 8]]
    serving.trim()
    async with serving.live() as worker:
        assert (await serving.seen("S1"))["price"] == [7, 8, 9]


async def test_each_of_two_workers_keeps_the_records_of_its_own_slots_and_slot_0_what_is_for_all() -> None:
    serving = Slow()
    halves = range(SLOTS // 2), range(SLOTS // 2, SLOTS)
    stations = stations_of(range(SLOTS), each=1)
    async with (
        serving.live(serving.told("a", halves[0])) as a,
        serving.live(serving.told("b", halves[1])) as b,
    ):
        for station in stations:
            serving.price(station, 1)
        serving.days(1)
        await serving.settled(a)
        await serving.settled(b)
    keys = [(record.key or b"").decode() for record in serving.cluster.records(LAST)]
    assert sorted(keys) == sorted(["DAYS/*/0", *(f"PRICE/{station}/0" for station in stations)])


async def test_the_offset_of_a_record_is_done_once_its_copy_is_acknowledged_and_not_before() -> None:
    serving = Slow()
    async with serving.live() as worker:
        serving.price("S1", 1)
        await serving.settled(worker)
        free = serving.cluster.hold("sink.send")
        serving.price("S1", 2)
        part = next(part for place, part in worker.feed.parts.items() if place.topic == "PRICE")
        await until(lambda: part.progress.position == 2, "the record is taken")
        assert part.progress.lowest() == 1
        free.set()
        await until(lambda: part.progress.lowest() == 2, "it is done")


async def test_what_was_taken_before_a_crash_and_not_kept_is_kept_by_the_next_start() -> None:
    serving = Slow()
    async with serving.crashing() as worker:
        serving.price("S1", 1)
        await serving.settled(worker)
        serving.cluster.hold("sink.send")
        serving.price("S1", 2)
        await until(lambda: worker.box.pending, "the copy is under way")
    serving.cluster._held.pop("sink.send").set()
    async with serving.live() as worker:
        await serving.settled(worker)
    assert [each["price"] for each in serving.kept().values()] == [1, 2]


async def test_a_restart_writes_no_copy_again() -> None:
    serving = Slow()
    for _ in range(3):
        async with serving.crashing() as worker:
            if not serving.cluster.records("PRICE"):
                serving.price("S1", 1, 2, 3, 4, 5)
                serving.days(1, 2, 3)
            await serving.seen("S1")
            await serving.settled(worker)
    assert len(serving.cluster.records(LAST)) == 8


# -- a start ----------------------------------------------------------------------------------------


@BOTH
async def test_windows_of_slow_topics_come_back_though_their_records_are_gone(delivery: str) -> None:
    serving = Slow(delivery=delivery)
    async with serving.live() as worker:
        serving.price("S1", 1, 2, 3, 4)
        serving.days(5, 6)
        await serving.settled(worker)
        before = await serving.seen("S1")
        await serving.settled(worker)
    assert before == {"power": [1], "price": [2, 3, 4], "day": [5, 6]}
    serving.trim()
    async with serving.live() as worker:
        assert await serving.seen("S1") == {**before, "power": [1, 2]}
        serving.price("S1", 5)
        serving.days(7)
        await serving.settled(worker)
    serving.trim()
    async with serving.crashing() as worker:
        assert await serving.seen("S1") == {"power": [1, 2, 3], "price": [3, 4, 5], "day": [6, 7]}
        await serving.settled(worker)
    async with serving.live() as worker:
        assert await serving.seen("S1") == {"power": [2, 3, 4], "price": [3, 4, 5], "day": [6, 7]}


@BOTH
@pytest.mark.parametrize("held_from", [0, 1, 2, 3, 4])
async def test_nothing_is_doubled_whatever_the_source_still_holds(delivery: str, held_from: int) -> None:
    serving = Slow(delivery=delivery)
    async with serving.crashing() as worker:
        serving.price("S1", 1, 2, 3, 4)
        serving.days(1, 2, 3, 4)
        await serving.seen("S1")
        await serving.settled(worker)
    serving.trim("PRICE", "DAYS", before=held_from)
    for number in (2, 3):
        async with serving.crashing() as worker:
            seen = await serving.seen("S1")
            assert (seen["price"], seen["day"]) == ([2, 3, 4], [3, 4])
            assert seen["power"][-1] == number
            await serving.settled(worker)


async def test_records_that_a_crash_has_taken_again_find_the_window_from_before_them() -> None:
    serving = Slow({**PRICE, "trigger": True})
    async with serving.live() as worker:
        serving.price("S1", 1, 2, 3)
        await serving.settled(worker)
    never = dataclasses.replace(QUICK, commit_interval_seconds=1_000.0)
    serving.trim("PRICE")
    serving.price("S1", *range(4, 12))
    for _ in range(2):
        before = serving.output_count
        async with serving.crashing(never) as worker:
            await serving.some_out(before + 8)
            await until(lambda: not worker.box.pending, "all is acknowledged")
        again = [result["price"] for _, result in serving.outputs[before:]]
        assert again == [[price - 2, price - 1, price] for price in range(4, 12)]


async def test_a_topic_made_anew_goes_on_behind_what_was_kept_of_the_former() -> None:
    serving = Slow()
    async with serving.live() as worker:
        serving.price("S1", 1, 2, 3, 4)
        await serving.settled(worker)
    serving.cluster.recreate_topic("PRICE")
    async with serving.live() as worker:
        assert (await serving.seen("S1"))["price"] == [2, 3, 4]
        serving.price("S1", 5)
        await serving.settled(worker)
        assert (await serving.seen("S1"))["price"] == [3, 4, 5]
    async with serving.live():
        assert (await serving.seen("S1"))["price"] == [3, 4, 5]


async def test_a_topic_made_anew_while_it_is_read_is_kept_from_its_beginning() -> None:
    serving = Slow()
    async with serving.live() as worker:
        serving.price("S1", 1, 2, 3, 4)
        await serving.settled(worker)
        serving.cluster.recreate_topic("PRICE")
        part = next(part for place, part in worker.feed.parts.items() if place.topic == "PRICE")
        await until(lambda: part.progress.position == 0, "it is read anew")
        serving.price("S1", 5)
        await serving.settled(worker)
    assert 5 in [each["price"] for each in serving.kept().values()]


async def test_a_slow_topic_that_is_deleted_leaves_its_windows() -> None:
    serving = Slow()
    async with serving.live() as worker:
        serving.price("S1", 1, 2)
        await serving.settled(worker)
    serving.cluster.delete_topic("PRICE")
    async with serving.live() as worker:
        assert (await serving.seen("S1"))["price"] == [1, 2]
        serving.cluster.create_topic("PRICE")
        serving.price("S1", 3)
        worker.feed.reassemble(worker.assembly)  # it looks for topics now
        await until(lambda: worker.engine.stations["S1"].windows[1], "the window is there")
        await until(lambda: len(worker.feed.parts) == 3, "the topic is read")
        await serving.settled(worker)
        assert (await serving.seen("S1"))["price"] == [1, 2, 3]
    assert [each["price"] for each in serving.kept().values()] == [1, 2, 3]


async def test_trimmed_records_that_are_kept_are_not_told_as_lost(caplog: pytest.LogCaptureFixture) -> None:
    serving = Slow()
    async with serving.live() as worker:
        serving.price("S1", 1, 2)
        await serving.settled(worker)
    serving.trim()
    for _ in range(2):
        async with serving.live() as worker:
            await serving.seen("S1")
            await serving.settled(worker)
    assert "no longer held" not in caplog.text


async def test_what_is_brought_back_makes_no_station_and_asks_for_no_callback() -> None:
    serving = Slow({**PRICE, "trigger": True})
    async with serving.live() as worker:
        serving.price("S1", 1, 2)
        await serving.settled(worker)
        count = serving.output_count
    serving.trim()
    async with serving.live() as worker:
        assert worker.engine.stations == {}
        assert len(worker.engine.resting) == 1
        assert serving.output_count == count
        assert (await serving.seen("S1"))["price"] == [1, 2]
        assert len(worker.engine.resting) == 0


async def test_devices_are_still_known_once_the_record_that_named_them_is_gone() -> None:
    serving = Slow(HOSTS)
    mine, other = stations_of([0, 5], each=1)
    told = serving.told("a", [0]), serving.told("b", range(1, SLOTS))
    async with serving.live(told[0]) as a, serving.live(told[1]) as b:
        params = [{"stationId": mine, "hostId": ["H1", "H2"]}, {"stationId": other, "hostId": ["H3"]}]
        serving.cluster.produce(PARAM, json.dumps(params).encode())
        await serving.settled(a)
        await serving.settled(b)
    assert set(serving.kept()) == {f"{PARAM}/{mine}/0", f"{PARAM}/{other}/0"}
    serving.trim()
    async with serving.live(told[0]) as a:
        assert a.engine.devices[PARAM] == {"H1": mine, "H2": mine, "H3": other}
        serving.cluster.produce("HOSTS", {"hostId": "H2", "heat": 40})
        await until(lambda: serving.outputs, "an output")
        assert serving.outputs[-1] == (mine, {"power": [None] * 3, "heat": [None, 40]})


async def test_unreadable_copies_are_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    serving = Slow()
    async with serving.live() as worker:
        serving.price("S1", 1)
        await serving.settled(worker)
    for key in (b"PRICE/S1/1", b"", None, b"\xff"):
        serving.cluster.produce(LAST, b"{}", key=key)
    serving.trim()
    async with serving.live():
        assert (await serving.seen("S1"))["price"] == [1]
    assert "unreadable" in caplog.text


# -- stations that go, and slots that move ------------------------------------------------------------


async def test_a_station_that_expired_finds_its_slow_windows_again_and_only_them() -> None:
    serving = Slow(expireAfterSeconds=0.05)
    async with serving.live() as worker:
        serving.price("S1", 1, 2)
        serving.send(["S1"], 2)
        await serving.settled(worker)
        await until(lambda: not worker.engine.stations, "it has expired")
        assert await serving.seen("S1") == {"power": [3], "price": [1, 2], "day": []}


@contextlib.asynccontextmanager
async def halves(serving: Slow) -> AsyncIterator[tuple[service.Worker, service.Worker]]:
    """Two workers, each with half of the slots."""
    async with (
        serving.live(serving.told("a", range(4))) as a,
        serving.live(serving.told("b", range(4, SLOTS))) as b,
    ):
        yield a, b


async def moved(serving: Slow, a: service.Worker, b: service.Worker, slots: Iterable[int]) -> None:
    """Slots go from a to b."""
    gone = frozenset(slots)
    epoch = max(a.assignment.epoch, b.assignment.epoch) + 1
    await a.apply(serving.told("a", a.assignment.slots - gone, epoch))
    await b.apply(serving.told("b", b.assignment.slots | gone, epoch))
    await until(lambda: not b.moves.gains, "the slots are taken over")


@BOTH
async def test_a_slot_that_moves_takes_its_slow_windows_along(delivery: str) -> None:
    serving = Slow(delivery=delivery)
    (station,) = stations_of([3], each=1)
    async with halves(serving) as (a, b):
        serving.price(station, 1, 2, 3, 4)
        serving.days(1, 2, 3)
        await serving.seen(station)
        await serving.settled(a)
        await serving.settled(b)
        serving.trim()
        await moved(serving, a, b, [3])
        assert a.flow.keeper._slots == {0, 1, 2}
        seen = await serving.seen(station)
        assert (seen["price"], seen["day"]) == ([2, 3, 4], [2, 3])
        serving.price(station, 5)
        await serving.settled(b)
        assert (await serving.seen(station))["price"] == [3, 4, 5]
    assert sorted(v["price"] for key, v in serving.kept().items() if "PRICE" in key) == [2, 3, 4, 5]


@BOTH
async def test_a_slot_that_was_followed_takes_its_slow_windows_along_and_is_kept_on(delivery: str) -> None:
    serving = Slow(delivery=delivery)
    (station,) = stations_of([3], each=1)
    async with halves(serving) as (a, b):
        serving.price(station, 1, 2, 3, 4)
        await serving.seen(station)
        await serving.settled(a)
        serving.trim()
        await b.apply(dataclasses.replace(b.assignment, arriving=frozenset({3})))
        await until(lambda: b.report.status().followed_slots == (3,), "the slot is followed")
        serving.price(station, 5)
        await serving.settled(a)
        assert b.flow.keeper._slots == set(range(4, SLOTS))
        await moved(serving, a, b, [3])
        assert (await serving.seen(station))["price"] == [3, 4, 5]
        serving.price(station, 6)
        await serving.settled(b)
        assert (await serving.seen(station))["price"] == [4, 5, 6]
    assert sorted(v["price"] for key, v in serving.kept().items() if "PRICE" in key) == [3, 4, 5, 6]


async def test_whoever_takes_slot_0_over_keeps_what_is_for_all_from_there_on() -> None:
    serving = Slow()
    async with halves(serving) as (a, b):
        serving.days(1, 2)
        await serving.settled(a)
        await serving.settled(b)
        await moved(serving, a, b, [0])
        serving.days(3)
        await serving.settled(b)
    assert [each["day"] for each in serving.kept().values()] == [1, 2, 3]


async def test_what_nobody_kept_while_slot_0_had_no_owner_is_kept_by_the_next() -> None:
    serving = Slow()
    async with serving.live(serving.told("b", range(4, SLOTS))) as b:
        async with serving.live(serving.told("a", range(4))) as a:
            serving.days(1)
            await serving.settled(a)
        serving.days(2)
        await serving.settled(b)
        assert [each["day"] for each in serving.kept().values()] == [1]
        await b.apply(serving.told("b", [0, *range(4, SLOTS)], 1))
        await until(lambda: not b.moves.gains, "the slot is taken over")
        await serving.settled(b)
        assert [each["day"] for each in serving.kept().values()] == [1, 2]


async def test_what_comes_for_a_slot_before_its_copies_are_known_waits_for_them() -> None:
    serving = Slow()
    async with serving.live() as worker:
        serving.days(1)
        await serving.settled(worker)
        keeper, feed = worker.flow.keeper, worker.feed
        keeper.lose([0])
        serving.days(2)
        part = next(part for place, part in feed.parts.items() if place.topic == "DAYS")
        await until(lambda: part.progress.position == 2, "it is taken")
        assert (part.progress.lowest(), len(serving.kept())) == (1, 1)
        source = serving.cluster.source()
        await source.start()
        placed: Any = types.SimpleNamespace(
            source=source, reader=feed.reader, assembly=feed.assembly, parts=feed.parts, lags=feed.lags
        )
        await keeper.recall(placed, first=False)
        await serving.settled(worker)
        await source.close()
    assert [each["day"] for each in serving.kept().values()] == [1, 2]


async def test_keeping_begins_and_ends_while_the_worker_runs() -> None:
    serving = Slow({**PRICE, "keepLast": False})
    async with serving.live() as worker:
        serving.price("S1", 1)
        await serving.settled(worker)
        serving.spec["inputs"] = [POWER, PRICE]
        await worker.apply(serving.told(epoch=1))
        serving.price("S1", 2)
        await serving.settled(worker)
        serving.spec["inputs"] = [POWER, {**PRICE, "keepLast": False}]
        await worker.apply(serving.told(epoch=2))
        serving.price("S1", 3)
        await serving.settled(worker)
    assert [each["price"] for each in serving.kept().values()] == [2]
    serving.trim()
    async with serving.live():
        assert (await serving.seen("S1"))["price"] == []
