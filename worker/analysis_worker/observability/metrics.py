"""What the worker counts: one method per event, cheap enough for the innermost loop.

All methods belong to the main loop's thread; counts are taken per batch. Metrics that are states come from
`state_collector`, once `watch` names whose.
"""

import os
import sys
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, ProcessCollector, metrics_core
from prometheus_client.registry import Collector

from analysis_worker.observability import metric_catalogue as metric
from analysis_worker.observability import state_collector, station_series, tallies
from analysis_worker.observability.status import StatusSource

catalogue = metric.catalogue

_MOST_ERROR_TYPES = 100


class WorkerMetrics(Collector):
    """The metrics of one worker in `registry`, along with those of its process.

    Raises ValueError if the registry already has another worker's.
    """

    def __init__(self, registry: CollectorRegistry, *, module: str, owner: str) -> None:
        self._registry = registry
        self._identity = {"module": module, "owner": owner}
        self.stations = station_series.StationSeries()
        self._tallies: list[tallies.Tally] = []
        self._count_records()
        self._count_callbacks()
        self._count_outputs()
        self._snapshot_interval: float | None = None
        self._processing = tallies.Buckets(metric.PROCESSING_SECONDS)
        self._end_to_end = tallies.Buckets(metric.END_TO_END)
        registry.register(self)
        ProcessCollector(registry=registry)

    def _count_records(self) -> None:
        self._consumed = self._tally(metric.CONSUMED)
        self._muted = self._tally(metric.MUTED)
        self._foreign = self._tally(metric.FOREIGN)
        self._wrong_partition = self._tally(metric.WRONG_PARTITION)
        self._skipped = self._tally(metric.SKIPPED_OFFSETS)
        self._errors = self._tally(metric.ERRORS, most=_MOST_ERROR_TYPES)

    def _count_callbacks(self) -> None:
        self._processed = self._tally(metric.PROCESSED)
        self._coalesced = self._tally(metric.COALESCED)
        self._timeouts = self._tally(metric.CALLBACK_TIMEOUTS)
        self._retries = self._tally(metric.CALLBACK_RETRIES)
        self._dependencies = self._tally(metric.DEPENDENCIES)

    def _count_outputs(self) -> None:
        self._outputs = self._tally(metric.OUTPUTS)
        self._output_bytes = self._tally(metric.OUTPUT_BYTES)
        self._dead_letters = self._tally(metric.DEAD_LETTERS, most=_MOST_ERROR_TYPES)
        self._commits = self._tally(metric.COMMITS)
        self._config_refused = self._tally(metric.CONFIG_REFUSED)
        self._reconnects = self._tally(metric.RECONNECTS)
        for client in ("consumer", "producer"):
            self._reconnects.add(0, client)
        self._credentials = self._tally(metric.CREDENTIALS)
        self._transactions = self._tally(metric.TRANSACTIONS)
        self._state_failures = self._tally(metric.STATE_FAILURES)
        for reason in ("budget", "disk_full", "disk_error", "torn", "snapshot"):
            self._state_failures.add(0, reason)
        for result in ("taken", "refused"):
            self._credentials.add(0, result)

    def _tally(self, description: metric.Description, *, most: int = 10_000) -> tallies.Tally:
        tally = tallies.Tally(description, most=most)
        self._tallies.append(tally)
        return tally

    def watch(self, source: StatusSource) -> None:
        """Ask this source for the states at every scrape from now on; at most once per registry."""
        self._registry.register(state_collector.StateCollector(source))

    # -- records in --------------------------------------------------------------------------------

    def consumed(self, topic: str, count: int) -> None:
        """Records of a topic were fetched."""
        self._consumed.add(count, topic)

    def muted(self, count: int) -> None:
        """Replayed records went into windows without a callback."""
        self._muted.add(count)

    def foreign(self, count: int) -> None:
        """Records were another shard's, or of excluded stations."""
        self._foreign.add(count)

    def wrong_partition(self, topic: str, count: int) -> None:
        """Records of an Aligned topic were in another slot's partition."""
        self._wrong_partition.add(count, topic)

    def skipped(self, topic: str, offsets: int) -> None:
        """Offsets were gone before they could be read."""
        self._skipped.add(offsets, topic)

    def failed(self, error_type: str, count: int = 1) -> None:
        """Records were refused, or callbacks failed."""
        self._errors.add(count, error_type)

    # -- callbacks ---------------------------------------------------------------------------------

    def processed(self, count: int) -> None:
        """Callbacks finished without an error."""
        self._processed.add(count)

    def callback_took(self, seconds: float, count: int = 1) -> None:
        """Callbacks ran for this long, on average, whatever came of them."""
        self._processing.observe(seconds, count)

    def coalesced(self, count: int) -> None:
        """Triggers are covered by newer ones."""
        self._coalesced.add(count)

    def callback_timed_out(self, count: int = 1) -> None:
        """Callbacks took longer than they may; count them as `failed` too."""
        self._timeouts.add(count)

    def callback_retried(self, count: int = 1) -> None:
        """Callbacks are run again after an error."""
        self._retries.add(count)

    def aggregated(self, dependency: str, *, hits: int, misses: int) -> None:
        """Inputs were built with and without an output of this dependency."""
        self._dependencies.add(hits, dependency, "hit")
        self._dependencies.add(misses, dependency, "miss")

    def state_failed(self, reason: str, count: int = 1) -> None:
        """Windows could not be kept in files or snapshots, or not be taken from them."""
        self._state_failures.add(count, reason)

    # -- records out, progress ---------------------------------------------------------------------

    def sent(self, count: int, size_bytes: int) -> None:
        """Outputs were acknowledged; `size_bytes` is the size of their values together."""
        self._outputs.add(count)
        self._output_bytes.add(size_bytes)

    def end_to_end(self, seconds: float) -> None:
        """An output was acknowledged this long after the timestamp of the record that asked for it."""
        self._end_to_end.observe(seconds)

    def dead_lettered(self, error_type: str, count: int = 1) -> None:
        """Records were written to the dead-letter topic; they were counted as `failed` before."""
        self._dead_letters.add(count, error_type)

    def committed(self, count: int = 1) -> None:
        """Progress was committed."""
        self._commits.add(count)

    def transaction_ended(self, result: str) -> None:
        """A transaction was `committed`, or `given_up`: then another one has what was in it."""
        self._transactions.add(1, result)

    # -- the worker itself -------------------------------------------------------------------------

    def reconnected(self, client: str) -> None:
        """A client, `consumer` or `producer`, had to connect to Kafka anew."""
        self._reconnects.add(1, client)

    def credentials_changed(self, result: str) -> None:
        """Secrets in files have changed: they are `taken`, or `refused` for now."""
        self._credentials.add(1, result)

    def config_refused(self) -> None:
        """A configuration was wrong and the one before stays."""
        self._config_refused.add(1)

    def snapshots_every(self, seconds: float) -> None:
        """Snapshots of the windows are asked for, this far apart."""
        self._snapshot_interval = seconds

    # -- scrapes -----------------------------------------------------------------------------------

    def describe(self) -> Iterable[metrics_core.Metric]:
        """The names, so that a registry refuses a second worker's."""
        return self.collect()

    def collect(self) -> Iterable[metrics_core.Metric]:
        """What a scrape gets."""
        yield from (tally.family() for tally in self._tallies)
        yield self._processing.family()
        yield self._end_to_end.family()
        yield from self.stations.families()
        yield tallies.info_family(metric.WORKER_INFO, self._identity)
        yield tallies.gauge_family(metric.MEMORY_USAGE, {(): resident_megabytes()})
        yield tallies.gauge_family(metric.SNAPSHOT_INTERVAL, {(): self._snapshot_interval})


def resident_megabytes() -> float | None:
    """Resident memory of this process in MB of 2**20 bytes; elsewhere than on Linux its peak, or None."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            pages = int(statm.read().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    except OSError:
        return _peak_megabytes()


def _peak_megabytes() -> float | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
