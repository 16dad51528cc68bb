"""What a test of alerts on workers plays in: a module of one worker, its stream, and who watches it."""

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

from tests.infrastructure import numbered_stream, paced_records, waiting, watched
from tests.infrastructure.numbered_stream import NumberedStream
from tests.infrastructure.paced_records import PacedRecords
from tests.infrastructure.watched import Watched
from tests.infrastructure.worker_process import WorkerProcess

NAMESPACE = "stations"
STATIONS = 5
PER_SECOND = 50
PATIENCE_SECONDS = 60.0


class Scene:
    """A module of one worker, which is watched, and its stream."""

    def __init__(self, prometheus: Watched, stream: NumberedStream, directory: Path, **changes: Any) -> None:
        self.stream = stream
        self.module = stream.group
        self.pod = f"{stream.group}-0"
        self.worker = WorkerProcess(directory, "worker")
        self.prometheus = prometheus
        self.edit(**changes)

    def edit(self, **changes: Any) -> None:
        """Give it the stream's spec with these changes; while it runs this is a hot edit."""
        self.worker.with_spec(self.stream.spec(**changes))

    def start(self) -> None:
        """Start the worker, or start it again; it reads, and has been scraped, then."""
        self.worker.start()
        self.worker.wait_until_running()
        self.prometheus.until_scraped(self.worker, self.pod)

    def steadily(self, records: Iterable[Any] | None = None) -> PacedRecords:
        """A stream to it while the context is open: numbered records, or these."""
        records = numbered_stream.records(1_000_000, STATIONS) if records is None else records
        place = (self.stream.bootstrap, self.stream.topic)
        return paced_records.PacedRecords(*place, records, per_second=PER_SECOND)

    def until_outputs(self, count: int) -> None:
        """Wait for so many outputs in all."""
        waiting.until(
            lambda: self.stream.output_count() >= count,
            what=f"{count} outputs",
            timeout_seconds=PATIENCE_SECONDS,
        )

    def until_firing(self, name: str, **labels: str) -> None:
        """Wait until the alert fires with this module's labels, and these."""
        self.prometheus.until_firing(name, namespace=NAMESPACE, module=self.module, **labels)


class Scenes:
    """Makes scenes at work, inside a `with`, after which their workers are gone."""

    def __init__(self, prometheus: Watched, directory: Path) -> None:
        self._prometheus = prometheus
        self._directory = directory
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def __call__(
        self,
        name: str,
        bootstrap: str,
        *,
        partitions: int = 1,
        every_seconds: float = watched.EVERY_SECONDS,
        files: Path | None = None,
        **changes: Any,
    ) -> Scene:
        """A name, brokers, where windows are kept in files, and what its spec has beside the stream's."""
        stream = numbered_stream.make(bootstrap, name, partitions=partitions)
        scene = Scene(self._prometheus, stream, self._directory, **changes)
        if files is not None:
            scene.worker.with_state(files)
        self._stack.enter_context(scene.worker)
        self._stack.callback(self._prometheus.forget, scene.pod)
        self._prometheus.worker(
            scene.worker,
            namespace=NAMESPACE,
            pod=scene.pod,
            module=scene.module,
            every_seconds=every_seconds,
        )
        scene.start()
        return scene
