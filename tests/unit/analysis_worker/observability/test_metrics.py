"""What a scrape gets after the worker counted."""

import os

import prometheus_client
import pytest
from prometheus_client import parser
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics import parser as openmetrics_parser

from analysis_worker.observability import metrics
from tests.unit.analysis_worker.observability.facts import Source, a_worker

SUFFIXES = {"counter": "_total", "info": "_info"}


def a_registry() -> tuple[prometheus_client.CollectorRegistry, metrics.WorkerMetrics]:
    registry = prometheus_client.CollectorRegistry()
    return registry, metrics.WorkerMetrics(registry, module="load_prediction", owner="load-prediction-0")


def count_all(counted: metrics.WorkerMetrics) -> None:
    counted.consumed("T", 10)
    counted.muted(1)
    counted.foreign(2)
    counted.wrong_partition("T", 3)
    counted.skipped("T", 4)
    counted.failed("invalid_json", 5)
    counted.processed(6)
    counted.callback_took(0.02)
    counted.coalesced(7)
    counted.callback_timed_out()
    counted.callback_retried(2)
    counted.aggregated("pv_prediction", hits=8, misses=1)
    counted.sent(9, 900)
    counted.end_to_end(0.4)
    counted.dead_lettered("invalid_json", 5)
    counted.committed()
    counted.reconnected("consumer")
    counted.credentials_changed("taken")
    counted.config_refused()
    counted.snapshots_every(900.0)
    counted.stations.limit(per_station_series=True, max_station_series=1)
    counted.stations.consumed("S1", 3)
    counted.stations.processed("S1", 2)
    counted.stations.failed("S1", 1)


@pytest.mark.parametrize(
    ("sample", "labels", "value"),
    [
        ("data_analysis_consumed_records_total", {"topic": "T"}, 10),
        ("data_analysis_muted_total", {}, 1),
        ("data_analysis_foreign_total", {}, 2),
        ("data_analysis_wrong_partition_total", {"topic": "T"}, 3),
        ("data_analysis_skipped_offsets_total", {"topic": "T"}, 4),
        ("data_analysis_errors_total", {"error_type": "invalid_json"}, 5),
        ("data_analysis_processed_total", {}, 6),
        ("data_analysis_processing_seconds_count", {}, 1),
        ("data_analysis_processing_seconds_sum", {}, 0.02),
        ("data_analysis_coalesced_total", {}, 7),
        ("data_analysis_callback_timeouts_total", {}, 1),
        ("data_analysis_callback_retries_total", {}, 2),
        ("data_analysis_dependency_aggregation_total", {"dependency": "pv_prediction", "result": "hit"}, 8),
        ("data_analysis_dependency_aggregation_total", {"dependency": "pv_prediction", "result": "miss"}, 1),
        ("data_analysis_outputs_total", {}, 9),
        ("data_analysis_output_bytes_total", {}, 900),
        ("data_analysis_end_to_end_seconds_bucket", {"le": "0.5"}, 1),
        ("data_analysis_end_to_end_seconds_bucket", {"le": "0.25"}, 0),
        ("data_analysis_dead_letters_total", {"error_type": "invalid_json"}, 5),
        ("data_analysis_commits_total", {}, 1),
        ("data_analysis_reconnects_total", {"client": "consumer"}, 1),
        ("data_analysis_reconnects_total", {"client": "producer"}, 0),
        ("data_analysis_credentials_changes_total", {"result": "taken"}, 1),
        ("data_analysis_credentials_changes_total", {"result": "refused"}, 0),
        ("data_analysis_config_refused_total", {}, 1),
        ("data_analysis_snapshot_interval_seconds", {}, 900),
        ("data_analysis_station_errors_total", {"station": "S1"}, 1),
        ("data_analysis_worker_info", {"module": "load_prediction", "owner": "load-prediction-0"}, 1),
    ],
)
def test_each_event_is_counted_under_its_name(sample: str, labels: dict[str, str], value: float) -> None:
    registry, counted = a_registry()
    count_all(counted)
    assert registry.get_sample_value(sample, labels) == value


def test_a_scrape_shows_the_whole_catalogue_and_the_process_and_nothing_else() -> None:
    registry, counted = a_registry()
    counted.watch(Source(a_worker()))
    count_all(counted)
    shown = {
        (family.name + SUFFIXES.get(family.type, ""), family.type)
        for family in registry.collect()
        if not family.name.startswith("process_")
    }
    assert shown == {(one.name, one.type) for one in metrics.catalogue()}


def test_every_sample_has_exactly_the_labels_of_the_catalogue() -> None:
    registry, counted = a_registry()
    counted.watch(Source(a_worker()))
    count_all(counted)
    labels = {one.name: set(one.labels) for one in metrics.catalogue()}
    for family in registry.collect():
        if not family.name.startswith("process_"):
            for sample in family.samples:
                name = family.name + SUFFIXES.get(family.type, "")
                assert set(sample.labels) - {"le"} == labels[name], sample


def test_a_scrape_is_valid_in_both_exposition_formats() -> None:
    registry, counted = a_registry()
    counted.watch(Source(a_worker()))
    count_all(counted)
    text = prometheus_client.generate_latest(registry).decode()
    plain = {family.name for family in parser.text_string_to_metric_families(text)}
    document = openmetrics.generate_latest(registry).decode()
    open_ = {family.name for family in openmetrics_parser.text_string_to_metric_families(document)}
    assert "data_analysis_processed" in plain & open_


def test_no_created_series_stand_beside_the_guides_names() -> None:
    registry, counted = a_registry()
    count_all(counted)
    assert b"_created" not in prometheus_client.generate_latest(registry)


def test_the_processs_own_metrics_are_there_with_its_memory_in_mb() -> None:
    registry, _ = a_registry()
    megabytes = registry.get_sample_value("data_analysis_memory_usage")
    resident = registry.get_sample_value("process_resident_memory_bytes")
    assert megabytes is not None
    assert resident is not None
    assert megabytes == pytest.approx(resident / 2**20, rel=0.1)
    assert registry.get_sample_value("process_open_fds") == pytest.approx(
        len(os.listdir("/proc/self/fd")), abs=2
    )


def test_kinds_of_errors_are_bounded() -> None:
    registry, counted = a_registry()
    for number in range(5_000):
        counted.failed(f"Error{number}")
    [family] = [one for one in registry.collect() if one.name == "data_analysis_errors"]
    assert len(family.samples) == 101
    assert registry.get_sample_value("data_analysis_errors_total", {"error_type": "_other"}) == 4_900


def test_one_registry_takes_one_worker() -> None:
    registry, _ = a_registry()
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        metrics.WorkerMetrics(registry, module="other", owner="other-0")


def test_a_registry_can_be_asked_for_some_metrics_only() -> None:
    registry, counted = a_registry()
    counted.watch(Source(a_worker()))
    only = registry.restricted_registry(["data_analysis_station_count"])
    assert [family.name for family in only.collect()] == ["data_analysis_station_count"]
