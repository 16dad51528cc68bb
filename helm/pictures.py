"""Pictures of the dashboards: what Prometheus answered to each panel, laid out as Grafana would."""

import dataclasses
import datetime
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import dates, ticker
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

COLUMNS = 24
_COLUMN_INCHES, _ROW_INCHES, _GAP = 0.5, 0.34, 0.35
_COLOURS = ("#3274d9", "#e0752d", "#56a64b", "#a352cc", "#e02f44", "#0aa2a2", "#b8860b", "#8a8a8a")
_FRAME, _INK, _FAINT = "#d8d9da", "#24292e", "#6e7681"
_MOST_NAMED, _NAMED_BESIDE = 8, 4
_TEXT_STAYS_TEXT: Any = {"svg.fonttype": "none", "svg.hashsalt": "dashboards", "font.size": 8}


@dataclasses.dataclass(frozen=True)
class Line:
    """One series: its name, its labels, and (seconds of the epoch, value) from the oldest on."""

    name: str
    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]


@dataclasses.dataclass(frozen=True)
class Picture:
    """One panel with its answers; `kind` and `unit` are Grafana's names, `place` x, y, width and height."""

    title: str
    kind: str
    unit: str
    place: tuple[int, int, int, int]
    lines: Sequence[Line]


def draw(title: str, panels: Sequence[Picture], file: Path) -> None:
    """Write a dashboard as SVG; the same answers give the same file."""
    rows = max(y + height for _, y, _, height in (each.place for each in panels))
    width, height = COLUMNS * _COLUMN_INCHES, rows * _ROW_INCHES + _GAP
    with matplotlib.rc_context(_TEXT_STAYS_TEXT):
        figure = Figure(figsize=(width, height), facecolor="white")
        figure.text(0.1 / width, 1 - 0.2 / height, title, va="center", size=12, weight="bold", color=_INK)
        for each in panels:
            _draw_panel(figure, each, width, height)
        FigureCanvasSVG(figure)
        figure.savefig(file, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))


def _draw_panel(figure: Figure, panel: Picture, width: float, height: float) -> None:
    column, row, columns, rows = panel.place
    left, top = column * _COLUMN_INCHES, _GAP + row * _ROW_INCHES
    wide, high = columns * _COLUMN_INCHES, rows * _ROW_INCHES
    frame = figure.add_axes(
        ((left + 0.05) / width, 1 - (top + high - 0.05) / height, (wide - 0.1) / width, (high - 0.1) / height)
    )
    frame.set_xticks([])
    frame.set_yticks([])
    for spine in frame.spines.values():
        spine.set_color(_FRAME)
    frame.set_title(panel.title, loc="left", y=1, pad=-11, x=0.06 / wide, size=9, weight="bold", color=_INK)
    if not panel.lines:
        frame.text(0.5, 0.45, "No data", ha="center", va="center", size=10, color=_FAINT)
    elif panel.kind == "stat":
        _draw_numbers(frame, panel)
    elif panel.kind == "table":
        _draw_table(frame, panel)
    else:
        _draw_graph(figure, panel, (left, top, wide, high), (width, height))


def _draw_numbers(axes: Axes, panel: Picture) -> None:
    count = max(1, len(panel.lines))
    for number, line in enumerate(panel.lines):
        across = (number + 0.5) / count
        text, colour = told(line.points[-1][1], panel.unit), _COLOURS[number % len(_COLOURS)]
        axes.text(across, 0.45, text, ha="center", va="center", size=20, color=colour)
        axes.text(across, 0.14, line.name, ha="center", va="center", size=8, color=_FAINT)


def _draw_table(axes: Axes, panel: Picture) -> None:
    head = [*dict.fromkeys(name for line in panel.lines for name in line.labels), "value"]
    rows = [
        [*(line.labels.get(name, "") for name in head[:-1]), told(line.points[-1][1], panel.unit)]
        for line in panel.lines
    ]
    for number, row in enumerate([head, *sorted(rows)]):
        for place, text in enumerate(row):
            look: dict[str, Any] = {"weight": "bold", "color": _FAINT} if number == 0 else {"color": _INK}
            axes.text(0.01 + place / len(head), 0.83 - 0.1 * number, text, va="center", size=8, **look)


def _draw_graph(
    figure: Figure, panel: Picture, box: tuple[float, float, float, float], size: tuple[float, float]
) -> None:
    left, top, wide, high = box
    rows = -(-min(len(panel.lines), _MOST_NAMED) // _NAMED_BESIDE)
    names = 0.12 + 0.16 * rows
    bottom = top + high - 0.3 - names
    axes = figure.add_axes(
        (
            (left + 0.6) / size[0],
            1 - bottom / size[1],
            (wide - 0.9) / size[0],
            (bottom - top - 0.35) / size[1],
        )
    )
    _plot(axes, panel.lines)
    _dress(axes, panel)
    _name(figure, axes, ((left + 0.55) / size[0], 1 - (top + high - 0.12) / size[1]))


def _plot(axes: Axes, lines: Sequence[Line]) -> None:
    for number, line in enumerate(lines):
        times: Any = [datetime.datetime.fromtimestamp(at, datetime.UTC) for at, _ in line.points]
        axes.plot(
            times,
            [value for _, value in line.points],
            lw=1.2,
            color=_COLOURS[number % len(_COLOURS)],
            label=line.name,
            marker=".",
            ms=1.5,
            clip_on=False,  # so that a line of zeros is seen whole ...
            zorder=3,  # ... and above the axis
        )


def _name(figure: Figure, axes: Axes, place: tuple[float, float]) -> None:
    """The names of the first lines, `place` being their lower left corner in the figure."""
    handles, names = axes.get_legend_handles_labels()
    figure.legend(
        handles[:_MOST_NAMED],
        names[:_MOST_NAMED],
        loc="lower left",
        bbox_to_anchor=place,
        ncols=_NAMED_BESIDE,
        frameon=False,
        fontsize=7,
        borderaxespad=0,
        borderpad=0,
        labelspacing=0.3,
        handlelength=1.2,
    )


def _dress(axes: Axes, panel: Picture) -> None:
    axes.grid(visible=True, color="#ececec", lw=0.6)
    axes.tick_params(colors=_FAINT, labelsize=7, length=0)
    axes.tick_params(axis="x", pad=6)  # below the lowest label of the other axis
    axes.xaxis.set_major_locator(dates.AutoDateLocator(maxticks=4))  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(dates.DateFormatter("%H:%M:%S"))  # type: ignore[no-untyped-call]
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: told(value, panel.unit)))
    values = [value for line in panel.lines for _, value in line.points if value == value]
    top = 1.15 * max(values) if any(values) else 1.0
    axes.yaxis.set_major_locator(_steps(panel.unit, top))
    axes.set_ylim(min([0.0, *values]), top)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(_FRAME)


def _steps(unit: str, top: float) -> ticker.Locator:
    """Four steps up to the top or less: round ones, which for bytes are powers of two."""
    if unit == "bytes":
        return ticker.MultipleLocator(2.0 ** math.ceil(math.log2(top / 4)))
    return ticker.MaxNLocator(4, min_n_ticks=2)


def told(value: float, unit: str) -> str:
    """A value with its unit, as short as Grafana says it."""
    if unit == "bytes":
        for name in ("B", "KiB", "MiB"):
            if abs(value) < 1024:
                return f"{value:.3g} {name}"
            value /= 1024
        return f"{value:.3g} GiB"
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    if unit == "s":
        return f"{1000 * value:.3g} ms" if 0 < abs(value) < 1 else f"{value:.3g} s"
    short = f"{value / 1000:.3g}k" if abs(value) >= 10_000 else f"{value:.4g}"
    return {"cps": f"{short}/s", "reqps": f"{short} req/s"}.get(unit, short)
