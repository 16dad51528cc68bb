"""What a dashboard is made of, and the JSON that Grafana reads: layout, variables, panels."""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

COLUMNS = 24
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_WITHOUT_TIME = {"id": "organize", "options": {"excludeByName": {"Time": True}}}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Panel:
    """One panel: `queries` are pairs of an expression and a legend, `unit` is one of Grafana's names.

    A graph shows the whole range of times; a table or a number only what is so at its end: of a range Grafana
    would also show the last value of a series that is gone, such as that of a phase that no module is in.
    """

    title: str
    description: str
    unit: str
    queries: Sequence[tuple[str, str]]
    kind: str = "timeseries"
    width: int = 12
    height: int = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dashboard:
    """One dashboard; `variables` are pairs of a name and what it is chosen from."""

    uid: str
    title: str
    description: str
    variables: Sequence[tuple[str, str]]
    panels: Sequence[Panel]
    several: bool = False
    """Whether several values of a variable may be chosen at a time, and all are to begin with."""


def to_json(dashboard: Dashboard) -> dict[str, Any]:
    """The dashboard as Grafana reads it."""
    places = _places(dashboard.panels)
    numbered = zip(itertools.count(1), dashboard.panels, places, strict=False)
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": ["analysis"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": list(_variables(dashboard))},
        "panels": [_panel(number, panel, place) for number, panel, place in numbered],
    }


def _places(panels: Sequence[Panel]) -> Iterator[dict[str, int]]:
    """Where each panel stands: from left to right, then in a new row."""
    x = y = height = 0
    for panel in panels:
        if x + panel.width > COLUMNS:
            x, y, height = 0, y + height, 0
        yield {"x": x, "y": y, "w": panel.width, "h": panel.height}
        x, height = x + panel.width, max(height, panel.height)


def _variables(dashboard: Dashboard) -> Iterator[dict[str, Any]]:
    yield {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}
    for name, query in dashboard.variables:
        yield {
            "name": name,
            "type": "query",
            "label": name.capitalize(),
            "datasource": _SOURCE,
            "query": {"query": query, "refId": name},
            "refresh": 2,
            "sort": 1,
            "multi": dashboard.several,
            "includeAll": dashboard.several,
            **({"current": {"text": ["All"], "value": ["$__all"]}} if dashboard.several else {}),
        }


def _panel(number: int, panel: Panel, place: Mapping[str, int]) -> dict[str, Any]:
    now = {"instant": True, "range": False} if panel.kind in ("stat", "table") else {}
    shape = {"format": "table"} if panel.kind == "table" else {}
    targets = [
        {
            "refId": chr(ord("A") + index),
            "datasource": _SOURCE,
            "expr": expression,
            "legendFormat": legend,
            **now,
            **shape,
        }
        for index, (expression, legend) in enumerate(panel.queries)
    ]
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "targets": targets,
        **({"transformations": [_WITHOUT_TIME]} if panel.kind == "table" else {}),
    }
