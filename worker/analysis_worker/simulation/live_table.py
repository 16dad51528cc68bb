"""How the demo looks: a table of the modules, lines where there is no terminal, the summary. Pure."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import rich.table
import rich.text

_LAST_OUTPUT_LETTERS = 60


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One module at one moment.

    `lag` is in records, `fill` the mean fill of its windows from 0 to 1; None is "not known yet".
    """

    module: str
    port: int
    state: str = "starting"
    records_per_second: float | None = None
    outputs: int = 0
    lag: int | None = None
    stations: int | None = None
    fill: float | None = None
    dead_letters: int = 0
    errors: int = 0
    first_output_seconds: float | None = None
    last_output: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Picture:
    """The whole demo at one moment; `sent` counts the simulated records, `seconds` since its start."""

    rows: Sequence[Row]
    seconds: float
    sent: int
    stations: int
    speedup: float

    @property
    def answering(self) -> int:
        """Modules that have had an output."""
        return sum(row.first_output_seconds is not None for row in self.rows)

    @property
    def outputs(self) -> int:
        """Outputs of all modules."""
        return sum(row.outputs for row in self.rows)

    @property
    def dead_letters(self) -> int:
        """Dead letters of all modules."""
        return sum(row.dead_letters for row in self.rows)


def output_text(station_id: str, output: Any) -> str:
    """An output in one short line: the station, then keys and values as far as they go."""
    if isinstance(output, Mapping):
        parts = [f"{key}={_short(value)}" for key, value in output.items()]
        text = f"{station_id}  {'  '.join(parts)}"
    else:
        text = f"{station_id}  {_short(output)}"
    return text if len(text) <= _LAST_OUTPUT_LETTERS else f"{text[: _LAST_OUTPUT_LETTERS - 1]}…"


def _short(value: Any) -> str:
    if isinstance(value, list) and len(value) > 2:
        return f"[{', '.join(_short(item) for item in value[:2])}, …]"
    return json.dumps(value, ensure_ascii=False)


def table(picture: Picture) -> rich.table.Table:
    """The table that is shown live."""
    shown = rich.table.Table(
        title=f"{picture.stations} stations at {picture.speedup:g} times real speed,"
        f" {picture.seconds:.0f} s, {picture.sent:,} records sent",
        caption="http://127.0.0.1:<port>/metrics  /status  /health        Ctrl-C ends it all",
        title_justify="left",
        caption_justify="left",
    )
    shown.add_column("module", style="bold", no_wrap=True, min_width=22)
    for name in ("records/s", "outputs", "lag", "stations", "fill", "dead letters", "port"):
        shown.add_column(name, justify="right", no_wrap=True, min_width=max(5, len(name)))
    shown.add_column("last output", no_wrap=True)
    for row in picture.rows:
        shown.add_row(*_cells(row))
    shown.add_section()
    shown.add_row("all", "", f"{picture.outputs:,}", *[""] * 3, f"{picture.dead_letters:,}", "", "")
    return shown


def _cells(row: Row) -> tuple[str | rich.text.Text, ...]:
    if row.state != "running" and not row.outputs:
        return (row.module, *[""] * 6, str(row.port), rich.text.Text(row.state, style="dim"))
    return (
        row.module,
        "" if row.records_per_second is None else f"{row.records_per_second:.0f}",
        f"{row.outputs:,}",
        _known(row.lag),
        _known(row.stations),
        "" if row.fill is None else f"{row.fill:.0%}",
        _known(row.dead_letters),
        str(row.port),
        rich.text.Text(row.last_output if row.state == "running" else row.state),
    )


def _known(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def line(picture: Picture) -> str:
    """The demo in one line, for a log."""
    lag = sum(row.lag or 0 for row in picture.rows)
    rate = sum(row.records_per_second or 0.0 for row in picture.rows)
    return (
        f"{picture.seconds:5.1f} s  {picture.sent:,} records sent, {rate:,.0f}/s read"
        f" | outputs {picture.outputs:,} of {picture.answering}/{len(picture.rows)} modules"
        f" | lag {lag:,} | dead letters {picture.dead_letters:,}"
        f" | errors {sum(row.errors for row in picture.rows)}"
    )


def summary(picture: Picture) -> rich.table.Table:
    """What became of each module, at the end."""
    shown = rich.table.Table(
        title=f"{picture.seconds:.0f} s, {picture.sent:,} records sent", title_justify="left"
    )
    shown.add_column("module", style="bold", no_wrap=True)
    for name in ("first output", "outputs", "stations", "dead letters", "errors"):
        shown.add_column(name, justify="right")
    for row in picture.rows:
        first = row.first_output_seconds
        shown.add_row(
            row.module,
            "none" if first is None else f"{first:.1f} s",
            f"{row.outputs:,}",
            _known(row.stations),
            _known(row.dead_letters),
            str(row.errors),
        )
    return shown
