"""`python -m bench.state`: what windows in files spare a restart, beside a rewind and Quix Streams' recovery.

Exit codes: 0 measured, and the goals are reached; 1 a goal is missed or a figure is not there; 2 wrong
arguments, too little room, or the broker did not start; 130 stopped by Ctrl-C or SIGTERM. Nothing that it
started or wrote is left, but build/bench-state.json.
"""

import argparse
import contextlib
import datetime
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench import broker, figures, plan, state_figures, state_files, state_records, state_starts, turns
from bench.run import announce, attempt, machine, positive, versions
from tests.infrastructure import kafka_cluster, kafka_tools
from tests.infrastructure.worker_process import WorkerProcess

RESULT = Path(__file__).parents[1] / "build" / "bench-state.json"
STATIONS, WINDOW = 300, 604_800
REAL_ROWS = 100
"""Records of each station in each topic that a worker reads before the windows are filled."""
RESTARTS = 3
COPIES = 2
"""Of all windows on the disk at once, at most: the files and a snapshot of them."""
LOADED_SECONDS = 25.0
"""Of load before each kill: longer than from one checkpoint to the next, and than floors stay as they are."""
DOWN_SECONDS = 3.0
REWIND_SECONDS = 1_200.0
QUIX_SECONDS = 600.0
FEW_RECORDS = 1_000


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; the exit code."""
    arguments = _arguments(argv)
    needed = COPIES * state_files.needed_bytes(arguments.stations, arguments.window)
    room = state_files.free_bytes(arguments.scratch)
    announce(
        f"windows need {needed / 2**30:.1f} GiB in {arguments.scratch}, which has {room / 2**30:.1f} GiB"
    )
    if room < needed:
        announce("too little room: give --scratch on a larger disk, or a smaller --window or --stations")
        return 2
    found = attempt(lambda: measure(arguments))
    return found if isinstance(found, int) else conclude(found, arguments)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.state", description=(__doc__ or "").split("\n\n")[0]
    )
    add = parser.add_argument
    add("--stations", type=positive, default=STATIONS, help=f"default {STATIONS}")
    add(
        "--window",
        type=positive,
        default=WINDOW,
        help=f"records of a station and topic (default {WINDOW})",
    )
    add(
        "--rewind-records",
        type=positive,
        default=12_000_000,
        help="of the rewind (default 12000000)",
    )
    add("--quix-records", type=positive, default=3_000_000, help="of Quix Streams' state (default 3000000)")
    add("--scratch", type=Path, default=Path(tempfile.gettempdir()), help="where the gigabytes of files go")
    add("--skip-quix", action="store_true", help="leave Quix Streams out")
    add("--quix-python", default=sys.executable, help="a Python that has Quix Streams (default: this one)")
    add("--result", type=Path, default=RESULT, help="default: build/bench-state.json")
    arguments = parser.parse_args(argv)
    least = 2 * arguments.stations * state_files.LEAST_WINDOW
    for name in ("rewind_records", "quix_records"):
        if getattr(arguments, name) < least:
            option = f"--{name.replace('_', '-')}"
            parser.error(f"{option}: smaller windows are not kept in files; give at least {least}")
    if arguments.window < state_files.LEAST_WINDOW:
        parser.error(
            f"--window: smaller ones are not kept in files; give at least {state_files.LEAST_WINDOW}"
        )
    return arguments


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Everything, as build/bench-state.json has it."""
    with tempfile.TemporaryDirectory(prefix="station-analysis-state-", dir=arguments.scratch) as scratch:
        return _measured(arguments, Path(scratch))


def _measured(arguments: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    raw: dict[str, Any] = {"unmeasured": {}}
    if arguments.skip_quix:
        raw["unmeasured"]["restore_vs_quix"] = "left out by --skip-quix"
    with kafka_cluster.KafkaCluster(brokers=1) as cluster:
        where = cluster.bootstrap_servers
        full = _fleet(where, "full", arguments.stations, arguments.window)
        raw["full"] = from_files(full, scratch, whole=True)
        raw["snapshot"] = raw["full"].pop("snapshot")
        if not arguments.skip_quix:
            raw["quix"] = _tried(raw, "restore_vs_quix", lambda: beside_quix(where, arguments, scratch))
        raw["rewind"] = _tried(raw, "restart_vs_rewind", lambda: rewound(where, arguments, scratch))
        raw["delivery"] = _tried(raw, "eos_vs_alo", lambda: deliveries(broker.Broker(where, "delivery")))
    return {
        **state_figures.summary({name: each for name, each in raw.items() if each is not None}),
        "stations": arguments.stations,
        "window": arguments.window,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": versions(),
    }


def _tried(raw: dict[str, Any], figure: str, part: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
    try:
        return part()
    except (TimeoutError, AssertionError, turns.SubjectFailed, OSError) as failure:
        announce(f"{figure}: NOT MEASURED: {failure}")
        raw["unmeasured"][figure] = str(failure)
        return None


def _fleet(bootstrap: str, name: str, stations: int, window: int) -> state_records.Fleet:
    return state_records.Fleet(bootstrap, kafka_tools.unique_name(f"state-{name}"), stations, window)


def from_files(fleet: state_records.Fleet, scratch: Path, *, whole: bool) -> dict[str, Any]:
    """Restarts of a worker killed with -9 under load, its windows full; with `whole` the rarer ones too."""
    announce(f"files of {fleet.rows:,} records ...")
    directory, state = Path(tempfile.mkdtemp(dir=scratch)), Path(tempfile.mkdtemp(dir=scratch))
    with contextlib.ExitStack() as stack:
        worker = stack.enter_context(WorkerProcess(directory).with_spec(fleet.spec()))
        worker.with_state(state, checkpoint_interval=10.0, commit_interval=1.0)
        state_starts.real_run(worker, fleet, REAL_ROWS)
        began = time.monotonic()
        state_files.fill(state, fleet.spec(), _progress("windows filled", 2 * fleet.stations))
        filled = round(time.monotonic() - began, 1)
        found: dict[str, Any] = {"records": fleet.rows, "fill_seconds": filled}
        found["disk_mib"] = round(state_files.disk_bytes(state) / 2**20)
        stack.enter_context(state_starts.load(fleet, REAL_ROWS))
        starts = [_start(worker, fleet, f"restart {n} of {RESTARTS}") for n in range(RESTARTS + 1)]
        found["first_start"], found["restarts"] = _figures(starts)[0], _figures(starts)[1:]
        if whole:
            found["loaded_memory"] = state_starts.memory_of(worker)
            state_starts.read_whole(fleet, REAL_ROWS + 10_000, stations=fleet.stations)
            found["whole_memory"] = state_starts.memory_of(worker)
            announce(f"every window is read: {found['whole_memory']}")
            worker.kill()
            state_files.forget_cached(state)
            found["cold"] = _figures([_start(worker, fleet, "files not in the page cache")])[0]
            worker.kill()
            state_files.as_after_reboot(state)
            state_files.forget_cached(state)
            found["reboot"] = _figures([_start(worker, fleet, "after a reboot")])[0]
            worker.kill()
            state, found["snapshot"] = from_snapshot(worker, fleet, state, scratch)
        worker.kill()
    state_files.remove(state)
    return found


def from_snapshot(
    worker: WorkerProcess, fleet: state_records.Fleet, state: Path, scratch: Path
) -> tuple[Path, dict[str, Any]]:
    """A start on an empty directory from a snapshot in another one; that directory, and the figures."""
    copies, empty = (Path(tempfile.mkdtemp(dir=scratch)) for _ in range(2))
    exported = state_starts.export(state, copies)
    announce(f"all windows are copied to a snapshot in {exported} s")
    state_files.remove(state)
    asked = fleet.spec()
    # No snapshot is written meanwhile: that is another cost.
    snapshots = {"url": copies.as_uri(), "intervalSeconds": 86_400}
    worker.with_spec({**asked, "state": {**asked["state"], "snapshots": snapshots}})
    worker.with_state(empty, checkpoint_interval=10.0, commit_interval=1.0)
    begun = _start(worker, fleet, "on an empty directory, from the snapshot")
    state_files.remove(copies)
    seconds = max(begun.ready_seconds, begun.first_output_seconds)
    return empty, {"seconds": seconds, "export_seconds": exported, **_figures([begun])[0]}


def _start(worker: WorkerProcess, fleet: state_records.Fleet, what: str) -> state_starts.Begun:
    if worker.is_running:
        worker.kill()
    time.sleep(DOWN_SECONDS)
    begun = state_starts.begin(worker, fleet, within=120.0)
    announce(f"  {what}: ready after {begun.ready_seconds} s, output after {begun.first_output_seconds} s")
    wanted = 2 * fleet.stations
    assert begun.windows == wanted, (
        f"{begun.windows} of {wanted} windows came from files:\n{worker.log()[-2000:]}"
    )
    time.sleep(LOADED_SECONDS)
    return begun


def _figures(starts: Sequence[state_starts.Begun]) -> list[dict[str, Any]]:
    return state_starts.as_figures(list(starts))


def _progress(what: str, of: int) -> Callable[[int], None]:
    told = [time.monotonic()]

    def tell(done: int) -> None:
        if time.monotonic() - told[0] > 5:
            told[0] = time.monotonic()
            announce(f"  {done:,} of {of:,} {what}")

    return tell


def rewound(bootstrap: str, arguments: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """A worker without files that reads its windows from Kafka, muted: to ready, and the first output.

    It is a new group that begins at the end: what is before goes through the same replay as at a restart
    without files, and no record of it has to be answered first.
    """
    steps = arguments.rewind_records // (2 * arguments.stations)
    fleet = _fleet(bootstrap, "rewind", arguments.stations, steps)
    announce(f"writing {fleet.rows:,} records for the rewind ...")
    fleet.make_topics()
    state_records.write(fleet, steps, _progress("records written", fleet.rows))
    directory = Path(tempfile.mkdtemp(dir=scratch))
    try:
        with (
            WorkerProcess(directory).with_spec(fleet.spec(reset="latest")) as worker,
            state_starts.load(fleet, steps),
        ):
            begun = state_starts.begin(worker, fleet, within=REWIND_SECONDS)
    finally:
        kafka_tools.delete_topics(bootstrap, fleet.topics)
    announce(f"  rewind: ready after {begun.ready_seconds} s, output after {begun.first_output_seconds} s")
    return {"records": fleet.rows, **_figures([begun])[0]}


def beside_quix(bootstrap: str, arguments: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Quix Streams' recovery of a state, and our restart from files with as many records."""
    window = arguments.quix_records // (2 * arguments.stations)
    few = recovered(bootstrap, arguments, FEW_RECORDS // arguments.stations or 1)
    found = recovered(bootstrap, arguments, 2 * window)
    ours = from_files(_fleet(bootstrap, "equal", arguments.stations, window), scratch, whole=False)
    return {
        **found,
        "few_records": few["records"],
        "few_seconds": few["recovery_seconds"],
        "ours": ours["restarts"],
    }


def recovered(bootstrap: str, arguments: argparse.Namespace, steps: int) -> dict[str, Any]:
    """Quix Streams builds a state of so many records of each station, loses its directory, and recovers."""
    fleet = _fleet(bootstrap, "quix", arguments.stations, steps)
    count = steps * fleet.stations
    announce(f"Quix Streams: a state of {count:,} records ...")
    fleet.make_topics()
    state_records.write(fleet, steps, topics=1)
    job = {
        "bootstrap": bootstrap,
        "topic": fleet.topics[0],
        "output-topic": "-",
        "records": str(count),
        "group": fleet.group,
    }

    def run(variant: str) -> dict[str, Any]:
        chosen = {**job, "variant": f"{variant}:{steps}"}
        return turns.run("quix_state", chosen, python=arguments.quix_python, within=QUIX_SECONDS)

    built = run("build")
    further = state_records.outgoing(fleet, 0, steps)
    kafka_tools.produce_all(bootstrap, fleet.topics[0], (next(further) for _ in range(fleet.stations)))
    began = time.time()
    seconds = round(run("recover")["first_at"] - began, 2)
    changelog = sum(
        sum(kafka_tools.end_offsets(bootstrap, topic).values())
        for topic in kafka_tools.topics(bootstrap)
        if topic.startswith(f"changelog__{fleet.group}")
    )
    announce(
        f"  Quix Streams: {count:,} records recovered after {seconds} s, from {changelog:,} of its changelog"
    )
    return {
        "records": count,
        "recovery_seconds": seconds,
        "changelog_records": changelog,
        "build_seconds": round(built["seconds"], 1),
    }


def deliveries(where: broker.Broker) -> dict[str, Any]:
    """The benchmark's figure of `ExactlyOnce` beside `AtLeastOnce`, by turns."""
    subjects = tuple(each for each in plan.SUBJECTS if each.name in (plan.OUTPUT, plan.ONCE))
    announce("ExactlyOnce beside AtLeastOnce ...")
    run = turns.Turns(where, where.preload(plan.sizes(subjects, quick=False)), False, announce)
    for number in range(1, RESTARTS + 1):
        run.take(subjects, number)
    return {"eos_vs_alo": figures.ratios(figures.rates(run.rounds))["eos_vs_alo"], "rounds": run.rounds}


def conclude(found: dict[str, Any], arguments: argparse.Namespace) -> int:
    """Write the result and the table; the exit code."""
    arguments.result.parent.mkdir(parents=True, exist_ok=True)
    arguments.result.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(state_figures.markdown(found))
    announce(f"written: {arguments.result}")
    skipped = frozenset({"restore_vs_quix"} if arguments.skip_quix else ())
    missed = state_figures.missed(found, skipped)
    for line in missed:
        announce(f"GOAL MISSED: {line}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
