"""ExactlyOnce on a true node: whatever happens to the workers, each output is committed once and in order."""

import signal
from collections.abc import Callable

from tests.infrastructure.scenario import NOTHING_WRONG, PATIENCE_SECONDS, Scenario

Scenarios = Callable[[str], Scenario]
FROZEN_SECONDS = 40
"""Longer than brokers keep a transaction open of which they hear no more."""


def test_workers_killed_moved_and_frozen_commit_each_output_once(scenarios: Scenarios) -> None:
    numbered = scenarios("exactly once")
    numbered.run(workers={"replicas": 2}, delivery="ExactlyOnce")
    killed = min(numbered.module.pods())
    numbered.signal(killed, signal.SIGKILL)
    numbered.until_restarted(killed)
    numbered.until_more_outputs(400)
    for replicas in (3, 2):
        numbered.module.scale(replicas)
        numbered.module.until_settled(seconds=120)
        numbered.until_more_outputs(400)
    with numbered.frozen(max(numbered.module.pods())):
        numbered.until_sent_for(FROZEN_SECONDS)
    numbered.module.until_phase("Running", PATIENCE_SECONDS)
    numbered.until_more_outputs(400)
    assert numbered.conclude() == NOTHING_WRONG
