"""Metrics that are states, not counts: asked of the worker when a scrape comes, never on its hot path."""

import time
from collections.abc import Callable, Iterable

from prometheus_client import metrics_core
from prometheus_client.registry import Collector

from analysis_worker.observability import metric_catalogue, tallies
from analysis_worker.observability.status import STATES, StatusSource, WorkerStatus

_BY_PARTITION = (metric_catalogue.LAG_RECORDS, metric_catalogue.LAG_SECONDS)
_BY_TOPIC = (metric_catalogue.WINDOW_FILL, metric_catalogue.PADDED)


class StateCollector(Collector):
    """Turns a worker's status into gauges; `clock` gives seconds since the epoch."""

    def __init__(self, source: StatusSource, *, clock: Callable[[], float] = time.time) -> None:
        self._source = source
        self._clock = clock

    def describe(self) -> Iterable[metrics_core.Metric]:
        """The names, without asking the worker: it may not be there yet."""
        plain = (*_scalars(None, 0.0), *_BY_PARTITION, *_BY_TOPIC)
        for description in (*plain, metric_catalogue.STATE, metric_catalogue.SLOTS):
            yield tallies.gauge_family(description, {})
        yield tallies.info_family(metric_catalogue.CONFIG_INFO, None)

    def collect(self) -> Iterable[metrics_core.Metric]:
        """What a scrape gets."""
        status = self._source.status()
        for description, value in _scalars(status, self._clock()).items():
            yield tallies.gauge_family(description, {(): value})
        yield from _partitions(status)
        yield from _topics(status)
        yield from _states(status)
        labels = {"hash": status.config.applied_hash or "", "epoch": str(status.config.epoch)}
        yield tallies.info_family(metric_catalogue.CONFIG_INFO, labels)


def _scalars(status: WorkerStatus | None, now: float) -> dict[metric_catalogue.Description, float | None]:
    """The gauges without labels; those of no worker have no value."""
    one = status.__getattribute__ if status is not None else lambda name: None
    return {
        metric_catalogue.STATION_COUNT: one("station_count"),
    }
