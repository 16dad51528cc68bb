"""The pictures of the dashboards in docs: one for each, with its panels as they are now."""

import html
import re
from pathlib import Path

import pytest

from helm import pictures
from tests.infrastructure import grafana_panels
from tests.project import markdown, tree

IMAGES = tree.ROOT / "docs" / "images"
MOST_BYTES = 400_000
CHOSEN = {"__rate_interval": "1m", "namespace": "n", "module": "m"}


@pytest.mark.parametrize("name", grafana_panels.names())
def test_a_picture_shows_each_panel_of_its_dashboard_and_no_other(name: str) -> None:
    dashboard = grafana_panels.read(name, CHOSEN)
    titles = re.findall(r'<text style="font-weight: 700; font-size: 9px[^>]+>([^<]+)</text>', picture(name))
    assert list(map(html.unescape, titles)) == [panel.title for panel in dashboard.panels]


@pytest.mark.parametrize("name", grafana_panels.names())
def test_the_operators_guide_shows_it_in_both_languages(name: str) -> None:
    for page in ("operator.md", "operator.zh-CN.md"):
        links = markdown.Page(tree.ROOT / "docs" / "guide" / page).links
        assert f"../images/dashboard-{name}.svg" in links, page


def test_a_picture_names_nothing_of_the_machine_that_drew_it() -> None:
    for name in grafana_panels.names():
        assert "/tmp" not in picture(name)
        assert "<dc:date>" not in picture(name)


def test_the_same_answers_give_the_same_file_without_a_warning(tmp_path: Path) -> None:
    answers = [pictures.Line("a", {"name": "a"}, [(2.0 * second, 5e7) for second in range(20)])]
    panels = [
        pictures.Picture(kind, kind, "bytes", (0, 8 * number, 24, 8), answers)
        for number, kind in enumerate(("stat", "table", "timeseries"))
    ]
    drawn = [tmp_path / "one.svg", tmp_path / "other.svg"]
    for file in drawn:
        pictures.draw("All kinds", panels, file)
    one, other = (file.read_text(encoding="utf-8") for file in drawn)
    assert one == other
    assert {"47.7 MiB", "32 MiB", "00:00:30"} <= {*re.findall(r"<text[^>]*>([^<]+)</text>", one)}


@pytest.mark.parametrize("kind", ["stat", "table", "timeseries"])
def test_a_panel_without_an_answer_says_so(kind: str, tmp_path: Path) -> None:
    pictures.draw("Empty", [pictures.Picture("P", kind, "s", (0, 0, 24, 8), [])], tmp_path / "empty.svg")
    assert ">No data</text>" in (tmp_path / "empty.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", grafana_panels.names())
def test_no_panel_was_without_an_answer_when_its_picture_was_drawn(name: str) -> None:
    assert "No data" not in picture(name)


@pytest.mark.parametrize("name", grafana_panels.names())
def test_a_picture_is_small_and_its_text_is_text(name: str) -> None:
    assert len(picture(name).encode()) < MOST_BYTES
    assert picture(name).count("<text") >= 2 * len(grafana_panels.read(name, CHOSEN).panels)


@pytest.mark.parametrize(
    ("value", "unit", "told"),
    [
        (0.0, "s", "0 s"),
        (0.0124, "s", "12.4 ms"),
        (3.2, "s", "3.2 s"),
        (0.0512, "percentunit", "5.12 %"),
        (62 * 2**20, "bytes", "62 MiB"),
        (3 * 2**30, "bytes", "3 GiB"),
        (12_345.0, "short", "12.3k"),
        (402.0, "cps", "402/s"),
        (2.5, "reqps", "2.5 req/s"),
        (2.0, "none", "2"),
    ],
)
def test_a_value_is_told_with_its_unit(value: float, unit: str, told: str) -> None:
    assert pictures.told(value, unit) == told


def picture(name: str) -> str:
    return (IMAGES / f"dashboard-{name}.svg").read_text(encoding="utf-8")
