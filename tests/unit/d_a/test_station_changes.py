"""Stations added and removed by hand, on the worker's loop."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from d_a import station_changes
from tests.unit.d_a import offline


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[offline.Offline]:
    monkeypatch.chdir(tmp_path)
    made = offline.Offline("load_prediction", config=offline.SETTINGS)
    made.cluster = offline.cluster()
    yield made
    made.stop()


def test_what_waits_for_a_removed_station_is_done_without_a_callback(
    service: offline.Offline,
) -> None:
    called, gate = [], threading.Event()

    def callback(station_id: str, module_input: dict[str, int]) -> int:
        called.append(module_input["power"])
        gate.wait(10)
        return 1

    service.start(callback)
    offline.produce(service, offline.TOPIC, {"stationId": "S1", "power": 1})
    offline.until(lambda: called == [1], "the first is under way")
    offline.produce(service, offline.TOPIC, *({"stationId": "S1", "power": n} for n in (2, 3)))
    runner, functions = service._runner, service._functions
    assert runner is not None
    assert functions is not None
    offline.until(lambda: runner.worker.flow.waiting == 2, "two are waiting")
    runner.submit(station_changes.remove(runner.worker, functions, "S1")).result(10)
    gate.set()
    part = runner.worker.feed.parts[next(iter(runner.worker.feed.parts))]
    offline.until(lambda: part.progress.lowest() == 3, "all three are done")
    assert called == [1]


def test_removing_a_station_that_is_not_known_does_nothing(service: offline.Offline) -> None:
    service.start(lambda s, i: 1)
    runner, functions = service._runner, service._functions
    assert runner is not None
    assert functions is not None
    offline.until(lambda: runner.started.done(), "it runs")
    runner.submit(station_changes.remove(runner.worker, functions, "S9")).result(10)
    assert service.get_station_status() == {}
