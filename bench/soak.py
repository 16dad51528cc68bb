"""`python -m bench.soak`: kills without number, a worker that wakes up replaced, and a long steady load.

Everything runs on a real broker. The kills show what is lost and doubled in each delivery, the long load
whether memory, open files and tasks stay as they were. build/soak.json gets the figures.

Exit codes: 0 all as promised; 1 something was lost or doubled, or grows; 2 the broker did not start; 130
stopped by Ctrl-C.
"""

import argparse
import json
import re
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.run import announce, attempt, machine, versions
from tests.infrastructure import (
    kafka_cluster,
    kills,
    numbered_stream,
    paced_records,
)
from tests.infrastructure.worker_process import WorkerProcess

RESULT = Path(__file__).parents[1] / "build" / "soak.json"
KILLED_RECORDS, KILLED_STATIONS = 100_000, 50
LOAD_STATIONS = 300
LOAD_PER_SECOND = 1_300
"""Twice what 300 stations send: 650 records per second (see bench/README.md)."""
SAMPLE_SECONDS = 10.0
GROWTH_PER_HOUR = 0.05
"""How much of its median a gauge may grow in an hour, by its least-squares slope, and count as flat."""
DELIVERIES = ("AtLeastOnce", "ExactlyOnce")
GAUGES = {
    "rss_mib": ("process_resident_memory_bytes", 2**20),
    "open_files": ("process_open_fds", 1),
    "tasks": ("data_analysis_loop_tasks", 1),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run what was asked for; the exit code."""
    arguments = _arguments(argv)
    found = attempt(lambda: measure(arguments))
    return found if isinstance(found, int) else conclude(found, arguments)


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Everything that was asked for, as build/soak.json has it."""
    found: dict[str, Any] = {"machine": machine(), "versions": versions()}
    with kafka_cluster.KafkaCluster() as cluster, tempfile.TemporaryDirectory() as scratch:
        for delivery in DELIVERIES:
            found[f"kills_{delivery}"] = killed(cluster, delivery, arguments.kills, Path(scratch))
        found["zombie"] = replaced(cluster, arguments.frozen_seconds, Path(scratch))
        found["load"] = loaded(cluster, arguments.minutes, Path(scratch))
    return found


def conclude(found: dict[str, Any], arguments: argparse.Namespace) -> int:
    """Write the result; the exit code."""
    found["broken_promises"] = broken(found)
    arguments.result.parent.mkdir(parents=True, exist_ok=True)
    arguments.result.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    announce(json.dumps(found, indent=2))
    return 1 if found["broken_promises"] else 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.soak", description=(__doc__ or "").split("\n\n")[1]
    )
    parser.add_argument("--kills", type=int, default=200, help="for each delivery (default 200)")
    parser.add_argument("--frozen-seconds", type=float, default=60.0, help="of the worker that is replaced")
    parser.add_argument("--minutes", type=float, default=60.0, help="of the long load (default 60)")
    parser.add_argument("--result", type=Path, default=RESULT, help="default: build/soak.json")
    return parser.parse_args(argv)


def killed(cluster: kafka_cluster.KafkaCluster, delivery: str, count: int, scratch: Path) -> dict[str, Any]:
    """A worker killed `count` times under load: what its outputs tell."""
    stream = numbered_stream.make(cluster.bootstrap_servers, "soak-kills")
    sent = list(numbered_stream.records(KILLED_RECORDS, KILLED_STATIONS))
    began = time.monotonic()

    def told(done: int) -> None:
        if done % 10 == 0:
            announce(f"{delivery}: {done} of {count} kills after {time.monotonic() - began:.0f} s")

    directory = Path(tempfile.mkdtemp(dir=scratch))
    kills.run_killed(stream, sent, count, directory, told=told, delivery=delivery)
    found = numbered_stream.examine(stream.outputs(), sent)
    return {"kills": count, "seconds": round(time.monotonic() - began, 1), **_counted(sent, found)}


def replaced(cluster: kafka_cluster.KafkaCluster, seconds: float, scratch: Path) -> dict[str, Any]:
    """A worker of ExactlyOnce frozen so long, replaced meanwhile, and woken under load."""
    stream = numbered_stream.make(cluster.bootstrap_servers, "soak-zombie")
    sent = list(numbered_stream.records(30_000, KILLED_STATIONS))
    announce(f"a worker is frozen for {seconds:g} s, and replaced")
    directory = Path(tempfile.mkdtemp(dir=scratch))
    kills.run_replaced(stream, sent, directory, seconds=seconds, delivery="ExactlyOnce")
    return {"frozen_seconds": seconds, **_counted(sent, numbered_stream.examine(stream.outputs(), sent))}


def _counted(sent: Sequence[Any], found: numbered_stream.Findings) -> dict[str, int]:
    return {
        "records": len(sent),
        "lost": len(found.lost),
        "doubled": found.doubled,
        "doubled_unmarked": found.doubled_unmarked,
        "wrong_windows": len(found.wrong_windows),
    }


def loaded(cluster: kafka_cluster.KafkaCluster, minutes: float, scratch: Path) -> dict[str, Any]:
    """A worker of ExactlyOnce under a steady load: each gauge over the time, and its slope."""
    stream = numbered_stream.make(cluster.bootstrap_servers, "soak-load")
    records = numbered_stream.records(int(LOAD_PER_SECOND * minutes * 60 * 2), LOAD_STATIONS)
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in GAUGES}
    load = paced_records.PacedRecords(stream.bootstrap, stream.topic, records, per_second=LOAD_PER_SECOND)
    with WorkerProcess(scratch, "loaded").with_spec(stream.spec(delivery="ExactlyOnce")) as worker:
        worker.start().wait_until_running()
        with load:
            began = time.monotonic()
            while (at := time.monotonic() - began) < minutes * 60:
                for name, value in _gauges(worker).items():
                    samples[name].append((at, value))
                announce(f"{at / 60:.1f} min: {', '.join(f'{n} {v[-1][1]:.0f}' for n, v in samples.items())}")
                time.sleep(SAMPLE_SECONDS)
        written = stream.output_count()
        worker.stop()
    settled = {name: values[len(values) // 10 :] for name, values in samples.items()}
    return {
        "minutes": minutes,
        "outputs_per_second": round(written / (minutes * 60), 1),
        **{name: _summary(values) for name, values in settled.items()},
    }


def _gauges(worker: WorkerProcess) -> dict[str, float]:
    _, page = worker.page("/metrics")
    found = {}
    for name, (metric, unit) in GAUGES.items():
        line = re.search(rf"^{metric}(?:{{[^}}]*}})? (\S+)$", page, re.MULTILINE)
        assert line is not None, f"no {metric} in /metrics"
        found[name] = float(line.group(1)) / unit
    return found


def _summary(samples: Sequence[tuple[float, float]]) -> dict[str, float]:
    times, values = [at for at, _ in samples], [value for _, value in samples]
    slope = statistics.linear_regression(times, values).slope if len(samples) > 1 else 0.0
    return {
        "first": round(values[0], 1),
        "median": round(statistics.median(values), 1),
        "last": round(values[-1], 1),
        "highest": round(max(values), 1),
        "slope_per_hour": round(slope * 3600, 2),
    }


def broken(found: Mapping[str, Any]) -> list[str]:
    """A line for each promise that was not kept."""
    lines = []
    for name in (*(f"kills_{delivery}" for delivery in DELIVERIES), "zombie"):
        never = ["lost", "doubled_unmarked", "wrong_windows"]
        never += [] if name == "kills_AtLeastOnce" else ["doubled"]
        lines += [f"{name}: {each} is {found[name][each]}, not 0" for each in never if found[name][each]]
    for name in GAUGES:
        gauge = found["load"][name]
        if gauge["slope_per_hour"] > GROWTH_PER_HOUR * gauge["median"] + 1:
            lines.append(f"load: {name} grows by {gauge['slope_per_hour']} per hour from {gauge['median']}")
    return lines


if __name__ == "__main__":
    raise SystemExit(main())
