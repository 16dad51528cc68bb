"""Everything uninstalled in the wrong order: nothing hangs, no worker is left over, and no record is lost."""

import signal
from collections.abc import Callable

import pytest

from tests.infrastructure import helm, leaving, waiting
from tests.infrastructure import release as releases
from tests.infrastructure.release import Release
from tests.infrastructure.scenario import NOTHING_WRONG, PATIENCE_SECONDS, Scenario
from tests.infrastructure.true_cluster import TrueCluster

Scenarios = Callable[[str], Scenario]


def test_operator_before_modules_and_crd_before_resources_leave_nothing_and_lose_nothing(
    true_cluster: TrueCluster, release: Release, scenarios: Scenarios
) -> None:
    numbered = scenarios("uninstalled in the wrong order")
    numbered.run(workers={"replicas": 2})
    leaving.require_nothing_refused(release)
    release.uninstall()
    numbered.until_more_outputs(400)  # workers run on, and a killed one comes back
    killed = min(numbered.module.pods())
    numbered.signal(killed, signal.SIGKILL)
    numbered.until_restarted(killed)

    leaving.remove_crd(true_cluster)  # and with it the module, of which nobody takes leave
    waiting.until(
        lambda: not numbered.module.children() and not numbered.module.pods(),
        what="nothing that was made for the module is left",
        timeout_seconds=PATIENCE_SECONDS,
    )
    releases.install(true_cluster)
    numbered.apply(workers={"replicas": 2})
    numbered.module.until_phase("Running", PATIENCE_SECONDS)
    found = numbered.conclude()
    assert (found.lost, found.doubled_unmarked, found.wrong_windows) == ([], 0, [])


def test_a_release_lost_with_its_namespace_leaves_workers_at_work_and_another_takes_its_modules_over(
    true_cluster: TrueCluster, scenarios: Scenarios
) -> None:
    numbered = scenarios("namespace of the operator deleted")
    numbered.run(workers={"replicas": 2})
    before = numbered.containers()
    installed = releases.found(true_cluster)
    assert installed is not None
    leaving.require_nothing_refused(installed)
    leaving.remove_namespace(true_cluster, installed.namespace)
    numbered.until_more_outputs(400)

    with pytest.raises(helm.HelmRefused, match="cannot be imported into the current release"):
        releases.install(true_cluster)
    releases.install(true_cluster, "--take-ownership")
    numbered.apply(workers={"replicas": 2}, expireAfterSeconds=900)
    numbered.module.until_settled(PATIENCE_SECONDS)
    assert numbered.conclude() == NOTHING_WRONG
    assert numbered.containers() == before
