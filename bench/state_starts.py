"""Starts of a worker under a steady load, by the clock: to ready, to the first output; its memory then."""

import contextlib
import dataclasses
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench import state_records
from tests.infrastructure import kafka_tools, paced_records, waiting
from tests.infrastructure.worker_process import WorkerProcess

MEMORY = {"rss_mib": "VmRSS", "anonymous_mib": "RssAnon", "file_mib": "RssFile", "shared_mib": "RssShmem"}
_TAKEN = re.compile(r"(\d+) windows of \d+ slots are taken from files in ([\d.]+) s")
_LOOK_SECONDS = 0.005
_WHOLE_SECONDS = 120.0


@dataclasses.dataclass(frozen=True)
class Begun:
    """A start: seconds from the start of the process to /readyz and to the first output; memory in MiB.

    `windows` were taken from files, in `taking_seconds` of it.
    """

    ready_seconds: float
    first_output_seconds: float
    memory: Mapping[str, float]
    windows: int
    taking_seconds: float


@contextlib.contextmanager
def load(fleet: state_records.Fleet, first_step: int) -> Iterator[None]:
    """Each station sends a record a second to each topic (300 stations: 600 records per second)."""
    with contextlib.ExitStack() as stack:
        for number, topic in enumerate(fleet.topics):
            records = state_records.outgoing(fleet, number, first_step)
            stack.enter_context(
                paced_records.PacedRecords(fleet.bootstrap, topic, records, per_second=fleet.stations)
            )
        yield


def begin(worker: WorkerProcess, fleet: state_records.Fleet, *, within: float) -> Begun:
    """Start the worker, while records come; raises TimeoutError or AssertionError."""
    before = sum(kafka_tools.end_offsets(fleet.bootstrap, fleet.output_topic).values())
    began, began_ms = time.monotonic(), int(time.time() * 1000)
    worker.start()
    while not _is_ready(worker):
        if time.monotonic() - began > within:
            raise TimeoutError(f"not ready after {within:g} s:\n{worker.log()[-2000:]}")
        assert worker.is_running, f"the worker ended:\n{worker.log()[-2000:]}"
        time.sleep(_LOOK_SECONDS)
    ready = time.monotonic() - began
    waiting.until(lambda: _outputs(fleet) > before, what="there is an output", timeout_seconds=within)
    memory = memory_of(worker)
    first_ms = min(each.timestamp_ms for each in _read(fleet) if each.timestamp_ms >= began_ms)
    return Begun(round(ready, 3), round((first_ms - began_ms) / 1000, 3), memory, *taken(worker.log()))


def taken(log: str) -> tuple[int, float]:
    """How many windows a start took from files, and in how many seconds; none without files."""
    found = _TAKEN.search(log)
    return (int(found[1]), float(found[2])) if found else (0, 0.0)


def _is_ready(worker: WorkerProcess) -> bool:
    try:
        return worker.page("/readyz")[0] == 200
    except OSError:
        return False


def _outputs(fleet: state_records.Fleet) -> int:
    return sum(kafka_tools.end_offsets(fleet.bootstrap, fleet.output_topic).values())


def _read(fleet: state_records.Fleet) -> list[kafka_tools.Record]:
    return kafka_tools.read_all(fleet.bootstrap, fleet.output_topic)


def memory_of(worker: WorkerProcess) -> dict[str, float]:
    """Resident memory of the worker's process, and what of it is anonymous and what pages of files."""
    number = worker.program_id
    assert number is not None, "the worker ended"
    return memory_in(Path(f"/proc/{number}/status").read_text(encoding="ascii"))


def memory_in(status: str) -> dict[str, float]:
    """The same, from the text of /proc/<pid>/status."""
    told = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return {name: round(int(told[key].split()[0]) / 1024, 1) for name, key in MEMORY.items()}


def read_whole(fleet: state_records.Fleet, first_step: int, *, stations: int) -> None:
    """Have the callback read every value of all windows, and wait until it has."""
    records = state_records.outgoing(fleet, 0, first_step, voltage=state_records.ALL_ROWS)
    kafka_tools.produce_all(fleet.bootstrap, fleet.topics[0], (next(records) for _ in range(stations)))
    marked = b'"whole":true'
    kafka_tools.wait_for_records(
        fleet.bootstrap,
        fleet.output_topic,
        lambda found: len({each.key for each in found if marked in (each.value or b"")}) >= stations,
        timeout_seconds=_WHOLE_SECONDS,
    )


def export(state: Path, target: Path) -> float:
    """Copy all windows in files to a directory by `state export`; how many seconds it took."""
    began = time.monotonic()
    command = [sys.executable, "-m", "analysis_worker", "state", "export", "--state-directory", str(state)]
    done = subprocess.run([*command, "--to", str(target)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"state export: {done.stderr[-2000:]}"
    return round(time.monotonic() - began, 1)


def real_run(worker: WorkerProcess, fleet: state_records.Fleet, rows: int) -> None:
    """A short worker run on `rows` real records of each station in each topic, stopped in order."""
    fleet.make_topics()
    state_records.write(fleet, rows)
    worker.start().wait_until_running()
    wanted = 2 * rows * fleet.stations
    waiting.until(lambda: _outputs(fleet) >= wanted, what="all have outputs", timeout_seconds=120)
    time.sleep(1.5)  # the progress is written each second
    worker.stop()


def as_figures(starts: list[Begun]) -> list[dict[str, Any]]:
    """For JSON."""
    return [dataclasses.asdict(each) for each in starts]
