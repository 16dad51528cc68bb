"""`replay` without Kafka: what is read, what is left out, what is refused."""

import json
from pathlib import Path

import pytest

from analysis_worker import __main__


def a_file(directory: Path, count: int = 5) -> Path:
    lines = [
        json.dumps({"topic": f"T{index % 2}", "key": "k", "value": {"n": index}, "timestamp": index * 60_000})
        for index in range(count)
    ]
    path = directory / "records.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def rehearsed(path: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert __main__.main(["replay", "--file", str(path), "--dry-run", *options]) == 0
    return capsys.readouterr().out


def test_a_rehearsal_counts_the_records_of_each_topic(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = rehearsed(a_file(tmp_path), capsys).split()
    assert words[:4] == ["3", "T0", "2", "T1"]
    assert words[4:6] == ["5", "records,"]


def test_no_more_than_the_limit_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "2  records," in rehearsed(a_file(tmp_path), capsys, "--limit", "2")


def test_what_was_before_the_moment_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = rehearsed(a_file(tmp_path), capsys, "--from", "1970-01-01T00:03")
    assert "2  records," in shown
    assert '{"n":3}' in shown


def test_an_empty_file_holds_no_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rehearsed(a_file(tmp_path, 0), capsys) == "no record\n"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--speedup", "-1"), "--speedup: -1 is too small; give 0 or more"),
        (("--limit", "0"), "--limit: 0 is too small; give 1 or more"),
    ],
)
def test_an_option_out_of_bounds_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], told: str
) -> None:
    assert __main__.main(["replay", "--file", str(a_file(tmp_path)), "--dry-run", *options]) == 2
    assert told in capsys.readouterr().err


def test_data_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["replay", "--data", str(tmp_path), "--dry-run"]) == 2
    assert "boulder-sessions.csv.gz: no such file" in capsys.readouterr().err
