"""Events: each reason is known, each known one is given somewhere, and what stays the same is not told."""

import ast
import dataclasses
import functools
from pathlib import Path

import pytest

from analysis_module.names import Phase
from analysis_operator.decisions import events
from analysis_operator.decisions.observed import Neighbours
from tests.unit.analysis_operator import fleets, situations
from tests.unit.analysis_operator.situations import SITUATIONS

OPERATOR = Path(events.__file__).parents[1]


@functools.cache
def given() -> set[str]:
    """Reasons of the events of all situations, and of the ways out of them."""
    found: set[str] = set()
    for situation in SITUATIONS.values():
        fleet = situation.bring()
        for plan in (fleet.step(), *fleet.settle()):
            found |= set(fleets.reasons(plan))
        fleet.edit({**situations.TWO, "partitioning": fleet.module.spec.get("partitioning")})
        fleet.seen, fleet.said = {}, {}
        for name in fleet.pods:
            fleet.pods[name] = dataclasses.replace(fleet.pods[name], ready=True, waiting=None, restarts=0)
        for plan in fleet.settle():
            found |= set(fleets.reasons(plan))
    fleet = situations.running()
    fleet.seen["neighbours"] = Neighbours(waiting=("a/b",))
    fleet.step()
    fleet.seen["neighbours"] = Neighbours(providers=("a/b",))
    return found | set(fleets.reasons(fleet.step()))


def written() -> set[str]:
    """Reasons that the source gives by name: the second argument of each Event."""
    found = set()
    for path in OPERATOR.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "Event":
                reason = node.args[1] if len(node.args) > 1 else None
                if isinstance(reason, ast.Constant):
                    found.add(str(reason.value))
    return found


def test_every_reason_given_is_known() -> None:
    assert given() | written() <= events.REASONS.keys()


def test_every_known_reason_is_given_somewhere() -> None:
    assert events.REASONS.keys() - given() - written() == set()


def test_reasons_are_sorted_words_in_camel_case_and_said_in_full() -> None:
    assert list(events.REASONS) == sorted(events.REASONS)
    for reason, said in events.REASONS.items():
        assert reason.isalpha()
        assert reason[0].isupper()
        assert said


def test_every_phase_is_a_reason() -> None:
    assert {str(phase) for phase in Phase} <= events.REASONS.keys()


@pytest.mark.parametrize("name", SITUATIONS)
def test_what_was_told_is_not_told_again(name: str) -> None:
    fleet = SITUATIONS[name].bring()
    first, second = fleet.step().events, fleet.step().events
    assert set(first) & set(second) == set()


class TestTransitions:
    def test_a_new_module_is_told_by_its_phase_alone(self) -> None:
        plan = fleets.Fleet().plan()
        assert [(each.kind, each.reason, each.message) for each in plan.events] == [
            ("Normal", "Pending", "new -> Pending, 0/1 workers ready")
        ]

    def test_a_phase_that_changes_is_told_with_the_one_before(self) -> None:
        fleet = situations.running()
        fleet.change_pod(0, ready=False)
        assert fleets.messages(fleet.plan(), "Progressing") == ["Running -> Progressing, 1/2 workers ready"]

    def test_what_turns_bad_is_a_warning_with_the_conditions_message(self) -> None:
        fleet = situations.running()
        fleet.seen["neighbours"] = Neighbours(waiting=("a/b",))
        plan = fleet.plan()
        (event,) = (each for each in plan.events if each.reason == "DependencyNotRunning")
        assert event.kind == "Warning"
        assert event.message == fleets.condition(plan, "DependenciesReady")[2]

    def test_what_turns_good_again_is_told_and_what_was_good_is_not(self) -> None:
        fleet = situations.running()
        fleet.seen["neighbours"] = Neighbours(waiting=("a/b",))
        fleet.step()
        fleet.seen["neighbours"] = Neighbours(providers=("a/b",))
        plan = fleet.plan()
        assert [(each.kind, each.reason) for each in plan.events] == [
            ("Normal", "Found"),
            ("Normal", "Running"),
        ]

    def test_workers_that_are_on_their_way_to_a_new_config_are_no_event(self) -> None:
        fleet = situations.running()
        fleet.edit(fleets.a_spec(padding="Linear", workers={"replicas": 2}))
        assert "Lagging" not in fleets.reasons(fleet.step())
        fleet.run_workers()
        assert "Applied" not in fleets.reasons(fleet.step())

    def test_a_condition_that_stays_bad_for_another_reason_is_told(self) -> None:
        fleet = situations.running()
        fleet.seen["neighbours"] = Neighbours(waiting=("a/b",))
        fleet.step()
        fleet.seen["neighbours"] = Neighbours(leaving=("a/b",))
        assert "DependencyLeaving" in fleets.reasons(fleet.step())
