"""What is set for a worker process rather than for a module: intervals, bounds, where it listens."""

import dataclasses
import pathlib


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Bounds in seconds unless a name says otherwise."""

    commit_interval_seconds: float = 1.0
    stop_within_seconds: float = 20.0
    release_within_seconds: float = 30.0
    takeover_after_seconds: float = 10.0
    """How long to wait for another owner to let go of a slot, if it never says that it does."""
    connect_within_seconds: float = 60.0
    """How long a start waits for Kafka before it gives up; once started a worker waits for ever."""
    status_interval_seconds: float = 0.5
    expiry_interval_seconds: float = 5.0
    most_per_poll: int = 2000
    state_directory: pathlib.Path | None = None
    """Where windows are kept in files; None: nowhere."""
    checkpoint_interval_seconds: float = 10.0
    """How long from one checkpoint of a slot to the next: a restart reads about as much again."""
