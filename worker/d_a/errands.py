"""Runs the user's handlers apart from the worker's loop: in order per key, several keys at once, bounded."""

import asyncio
import collections
import inspect
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from d_a.errors import handle_error

_THREADS: Final = 8
_MOST_WAITING: Final = 10_000


def settled(value: Any, loop: asyncio.AbstractEventLoop | None) -> Any:
    """A value, or what an awaitable comes to: run on `loop`, else on a new one; called from any other thread.

    Raises what the awaitable raises.
    """
    if not inspect.isawaitable(value):
        return value
    if loop is None:
        return asyncio.run(_awaited(value))
    return asyncio.run_coroutine_threadsafe(_awaited(value), loop).result()


async def _awaited(value: Awaitable[Any]) -> Any:
    return await value


class Errands:
    """A few daemon threads that run functions: one at a time per key, in the order they were given.

    What a function returns is awaited if it can be, on `loop` if there is one. What it raises is logged.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._loop = loop
        self._changed = threading.Condition()
        self._waiting: dict[str, collections.deque[Callable[[], Any]]] = {}
        self._ready: collections.deque[str] = collections.deque()  # keys with work that nobody is at
        self._count = 0
        self._threads = 0
        self._idle = 0

    @property
    def overloaded(self) -> bool:
        """Whether more is waiting than should be: callbacks should rest."""
        return self._count > _MOST_WAITING

    def wait_for_room(self) -> None:
        """Return once it is not overloaded."""
        if self.overloaded:
            with self._changed:
                self._changed.wait_for(lambda: not self.overloaded)

    def submit(self, key: str, function: Callable[[], Any]) -> None:
        """Run a function after all that were given for the same key; returns at once."""
        with self._changed:
            self._count += 1
            waiting = self._waiting.get(key)
            if waiting is not None:
                waiting.append(function)
                return
            self._waiting[key] = collections.deque([function])
            self._ready.append(key)
            self._changed.notify_all()
            if len(self._ready) > self._idle and self._threads < _THREADS:
                self._threads += 1
                threading.Thread(target=self._work, name=f"handler-{self._threads}", daemon=True).start()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._idle += 1
                while not self._ready:
                    self._changed.wait()
                self._idle -= 1
                key = self._ready.popleft()
                function = self._waiting[key].popleft()
            self._run(key, function)
            with self._changed:
                self._count -= 1
                if self._waiting[key]:
                    self._ready.append(key)
                else:
                    del self._waiting[key]
                self._changed.notify_all()

    def _run(self, key: str, function: Callable[[], Any]) -> None:
        try:
            settled(function(), self._loop)
        except BaseException as error:  # the isolation wall: nothing that a handler raises ends its thread
            handle_error(error, context=f"handler of {key}")

    def finish(self, within_seconds: float) -> bool:
        """Wait until all was run, for so long at most; whether it was."""
        deadline = time.monotonic() + within_seconds
        with self._changed:
            while self._count:
                left = deadline - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    return not self._count
        return True
