"""What the demo reads of a worker: its metrics and its log."""

import json

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from analysis_worker.observability.metrics import WorkerMetrics
from analysis_worker.simulation import demo_worker


def test_figures_are_read_from_a_worker_s_own_metrics() -> None:
    registry = CollectorRegistry()
    metrics = WorkerMetrics(registry, module="m", owner="m-0")
    metrics.consumed("A", 5)
    metrics.consumed("B", 2)
    metrics.dead_lettered("invalid_json")
    metrics.failed("invalid_json")
    metrics.failed("callback_error", 3)
    figures = demo_worker.read_figures(generate_latest(registry).decode())
    assert (figures.consumed, figures.dead_letters, figures.errors) == (7, 1, 3)


def test_states_are_read_from_a_page() -> None:
    page = """
# TYPE data_analysis_state gauge
data_analysis_state{state="starting"} 0
data_analysis_state{state="running"} 1
# TYPE data_analysis_window_fill_ratio gauge
data_analysis_window_fill_ratio{topic="A"} 0.5
data_analysis_window_fill_ratio{topic="B"} 1.0
# TYPE data_analysis_lag_records gauge
data_analysis_lag_records{topic="A",partition="0"} 4
data_analysis_lag_records{topic="A",partition="1"} NaN
# TYPE data_analysis_station_count gauge
data_analysis_station_count 20
"""
    figures = demo_worker.read_figures(page)
    assert figures.running
    assert (figures.lag, figures.stations, figures.fill) == (4, 20, 0.75)


@pytest.mark.parametrize("level", ["ERROR", "CRITICAL"])
def test_an_error_of_the_log_is_told(level: str) -> None:
    assert demo_worker.error_of(json.dumps({"level": level, "message": "it broke"}).encode()) == "it broke"


@pytest.mark.parametrize("line", [b'{"level":"WARNING","message":"x"}', b"", b"plain", b"[1]", b"\xff"])
def test_other_lines_are_no_errors(line: bytes) -> None:
    assert demo_worker.error_of(line) is None


def test_a_traceback_is_an_error() -> None:
    assert demo_worker.error_of(b"Traceback (most recent call last):") == "Traceback (most recent call last):"
