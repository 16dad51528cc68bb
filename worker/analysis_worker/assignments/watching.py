"""Notices a new version of the Assignment's file.

A mounted ConfigMap changes by a swap of a symbolic link, an edited file by its time or size: both show in
what the path leads to. Looking ten times a second costs next to nothing and needs no inotify, which many
volumes do not have.
"""

import asyncio
import dataclasses
import pathlib
from collections.abc import AsyncIterator

LOOK_SECONDS = 0.1


@dataclasses.dataclass(frozen=True)
class Version:
    """What tells one version of a file from the next."""

    inode: int
    modified_ns: int
    size: int


def version_of(path: pathlib.Path) -> Version | None:
    """The file's version now, None if there is no such file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return Version(found.st_ino, found.st_mtime_ns, found.st_size)


def _content(path: pathlib.Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


async def versions(path: pathlib.Path, *, known: bytes | None = None) -> AsyncIterator[bytes]:
    """The file's content each time that it has changed; `known` is the content already in use."""
    seen: Version | None = None
    content = known
    while True:
        now = version_of(path)
        if now is not None and now != seen:
            read = _content(path)
            if read is not None:  # else swapped between the look and the read: look again
                seen = now
                if read != content:
                    content = read
                    yield read
        await asyncio.sleep(LOOK_SECONDS)
