"""The user's callback and result handler, and those of single stations, as the worker wants them.

Plain and async functions go together on either service: what does not fit where it is called is brought to
a thread or to the event loop.
"""

import asyncio
import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

from analysis_worker.callbacks import loading
from analysis_worker.engine.inputs import ModuleInput
from d_a import errands
from d_a.module_inputs import ModuleInputs

Callback = Callable[[str, Any], Any]
Handler = Callable[..., Any]


def takes_input(handler: Handler) -> bool:
    """Whether a result handler takes (station_id, module_input, result); else (station_id, result)."""
    try:
        inspect.signature(handler).bind(None, None, None)
    except TypeError:
        return False
    except ValueError:  # a function of C without a signature
        return True
    return True


@dataclasses.dataclass(frozen=True)
class _Called:
    """A callback, and whether it must be awaited."""

    function: Callback
    is_async: bool


def _called(callback: Callback) -> _Called:
    return _Called(callback, loading.from_callable(callback).is_async)


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a callback of all modules made of the inputs it was given."""

    inputs: dict[str, Any]
    result: Any


class UserFunctions:
    """Calls the right function for each station.

    `together` says that the callback gets the inputs of all modules in one dict; else the worker's input is
    handed on. `loop` is the async service's. Raises CallbackError for a callback that cannot be called.
    """

    def __init__(
        self,
        callback: Callback | None,
        handler: Handler | None,
        *,
        inputs: ModuleInputs,
        together: bool,
        loop: asyncio.AbstractEventLoop | None,
    ) -> None:
        self.calls = 0
        self.errands = errands.Errands(loop)
        self._callback = _called(callback or loading.output_is_input)
        self._handler = handler
        self._inputs = inputs
        self._together = together
        self._loop = loop
        self._callbacks: dict[str, _Called] = {}
        self._handlers: dict[str, Handler] = {}

    def loaded(self) -> loading.LoadedCallback:
        """The worker's callback."""
        is_async = self._callback.is_async
        return loading.LoadedCallback(self.call_async if is_async else self.call, is_async)

    @property
    def has_handler(self) -> bool:
        """Whether results are handled beyond their upload."""
        return self._handler is not None or bool(self._handlers)

    def add(self, station_id: str, callback: Callback | None, handler: Handler | None) -> None:
        """Give a station functions of its own; raises CallbackError if the callback cannot be called."""
        if callback is not None:
            self._callbacks[station_id] = _called(callback)
        if handler is not None:
            self._handlers[station_id] = handler

    def remove(self, station_id: str) -> None:
        """Forget what was given to a station."""
        self._callbacks.pop(station_id, None)
        self._handlers.pop(station_id, None)

    # -- called by the worker's lanes -----------------------------------------------------------------

    def call(self, station_id: str, module_input: ModuleInput) -> Any:
        """Run a plain callback in this thread; one that gives an awaitable has it run to its end."""
        self.errands.wait_for_room()
        self.calls += 1
        given = self._given(module_input)
        try:
            callback = self._callbacks.get(station_id, self._callback)
            result = errands.settled(callback.function(station_id, given), self._loop)
        except (SystemExit, asyncio.CancelledError) as error:
            # A callback may give up, but neither this thread nor the worker with it.
            raise RuntimeError(f"the callback ended by {type(error).__name__}") from error
        return Answer(given, result) if self._together else result

    async def call_async(self, station_id: str, module_input: ModuleInput) -> Any:
        """Run an async callback on this loop; a station's own plain one in a thread."""
        if self.errands.overloaded:
            await asyncio.to_thread(self.errands.wait_for_room)
        self.calls += 1
        given = self._given(module_input)
        callback = self._callbacks.get(station_id, self._callback)
        try:
            if callback.is_async:
                result = await callback.function(station_id, given)
            else:
                result = await asyncio.to_thread(callback.function, station_id, given)
                result = await result if inspect.isawaitable(result) else result
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise RuntimeError("the callback awaited something that was cancelled") from error
        return Answer(given, result) if self._together else result

    def _given(self, module_input: ModuleInput) -> Any:
        """What the user's function gets; nothing of the worker's input was read yet."""
        if self._together:
            return self._inputs.split(module_input)
        if self._inputs.snake is not None:
            self._inputs.snake.add(module_input)
        return module_input

    # -- after the upload -----------------------------------------------------------------------------

    def handle(self, station_id: str, module_input: Any, result: Any) -> None:
        """Have the station's result handler run soon."""
        handler = self._handlers.get(station_id, self._handler)
        if handler is None:
            return
        given, made = unpacked(module_input, result)
        arguments = (station_id, given, made) if takes_input(handler) else (station_id, made)
        self.errands.submit(station_id, lambda: handler(*arguments))


def unpacked(module_input: Any, result: Any) -> tuple[Any, Any]:
    """What the user gave and was given: of all modules' inputs, the answer has both."""
    return (result.inputs, result.result) if isinstance(result, Answer) else (module_input, result)
