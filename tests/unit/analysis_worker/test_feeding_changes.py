"""A feed lives through outages, topics that come and go, backlogs, and partitions of its own."""

import asyncio
from typing import Any

import pytest

from analysis_module import reading
from analysis_worker import assembling, feeding
from analysis_worker.engine.records import TopicPartition
from analysis_worker.kafka import ports
from tests.fakes.kafka import FakeKafka
from tests.unit.analysis_worker.feeding_on_fake import Fed, a_stream, add, progress_of, station_of
from tests.unit.analysis_worker.in_memory import INPUT, SPEC, until

LATEST = {"kafka": {**SPEC["kafka"], "autoOffsetReset": "latest"}}
PLACE = TopicPartition(INPUT, 0)


@pytest.fixture
def looking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step looks for new topics and partitions."""
    monkeypatch.setattr(feeding, "_MISSING_TOPIC_SECONDS", 0.0)
    monkeypatch.setattr(feeding, "_DISCOVERY_SECONDS", 0.0)


# -- brokers that are away --------------------------------------------------------------------------


async def test_a_begin_that_fails_leaves_no_connection_open_and_may_be_tried_again() -> None:
    cluster = a_stream(2, station_of(7))
    cluster.fail_next(1, "source.bounds")
    fed = Fed(cluster, slots=[7])
    with pytest.raises(ports.KafkaUnavailable):
        async with fed.begun():
            pass
    assert not any(source.started for source in cluster.sources)
    async with Fed(cluster, slots=[7]).begun() as fed:
        await fed.caught_up()
    assert fed.newest == [0, 1]


@pytest.mark.parametrize("error", [ports.KafkaUnavailable("away"), ports.KafkaRefused("not permitted")])
async def test_failed_polls_are_waited_for_and_nothing_is_lost(error: Exception) -> None:
    cluster = a_stream(3, station_of(7))
    async with Fed(cluster, slots=[7]).begun() as fed:
        await fed.live()
        cluster.fail_next(2, "source.poll", error)
        add(cluster, 3, station_of(7), first=3)
        await fed.feed.attempt()
        assert not fed.feed.connected
        await fed.feed.attempt()
        await fed.feed.attempt()
        assert fed.feed.connected
        await fed.caught_up()
    assert fed.newest == [0, 1, 2, 3, 4, 5]


async def test_run_brings_records_until_it_is_cancelled() -> None:
    cluster = a_stream(3, station_of(7))
    async with Fed(cluster, slots=[7]).begun() as fed:
        running = asyncio.create_task(fed.feed.run())
        await until(lambda: fed.newest == [0, 1, 2], "the first outputs")
        cluster.disconnect()
        add(cluster, 2, station_of(7), first=3)
        cluster.reconnect()
        await until(lambda: fed.newest == [0, 1, 2, 3, 4], "all outputs")
        running.cancel()
        await asyncio.wait([running])


@pytest.mark.usefixtures("looking")
async def test_a_partition_that_stands_still_though_records_wait_is_connected_to_anew(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster = a_stream(1, station_of(7))
    async with Fed(cluster, slots=[7]).begun() as fed:
        await fed.caught_up()
        cluster.sources[-1].paused.add(PLACE)  # as if the client had forgotten it
        add(cluster, 2, station_of(7), first=1)
        starts = cluster.calls["source.start"]
        async with asyncio.timeout(5):
            await fed.caught_up()
        assert cluster.calls["source.start"] == starts + 1
    assert fed.newest == [0, 1, 2]
    assert fed.count("reconnects_total", client="consumer") == 1
    assert "stand still" in caplog.text


@pytest.mark.usefixtures("looking")
async def test_a_mark_at_the_end_is_no_lag_and_no_standstill(caplog: pytest.LogCaptureFixture) -> None:
    cluster = a_stream(1, station_of(7))
    async with Fed(cluster, slots=[7]).begun() as fed:
        await fed.caught_up()
        cluster.mark(INPUT)
        for _ in range(5):
            await fed.feed.step()
        assert fed.part().progress.position == 2
        assert fed.feed.lags[PLACE].end_offset == 2
    assert "stand still" not in caplog.text


# -- topics and partitions that come and go ---------------------------------------------------------


@pytest.mark.usefixtures("looking")
@pytest.mark.parametrize("spec", [{}, LATEST])
async def test_a_topic_that_is_missing_is_told_looked_for_and_read_whole_once_it_is_there(
    spec: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    cluster = FakeKafka()
    async with Fed(cluster, slots=[7], **spec).begun() as fed:
        assert fed.feed.missing == {INPUT}
        assert "topic POWER does not exist yet; create it" in caplog.text
        await fed.feed.step()
        cluster.create_topic(INPUT, partitions=2)
        add(cluster, 3, station_of(7), partition=1)
        await fed.feed.step()
        await fed.caught_up()
        assert fed.feed.missing == set()
    assert fed.newest == [0, 1, 2]
    assert caplog.text.count("does not exist yet") == 1


@pytest.mark.usefixtures("looking")
@pytest.mark.parametrize("spec", [{}, LATEST])
async def test_new_partitions_are_found_and_read_from_their_beginning(spec: dict[str, Any]) -> None:
    cluster = a_stream(0)
    async with Fed(cluster, slots=[7], **spec).begun() as fed:
        await fed.live()
        cluster.add_partitions(INPUT, 3)
        add(cluster, 3, station_of(7), partition=2)
        await fed.feed.step()
        await fed.caught_up()
        assert set(fed.feed.parts) == {TopicPartition(INPUT, partition) for partition in range(3)}
    assert fed.newest == [0, 1, 2]


@pytest.mark.usefixtures("looking")
async def test_a_partition_found_while_windows_are_restored_waits_for_them() -> None:
    station = station_of(7)
    cluster = a_stream(5_000, station)
    async with Fed(cluster, slots=[7]).begun(progress_of(7, 5_000, floor=0)) as fed:
        cluster.add_partitions(INPUT, 2)
        add(cluster, 1, station, first=9_000, partition=1)
        await fed.feed.step()
        assert len(fed.feed.parts) == 2
        assert fed.feed.restoring
        await fed.caught_up()
    assert fed.outputs == [[4_998, 4_999, 9_000]]


@pytest.mark.usefixtures("looking")
async def test_a_topic_that_is_deleted_holds_up_no_other(caplog: pytest.LogCaptureFixture) -> None:
    cluster = a_stream(1, station_of(7))
    cluster.create_topic("PRICE")
    price = {"topic": "PRICE", "fields": ["stationId", "price"], "windowSize": 1}
    async with Fed(cluster, slots=[7], inputs=[*SPEC["inputs"], price]).begun() as fed:
        await fed.caught_up()
        cluster.delete_topic("PRICE")
        add(cluster, 2, station_of(7), first=1)
        for _ in range(3):
            await fed.feed.step()
        assert fed.feed.missing == {"PRICE"}
        assert fed.feed.connected
    assert fed.newest == [0, 1, 2]


def changed(**spec: Any) -> assembling.Assembly:
    return assembling.assemble(reading.read_spec({**SPEC, **spec}))


async def test_a_hot_change_adds_topics_with_the_next_step_and_leaves_others_at_once() -> None:
    cluster = a_stream(2, station_of(7))
    cluster.create_topic("OTHER")
    add(cluster, 2, station_of(7), first=20, topic="OTHER")
    other = {**SPEC["inputs"][0], "topic": "OTHER"}
    async with Fed(cluster, slots=[7]).begun() as fed:
        await fed.caught_up()
        for inputs in ([*SPEC["inputs"], other], [other]):
            assembly = changed(inputs=inputs)
            fed.engine.reconfigure(assembly.engine_settings)
            fed.flow.configure(assembly, fed.flow.callbacks.current)
            fed.feed.reassemble(assembly)
            await fed.feed.step()
            await fed.caught_up()
        assert set(fed.feed.parts) == {TopicPartition("OTHER", 0)}
        add(cluster, 2, station_of(7), first=2)
        await fed.feed.step()
        assert cluster.sources[-1].positions == {TopicPartition("OTHER", 0): 2}
    assert fed.newest == [0, 1, 20, 21]


async def test_a_topic_added_hot_is_read_by_the_reset_policy() -> None:
    cluster = a_stream(2, station_of(7))
    cluster.create_topic("OTHER")
    add(cluster, 2, station_of(7), first=20, topic="OTHER")
    other = {**SPEC["inputs"][0], "topic": "OTHER"}
    async with Fed(cluster, slots=[7], **LATEST).begun() as fed:
        await fed.caught_up()
        assembly = changed(inputs=[*SPEC["inputs"], other], **LATEST)
        fed.engine.reconfigure(assembly.engine_settings)
        fed.flow.configure(assembly, fed.flow.callbacks.current)
        fed.feed.reassemble(assembly)
        await fed.feed.step()
        add(cluster, 1, station_of(7), first=22, topic="OTHER")
        await fed.caught_up()
    assert fed.newest == [22]


async def test_a_paused_topic_that_a_hot_change_leaves_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeding, "_MOST_OUTSTANDING", 10)
    cluster = a_stream(50, station_of(7))
    cluster.create_topic("OTHER")
    held = cluster.hold("sink.send")
    async with Fed(cluster, slots=[7]).begun() as fed:
        await fed.feed.step()
        assert cluster.sources[-1].paused == {PLACE}
        assembly = changed(inputs=[{**SPEC["inputs"][0], "topic": "OTHER"}])
        fed.engine.reconfigure(assembly.engine_settings)
        fed.flow.configure(assembly, fed.flow.callbacks.current)
        fed.feed.reassemble(assembly)
        await fed.feed.step()
        assert set(cluster.sources[-1].positions) == {TopicPartition("OTHER", 0)}
        held.set()


# -- back-pressure ----------------------------------------------------------------------------------


async def test_a_backlog_of_outputs_pauses_its_partition_alone_and_it_is_read_on_when_that_has_shrunk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feeding, "_MOST_OUTSTANDING", 100)
    slow, quick = station_of(1), station_of(2)
    cluster = FakeKafka()
    cluster.create_topic(INPUT, partitions=2)
    add(cluster, 150, slow)
    add(cluster, 10, quick, first=1_000, partition=1)
    gate = asyncio.Event()

    async def callback(station_id: str, module_input: Any) -> list[Any]:
        if station_id == slow:
            while not gate.is_set():
                await asyncio.sleep(0.002)
        return list(module_input["power_window"])

    async with Fed(cluster, slots=[1, 2], callback=callback).begun() as fed:
        await fed.live()
        assert fed.part().progress.outstanding == 150
        assert cluster.sources[-1].paused == {PLACE}
        add(cluster, 50, slow, first=150)
        add(cluster, 10, quick, first=1_010, partition=1)
        await fed.feed.step()
        assert fed.part().progress.position == 150
        assert fed.part(1).progress.position == 20
        await until(lambda: len(fed.newest) == 20, "the other partition's outputs")
        gate.set()
        await until(lambda: fed.part().progress.outstanding < 50, "the backlog has shrunk")
        await fed.feed.step()
        assert cluster.sources[-1].paused == set()
        await fed.caught_up()
    assert [newest for newest in fed.newest if newest < 1_000] == list(range(200))


async def test_too_many_held_records_end_the_restoring_rather_than_fill_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feeding, "_MOST_HELD", 100)
    behind, ahead = station_of(1), station_of(2)
    cluster = FakeKafka()
    cluster.create_topic(INPUT)
    for number in range(3_000):
        add(cluster, 1, behind, first=number)
        add(cluster, 1, ahead, first=number)
    held = [progress_of(1, 10, floor=0), progress_of(2, 5_990, floor=0)]
    async with Fed(cluster, slots=[1, 2]).begun(*held) as fed:
        await fed.caught_up()
    by_station: dict[bytes | None, list[int]] = {}
    for record in cluster.records("OUTPUT"):
        by_station.setdefault(record.key, []).append(record.json()["output"][-1])
    assert by_station == {
        behind.encode(): list(range(5, 3_000)),
        ahead.encode(): list(range(2_995, 3_000)),
    }


# -- Aligned ----------------------------------------------------------------------------------------


async def test_an_aligned_topic_is_read_only_where_the_slots_are() -> None:
    cluster = FakeKafka()
    cluster.create_topic(INPUT, partitions=4)
    for slot in range(4):
        add(cluster, 2, station_of(slot, 4), first=10 * slot, partition=slot)
    partitioning = {"slots": 4, "routing": "Aligned"}
    async with Fed(cluster, slots=[1, 3], partitioning=partitioning).begun() as fed:
        read = {place.partition for place in fed.feed.parts if place.topic == INPUT}
        await fed.caught_up()
    assert read == {1, 3}
    assert sorted(fed.newest) == [10, 11, 30, 31]


async def test_an_aligned_topic_of_another_partition_count_is_read_as_filtered_and_that_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster = FakeKafka()
    cluster.create_topic(INPUT, partitions=3)
    add(cluster, 2, station_of(1, 4), partition=2)
    partitioning = {"slots": 4, "routing": "Aligned"}
    async with Fed(cluster, slots=[1], partitioning=partitioning).begun() as fed:
        await fed.caught_up()
    assert fed.newest == [0, 1]
    assert "topic POWER has 3 partitions but the module 4 slots; it is read as Filtered" in caplog.text


async def test_a_record_in_a_partition_of_another_slot_is_passed_on_to_its_owner() -> None:
    cluster = FakeKafka()
    cluster.create_topic(INPUT, partitions=4)
    add(cluster, 2, station_of(3, 4), partition=1)
    partitioning = {"slots": 4, "routing": "Aligned"}
    async with Fed(cluster, slots=[1], partitioning=partitioning).begun() as one:
        await one.caught_up()
        assert (one.newest, one.part(1).wrong_partition) == ([], 2)
    strays = cluster.records("module-strays")
    assert [dict(stray.headers)["stray-offset"] for stray in strays] == [b"0", b"1"]
    async with Fed(cluster, slots=[3], partitioning=partitioning).begun() as owner:
        await owner.caught_up()
    assert owner.newest == [0, 1]
