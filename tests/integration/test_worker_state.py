"""Windows kept in files: a restart begins where they end, and whatever is wrong with them costs no record."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.infrastructure import kills, numbered_stream
from tests.infrastructure.kafka_cluster import KafkaEndpoint
from tests.infrastructure.numbered_stream import NumberedStream

WINDOW = 1_100
STATIONS = 8
CALLBACK = """
import numpy

def callback(station_id, module_input):
    window = numpy.asarray(module_input["number_window"])
    marks = [window[0], window[-1], window.sum(), (window * numpy.arange(len(window))).sum()]
    return {"number": module_input["number"], "marks": [int(mark) for mark in marks]}
"""
TAKEN = re.compile(r"(\d+) windows of (\d+) slots are taken from files")


def a_stream(kafka: KafkaEndpoint, name: str) -> NumberedStream:
    return numbered_stream.make(kafka.bootstrap_servers, name)


def changes(stream: NumberedStream, **more: Any) -> dict[str, Any]:
    inputs = [{"topic": stream.topic, "fields": ["stationId", "number"], "windowSize": WINDOW}]
    return {"inputs": inputs, "callback": {"source": CALLBACK}, **more}


def marks_at(number: int) -> list[int]:
    window = numbered_stream.window_at(number, WINDOW)
    return [window[0], window[-1], sum(window), sum(n * at for at, n in enumerate(window))]


def assert_whole(stream: NumberedStream, sent: Sequence[Any], *, doubles: bool = True) -> None:
    """Every record has its output, made of the window that a worker that never ended would have seen."""
    outputs = stream.outputs()
    found = numbered_stream.examine(outputs, sent, windows=False)
    assert (found.lost, found.doubled_unmarked) == ([], 0)
    assert doubles or found.doubled == 0
    results = [json.loads(output.value or b"")["output"] for output in outputs]
    assert [r for r in results if r["marks"] != marks_at(r["number"])] == []


def taken(log: str) -> list[int]:
    """How many windows each start has taken from files."""
    return [int(found[1]) for found in TAKEN.finditer(log)]


@pytest.mark.parametrize("delivery", ["AtLeastOnce", "ExactlyOnce"])
def test_a_worker_killed_twenty_times_takes_its_windows_from_files_and_they_are_as_they_were(
    kafka: KafkaEndpoint, tmp_path: Path, delivery: str
) -> None:
    stream = a_stream(kafka, "state-kills")
    sent = list(numbered_stream.records(20_000, STATIONS))
    state = tmp_path / "state"
    kills.run_killed(stream, sent, 20, tmp_path, state=state, **changes(stream, delivery=delivery))
    assert_whole(stream, sent, doubles=delivery == "AtLeastOnce")
    assert taken((tmp_path / "worker-21.log").read_text()) == [STATIONS], "a start after a kill found them"
