"""The demo: an embedded broker, nine modules as worker processes, simulated stations, and what comes of it.

All of it ends with the demo: in order when it is told to stop, by the kernel if it is killed (Linux).
"""

import asyncio
import contextlib
import dataclasses
import logging
import pathlib
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

import aiohttp

from analysis_module import spec
from analysis_worker.kafka import connecting, synchronous
from analysis_worker.simulation import (
    delivering,
    demo_modules,
    demo_outputs,
    demo_worker,
    embedded_broker,
    faults,
    live_table,
    stations,
)

_LOOK_SECONDS = 0.5
_END_SECONDS = 15.0
_RATE_WINDOW = 6
"""Looks over which a rate is averaged."""

Show = Callable[[live_table.Picture], None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What a demo shows; `seconds` is its length from its start, None until told to stop."""

    stations: int = 20
    speedup: float = 60.0
    seed: int = 1
    late: float = 0.01
    doubled: float = 0.01
    broken: float = 0.01
    seconds: float | None = None

    @property
    def source_rate(self) -> float:
        """Records a second from one device: some 260 in all, whatever the number of stations."""
        return min(5.0, 20 / self.stations)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a demo came to: the last picture, the faults that were put in, and every error by module.

    `told_to_stop` is False for one that ended by itself.
    """

    picture: live_table.Picture
    faults: dict[str, int]
    errors: dict[str, list[str]]
    told_to_stop: bool = False

    @property
    def error_count(self) -> int:
        """Errors logged, counted or fatal: there should be none."""
        counted = sum(row.errors for row in self.picture.rows)
        return counted + sum(len(texts) for texts in self.errors.values())

    def to_json(self) -> dict[str, object]:
        """The facts for build/demo.json."""
        rows = self.picture.rows
        return {
            "first_output_seconds": {
                row.module: None if row.first_output_seconds is None else round(row.first_output_seconds, 2)
                for row in rows
            },
            "outputs": {row.module: row.outputs for row in rows},
            "dead_letters": self.picture.dead_letters,
            "errors": self.error_count,
        }


async def run(settings: Settings, *, started: float, stop: asyncio.Event, show: Show) -> Outcome:
    """Run the demo until its time is over, `stop` is set or no worker is left; `started` is a monotonic time.

    Raises NoExamples or BrokerUnavailable.
    """
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())  # its lines would tear the table
    root = demo_modules.find_root()
    shown = demo_modules.read_modules(root)
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="station-analysis-demo-"))
        )
        address = stack.enter_context(embedded_broker.running(demo_modules.topics_of(shown)))
        workers = stack.enter_context(_workers(shown, address, folder=folder, root=root))
        demo = _Demo(settings, workers, address, started)
        await demo.run(stop, show)
        await asyncio.to_thread(_end, workers)
        return dataclasses.replace(demo.outcome(), told_to_stop=stop.is_set())


@contextlib.contextmanager
def _workers(
    shown: Sequence[demo_modules.DemoModule], address: str, *, folder: pathlib.Path, root: pathlib.Path
) -> Iterator[list[demo_worker.DemoWorker]]:
    workers: list[demo_worker.DemoWorker] = []
    try:
        for module in shown:
            workers.append(demo_worker.DemoWorker(module, address, folder=folder, root=root))
        yield workers
    finally:
        _end(workers)


def _end(workers: Sequence[demo_worker.DemoWorker]) -> None:
    """End all of them at once; one that has ended already is left alone."""
    for worker in workers:
        worker.ask_to_end()
    deadline = time.monotonic() + _END_SECONDS
    for worker in workers:
        worker.end(within_seconds=max(0.0, deadline - time.monotonic()))


class _Demo:
    """The running demo: feeds the broker, follows the outputs, asks the workers, shows the picture."""

    def __init__(
        self, settings: Settings, workers: Sequence[demo_worker.DemoWorker], address: str, started: float
    ) -> None:
        self._settings = settings
        self._workers = workers
        self._address = address
        self._started = started
        self._injector = faults.FaultInjector(
            seed=settings.seed, late=settings.late, doubled=settings.doubled, broken=settings.broken
        )
        self._reader = demo_outputs.OutputReader(address, [worker.module.output_topic for worker in workers])
        self._looks = {worker.module.name: _Looks() for worker in workers}
        self._delivery: delivering.Delivery | None = None
        self._feed_errors: list[str] = []
        self._last: live_table.Picture | None = None

    async def run(self, stop: asyncio.Event, show: Show) -> None:
        """Until the time is over or told to stop."""
        halt = threading.Event()
        feeding = asyncio.create_task(asyncio.to_thread(self._feed, halt))
        reading = asyncio.create_task(self._reader.run())
        try:
            async with aiohttp.ClientSession() as session:
                async for _ in self._ticks(stop):
                    await asyncio.gather(*(self._look(worker, session) for worker in self._workers))
                    show(self.picture())
                halt.set()
                await feeding
                await asyncio.gather(*(self._look(worker, session) for worker in self._workers))
                self._last = self.picture()
        finally:
            halt.set()
            reading.cancel()
            await asyncio.gather(feeding, reading, return_exceptions=True)

    async def _ticks(self, stop: asyncio.Event) -> AsyncIterator[None]:
        seconds = self._settings.seconds
        end = None if seconds is None else self._started + seconds
        while not stop.is_set() and (end is None or time.monotonic() < end) and self._anyone_there():
            yield None
            pause = _LOOK_SECONDS if end is None else min(_LOOK_SECONDS, max(0.0, end - time.monotonic()))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause)

    def _anyone_there(self) -> bool:
        """Whether a worker still runs: with none there is nothing to show but why."""
        return any(worker.exit_code is None for worker in self._workers)

    def _feed(self, halt: threading.Event) -> None:
        """Send what the stations send, in a thread of its own, until `halt`."""
        settings, start_ms = self._settings, int(time.time() * 1000)
        connection = connecting.connection_of(spec.Kafka(bootstrap_servers=(self._address,)), "")
        fleet = stations.Fleet(
            stations=settings.stations,
            seed=settings.seed,
            start_ms=start_ms,
            speedup=settings.speedup,
            cap_per_second=settings.source_rate,
        )
        self._delivery = delivering.Delivery(synchronous.producer(connection))
        schedule = delivering.fleet_schedule(fleet, self._injector, start_ms=start_ms)
        delivering.deliver(schedule, self._delivery, halt)
        self._delivery.close()
        if self._delivery.first_error is not None:
            self._feed_errors.append(self._delivery.first_error)

    async def _look(self, worker: demo_worker.DemoWorker, session: aiohttp.ClientSession) -> None:
        figures = await worker.figures(session)
        if figures is not None:
            self._looks[worker.module.name].add(time.monotonic(), figures)

    def picture(self) -> live_table.Picture:
        """Everything as it is known now."""
        return live_table.Picture(
            rows=[self._row(worker) for worker in self._workers],
            seconds=time.monotonic() - self._started,
            sent=0 if self._delivery is None else self._delivery.sent,
            stations=self._settings.stations,
            speedup=self._settings.speedup,
        )

    def _row(self, worker: demo_worker.DemoWorker) -> live_table.Row:
        looks, seen = self._looks[worker.module.name], self._reader.seen[worker.module.output_topic]
        row = live_table.Row(
            module=worker.module.name,
            port=worker.port,
            state=_state(worker, looks.last),
            outputs=seen.count,
            first_output_seconds=None if seen.first_at is None else seen.first_at - self._started,
            last_output=seen.last,
        )
        if looks.last is None:
            return row
        return dataclasses.replace(
            row,
            records_per_second=looks.rate(),
            lag=looks.last.lag,
            stations=looks.last.stations,
            fill=looks.last.fill,
            dead_letters=looks.last.dead_letters,
            errors=looks.last.errors,
        )

    def outcome(self) -> Outcome:
        """What it came to, once the workers have ended."""
        errors = {worker.module.name: worker.errors() for worker in self._workers}
        errors["simulation"] = self._feed_errors
        return Outcome(
            picture=self._last or self.picture(),
            faults=dict(self._injector.injected),
            errors={name: texts for name, texts in errors.items() if texts},
        )


class _Looks:
    """The last few looks at one worker."""

    def __init__(self) -> None:
        self.last: demo_worker.Figures | None = None
        self._counts: list[tuple[float, int]] = []

    def add(self, at: float, figures: demo_worker.Figures) -> None:
        """Take a look in, at a monotonic time."""
        self.last = figures
        self._counts = [*self._counts[1 - _RATE_WINDOW :], (at, figures.consumed)]

    def rate(self) -> float | None:
        """Records a second over the last few looks."""
        if len(self._counts) < 2:
            return None
        (first_at, first), (last_at, last) = self._counts[0], self._counts[-1]
        return (last - first) / max(last_at - first_at, 1e-6)


def _state(worker: demo_worker.DemoWorker, figures: demo_worker.Figures | None) -> str:
    if worker.exit_code is not None:
        return f"ended with exit code {worker.exit_code}"
    if figures is None:
        return "starting"
    return "running" if figures.running else "connecting"
