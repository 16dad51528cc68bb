"""A service's log as JSON lines: whose line it is, and how long each call took."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.d_a import offline


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a service that the environment tells to write all that there is as JSON."""
    path = tmp_path / "service.json.log"
    monkeypatch.setenv("DATA_ANALYSIS_LOG", str(path))
    monkeypatch.setenv("DATA_ANALYSIS_LOG_FORMAT", "json")
    monkeypatch.setenv("LOG_LEVEL", "DEBUG")
    return path


def lines(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


def calls(log: Path) -> list[dict[str, Any]]:
    return [line for line in lines(log) if "processing_time" in line]


def run(log: Path, callback: Callable[[str, Any], Any], *powers: int) -> None:
    """A service from start to stop, with a call for each record between."""
    service = offline.Offline("load_prediction", config=offline.SETTINGS)
    service.cluster = offline.cluster()
    service.start(callback)
    try:
        offline.produce(service, offline.TOPIC, *({"stationId": "S1", "power": n} for n in powers))
        offline.until(lambda: len(calls(log)) == len(powers), "each call has its line")
    finally:
        service.stop()


def test_each_call_has_a_line_with_level_station_and_processing_time(log: Path) -> None:
    run(log, lambda station_id, module_input: 1 / module_input["power"], 1, 0, 2)

    found = calls(log)
    assert [(line["level"], line["offset"]) for line in found] == [("DEBUG", 0), ("ERROR", 1), ("DEBUG", 2)]
    assert {(line["station_id"], line["topic"]) for line in found} == {("S1", offline.TOPIC)}
    assert all(line["processing_time"] > 0 for line in found)
    assert found[1]["error_type"] == "callback_error"


def test_the_lines_of_a_service_name_its_module_and_shard(log: Path) -> None:
    run(log, lambda station_id, module_input: 1, 1)

    assert {(line["module"], line["shard"]) for line in lines(log)} == {("load_prediction", 0)}
