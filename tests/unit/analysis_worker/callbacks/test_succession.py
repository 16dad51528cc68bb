"""One callback after another: set up once, torn down once, and only when its last call is over."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from analysis_worker.callbacks import loading, succession


class Told:
    """Lanes that run nothing and note what they are told."""

    def __init__(
        self, name: str, notes: list[str], set_up: Callable[[], Any] | None = None, *, busy: bool = False
    ) -> None:
        self.name = name
        self.notes = notes
        self.busy = busy
        self.callback = loading.LoadedCallback(
            print, False, set_up or self._note("set_up"), self._note("tear_down")
        )

    def _note(self, what: str) -> Callable[[], None]:
        return lambda: self.notes.append(f"{self.name} {what}")

    def configure(self, caller: Any, *, concurrency: int, timeout_seconds: float) -> None: ...

    def submit(self, works: Any) -> None: ...

    def overdue(self) -> int:
        return 1

    def at_rest(self) -> bool:
        return not self.busy

    async def run_hook(self, hook: Callable[[], Any] | None) -> None:
        if hook is not None:
            made = hook()
            if asyncio.iscoroutine(made):
                await made

    async def stop(self, within_seconds: float) -> bool:
        self.notes.append(f"{self.name} stop")
        return True

    async def close(self) -> None:
        self.notes.append(f"{self.name} close")


def fails() -> None:
    raise ZeroDivisionError("no pool")


async def test_a_callback_is_set_up_once_and_torn_down_once() -> None:
    notes: list[str] = []
    first = Told("a", notes)
    line = succession.Succession(first)
    await line.set_up(first)
    await line.set_up(first)
    await line.stop(1.0)
    await line.tear_down(1.0)
    await line.tear_down(1.0)
    assert notes == ["a set_up", "a stop", "a tear_down", "a close", "a close"]


async def test_a_former_callback_is_torn_down_when_its_last_call_is_over() -> None:
    notes: list[str] = []
    first, second = Told("a", notes, busy=True), Told("b", notes)
    line = succession.Succession(first)
    await line.set_up(first)
    await line.set_up(second)
    line.pass_to(second)
    waiting = asyncio.create_task(line.tear_former_down())
    await asyncio.wait([waiting], timeout=0.01)
    assert notes == ["a set_up", "b set_up"]
    first.busy = False
    await waiting
    assert notes[2:] == ["a tear_down", "a close"]
    await line.tear_down(1.0)
    assert notes[4:] == ["b tear_down", "b close"]


async def test_an_end_tears_down_former_callbacks_too() -> None:
    notes: list[str] = []
    first, second = Told("a", notes, busy=True), Told("b", notes)
    line = succession.Succession(first)
    for each in (first, second):
        await line.set_up(each)
        line.pass_to(each)
    assert line.overdue() == 2
    await line.stop(1.0)
    await line.tear_down(1.0)
    assert notes[2:] == ["a stop", "b stop", "a tear_down", "a close", "b tear_down", "b close"]


async def test_passing_on_to_the_same_lanes_changes_nothing() -> None:
    first = Told("a", [])
    line = succession.Succession(first)
    line.pass_to(first)
    assert (line.current, line.overdue()) == (first, 1)


async def test_a_failed_set_up_is_a_callback_error_and_the_one_in_use_stays() -> None:
    notes: list[str] = []
    first, bad = Told("a", notes), Told("bad", notes, set_up=fails)
    line = succession.Succession(first)
    await line.set_up(first)
    with pytest.raises(loading.CallbackError, match="its set_up raised ZeroDivisionError: no pool"):
        await line.set_up(bad)
    assert line.current is first
    await line.tear_down(1.0)
    assert notes == ["a set_up", "bad close", "a tear_down", "a close"]


async def test_what_was_not_set_up_is_not_torn_down() -> None:
    notes: list[str] = []
    first = Told("a", notes, set_up=fails)
    line = succession.Succession(first)
    with pytest.raises(loading.CallbackError):
        await line.set_up(first)
    await line.tear_down(1.0)
    assert notes == ["a close"]


async def test_a_tear_down_that_fails_or_hangs_holds_nothing_up(caplog: pytest.LogCaptureFixture) -> None:
    notes: list[str] = []

    async def for_ever() -> None:
        await asyncio.Event().wait()

    hanging, failing = Told("a", notes), Told("b", notes)
    hanging.callback = loading.LoadedCallback(print, False, None, for_ever)
    failing.callback = loading.LoadedCallback(print, False, None, fails)
    line = succession.Succession(hanging)
    for each in (hanging, failing):
        await line.set_up(each)
        line.pass_to(each)
    await line.tear_down(0.05)
    assert notes == ["a close", "b close"]
    assert "tear_down failed: ZeroDivisionError: no pool" in caplog.text
