"""What both services share: pages, shards, warnings, the end of a failed start."""

import json
import logging
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import prometheus_client
import pytest

from analysis_worker.observability import http
from d_a import core, errors
from tests.unit.d_a import offline


@pytest.fixture(autouse=True)
def _directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def service() -> Iterator[offline.Offline]:
    made = offline.Offline(
        "load_prediction", config=offline.settings(KAFKA_CONFIG={**offline.KAFKA, "listener": 1})
    )
    made.cluster = offline.cluster()
    yield made
    made.stop()


def alive(service: offline.Offline) -> Any:
    return service.get_service_status()["consumer_alive"]


def fetched(port: int, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        return answer.read()


def test_pages_are_served_where_the_environment_says(
    service: offline.Offline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(core.ENV_HTTP_PORT, "0")
    service.start(lambda s, i: 1)
    offline.until(lambda: alive(service), "it runs")
    assert service._pages is not None
    health = json.loads(fetched(service._pages.port, "/health"))
    assert health["service"]["consumer_alive"] is True
    assert b"data_analysis_station_count" in fetched(service._pages.port, "/metrics")


def test_without_it_no_port_is_opened(service: offline.Offline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(core.ENV_HTTP_PORT, raising=False)
    service.start(lambda s, i: 1)
    assert service._pages is None


def test_a_port_that_is_none_is_told_and_the_service_may_be_started_without(
    service: offline.Offline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(core.ENV_HTTP_PORT, "eighty")
    with pytest.raises(errors.ConfigurationError, match="DATA_ANALYSIS_HTTP_PORT: is 'eighty'"):
        service.start(lambda s, i: 1)
    assert logging.getLogger("analysis_worker").handlers == []
    monkeypatch.delenv(core.ENV_HTTP_PORT)
    service.start(lambda s, i: 1)
    offline.until(lambda: alive(service), "it runs")


def test_a_port_that_is_taken_is_told(service: offline.Offline, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = http.StatusServer(service, prometheus_client.CollectorRegistry(), port=0, version="0")  # type: ignore[arg-type]
    taken.start()
    monkeypatch.setenv(core.ENV_HTTP_PORT, str(taken.port))
    with pytest.raises(http.CannotListen):
        service.start(lambda s, i: 1)
    taken.stop()


def test_metrics_are_there_for_a_program_that_serves_them_itself(service: offline.Offline) -> None:
    service.start(lambda s, i: 1)
    offline.until(lambda: alive(service), "it runs")
    assert b"data_analysis_processed_total" in prometheus_client.generate_latest(service.registry)


def test_a_shard_runs_its_part_of_the_stations(
    service: offline.Offline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA_ANALYSIS_SHARDS", "2")
    monkeypatch.setenv("DATA_ANALYSIS_SHARD", "data-analysis-1")
    service.start(lambda s, i: 1)
    offline.until(lambda: alive(service), "it runs")
    assert service._runner is not None
    assert service._runner.worker.assignment.slots == frozenset(range(32, 64))


def test_what_a_configuration_says_in_vain_is_told_once_it_starts(
    service: offline.Offline, caplog: pytest.LogCaptureFixture
) -> None:
    assert caplog.text == ""
    service.start(lambda s, i: 1)
    assert "KAFKA_CONFIG: listener is not a setting of these clients and ignored" in caplog.text
