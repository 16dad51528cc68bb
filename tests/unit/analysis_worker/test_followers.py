"""Slots followed before they arrive: their windows are there at once; till then their owner does all else."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import pytest

from analysis_module import names, spec
from analysis_worker import feeding, followers, service
from analysis_worker.engine import views
from tests.fakes.kafka import FakeKafka
from tests.unit.analysis_worker.in_memory import INPUT, SPEC, until
from tests.unit.analysis_worker.pairs import ALL, FIRST, MOVED, SECOND, Pair, a_pair
from tests.unit.analysis_worker.serving import SLOTS, Serving, sending, stations_of

DELIVERIES = pytest.mark.parametrize("delivery", ["AtLeastOnce", "ExactlyOnce"])


def windows(worker: service.Worker) -> dict[str, list[Any]]:
    """The newest powers of each station that a worker has windows of."""
    return {
        station.id: views.Window(station.heads[0], 1, 3, spec.Padding.ZERO).tolist()
        for station in worker.engine.stations.values()
        if station.slot in MOVED
    }


@contextlib.asynccontextmanager
async def a_followed_pair(serving: Serving, times: int) -> AsyncIterator[Pair]:
    """Two workers after so many records of each station; the second is up with the slots that will move."""
    async with a_pair(serving) as pair:
        serving.send(ALL, times)
        await serving.all_out()
        await pair.follow(b=MOVED)
        yield pair


async def test_a_follower_has_the_windows_while_another_owner_goes_on_and_does_nothing_else() -> None:
    serving = Serving(partitions=2)
    async with a_pair(serving) as pair:
        serving.send(ALL, 10)
        await pair.arriving(b=MOVED)
        await serving.all_out()
        await pair.followed("b", MOVED)
        serving.send(ALL, 5)
        await serving.all_out()
        a, b = pair.workers["a"], pair.workers["b"]
        await until(lambda: windows(b) == windows(a) != {}, "the windows are equal")
        assert pair.stations("b") == set(stations_of(SECOND))
        assert not b.moves.gains
        assert b.report.status().state == "running"
    serving.assert_exact()
    owners = {slot: progress.owner for slot, progress in (await serving.progress()).items()}
    assert owners == {slot: "a" if slot in FIRST else "b" for slot in range(SLOTS)}


@DELIVERIES
@pytest.mark.parametrize("partitions", [1, 3])
async def test_followed_slots_that_move_in_mid_stream_lose_and_double_nothing(
    partitions: int, delivery: str
) -> None:
    serving = Serving(partitions=partitions, delivery=delivery)
    async with a_pair(serving) as pair:
        stream = asyncio.create_task(sending(serving, ALL, 150))
        await serving.some_out(300)
        await pair.follow(b=MOVED)
        await pair.move(MOVED)
        await pair.follow(a=MOVED)
        await pair.tell(b=SECOND, a=FIRST)
        await pair.settled()
        await stream
        await serving.all_out()
        assert pair.stations("a") == set(stations_of(FIRST))
    serving.assert_exact()


async def test_what_a_gainer_reads_again_of_a_followed_slot_is_only_what_came_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    serving = Serving()
    async with a_followed_pair(serving, 300) as pair:
        read: list[int] = []
        monkeypatch.setattr(pair.workers["b"].metrics, "consumed", lambda topic, count: read.append(count))
        await pair.move(MOVED)
        assert read == []
        serving.send(ALL)
        await serving.all_out()
    serving.assert_exact()


async def test_slots_of_two_losers_arrive_one_after_the_other() -> None:
    """One follower has them all; each goes on from where its own owner got to."""
    serving = Serving(partitions=2)
    async with (
        a_pair(serving) as pair,
        serving.running(serving.told("c", ())) as c,
    ):
        pair.workers["c"] = c
        stream = asyncio.create_task(sending(serving, ALL, 150))
        await serving.some_out(200)
        await pair.follow(c={0, 1, 6, 7})
        await pair.tell(a=FIRST - {0, 1}, c={0, 1})
        await pair.settled()
        await pair.tell(b=SECOND - {6}, c={0, 1, 6})
        await pair.tell(b=SECOND - {6, 7}, c={0, 1, 6, 7})
        await pair.settled()
        await stream
        await serving.all_out()
        assert pair.stations("c") == set(stations_of({0, 1, 6, 7}))
        assert c.moves.followers.slots == set()
    serving.assert_exact()


async def test_slots_that_will_not_arrive_after_all_leave_nothing_behind() -> None:
    serving = Serving()
    async with a_followed_pair(serving, 10) as pair:
        await pair.follow(b={2})
        assert set(windows(pair.workers["b"])) == set(stations_of({2}))
        await pair.arriving(b=())
        assert windows(pair.workers["b"]) == {}
        sources = [source for source in serving.cluster.sources if source.started]
        await pair.follow(b={2})
        await pair.arriving(b=())
        assert [source for source in serving.cluster.sources if source.started] == sources
        await pair.move(MOVED)
        serving.send(ALL)
        await serving.all_out()
    serving.assert_exact()


async def test_a_slot_that_arrives_before_it_could_be_followed_is_restored_as_ever() -> None:
    serving = Serving()
    async with a_pair(serving) as pair:
        serving.send(ALL, 20)
        await serving.all_out()
        held = serving.cluster.hold("source.committed")
        await pair.arriving(b=MOVED)
        moving = asyncio.create_task(pair.move(MOVED))
        await until(lambda: pair.workers["b"].moves.gains, "the gain has begun")
        held.set()
        await moving
        serving.send(ALL, 5)
        await serving.all_out()
    serving.assert_exact()


async def test_a_slot_whose_owner_is_killed_while_it_is_followed_goes_on_from_what_was_done() -> None:
    serving = Serving(partitions=2)
    async with a_followed_pair(serving, 50) as pair:
        for task in pair.workers["a"]._tasks:
            task.cancel()  # as kill -9 would: it says nothing of letting go
        serving.send(ALL, 5)
        await pair.tell(b=SECOND | MOVED)
        await pair.settled()
        stations = stations_of(MOVED)
        await until(lambda: all(serving.powers(s)[-1:] == [55] for s in stations), "all its records")
        newest = {station: window for station, window in serving.outputs if station in stations}
        assert set(map(tuple, newest.values())) == {(53, 54, 55)}


async def test_dead_letters_are_their_owners_to_write() -> None:
    serving = Serving(partitions=4)
    async with a_pair(serving) as pair:
        await pair.arriving(b=MOVED)
        for number in range(200):
            serving.cluster.produce(INPUT, b"broken", partition=number % 4)
            if number == 100:
                await pair.followed("b", MOVED)
                await pair.move(MOVED)
        letters = names.dead_letter_topic("module")
        await until(lambda: len(serving.cluster.records(letters)) >= 200, "all dead letters")
        serving.send(ALL)
        await serving.all_out()
    assert len(serving.cluster.records(letters)) == 200


async def test_stations_of_followed_slots_do_not_expire_while_old_records_are_read() -> None:
    serving = Serving(expireAfterSeconds=5)
    for station in ALL:
        value = {"stationId": station, "power": 1}
        serving.cluster.produce(INPUT, value, key=station.encode(), timestamp=1_000)
        serving.sent[station] += 1
    async with a_pair(serving) as pair:
        await serving.all_out()
        await pair.follow(b=MOVED)
        b = pair.workers["b"]
        b.engine.expire(2_000_000_000_000)
        assert set(windows(b)) == set(stations_of(MOVED))


async def test_a_topic_that_a_hot_change_adds_is_followed_too() -> None:
    source = """
def callback(station_id, module_input):
    return list(module_input["power_window"]) + list(module_input.get("heat_window", []))
"""
    serving = Serving(callback={"source": source})
    serving.cluster.create_topic("HEAT")
    async with a_followed_pair(serving, 20) as pair:
        heat = {"topic": "HEAT", "fields": ["stationId", "heat"], "windowSize": 2, "trigger": False}
        serving.spec["inputs"] = [*SPEC["inputs"], heat]
        await pair.tell(a=FIRST, b=SECOND)
        for degrees in (7, 8):
            for station in ALL:
                serving.cluster.produce("HEAT", {"stationId": station, "heat": degrees})
        await pair.follow(b=MOVED)
        await pair.move(MOVED)
        serving.send(ALL)
        await serving.all_out()
        await until(
            lambda: {s.heads[1][1] for s in pair.workers["b"].engine.stations.values()} == {2}, "heat"
        )
        serving.send(ALL)
        await serving.all_out()
    newest = [window for _, window in serving.outputs if window[2] == 22]
    assert newest == [[20, 21, 22, 7, 8]] * len(ALL)


async def test_a_hot_change_while_slots_are_followed_begins_that_anew() -> None:
    serving = Serving()
    async with a_followed_pair(serving, 20) as pair:
        serving.spec["inputs"] = [{**SPEC["inputs"][0], "fields": ["stationId", "power", "soc"]}]
        changed = serving.told("b", SECOND).module_spec
        await pair.workers["b"].apply(dataclasses.replace(pair.workers["b"].assignment, module_spec=changed))
        for station in stations_of(MOVED):
            serving.cluster.produce(INPUT, {"stationId": station, "power": 21, "soc": 99})
            serving.sent[station] += 1
        await serving.all_out()
        b = pair.workers["b"]
        await until(lambda: {w[-1] for w in windows(b).values()} == {21}, "it is read")
        heads = [b.engine.stations[station].heads[0] for station in stations_of(MOVED)]
        socs = [views.Window(head, 2, 1, spec.Padding.ZERO).tolist() for head in heads]
        assert socs == [[99]] * len(socs)


async def test_what_owners_wrote_when_slots_were_last_followed_is_no_measure() -> None:
    serving = Serving()
    async with a_followed_pair(serving, 10) as pair:
        await pair.arriving(b=())
        serving.send(ALL, 10)
        await serving.all_out()
        held = serving.cluster.hold("source.partitions")
        await pair.arriving(b=MOVED)
        begun = serving.cluster.calls["source.partitions"]
        await until(lambda: serving.cluster.calls["source.partitions"] > begun, "it is looked for")
        assert pair.workers["b"].moves.followers._needs.tail.newest == {}
        held.set()
        await pair.followed("b", MOVED)
        await until(lambda: windows(pair.workers["b"]) == windows(pair.workers["a"]), "it is up")


async def test_a_partition_that_an_owner_has_not_found_yet_is_not_read_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else its records would be in the windows already when they are taken for the first time."""
    monkeypatch.setattr(feeding, "_DISCOVERY_SECONDS", 1e9)
    serving = Serving()
    async with a_pair(serving) as pair, serving.running(serving.told("c", ())) as c:
        pair.workers["c"] = c
        serving.send(ALL, 10)
        await serving.all_out()
        serving.cluster.add_partitions(INPUT, 2)
        for finder in ("b", "c"):
            pair.workers[finder].feed._look_at = 0.0
        serving.send(stations_of(SECOND), 1, partition=1)
        await serving.all_out()
        await pair.arriving(c={3, 5})
        serving.send(stations_of({3}), 2, partition=1)
        serving.send(stations_of({5}), 2, partition=1)
        await serving.some_out(10 * len(ALL) + len(stations_of(SECOND)) + 4)
        polls = serving.cluster.calls["source.poll"]
        await until(lambda: serving.cluster.calls["source.poll"] > polls + 20, "all has been read")
        assert c.report.status().followed_slots == ()
        await pair.tell(a=FIRST - {3}, b=SECOND - {5}, c={3, 5})
        await pair.settled()
        await serving.all_out()
    serving.assert_exact()


async def test_a_worker_that_starts_follows_what_its_first_assignment_says() -> None:
    serving = Serving()
    async with serving.running(serving.told("a", FIRST)):
        serving.send(stations_of(FIRST), 10)
        await serving.all_out()
        told = serving.told("b", SECOND)
        arriving = type(told)(told.module_spec, "b", 0, SECOND, arriving=MOVED)
        async with serving.running(arriving) as b:
            await until(lambda: b.report.status().followed_slots == tuple(MOVED), "they are followed")
            assert set(windows(b)) == set(stations_of(MOVED))


async def test_an_outage_only_delays_following(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(followers, "_PAUSE_SECONDS", 0.01)
    serving = Serving()
    async with a_pair(serving) as pair:
        serving.send(ALL, 20)
        await serving.all_out()
        serving.cluster.fail_next(20, "source.poll")
        await pair.follow(b=MOVED)
        serving.cluster.disconnect()
        serving.send(ALL, 5)
        polls = serving.cluster.calls["source.poll"]
        await until(lambda: serving.cluster.calls["source.poll"] > polls + 10, "it is tried again")
        serving.cluster.reconnect()
        await serving.all_out()
        await until(lambda: windows(pair.workers["b"]) == windows(pair.workers["a"]), "it is up again")
        await pair.move(MOVED)
        serving.send(ALL, 5)
        await serving.all_out()
    serving.assert_exact()


async def test_retention_that_takes_what_is_to_be_read_makes_it_begin_anew() -> None:
    serving = Serving()
    async with a_pair(serving) as pair:
        serving.send(ALL, 50)
        await serving.all_out()
        held = serving.cluster.hold("source.committed")
        await pair.arriving(b=MOVED)
        await until(lambda: serving.cluster.calls["source.committed"] > 2, "it looks where to begin")
        serving.send(ALL, 5)
        serving.cluster.trim(INPUT, 0, 50 * len(ALL))
        held.set()
        await pair.followed("b", MOVED)
        await pair.move(MOVED)
        serving.send(ALL)
        await serving.all_out()
        assert pair.workers["b"].failure is None
    assert all(serving.powers(station) == list(range(1, 57)) for station in ALL)


async def test_aligned_slots_are_followed_in_their_partitions() -> None:
    cluster = FakeKafka()
    cluster.create_topic(INPUT, partitions=SLOTS)
    serving = Serving(cluster, partitioning={"slots": SLOTS, "routing": "Aligned"})
    async with a_pair(serving) as pair:
        stream = asyncio.create_task(sending(serving, ALL, 100))
        await serving.some_out(200)
        await pair.follow(b=MOVED)
        await pair.tell(a=FIRST - {2}, b=SECOND | {2})
        await pair.settled()
        await pair.tell(a=FIRST - MOVED, b=SECOND | MOVED)
        await pair.settled()
        await stream
        await serving.all_out()
        read = {place.partition for place in pair.workers["b"].feed.parts if place.topic == INPUT}
        assert read == SECOND | MOVED
    serving.assert_exact()


async def test_a_device_that_is_named_as_a_followed_stations_is_in_its_window_once_and_whole() -> None:
    """What came under the device's own id is every worker's, and the owner files it as the station's."""
    via = {"fields": ["hostId"], "via": "PARAM"}
    heat = {"topic": "HEAT", "fields": ["hostId", "heat"], "windowSize": 5, "stationKey": via}
    source = "def callback(station_id, given):\n    return list(given['heat_window'])\n"
    serving = Serving(inputs=[heat], callback={"source": source})
    for topic in ("HEAT", "PARAM"):
        serving.cluster.create_topic(topic)
    (station,) = stations_of({3}, each=1)
    heated = iter(range(1, 100))

    async def heat_up(times: int) -> None:
        for _ in range(times):
            serving.cluster.produce("HEAT", {"hostId": "H1", "heat": next(heated)})
            await asyncio.sleep(0.01)

    async with a_pair(serving) as pair:
        b = pair.workers["b"]
        await heat_up(3)
        await pair.follow(b={3})
        serving.cluster.produce("PARAM", {"stationId": station, "hostId": ["H1"]})
        await until(lambda: b.engine.devices.get("PARAM") == {"H1": station}, "the device is named")
        await heat_up(3)
        await pair.followed("b", {3})
        await pair.tell(a=FIRST - {3}, b=SECOND | {3})
        await pair.settled()
        await heat_up(1)
        await until(lambda: dict(serving.outputs).get(station, [0])[-1] == 7, "its output")
    assert dict(serving.outputs)[station] == [3, 4, 5, 6, 7]
