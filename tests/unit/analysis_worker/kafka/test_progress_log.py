"""Progress of slots goes through its compacted topic and comes back as it was."""

import pytest

from analysis_worker.engine.records import TopicPartition
from analysis_worker.kafka import outbox, ports, progress_log
from analysis_worker.kafka.progress_log import Ahead, SlotProgress
from tests.builders import a_record
from tests.fakes.kafka import FakeKafka

TOPIC = "module-progress"
PLACE, OTHER = TopicPartition("POWER", 0), TopicPartition("PRICE", 12)


def a_progress(slot: int = 7, **changes: object) -> SlotProgress:
    given: dict[str, object] = {
        "owner": "module-0",
        "epoch": 3,
        "offsets": {PLACE: 10, OTHER: 2**40},
        "floors": {PLACE: 4, OTHER: 0},
        **changes,
    }
    return SlotProgress(slot, **given)  # type: ignore[arg-type]


def a_cluster(*written: SlotProgress | ports.Message) -> FakeKafka:
    cluster = FakeKafka()
    cluster.create_topic(TOPIC)
    for entry in written:
        message = entry.message(TOPIC) if isinstance(entry, SlotProgress) else entry
        cluster.produce(TOPIC, message.value, key=message.key)
    return cluster


async def loaded(cluster: FakeKafka) -> dict[int, SlotProgress]:
    source = cluster.source()
    await source.start()
    return await progress_log.load(source, TOPIC)


@pytest.mark.parametrize("progress", [a_progress(), a_progress(released=True), a_progress(0, offsets={})])
def test_a_record_of_progress_reads_back_as_it_was(progress: SlotProgress) -> None:
    message = progress.message(TOPIC)
    record = a_record(message.value, key=message.key)
    assert progress_log.read_progress(record) == progress


@pytest.mark.parametrize(
    "ahead",
    [
        {PLACE: Ahead(20, {"S1": 10, "": 12})},
        {PLACE: Ahead(2**40, {}), OTHER: Ahead(2**41, {"站": 2**40, "S/2": 3})},
    ],
)
def test_what_is_done_ahead_and_by_which_transaction_reads_back_as_it_was(
    ahead: dict[TopicPartition, Ahead],
) -> None:
    given = a_progress(ahead=ahead, process="3f2a", number=41)
    message = given.message(TOPIC)
    assert progress_log.read_progress(a_record(message.value, key=message.key)) == given


def test_a_record_from_before_there_was_such_a_thing_has_nothing_ahead_and_no_process() -> None:
    old = b'{"owner": "a", "epoch": 3, "released": false, "offsets": {"POWER": {"0": 5}}, "floors": {}}'
    read = progress_log.read_progress(a_record(old, key=b"7"))
    assert read == SlotProgress(7, "a", 3, {PLACE: 5}, {})
    assert (read.ahead, read.process, read.number) == ({}, "", 0)
    assert read.message(TOPIC).value == old.replace(b": ", b":").replace(b", ", b","), "and is written so"


@pytest.mark.parametrize(
    "ahead", [b"5", b"[[1]]", b'[["POWER", "x", 1, {}]]', b'[["POWER", 0, 1, 7]]', b'{"POWER": 1}']
)
def test_a_record_that_is_unreadable_ahead_is_passed_over(
    ahead: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    value = b'{"owner": "a", "epoch": 1, "released": false, "offsets": {}, "floors": {}, "ahead": %s}' % ahead
    assert progress_log.read_progress(a_record(value, offset=99, key=b"1")) is None
    assert "offset 99" in caplog.text


def test_the_key_of_a_record_is_the_slot_so_that_compaction_keeps_the_newest_of_each() -> None:
    assert a_progress(41).message(TOPIC).key == b"41"
    assert progress_log.TOPIC_CONFIG["cleanup.policy"] == "compact"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"x", b'{"owner": "a", "epoch": 1, "released": false, "offsets": {}, "floors": {}}'),
        (b"1", b"not JSON"),
        (b"1", b"[]"),
        (b"1", b"{}"),
        (b"1", b'{"owner": "a", "epoch": 1, "released": false, "offsets": {"T": 5}, "floors": {}}'),
        (b"1", b"\xff"),
    ],
)
def test_an_unreadable_record_is_passed_over_and_the_log_says_which(
    key: bytes, value: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    assert progress_log.read_progress(a_record(value, offset=99, key=key)) is None
    assert "offset 99" in caplog.text


def test_a_tombstone_and_a_record_without_a_key_say_nothing(caplog: pytest.LogCaptureFixture) -> None:
    assert progress_log.read_progress(a_record(None, key=b"1")) is None
    assert progress_log.read_progress(a_record(b"{}")) is None
    assert caplog.text == ""


async def test_the_newest_of_every_slot_is_loaded() -> None:
    entries = [a_progress(slot, offsets={PLACE: offset}) for offset in range(3) for slot in range(5)]
    found = await loaded(a_cluster(*entries))
    assert {slot: progress.offsets for slot, progress in found.items()} == {
        slot: {PLACE: 2} for slot in range(5)
    }


async def test_an_owner_of_an_older_epoch_replaces_nothing() -> None:
    newer, late = a_progress(epoch=5, owner="b"), a_progress(epoch=4, owner="a", offsets={PLACE: 999})
    assert await loaded(a_cluster(newer, late)) == {7: newer}


async def test_of_one_epoch_the_later_record_counts() -> None:
    first, second = a_progress(), a_progress(offsets={PLACE: 11}, released=True)
    assert await loaded(a_cluster(first, second)) == {7: second}


async def test_nothing_is_loaded_from_an_empty_or_missing_topic() -> None:
    assert await loaded(a_cluster()) == {}
    source = FakeKafka().source()
    await source.start()
    assert await progress_log.load(source, TOPIC) == {}


async def test_loading_gets_past_compaction_and_marks_at_the_end() -> None:
    entries = [a_progress(slot % 3, offsets={PLACE: slot}) for slot in range(30)]
    cluster = a_cluster(*entries)
    cluster.compact(TOPIC)
    cluster.mark(TOPIC)
    found = await loaded(cluster)
    assert {slot: progress.offsets[PLACE] for slot, progress in found.items()} == {0: 27, 1: 28, 2: 29}


async def test_loading_gets_past_a_topic_that_has_only_gaps() -> None:
    cluster = a_cluster()
    cluster.mark(TOPIC)
    assert await loaded(cluster) == {}


async def test_loading_begins_where_the_topic_does_after_a_trim() -> None:
    cluster = a_cluster(a_progress(1), a_progress(2), a_progress(3))
    cluster.trim(TOPIC, 0, 1)
    assert set(await loaded(cluster)) == {2, 3}


async def test_unavailable_brokers_are_told_to_the_caller() -> None:
    cluster = a_cluster(a_progress())
    cluster.fail_next(1, "source.poll")
    with pytest.raises(ports.KafkaUnavailable):
        await loaded(cluster)


async def test_progress_written_by_an_outbox_is_loaded_again() -> None:
    cluster = a_cluster()
    box = outbox.Outbox(cluster.sink, lambda message, reason: None)
    await box.start()
    for slot in range(64):
        box.put(a_progress(slot, offsets={PLACE: slot}).message(TOPIC), lambda: None)
    assert await box.flush(5)
    await box.close()
    assert {s: p.offsets[PLACE] for s, p in (await loaded(cluster)).items()} == {s: s for s in range(64)}
