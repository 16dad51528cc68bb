"""Results gathered into batches for a `batch_upload_handler`, as version 2.0 knew them.

A batch is a view on the outputs that were uploaded one by one: the results of what was fetched together,
complete when nothing is under way any more, or after five seconds. It holds each station once; a further
result of the same station begins the next batch, so that none is lost (W26).
"""

import asyncio
import time
import uuid
from collections.abc import Callable
from typing import Any, Final

from d_a import errands

LONGEST_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.02
_KEY: Final = "batch_upload_handler"

BatchHandler = Callable[[str, dict[str, Any]], Any]
"""Called with a batch id and the results by station id."""


class Batches:
    """Lives on the worker's loop. `idle` says whether nothing is under way."""

    def __init__(
        self,
        handler: BatchHandler,
        idle: Callable[[], bool],
        run: errands.Errands,
        *,
        longest_seconds: float = LONGEST_SECONDS,
    ) -> None:
        self._longest = longest_seconds
        self._handler = handler
        self._idle = idle
        self._run = run
        self._results: dict[str, Any] = {}
        self._opened = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, station_id: str, result: Any) -> None:
        """Take a result; None is left out."""
        if result is None:
            return
        if station_id in self._results:
            self.close()
        if not self._results:
            self._opened = time.monotonic()
        self._results[station_id] = result
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._idle() or time.monotonic() - self._opened >= self._longest:
            self.close()
        elif self._results:
            self._timer = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look)

    def close(self) -> None:
        """Hand the batch over as it is."""
        if self._results:
            results, self._results = self._results, {}
            batch_id = uuid.uuid4().hex
            self._run.submit(_KEY, lambda: self._handler(batch_id, results))
