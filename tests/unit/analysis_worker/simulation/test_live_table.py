"""How the demo looks."""

import io
from typing import Any

import rich.console

from analysis_worker.simulation import live_table


def a_row(module: str = "load_prediction", **changes: Any) -> live_table.Row:
    given = {
        "state": "running",
        "records_per_second": 21.7,
        "outputs": 1_234,
        "lag": 3,
        "stations": 20,
        "fill": 0.5,
        "dead_letters": 7,
        "first_output_seconds": 2.5,
        "last_output": "S1  load_forecast=[1.0]",
        **changes,
    }
    return live_table.Row(module=module, port=4321, **given)


def a_picture(*rows: live_table.Row) -> live_table.Picture:
    return live_table.Picture(rows=rows or (a_row(),), seconds=12.0, sent=3_000, stations=20, speedup=60.0)


def drawn(shown: Any, width: int = 160) -> str:
    console = rich.console.Console(file=io.StringIO(), width=width)
    console.print(shown)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def test_a_row_tells_all_of_a_module() -> None:
    (row,) = [line for line in drawn(live_table.table(a_picture())).splitlines() if "load_prediction" in line]
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    assert cells == [
        "load_prediction",
        *("22", "1,234", "3", "20", "50%", "7", "4321"),
        "S1  load_forecast=[1.0]",
    ]


def test_a_module_that_is_starting_shows_so_and_no_figures() -> None:
    starting = live_table.Row(module="SOH_model", port=1, state="starting")
    (row,) = [
        line for line in drawn(live_table.table(a_picture(starting))).splitlines() if "SOH_model" in line
    ]
    assert row.split() == ["│", "SOH_model", *["│"] * 7, "1", "│", "starting", "│"]


def test_a_module_that_ended_shows_so() -> None:
    assert "ended with exit code 1" in drawn(
        live_table.table(a_picture(a_row(state="ended with exit code 1")))
    )


def test_markup_in_an_output_is_shown_as_it_is() -> None:
    assert "[red]x" in drawn(live_table.table(a_picture(a_row(last_output="[red]x"))))


def test_the_title_tells_stations_speed_time_and_records() -> None:
    assert "20 stations at 60 times real speed, 12 s, 3,000 records sent" in drawn(
        live_table.table(a_picture())
    )


def test_the_columns_are_whole_at_120_letters() -> None:
    head = drawn(live_table.table(a_picture()), width=120)
    assert all(name in head for name in ("records/s", "dead letters", "stations", "port"))


def test_a_line_sums_up_all_modules() -> None:
    waiting = live_table.Row(module="SOH_model", port=1)
    line = live_table.line(a_picture(a_row(errors=1), a_row("x"), waiting))
    assert line == (
        " 12.0 s  3,000 records sent, 43/s read | outputs 2,468 of 2/3 modules | lag 6 | dead letters 14"
        " | errors 1"
    )


def test_the_summary_names_a_module_without_an_output() -> None:
    assert "none" in drawn(live_table.summary(a_picture(live_table.Row(module="SOH_model", port=1))))


def test_an_output_is_one_short_line() -> None:
    text = live_table.output_text("S1", {"load_forecast": [1.0, 2.0, 3.0], "note": "x" * 90})
    assert text.startswith("S1  load_forecast=[1.0, 2.0, …]  note=")
    assert len(text) == 60


def test_an_output_that_is_no_object_is_shown_too() -> None:
    assert live_table.output_text("S1", None) == "S1  null"
