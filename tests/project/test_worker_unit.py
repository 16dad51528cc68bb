"""The systemd unit of docs/guide/standalone.md: systemd takes it, and it waits for what the worker says."""

import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from analysis_worker import settings
from analysis_worker.observability import systemd
from tests.infrastructure import programs
from tests.project import markdown, tree

PAGE = markdown.Page(tree.ROOT / "docs" / "guide" / "standalone.md")
TEXT = PAGE.code("ini")[0]


@pytest.fixture
def service() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]  # keys are told apart by case
    parser.read_string(TEXT)
    return parser["Service"]


def test_systemd_has_nothing_against_it(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        raise programs.Unavailable("systemd-analyze is not on PATH: run this on a machine with systemd")
    unit = tmp_path / "analysis-worker@load_prediction-0.service"
    ours = "/opt/data_analysis/.venv/bin/analysis-worker"
    assert ours in TEXT
    unit.write_text(TEXT.replace(ours, sys.executable), encoding="utf-8")
    command = [program, "verify", "--man=no", "--recursive-errors=no", str(unit)]
    told = subprocess.run(command, capture_output=True, text=True)
    assert told.stderr == ""
    assert told.returncode == 0


def test_its_start_is_over_when_the_worker_says_so_within_a_bound_that_kafka_may_take(
    service: configparser.SectionProxy,
) -> None:
    worker = settings.Settings()
    assert service["Type"] == "notify"
    assert int(service["TimeoutStartSec"]) > worker.connect_within_seconds + worker.takeover_after_seconds
    assert int(service["TimeoutStopSec"]) > worker.stop_within_seconds


def test_the_guide_says_how_often_its_watchdog_is_given_a_beat(service: configparser.SectionProxy) -> None:
    asked = {"NOTIFY_SOCKET": "@nobody", "WATCHDOG_USEC": f"{service['WatchdogSec']}000000"}
    every = systemd.Notifier(list, asked).interval_seconds
    assert f"Every {every:g} s the worker gives the watchdog a\nbeat" in PAGE.text
    assert f"{service['WatchdogSec']} s after its\nlast beat systemd kills it" in PAGE.text
