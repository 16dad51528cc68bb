"""How a field of a document of settings is declared: its default, and what else is known of it, as data."""

import dataclasses
import enum
from typing import Any


class Change(enum.IntEnum):
    """How strongly an edit of a field disturbs running workers; the strongest edited field decides."""

    NONE = 0
    HOT = 1
    ROLLING = 2
    RECREATE = 3


def setting(
    default: Any = dataclasses.MISSING,
    *,
    change: Change,
    minimum: float | None = None,
    maximum: float | None = None,
    pattern: str | None = None,
    comma: bool = False,
    doc: str = "",
) -> Any:
    """A field of the resource: its default, change class, bounds and one line for the reference.

    `minimum` and `maximum` bound a number, or the length of a text: 1 to 1024 if not said. `pattern` must
    match the whole of a text, or of each text in a list. `comma` takes one text with commas as a list.
    """
    metadata = {"change": change, "minimum": minimum, "maximum": maximum, "pattern": pattern, "doc": doc}
    metadata["comma"] = comma
    if isinstance(default, type):
        return dataclasses.field(default_factory=default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)
