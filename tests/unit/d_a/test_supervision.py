"""What systemd hears of a program on d_a, as a process whose services are on Kafka in memory."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.analysis_worker import notified

WATCHDOG_SECONDS = 0.2
MOST_QUEUED = 30
"""More messages than a socket holds: the last of so many was sent after they began to be read."""
PROGRAM = """
import sys, threading
from d_a import errors
from tests.unit.d_a import offline

def make():
    made = offline.Offline("load_prediction", config=offline.SETTINGS, connect_within_seconds=0.2)
    made.cluster = offline.cluster()
    return made

def fail(service):
    service.cluster.fail_next(1, "source.poll", ZeroDivisionError("a defect"))

def fail_in_foreground(service):
    def once_it_runs():
        offline.until(lambda: service._runner and service._runner.worker.state == "running", "it runs")
        fail(service)

    threading.Thread(target=once_it_runs).start()
    try:
        service.start(background=False)
    except errors.DataAnalysisError as error:
        print(error, flush=True)

one, two = make(), make()
for line in sys.stdin:
    exec(line)
"""


@pytest.fixture
def end() -> Iterator[notified.NotifySocket]:
    made = notified.NotifySocket.abstract()
    yield made
    made.close()


@pytest.fixture
def program(end: notified.NotifySocket, tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    log = {"DATA_ANALYSIS_LOG": str(tmp_path / "log")}
    with notified.speaking(["-c", PROGRAM], end, WATCHDOG_SECONDS, **log) as process:
        yield process


def tell(process: "subprocess.Popen[str]", *statements: str) -> None:
    assert process.stdin is not None
    process.stdin.writelines(f"{statement}\n" for statement in statements)
    process.stdin.flush()


def no_beat(end: notified.NotifySocket) -> bool:
    """Whether several messages on end are without one."""
    return all("WATCHDOG=1" not in end.message() for _ in range(5))


def test_a_service_that_has_started_is_ready_and_beats(
    end: notified.NotifySocket, program: "subprocess.Popen[str]"
) -> None:
    tell(program, "one.start()")
    end.until("READY=1")
    end.until("STATUS=load_prediction is running")
    assert "WATCHDOG=1" in end.message()


def test_one_that_has_failed_ends_the_beats_though_another_runs_until_it_is_stopped(
    end: notified.NotifySocket, program: "subprocess.Popen[str]"
) -> None:
    tell(program, "one.start()", "two.start()")
    end.until("STATUS=load_prediction is running: every record is taken as it comes; load_prediction is")
    tell(program, "fail(two)")
    end.until("STATUS=the worker has failed: ZeroDivisionError: a defect")
    assert no_beat(end)
    tell(program, "two.stop()")
    end.until("WATCHDOG=1")


def test_services_that_were_stopped_in_order_leave_the_program_its_beats(
    end: notified.NotifySocket, program: "subprocess.Popen[str]"
) -> None:
    tell(program, "one.start()")
    end.until("READY=1")
    tell(program, "one.stop()")
    assert "WATCHDOG=1" in end.until("STATUS=nothing runs")


def test_a_failure_that_the_foreground_raised_is_the_programs_own_to_mend(
    end: notified.NotifySocket, program: "subprocess.Popen[str]"
) -> None:
    tell(program, "one.start()", "fail_in_foreground(two)")
    assert program.stdout is not None
    assert "a defect" in program.stdout.readline()
    assert "WATCHDOG=1" in [end.message() for _ in range(MOST_QUEUED)][-1]


def test_one_that_cannot_start_says_nothing(
    end: notified.NotifySocket, program: "subprocess.Popen[str]"
) -> None:
    given_up = "offline.until(lambda: not one._runner.alive, 'it has given up')"
    tell(program, "one.cluster.disconnect()", "one.start()", given_up, "two.start()")
    first = end.message()
    assert first[-1].startswith(("STATUS=load_prediction is restoring", "STATUS=load_prediction is running"))
