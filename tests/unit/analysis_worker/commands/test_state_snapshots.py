"""`state export` and `state import` on directories."""

from pathlib import Path

import pytest

from analysis_worker import __main__
from tests.unit.analysis_worker.state.kept import GROUP, OWNER, Kept, windows_in


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    found = Kept(tmp_path / "state")
    for slot in (0, 3):
        found.add(slot, "S1", 1_500 + slot)
        found.write(slot)
    return found


def export(tmp_path: Path, *more: str) -> int:
    state, to = str(tmp_path / "state"), str(tmp_path / "snapshots")
    return __main__.main(["state", "export", "--state-directory", state, "--to", to, *more])


def take(tmp_path: Path, state: str, *more: str) -> int:
    whose = ["--group", GROUP, "--owner", OWNER]
    options = ["--state-directory", str(tmp_path / state), "--from", str(tmp_path / "snapshots")]
    return __main__.main(["state", "import", *options, *whose, *more])


def test_what_is_exported_is_imported_into_an_empty_directory(
    kept: Kept, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(tmp_path) == 0
    assert "2 of 2 slots written, 5 chunks of" in capsys.readouterr().out, "the names are one chunk"
    assert take(tmp_path, "fresh") == 0
    assert "2 of 2 slots made, 2 windows" in capsys.readouterr().out
    for slot in (0, 3):
        assert windows_in(tmp_path / "fresh" / GROUP / OWNER, slot) == windows_in(kept.path, slot)


def test_what_is_imported_is_sound(kept: Kept, tmp_path: Path) -> None:
    export(tmp_path)
    take(tmp_path, "fresh")
    assert __main__.main(["state", "verify", "--state-directory", str(tmp_path / "fresh")]) == 0


def test_of_a_slot_that_two_workers_left_the_newer_is_exported(kept: Kept, tmp_path: Path) -> None:
    newer = Kept(tmp_path / "state", owner="another")
    newer.add(0, "S1", 1_700)
    newer.write(0)
    assert export(tmp_path) == 0
    take(tmp_path, "fresh")
    assert windows_in(tmp_path / "fresh" / GROUP / OWNER, 0) == windows_in(newer.path, 0)


def test_nothing_is_imported_while_a_worker_holds_the_files(
    kept: Kept, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export(tmp_path)
    assert take(tmp_path, "state", "--force") == 1
    assert "another process keeps its windows in" in capsys.readouterr().err
    kept.close()
    assert take(tmp_path, "state", "--force") == 0


def test_a_broken_chunk_is_told_and_gives_exit_code_1(
    kept: Kept, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export(tmp_path)
    for path in (tmp_path / "snapshots" / GROUP / "chunks").iterdir():
        if path.stat().st_size == 8 * 1_503:
            path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert take(tmp_path, "fresh") == 1
    out = capsys.readouterr().out
    assert "slot 3, POWER: chunk " in out
    assert "is broken: its bytes are others; left out" in out
    assert "1 of 2 slots made" in out


def test_a_file_that_is_not_sound_is_told_and_gives_exit_code_1(
    kept: Kept, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept.segments[3, "POWER", "S1"].columns[0].array[7] = -1.0  # type: ignore[union-attr]
    assert export(tmp_path) == 1
    assert "slot 3, POWER: " in capsys.readouterr().out


def test_an_import_counts_as_no_start(kept: Kept, tmp_path: Path) -> None:
    export(tmp_path)
    take(tmp_path, "fresh")
    assert (tmp_path / "fresh" / GROUP / OWNER / "starts").read_text() == "0"


@pytest.mark.parametrize("more", [("--group", "../x"), ("--owner", "a/b")])
def test_a_path_is_no_group_and_no_owner(
    kept: Kept, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, str]
) -> None:
    assert take(tmp_path, "fresh", *more) == 2
    assert "it is a name, not a path" in capsys.readouterr().err


def test_a_url_with_a_password_is_refused_and_not_shown(
    kept: Kept, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(tmp_path, "--to", "s3://user:hidden@bucket/x") == 2
    assert "hidden" not in capsys.readouterr().err


def test_a_store_that_is_not_there_gives_exit_code_3(tmp_path: Path) -> None:
    assert take(tmp_path, "fresh") == 3
