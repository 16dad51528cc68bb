"""One call of the user's function for one trigger: input built, function run, result encoded, all guarded."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

from analysis_module import spec
from analysis_worker.callbacks.loading import LoadedCallback
from analysis_worker.engine import inputs
from analysis_worker.engine.stations import Trigger

Encode = Callable[[Trigger, Any], bytes]


@dataclasses.dataclass(slots=True)
class Outcome:
    """What came of one trigger: `payload` for the output (None: there is none), or `error`.

    `seconds` is the time the callback took; `result` and `module_input` are kept for a result handler.
    """

    trigger: Trigger
    payload: bytes | None = None
    error: BaseException | None = None
    seconds: float = 0.0
    module_input: Any = None
    result: Any = None


class CallbackTimeout(TimeoutError):
    """The callback did not return within `callback.timeoutSeconds`."""


@dataclasses.dataclass(frozen=True)
class Caller:
    """Builds the input, runs the function and encodes what it returns.

    None from the callback means that the input itself is the output; without an output (`encode` None)
    nothing is encoded. `keep` keeps input and result in the outcome.
    """

    callback: LoadedCallback
    input_format: spec.InputFormat
    encode: Encode | None
    keep: bool = False

    def module_input(self, trigger: Trigger) -> Any:
        """What the callback gets."""
        module_input = inputs.ModuleInput(
            trigger.layout, trigger.station.id, trigger.heads, trigger.timestamp / 1000
        )
        return module_input if self.input_format is spec.InputFormat.NUMPY else module_input.plain()

    def call(self, trigger: Trigger) -> Outcome:
        """Run a plain function here and now."""
        started = time.perf_counter()
        try:
            module_input = self.module_input(trigger)
            result = self.callback.function(trigger.station.id, module_input)
            return self._outcome(trigger, module_input, result, started)
        except Exception as error:  # the isolation wall: whatever a callback raises stays with its station
            return Outcome(trigger, error=error, seconds=time.perf_counter() - started)

    async def call_async(self, trigger: Trigger) -> Outcome:
        """Run an async function on this loop; a cancellation passes through."""
        started = time.perf_counter()
        try:
            module_input = self.module_input(trigger)
            result = await self.callback.function(trigger.station.id, module_input)
            return self._outcome(trigger, module_input, result, started)
        except Exception as error:  # the isolation wall, as above
            return Outcome(trigger, error=error, seconds=time.perf_counter() - started)

    def _outcome(self, trigger: Trigger, module_input: Any, result: Any, started: float) -> Outcome:
        seconds = time.perf_counter() - started
        payload = None
        if self.encode is not None:
            payload = self.encode(trigger, module_input if result is None else result)
        if self.keep:
            return Outcome(trigger, payload, None, seconds, module_input, result)
        return Outcome(trigger, payload, None, seconds)
