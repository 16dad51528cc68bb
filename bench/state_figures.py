"""From raw measurements of windows in files to figures, goals and the table. Pure."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from bench import plan

KEYS = (
    "restart_seconds",
    "restart_vs_rewind",
    "snapshot_vs_rewind",
    "restore_vs_quix",
    "rss_mib",
    "eos_vs_alo",
)
"""What build/bench-state.json has beside the raw figures; null is not measured, and `unmeasured` says why."""

GOALS = (
    plan.Goal(
        "restart_seconds",
        2.0,
        False,
        "seconds of a restart from files: the later of ready and first output",
        "从文件重启的秒数",
    ),
    plan.Goal("restart_vs_rewind", 50.0, True, "rewind (computed for that size) / restart", "回放 / 重启"),
    plan.Goal(
        "snapshot_vs_rewind",
        10.0,
        True,
        "rewind (computed for that size) / start on an empty directory from a snapshot in another one",
        "回放 / 从快照启动",
    ),
    plan.Goal(
        "restore_vs_quix",
        10.0,
        True,
        "Quix Streams' recovery / restart, of equally many records, both measured",
        "Quix 的恢复 / 重启",
    ),
    plan.Goal("eos_vs_alo", 0.85, True, "`ExactlyOnce` / `AtLeastOnce`", "`ExactlyOnce` / `AtLeastOnce`"),
)


def median(starts: Sequence[Mapping[str, Any]], name: str) -> float:
    """Of some starts the median of one figure."""
    return float(statistics.median(each[name] for each in starts))


def restart_seconds(starts: Sequence[Mapping[str, Any]]) -> float:
    """The later of ready and first output, medians of the starts."""
    return max(median(starts, name) for name in ("ready_seconds", "first_output_seconds"))


def rewind_seconds(rewind: Mapping[str, Any], started: float, records: int) -> float:
    """How long a rewind of so many records takes at the rate that was measured.

    `started` are the seconds of a start that has nothing to rewind: they are in what was measured, once.
    """
    rate: float = rewind["records"] / (rewind["ready_seconds"] - started)
    return started + records / rate


def quix_seconds(quix: Mapping[str, Any], records: int) -> float:
    """How long its recovery of so many records takes at the rate that was measured, as `rewind_seconds`."""
    rate = (quix["records"] - quix["few_records"]) / (quix["recovery_seconds"] - quix["few_seconds"])
    return float(quix["few_seconds"] + (records - quix["few_records"]) / rate)


def summary(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The figures, then what they are made of: `raw` has what was measured, by its name."""
    full, rewind, quix, snapshot = raw["full"], raw.get("rewind"), raw.get("quix"), raw.get("snapshot", {})
    found: dict[str, Any] = dict.fromkeys(KEYS)
    restart = found["restart_seconds"] = restart_seconds(full["restarts"])
    found["rss_mib"] = statistics.median(each["memory"]["rss_mib"] for each in full["restarts"])
    found["eos_vs_alo"] = raw.get("delivery", {}).get("eos_vs_alo")
    computed: dict[str, Any] = {"records": full["records"]}
    if rewind is not None:
        started = median(full["restarts"], "ready_seconds")
        computed["rewind_seconds"] = rewind_seconds(rewind, started, full["records"])
        found["restart_vs_rewind"] = computed["rewind_seconds"] / restart
        if snapshot.get("seconds"):
            found["snapshot_vs_rewind"] = computed["rewind_seconds"] / snapshot["seconds"]
    if quix is not None:
        found["restore_vs_quix"] = quix["recovery_seconds"] / restart_seconds(quix["ours"])
        computed["quix_seconds"] = quix_seconds(quix, full["records"])
        computed["restore_vs_quix"] = computed["quix_seconds"] / restart
    return {**found, "computed": computed, "unmeasured": raw.get("unmeasured", {}), **raw}


def missed(found: Mapping[str, Any], skipped: frozenset[str] = frozenset()) -> list[str]:
    """A line for each goal that is not reached or could not be looked at; not of what was left out."""
    lines = []
    for goal in GOALS:
        value, sign = found[goal.figure], ">=" if goal.at_least else "<="
        if value is None and goal.figure not in skipped:
            lines.append(f"{goal.figure} was not measured; the goal is {sign} {goal.bound:g}")
        elif value is not None and not goal.reached(value):
            lines.append(f"{goal.figure} is {value:.2f}; the goal is {sign} {goal.bound:g}")
    return lines


def markdown(found: Mapping[str, Any]) -> str:
    """The table: what was measured, at which size, and what is computed from a measured rate."""
    full, computed = found["full"], found["computed"]
    size = f"{full['records']:,} records"
    lines = ["| | seconds | how, and at which size |", "|---|---:|---|"]

    def row(what: str, seconds: float, how: str) -> None:
        lines.append(f"| {what} | {seconds:,.2f} | {how} |")

    times = f"measured, {size}, median of {len(full['restarts'])} after kill -9"
    row("restart from files, to ready", median(full["restarts"], "ready_seconds"), times)
    row("restart from files, to the first output", median(full["restarts"], "first_output_seconds"), times)
    for name, what in (
        ("cold", "the same, files not in the page cache"),
        ("reboot", "the same, after a reboot"),
    ):
        row(f"{what}, to the first output", full[name]["first_output_seconds"], f"measured, {size}, once")
    if "snapshot" in found:
        what = "on an empty directory from a snapshot, to ready and first output"
        row(what, found["snapshot"]["seconds"], f"measured, {size}, once")
    if "rewind" in found:
        row(
            "rewind, to ready",
            found["rewind"]["ready_seconds"],
            f"measured, {found['rewind']['records']:,} records",
        )
        row("rewind, to ready", computed["rewind_seconds"], f"computed from that rate, {size}")
    if "quix" in found:
        quix = found["quix"]
        equal = f"{quix['records']:,} records"
        row("Quix Streams' recovery, to the first record", quix["recovery_seconds"], f"measured, {equal}")
        row(
            "restart from files, to ready and first output",
            restart_seconds(quix["ours"]),
            f"measured, {equal}",
        )
        row("Quix Streams' recovery", computed["quix_seconds"], f"computed from its rate, {size}")
    lines += ["", "| memory, MiB | resident | anonymous | pages of files |", "|---|---:|---:|---:|"]
    moments = {
        "at the first output after a restart": full["restarts"][-1]["memory"],
        "after some seconds of load": full["loaded_memory"],
        "when each window was read from end to end": full["whole_memory"],
    }
    for what, memory in moments.items():
        figures = (memory[name] for name in ("rss_mib", "anonymous_mib", "file_mib"))
        lines.append(f"| {what} | {' | '.join(f'{each:,.0f}' for each in figures)} |")
    lines += ["", "| figure | measured | goal |", "|---|---:|---|"]
    for goal in GOALS:
        value, bound = found[goal.figure], f"{'≥' if goal.at_least else '≤'} {goal.bound:g}"
        if value is None:
            lines.append(f"| {goal.label} | not measured | {bound} |")
        else:
            verdict = "met" if goal.reached(value) else "missed"
            lines.append(f"| {goal.label} | {value:,.2f} | {bound}, {verdict} |")
    return "\n".join(lines)
