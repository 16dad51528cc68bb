"""Everything uninstalled in the wrong order: nothing hangs, nothing is left over, and no record is lost."""

import signal
from collections.abc import Callable

from tests.e2e import leaving
from tests.infrastructure import api_client, helm, waiting
from tests.infrastructure.release import Release
from tests.infrastructure.scenario import PATIENCE_SECONDS, Scenario
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
    release.run("install", helm.RELEASE, str(helm.CHART), "--wait", values={})
    numbered.apply(workers={"replicas": 2})
    numbered.module.until_phase("Running", PATIENCE_SECONDS)
    found = numbered.conclude()
    assert (found.lost, found.doubled_unmarked, found.wrong_windows) == ([], 0, [])


def test_the_operators_namespace_before_everything_else_leaves_workers_at_work(
    true_cluster: TrueCluster, release: Release, scenarios: Scenarios
) -> None:
    numbered = scenarios("namespace of the operator deleted")
    numbered.run()
    leaving.require_nothing_refused(release)
    leaving.remove_namespace(true_cluster, release.namespace)
    numbered.until_more_outputs(400)
    found = numbered.conclude()
    leaving.remove_namespace(true_cluster, numbered.namespace)
    assert (found.lost, found.doubled, found.wrong_windows) == ([], 0, [])
    assert true_cluster.access.api.items(api_client.MODULES) == []
