"""The public list of metrics: dashboards and alerts hang on every word of it."""

import re

from analysis_module import names
from analysis_worker.observability import metric_catalogue

GOLDEN = """
data_analysis_processed_total counter
data_analysis_errors_total counter error_type
data_analysis_memory_usage gauge
data_analysis_station_count gauge
data_analysis_processing_seconds histogram
data_analysis_consumed_records_total counter topic
data_analysis_muted_total counter
data_analysis_foreign_total counter
data_analysis_wrong_partition_total counter topic
data_analysis_skipped_offsets_total counter topic
data_analysis_lag_records gauge topic partition
data_analysis_lag_seconds gauge topic partition
data_analysis_held gauge
data_analysis_in_flight gauge
data_analysis_waiting gauge
data_analysis_coalesced_total counter
data_analysis_callback_timeouts_total counter
data_analysis_callback_retries_total counter
data_analysis_breaker_open_stations gauge
data_analysis_dependency_aggregation_total counter dependency result
data_analysis_window_bytes gauge
data_analysis_window_fill_ratio gauge topic
data_analysis_padded_ratio gauge topic
data_analysis_restore_progress gauge
data_analysis_outputs_total counter
data_analysis_output_bytes_total counter
data_analysis_end_to_end_seconds histogram
data_analysis_dead_letters_total counter error_type
data_analysis_commits_total counter
data_analysis_transactions_total counter result
data_analysis_commit_age_seconds gauge
data_analysis_worker_info info module owner
data_analysis_state gauge state
data_analysis_main_loop_alive gauge
data_analysis_event_loop_lag_seconds gauge
data_analysis_loop_tasks gauge
data_analysis_last_poll_age_seconds gauge
data_analysis_consumer_connected gauge
data_analysis_producer_connected gauge
data_analysis_reconnects_total counter client
data_analysis_credentials_changes_total counter result
data_analysis_state_bytes gauge
data_analysis_state_failures_total counter reason
data_analysis_checkpoint_age_seconds gauge
data_analysis_snapshot_age_seconds gauge
data_analysis_snapshot_interval_seconds gauge
data_analysis_slots gauge state
data_analysis_config_info info hash epoch
data_analysis_config_lagging gauge
data_analysis_config_refused_total counter
data_analysis_station_consumed_records_total counter station
data_analysis_station_processed_total counter station
data_analysis_station_errors_total counter station
"""


def test_names_types_and_labels_are_the_agreed_ones() -> None:
    lines = [" ".join((one.name, one.type, *one.labels)) for one in metric_catalogue.catalogue()]
    assert lines == GOLDEN.split("\n")[1:-1]


def test_the_guides_five_come_first() -> None:
    assert [one.name for one in metric_catalogue.catalogue()[:5]] == [
        names.METRIC_PROCESSED_TOTAL,
        names.METRIC_ERRORS_TOTAL,
        names.METRIC_MEMORY_USAGE,
        names.METRIC_STATION_COUNT,
        names.METRIC_PROCESSING_SECONDS,
    ]


def test_every_metric_is_described_in_a_sentence() -> None:
    for one in metric_catalogue.catalogue():
        assert re.fullmatch(r"[A-Z0-9][^\n]{10,}\.", one.help), one.name


def test_every_name_ends_as_its_type_and_unit_ask() -> None:
    for one in metric_catalogue.catalogue():
        assert (one.type == "counter") == one.name.endswith("_total"), one.name
        assert (one.type == "info") == one.name.endswith("_info"), one.name
        assert (one.unit == "seconds") == one.name.endswith("_seconds"), one.name


def test_a_caller_cannot_change_the_catalogue() -> None:
    metric_catalogue.catalogue().clear()
    assert metric_catalogue.catalogue()
