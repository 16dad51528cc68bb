"""Metrics that are states, not counts: asked of the worker when a scrape comes, never on its hot path."""

import time
from collections.abc import Callable, Iterable, Mapping

from prometheus_client import metrics_core
from prometheus_client.registry import Collector

from analysis_worker.observability import metric_catalogue as metric
from analysis_worker.observability import tallies
from analysis_worker.observability.status import STATES, StatusSource, WorkerStatus

Values = Mapping[tuple[str, ...], float | None]
Reading = Callable[[WorkerStatus, float], Values]
"""Reads one gauge's values, per values of its labels, at a time in seconds since the epoch."""


class StateCollector(Collector):
    """Turns a worker's status into gauges; `clock` gives seconds since the epoch."""

    def __init__(self, source: StatusSource, *, clock: Callable[[], float] = time.time) -> None:
        self._source = source
        self._clock = clock

    def describe(self) -> Iterable[metrics_core.Metric]:
        """The names, without asking the worker: it may not be there yet."""
        for description in _READINGS:
            yield tallies.gauge_family(description, {})
        yield tallies.info_family(metric.CONFIG_INFO, None)

    def collect(self) -> Iterable[metrics_core.Metric]:
        """What a scrape gets."""
        status, now = self._source.status(), self._clock()
        for description, reading in _READINGS.items():
            yield tallies.gauge_family(description, reading(status, now))
        labels = {"hash": status.config.applied_hash or "", "epoch": str(status.config.epoch)}
        yield tallies.info_family(metric.CONFIG_INFO, labels)


def _field(name: str) -> Reading:
    """A field of the status as it stands."""
    return lambda status, now: {(): getattr(status, name)}


def _age(name: str) -> Reading:
    """A field that was an age when the status was taken, and has grown since."""

    def reading(status: WorkerStatus, now: float) -> Values:
        age: float | None = getattr(status, name)
        return {(): None if age is None else age + max(0.0, now - status.taken_at)}

    return reading


def _of_partitions(name: str) -> Reading:
    return lambda status, now: {
        (part.topic, str(part.partition)): getattr(part, name) for part in status.partitions
    }


def _of_topics(name: str) -> Reading:
    return lambda status, now: {(topic.topic,): getattr(topic, name) for topic in status.topics}


def _since(name: str) -> Reading:
    """How long ago something was, if it was."""

    def reading(status: WorkerStatus, now: float) -> Values:
        at: float | None = getattr(status, name)
        return {(): None if at is None else max(0.0, now - at)}

    return reading


def _states(status: WorkerStatus, now: float) -> Values:
    return {(state,): float(state == status.state) for state in STATES}


def _slots(status: WorkerStatus, now: float) -> Values:
    return {
        ("owned",): len(status.slots),
        ("followed",): len(status.followed_slots),
        ("restoring",): len(status.restoring_slots),
        ("released",): len(status.released_slots),
    }


_READINGS: Mapping[metric.Description, Reading] = {
    metric.STATION_COUNT: _field("station_count"),
    metric.LAG_RECORDS: _of_partitions("lag_records"),
    metric.LAG_SECONDS: _of_partitions("lag_seconds"),
    metric.HELD: _field("held"),
    metric.IN_FLIGHT: _field("in_flight"),
    metric.WAITING: _field("waiting"),
    metric.BREAKER_OPEN: _field("breakers_open"),
    metric.WINDOW_BYTES: _field("window_bytes"),
    metric.WINDOW_FILL: _of_topics("fill_ratio"),
    metric.PADDED: _of_topics("padded_ratio"),
    metric.RESTORE_PROGRESS: _field("restore_progress"),
    metric.COMMIT_AGE: _since("committed_at"),
    metric.STATE_BYTES: _field("state_bytes"),
    metric.CHECKPOINT_AGE: _since("checkpointed_at"),
    metric.SNAPSHOT_AGE: _since("snapshotted_at"),
    metric.STATE: _states,
    metric.MAIN_LOOP_ALIVE: _field("main_loop_alive"),
    metric.EVENT_LOOP_LAG: _age("loop_lag_seconds"),
    metric.LOOP_TASKS: _field("loop_tasks"),
    metric.LAST_POLL_AGE: _age("last_poll_age_seconds"),
    metric.CONSUMER_CONNECTED: _field("consumer_connected"),
    metric.PRODUCER_CONNECTED: _field("producer_connected"),
    metric.SLOTS: _slots,
    metric.CONFIG_LAGGING: lambda status, now: {(): status.config.lagging},
}
