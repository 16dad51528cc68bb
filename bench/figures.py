"""From raw rounds to figures: medians, rates, ratios. Pure."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench import plan

Round = Mapping[str, Any]
"""One run of one subject: `subject`, `round`, then `records`, `seconds`, `cpu_seconds`, or `unmeasured`."""


def rates(rounds: Iterable[Round], *, clock: str = "seconds") -> dict[str, float]:
    """Records per second of each subject that was measured: the median of its rounds.

    `clock` is `seconds` (wall) or `cpu_seconds`.
    """
    found: dict[str, list[float]] = {}
    for each in rounds:
        if "unmeasured" not in each:
            found.setdefault(each["subject"], []).append(each["records"] / each[clock])
    return {subject: statistics.median(values) for subject, values in found.items()}


def unmeasured(rounds: Iterable[Round]) -> dict[str, str]:
    """The subjects that could not be measured, and why."""
    return {each["subject"]: each["unmeasured"] for each in rounds if "unmeasured" in each}


def ratios(found: Mapping[str, float]) -> dict[str, float | None]:
    """The ratios of rates; None where a subject of one is missing.

    `ingest_vs_best_peer` is the lowest, over the peers without outputs, of our nearest job to the peer's: so
    the peer that comes off best decides.
    """
    return {
        "ingest_vs_ceiling": _ratio(found, plan.INGEST, plan.CEILING),
        "output_vs_quix": _ratio(found, plan.OUTPUT, plan.QUIX_OUTPUT),
        "ingest_vs_best_peer": _lowest(found),
        "eos_vs_alo": _ratio(found, plan.ONCE, plan.OUTPUT),
    }


def against_peers(found: Mapping[str, float]) -> dict[str, float]:
    """For each measured peer, our nearest job's rate over its rate."""
    ratios_of_peers = {
        subject.name: _ratio(found, subject.answered_by, subject.name)
        for subject in plan.SUBJECTS
        if subject.answered_by is not None
    }
    return {peer: ratio for peer, ratio in ratios_of_peers.items() if ratio is not None}


def _lowest(found: Mapping[str, float]) -> float | None:
    return min((r for peer, r in against_peers(found).items() if peer != plan.QUIX_OUTPUT), default=None)


def _ratio(found: Mapping[str, float], ours: str, theirs: str) -> float | None:
    return found[ours] / found[theirs] if ours in found and theirs in found else None


def summary(rounds: Sequence[Round], once: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What build/bench.json says beside where and when: the figures, then where they come from.

    `once` holds what the subjects without a broker printed, by name.
    """
    wall, cpu = rates(rounds), rates(rounds, clock="cpu_seconds")
    return {
        **ratios(wall),
        "window_cost_ratio": once.get(plan.WINDOW_COST.name, {}).get("window_cost_ratio"),
        "bytes_per_record": once.get(plan.MEMORY.name, {}).get("bytes_per_record"),
        "per_cpu_second": ratios(cpu),
        "against_peers": against_peers(wall),
        "records_per_second": wall,
        "records_per_cpu_second": cpu,
        "unmeasured": unmeasured([*rounds, *({"subject": name, **found} for name, found in once.items())]),
        "rounds": list(rounds),
        **once,
    }


def missed(found: Mapping[str, Any]) -> list[str]:
    """A line for each goal that is not reached or could not be looked at."""
    lines = []
    for goal in plan.GOALS:
        value, sign = found.get(goal.figure), ">=" if goal.at_least else "<="
        if value is None:
            lines.append(f"{goal.figure} was not measured; the goal is {sign} {goal.bound:g}")
        elif not goal.reached(value):
            lines.append(f"{goal.figure} is {value:.2f}; the goal is {sign} {goal.bound:g}")
    return lines
