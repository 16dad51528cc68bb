"""The shape of the resource as data, read off the dataclasses of `spec`: names, types, change classes.

Reading, writing, the CRD and the operator's comparison all walk this one shape.
"""

import dataclasses
import functools
import re
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from analysis_module import spec

ROOT = "spec"
_LAST_STEP = re.compile(r"(\[\]|\.[^.\[]*|^[^.\[]*)$")


@dataclasses.dataclass(frozen=True)
class Member:
    """One field of one part of the resource.

    `hint` is its type without `None`, `nullable` says whether None is a value of it, `change`, `minimum`,
    `maximum` and `pattern` are its metadata.
    """

    attribute: str
    name: str
    hint: Any
    nullable: bool
    field: dataclasses.Field[Any]

    @property
    def change(self) -> spec.Change:
        """How strongly an edit disturbs running workers."""
        change: spec.Change = self.field.metadata["change"]
        return change

    @property
    def required(self) -> bool:
        """Whether the field has no default."""
        missing = dataclasses.MISSING
        return self.field.default is missing and self.field.default_factory is missing

    def default(self) -> Any:
        """Give the default value; call it for fields that are not required only."""
        if self.field.default_factory is not dataclasses.MISSING:
            return self.field.default_factory()
        return self.field.default


def json_name(attribute: str) -> str:
    """Spell an attribute as the resource does: `window_size` is `windowSize`."""
    first, *others = attribute.split("_")
    return first + "".join(word.capitalize() for word in others)


@functools.cache
def members(part: type) -> tuple[Member, ...]:
    """List the fields of a dataclass of `spec`, in order."""
    hints = typing.get_type_hints(part)
    return tuple(_member(field, hints[field.name]) for field in dataclasses.fields(part))


def _member(field: dataclasses.Field[Any], hint: Any) -> Member:
    nullable = isinstance(hint, types.UnionType)
    if nullable:
        (hint,) = (choice for choice in typing.get_args(hint) if choice is not types.NoneType)
    return Member(field.name, json_name(field.name), hint, nullable, field)


def is_part(hint: Any) -> bool:
    """Whether a type is one of the resource's dataclasses."""
    return isinstance(hint, type) and dataclasses.is_dataclass(hint)


def item_of(hint: Any) -> Any:
    """Give the type of a list's items; None if the type is not a list."""
    return typing.get_args(hint)[0] if typing.get_origin(hint) is tuple else None


def value_of(hint: Any) -> Any:
    """Give the type of a mapping's values; None if the type is not a mapping."""
    return typing.get_args(hint)[1] if typing.get_origin(hint) is Mapping else None


@functools.cache
def _paths() -> Mapping[str, Member]:
    return types.MappingProxyType(dict(_walk(spec.ModuleSpec, ROOT)))


def _walk(part: type, path: str) -> Iterator[tuple[str, Member]]:
    for member in members(part):
        here = f"{path}.{member.name}"
        yield here, member
        item = item_of(member.hint)
        if is_part(item):
            yield from _walk(item, f"{here}[]")
        elif is_part(member.hint):
            yield from _walk(member.hint, here)


def field_changes() -> dict[str, spec.Change]:
    """Give the change class of every path: `spec.callback.timeoutSeconds`, `spec.inputs[].windowSize`."""
    return {path: member.change for path, member in _paths().items()}


def change_class(path: str) -> spec.Change:
    """Give the change class of one path, with list positions as in `spec.inputs[2].windowSize`.

    A path into a list or a free-form value has the class of the field that holds it. Raises KeyError for
    a path that the resource does not have.
    """
    known = _paths()
    wanted = re.sub(r"\[\d+\]", "[]", path)
    if wanted in known:
        return known[wanted].change
    while wanted:
        wanted = _LAST_STEP.sub("", wanted)
        member = known.get(wanted)
        if member is not None and not is_part(member.hint) and not is_part(item_of(member.hint)):
            return member.change
    if path.endswith("]"):
        return change_class(path[: path.rindex("[")])
    raise KeyError(path)
