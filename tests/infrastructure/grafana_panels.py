"""The chart's dashboards as Grafana reads them: panels, and their queries with the variables filled in."""

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from tests.infrastructure import helm

DIRECTORY = helm.CHART / "dashboards"


@dataclasses.dataclass(frozen=True)
class Query:
    """What Prometheus is asked, and how each series of the answer is called."""

    expression: str
    legend: str
    instant: bool

    def name(self, labels: Mapping[str, str]) -> str:
        """A series' name in the panel, by its labels."""
        return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), self.legend)


@dataclasses.dataclass(frozen=True)
class Panel:
    """One panel: `place` is x, y, width and height in Grafana's grid of 24 columns."""

    title: str
    kind: str
    unit: str
    place: tuple[int, int, int, int]
    queries: Sequence[Query]


@dataclasses.dataclass(frozen=True)
class Dashboard:
    """One dashboard; `choices` are the queries of its variables by their names."""

    title: str
    panels: Sequence[Panel]
    choices: Mapping[str, str]


def names() -> list[str]:
    """The dashboards' names."""
    return sorted(path.stem for path in DIRECTORY.glob("*.json"))


def read(name: str, variables: Mapping[str, str]) -> Dashboard:
    """One dashboard, its variables having these values, "__rate_interval" among them."""
    document = json.loads((DIRECTORY / f"{name}.json").read_text(encoding="utf-8"))
    choices = {
        each["name"]: _filled(each["query"]["query"], variables)
        for each in document["templating"]["list"]
        if each["type"] == "query"
    }
    panels = [_panel(each, variables) for each in document["panels"]]
    return Dashboard(document["title"], panels, choices)


def chosen_from(choice: str) -> tuple[str, str]:
    """The series and the label that `label_values(series, label)` takes a variable's values from."""
    found = re.fullmatch(r"label_values\((.+), (\w+)\)", choice)
    assert found is not None, choice
    return found[1], found[2]


def _panel(document: Mapping[str, Any], variables: Mapping[str, str]) -> Panel:
    place = document["gridPos"]
    return Panel(
        title=document["title"],
        kind=document["type"],
        unit=document["fieldConfig"]["defaults"]["unit"],
        place=(place["x"], place["y"], place["w"], place["h"]),
        queries=[
            Query(_filled(each["expr"], variables), each["legendFormat"], each.get("instant", False))
            for each in document["targets"]
        ],
    )


def _filled(text: str, variables: Mapping[str, str]) -> str:
    filled = re.sub(r"\$(\w+)", lambda found: variables[found[1]], text)
    assert "$" not in filled, filled
    return filled
