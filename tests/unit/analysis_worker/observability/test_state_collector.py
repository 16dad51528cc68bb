"""States are asked for when a scrape comes."""

import prometheus_client
import pytest

from analysis_worker.observability import state_collector
from analysis_worker.observability import status as statuses
from tests.unit.analysis_worker.observability.facts import NOW, Source, a_worker


def a_registry(source: Source, now: float = NOW + 1) -> prometheus_client.CollectorRegistry:
    registry = prometheus_client.CollectorRegistry()
    registry.register(state_collector.StateCollector(source, clock=lambda: now))
    return registry


@pytest.mark.parametrize(
    ("gauge", "labels", "value"),
    [
        ("station_count", {}, 2),
        ("lag_records", {"topic": "T", "partition": "0"}, 5),
        ("lag_seconds", {"topic": "T", "partition": "0"}, 2.5),
        ("lag_records", {"topic": "T", "partition": "1"}, None),
        ("held", {}, 0),
        ("in_flight", {}, 1),
        ("waiting", {}, 3),
        ("breaker_open_stations", {}, 0),
        ("window_bytes", {}, 4096),
        ("window_fill_ratio", {"topic": "T"}, 0.5),
        ("padded_ratio", {"topic": "T"}, 0.25),
        ("restore_progress", {}, 1),
        ("commit_age_seconds", {}, 5),
        ("state_bytes", {}, 8192),
        ("checkpoint_age_seconds", {}, 8),
        ("state", {"state": "running"}, 1),
        ("state", {"state": "failed"}, 0),
        ("main_loop_alive", {}, 1),
        ("event_loop_lag_seconds", {}, 1.01),
        ("loop_tasks", {}, 9.0),
        ("last_poll_age_seconds", {}, 1.2),
        ("consumer_connected", {}, 1),
        ("producer_connected", {}, 1),
        ("slots", {"state": "owned"}, 3),
        ("slots", {"state": "restoring"}, 0),
        ("slots", {"state": "released"}, 0),
        ("config_info", {"hash": "abc", "epoch": "7"}, 1),
        ("config_lagging", {}, 0),
    ],
)
def test_each_state_is_a_gauge(gauge: str, labels: dict[str, str], value: float | None) -> None:
    registry = a_registry(Source(a_worker()))
    assert registry.get_sample_value(f"data_analysis_{gauge}", labels) == value


def test_a_later_scrape_shows_the_later_state() -> None:
    source = Source(a_worker())
    registry = a_registry(source)
    source.worker = a_worker(station_count=99, state="stopping")
    assert registry.get_sample_value("data_analysis_station_count") == 99
    assert registry.get_sample_value("data_analysis_state", {"state": "running"}) == 0


def test_what_a_worker_does_not_know_yet_has_no_sample() -> None:
    unknown = ("committed_at", "checkpointed_at", "last_poll_age_seconds", "loop_lag_seconds")
    registry = a_registry(Source(a_worker(**dict.fromkeys(unknown))))
    ages = ("commit_age", "checkpoint_age", "last_poll_age")
    for gauge in (*(f"{age}_seconds" for age in ages), "event_loop_lag_seconds"):
        assert registry.get_sample_value(f"data_analysis_{gauge}") is None


def test_a_worker_without_a_configuration_is_shown_with_an_empty_hash() -> None:
    registry = a_registry(Source(a_worker(config=statuses.ConfigStatus())))
    assert registry.get_sample_value("data_analysis_config_info", {"hash": "", "epoch": "0"}) == 1


def test_registering_does_not_ask_a_worker_that_is_not_there_yet() -> None:
    class NotThereYet(Source):
        def status(self) -> statuses.WorkerStatus:
            raise AssertionError("asked")

    a_registry(NotThereYet(a_worker()))
