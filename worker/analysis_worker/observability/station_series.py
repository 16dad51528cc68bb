"""Counters per station, bounded: a cap on the number of stations, and off unless asked for."""

import itertools
from collections.abc import Iterable

from prometheus_client import metrics_core

from analysis_worker.observability import metric_catalogue, tallies

_METRICS = (
    metric_catalogue.STATION_CONSUMED,
    metric_catalogue.STATION_PROCESSED,
    metric_catalogue.STATION_ERRORS,
)
_CONSUMED, _PROCESSED, _FAILED = range(len(_METRICS))


class StationSeries:
    """Counts of the first stations that come; all others share the label `_other`.

    Written by the main loop alone, read by scrapes. What goes takes its series with it and is not added to
    `_other`, where it would look like a burst of new records.
    """

    def __init__(self) -> None:
        self._most: int | None = None
        self._rows: dict[str, list[int]] = {}
        self._other = [0] * len(_METRICS)

    def limit(self, *, per_station_series: bool, max_station_series: int) -> None:
        """Switch the series on or off and set the cap; beyond a lower cap the youngest series go."""
        if not per_station_series:
            self._most = None
            self._rows = {}
            self._other = [0] * len(_METRICS)
            return
        self._most = max(0, max_station_series)
        self._rows = dict(itertools.islice(self._rows.items(), self._most))

    def consumed(self, station_id: str, count: int) -> None:
        """Records were taken for a station."""
        self._add(station_id, _CONSUMED, count)

    def processed(self, station_id: str, count: int) -> None:
        """Callbacks of a station finished without an error."""
        self._add(station_id, _PROCESSED, count)

    def failed(self, station_id: str, count: int) -> None:
        """Callbacks of a station failed."""
        self._add(station_id, _FAILED, count)

    def forget(self, station_ids: Iterable[str]) -> None:
        """Stations are gone, by expiry or to another worker: room for others."""
        for station_id in station_ids:
            self._rows.pop(station_id, None)

    def _add(self, station_id: str, column: int, count: int) -> None:
        most = self._most
        if most is None:
            return
        row = self._rows.get(station_id)
        if row is None:
            if len(self._rows) < most and station_id != tallies.OTHER:
                row = self._rows[station_id] = [0] * len(_METRICS)
            else:
                row = self._other
        row[column] += count

    def families(self) -> list[metrics_core.Metric]:
        """What a scrape gets; no samples while switched off."""
        rows = self._rows.copy()
        if any(self._other):
            rows[tallies.OTHER] = self._other
        return [
            tallies.counter_family(
                description, {(station_id,): row[column] for station_id, row in rows.items()}
            )
            for column, description in enumerate(_METRICS)
        ]
