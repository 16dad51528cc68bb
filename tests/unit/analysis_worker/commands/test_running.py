"""`analysis-worker run` as a process on Kafka in memory: what systemd hears of it, and its log's form."""

import argparse
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from analysis_module import reading
from analysis_worker.commands import running
from tests.unit.analysis_worker import in_memory, notified

WATCHDOG_SECONDS = 0.4
PROGRAM = """
import signal, sys, time
from analysis_worker import __main__
from analysis_worker.commands import running
from analysis_worker.observability import status
from tests.unit.analysis_worker import in_memory

cluster = in_memory.a_cluster()
running.connector_of = lambda known: cluster.connector()
status.MOST_SILENT_SECONDS = 2.0
signal.signal(signal.SIGUSR1, lambda *_: time.sleep(600))  # on the main thread: the loop stands still
sys.exit(__main__.main(sys.argv[1:]))
"""


@pytest.fixture
def end() -> Iterator[notified.NotifySocket]:
    made = notified.NotifySocket.abstract()
    yield made
    made.close()


def program(directory: Path, **observability: str) -> list[str]:
    """The command on a manifest of its own."""
    document = {
        "apiVersion": "dataanalysis.io/v1alpha1",
        "kind": "AnalysisModule",
        "metadata": {"name": "module"},
        "spec": {**in_memory.SPEC, "observability": observability},
    }
    manifest = directory / "module.yaml"
    manifest.write_text(yaml.safe_dump(document), encoding="utf-8")
    return ["-c", PROGRAM, "run", "-f", str(manifest), "--host", "127.0.0.1", "--port", "0"]


def state_directory(*options: str, **state: bool) -> Path | None:
    """Where a worker started so keeps windows in files."""
    parser = argparse.ArgumentParser()
    running.add_parser(parser.add_subparsers())
    arguments = parser.parse_args(["run", "-f", "module.yaml", *options])
    return running.settings_of(
        arguments, reading.read_spec({**in_memory.SPEC, "state": state}), 500
    ).state_directory


def test_windows_are_kept_in_files_in_the_directory_that_it_is_told() -> None:
    assert state_directory("--state-directory", "/var/lib/analysis/state") == Path("/var/lib/analysis/state")


def test_windows_are_kept_in_no_files_if_it_is_told_no_directory() -> None:
    assert state_directory() is None


def test_windows_are_kept_in_no_files_if_the_module_says_so() -> None:
    assert state_directory("--state-directory", "/var/lib/analysis/state", enabled=False) is None


def test_systemd_hears_of_its_start_its_state_and_its_stop(
    end: notified.NotifySocket, tmp_path: Path
) -> None:
    with notified.speaking(program(tmp_path), end, WATCHDOG_SECONDS) as process:
        end.until("READY=1")
        end.until("STATUS=module is running: every record is taken as it comes")
        end.until("WATCHDOG=1")
        process.send_signal(signal.SIGTERM)
        end.until("STOPPING=1")
        assert process.wait(notified.HANG_SECONDS) == 0


def test_a_loop_that_hangs_gives_the_watchdog_no_more_beats(
    end: notified.NotifySocket, tmp_path: Path
) -> None:
    with notified.speaking(program(tmp_path), end, WATCHDOG_SECONDS) as process:
        end.until("READY=1")
        end.until("WATCHDOG=1")
        process.send_signal(signal.SIGUSR1)
        end.until("STATUS=the main loop has been blocked for ")
        assert [line for _ in range(5) for line in end.message() if line == "WATCHDOG=1"] == []


def first_line(process: "subprocess.Popen[str]") -> str:
    assert process.stderr is not None
    return process.stderr.readline()


@pytest.mark.parametrize(("told", "manifest", "is_json"), [("json", "text", True), ("text", "json", False)])
def test_the_environment_says_the_form_of_its_log_before_the_manifest_does(
    told: str, manifest: str, is_json: bool, end: notified.NotifySocket, tmp_path: Path
) -> None:
    command = program(tmp_path, logFormat=manifest)
    with notified.speaking(command, end, WATCHDOG_SECONDS, DATA_ANALYSIS_LOG_FORMAT=told) as process:
        line = first_line(process)
    assert line.startswith("{") is is_json
    assert not is_json or json.loads(line)["module"] == "module"


def test_a_form_that_there_is_not_ends_it_with_a_word_on_what_there_is(
    end: notified.NotifySocket, tmp_path: Path
) -> None:
    command = program(tmp_path)
    with notified.speaking(command, end, WATCHDOG_SECONDS, DATA_ANALYSIS_LOG_FORMAT="xml") as process:
        assert first_line(process) == "the log format 'xml' is unknown: give text or json\n"
        assert process.wait(notified.HANG_SECONDS) == 2


def test_large_buffers_go_back_to_the_kernel_however_many_have_come_and_gone() -> None:
    """glibc raises its threshold with each such buffer that is freed: then they lie on the heap."""
    program = """
import ctypes, sys
from analysis_worker.commands import running
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
libc.sbrk.restype = ctypes.c_void_p
if sys.argv[1] == "given back":
    running.give_buffers_back()
for size in (1_000_000, 500_000):
    libc.free(libc.malloc(size))
print(libc.malloc(500_000) < libc.sbrk(0))
"""

    def lies_on_the_heap(argument: str) -> bool:
        command = [sys.executable, "-c", program, argument]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout == "True\n"

    assert lies_on_the_heap("as it is")
    assert not lies_on_the_heap("given back")
