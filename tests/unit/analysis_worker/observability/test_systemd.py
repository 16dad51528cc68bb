"""What systemd hears through a real datagram socket: start, beats, state, stop; and when it hears nothing."""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from analysis_worker.observability import status, systemd
from tests.infrastructure import waiting
from tests.unit.analysis_worker import notified
from tests.unit.analysis_worker.observability import facts

BEATS = 0.2
"""The watchdog's time in s, where beats are waited for."""


@pytest.fixture(params=["path", "abstract"])
def end(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[notified.NotifySocket]:
    made = (
        notified.NotifySocket(str(tmp_path / "notify"))
        if request.param == "path"
        else notified.NotifySocket.abstract()
    )
    yield made
    made.close()


@pytest.fixture
def abstract() -> Iterator[notified.NotifySocket]:
    made = notified.NotifySocket.abstract()
    yield made
    made.close()


class Workers:
    """Workers that tell how they are now, and may be changed."""

    def __init__(self, count: int = 1) -> None:
        self.changes: list[dict[str, Any]] = [{} for _ in range(count)]
        self.asked = 0

    def __call__(self) -> list[status.StatusSource]:
        self.asked += 1
        return [facts.Source(facts.a_worker(taken_at=time.time(), **each)) for each in self.changes]


def test_a_start_a_state_and_a_stop_are_said_through_either_kind_of_socket(
    end: notified.NotifySocket,
) -> None:
    workers = Workers()
    workers.changes[0] = {"explain": "every record\nis taken"}
    with systemd.Notifier(workers, end.environment()) as notifier:
        assert end.message() == ["STATUS=load_prediction is running: every record is taken"]
        notifier.ready()
        assert "READY=1" in end.message()
        notifier.stopping()
        assert "STOPPING=1" in end.message()


def test_what_was_said_is_not_said_again(abstract: notified.NotifySocket) -> None:
    with systemd.Notifier(Workers(), abstract.environment(BEATS)) as notifier:
        notifier.ready()
        abstract.until("READY=1")
        assert [abstract.message()[0] for _ in range(3)] == ["WATCHDOG=1"] * 3


def test_what_is_said_last_is_heard_before_the_end(abstract: notified.NotifySocket) -> None:
    with systemd.Notifier(Workers(), abstract.environment()) as notifier:
        abstract.message()
        notifier.stopping()
    assert "STOPPING=1" in abstract.message()


def test_a_watchdog_is_given_a_beat_at_half_of_its_time(abstract: notified.NotifySocket) -> None:
    assert systemd.Notifier(Workers(), abstract.environment(4)).interval_seconds == 2
    with systemd.Notifier(Workers(), abstract.environment(BEATS)):
        abstract.until("WATCHDOG=1")
        began = time.monotonic()
        for _ in range(5):
            assert "WATCHDOG=1" in abstract.message()
    assert time.monotonic() - began >= 4 * BEATS / 2  # the first may have waited in the socket


@pytest.mark.parametrize(("pid", "beats"), [("", True), (str(os.getpid()), True), ("1", False)])
def test_a_beat_is_given_if_the_watchdog_is_this_processs(
    pid: str, beats: bool, abstract: notified.NotifySocket
) -> None:
    environment = {**abstract.environment(BEATS), "WATCHDOG_PID": pid}
    with systemd.Notifier(Workers(), environment):
        assert ("WATCHDOG=1" in abstract.message()) is beats


@pytest.mark.parametrize("told", [None, "0", "soon"])
def test_without_a_watchdogs_time_there_is_no_beat_but_the_rest_is_said(
    told: str | None, abstract: notified.NotifySocket, caplog: pytest.LogCaptureFixture
) -> None:
    environment = abstract.environment() | ({} if told is None else {"WATCHDOG_USEC": told})
    with systemd.Notifier(Workers(), environment) as notifier:
        notifier.ready()
        said = abstract.until("READY=1")
    assert said[-1].startswith("STATUS=load_prediction is running")
    assert "WATCHDOG=1" not in said
    assert (told is not None) is ("there is no watchdog" in caplog.text)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"loop_lag_seconds": 61.0}, "the main loop has been blocked for 61 s, more than 60 s"),
        ({"last_poll_age_seconds": 61.0}, "the last poll of Kafka was 61 s ago, more than 60 s"),
        ({"state": "failed", "explain": "a defect"}, "the worker has failed: a defect"),
    ],
)
def test_what_is_not_alive_by_the_judgement_of_livez_gives_no_beat_and_says_why(
    changes: dict[str, Any], reason: str, abstract: notified.NotifySocket
) -> None:
    workers = Workers(2)
    with systemd.Notifier(workers, abstract.environment(BEATS)):
        abstract.until("WATCHDOG=1")
        workers.changes[1] = changes
        abstract.until(f"STATUS={reason}")
        assert [abstract.message() for _ in range(3)] == [[f"STATUS={reason}"]] * 3
        workers.changes[1] = {}
        abstract.until("WATCHDOG=1")


def test_a_state_that_cannot_be_told_gives_no_beat_until_it_can(abstract: notified.NotifySocket) -> None:
    workers = Workers()
    workers.changes[0] = {"no_such_field": 1}
    with systemd.Notifier(workers, abstract.environment(BEATS)) as notifier:
        notifier.ready()
        assert abstract.until("READY=1") == ["READY=1"]
        workers.changes[0] = {}
        abstract.until("WATCHDOG=1")


@pytest.mark.parametrize("address", ["", "vsock:2:1", "relative/path"])
def test_nothing_speaks_unless_a_unix_socket_is_named(address: str, caplog: pytest.LogCaptureFixture) -> None:
    with systemd.Notifier(Workers(), {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1"}) as notifier:
        notifier.ready()
        assert "systemd" not in {thread.name for thread in threading.enumerate()}
    assert (address != "") is ("which is no Unix socket" in caplog.text)


def full(end: notified.NotifySocket) -> None:
    """Send to it until it takes no more."""
    other = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    other.setblocking(False)
    with other, contextlib.suppress(BlockingIOError):
        while True:
            other.sendto(b"STATUS=filled", end.address.replace("@", "\0", 1))


def test_what_nobody_heard_is_said_once_somebody_listens(tmp_path: Path) -> None:
    path, workers = str(tmp_path / "notify"), Workers()
    with systemd.Notifier(workers, {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "20000"}) as notifier:
        notifier.ready()
        in_vain = workers.asked + 3  # by then one attempt that had it to say is over
        waiting.until(lambda: workers.asked > in_vain, what="it has been tried", timeout_seconds=60.0)
        end = notified.NotifySocket(path)
        assert "READY=1" in end.message()
    end.close()


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.touch(), lambda path: path.mkdir()])
def test_an_end_that_nobody_listens_at_hurts_nobody(make: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "notify"
    make(path)
    before = threading.active_count()
    with systemd.Notifier(Workers(), {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "1000"}) as notifier:
        notifier.ready()
        notifier.stopping()
    assert threading.active_count() == before


def test_an_end_that_never_answers_does_not_keep_the_program_from_ending(
    abstract: notified.NotifySocket,
) -> None:
    full(abstract)
    notifier = systemd.Notifier(Workers(), abstract.environment())
    notifier.start()
    notifier.stopping()
    notifier.close()
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "systemd")
