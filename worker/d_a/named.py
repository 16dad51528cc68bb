"""Settings by the names of a configuration module, whatever form they came in: module, mapping or YAML."""

import dataclasses
import types
from collections.abc import Mapping
from typing import Any, Final

from analysis_module import errors

NAMES: Final = (
    "MODULE_NAME",
    "KAFKA_CONFIG",
    "TOPIC_DETAIL",
    "MODULE_DEPENDENCIES",
    "MODULE_OUTPUT_TOPIC_PREFIX",
    "MODULE_OUTPUT_TOPICS",
    "MODULE_OUTPUT_WINDOW_SIZE",
    "OUTPUT_TOPIC_STYLE",
    "TOPIC_TO_MODULES",
    "MODULE_TO_TOPICS",
    "OFFSET_COMMIT_CONFIG",
    "LOGGING",
    "FIELD_NAMES",
    "ENVELOPE",
    "PROFILE",
)
"""Every name that a configuration module may have (seed system 4.4); the last three and OUTPUT_TOPIC_STYLE
are the options of seed system 9 and 3.1."""

_YAML: Final = {
    "module_name": "MODULE_NAME",
    "logging": "LOGGING",
    "kafka": "KAFKA_CONFIG",
    "offset_commit": "OFFSET_COMMIT_CONFIG",
    "topic_detail": "TOPIC_DETAIL",
    "module_dependencies": "MODULE_DEPENDENCIES",
    "names": "FIELD_NAMES",
    "envelope": "ENVELOPE",
    "profile": "PROFILE",
    "outputTopicStyle": "OUTPUT_TOPIC_STYLE",
}
_YAML_OUTPUT: Final = {
    "topic_prefix": "MODULE_OUTPUT_TOPIC_PREFIX",
    "window_size": "MODULE_OUTPUT_WINDOW_SIZE",
    "topics": "MODULE_OUTPUT_TOPICS",
    "topic_style": "OUTPUT_TOPIC_STYLE",
}
_OUTPUT: Final = "module_output"


@dataclasses.dataclass(frozen=True)
class Named:
    """Values by name; `paths` says how the document spells a name, `warnings` what it says in vain."""

    values: Mapping[str, Any] = dataclasses.field(default_factory=dict, repr=False)
    paths: Mapping[str, str] = dataclasses.field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def get(self, name: str) -> Any:
        """The value of a name; None if it is absent."""
        return self.values.get(name)

    def path(self, name: str) -> str:
        """How problems name it."""
        return self.paths.get(name, name)


def of_module(module: types.ModuleType | types.SimpleNamespace | type) -> Named:
    """The names that a module really holds; what it derives when asked does not count."""
    held = vars(module)
    return Named({name: held[name] for name in NAMES if name in held})


def of_mapping(document: Mapping[str, Any]) -> Named:
    """A mapping of a module's names, or of the YAML form's keys (seed system 4.4)."""
    values: dict[str, Any] = {}
    paths: dict[str, str] = {}
    unknown: list[str] = []
    for key, value in document.items():
        if key in NAMES:
            values[key] = value
        elif key in _YAML:
            values[_YAML[key]], paths[_YAML[key]] = value, key
        elif key == _OUTPUT and isinstance(value, Mapping):
            unknown += _of_output(value, values, paths)
        else:
            unknown.append(str(key))
    return Named(values, paths, tuple(_ignored(key) for key in unknown))


def _of_output(document: Mapping[str, Any], values: dict[str, Any], paths: dict[str, str]) -> list[str]:
    """Read the section `module_output`; its unknown keys are returned."""
    for key, value in document.items():
        if key in _YAML_OUTPUT:
            name = _YAML_OUTPUT[key]
            values[name], paths[name] = value, f"{_OUTPUT}.{key}"
    return [f"{_OUTPUT}.{key}" for key in document if key not in _YAML_OUTPUT]


def _ignored(key: str) -> str:
    mend = errors.suggestion(key, NAMES if key.isupper() else (*_YAML, _OUTPUT), "remove it")
    return f"{key} is not a setting and is ignored; {mend}"
