"""`state ls` and `state verify` on plain files, beside whoever writes them."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from analysis_worker import __main__
from analysis_worker.state import inspecting
from tests.unit.analysis_worker.state.kept import Kept


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    found = Kept(tmp_path)
    for slot in (0, 3):
        found.add(slot, "S1", 1_500)
        found.add(slot, "S2", 100)
        found.write(slot)
    return found


def run(action: str, directory: Path, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, str]:
    code = __main__.main(["state", action, "--state-directory", str(directory), *more])
    return code, capsys.readouterr().out


def spoil(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        before = file.read(1)
        file.seek(offset)
        file.write(bytes([before[0] ^ 1]))


def window_of(kept: Kept, slot: int, station: str) -> Path:
    return kept.segments[slot, "POWER", station].home.path  # type: ignore[attr-defined, no-any-return]


def test_ls_counts_stations_and_records_of_each_slot(
    kept: Kept, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = run("ls", tmp_path, capsys, "--json")
    (worker,) = json.loads(out)
    slots = [(each["slot"], each["topics"], each["stations"], each["records"]) for each in worker["slots"]]
    assert (code, worker["group"], worker["owner"]) == (0, "group", "owner")
    assert slots == [(0, ["POWER"], 2, 1_600), (3, ["POWER"], 2, 1_600)]
    assert (worker["totals"]["slots"], worker["totals"]["records"]) == (2, 3_200)


def test_ls_counts_what_a_slot_takes_of_the_disk(
    kept: Kept, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (worker,) = json.loads(run("ls", tmp_path, capsys, "--json")[1])
    on_disk = sum(
        path.stat().st_blocks * 512 for path in kept.path.iterdir() if path.name not in ("lock", "starts")
    )
    assert worker["totals"]["diskBytes"] == on_disk


def test_ls_shows_a_table_with_totals(kept: Kept, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run("ls", tmp_path, capsys)
    assert code == 0
    assert "group / owner" in out
    assert "3,200" in out


def test_sound_files_have_no_fault(kept: Kept, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run("verify", tmp_path, capsys)
    assert (code, out) == (0, f"2 checkpoints, {3_200 * (8 + 4):,} bytes of windows read: 0 faults\n")


def test_a_changed_byte_is_a_fault_of_its_file(
    kept: Kept, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = window_of(kept, 3, "S2")
    spoil(path, 8 * kept.size + 99 * 8)
    code, out = run("verify", tmp_path, capsys)
    assert code == 1
    assert f"{path}: field 0, numbers: the checksum of 100 rows is wrong; the worker reads" in out
    assert "1 faults" in out


def test_a_row_that_the_checkpoint_does_not_count_is_no_fault(
    kept: Kept, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(window_of(kept, 3, "S2"), 8 * kept.size + 100 * 8)
    assert run("verify", tmp_path, capsys)[0] == 0


@pytest.mark.parametrize(
    ("name", "wrong"),
    [(".window", "it cannot be read: No such file"), (".values", "values cannot be read: [Errno 2]")],
)
def test_a_missing_file_is_a_fault(
    kept: Kept, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, wrong: str
) -> None:
    window_of(kept, 0, "S1").with_suffix(name).unlink()
    code, out = run("verify", tmp_path, capsys)
    assert code == 1
    assert wrong in out


def test_a_file_cut_short_is_a_fault(kept: Kept, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.truncate(window_of(kept, 0, "S1"), 4_096)
    code, out = run("verify", tmp_path, capsys)
    assert code == 1
    assert "it has 4,096 bytes instead of" in out


@pytest.mark.parametrize("action", ["ls", "verify"])
def test_a_torn_checkpoint_is_a_fault(
    kept: Kept, tmp_path: Path, capsys: pytest.CaptureFixture[str], action: str
) -> None:
    spoil(kept.path / "slot-0003.checkpoint", 200)
    code, out = run(action, tmp_path, capsys)
    assert code == 1
    assert "slot-0003.checkpoint: its checksum is wrong" in out


def test_a_checkpoint_replaced_meanwhile_is_read_again(kept: Kept) -> None:
    """Its files go with it, as a worker sweeps them."""
    path = kept.path / "slot-0000.checkpoint"
    former = window_of(kept, 0, "S2")
    done: list[Any] = []

    def seen(count: int) -> None:
        if not done:
            done.append(count)
            kept.segments.pop((0, "POWER", "S2"))
            kept.add(0, "S2", 700)
            kept.write(0)
            former.unlink()

    assert inspecting.verify(path, seen) == []
    assert done, "the first block was looked at under the former checkpoint"


def test_a_checkpoint_that_is_gone_meanwhile_is_no_fault(kept: Kept) -> None:
    path = kept.path / "slot-0000.checkpoint"
    window_of(kept, 0, "S2").unlink()

    assert inspecting.verify(path, lambda count: path.unlink(missing_ok=True)) == []


def test_a_directory_that_is_not_there_is_a_wrong_option(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert __main__.main(["state", "ls", "--state-directory", str(tmp_path / "none")]) == 2
    assert "none: No such file or directory" in capsys.readouterr().err


def test_checking_leaves_the_files_as_they_were(
    kept: Kept, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in kept.path.iterdir()}
    run("verify", tmp_path, capsys)
    run("ls", tmp_path, capsys)
    assert {path.name: path.stat().st_mtime_ns for path in kept.path.iterdir()} == before
