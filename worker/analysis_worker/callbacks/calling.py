"""One call of the user's function for one trigger: input built, function run, result encoded, all guarded."""

import dataclasses
import logging
from collections.abc import Callable
from typing import Any

from analysis_module import spec
from analysis_worker.callbacks.loading import LoadedCallback
from analysis_worker.engine import inputs
from analysis_worker.engine.scheduling import Work
from analysis_worker.engine.stations import Trigger

log = logging.getLogger(__name__)

Encode = Callable[[Trigger, Any], bytes]


class Finished:
    """What came of a piece of work, in order, up to the first failure.

    `payloads` are the outputs of the triggers that succeeded (None: no output is sent); `error` is that of
    the next trigger, if one failed, and `remaining` are those not called. `seconds` is the time of all
    calls together, `failed_seconds` that of the failed one. `kept` holds (module_input, result) per success
    where a result handler wants them, `times` the seconds of each while the log is at DEBUG, else None.
    """

    __slots__ = ("error", "failed_seconds", "kept", "payloads", "seconds", "times", "work")

    def __init__(self, work: Work) -> None:
        self.work = work
        self.payloads: list[bytes | None] = []
        self.kept: list[tuple[Any, Any]] = []
        self.error: BaseException | None = None
        self.seconds = 0.0
        self.failed_seconds = 0.0
        self.times: list[float] | None = [] if log.isEnabledFor(logging.DEBUG) else None

    @property
    def called(self) -> int:
        """How many triggers were called."""
        return len(self.payloads) + (self.error is not None)

    @property
    def failed(self) -> Trigger | None:
        """The trigger whose call failed."""
        return None if self.error is None else self.work.triggers[len(self.payloads)]

    @property
    def remaining(self) -> list[Trigger]:
        """The triggers not called."""
        return self.work.triggers[self.called :]

    def tell_times(self) -> None:
        """One line at DEBUG for each success whose time was kept."""
        for trigger, seconds in zip(self.work.triggers, self.times or (), strict=False):
            log.debug(
                "callback of station %s took %.6f s for %s/%s offset %s",
                trigger.station.id,
                seconds,
                *trigger.batch.origin,
                trigger.offset,
                extra=fields_of(trigger, seconds),
            )


def fields_of(trigger: Trigger, seconds: float) -> dict[str, Any]:
    """What a line about a call of this trigger carries beside its message; `seconds` is the call's time."""
    topic, partition = trigger.batch.origin
    return {
        "station_id": trigger.station.id,
        "topic": topic,
        "partition": partition,
        "offset": trigger.offset,
        "processing_time": round(seconds, 6),
    }


class CallbackTimeout(TimeoutError):
    """The callback did not return within `callback.timeoutSeconds`."""


@dataclasses.dataclass(frozen=True)
class Caller:
    """Builds the input, runs the function and encodes what it returns.

    None from the callback means that the input itself is the output; without an output (`encode` None)
    nothing is encoded. `keep` keeps input and result.
    """

    callback: LoadedCallback
    input_format: spec.InputFormat
    encode: Encode | None
    keep: bool = False

    def module_input(self, trigger: Trigger) -> Any:
        """What the callback gets."""
        module_input = inputs.ModuleInput(
            trigger.batch.layout, trigger.station.id, trigger.heads, trigger.timestamp / 1000
        )
        return module_input if self.input_format is spec.InputFormat.NUMPY else module_input.plain()

    def take(self, finished: Finished, trigger: Trigger, module_input: Any, result: Any) -> None:
        """Add a successful call's output."""
        if self.encode is None:
            finished.payloads.append(None)
        else:
            finished.payloads.append(self.encode(trigger, module_input if result is None else result))
        if self.keep:
            finished.kept.append((module_input, result))
