"""What the guide of the operator lists is what there is: reasons, conditions, phases, settings, metrics."""

import re
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry

from analysis_module import names, shape
from analysis_operator import metrics, settings
from analysis_operator.decisions import events
from tests.project import tree

GUIDE = (tree.ROOT / "docs" / "guide" / "operator.md").read_text(encoding="utf-8")
CODES = set(re.findall(r"`([^`\n]+)`", GUIDE))


def section(title: str) -> str:
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", GUIDE, re.M | re.S)
    assert found is not None, title
    return found[1]


def codes(title: str) -> set[str]:
    """What stands as code in the first column of a section's table."""
    cells = (line.split("|")[1] for line in section(title).splitlines() if line.startswith("|"))
    return {code for cell in cells for code in re.findall(r"`([^`]+)`", cell)}


def setting_keys(part: type, prefix: str = "") -> Iterator[str]:
    for member in shape.members(part):
        nested = shape.is_part(member.hint) and part is settings.Settings and member.name != "kafka"
        if nested:
            yield from setting_keys(member.hint, f"{member.name}.")
        else:
            yield prefix + member.name


def test_every_reason_of_an_event_is_in_the_guide_and_no_other() -> None:
    assert codes("Events") == set(events.REASONS)


def test_every_condition_is_in_the_guide_and_no_other() -> None:
    assert codes("Status") == set(names.ConditionType)


@pytest.mark.parametrize("phase", list(names.Phase))
def test_every_phase_is_in_the_guide(phase: names.Phase) -> None:
    assert f"`{phase}`" in section("Status")


def test_every_setting_is_in_the_guide_and_no_other() -> None:
    assert codes("Settings") == set(setting_keys(settings.Settings))


def test_every_metric_is_in_the_guide_and_no_other() -> None:
    registry = CollectorRegistry()
    made = metrics.OperatorMetrics(registry)
    made.watch_queue(lambda: 0.0, lambda: 0.0, lambda: 0.0)
    there = set()
    for family in registry.collect():
        if family.name.startswith(metrics.PREFIX):
            there.add(family.name + ("_total" if family.type == "counter" else ""))
    listed = set()
    for code in codes("Metrics"):
        name = code.partition("{")[0]
        listed.add(name if name.startswith(metrics.PREFIX) else f"{metrics.PREFIX}module{name}")
    assert listed == there
