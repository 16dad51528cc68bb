"""Whose turn it is in a rolling edit."""

import pytest

from analysis_module import reading
from analysis_operator.decisions import fleet as fleet_view
from analysis_operator.decisions import rollouts
from analysis_operator.decisions.options import Options
from tests.unit.analysis_operator import fleets


def waiting(unready: list[int], *, rollout: int = 1, current: int = 0, suspend: bool = False) -> list[int]:
    """The shards of five that wait, of which the first `current` are replaced already."""
    fleet = fleets.settled(fleets.with_workers(replicas=5))
    fleet.edit(fleets.a_spec(observability={"logFormat": "json"}, workers={"replicas": 5}))
    for _ in range(current):
        fleet.step()
        fleet.run_pods()
    for shard in unready:
        fleet.change_pod(shard, ready=False)
    shards = fleet_view.shards_of(fleet.observed())
    asked = reading.read_spec({**fleet.module.spec, "suspend": suspend})
    holdings = {number: shard.holding for number, shard in shards.items()}
    intended = rollouts.intended(asked, shards, holdings, Options(rollout=rollout))
    return [number for number, intent in intended.items() if intent.waits]


@pytest.mark.parametrize(
    ("unready", "rollout", "current", "waits"),
    [
        ([], 1, 0, [1, 2, 3, 4]),
        ([], 2, 0, [2, 3, 4]),
        ([], 9, 0, []),
        ([3], 1, 0, [0, 1, 2, 4]),
        ([3], 2, 0, [1, 2, 4]),
        ([1, 3], 2, 0, [0, 2, 4]),
        ([0], 1, 1, [1, 2, 3, 4]),
        ([0], 2, 1, [2, 3, 4]),
        ([0, 4], 1, 1, [1, 2, 3]),
        ([], 1, 3, [4]),
        ([], 1, 5, []),
    ],
)
def test_those_that_are_ready_wait_while_as_many_as_allowed_are_not(
    unready: list[int], rollout: int, current: int, waits: list[int]
) -> None:
    assert waiting(unready, rollout=rollout, current=current) == waits


def test_nobody_waits_while_the_module_is_suspended() -> None:
    assert waiting([], suspend=True) == []
