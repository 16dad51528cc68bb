"""examples/migration/mirror-maker.properties in a real MirrorMaker, and the guide's way to the standby site.

A site is lost once, in the fixture `loss`, under a stream; each test states one fact about it.
"""

import collections
import contextlib
import dataclasses
import datetime
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from analysis_module import names
from tests.infrastructure import kafka_mirror, kafka_site, kafka_tools, numbered_stream, waiting
from tests.infrastructure.kafka_cluster import KafkaCluster
from tests.infrastructure.worker_process import WorkerProcess
from tests.project import markdown

ROOT = Path(__file__).parents[2]
FILE = ROOT / "examples" / "migration" / "mirror-maker.properties"
PAGE = markdown.Page(ROOT / "docs" / "guide" / "migration.md")
ROUNDS = 40
PATIENCE_SECONDS = 180.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Copied:
    """One topic's records at both sites, without their offsets."""

    primary: list[tuple[Any, ...]]
    standby: list[tuple[Any, ...]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Quiet:
    """What was at the standby site before the loss, while nothing was under way."""

    inputs: Copied
    outputs: Copied
    topics: frozenset[str]
    group: Mapping[int, tuple[int, str]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Loss:
    """What came of the loss of the primary site.

    `chosen_ms` is the time at which the module began anew, `told` what the command for that printed; `sent`
    are the records that were copied, and those that producers sent to the standby site afterwards.
    """

    before: Quiet
    chosen_ms: int
    told: str
    sent: Sequence[Any]
    outputs: Sequence[kafka_tools.Record]


USUAL = [*kafka_site.stations_in(0, 2), *kafka_site.stations_in(1, 2), *kafka_site.stations_in(2, 2)]
LATE = kafka_site.stations_in(3, 1)
"""A station in a partition of its own, which has its first records shortly before the loss."""


@pytest.fixture(scope="module")
def loss(tmp_path_factory: pytest.TempPathFactory) -> Loss:
    place = tmp_path_factory.mktemp("sites")
    with KafkaCluster() as primary, KafkaCluster() as standby:
        here, there = (kafka_site.at(site.bootstrap_servers) for site in (primary, standby))
        here.make_trimmed_topics()
        producer = kafka_site.Producer(here)
        with WorkerProcess(place, "primary") as worker, mirror_maker(place, here, there) as mirror:
            worker.with_spec(here.module()).start().wait_until_running()
            producer.write(USUAL, ROUNDS)
            until_copied(here, there, mirror, len(producer.sent))
            before = Quiet(
                inputs=copied(here, there, here.topic),
                outputs=copied(here, there, here.output_topic),
                topics=kafka_tools.topics(there.bootstrap),
                group=there.group_offsets(),
            )
            chosen_ms = producer.newest_ms + 1
            until_lost(producer, here, there, worker)
            primary.kill(0)
        told = begin_at(there, chosen_ms)
        sent, outputs = go_on(there, place)
    return Loss(before=before, chosen_ms=chosen_ms, told=told, sent=sent, outputs=outputs)


def mirror_maker(
    place: Path, here: kafka_site.SiteStream, there: kafka_site.SiteStream
) -> kafka_mirror.MirrorMaker:
    """MirrorMaker on a copy of the file in which nothing but addresses and replication factors are others."""
    text = FILE.read_text(encoding="utf-8")
    for name, site in (("primary", here), ("standby", there)):
        text = re.sub(rf"(?m)^({name}\.bootstrap\.servers) = .*$", rf"\1 = {site.bootstrap}", text)
    text = re.sub(r"(?m)(replication\.factor) = 3$", r"\1 = 1", text)
    assert "example.com" not in text
    settings = place / FILE.name
    settings.write_text(text, encoding="utf-8")
    return kafka_mirror.MirrorMaker(settings)


def until_copied(
    here: kafka_site.SiteStream, there: kafka_site.SiteStream, mirror: kafka_mirror.MirrorMaker, count: int
) -> None:
    """Waits until so many inputs, their outputs, and the group's offsets are at the standby site."""

    def is_all_there() -> bool:
        mirror.require_running()
        if not {*kafka_site.INPUTS, here.output_topic} <= kafka_tools.topics(there.bootstrap):
            return False
        are_copied = there.input_count() == there.output_count() == count
        return are_copied and set(there.group_offsets()) >= {0, 1, 2}

    waiting.until(is_all_there, what=f"{count} records are copied", timeout_seconds=PATIENCE_SECONDS)


def until_lost(
    producer: kafka_site.Producer,
    here: kafka_site.SiteStream,
    there: kafka_site.SiteStream,
    worker: WorkerProcess,
) -> None:
    """Goes on until some outputs are copied, and some records whose outputs are not there yet."""
    while there.output_count() < (ROUNDS + 10) * len(USUAL):
        producer.write([*USUAL, *LATE])
    worker.kill()
    answered = here.output_count()
    while there.input_count() < answered + 100:
        producer.write([*USUAL, *LATE])


def copied(here: kafka_site.SiteStream, there: kafka_site.SiteStream, topic: str) -> Copied:
    primary, standby = (
        [
            (each.partition, each.timestamp_ms, each.key, each.value, each.headers)
            for each in kafka_tools.read_all(site.bootstrap, topic)
        ]
        for site in (here, there)
    )
    return Copied(primary=primary, standby=standby)


def begin_at(stream: kafka_site.SiteStream, chosen_ms: int) -> str:
    """The guide's command, with another address and another time; what it prints."""
    (text,) = [each for each in PAGE.code("sh") if "--to-datetime" in each]
    chosen = datetime.datetime.fromtimestamp(chosen_ms / 1000, datetime.UTC)
    words = shlex.split(text.replace("\\\n", " "))
    assert words[0] == "kafka-consumer-groups.sh"
    words[words.index("--bootstrap-server") + 1] = stream.bootstrap
    words[words.index("--to-datetime") + 1] = chosen.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
    return kafka_mirror.consumer_groups(*words[1:])


def go_on(there: kafka_site.SiteStream, place: Path) -> tuple[list[Any], list[kafka_tools.Record]]:
    """The worker and the producers at the standby site; all records there, and all outputs in the end."""
    kept = kafka_tools.read_all(there.bootstrap, there.topic)
    numbers: dict[str, int] = collections.Counter(json.loads(each.value or b"")["stationId"] for each in kept)
    producer = kafka_site.Producer(there, numbers)
    with WorkerProcess(place, "standby") as worker:
        worker.with_spec(there.module()).start().wait_until_running()
        producer.write([*USUAL, *LATE], ROUNDS)
        sent = [*((each.key, each.value) for each in kept), *producer.sent]
        with contextlib.suppress(TimeoutError):  # what is lost then is told by the tests
            waiting.until(
                lambda: not numbered_stream.examine(there.outputs(), sent).lost,
                what="every record has its output",
                timeout_seconds=PATIENCE_SECONDS,
            )
        worker.stop()
    return sent, there.outputs()


def by_record(outputs: Sequence[kafka_tools.Record]) -> dict[tuple[str, float], list[kafka_tools.Record]]:
    """Outputs by station and time."""
    found: dict[tuple[str, float], list[kafka_tools.Record]] = collections.defaultdict(list)
    for each in outputs:
        envelope = json.loads(each.value or b"")
        found[envelope["stationId"], envelope["timestamp"]].append(each)
    return found


def ids(outputs: Sequence[kafka_tools.Record]) -> list[bytes]:
    return [dict(each.headers)[names.HEADER_OUTPUT_ID] for each in outputs]


def test_inputs_and_outputs_are_at_the_other_site_in_their_order_with_all_that_they_carry(loss: Loss) -> None:
    assert loss.before.inputs.standby == loss.before.inputs.primary
    assert loss.before.outputs.standby == loss.before.outputs.primary
    assert len(loss.before.inputs.standby) == len(loss.before.outputs.standby) == ROUNDS * len(USUAL)


def test_what_speaks_of_offsets_is_not_copied(loss: Loss) -> None:
    assert {*kafka_site.INPUTS} <= loss.before.topics
    own = {
        names.progress_topic(kafka_site.GROUP),
        names.strays_topic(kafka_site.GROUP),
        names.dead_letter_topic(kafka_site.GROUP),
        names.last_topic(kafka_site.GROUP),
    }
    assert not own & loss.before.topics


def test_a_groups_offsets_are_copied_with_the_mark_and_only_where_something_was_read(loss: Loss) -> None:
    assert set(loss.before.group) == {0, 1, 2}
    assert {metadata.split()[0] for _, metadata in loss.before.group.values()} == {"station-analysis"}


def test_the_command_begins_each_partition_of_each_input(loss: Loss) -> None:
    begun = [tuple(line.split()[:3]) for line in loss.told.splitlines() if line.startswith(kafka_site.GROUP)]
    assert sorted(begun) == sorted(
        (kafka_site.GROUP, topic, str(number))
        for topic in kafka_site.INPUTS
        for number in range(kafka_site.PARTITIONS)
    )


def test_no_record_that_was_copied_is_without_its_output_at_the_other_site(loss: Loss) -> None:
    found = numbered_stream.examine(loss.outputs, loss.sent)
    assert (found.lost, found.wrong_windows) == ([], [])


def test_what_is_done_again_came_after_the_chosen_time_and_is_known_by_station_and_time(loss: Loss) -> None:
    several = {key: each for key, each in by_record(loss.outputs).items() if len(each) > 1}
    assert several
    assert min(timestamp for _, timestamp in several) * 1000 >= loss.chosen_ms
    assert all(len({output.value for output in each}) == 1 for each in several.values())


def test_an_output_id_tells_nothing_across_the_sites(loss: Loss) -> None:
    several = [each for each in by_record(loss.outputs).values() if len(each) > 1]
    assert all(len(set(ids(each))) == len(each) for each in several)
    assert len(set(ids(loss.outputs))) < len(loss.outputs)
