"""Records that come at an even pace, as from stations that report all the time, until they are stopped."""

import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any, Self

from tests.infrastructure import kafka_tools


class PacedRecords:
    """Writes one record after the other to a topic while its context is open: `per_second` of them.

    `records` are as `kafka_tools.produce_all` takes them; no more come when they end.
    """

    def __init__(self, bootstrap: str, topic: str, records: Iterable[Any], *, per_second: float) -> None:
        self._place = (bootstrap, topic)
        self._records = records
        self._per_second = per_second
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._write, name=f"paced-{topic}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._thread.join()

    def _write(self) -> None:
        kafka_tools.produce_all(*self._place, self._paced())

    def _paced(self) -> Iterator[Any]:
        began = time.monotonic()
        for number, record in enumerate(self._records):
            if self._enough.wait(max(0.0, began + number / self._per_second - time.monotonic())):
                return
            yield record
