"""How values, bounds and forms are put into words for the people who read a Problem."""

import json
from collections.abc import Mapping
from typing import Any

from analysis_module import forms, names

_LONGEST = 40
_LARGEST = 10**18

_FORMS = {
    forms.NAME: "1 to 100 letters, digits, '.', '_' or '-', with a letter or digit at both ends",
    forms.TOPIC: "1 to 249 letters, digits, '.', '_' or '-'",
    forms.DNS_NAME: "the name of a Kubernetes object: lower-case letters, digits, '.' or '-'",
    forms.KEY: "the key of a Secret or ConfigMap: letters, digits, '.', '_' or '-'",
    forms.VARIABLE: "the name of an environment variable: letters, digits or '_'",
    forms.FUNCTION: "the name of a Python function",
    forms.ENTRYPOINT: "package.module:function",
    forms.SNAPSHOTS: "file:///path, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix",
    names.RESOURCE_NAME_PATTERN: "1 to 52 lower-case letters, digits or '-', not '-' at an end",
    names.NAMESPACE_PATTERN: "1 to 63 lower-case letters, digits or '-', not '-' at an end",
}


def shown(value: object) -> str:
    """Show a value in short: scalars as JSON has them, cut at 40 characters; containers by their size."""
    if isinstance(value, str):
        return json.dumps(value[:_LONGEST], ensure_ascii=False) + ("..." if len(value) > _LONGEST else "")
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, int):
        return str(int(value)) if abs(value) < _LARGEST else "a number of more than 18 digits"
    if isinstance(value, float):
        return repr(float(value))
    return kind(value)


def kind(value: object) -> str:
    """Name what a value is without showing it: for secrets, and for containers."""
    if isinstance(value, Mapping):
        return f"an object of {len(value)} fields" if value else "an empty object"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)} items" if value else "an empty list"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "text"
    return "null" if value is None else f"a {type(value).__name__}"


def form(pattern: str) -> str:
    """Describe the texts that a pattern of `forms` or `names` matches."""
    return _FORMS.get(pattern, f"text that matches {pattern}")


def interval(minimum: float | None, maximum: float | None) -> str:
    """Describe bounds: `of 1 or more`, `of at most 5`, `from 1 to 5`; "" without any."""
    if minimum is None:
        return "" if maximum is None else f"of at most {maximum:.16g}"
    return f"of {minimum:.16g} or more" if maximum is None else f"from {minimum:.16g} to {maximum:.16g}"


def one_of(choices: list[Any]) -> str:
    """List what is allowed: `A, B or C`."""
    words = [str(choice) for choice in choices]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
