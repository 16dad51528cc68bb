"""What breaks on a true node: workers deleted and frozen, the broker restarted, the operator killed or gone.

Each ends by counting: at-least-once holds everywhere, and what ends in order doubles nothing.
"""

import re
import signal
import time
from collections.abc import Callable

from tests.infrastructure import helm
from tests.infrastructure.release import Release
from tests.infrastructure.scenario import NOTHING_WRONG, PATIENCE_SECONDS, SLOTS, STATIONS, Scenario
from tests.infrastructure.true_cluster import TrueCluster

Scenarios = Callable[[str], Scenario]
FROZEN_SECONDS = 60
ABSENT_SECONDS = 300
LARGE = 1_100
"""Records of a window that is worth a file."""
NEWEST = """
def callback(station_id, module_input):
    return {"number": module_input["number"], "window": list(module_input["number_window"])[-20:]}
"""
CHECKPOINTED_SECONDS = 25
"""Within so much time each slot has a checkpoint."""
SLOW = 50
"""Records per second of the stream that the operator is absent from for minutes."""


# -- workers ----------------------------------------------------------------------------------------


def test_a_deleted_worker_is_replaced_and_nothing_is_lost_or_doubled(scenarios: Scenarios) -> None:
    numbered = scenarios("worker deleted")
    numbered.run(workers={"replicas": 2})
    before = numbered.containers()
    gone = min(numbered.module.pods())
    done = numbered.cluster.access.kubectl("delete", "pod", gone, "--namespace", numbered.namespace)
    assert done.returncode == 0, done.stderr
    numbered.module.until_settled(PATIENCE_SECONDS)
    numbered.module.until_phase("Running", PATIENCE_SECONDS)
    numbered.until_more_outputs(400)
    found = numbered.conclude()
    assert found == NOTHING_WRONG, "a worker that is asked to end commits what it has answered"
    assert len({*before} & {*numbered.containers()}) == 1, "the other one stays"


def test_of_a_worker_frozen_for_a_minute_and_woken_nothing_is_lost_while_others_go_on(
    scenarios: Scenarios,
) -> None:
    numbered = scenarios("worker frozen")
    numbered.run(workers={"replicas": 2})
    frozen = min(numbered.module.pods())
    before = numbered.containers()
    with numbered.frozen(frozen):
        numbered.until_sent_for(FROZEN_SECONDS / 2)
        numbered.until_more_outputs(400)
        numbered.module.until(
            lambda: numbered.columns()["READY"] == "1/2", "it is told as not ready", PATIENCE_SECONDS
        )
        numbered.until_sent_for(FROZEN_SECONDS / 2)
    numbered.module.until_phase("Running", PATIENCE_SECONDS)
    found = numbered.conclude()
    assert (found.lost, found.doubled_unmarked, found.wrong_windows) == ([], 0, [])
    assert {*before} == {*numbered.containers()}, "no pod was replaced"


def test_a_killed_worker_takes_its_windows_from_the_volume_of_its_pod(scenarios: Scenarios) -> None:
    numbered = scenarios("windows in files")
    inputs = [{"topic": numbered.stream.topic, "fields": ["stationId", "number"], "windowSize": LARGE}]
    numbered.run(inputs=inputs, callback={"source": NEWEST})
    numbered.until_sent_for(CHECKPOINTED_SECONDS)
    (pod,) = numbered.module.pods()
    numbered.signal(pod, signal.SIGKILL)
    numbered.until_restarted(pod)
    numbered.until_more_outputs(400)
    logged = numbered.cluster.access.kubectl("logs", pod, "--namespace", numbered.namespace).stdout
    found = numbered.conclude()
    assert (found.lost, found.doubled_unmarked, found.wrong_windows) == ([], 0, [])
    taken = re.search(r"(\d+) windows of \d+ slots are taken from files", logged)
    assert taken is not None
    assert int(taken[1]) == STATIONS, "each station's was there"


# -- Kafka ------------------------------------------------------------------------------------------


def test_a_restarted_broker_costs_no_record_and_no_worker(
    true_cluster: TrueCluster, scenarios: Scenarios
) -> None:
    numbered = scenarios("broker restarted")
    numbered.run(workers={"replicas": 2})
    before = numbered.containers()
    true_cluster.kafka.restart(0)
    numbered.until_more_outputs(400)
    numbered.module.until_phase("Running", PATIENCE_SECONDS)
    assert numbered.conclude() == NOTHING_WRONG
    assert numbered.containers() == before


# -- the operator -----------------------------------------------------------------------------------


def test_a_hand_over_that_the_operator_dies_in_is_brought_to_its_end(
    release: Release, scenarios: Scenarios
) -> None:
    numbered = scenarios("operator killed in a hand-over")
    numbered.run(outputs=1_000)
    numbered.module.scale(3)
    numbered.module.until(lambda: len(numbered.owners()) < SLOTS, "slots change hands", PATIENCE_SECONDS)
    killed = release.kill_operators()
    owned = len(numbered.owners())
    numbered.module.until(
        lambda: len(numbered.owners()) == SLOTS, "every slot has an owner again", PATIENCE_SECONDS
    )
    numbered.module.until_settled(PATIENCE_SECONDS)
    numbered.until_more_outputs(600)
    found = numbered.conclude()
    assert killed == 2
    assert owned < SLOTS, "the operators died while slots changed hands"
    assert found == NOTHING_WRONG
    assert all(told.slots for told in numbered.module.assignments().values())


def test_workers_run_on_without_an_operator_and_an_edit_waits_for_it(
    release: Release, scenarios: Scenarios
) -> None:
    numbered = scenarios("operator absent")
    numbered.per_second = SLOW
    numbered.run(workers={"replicas": 2})
    release.scale_operator(0)
    began_ms = time.time() * 1000
    numbered.apply(workers={"replicas": 2}, expireAfterSeconds=900)
    numbered.until_sent_for(ABSENT_SECONDS / 2)
    killed = min(numbered.module.pods())
    before = numbered.containers()
    numbered.signal(killed, signal.SIGKILL)
    numbered.until_restarted(killed)
    numbered.until_sent_for(ABSENT_SECONDS / 2)
    status = numbered.module.status
    assert status["observedGeneration"] < numbered.module.get()["metadata"]["generation"]
    absent_seconds = time.time() - began_ms / 1000
    release.scale_operator(2)
    numbered.module.until_settled(PATIENCE_SECONDS)
    numbered.module.until_phase("Running", PATIENCE_SECONDS)
    found = numbered.conclude()
    assert absent_seconds >= ABSENT_SECONDS
    assert (found.lost, found.doubled_unmarked, found.wrong_windows) == ([], 0, [])
    assert numbered.longest_silence_seconds(began_ms) < ABSENT_SECONDS / 10, "they run on"
    assert sum(numbered.containers().values()) == sum(before.values()) + 1, "only the killed one restarted"
    assert {*numbered.containers()} == {*before}


def test_an_upgrade_of_the_operator_and_the_way_back_restart_no_worker(
    true_cluster: TrueCluster, release: Release, scenarios: Scenarios
) -> None:
    numbered = scenarios("operator upgraded")
    numbered.run(workers={"replicas": 2})
    before, operators = numbered.containers(), release.operators()
    image = true_cluster.images.operator.name
    true_cluster.node.tag_image(image, f"{image}-next")
    tag = f"{image.rpartition(':')[2]}-next"
    release.run("upgrade", helm.RELEASE, str(helm.CHART), "--wait", values={"image": {"tag": tag}})
    assert not {*operators} & {*release.operators()}
    numbered.apply(workers={"replicas": 2}, expireAfterSeconds=900)
    numbered.module.until_settled(PATIENCE_SECONDS)
    release.run("rollback", helm.RELEASE, "--wait")
    numbered.until_more_outputs(400)
    assert numbered.conclude() == NOTHING_WRONG
    assert numbered.containers() == before
