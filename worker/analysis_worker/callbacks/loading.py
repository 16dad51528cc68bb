"""Finds the user's callback: an entrypoint, a file, or source text in the Assignment."""

import dataclasses
import functools
import importlib
import inspect
import os
import pathlib
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any

from analysis_module import names, spec


class CallbackError(ValueError):
    """The callback cannot be loaded: names the setting, what was wrong and the mend."""


@dataclasses.dataclass(frozen=True)
class LoadedCallback:
    """A callable of (station_id, module_input), and whether it must be awaited.

    `set_up` and `tear_down` are the module's optional functions of those names, run once before the first
    and after the last call, so that a callback can own pools and clients.
    """

    function: Callable[[str, Any], Any]
    is_async: bool
    set_up: Callable[[], Any] | None = None
    tear_down: Callable[[], Any] | None = None


def output_is_input(station_id: str, module_input: Any) -> None:
    """The callback of a module that has none: the input itself goes out."""


def load(callback: spec.Callback) -> LoadedCallback:
    """The callback that a module asks for; raises CallbackError."""
    if callback.entrypoint is not None:
        module, function = _entrypoint(callback.entrypoint)
    elif callback.source is not None:
        module = _source(callback.source)
        function = _named(module, callback.function, "callback.source")
    elif (path := _path(callback)) is not None:
        module = _file(path)
        function = _named(module, callback.function, str(path))
    else:
        return LoadedCallback(output_is_input, is_async=False)
    return from_callable(
        function,
        callback.parameters,
        set_up=getattr(module, "set_up", None),
        tear_down=getattr(module, "tear_down", None),
    )


def from_callable(
    function: Callable[..., Any],
    parameters: Mapping[str, Any] | None = None,
    *,
    set_up: Callable[[], Any] | None = None,
    tear_down: Callable[[], Any] | None = None,
) -> LoadedCallback:
    """A function, partial or callable object; one that takes `parameters` is given the module's."""
    if not callable(function):
        raise CallbackError(f"callback: a {type(function).__name__} cannot be called; give a function")
    bound = function
    if _takes_parameters(function):
        bound = functools.partial(function, parameters=dict(parameters or {}))
    return LoadedCallback(bound, _is_async(function), set_up, tear_down)


def _is_async(function: Any) -> bool:
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - the method itself is asked for
    )


def _takes_parameters(function: Callable[..., Any]) -> bool:
    try:
        return "parameters" in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False


def _entrypoint(entrypoint: str) -> tuple[types.ModuleType, Callable[..., Any]]:
    module_name, _, path = entrypoint.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except Exception as error:
        mend = "install it in the worker's image, or correct the name"
        raise CallbackError(
            f"callback.entrypoint: {module_name} cannot be imported: {type(error).__name__}: {error}; {mend}"
        ) from error
    module = found
    for part in path.split("."):
        if not hasattr(found, part):
            raise CallbackError(f"callback.entrypoint: {module_name} has no {path}; correct the name")
        found = getattr(found, part)
    return module, found


def _source(source: str) -> types.ModuleType:
    if os.environ.get(names.ENV_INLINE_SOURCE, "").lower() in ("off", "false", "0", "no"):
        raise CallbackError(
            "callback.source: inline source is switched off here; use an entrypoint or a ConfigMap's file"
        )
    return _run(source, "callback.source")


def _path(callback: spec.Callback) -> pathlib.Path | None:
    if callback.file is not None:
        return pathlib.Path(callback.file)
    if callback.config_map_ref is not None:
        return pathlib.Path(names.callback_path(callback.config_map_ref.key))
    return None


def _file(path: pathlib.Path) -> types.ModuleType:
    try:
        source = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CallbackError(f"callback.file: {path} cannot be read: {error}; mount it there") from error
    return _run(source, str(path))


def _run(source: str, filename: str) -> types.ModuleType:
    module = types.ModuleType("analysis_callback")
    module.__file__ = filename
    before = sys.modules.get(module.__name__)
    sys.modules[module.__name__] = module  # so that its dataclasses and pickles find their module
    try:
        exec(compile(source, filename, "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        if before is not None:
            sys.modules[module.__name__] = before  # the callback that goes on running is of that one
        raise CallbackError(f"{filename}: {_wrong_with(error)}; correct the Python text") from error
    return module


def _wrong_with(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: {error.msg}"
    return f"running it raised {type(error).__name__}: {error}"


def _named(module: types.ModuleType, name: str, where: str) -> Callable[..., Any]:
    function = getattr(module, name, None)
    if not callable(function):
        raise CallbackError(f"{where}: it defines no function {name}; define it, or set callback.function")
    found: Callable[..., Any] = function
    return found
