"""What a worker says of itself: frozen facts that the service fills, their JSON, and verdicts on them.

Times are seconds since the epoch, ages and lags are seconds. Nothing here reads a clock.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol, get_args

State = Literal["starting", "restoring", "running", "stopping", "stopped", "failed"]
STATES: tuple[State, ...] = get_args(State)

MOST_SILENT_SECONDS = 60.0
"""A running main loop that has neither polled nor run its timers for longer does not advance."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class StationStatus:
    """One station: `fill` gives (records, window size) per topic; `last_callback` is when it last ended."""

    station_id: str
    slot: int
    fill: Mapping[str, tuple[int, int]] = dataclasses.field(default_factory=dict)
    last_callback: float | None = None
    last_error: str | None = None
    waiting: int = 0
    in_flight: bool = False
    breaker_open: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class PartitionStatus:
    """One partition that is read: `position` is the next offset, lags are None while not known.

    `wrong_partition` counts the records found here that an Aligned topic should have had elsewhere.
    """

    topic: str
    partition: int
    position: int
    end_offset: int | None = None
    lag_records: int | None = None
    lag_seconds: float | None = None
    restored: bool = True
    wrong_partition: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class TopicStatus:
    """One topic over all stations: mean fill of its windows, and the share of samples that is padding.

    Both are 0 to 1, None while there is no window.
    """

    topic: str
    fill_ratio: float | None = None
    padded_ratio: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConfigStatus:
    """Which configuration runs and which is asked for; `refused` are the problems of the last refused one."""

    applied_hash: str | None = None
    desired_hash: str | None = None
    epoch: int = 0
    refused: tuple[str, ...] = ()
    applied_at: float | None = None

    @property
    def lagging(self) -> bool:
        """Whether the configuration asked for is not the one that runs."""
        return self.applied_hash != self.desired_hash


@dataclasses.dataclass(frozen=True, kw_only=True)
class WorkerStatus:
    """The whole worker, as it was at `taken_at`; from then on the ages in it grow.

    `followed_slots` are another's and will arrive; their windows are up with that owner.
    `releasing_slots` are no longer owned, but callbacks or outputs of theirs are still under way. `held` are
    records kept back while windows are restored, `restore_progress` is 0 to 1, `misaligned_topics` are
    Aligned ones read as Filtered for the number of their partitions, `explain` is one sentence for people on
    what the worker is doing or waiting for. `credentials_at` is when the secrets in use were taken over, None
    without any in a file; `credentials_refused` says, without a part of them, why newer ones are not used.
    """

    module: str
    owner: str
    shard: int
    shards: int
    started_at: float
    taken_at: float
    state: State
    config: ConfigStatus
    slots: tuple[int, ...] = ()
    followed_slots: tuple[int, ...] = ()
    releasing_slots: tuple[int, ...] = ()
    released_slots: tuple[int, ...] = ()
    restoring_slots: tuple[int, ...] = ()
    main_loop_alive: bool = False
    loop_lag_seconds: float | None = None
    loop_tasks: int = 0
    consumer_connected: bool = False
    producer_connected: bool = False
    last_poll_age_seconds: float | None = None
    station_count: int = 0
    in_flight: int = 0
    waiting: int = 0
    held: int = 0
    breakers_open: int = 0
    window_bytes: int = 0
    committed_at: float | None = None
    state_bytes: int = 0
    checkpointed_at: float | None = None
    snapshotted_at: float | None = None
    restore_progress: float = 0.0
    missing_topics: tuple[str, ...] = ()
    misaligned_topics: tuple[str, ...] = ()
    credentials_at: float | None = None
    credentials_refused: tuple[str, ...] = ()
    topics: tuple[TopicStatus, ...] = ()
    partitions: tuple[PartitionStatus, ...] = ()
    explain: str = ""

    @property
    def wrong_partition(self) -> int:
        """Records found in partitions that should not have had them, over all partitions."""
        return sum(part.wrong_partition for part in self.partitions)


class StatusSource(Protocol):
    """Whoever knows the status: the service.

    The HTTP server calls it from its own threads while the main loop runs or hangs, several calls at a
    time. So it must not wait for the main loop, must copy a collection before it walks it, and may answer
    with the last status that the main loop left, whose `taken_at` tells its age.
    """

    def status(self) -> WorkerStatus:
        """The worker now, or as it was last known."""

    def stations(self, limit: int, prefix: str = "") -> Sequence[StationStatus]:
        """At most `limit` stations whose id begins with `prefix`, by id."""

    def station(self, station_id: str, /) -> StationStatus | None:
        """One station, None if there is none of that id."""


# -- verdicts --------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Whether all is well, and if not, every reason."""

    reasons: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether there is no reason against it."""
        return not self.reasons

    def to_json(self) -> dict[str, Any]:
        """The answer of a probe."""
        return {"ok": self.ok, "reasons": list(self.reasons)}


def liveness(status: WorkerStatus, now: float) -> Verdict:
    """Whether a restart would not help: the main loop advances and the worker has not failed.

    Kafka being away is no reason: a restart would only lose the windows. `now` is in seconds since the
    epoch.
    """
    reasons = []
    if status.state in ("failed", "stopped"):
        reasons.append(f"the worker has {status.state}" + (f": {status.explain}" if status.explain else ""))
    if not status.main_loop_alive:
        reasons.append("the main loop does not run")
    reasons += _silences(status, max(0.0, now - status.taken_at))
    return Verdict(tuple(reasons))


def _silences(status: WorkerStatus, age: float) -> Iterable[str]:
    """Of a loop that should advance, what it has not done for too long; the status is `age` seconds old."""
    if status.state not in ("restoring", "running"):
        return  # while starting, a callback's import may hold the loop; the stop has a bound of its own
    lag, poll = status.loop_lag_seconds, status.last_poll_age_seconds
    if lag is not None and lag + age > MOST_SILENT_SECONDS:
        yield f"the main loop has been blocked for {lag + age:.0f} s, more than {MOST_SILENT_SECONDS:.0f} s"
    if status.consumer_connected and poll is not None and poll + age > MOST_SILENT_SECONDS:
        yield f"the last poll of Kafka was {poll + age:.0f} s ago, more than {MOST_SILENT_SECONDS:.0f} s"


def readiness(status: WorkerStatus) -> Verdict:
    """Whether the worker does its work: assigned, restored, connected and running."""
    reasons = []
    if status.state != "running":
        reasons.append(f"the worker is {status.state}")
    if not status.main_loop_alive:
        reasons.append("the main loop does not run")
    if status.config.applied_hash is None:
        reasons.append("no Assignment is applied yet")
    if status.restoring_slots:
        slots = ", ".join(map(str, status.restoring_slots))
        reasons.append(f"the windows of slots {slots} are being restored ({status.restore_progress:.0%})")
    if not status.consumer_connected:
        reasons.append("the consumer is not connected to Kafka")
    if not status.producer_connected:
        reasons.append("the producer is not connected to Kafka")
    return Verdict(tuple(reasons))


def running(status: WorkerStatus, station: StationStatus) -> bool:
    """Whether the station can process now."""
    restoring = station.slot in status.restoring_slots
    return status.state == "running" and not station.breaker_open and not restoring


def health_document(
    status: WorkerStatus, now: float, version: str, stations: Iterable[StationStatus] = ()
) -> dict[str, Any]:
    """The deployment guide's health JSON; healthy = the loop advances and both clients are connected."""
    live = liveness(status, now).ok
    healthy = live and status.consumer_connected and status.producer_connected
    return {
        "status": "healthy" if healthy else "unhealthy",
        "timestamp": now,
        "version": version,
        "service": {
            "main_thread": live,
            "consumer_alive": status.consumer_connected,
            "producer_alive": status.producer_connected,
            "station_count": status.station_count,
        },
        "stations": {station.station_id: {"running": running(status, station)} for station in stations},
    }


# -- JSON ------------------------------------------------------------------------------------------

_APART = ("config", "topics", "partitions")


def status_document(status: WorkerStatus, stations: Iterable[StationStatus] | None = None) -> dict[str, Any]:
    """The whole status as JSON: worker, config, topics, partitions, and stations if any are given."""
    document: dict[str, Any] = {
        "worker": {name: value for name, value in _plain(status).items() if name not in _APART},
        "config": {**_plain(status.config), "lagging": status.config.lagging},
        "topics": [_plain(topic) for topic in status.topics],
        "partitions": [_plain(part) for part in status.partitions],
    }
    document["worker"]["wrong_partition"] = status.wrong_partition
    if stations is not None:
        document["stations"] = [station_json(status, station) for station in stations]
    return document


def station_json(status: WorkerStatus, station: StationStatus) -> dict[str, Any]:
    """One station as JSON."""
    fill = {
        topic: {"records": records, "window_size": window_size}
        for topic, (records, window_size) in station.fill.items()
    }
    return {**_plain(station), "fill": fill, "running": running(status, station)}


def _plain(part: Any) -> dict[str, Any]:
    """A dataclass's own fields; what JSON cannot say of a number is null."""
    values = ((field.name, getattr(part, field.name)) for field in dataclasses.fields(part))
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in values
    }
