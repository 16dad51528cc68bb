"""Errors of the resource's API.

    ValueError
    └── InvalidSpec     a document that says something wrong; carries every Problem found in it

Whoever reads a document (operator, worker, command line) catches InvalidSpec, shows it, and keeps what ran
before.
"""

import dataclasses
import difflib
from collections.abc import Iterable

_MOST_CHOICES = 200


@dataclasses.dataclass(frozen=True)
class Problem:
    """One thing wrong in a document: where (`spec.inputs[2].windowSize`), what, and how to mend it."""

    path: str
    wrong: str
    mend: str

    def __str__(self) -> str:
        return f"{self.path}: {self.wrong}; {self.mend}"


class InvalidSpec(ValueError):
    """A document with problems: all of them at once.

    `omitted` counts those found beyond the ones in `problems`; reading bounds the list, not the count.
    """

    def __init__(self, problems: Iterable[Problem], *, omitted: int = 0) -> None:
        self.problems = tuple(problems)
        self.omitted = omitted
        super().__init__(self._text())

    def __reduce__(self) -> tuple[object, ...]:
        return _restored, (self.problems, self.omitted)

    def _text(self) -> str:
        total = len(self.problems) + self.omitted
        if total == 1:
            return str(self.problems[0])
        lines = [f"{total} problems:", *(f"  {problem}" for problem in self.problems)]
        if self.omitted:
            lines.append(f"  ... and {self.omitted} more")
        return "\n".join(lines)


def _restored(problems: tuple[Problem, ...], omitted: int) -> InvalidSpec:
    return InvalidSpec(problems, omitted=omitted)


def closest(word: str, known: Iterable[str]) -> str | None:
    """Give the known word most like this one, letter case aside; None if none is near.

    Among more than 200 words nothing is looked for: a document of absurd size is answered fast.
    """
    by_lower = {choice.lower(): choice for choice in known}
    if len(by_lower) > _MOST_CHOICES:
        return None
    near = difflib.get_close_matches(word[:100].lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[near[0]] if near else None


def suggestion(word: str, known: Iterable[str], otherwise: str) -> str:
    """Word a mend: the closest known word if one is near, else `otherwise`."""
    near = closest(word, known)
    return f"did you mean {near}? Otherwise {otherwise}" if near else otherwise
