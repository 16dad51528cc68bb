"""The life of a module on a real API server with real workers and real Kafka, under a steady stream."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.infrastructure import kafka_tools, numbered_stream, waiting
from tests.infrastructure.control_plane import ControlPlane
from tests.infrastructure.kafka_cluster import KafkaEndpoint
from tests.infrastructure.module_driver import ModuleDriver
from tests.infrastructure.numbered_stream import NumberedStream
from tests.infrastructure.operator_account import OperatorAccount
from tests.infrastructure.operator_process import OperatorProcess
from tests.infrastructure.process_node import ProcessNode

STATIONS = 40
PER_SECOND = 200


class Life:
    """One module, its operator, its node and its stream."""

    def __init__(
        self, operator: OperatorProcess, node: ProcessNode, module: ModuleDriver, stream: NumberedStream
    ) -> None:
        self.operator = operator
        self.node = node
        self.module = module
        self.stream = stream
        self.sent: list[Any] = []
        self._numbers: dict[str, int] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def send_steadily(self) -> None:
        """Send numbered records until `stop_sending`."""

        def send() -> None:
            seed = 0
            while not self._stop.wait(0.1):
                seed += 1
                self.send(PER_SECOND // 10, seed=seed)

        self._thread = threading.Thread(target=send, daemon=True)
        self._thread.start()

    def send(self, count: int, *, seed: int = 1) -> None:
        """Send records that go on where the ones before ended."""
        batch = list(numbered_stream.records(count, STATIONS, seed=seed, start=self._numbers))
        for key, *_ in batch:
            station = (key or b"").decode()
            self._numbers[station] = self._numbers.get(station, 0) + 1
        kafka_tools.produce_all(self.stream.bootstrap, self.stream.topic, batch)
        self.sent += batch

    def stop_sending(self) -> None:
        """Stop, and wait for every output."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        waiting.until(
            lambda: self.stream.output_count() >= len(self.sent),
            what=f"{len(self.sent)} outputs, {self.stream.output_count()} are there",
            timeout_seconds=60,
        )

    def examine(self) -> numbered_stream.Findings:
        """What became of all records."""
        return numbered_stream.examine(self.stream.outputs(), self.sent)


@pytest.fixture
def life(
    control_plane: ControlPlane, process_node: ProcessNode, kafka: KafkaEndpoint, tmp_path: Path
) -> Iterator[Life]:
    namespace = control_plane.namespace("life")
    stream = numbered_stream.make(kafka.bootstrap_servers, "life")
    module = ModuleDriver(control_plane, namespace, "numbered")
    account = OperatorAccount(control_plane, namespace, serves=[namespace])
    operator = OperatorProcess(
        tmp_path, account.kubeconfig, lease_namespace=namespace, settings=account.scope
    )
    with operator:
        operator.wait_until_leading()
        module.apply(stream.spec())
        yield Life(operator, process_node, module, stream)
    account.require_nothing_refused()


def test_applied_it_runs_and_every_record_has_its_output(life: Life) -> None:
    life.module.until_phase("Running")
    life.send(500)
    life.stop_sending()
    assert life.examine() == numbered_stream.Findings([], 0, 0, [], [])
    row = life.module.row()
    assert (row["Phase"], row["Ready"], row["Config"]) == ("Running", "1/1", "1/1")


def test_a_hot_edit_reaches_the_running_worker_without_a_restart(life: Life) -> None:
    life.module.until_phase("Running")
    pods = life.module.pods()
    life.send_steadily()
    life.module.apply(expireAfterSeconds=3600, padding="Zero", observability={"logLevel": "DEBUG"})
    life.module.until_settled()
    life.stop_sending()
    assert set(life.module.pods()) == set(pods)
    assert [reason for reason, _ in life.module.events() if reason.endswith("Edit")] == ["HotEdit"]
    assert life.examine() == numbered_stream.Findings([], 0, 0, [], [])


def test_scaled_to_5_and_back_to_3_every_record_has_one_output(life: Life) -> None:
    life.module.apply(workers={"replicas": 2})
    life.module.until_phase("Running")
    life.send_steadily()
    for replicas in (5, 3):
        life.module.scale(replicas)
        life.module.until_settled()
        told = life.module.assignments()
        assert sorted(told) == list(range(replicas))
        loads = [len(each.slots) for each in told.values()]
        assert sum(loads) == 64
        assert max(loads) - min(loads) <= 1
        life.module.until_pods(replicas)
    life.stop_sending()
    assert life.examine() == numbered_stream.Findings([], 0, 0, [], [])
    for pod in life.module.pods():
        assert "are followed, to be taken over" in life.node.log(pod)


def test_a_rolling_edit_replaces_one_worker_after_the_other(life: Life) -> None:
    life.module.apply(workers={"replicas": 2})
    life.module.until_phase("Running")
    before = set(life.module.pods())
    life.send_steadily()
    life.module.apply(observability={"logFormat": "json"})
    life.module.until_settled()
    life.stop_sending()
    assert not before & set(life.module.pods())
    edits = [message for reason, message in life.module.events() if reason == "RollingEdit"]
    assert [message.split(":")[0] for message in edits] == ["shard 0", "shard 1"]
    assert all("spec.observability.logFormat" in message for message in edits)
    findings = life.examine()
    assert (findings.lost, findings.doubled_unmarked, findings.wrong_windows) == ([], 0, [])


def test_suspended_it_stops_and_resumed_it_goes_on_where_it_was(life: Life) -> None:
    life.module.until_phase("Running")
    life.send(300)
    life.module.apply(suspend=True)
    life.module.until_phase("Suspended")
    life.module.until(lambda: not life.module.pods(), "no pods are left")
    life.send(300, seed=2)
    assert life.module.row()["Ready"] == "0/0"
    life.module.apply(suspend=False)
    life.module.until_phase("Running")
    life.stop_sending()
    assert life.examine() == numbered_stream.Findings([], 0, 0, [], [])


def test_deleted_nothing_of_it_is_left_but_its_offsets(life: Life) -> None:
    life.module.until_phase("Running")
    life.send(300)
    waiting.until(lambda: life.stream.output_count() == 300, what="300 outputs", timeout_seconds=60)
    life.module.delete()
    life.module.until(lambda: not life.module.children() and not life.module.pods(), "everything is gone")
    life.send(100, seed=2)
    life.module.apply()
    life.module.until_phase("Running")
    life.stop_sending()
    findings = life.examine()
    assert (findings.lost, findings.doubled_unmarked, findings.wrong_windows) == ([], 0, [])


def test_a_bad_hot_edit_is_refused_and_the_worker_goes_on(life: Life) -> None:
    life.module.until_phase("Running")
    before = life.module.status["config"]["desired"]
    life.send_steadily()
    life.module.apply(callback={"source": "def callback(:\n"})
    refused = life.module.until_condition("ConfigApplied", "False", "Refused")
    assert "callback.source" in refused["message"]
    assert life.module.row()["Phase"] == "Degraded"
    assert life.module.row()["Config"] == "0/1"
    life.module.apply(life.stream.spec())
    life.module.until_phase("Running")
    assert life.module.status["config"]["desired"] == before
    life.stop_sending()
    assert life.examine() == numbered_stream.Findings([], 0, 0, [], [])
