"""Named bytes in a directory or an object store, where snapshots of windows are. Credentials come from the
environment or the machine's identity, and no message has any of them.
"""

import contextlib
import dataclasses
import datetime
import os
import pathlib
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final, Protocol

from analysis_module import forms

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_WITHIN: Final = datetime.timedelta(seconds=30)
_SECRETS = re.compile(r"KEY|SECRET|TOKEN|PASSWORD|CREDENTIAL|SAS", re.IGNORECASE)
_LEAST_SECRET = 4
INSTALL: Final = "snapshots need the library obstore: pip install 'station-analysis[snapshots]'"


class Failed(OSError):
    """The store was not reached or refused what was asked; says what, without credentials."""


class Missing(Failed):
    """The store has no object of that name."""


class WrongUrl(ValueError):
    """An address that is none of a store; does not show it, for it may hold a password."""


@dataclasses.dataclass(frozen=True, slots=True)
class Listed:
    """An object's name, and when it was written, in seconds since the epoch."""

    name: str
    modified: float


class Objects(Protocol):
    """Objects by their names; every call may raise Failed."""

    def put(self, name: str, content: bytes) -> None:
        """Write an object whole, in the place of a former one."""

    def get(self, name: str) -> bytes:
        """An object's bytes; raises Missing."""

    def list(self, under: str) -> list[Listed]:
        """The objects whose names begin with this and a slash."""

    def delete(self, names: Iterable[str]) -> None:
        """Delete objects; one that is gone is no failure."""


def at(url: str, *, make: bool = False) -> "Stored":
    """The objects below a URL or a plain path, which `make` makes; raises WrongUrl or Failed."""
    try:
        from obstore import store
    except ImportError as error:
        raise Failed(INSTALL) from error
    if "://" not in url:
        url = pathlib.Path(url).absolute().as_uri()
    if not re.fullmatch(forms.SNAPSHOTS, url) or "@" in url.partition("://")[2].partition("/")[0]:
        raise WrongUrl(
            "give a path, file:///path, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix,"
            " without user, password and query"
        )
    with _told("open", "the store"):
        if url.startswith("file:"):
            return Stored(store.from_url(url, mkdir=make))
        retried = {"max_retries": 3, "retry_timeout": _WITHIN}
        # No client options: with them the environment's, as AWS_ALLOW_HTTP, would not count.
        return Stored(store.from_url(url, retry_config=retried))  # type: ignore[call-overload]


class Stored:
    """The objects of a store of obstore's."""

    def __init__(self, store: "ObjectStore") -> None:
        self._store = store

    def put(self, name: str, content: bytes) -> None:
        """Write an object whole, in the place of a former one."""
        import obstore

        with _told("write", name):
            obstore.put(self._store, name, content)

    def get(self, name: str) -> bytes:
        """An object's bytes; raises Missing."""
        import obstore

        with _told("read", name):
            return bytes(obstore.get(self._store, name).bytes())

    def list(self, under: str) -> list[Listed]:
        """The objects whose names begin with this and a slash."""
        import obstore

        with _told("list", under):
            batches = obstore.list(self._store, under)
            return [
                Listed(each["path"], each["last_modified"].timestamp()) for batch in batches for each in batch
            ]

    def delete(self, names: Iterable[str]) -> None:
        """Delete objects; one that is gone is no failure."""
        import obstore

        wanted = list(names)
        try:
            with _told("delete", f"{len(wanted)} objects"):
                obstore.delete(self._store, wanted)
        except Missing:  # a directory ends at the first that is gone
            for name in wanted:
                with contextlib.suppress(Missing), _told("delete", name):
                    obstore.delete(self._store, name)


@contextlib.contextmanager
def _told(what: str, name: str) -> Iterator[None]:
    from obstore import exceptions

    try:
        yield
    except (exceptions.NotFoundError, FileNotFoundError):
        raise Missing(f"cannot {what} {name}: it is not there") from None
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError):
        raise Failed(f"cannot {what} {name}: it is refused; check the credentials and their rights") from None
    except (exceptions.BaseError, OSError, ValueError) as error:
        raise Failed(f"cannot {what} {name}: {without_secrets(str(error))}") from None


def without_secrets(text: str) -> str:
    """The first line of an error, up to what a server said: that and the rest may hold a secret."""
    said = text.partition("\n")[0].partition("<")[0].strip()
    for name, value in os.environ.items():
        if _SECRETS.search(name) and len(value) >= _LEAST_SECRET:
            said = said.replace(value, "***")
    return said
