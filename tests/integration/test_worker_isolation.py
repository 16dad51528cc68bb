"""One slow station, bad records by the thousand: nothing else suffers."""

import collections
import json
import time
from pathlib import Path

import pytest

from analysis_module import names
from analysis_worker.simulation import faults
from tests.infrastructure import kafka_tools, numbered_stream, waiting
from tests.infrastructure.kafka_cluster import KafkaEndpoint
from tests.infrastructure.worker_process import WorkerProcess

HOSTILE = 10_000
SLEEPERS = {
    "sync": """
import time
def callback(station_id, module_input):
    if station_id == "S0":
        time.sleep(30)
    return {"number": module_input["number"]}
""",
    "async": """
import asyncio
async def callback(station_id, module_input):
    if station_id == "S0":
        await asyncio.sleep(30)
    return {"number": module_input["number"]}
""",
    "async that blocks its loop": """
import time
async def callback(station_id, module_input):
    if station_id == "S0" and module_input["number"] == 1:
        time.sleep(5)
    return {"number": module_input["number"]}
""",
}


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_callback_asleep_for_one_station_holds_up_no_other(
    kafka: KafkaEndpoint, tmp_path: Path, kind: str
) -> None:
    stream = numbered_stream.make(kafka.bootstrap_servers, "asleep", partitions=1)
    sent = list(numbered_stream.records(2_000, 20))
    others = sum(1 for key, *_ in sent if key != b"S0")
    with WorkerProcess(tmp_path).with_spec(stream.spec(callback={"source": SLEEPERS[kind]})) as worker:
        worker.start().wait_until_running()
        began = time.monotonic()
        kafka_tools.produce_all(stream.bootstrap, stream.topic, sent)
        waiting.until(lambda: stream.output_count() >= others, what="the others' outputs", timeout_seconds=25)
        assert time.monotonic() - began < 25, "S0 was still asleep"
        assert worker.get("/livez")[0] == 200
        assert worker.get("/status/stations/S0")[1]["in_flight"] is True
        worker.kill()
    by_station = collections.Counter(output.key for output in stream.outputs())
    assert by_station[b"S0"] == 0


def test_an_async_callback_that_blocks_its_loop_holds_up_no_probe_and_no_commit(
    kafka: KafkaEndpoint, tmp_path: Path
) -> None:
    stream = numbered_stream.make(kafka.bootstrap_servers, "blocks", partitions=1)
    source = SLEEPERS["async that blocks its loop"]
    sent = list(numbered_stream.records(200, 5))
    with WorkerProcess(tmp_path).with_spec(stream.spec(callback={"source": source})) as worker:
        worker.start().wait_until_running()
        kafka_tools.produce_all(stream.bootstrap, stream.topic, sent)
        waiting.until(
            lambda: worker.status()["in_flight"] > 0, what="the callback blocks", timeout_seconds=20
        )
        committed = worker.status()["committed_at"] or 0.0
        assert worker.get("/livez")[0] == 200
        waiting.until(
            lambda: (worker.status()["committed_at"] or 0.0) > committed,
            what="a commit meanwhile",
            timeout_seconds=4,
        )
        assert worker.status()["in_flight"] > 0
        waiting.until(lambda: stream.output_count() >= 200, what="all outputs", timeout_seconds=30)
        worker.stop()


def test_ten_thousand_hostile_records_all_reach_the_dead_letters_and_stop_nothing(
    kafka: KafkaEndpoint, tmp_path: Path
) -> None:
    stream = numbered_stream.make(kafka.bootstrap_servers, "hostile", partitions=2)
    sound = list(numbered_stream.records(1_000, 10))
    hostile = list(faults.hostile_records(HOSTILE, 7))
    mixed: list[object] = []
    for index, value in enumerate(hostile):
        mixed.append((b"hostile", value, [], None, None))
        if index % 10 == 0:
            mixed.append(sound[index // 10])
    # currentSOC is declared: what is not declared is ignored, of whatever type it is.
    fields = ["stationId", "number", "currentSOC"]
    spec = stream.spec(
        inputs=[{"topic": stream.topic, "fields": fields, "windowSize": numbered_stream.WINDOW}]
    )
    with WorkerProcess(tmp_path).with_spec(spec) as worker:
        worker.start().wait_until_running()
        kafka_tools.produce_all(stream.bootstrap, stream.topic, mixed)
        waiting.until(
            lambda: (
                sum(kafka_tools.end_offsets(stream.bootstrap, stream.dead_letter_topic).values()) >= HOSTILE
                and stream.output_count() >= len(sound)
            ),
            what="all dead letters and all outputs",
            timeout_seconds=120,
        )
        assert worker.get("/livez")[0] == 200
        worker.stop()
    letters = kafka_tools.read_all(stream.bootstrap, stream.dead_letter_topic)
    origins = {
        (
            dict(letter.headers)[names.HEADER_DEAD_LETTER_PARTITION],
            dict(letter.headers)[names.HEADER_DEAD_LETTER_OFFSET],
        )
        for letter in letters
    }
    assert len(letters) == len(origins) == HOSTILE
    assert all(dict(letter.headers)[names.HEADER_DEAD_LETTER_ERROR] for letter in letters)
    found = numbered_stream.examine(stream.outputs(), sound)
    assert (found.lost, found.doubled, found.wrong_windows) == ([], 0, [])
    counted = json.dumps(
        collections.Counter(
            dict(letter.headers)[names.HEADER_DEAD_LETTER_ERROR_TYPE].decode() for letter in letters
        )
    )
    assert len(json.loads(counted)) >= 4
