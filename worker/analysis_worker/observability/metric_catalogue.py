"""Every metric of a worker as data: name, type, labels, unit and meaning.

The metrics are made from this list and so is their reference. The five of the deployment guide come first
and keep its names, types and labels to the letter.
"""

from typing import Literal, NamedTuple

from analysis_module import names

Kind = Literal["counter", "gauge", "histogram", "info"]


class Description(NamedTuple):
    """One metric; `unit` is for people, "" if it has none beside the count of what `help` says."""

    name: str
    type: Kind
    labels: tuple[str, ...]
    unit: str
    help: str


_ENTRIES: list[Description] = []


def catalogue() -> list[Description]:
    """Every metric, the guide's five first."""
    return list(_ENTRIES)


def _counter(name: str, help: str, *labels: str, unit: str = "") -> Description:
    return _entry(Description(f"{names.METRIC_PREFIX}{name}", "counter", labels, unit, help))


def _gauge(name: str, help: str, *labels: str, unit: str = "") -> Description:
    return _entry(Description(f"{names.METRIC_PREFIX}{name}", "gauge", labels, unit, help))


def _seconds(name: str, help: str) -> Description:
    return _entry(Description(f"{names.METRIC_PREFIX}{name}", "histogram", (), "seconds", help))


def _info(name: str, help: str, *labels: str) -> Description:
    return _entry(Description(f"{names.METRIC_PREFIX}{name}", "info", labels, "", help))


def _entry(description: Description) -> Description:
    _ENTRIES.append(description)
    return description


_ERROR_TYPE = names.METRIC_LABEL_ERROR_TYPE

# The deployment guide's.
PROCESSED = _entry(
    Description(
        names.METRIC_PROCESSED_TOTAL, "counter", (), "", "Triggers whose callback finished without an error."
    )
)
ERRORS = _entry(
    Description(
        names.METRIC_ERRORS_TOTAL,
        "counter",
        (_ERROR_TYPE,),
        "",
        "Records that could not be used and callbacks that failed, by kind of error.",
    )
)
MEMORY_USAGE = _entry(
    Description(names.METRIC_MEMORY_USAGE, "gauge", (), "MB", "Resident memory of the process.")
)
STATION_COUNT = _entry(
    Description(names.METRIC_STATION_COUNT, "gauge", (), "", "Stations that this worker holds windows of.")
)
PROCESSING_SECONDS = _entry(
    Description(
        names.METRIC_PROCESSING_SECONDS, "histogram", (), "seconds", "Time that one callback took, by itself."
    )
)

# Records in.
CONSUMED = _counter("consumed_records_total", "Records fetched.", "topic")
MUTED = _counter("muted_total", "Records replayed into windows whose callback had run before.")
FOREIGN = _counter("foreign_total", "Records of stations that belong to another shard or are excluded.")
WRONG_PARTITION = _counter(
    "wrong_partition_total", "Records of Aligned topics found in another slot's partition.", "topic"
)
SKIPPED_OFFSETS = _counter(
    "skipped_offsets_total", "Offsets that were gone before they could be read.", "topic"
)
LAG_RECORDS = _gauge("lag_records", "Records between position and end.", "topic", "partition")
LAG_SECONDS = _gauge(
    "lag_seconds",
    "Age of the last record taken, 0 at the partition's end.",
    "topic",
    "partition",
    unit="seconds",
)
HELD = _gauge("held", "Records kept back while windows are restored.")

# Callbacks.
IN_FLIGHT = _gauge("in_flight", "Triggers whose callback runs or is queued for it.")
WAITING = _gauge("waiting", "Triggers that wait for a callback.")
COALESCED = _counter("coalesced_total", "Triggers covered by the callback of a newer one.")
CALLBACK_TIMEOUTS = _counter("callback_timeouts_total", "Callbacks stopped for taking too long.")
CALLBACK_RETRIES = _counter("callback_retries_total", "Callbacks run again after an error.")
BREAKER_OPEN = _gauge("breaker_open_stations", "Stations whose circuit breaker is open.")
DEPENDENCIES = _counter(
    "dependency_aggregation_total",
    "Inputs built with (hit) and without (miss) an output of a dependency.",
    "dependency",
    "result",
)

# Windows.
WINDOW_BYTES = _gauge("window_bytes", "Memory of all windows.", unit="bytes")
WINDOW_FILL = _gauge("window_fill_ratio", "Mean fill of the windows.", "topic", unit="0 to 1")
PADDED = _gauge(
    "padded_ratio", "Share of the samples given to callbacks that is padding.", "topic", unit="0 to 1"
)
RESTORE_PROGRESS = _gauge("restore_progress", "How far the windows are restored.", unit="0 to 1")

# Records out, progress.
OUTPUTS = _counter("outputs_total", "Outputs acknowledged by Kafka.")
OUTPUT_BYTES = _counter("output_bytes_total", "Size of the outputs' values.", unit="bytes")
END_TO_END = _seconds(
    "end_to_end_seconds", "From a record's timestamp to the acknowledgement of the output it asked for."
)
DEAD_LETTERS = _counter("dead_letters_total", "Records written to the dead-letter topic.", _ERROR_TYPE)
COMMITS = _counter("commits_total", "Commits of progress.")
TRANSACTIONS = _counter(
    "transactions_total", "Transactions of ExactlyOnce that were committed, and that were given up.", "result"
)
COMMIT_AGE = _gauge(
    "commit_age_seconds",
    "Time since the slot furthest behind last got further, or had nothing under way.",
    unit="seconds",
)

# The worker itself.
WORKER_INFO = _info("worker_info", "Whose worker this is.", "module", "owner")
STATE = _gauge("state", "1 for the state that the worker is in, 0 for the others.", "state")
MAIN_LOOP_ALIVE = _gauge("main_loop_alive", "1 while the main loop runs.")
EVENT_LOOP_LAG = _gauge("event_loop_lag_seconds", "How late the main loop runs its timers.", unit="seconds")
LOOP_TASKS = _gauge("loop_tasks", "Tasks of the main loop; they do not grow in number with the records.")
LAST_POLL_AGE = _gauge("last_poll_age_seconds", "Time since the last poll of Kafka.", unit="seconds")
CONSUMER_CONNECTED = _gauge("consumer_connected", "1 while the consumer is connected to Kafka.")
PRODUCER_CONNECTED = _gauge("producer_connected", "1 while the producer is connected to Kafka.")
RECONNECTS = _counter("reconnects_total", "Connections to Kafka made anew.", "client")
CREDENTIALS = _counter(
    "credentials_changes_total",
    "Changed secrets that were taken over, and attempts that were refused.",
    "result",
)
STATE_BYTES = _gauge("state_bytes", "Room on the disk of windows kept in files.", unit="bytes")
STATE_FAILURES = _counter(
    "state_failures_total",
    "Files or snapshots of windows that could not be had or used: those windows are rebuilt from Kafka.",
    "reason",
)
CHECKPOINT_AGE = _gauge(
    "checkpoint_age_seconds",
    "Time since the oldest of the slots' checkpoints; a restart reads at least so much again.",
    unit="seconds",
)
SNAPSHOT_AGE = _gauge(
    "snapshot_age_seconds",
    "Time since the newest whole snapshot of the windows; no sample before the first.",
    unit="seconds",
)
SNAPSHOT_INTERVAL = _gauge(
    "snapshot_interval_seconds",
    "From one snapshot of the windows to the next, as asked; no sample where none are asked for.",
    unit="seconds",
)
SLOTS = _gauge(
    "slots", "Slots that are owned, followed before they arrive, being restored, and let go.", "state"
)
CONFIG_INFO = _info("config_info", "The configuration that runs.", "hash", "epoch")
CONFIG_LAGGING = _gauge("config_lagging", "1 while the configuration asked for is not the one that runs.")
CONFIG_REFUSED = _counter("config_refused_total", "Configurations refused as wrong.")

# Per station: only when switched on, for a bounded number of stations.
STATION_CONSUMED = _counter("station_consumed_records_total", "Records taken for a station.", "station")
STATION_PROCESSED = _counter(
    "station_processed_total", "Triggers of a station whose callback finished without an error.", "station"
)
STATION_ERRORS = _counter("station_errors_total", "Callbacks of a station that failed.", "station")
