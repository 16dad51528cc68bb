"""Stores of snapshots: directories, and S3 over HTTP; nothing secret in what they say."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from analysis_worker.state import exporting, importing, objects, store
from tests.fakes import s3
from tests.unit.analysis_worker.state.kept import GROUP, Kept, windows_in

SECRET = "s3cr3t-of-nobody"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[s3.Server]:
    with s3.running() as found:
        monkeypatch.setenv("AWS_ENDPOINT", found.url)
        monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
        monkeypatch.setenv("AWS_REGION", "here")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key-of-nobody")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        yield found


@pytest.fixture(params=["directory", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "s3":
        request.getfixturevalue("server")
        return "s3://bucket/some/prefix"
    return (tmp_path / "snapshots").as_uri()


def test_an_object_is_read_as_it_was_written(url: str) -> None:
    found = objects.at(url, make=True)
    found.put("a/b", b"first")
    found.put("a/b", b"second")
    assert found.get("a/b") == b"second"


def test_objects_are_listed_under_their_folder_alone(url: str) -> None:
    found = objects.at(url, make=True)
    for name in ("a/b", "a/c", "ab/c"):
        found.put(name, b"x")
    assert sorted(each.name for each in found.list("a")) == ["a/b", "a/c"]


def test_a_deleted_object_is_missing_and_may_be_deleted_again(url: str) -> None:
    found = objects.at(url, make=True)
    found.put("a/b", b"x")
    found.delete(["a/b"])
    found.put("a/c", b"x")
    found.delete(["a/b", "a/c"])
    assert found.list("a") == []
    with pytest.raises(objects.Missing, match="cannot read a/b: it is not there"):
        found.get("a/b")


def test_windows_go_to_a_store_and_back(url: str, tmp_path: Path) -> None:
    kept = Kept(tmp_path / "from")
    kept.add(5, "S1", 1_500)
    path = kept.write(5)
    found = objects.at(url, make=True)
    assert exporting.Exporter(found, GROUP).round([path]).slots == 1
    files = store.Store(tmp_path, 2**40)
    importer = importing.Importer(found, GROUP, files, 2**40)
    done = importing.Taken()
    importer.take(importing.slots_at(found, GROUP), done)
    assert done.windows == 1
    assert windows_in(tmp_path, 5) == windows_in(kept.path, 5)


def test_requests_are_signed_by_the_environments_key(server: s3.Server) -> None:
    objects.at("s3://bucket/prefix").put("a", b"x")
    assert list(server.objects) == ["bucket/prefix/a"]
    assert "Credential=key-of-nobody/" in server.signed[0]


def test_a_refusal_shows_no_credential(server: s3.Server) -> None:
    server.refuse = True
    with pytest.raises(objects.Failed) as caught:
        objects.at("s3://bucket/prefix").get("a")
    assert str(caught.value) == "cannot read a: it is refused; check the credentials and their rights"
    assert caught.value.__cause__ is None


def test_an_errors_further_lines_and_a_servers_words_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    said = f"Generic error for {SECRET}: <Error>{SECRET}</Error>\nsource: more"
    assert objects.without_secrets(said) == "Generic error for ***:"


@pytest.mark.parametrize(
    "url", ["s3://user:pw@bucket/x", "s3://bucket/x?key=pw", "ftp://host/x", "s3://key@bucket/x"]
)
def test_an_address_with_credentials_or_of_no_store_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(objects.WrongUrl) as caught:
        objects.at(url)
    assert url not in str(caught.value)
    assert "pw" not in str(caught.value)


def test_a_plain_path_is_a_directory(tmp_path: Path) -> None:
    objects.at(str(tmp_path / "plain"), make=True).put("a", b"x")
    assert (tmp_path / "plain" / "a").read_bytes() == b"x"


def test_a_directory_that_is_not_there_is_not_made_to_be_read(tmp_path: Path) -> None:
    with pytest.raises(objects.Failed, match="cannot open the store"):
        objects.at(str(tmp_path / "none"))
    assert not (tmp_path / "none").exists()


def test_without_the_library_the_mend_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(objects.Failed, match=r"pip install 'station-analysis\[snapshots\]'"):
        objects.at("s3://bucket/x")
