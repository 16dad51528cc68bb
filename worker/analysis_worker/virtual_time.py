"""An event loop whose time stands still until it is told to pass."""

import asyncio
import contextlib
import selectors
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")


class _UntilIdle(selectors.DefaultSelector):
    """Never waits for a timer: where the loop would, it is told to stop, and `next_in` says for how long."""

    def __init__(self) -> None:
        super().__init__()
        self.loop: VirtualLoop | None = None
        self.next_in: float | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert self.loop is not None
        found = super().select(0)
        if found or (timeout is not None and timeout <= 0):
            return found
        if self.loop.outside:
            return super().select()
        self.next_in = timeout
        self.loop.stop()
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs until nothing is left to do now. `now` is its time in s, moved by `advance` only.

    Threads that coroutines hand work to are waited for; sockets are not.
    """

    def __init__(self, now: float = 0.0) -> None:
        self.now = now
        self.outside = 0
        self._until_idle = _UntilIdle()
        super().__init__(self._until_idle)
        self._until_idle.loop = self

    def time(self) -> float:
        """The loop's time."""
        return self.now

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override]
        """As any loop does; it is waited for."""
        self.outside += 1
        made = super().run_in_executor(executor, func, *args)
        made.add_done_callback(self._back)
        return made

    def _back(self, _: Any) -> None:
        self.outside -= 1

    def run_until_idle(self) -> None:
        """Run what is ready and what follows from it; also where another loop runs already."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            self.run_forever()
            return
        elsewhere = threading.Thread(target=self.run_forever)
        elsewhere.start()
        elsewhere.join()

    def finish(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine that waits for no timer; what it gives or raises."""
        task = self.create_task(work)
        self.run_until_idle()
        if not task.done():
            task.cancel()
            raise RuntimeError(f"{task} waits for a timer; advance the clock")
        return task.result()

    def advance(self, seconds: float) -> None:
        """Let time pass; each timer in it is run at its own time."""
        end = self.now + seconds
        while True:
            self.run_until_idle()
            wait = self._until_idle.next_in
            if wait is None or self.now + wait > end:
                break
            self.now += wait
        self.now = end
        self.run_until_idle()

    def shut(self) -> None:
        """Cancel what waits and close."""
        if self.is_closed():
            return
        for task in asyncio.all_tasks(self):
            task.cancel()
        with contextlib.suppress(RuntimeError):
            self.run_until_idle()
        self.close()
