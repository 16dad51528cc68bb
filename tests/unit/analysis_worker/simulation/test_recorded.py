"""Records from a JSONL file."""

from pathlib import Path

import pytest

from analysis_worker import simulation
from analysis_worker.simulation import recorded


def read(directory: Path, *lines: str) -> list[simulation.SimulatedRecord]:
    path = directory / "r.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    return [record for record, _ in recorded.records(path)]


def test_an_object_is_sent_as_compact_utf8_json(tmp_path: Path) -> None:
    line = '{"topic": "T", "key": "站", "value": {"a": "站"}, "timestamp": 7}'
    expected = simulation.SimulatedRecord("T", "站".encode(), '{"a":"站"}'.encode(), 7)
    assert read(tmp_path, line) == [expected]


def test_a_text_is_sent_as_it_stands_and_null_as_no_value(tmp_path: Path) -> None:
    values = read(tmp_path, '{"topic": "T", "value": "{broken"}', '{"topic": "T", "value": null}')
    assert [record.value for record in values] == [b"{broken", None]


def test_without_a_timestamp_a_record_has_that_of_the_line_before(tmp_path: Path) -> None:
    lines = read(tmp_path, '{"topic": "T", "timestamp": 9}', '{"topic": "T"}')
    assert [record.timestamp_ms for record in lines] == [9, 9]


def test_empty_lines_are_passed_over(tmp_path: Path) -> None:
    assert len(read(tmp_path, "", '{"topic": "T"}', "  ")) == 1


def test_the_bytes_read_reach_the_size_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text('{"topic": "T"}\n{"topic": "T"}\n', encoding="utf-8")
    assert [read for _, read in recorded.records(path)] == [15, 30]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("xx", "line 2: it is not JSON"),
        ("[1]", "line 2: it is not an object"),
        ('{"key": "k"}', "line 2: topic is missing"),
        ('{"topic": "T", "key": 3}', "line 2: key is no text"),
        ('{"topic": "T", "timestamp": "now"}', "line 2: timestamp is no number"),
        ('{"topic": "T", "offset": 3}', "line 2: offset is not known"),
        ("[" * 100_000, "line 2: it is not JSON"),
    ],
)
def test_a_line_that_is_no_record_is_named(tmp_path: Path, line: str, told: str) -> None:
    with pytest.raises(recorded.BadLine, match=told):
        read(tmp_path, '{"topic": "T"}', line)
