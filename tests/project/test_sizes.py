"""The table of sizes in docs/guide/worker.md follows from the figures of the README, by its formula."""

import re

import pytest

from analysis_worker.engine import segments
from bench import records
from bench.subjects import in_process
from tests.project import markdown, tree

TITLES = {"worker.md": "How large", "worker.zh-CN.md": "需要多大"}
BYTES_A_ROW = 1_000
"""Of a record of 15 fields that is not packed into columns yet."""
MIB = 2**20


def figure(pattern: str) -> float:
    """A number of the README's tables."""
    text = (tree.ROOT / "README.md").read_text(encoding="utf-8")
    (found,) = re.findall(pattern, text, re.MULTILINE)
    return number(found)


def number(cell: str) -> float:
    return float(cell.replace(",", "").rstrip("%"))


BYTES_A_RECORD = figure(r"^\| bytes per 15-field record \| ([\d.]+) \|")
RECORDS_A_CPU_SECOND = figure(
    r"^\| \*\*this worker\*\*: window, one output per record \| [\d,]+ \| ([\d,]+) \|"
)


def window_bytes(window: int) -> float:
    """By the formula: what one window may take at most."""
    return window * BYTES_A_RECORD + segments.block_rows_for(window) * BYTES_A_ROW


def section(name: str) -> markdown.Page:
    path = tree.ROOT / "docs" / "guide" / name
    _, _, rest = path.read_text(encoding="utf-8").partition(f"## {TITLES[name]}\n")
    return markdown.Page(path, rest.partition("\n## ")[0])


def row(stations: int, window: int, rate: int) -> list[str]:
    share, size = rate / RECORDS_A_CPU_SECOND, stations * window_bytes(window) / MIB
    return [f"{stations:,}", f"{window:,}", f"{rate:,}", f"{share:.1%}", f"{size:,.0f}"]


@pytest.mark.parametrize("name", TITLES)
def test_each_row_is_what_the_formula_makes_of_the_readmes_figures(name: str) -> None:
    _, (_, *rows) = section(name).tables
    asked = [(int(number(cells[0])), int(number(cells[1])), int(number(cells[2]))) for cells in rows]
    assert len(rows) >= 5
    assert rows == [row(*each) for each in asked]


@pytest.mark.parametrize("name", TITLES)
def test_the_formula_names_the_readmes_figures(name: str) -> None:
    (_, cpu, memory), _ = section(name).tables
    assert cpu[1].endswith(f" ÷ {RECORDS_A_CPU_SECOND:,.0f}")
    assert f" × {BYTES_A_RECORD:.2f} + newest × {BYTES_A_ROW:,}" in memory[1]


def test_so_many_of_the_newest_records_wait_to_be_packed() -> None:
    for window in (1, 60, 4_096, 10_080, 16_384, 604_800):
        assert segments.block_rows_for(window) == max(64, min(256, window // 64))


@pytest.mark.parametrize("window", [60, 168, 1_440, 10_080])
def test_a_window_takes_no_more_than_the_formula_says_and_not_much_less(window: int) -> None:
    pipeline = in_process.Pipeline(window, records.ALL_FIELDS, lambda station_id, module_input: None)
    sizes = []
    for made in records.orders(window * 5 // 2, stations=1, extended=True):
        pipeline.fill(pipeline.fetched([made]))
        if pipeline.offset >= window and pipeline.offset % 7 == 0:
            sizes.append(pipeline.engine.window_bytes())
    assert 0.8 * window_bytes(window) <= max(sizes) <= window_bytes(window)


def test_a_record_that_is_not_packed_takes_what_the_formula_says() -> None:
    pipeline = in_process.Pipeline(1, records.ALL_FIELDS, lambda station_id, module_input: None)
    pipeline.fill(pipeline.fetched(records.orders(1, stations=1, extended=True)))
    assert pipeline.engine.window_bytes() == BYTES_A_ROW


def test_what_the_guides_machine_is_said_to_hold_is_in_it() -> None:
    text = section("worker.md").text
    cores, memory_gb, workers, windows_gib = (
        int(found.replace("four", "4"))
        for pattern in (r"(\d) cores", r"(\d) GB", r"up to (four) workers", r"more than (\d) GiB")
        for found in re.findall(pattern, text)
    )
    assert workers <= cores
    assert windows_gib * 2**30 < memory_gb * 1e9
