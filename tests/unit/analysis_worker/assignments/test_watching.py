"""Each new content of the Assignment's file is noticed, however it got there; the same content is not."""

import asyncio
import pathlib
from collections.abc import AsyncIterator

import pytest

from analysis_worker.assignments import watching


class Watched:
    """A file that is watched, and the contents that were noticed."""

    def __init__(self, path: pathlib.Path, known: bytes | None = None) -> None:
        self.path = path
        self._versions = watching.versions(path, known=known)

    async def next(self) -> bytes:
        async with asyncio.timeout(5):
            return await anext(self._versions)

    async def nothing(self) -> None:
        """Assert that a few looks notice nothing."""
        following = asyncio.ensure_future(anext(self._versions))
        await asyncio.wait([following], timeout=3 * watching.LOOK_SECONDS)
        assert not following.done()
        following.cancel()
        await asyncio.wait([following])

    async def close(self) -> None:
        await self._versions.aclose()  # type: ignore[attr-defined]


@pytest.fixture
async def watched(tmp_path: pathlib.Path) -> AsyncIterator[Watched]:
    made = Watched(tmp_path / "assignment.json")
    yield made
    await made.close()


async def test_the_first_content_is_noticed(watched: Watched) -> None:
    watched.path.write_bytes(b"one")
    assert await watched.next() == b"one"


async def test_the_content_in_use_is_not_noticed_again(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "assignment.json"
    path.write_bytes(b"one")
    watched = Watched(path, known=b"one")
    await watched.nothing()
    await watched.close()


async def test_a_file_written_over_is_noticed(watched: Watched) -> None:
    watched.path.write_bytes(b"one")
    assert await watched.next() == b"one"
    watched.path.write_bytes(b"another")
    assert await watched.next() == b"another"


async def test_a_file_put_in_its_place_is_noticed(watched: Watched) -> None:
    watched.path.write_bytes(b"one")
    assert await watched.next() == b"one"
    fresh = watched.path.with_suffix(".new")
    fresh.write_bytes(b"two")
    fresh.replace(watched.path)
    assert await watched.next() == b"two"


async def test_a_config_maps_swap_of_links_is_noticed(tmp_path: pathlib.Path) -> None:
    for name, content in {"..1": b"one", "..2": b"two"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "assignment.json").write_bytes(content)
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "assignment.json").symlink_to("..data/assignment.json")
    watched = Watched(tmp_path / "assignment.json")
    assert await watched.next() == b"one"
    (tmp_path / "..fresh").symlink_to("..2")
    (tmp_path / "..fresh").replace(tmp_path / "..data")
    assert await watched.next() == b"two"
    await watched.close()


async def test_the_same_content_written_again_is_not_noticed(watched: Watched) -> None:
    watched.path.write_bytes(b"one")
    assert await watched.next() == b"one"
    fresh = watched.path.with_suffix(".new")
    fresh.write_bytes(b"one")
    fresh.replace(watched.path)
    following = asyncio.ensure_future(watched.next())
    await asyncio.wait([following], timeout=3 * watching.LOOK_SECONDS)
    assert not following.done()
    watched.path.write_bytes(b"two")
    assert await following == b"two"


async def test_a_file_that_goes_and_comes_back_changed_is_noticed(watched: Watched) -> None:
    watched.path.write_bytes(b"one")
    assert await watched.next() == b"one"
    watched.path.unlink()
    watched.path.write_bytes(b"two")
    assert await watched.next() == b"two"


def test_a_missing_file_has_no_version(tmp_path: pathlib.Path) -> None:
    assert watching.version_of(tmp_path / "absent") is None
