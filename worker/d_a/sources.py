"""Where a configuration is read from, again and again: a file, a module, a mapping, or the package's own."""

import ast
import importlib
import os
import pathlib
import types
from collections.abc import Callable, Mapping
from typing import Any, Final

import yaml

from d_a import named
from d_a.errors import ConfigurationError

ENV_CONFIG_PATH: Final = "DATA_ANALYSIS_CONFIG_PATH"
"""Path of the configuration, YAML (or JSON) or Python."""

IN_DIRECTORY: Final = ("config.yaml", "config.yml", "config.py", "d_a/config.py")
"""Files of the working directory that are looked for, in order."""

Read = Callable[[], named.Named]
"""Reads the configuration as it is now; raises ConfigurationError."""

Configurable = str | os.PathLike[str] | Mapping[str, Any] | types.ModuleType | types.SimpleNamespace | type
"""What a caller may give as a configuration."""


def reader_of(config: Configurable | None) -> Read:
    """A reader of what was given, else of what is found.

    Found is the first of: the path in DATA_ANALYSIS_CONFIG_PATH, the working directory's config.yaml, a
    Python file there that sets KAFKA_CONFIG, the module `d_a.config`. Nothing is read before the call.
    """
    if config is None:
        path = _found()
        return _file_reader(path) if path is not None else _ModuleReader(_own_module())
    if isinstance(config, Mapping):
        return lambda: named.of_mapping(config)
    if isinstance(config, types.ModuleType):
        return _ModuleReader(config)
    if isinstance(config, types.SimpleNamespace | type):
        return lambda: named.of_module(config)
    return _file_reader(pathlib.Path(config))


def _own_module() -> types.ModuleType:
    return importlib.import_module("d_a.config")


def _found() -> pathlib.Path | None:
    told = os.environ.get(ENV_CONFIG_PATH)
    if told:
        return pathlib.Path(told)
    own = pathlib.Path(_own_module().__file__ or "")
    for name in IN_DIRECTORY:
        path = pathlib.Path(name)
        if not path.is_file() or (own.is_file() and path.samefile(own)):
            continue
        if path.suffix != ".py" or _is_configuration(path):
            return path.absolute()
    return None


def _is_configuration(path: pathlib.Path) -> bool:
    """Whether a Python file sets KAFKA_CONFIG; found without running it, for it may be someone else's."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return False
    for statement in tree.body:
        targets: list[Any] = list(getattr(statement, "targets", ())) or [getattr(statement, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == "KAFKA_CONFIG" for target in targets):
            return True
    return False


def _file_reader(path: pathlib.Path) -> Read:
    return (lambda: _python(path)) if path.suffix == ".py" else (lambda: _yaml(path))


def _bytes_of(path: pathlib.Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        mend = f"put the configuration there, or name another path in {ENV_CONFIG_PATH}"
        raise ConfigurationError.single(str(path), f"cannot be read: {error.strerror}", mend) from error


def _yaml(path: pathlib.Path) -> named.Named:
    try:
        document = yaml.safe_load(_bytes_of(path))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        told = " ".join(str(error).split())
        raise ConfigurationError.single(str(path), f"is not YAML: {told}", "mend the text there") from error
    if not isinstance(document, Mapping):
        wrong = "is empty" if document is None else f"holds a {type(document).__name__}, not a mapping"
        raise ConfigurationError.single(str(path), wrong, "give the keys kafka, topic_detail and so on")
    return named.of_mapping(document)


def _python(path: pathlib.Path) -> named.Named:
    return named.of_module(types.SimpleNamespace(**_executed(path, _bytes_of(path), {})))


def _executed(path: pathlib.Path, source: bytes, namespace: dict[str, Any]) -> dict[str, Any]:
    """Run a configuration's Python text in a namespace of its own."""
    namespace.update(__file__=str(path), __builtins__=__builtins__)
    namespace.setdefault("__name__", "data_analysis_config")
    try:
        exec(compile(source, str(path), "exec"), namespace)
    except SyntaxError as error:
        place = f"{path}:{error.lineno}"
        raise ConfigurationError.single(place, f"is not Python: {error.msg}", "mend the line") from error
    except Exception as error:
        told = f"running it raised {type(error).__name__}: {error}"
        raise ConfigurationError.single(str(path), told, "mend the file") from error
    return namespace


class _ModuleReader:
    """An imported module: its attributes as they are now, after its file if that has changed meanwhile.

    The file is run in a namespace of its own, and its values reach the module only when all of it ran.
    """

    def __init__(self, module: types.ModuleType) -> None:
        self._module = module
        self._known = self._source()

    def __call__(self) -> named.Named:
        source = self._source()
        if source is not None and source != self._known:
            path = pathlib.Path(self._module.__file__ or "")
            namespace = {"__name__": self._module.__name__, "__package__": self._module.__package__}
            executed = _executed(path, source, namespace)
            for name in named.NAMES:
                vars(self._module).pop(name, None)
            vars(self._module).update({name: executed[name] for name in named.NAMES if name in executed})
            self._known = source
        return named.of_module(self._module)

    def _source(self) -> bytes | None:
        path = pathlib.Path(getattr(self._module, "__file__", None) or "")
        try:
            return path.read_bytes() if path.suffix == ".py" else None
        except OSError:
            return None
