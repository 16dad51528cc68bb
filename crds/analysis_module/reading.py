"""From a JSON-like document to a ModuleSpec with all its problems at once, and back.

One reader walks the types and metadata of `spec`; no field is named here. A problem's path is exact, a
value is shown shortened and never if it may be secret. Nothing but InvalidSpec is raised.
"""

import enum
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from analysis_module import catalogue, errors, findings, names, rules, shape, spec, wording

_MOST_ITEMS = 50_000
_LONGEST_TEXT = 1_024  # where the field does not say otherwise
_LONGEST_FREE_TEXT = 1_048_576  # what a ConfigMap holds at most
_LONGEST_NAME = 100
_DEEPEST = 50
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1

_UNWRITABLE = re.compile("[\\x00\\ud800-\\udfff]")  # NUL and lone surrogates

_BROKEN: Final = object()


def read_spec(document: object, path: str = "spec") -> spec.ModuleSpec:
    """Read a `spec`; `path` is what its problems' paths begin with.

    Raises InvalidSpec with every problem: of types, bounds and forms, of fields that contradict each other,
    and of what the catalogue does not know. The first hundred are listed, the others counted.
    """
    found = findings.Findings()
    module_spec: spec.ModuleSpec = read_part(spec.ModuleSpec, document, path, found)
    found.close()
    return module_spec


def read_manifest(document: object) -> tuple[str, str, spec.ModuleSpec]:
    """Read a whole AnalysisModule object: its name, its namespace ("default" if not said) and its spec.

    Raises InvalidSpec as `read_spec` does.
    """
    found = findings.Findings()
    if not isinstance(document, Mapping):
        wrong = f"is {wording.shown(document)}, not an object"
        raise errors.InvalidSpec([errors.Problem("manifest", wrong, f"give one {names.KIND}")])
    _check_constant(document, "apiVersion", names.API_GROUP_VERSION, found)
    _check_constant(document, "kind", names.KIND, found)
    for key in document:
        if key not in ("apiVersion", "kind", "metadata", "spec", "status"):
            _unknown(key, ["apiVersion", "kind", "metadata", "spec"], document, "", found)
    name, namespace = _read_metadata(document.get("metadata"), found)
    module_spec = read_part(spec.ModuleSpec, document.get("spec"), "spec", found)
    found.close()
    return name, namespace, module_spec


def write_spec(module_spec: spec.ModuleSpec) -> dict[str, Any]:
    """Write a spec as a JSON-ready object without the fields that have their default.

    Reading it gives the same spec.
    """
    return write_part(module_spec)


def read_part(
    part: type, value: object, path: str, found: findings.Findings, besides: tuple[str, ...] = ()
) -> Any:
    """Read one dataclass of the resource; what is wrong goes to `found`.

    The result is as good as it could be made, and to be used only if nothing was found. `besides` are
    fields of the document that another part of it reads.
    """
    if not isinstance(value, Mapping):
        wrong = "is missing" if value is None else f"is {wording.kind(value)}, not an object"
        found.add(path, wrong, f"give an object with {_field_list(part)}")
        return _placeholder(part)
    known = {member.name: member for member in shape.members(part)}
    if _too_many(value, path, found):
        return _placeholder(part)
    for key in value:
        if key not in known and key not in besides:
            _unknown(key, [*known, *besides], value, path, found)
    values = {}
    for member in known.values():
        here = _inside(path, member.name)
        if value.get(member.name) is not None:
            read = _Reader(member, found, secret=part in spec.UNSHOWN).read(
                member.hint, value[member.name], here
            )
            if read is not _BROKEN:
                values[member.attribute] = read
        elif member.required:
            found.add(here, "is missing", f"give {_expected(member)}")
    made = _placeholder(part, values)
    _apply_rules(made, path, found)
    return made


def _apply_rules(made: Any, path: str, found: findings.Findings) -> None:
    for rule in rules.ALL:
        if rule.part is type(made) and all(found.sound(_inside(path, name)) for name in rule.needs):
            for where, wrong, mend in rule.check(made):
                found.add(_inside(path, where) if where else path, wrong, mend)
    if isinstance(made, spec.ModuleSpec):
        catalogue.examine(made, path, found)


def _placeholder(part: type, values: Mapping[str, Any] | None = None) -> Any:
    """Make a part from what was read; required fields that were not get an empty text."""
    given = dict(values or {})
    for member in shape.members(part):
        if member.required and member.attribute not in given:
            given[member.attribute] = _placeholder(member.hint) if shape.is_part(member.hint) else ""
    return part(**given)


class _Reader:
    """Reads the value of one field by its type; `secret` forbids to show values."""

    def __init__(self, member: shape.Member, found: findings.Findings, *, secret: bool) -> None:
        self._member = member
        self._metadata = member.field.metadata
        self._secret = secret
        self._found = found

    def read(self, hint: Any, value: Any, path: str) -> Any:
        """Read a value as the type `hint`; _BROKEN, with a problem found, if it is not of it."""
        self._found.visit(path)
        if shape.item_of(hint) is not None:
            return self._list(shape.item_of(hint), value, path)
        if shape.value_of(hint) is not None:
            return self._mapping(shape.value_of(hint), value, path)
        if shape.is_part(hint):
            return read_part(hint, value, path, self._found)
        if issubclass(hint, enum.Enum):
            return self._enum(hint, value, path)
        readers: dict[Any, Callable[[Any, str], Any]] = {
            bool: self._bool,
            int: self._int,
            float: self._float,
            str: self._text,
        }
        return readers[hint](value, path)

    def _wrong_type(self, value: Any, path: str, wanted: str) -> Any:
        told = wording.kind(value) if self._secret else wording.shown(value)
        self._found.add(path, f"is {told}, not {wanted}", f"give {_expected(self._member, wanted)}")
        return _BROKEN

    def _bool(self, value: Any, path: str) -> Any:
        return value if isinstance(value, bool) else self._wrong_type(value, path, "true or false")

    def _int(self, value: Any, path: str) -> Any:
        if isinstance(value, bool) or not isinstance(value, int):
            return self._wrong_type(value, path, "a whole number")
        return self._bounded(int(value), path)

    def _float(self, value: Any, path: str) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return self._wrong_type(value, path, "a number")
        if isinstance(value, float) and not math.isfinite(value):
            return self._wrong_type(value, path, "a finite number")
        bounded = self._bounded(value, path)
        return bounded if bounded is _BROKEN else float(bounded)

    def _bounded(self, value: float, path: str) -> Any:
        minimum, maximum = self._metadata["minimum"], self._metadata["maximum"]
        low = _SMALLEST if minimum is None else minimum
        high = _LARGEST if maximum is None else maximum
        if low <= value <= high:
            return value
        side = "less than" if value < low else "more than"
        limit = low if value < low else high
        wrong = f"{wording.shown(value)} is {side} {limit:.16g}"
        self._found.add(path, wrong, f"give a number {wording.interval(minimum, maximum)}".strip())
        return _BROKEN

    def _text(self, value: Any, path: str) -> Any:
        if not isinstance(value, str):
            return self._wrong_type(value, path, "text")
        wrong = _text_fault(value, self._metadata["maximum"] or _LONGEST_TEXT)
        if not value and self._metadata["minimum"] is None:
            wrong = "is empty"
        pattern = self._metadata["pattern"]
        if wrong is None and pattern is not None and not re.fullmatch(pattern, value, re.ASCII):
            told = "the text" if self._secret else wording.shown(value)
            wrong = f"{told} does not have the right form"
        if wrong is None:
            return str(value)
        self._found.add(path, wrong, f"give {wording.form(pattern) if pattern else 'another text'}")
        return _BROKEN

    def _enum(self, hint: type[enum.Enum], value: Any, path: str) -> Any:
        allowed = [choice.value for choice in hint]
        if isinstance(value, str) and value in allowed:
            return hint(value)
        told = wording.kind(value) if self._secret else wording.shown(value)
        near = errors.closest(value, allowed) if isinstance(value, str) else None
        mend = f"give {wording.one_of(allowed)}" + (f"; did you mean {near}?" if near else "")
        self._found.add(path, f"is {told}, which is not allowed", mend)
        return _BROKEN

    def _list(self, item: Any, value: Any, path: str) -> Any:
        if self._metadata["comma"] and isinstance(value, str):
            value = [text.strip() for text in value.split(",") if text.strip()]
        if not isinstance(value, list | tuple):
            return self._wrong_type(value, path, "a list")
        if _too_many(value, path, self._found):
            return _BROKEN
        items = []
        seen: dict[Any, int] = {}
        for index, entry in enumerate(value):
            here = f"{path}[{index}]"
            read = self.read(item, entry, here)
            items.append(read)
            if item is str and read is not _BROKEN and seen.setdefault(read, index) != index:
                wrong = f"{wording.shown(read)} stands already at [{seen[read]}]"
                self._found.add(here, wrong, "remove one of the two")
        return tuple(entry for entry in items if entry is not _BROKEN)

    def _mapping(self, item: Any, value: Any, path: str) -> Any:
        if not isinstance(value, Mapping):
            self._found.add(path, f"is {wording.kind(value)}, not an object", "give an object")
            return _BROKEN
        if item is Any:
            return self._free(value, path, 0)
        if _too_many(value, path, self._found):
            return _BROKEN
        read = {}
        for key, entry in value.items():
            here = _inside(path, _key_text(key))
            if not isinstance(key, str) or not key or _text_fault(key, _LONGEST_TEXT):
                self._found.add(
                    here, "the name is not fit", f"give a text of 1 to {_LONGEST_TEXT} characters"
                )
            else:
                read[key] = self.read(item, entry, here)
        return {key: entry for key, entry in read.items() if entry is not _BROKEN}

    def _free(self, value: Any, path: str, depth: int) -> Any:
        """Copy a free-form JSON value; what JSON or Kubernetes cannot hold is a problem."""
        self._found.visit(path)
        if depth > _DEEPEST:
            return self._refused(path, f"is nested more than {_DEEPEST} deep", "flatten it")
        if isinstance(value, Mapping):
            read = {}
            for key, entry in value.items():
                here = _inside(path, _key_text(key))
                if not isinstance(key, str) or _text_fault(key, _LONGEST_FREE_TEXT):
                    self._refused(here, "the name is not a text", "quote it")
                else:
                    read[str(key)] = self._free(entry, here, depth + 1)
            return read
        if isinstance(value, list | tuple):
            return [self._free(entry, f"{path}[{index}]", depth + 1) for index, entry in enumerate(value)]
        return self._scalar(value, path)

    def _scalar(self, value: Any, path: str) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            fault = _text_fault(value, _LONGEST_FREE_TEXT)
            return str(value) if fault is None else self._refused(path, fault, "give another text")
        if isinstance(value, int):
            if _SMALLEST <= value <= _LARGEST:
                return int(value)
            return self._refused(path, "is a number of more than 64 bits", "give it as text")
        if isinstance(value, float):
            if math.isfinite(value):
                return float(value)
            return self._refused(path, f"is {value}, which JSON has not", "give a finite number")
        return self._refused(path, f"is {wording.kind(value)}, which JSON has not", "give it as text")

    def _refused(self, path: str, wrong: str, mend: str) -> Any:
        self._found.add(path, wrong, mend)
        return None


def _text_fault(value: str, longest: int) -> str | None:
    if len(value) > longest:
        return f"is {len(value)} characters long, more than {longest}"
    if _UNWRITABLE.search(value):
        return "holds a character that no text file can hold"
    return None


def _too_many(value: Any, path: str, found: findings.Findings) -> bool:
    if len(value) <= _MOST_ITEMS:
        return False
    found.add(path, f"is {wording.kind(value)}, more than {_MOST_ITEMS}", "say less")
    return True


def _unknown(
    key: object, known: list[str], present: Mapping[Any, Any], path: str, found: findings.Findings
) -> None:
    """Tell of a field that does not exist; rules that need the one it must have meant are not applied."""
    name = _key_text(key)
    here = _inside(path, name)
    if found.full:
        found.add(here, "", "")
        return
    near = errors.closest(name, known)
    if near is not None and near not in present:
        found.doubt(_inside(path, near))
    mend = f"did you mean {near}?" if near else f"the fields here are {wording.one_of(known)}"
    found.add(here, "there is no such field", mend)


def _inside(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _key_text(key: object) -> str:
    return key[:_LONGEST_NAME] if isinstance(key, str) else wording.shown(key)


def _field_list(part: type) -> str:
    required = [member.name for member in shape.members(part) if member.required]
    listed = required or [member.name for member in shape.members(part)][:4]
    return ", ".join(listed) if required or len(listed) < 4 else f"fields as {', '.join(listed)}"


def _expected(member: shape.Member, wanted: str | None = None) -> str:
    metadata = member.field.metadata
    if metadata["pattern"]:
        return wording.form(metadata["pattern"])
    bounds = wording.interval(metadata["minimum"], metadata["maximum"])
    return f"{wanted or 'a value'} {bounds}".strip()


def _check_constant(document: Mapping[Any, Any], key: str, wanted: str, found: findings.Findings) -> None:
    value = document.get(key)
    if value != wanted:
        wrong = "is missing" if value is None else f"is {wording.shown(value)}"
        found.add(key, wrong, f"give {wanted}")


def _read_metadata(metadata: object, found: findings.Findings) -> tuple[str, str]:
    if not isinstance(metadata, Mapping):
        wrong = "is missing" if metadata is None else f"is {wording.shown(metadata)}, not an object"
        found.add("metadata", wrong, "give an object with name")
        return "", ""
    name, namespace = metadata.get("name"), metadata.get("namespace")
    namespace = "default" if namespace is None else namespace
    for key, value, pattern in (
        ("name", name, names.RESOURCE_NAME_PATTERN),
        ("namespace", namespace, names.NAMESPACE_PATTERN),
    ):
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            wrong = "is missing" if value is None else f"is {wording.shown(value)}"
            found.add(f"metadata.{key}", wrong, f"give {wording.form(pattern)}")
    if isinstance(name, str) and isinstance(namespace, str):
        return name, namespace
    return "", ""


def write_part(part: Any) -> dict[str, Any]:
    """Write one dataclass of settings as a JSON-ready object without the fields that have their default."""
    written = {}
    for member in shape.members(part.__class__):
        value = getattr(part, member.attribute)
        if member.required or value != member.default():
            written[member.name] = _write(float(value) if member.hint is float else value)
    return written


def _write(value: Any) -> Any:
    if shape.is_part(type(value)):
        return write_part(value)
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Mapping):
        return {key: _write(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_write(entry) for entry in value]
    return value
