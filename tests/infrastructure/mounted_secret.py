"""A directory of secrets that changes as a mounted Kubernetes Secret does: at once, by a symbolic link."""

import itertools
import os
from pathlib import Path

_numbers = itertools.count(1)


class MountedSecret:
    """Files `directory/<key>`, links through `..data` into one of the directories `..<number>`.

    That is how a kubelet writes them: new files beside the old ones, then `..data` renamed over itself.
    """

    def __init__(self, directory: Path, **texts: str) -> None:
        self.directory = directory
        self._texts = dict(texts)
        self._current: Path | None = None
        directory.mkdir(parents=True, exist_ok=True)
        self._swap()

    def path(self, key: str) -> Path:
        """Where a key's text is read."""
        return self.directory / key

    def source(self, key: str) -> dict[str, str]:
        """A key as `kafka.security` names it."""
        return {"file": str(self.path(key))}

    def change(self, **texts: str) -> None:
        """Give these keys new texts; the others stay."""
        self._texts |= texts
        self._swap()

    def remove(self, key: str) -> None:
        """The Secret has this key no longer."""
        del self._texts[key]
        self._swap()
        self.path(key).unlink()

    def _swap(self) -> None:
        fresh = self.directory / f"..{next(_numbers)}"
        fresh.mkdir()
        for key, text in self._texts.items():
            (fresh / key).write_text(text, encoding="utf-8")
        link = self.directory / "..data_new"
        link.symlink_to(fresh.name)
        os.replace(link, self.directory / "..data")
        for key in self._texts:
            if not self.path(key).is_symlink():
                self.path(key).symlink_to(Path("..data") / key)
        former, self._current = self._current, fresh
        if former is not None:
            for file in former.iterdir():
                file.unlink()
            former.rmdir()
