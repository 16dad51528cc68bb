"""Slots that move between two workers in mid-stream: no record lost, none doubled, every window whole."""

import asyncio
from typing import Any

import pytest

from analysis_module import names
from analysis_worker import feeding
from analysis_worker.engine.records import TopicPartition
from tests.fakes.kafka import FakeKafka
from tests.unit.analysis_worker.in_memory import INPUT, SPEC, until
from tests.unit.analysis_worker.pairs import ALL, FIRST, MOVED, SECOND, a_pair
from tests.unit.analysis_worker.serving import QUICK, SLOTS, Serving, sending, stations_of


@pytest.mark.parametrize("partitions", [1, 3])
async def test_slots_moved_in_mid_stream_lose_and_double_nothing_and_keep_their_windows(
    partitions: int,
) -> None:
    serving = Serving(partitions=partitions)
    async with a_pair(serving) as pair:
        stream = asyncio.create_task(sending(serving, ALL, 150))
        await serving.some_out(300)
        await pair.move(MOVED)
        await pair.tell(b=SECOND, a=FIRST)
        await pair.settled()
        await pair.move(frozenset(FIRST))
        await stream
        await serving.all_out()
        assert pair.stations("a") == set()
        assert pair.stations("b") == set(ALL)
    serving.assert_exact()


async def test_the_gainer_has_the_window_before_its_first_call() -> None:
    serving = Serving()
    async with a_pair(serving) as pair:
        serving.send(ALL, 10)
        await serving.all_out()
        await pair.move(MOVED)
        serving.send(ALL)
        await serving.all_out()
        assert pair.stations("b") >= set(stations_of(MOVED))
    newest = {station: window for station, window in serving.outputs if station in stations_of(MOVED)}
    assert list(newest.values()) == [[9, 10, 11]] * len(stations_of(MOVED))
    serving.assert_exact()


async def test_the_loser_says_how_far_it_got_and_reports_what_it_let_go_of() -> None:
    serving = Serving()
    async with a_pair(serving) as pair:
        serving.send(ALL, 3)
        await serving.all_out()
        await pair.tell(a=FIRST - MOVED)
        progress = await serving.progress()
        assert {slot for slot, each in progress.items() if each.released} == MOVED
        assert {each.epoch for slot, each in progress.items() if slot in MOVED} == {1}
        assert pair.workers["a"].report.status().released_slots == tuple(sorted(MOVED))
        assert pair.workers["a"].report.status().releasing_slots == ()
        assert pair.stations("a") == set(stations_of(FIRST - MOVED))
        await pair.tell(b=SECOND | MOVED)
        await pair.settled()
        await pair.tell(a=FIRST - MOVED)
        assert pair.workers["b"].report.status().released_slots == ()
    assert {each.owner for slot, each in (await serving.progress()).items() if slot in MOVED} == {"b"}


async def test_slots_move_by_an_assignment_whose_config_is_refused() -> None:
    serving = Serving()
    async with a_pair(serving) as pair:
        serving.send(ALL, 3)
        await serving.all_out()
        before = pair.workers["a"].assignment.config_hash
        for owner, slots in (("a", FIRST - MOVED), ("b", SECOND | MOVED)):
            bad = serving.told(owner, slots, 1, delivery="ExactlyOnce")
            with pytest.raises(ValueError, match=r"spec\.delivery"):
                await pair.workers[owner].apply(bad)
        await pair.settled()
        serving.send(ALL)
        await serving.all_out()
        assert pair.stations("b") >= set(stations_of(MOVED))
        status = pair.workers["a"].report.status()
        assert (status.config.applied_hash, status.config.epoch) == (before, 1)
        assert status.config.refused != ()
    serving.assert_exact()


async def test_a_slot_is_gained_while_the_first_feed_is_busy_with_a_backlog() -> None:
    serving = Serving(partitions=2)
    async with a_pair(serving) as pair:
        serving.send(ALL, 20)
        await serving.all_out()
        serving.send(ALL, 500)
        await pair.move(MOVED, wait=False)
        serving.send(ALL, 20)
        await pair.settled()
        await serving.all_out()
    serving.assert_exact()


async def test_a_slot_is_gained_while_the_first_feed_still_restores_its_own() -> None:
    serving = Serving()
    serving.send(ALL, 200)
    async with a_pair(serving) as pair:
        await serving.all_out()
        await pair.workers["b"].stop()
        again = serving.worker(serving.told("b", SECOND))
        await again.start()
        pair.workers["b"] = again
        await pair.move(MOVED)
        serving.send(ALL, 5)
        await serving.all_out()
        await again.stop()
    serving.assert_exact()


async def test_slots_lost_again_while_they_are_still_being_taken_over_are_let_go_of_after_that() -> None:
    serving = Serving()
    async with a_pair(serving) as pair:
        serving.send(ALL, 100)
        await serving.all_out()
        await pair.move(MOVED, wait=False)
        await pair.tell(b=SECOND, a=FIRST)
        await pair.settled()
        serving.send(ALL, 10)
        await serving.all_out()
        assert pair.stations("a") == set(stations_of(FIRST))
    serving.assert_exact()


async def test_an_outage_in_the_middle_of_a_hand_over_only_delays_it() -> None:
    serving = Serving()
    async with a_pair(serving) as pair:
        serving.send(ALL, 50)
        await serving.all_out()
        await pair.tell(a=FIRST - MOVED)
        serving.cluster.disconnect()
        gaining = asyncio.create_task(pair.tell(b=SECOND | MOVED))
        serving.send(ALL, 10)
        await until(lambda: serving.cluster.calls["source.start"] > 5, "the gainer tries")
        assert not gaining.done()
        serving.cluster.reconnect()
        await gaining
        await pair.settled()
        await serving.all_out()
    serving.assert_exact()


@pytest.mark.parametrize("operation", ["source.bounds", "source.poll", "source.partitions"])
async def test_failures_on_the_way_of_a_gain_only_delay_it(operation: Any) -> None:
    serving = Serving()
    async with a_pair(serving) as pair:
        serving.send(ALL, 50)
        await serving.all_out()
        await pair.tell(a=FIRST - MOVED)
        serving.cluster.fail_next(2, operation)
        await pair.tell(b=SECOND | MOVED)
        await pair.settled()
        serving.send(ALL, 5)
        await serving.all_out()
    serving.assert_exact()


async def test_slots_of_an_owner_that_is_gone_are_taken_over_after_a_while(
    caplog: pytest.LogCaptureFixture,
) -> None:
    serving = Serving()
    serving.send(ALL, 10)
    async with serving.running(serving.told("a", range(SLOTS))) as gone:
        await serving.all_out()
        await until(lambda: gone.committer.commits > 2, "all is committed")
    hasty = type(QUICK)(commit_interval_seconds=0.02, takeover_after_seconds=0.05, stop_within_seconds=2.0)
    async with serving.running(serving.told("b", range(SLOTS), 1), settings=hasty):
        serving.send(ALL, 5)
        await serving.all_out()
    serving.assert_exact()
    assert "were never let go of by their owner" in caplog.text


async def test_global_windows_are_there_for_gained_slots_and_their_progress_is_whole() -> None:
    """Were a slot's progress committed while it is brought up, it would lack what is not restored yet."""
    days = {"topic": "DAYS", "fields": ["day"], "windowSize": 2, "scope": "Global"}
    source = """
def callback(station_id, module_input):
    return [list(module_input["day_window"]), module_input["power"]]
"""
    serving = Serving(inputs=[*SPEC["inputs"], days], callback={"source": source})
    serving.cluster.create_topic("DAYS")
    for day in range(5):
        serving.cluster.produce("DAYS", {"day": day})
    async with a_pair(serving) as pair:
        serving.send(ALL, 200)
        await serving.all_out()
        await pair.tell(a=FIRST - MOVED)
        held = serving.cluster.hold("source.position")
        serving.cluster.delay("source.poll", 0.02)
        await pair.tell(b=SECOND | MOVED)
        commits = pair.workers["b"].committer.commits
        await until(lambda: pair.workers["b"].committer.commits > commits + 2, "commits meanwhile")
        for progress in (await serving.progress()).values():
            assert set(progress.offsets) == {TopicPartition(INPUT, 0), TopicPartition("DAYS", 0)}
        held.set()
        serving.cluster.delay("source.poll", 0.0)
        await pair.settled()
        serving.send(ALL)
        await serving.all_out()
    assert {tuple(days) for _, (days, power) in serving.outputs if power == 201} == {(3, 4)}
    assert all(serving.powers(station) == list(range(1, 202)) for station in ALL)


async def test_aligned_slots_move_with_their_partitions() -> None:
    cluster = FakeKafka()
    cluster.create_topic(INPUT, partitions=SLOTS)
    serving = Serving(cluster, partitioning={"slots": SLOTS, "routing": "Aligned"})
    async with a_pair(serving) as pair:
        stream = asyncio.create_task(sending(serving, ALL, 100))
        await serving.some_out(200)
        await pair.move(MOVED)
        await stream
        await serving.all_out()
        read = {place.partition for place in pair.workers["b"].feed.parts if place.topic == INPUT}
        assert read == SECOND | MOVED
    serving.assert_exact()


@pytest.mark.parametrize("who", ["only the loser", "neither", "both"])
async def test_a_topic_that_appears_around_a_hand_over_is_read_once_and_whole(
    who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving = Serving(FakeKafka())
    async with a_pair(serving) as pair:
        assert pair.workers["a"].feed.missing == {INPUT}
        serving.cluster.create_topic(INPUT, partitions=2)
        serving.send(ALL, 20)
        if who != "neither":
            pair.workers["a"].feed._look_at = 0.0
            await serving.some_out(20 * len(stations_of(FIRST)))
        if who == "both":
            pair.workers["b"].feed._look_at = 0.0
            await serving.all_out()
        await pair.move(MOVED, wait=False)
        monkeypatch.setattr(feeding, "_MISSING_TOPIC_SECONDS", 0.0)
        for worker in pair.workers.values():
            worker.feed._look_at = 0.0
        serving.send(ALL, 20)
        await pair.settled()
        await serving.all_out()
        serving.send(ALL, 5)
        await serving.all_out()
    serving.assert_exact()


async def test_partitions_that_appear_while_slots_are_taken_over_are_read_once_and_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The feed that brings the slots up does not know them: they wait until it is done."""
    monkeypatch.setattr(feeding, "_DISCOVERY_SECONDS", 0.0)
    monkeypatch.setattr(feeding, "_MISSING_TOPIC_SECONDS", 0.0)
    serving = Serving()
    async with a_pair(serving) as pair:
        serving.send(ALL, 100)
        await serving.all_out()
        await pair.tell(a=FIRST - MOVED)
        gate = serving.cluster.hold("source.committed")
        gaining = asyncio.create_task(pair.tell(b=SECOND | MOVED))
        await until(lambda: pair.workers["b"].moves.gains, "the gain has begun")
        serving.cluster.add_partitions(INPUT, 3)
        for partition in (1, 2):
            for station in ALL:
                value = {"stationId": station, "power": 1_000 + partition}
                serving.cluster.produce(INPUT, value, partition=partition)
        for worker in pair.workers.values():
            worker.feed._look_at = 0.0
        looks = serving.cluster.calls["source.partitions"]
        await until(lambda: serving.cluster.calls["source.partitions"] > looks + 4, "both have looked")
        gate.set()
        await gaining
        await pair.settled()
        await serving.some_out(102 * len(ALL))
    for station in ALL:
        assert sorted(serving.powers(station)) == [*range(1, 101), 1_001, 1_002]


async def test_a_hot_change_while_slots_are_taken_over_holds_for_them_too() -> None:
    serving = Serving()
    async with a_pair(serving) as pair:
        serving.send(ALL, 200)
        await serving.all_out()
        await pair.move(MOVED, wait=False)
        serving.spec["inputs"] = [{**SPEC["inputs"][0], "windowSize": 5}]
        await pair.tell(a=FIRST - MOVED, b=SECOND | MOVED)
        await pair.settled()
        serving.send(ALL)
        await serving.all_out()
    newest = [window for _, window in serving.outputs if window[-1] == 201]
    assert len(newest) == len(ALL)
    assert all(len(window) == 5 and window[-3:] == [199, 200, 201] for window in newest)


async def test_retention_that_takes_the_gainers_offsets_ends_no_worker() -> None:
    serving = Serving()
    async with a_pair(serving) as pair:
        serving.send(ALL, 50)
        await serving.all_out()
        await pair.tell(a=FIRST - MOVED)
        held = serving.cluster.hold("source.committed")
        gaining = asyncio.create_task(pair.tell(b=SECOND | MOVED))
        await until(lambda: pair.workers["b"].moves.gains, "the gain has begun")
        serving.send(ALL, 5)
        serving.cluster.trim(INPUT, 0, 50 * len(ALL))
        held.set()
        await gaining
        await pair.settled()
        await serving.all_out()
        assert pair.workers["b"].failure is None
    assert all(serving.powers(station) == list(range(1, 56)) for station in ALL)


async def test_dead_letters_of_a_moved_slot_are_written_once() -> None:
    """The slot numbered like the partition reports its bad records."""
    serving = Serving(partitions=4)
    async with a_pair(serving) as pair:
        for number in range(200):
            serving.cluster.produce(INPUT, b"broken", partition=number % 4)
            if number == 100:
                await pair.move(MOVED)
        letters = names.dead_letter_topic("module")
        await until(lambda: len(serving.cluster.records(letters)) >= 200, "all dead letters")
    origins = [
        (dict(letter.headers)["dead-letter-partition"], dict(letter.headers)["dead-letter-offset"])
        for letter in serving.cluster.records(letters)
    ]
    assert len(origins) == len(set(origins)) == 200
