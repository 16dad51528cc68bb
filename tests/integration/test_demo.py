"""The demo as a user runs it: nine worker processes on the embedded broker, and nothing left afterwards."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from analysis_module import modules
from tests.infrastructure import waiting

NAMES = {module.name for module in modules.ALL}


@contextlib.contextmanager
def a_demo(directory: Path, **environment: str) -> Iterator["subprocess.Popen[str]"]:
    """A running demo whose processes all carry `directory` in their environment; its output is a pipe."""
    process = subprocess.Popen(
        [sys.executable, "-m", "analysis_worker", "demo"],
        cwd=directory,
        env={**os.environ, "TMPDIR": str(directory), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def alive(directory: Path) -> list[str]:
    """Command lines of the processes that carry `directory` in their environment, ours aside."""
    marker = f"TMPDIR={directory}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if marker in (entry / "environ").read_bytes().split(b"\0"):
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


def wait_for_outputs(process: "subprocess.Popen[str]", count: int) -> None:
    """Return once that many modules have told of their first output."""
    assert process.stdout is not None
    seen: list[str] = []
    for line in process.stdout:
        seen.append(line)
        if sum("first output of" in each for each in seen) == count:
            return
    raise AssertionError("the demo ended:\n" + "".join(seen))


def test_all_nine_modules_answer_and_nothing_is_left(tmp_path: Path) -> None:
    with a_demo(tmp_path, DEMO_SECONDS="25") as process:
        printed, _ = process.communicate(timeout=90)
    assert process.returncode == 0, printed
    facts = json.loads((tmp_path / "build" / "demo.json").read_text(encoding="utf-8"))
    assert facts["errors"] == 0, printed
    assert facts["dead_letters"] > 0
    assert {name for name, count in facts["outputs"].items() if count} == NAMES
    assert all(0 < seconds < 60 for seconds in facts["first_output_seconds"].values())
    assert facts["first_output_seconds"].keys() == NAMES
    assert alive(tmp_path) == []
    assert list(tmp_path.glob("station-analysis-demo-*")) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_demo_that_is_told_to_stop_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    with a_demo(tmp_path, DEMO_SECONDS="60") as process:
        wait_for_outputs(process, 1)
        assert len(alive(tmp_path)) == 11
        process.send_signal(number)
        printed, _ = process.communicate(timeout=60)
    assert process.returncode == 0, printed
    assert alive(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_no_process_outlives_a_demo_that_is_killed(tmp_path: Path) -> None:
    with a_demo(tmp_path, DEMO_SECONDS="60") as process:
        wait_for_outputs(process, 1)
        process.kill()
        process.wait(timeout=10)
        waiting.until(lambda: alive(tmp_path) == [], what="its processes are gone", timeout_seconds=10)
