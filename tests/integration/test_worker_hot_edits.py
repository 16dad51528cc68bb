"""Every hot field edited in mid-stream: applied within a second, nothing lost, windows kept."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from analysis_module import assignment, reading
from tests.infrastructure import kafka_tools, numbered_stream, waiting
from tests.infrastructure.kafka_cluster import KafkaEndpoint
from tests.infrastructure.worker_process import WorkerProcess, manifest

CALLBACK = """
def callback(station_id, module_input, parameters):
    return {
        "number": module_input["number"],
        "window": list(module_input["number_window"]),
        "extra": module_input.get("extra"),
        "parameters": parameters,
        "edition": EDITION,
    }
"""


def _edition(number: int) -> str:
    return f"EDITION = {number}\n{CALLBACK}"


def _hash(spec: Mapping[str, Any]) -> str:
    module_spec = reading.read_spec(dict(spec))
    return assignment.for_shard(module_spec, 0, 1).config_hash


class Editing:
    """A worker under a steady stream whose manifest is edited."""

    def __init__(self, worker: WorkerProcess, spec: dict[str, Any]) -> None:
        self.worker = worker
        self.spec = spec
        self.seconds: list[float] = []

    def edit(self, **changes: Any) -> None:
        """Change top-level fields; wait until the worker says that it runs them."""
        self.spec = {**self.spec, **changes}
        wanted = _hash(self.spec)
        began = time.monotonic()
        self.worker.replace(yaml.safe_dump(manifest(self.spec)))
        waiting.until(
            lambda: self.worker.status()["config"]["applied_hash"] == wanted,
            what=f"{sorted(changes)} is applied, {self.worker.status()['config']}",
            timeout_seconds=10,
        )
        self.seconds.append(time.monotonic() - began)


def test_every_hot_field_is_applied_in_mid_stream_and_no_record_is_lost(
    kafka: KafkaEndpoint, tmp_path: Path
) -> None:
    stream = numbered_stream.make(kafka.bootstrap_servers, "hot")
    late_topic = f"{stream.group}-late"
    kafka_tools.create_topic(kafka.bootstrap_servers, late_topic)
    outputs_topic = f"{stream.group}-elsewhere"
    kafka_tools.create_topic(kafka.bootstrap_servers, outputs_topic)
    base = {"topic": stream.topic, "fields": ["stationId", "number"], "windowSize": 20}
    spec = stream.spec(inputs=[base], callback={"source": _edition(1), "parameters": {"a": 1}})
    with WorkerProcess(tmp_path).with_spec(spec) as worker, numbered_stream.SteadyStream(stream) as steady:
        worker.start().wait_until_running()
        waiting.until(lambda: stream.output_count() > 300, what="a first part", timeout_seconds=30)
        editing = Editing(worker, spec)
        editing.edit(inputs=[{**base, "windowSize": 30}])
        editing.edit(inputs=[{**base, "windowSize": 20, "fields": ["stationId", "number", "extra"]}])
        editing.edit(inputs=[{**base, "keepLast": True}])
        editing.edit(inputs=[base])
        editing.edit(padding="Missing")
        editing.edit(padding="Zero")
        editing.edit(callback={"source": _edition(2), "parameters": {"a": 1}})
        editing.edit(callback={"source": _edition(2), "parameters": {"a": 2}, "concurrency": 3})
        editing.edit(inputs=[base, {"topic": late_topic, "fields": ["stationId", "late"], "windowSize": 3}])
        editing.edit(trigger={"policy": "Latest"})
        editing.edit(trigger={"policy": "EveryRecord"})
        editing.edit(stations={"exclude": ["nobody-*"]})
        editing.edit(dependencies=[{"module": "elsewhere", "topic": outputs_topic, "windowSize": 4}])
        editing.edit(dependencies=[])
        editing.edit(output={"topic": stream.output_topic, "envelope": "standard"})
        editing.edit(errors={"retries": 2, "backoffSeconds": 0.1})
        editing.edit(expireAfterSeconds=900)
        editing.edit(observability={"logLevel": "DEBUG", "perStationSeries": True})
        seen = stream.output_count()
        waiting.until(lambda: stream.output_count() > seen + 300, what="a last part", timeout_seconds=30)
        steady.enough()
        waiting.until(
            lambda: stream.output_count() >= len(steady.sent) - _coalesced(worker),
            what="all outputs",
            timeout_seconds=60,
        )
        coalesced = _coalesced(worker)
        worker.stop()
        assert "DEBUG" in worker.log()
    found = numbered_stream.examine(stream.outputs(), steady.sent, windows=False)
    assert len(found.lost) == coalesced
    assert (found.doubled, found.doubled_unmarked) == (0, 0)
    outputs = [json.loads(output.value or b"")["output"] for output in stream.outputs()]
    assert {output["edition"] for output in outputs} == {1, 2}
    assert {output["parameters"]["a"] for output in outputs} == {1, 2}
    # From whatever window size it was read: the numbers in it are the newest, without a gap.
    for output in outputs:
        numbers = [number for number in output["window"] if number]
        assert numbers == list(range(output["number"] - len(numbers) + 1, output["number"] + 1))
        assert len(output["window"]) in (20, 30)
    late = [output for output in outputs if output["number"] > 60]
    assert all(all(output["window"]) for output in late), "a window that was full stayed full"
    assert max(editing.seconds) < 1.0, editing.seconds


def _coalesced(worker: WorkerProcess) -> int:
    text = worker.get("/metrics")[1]
    line = next(line for line in text.splitlines() if line.startswith("data_analysis_coalesced_total"))
    return int(float(line.split()[-1]))


def test_a_bad_edit_is_refused_with_its_reason_and_the_old_one_goes_on(
    kafka: KafkaEndpoint, tmp_path: Path
) -> None:
    stream = numbered_stream.make(kafka.bootstrap_servers, "bad-edit")
    spec = stream.spec()
    refusals = {
        "windowSize": stream.spec(
            inputs=[{"topic": stream.topic, "fields": ["stationId", "number"], "windowSize": 0}]
        ),
        "callback.source": stream.spec(callback={"source": "def callback(:"}),
        "spec.partitioning.slots": stream.spec(partitioning={"slots": 32}),
    }
    with WorkerProcess(tmp_path).with_spec(spec) as worker:
        worker.start().wait_until_running()
        applied = worker.status()["config"]["applied_hash"]
        for field, bad in refusals.items():
            worker.replace(yaml.safe_dump(manifest(bad)))
            waiting.until(
                lambda field=field: any(field in text for text in worker.status()["config"]["refused"]),
                what=f"the refusal names {field}: {worker.status()['config']}",
                timeout_seconds=10,
            )
            assert worker.status()["config"]["applied_hash"] == applied
        sent = list(numbered_stream.records(200, 5))
        kafka_tools.produce_all(stream.bootstrap, stream.topic, sent)
        waiting.until(lambda: stream.output_count() >= 200, what="all outputs", timeout_seconds=30)
        worker.replace(yaml.safe_dump(manifest(spec)))
        waiting.until(
            lambda: worker.status()["config"]["refused"] == [],
            what="a good edit clears it",
            timeout_seconds=10,
        )
        worker.stop()
    assert numbered_stream.examine(stream.outputs(), sent).lost == []
