"""The errors of the documented API, and what to do with one that must not end a service.

Exception
└── DataAnalysisError         a bad record: not an object, or without a station id
    ├── ConfigurationError    a setting that is wrong; carries every problem found (a ValueError too)
    ├── KafkaConnectionError  Kafka cannot be reached, read or written
    └── DispatcherError       a window, a parser or a dependency
"""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from analysis_module import errors as spec_errors

log = logging.getLogger(__name__)

_recovering: set[asyncio.Task[None]] = set()
"""Tasks under way: an event loop itself keeps only a weak hold on them."""


class DataAnalysisError(Exception):
    """A bad record, or any other error of this package."""


class KafkaConnectionError(DataAnalysisError):
    """Kafka could not be reached, or a record could not be read or sent."""


class DispatcherError(DataAnalysisError):
    """A window, a parser or a dependency could not be used."""


class ConfigurationError(DataAnalysisError, ValueError):
    """Settings that are wrong: `problems` are all of them, each with path, what is wrong and the mend.

    `omitted` counts the problems beyond those listed.
    """

    def __init__(self, problems: Iterable[spec_errors.Problem], *, omitted: int = 0) -> None:
        self.problems = tuple(problems)
        self.omitted = omitted
        super().__init__(str(spec_errors.InvalidSpec(self.problems, omitted=omitted)))

    @classmethod
    def single(cls, path: str, wrong: str, mend: str) -> "ConfigurationError":
        """The error of one problem."""
        return cls([spec_errors.Problem(path, wrong, mend)])


def handle_error(
    exc: BaseException, *, context: Any = None, recover: Callable[[], Any] | None = None
) -> None:
    """Log an exception (type, message, traceback, `context`) and then call `recover`; raises nothing.

    A `recover` that returns an awaitable, as a coroutine function does, has it run to its end; while an
    event loop runs in this thread it becomes a task of that loop instead.
    """
    where = "" if context is None else f" [{context}]"
    log.error("%s: %s%s", type(exc).__name__, exc, where, exc_info=exc)
    if recover is None:
        return
    try:
        made = recover()
        if inspect.isawaitable(made):
            _complete(made)
    except Exception as error:
        _recovery_failed(error)


def _complete(made: Awaitable[Any]) -> None:
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(_guarded(made))
        return
    task = loop.create_task(_guarded(made))
    _recovering.add(task)
    task.add_done_callback(_recovering.discard)


async def _guarded(made: Awaitable[Any]) -> None:
    try:
        await made
    except Exception as error:
        _recovery_failed(error)


def _recovery_failed(error: Exception) -> None:
    log.error("recovering failed: %s: %s", type(error).__name__, error, exc_info=error)
