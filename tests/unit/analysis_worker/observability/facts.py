"""Statuses to test with, and a source that tells them."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from analysis_worker.observability import status as statuses

NOW = 1_700_000_000.0


def a_worker(**changes: Any) -> statuses.WorkerStatus:
    """A healthy worker as it was at NOW; dataclass fields may be changed."""
    config = statuses.ConfigStatus(applied_hash="abc", desired_hash="abc", epoch=7, applied_at=NOW - 50)
    worker = statuses.WorkerStatus(
        module="load_prediction",
        owner="load-prediction-0",
        shard=0,
        shards=2,
        started_at=NOW - 100,
        taken_at=NOW,
        state="running",
        config=config,
        slots=(0, 1, 2),
        main_loop_alive=True,
        loop_lag_seconds=0.01,
        loop_tasks=9,
        consumer_connected=True,
        producer_connected=True,
        last_poll_age_seconds=0.2,
        station_count=2,
        in_flight=1,
        waiting=3,
        window_bytes=4096,
        committed_at=NOW - 4,
        state_bytes=8192,
        checkpointed_at=NOW - 7,
        restore_progress=1.0,
        topics=(statuses.TopicStatus(topic="T", fill_ratio=0.5, padded_ratio=0.25),),
        partitions=(
            statuses.PartitionStatus(
                topic="T", partition=0, position=10, end_offset=15, lag_records=5, lag_seconds=2.5
            ),
            statuses.PartitionStatus(topic="T", partition=1, position=3, wrong_partition=4),
        ),
    )
    return dataclasses.replace(worker, **changes)


def a_station(station_id: str = "S1", **changes: Any) -> statuses.StationStatus:
    """A station of slot 1 whose one window is half full."""
    station = statuses.StationStatus(
        station_id=station_id, slot=1, fill={"T": (6, 12)}, last_callback=NOW - 1
    )
    return dataclasses.replace(station, **changes)


class Source:
    """Tells the status and stations that it is given."""

    def __init__(
        self, worker: statuses.WorkerStatus, stations: Sequence[statuses.StationStatus] = ()
    ) -> None:
        self.worker = worker
        self.by_id = {station.station_id: station for station in stations}

    def status(self) -> statuses.WorkerStatus:
        return self.worker

    def stations(self, limit: int, prefix: str = "") -> Sequence[statuses.StationStatus]:
        return [self.by_id[key] for key in sorted(self.by_id) if key.startswith(prefix)][:limit]

    def station(self, station_id: str, /) -> statuses.StationStatus | None:
        return self.by_id.get(station_id)
