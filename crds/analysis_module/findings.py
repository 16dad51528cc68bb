"""The problems found while one document is read: bounded in number, counted in full."""

from collections.abc import Callable

from analysis_module import errors

_SHOWN = 100
_MOST_VALUES = 100_000


class Findings:
    """Collects problems, and knows which places of the document are without any.

    Beyond the first hundred, problems are only counted. A document of absurd size ends the reading.
    """

    def __init__(self) -> None:
        self._problems: list[errors.Problem] = []
        self._count = 0
        self._unsound: set[str] = set()
        self._values = 0

    @property
    def full(self) -> bool:
        """Whether a further problem would only be counted, so that its words need no care."""
        return self._count >= _SHOWN

    def add(self, path: str, wrong: str, mend: str | Callable[[], str]) -> None:
        """Note a problem; the place and all places around it are unsound from now.

        A mend that is dear to word may be a function: it is called only for a problem that is shown.
        """
        if not self.full:
            worded = mend if isinstance(mend, str) else mend()
            self._problems.append(errors.Problem(path, wrong, worded))
        self._count += 1
        self.doubt(path)

    def doubt(self, path: str) -> None:
        """Mark a place as unsound: rules that need it are not applied."""
        while path and path not in self._unsound:
            self._unsound.add(path)
            path = path[: max(path.rfind("."), path.rfind("["), 0)]

    def sound(self, path: str) -> bool:
        """Whether no problem was found at a place or inside it."""
        return path not in self._unsound

    def visit(self, path: str) -> None:
        """Count one value of the document; raises InvalidSpec at the one that makes it absurdly large."""
        self._values += 1
        if self._values > _MOST_VALUES:
            wrong = f"the document holds more than {_MOST_VALUES} values"
            self.add(path, wrong, "say less, or split it over several resources")
            self.close()

    def close(self) -> None:
        """End the reading: raises InvalidSpec if any problem was found."""
        if self._count:
            raise errors.InvalidSpec(self._problems, omitted=self._count - len(self._problems))
