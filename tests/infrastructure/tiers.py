"""The tiers of the tests: a mark by folder, and at the end a line for each: what ran, what not, and why."""

import collections
import dataclasses
import os
from collections.abc import Generator, Iterable, Sequence
from pathlib import Path

import pytest

from tests.infrastructure import programs

TESTS = Path(__file__).parents[1]
TIERS = {
    "unit": "pure code, milliseconds",
    "properties": "laws over generated inputs (hypothesis)",
    "contract": "one suite on each fake and on the real thing",
    "integration": "real Kafka and a real Kubernetes API",
    "project": "the tree itself: imports, sizes, public names, docs",
    "e2e": "our images in pods of a true node, installed by helm",
}
"""Tier, which is its folder and its mark -> what its tests stand on."""


def of(path: Path) -> str | None:
    """The tier whose folder holds the file `path`, None outside all of them."""
    try:
        folder = path.relative_to(TESTS).parts[0]
    except ValueError:
        return None
    return folder if folder in TIERS else None


def ci() -> bool:
    """Whether this run must not leave anything out: CI=true (or 1)."""
    return os.environ.get("CI", "").lower() in {"true", "1"}


@dataclasses.dataclass
class Tally:
    """What became of the tests of one tier."""

    outcomes: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    deselected: int = 0
    reasons: set[str] = dataclasses.field(default_factory=set)

    def sentence(self, *, has_tests: bool) -> str:
        """How the tier fared, for the summary."""
        ran = ", ".join(
            f"{self.outcomes[each]} {each}" for each in ("passed", "failed") if self.outcomes[each]
        )
        parts = [f"ran: {ran}"] if ran else []
        if self.outcomes["skipped"]:
            parts.append(
                f"did NOT run: {self.outcomes['skipped']}, because " + "; ".join(sorted(self.reasons))
            )
        if not parts:
            parts = ["did not run: " + ("not selected" if has_tests else "has no tests yet")]
        elif self.deselected:
            parts.append(f"{self.deselected} not selected")
        return "; ".join(parts)


class TierReport:
    """The pytest plugin that marks, counts and sums up; with CI=true it turns every skip into a failure."""

    def __init__(self) -> None:
        self._tallies = {tier: Tally() for tier in TIERS}
        self._tier_of: dict[str, str] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: Sequence[pytest.Item]) -> None:
        """Marks each test with its tier, before -m is looked at."""
        for item in items:
            tier = of(item.path)
            if tier is not None:
                item.add_marker(tier)
                self._tier_of[item.nodeid] = tier

    def pytest_deselected(self, items: Iterable[pytest.Item]) -> None:
        """Counts what -m and -k leave out."""
        for item in items:
            if item.nodeid in self._tier_of:
                self._tallies[self._tier_of[item.nodeid]].deselected += 1

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Refuses the skip of a whole file in CI."""
        report = yield
        _refuse_skip(report)
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Tells "cannot run on this machine" from "failed", and refuses the skip of a test in CI."""
        report = yield
        if call.excinfo is not None and call.excinfo.errisinstance(programs.Unavailable):
            report.outcome = "skipped"
            report.longrepr = (report.nodeid, 0, str(call.excinfo.value))
        _refuse_skip(report)
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Counts one outcome for each test: that of its call, or of what broke around it."""
        tier = self._tier_of.get(report.nodeid)
        if tier is None or (report.passed and report.when != "call"):
            return
        tally = self._tallies[tier]
        tally.outcomes[report.outcome] += 1
        if report.skipped:
            tally.reasons.add(_reason(report))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Writes one line for each tier."""
        terminalreporter.section("tiers")
        for tier, tally in self._tallies.items():
            has_tests = any((TESTS / tier).rglob("test_*.py"))
            terminalreporter.line(f"{tier:<12} {tally.sentence(has_tests=has_tests)}")


def _refuse_skip(report: pytest.CollectReport | pytest.TestReport) -> None:
    if report.skipped and ci() and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"CI=true allows no skip: {_reason(report)}"


def _reason(report: pytest.CollectReport | pytest.TestReport) -> str:
    """Why a test was skipped, without the place where that was said."""
    why = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return why.removeprefix("Skipped: ")
