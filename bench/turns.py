"""Runs subjects, each in a process of its own that ends with us, and collects what they print."""

import dataclasses
import importlib.metadata
import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench import broker, plan
from tests.infrastructure import guarded_process, waiting

SUBJECT_SECONDS = 240.0
"""How long one subject may take, its start included."""

Announce = Callable[[str], None]


class SubjectFailed(RuntimeError):
    """A subject printed no figures: the end of what it said, or that it took too long."""


@dataclasses.dataclass
class Turns:
    """One run of the benchmark; `topics` maps a number of records to the topic that has them."""

    where: broker.Broker
    topics: Mapping[int, str]
    quick: bool
    announce: Announce
    rounds: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    _given_up: set[str] = dataclasses.field(default_factory=set)

    def take(self, subjects: tuple[plan.Subject, ...], number: int) -> None:
        """One round: each subject once, in order; one that failed before is left out."""
        for subject in subjects:
            if subject.name in self._given_up:
                continue
            try:
                figures = self._measure(subject, number)
            except SubjectFailed as failure:
                self._given_up.add(subject.name)
                figures = {"unmeasured": str(failure)}
                self.announce(f"  {subject.name:<20} NOT MEASURED: {failure}")
            else:
                rate = figures["records"] / figures["seconds"]
                self.announce(f"  {subject.name:<20} {rate:>12,.0f} records/s")
            self.rounds.append({"round": number, "subject": subject.name, **figures})

    def _measure(self, subject: plan.Subject, number: int) -> dict[str, Any]:
        needs_installed(subject)
        count = plan.records_of(subject, quick=self.quick)
        name = f"{subject.name}-{number}"
        output = self.where.make_topic(f"output-{name}")
        arguments = {
            "bootstrap": self.where.bootstrap,
            "topic": self.topics[count],
            "output-topic": output,
            "records": str(count),
            "group": f"{self.where.prefix}-{name}",
            "variant": subject.variant,
        }
        try:
            figures = run(subject.module, arguments)
            if subject.name in (plan.OUTPUT, plan.QUIX_OUTPUT):
                _check_outputs(self.where.held(output), count)
        finally:
            self.where.drop_topic(output)
        return figures


def measure_in_process(subject: plan.Subject, *, quick: bool) -> dict[str, Any]:
    """Run a subject that needs no broker; `{"unmeasured": why}` if it fails."""
    arguments = dict.fromkeys(("bootstrap", "topic", "output-topic", "group"), "-")
    try:
        return run(subject.module, {**arguments, "records": "0", "variant": "quick" if quick else "full"})
    except SubjectFailed as failure:
        return {"unmeasured": str(failure)}


def needs_installed(subject: plan.Subject) -> None:
    """Raise SubjectFailed, with the mend, if a peer's distribution is not installed."""
    if subject.distribution is not None:
        try:
            importlib.metadata.version(subject.distribution)
        except importlib.metadata.PackageNotFoundError:
            mend = "install the extra: pip install -e '.[bench]'"
            raise SubjectFailed(f"{subject.distribution} is not installed; {mend}") from None


def _check_outputs(found: int, wanted: int) -> None:
    if found != wanted:
        raise SubjectFailed(f"its output topic holds {found} records, not {wanted}")


def run(
    module: str,
    arguments: Mapping[str, str],
    *,
    python: str = sys.executable,
    within: float = SUBJECT_SECONDS,
) -> dict[str, Any]:
    """Run `bench.subjects.<module>` to its end; the figures that it prints. Raises SubjectFailed.

    `python` is another interpreter than ours, for a peer in an environment of its own; `within` is seconds.
    """
    options = [part for name, value in arguments.items() for part in (f"--{name}", value)]
    with tempfile.TemporaryDirectory(prefix="station-analysis-bench-") as directory:
        scratch = Path(directory)
        command = [python, "-m", f"bench.subjects.{module}", *options, "--scratch", directory]
        process = guarded_process.GuardedProcess(command, log_file=scratch / "printed", scratch=scratch)
        try:
            waiting.until(
                lambda: not process.is_running(),
                what=f"{module} has ended",
                timeout_seconds=within,
            )
        except TimeoutError as error:
            raise SubjectFailed(f"{error}; it printed: {_end(process.log_tail())}") from error
        finally:
            process.kill()
        return printed_figures(process.log_tail(lines=1000))


def printed_figures(printed: str) -> dict[str, Any]:
    """The figures in what a subject printed: its last line; raises SubjectFailed with that line else."""
    lines = printed.strip().splitlines() or ["nothing was printed"]
    if lines[-1].startswith("{"):
        figures: dict[str, Any] = json.loads(lines[-1])
        return figures
    raise SubjectFailed(_end(printed))


def _end(printed: str) -> str:
    """The last lines that say something, on one line."""
    return " / ".join(line.strip() for line in printed.splitlines()[-3:] if line.strip())[-600:] or "nothing"
