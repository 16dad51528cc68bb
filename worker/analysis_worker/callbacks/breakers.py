"""The per-station circuit breaker: a station whose callback keeps failing is left alone for a while."""

import dataclasses

from analysis_module import spec


@dataclasses.dataclass(slots=True)
class Breaker:
    """One station's: closed, open until a time, or half open for one probe. Times are monotonic seconds."""

    settings: spec.Breaker
    failures: int = 0
    open_until: float = 0.0

    def allows(self, now: float) -> bool:
        """Whether a call may be made now; past the open time one probe may."""
        return now >= self.open_until

    def succeeded(self) -> None:
        """A call succeeded: close."""
        self.failures = 0
        self.open_until = 0.0

    def failed(self, now: float) -> None:
        """A call failed: after enough in a row, or a failed probe, open."""
        self.failures += 1
        if self.settings.failures and self.failures >= self.settings.failures:
            self.open_until = now + self.settings.open_seconds

    def is_open(self, now: float) -> bool:
        """Whether the station is being left alone."""
        return now < self.open_until
