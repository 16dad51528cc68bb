"""Signals are answered only where Python's own answer would be."""

import signal
import threading

import pytest

from d_a import signals


@pytest.fixture
def _kept() -> "object":
    held = signal.getsignal(signal.SIGTERM)
    yield None
    signal.signal(signal.SIGTERM, held)


@pytest.mark.usefixtures("_kept")
def test_pythons_own_answer_is_replaced_and_brought_back() -> None:
    told: list[int] = []
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    restore = signals.install(lambda: told.append(1), [signal.SIGTERM])
    signal.raise_signal(signal.SIGTERM)
    restore()
    assert told == [1]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.usefixtures("_kept")
def test_a_programs_own_answer_stays() -> None:
    def own(number: int, frame: object) -> None:
        pass

    signal.signal(signal.SIGTERM, own)
    restore = signals.install(signals.end_program, [signal.SIGTERM])
    assert signal.getsignal(signal.SIGTERM) is own
    restore()
    assert signal.getsignal(signal.SIGTERM) is own


@pytest.mark.usefixtures("_kept")
def test_an_answer_that_came_later_is_not_taken_back() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    restore = signals.install(signals.end_program, [signal.SIGTERM])
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    restore()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN


def test_outside_the_main_thread_nothing_is_installed() -> None:
    held = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=lambda: signals.install(signals.end_program, [signal.SIGINT])())
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGINT) is held


def test_the_end_of_the_program_has_exit_code_zero() -> None:
    with pytest.raises(SystemExit) as caught:
        signals.end_program()
    assert caught.value.code == 0
