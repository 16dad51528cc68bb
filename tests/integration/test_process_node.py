"""The node whose pods are processes keeps the kubelet's word: volumes, readiness, restarts, orderly ends."""

import json
import sys
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from analysis_module import assignment, names, reading
from tests.infrastructure import api_client, numbered_stream, waiting
from tests.infrastructure.control_plane import ControlPlane
from tests.infrastructure.kafka_cluster import KafkaEndpoint
from tests.infrastructure.process_node import ProcessNode

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 60.0
PORT = 8001
WAITS = ["sleep", "600"]
SAYS_GOODBYE = ["sh", "-c", "trap 'echo goodbye; exit 0' TERM; echo ready; while :; do sleep 0.05; done"]
STAYS = ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"]
SERVES = [sys.executable, "-m", "http.server", "--bind", "$(POD_IP)", str(PORT)]
POD_IP = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
PROBE = {"httpGet": {"path": "/", "port": "http"}, "timeoutSeconds": 1, "failureThreshold": 2}


class Bench:
    """A namespace on the node, and what the tests do there."""

    def __init__(self, plane: ControlPlane, node: ProcessNode) -> None:
        self.api = plane.api
        self.node = node
        self.namespace = plane.namespace("node")

    def pod(self, name: str, *, container: Mapping[str, Any], **spec: Any) -> None:
        """Creates a pod that the node takes."""
        metadata = {
            "name": name,
            "namespace": self.namespace,
            "labels": {names.LABEL_MANAGED_BY: names.OPERATOR_NAME},
        }
        main = {"name": "main", "image": "example/worker:1", **container}
        ours = {"automountServiceAccountToken": False, "containers": [main], **spec}
        self.api.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": ours})

    def config_map(self, name: str, **data: str) -> None:
        """Creates a ConfigMap, or replaces it."""
        metadata = {"name": name, "namespace": self.namespace}
        manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
        self.api.apply(manifest, manager="test")

    def stamp(self, name: str, text: str) -> None:
        """Changes an annotation of a pod."""
        change = {"metadata": {"annotations": {names.ANNOTATION_CONFIG_STAMP: text}}}
        self.api.patch(api_client.PODS, name, change, namespace=self.namespace)

    def delete(self, name: str, *, grace_seconds: int) -> None:
        """Deletes a pod."""
        self.api.delete(api_client.PODS, name, namespace=self.namespace, grace_seconds=grace_seconds)

    def find(self, name: str) -> dict[str, Any] | None:
        """The pod, None once it is gone."""
        return self.api.find(api_client.PODS, name, namespace=self.namespace)

    def status(self, name: str) -> dict[str, Any]:
        """The status of the pod's container; an empty one at first."""
        pod = self.find(name)
        assert pod is not None
        found: list[dict[str, Any]] = pod["status"].get("containerStatuses", [])
        return found[0] if found else {"ready": False, "state": {}, "lastState": {}, "restartCount": 0}

    def log_of(self, name: str) -> str:
        """What the pod wrote so far."""
        return self.node.log(name) if name in self.node.pods else ""

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Waits for it."""
        waiting.until(condition, what=what, timeout_seconds=PATIENCE_SECONDS)

    def until_running(self, name: str, *, restarts: int = 0) -> None:
        """Waits until the pod's process runs after so many restarts."""

        def runs() -> bool:
            status = self.status(name)
            return "running" in status["state"] and status["restartCount"] == restarts

        self.until(runs, f"{name} runs after {restarts} restarts")

    def until_ready(self, name: str, *, ready: bool = True) -> None:
        """Waits until the pod's readiness is that."""
        self.until(lambda: self.status(name)["ready"] == ready, f"{name} is {'' if ready else 'not '}ready")


@pytest.fixture
def bench(control_plane: ControlPlane, process_node: ProcessNode) -> Bench:
    return Bench(control_plane, process_node)


def mounting(*volumes: tuple[str, str, Mapping[str, Any]]) -> tuple[list[Any], list[Any]]:
    """A pod's volumes and its container's volumeMounts from name, mountPath and source of each."""
    mounts = [{"name": name, "mountPath": path} for name, path, _ in volumes]
    return [{"name": name, **source} for name, _, source in volumes], mounts


class TestVolumes:
    def test_a_running_pod_sees_an_edit_at_once_when_it_is_stamped_and_not_before(self, bench: Bench) -> None:
        bench.config_map("settings", text="old")
        volumes, mounts = mounting(
            ("settings", "/etc/analysis/settings", {"configMap": {"name": "settings"}})
        )
        container = {"command": WAITS, "volumeMounts": mounts}
        bench.pod("first", container=container, volumes=volumes)
        bench.until_running("first")
        seen = bench.node.file("first", "settings", "text")

        bench.config_map("settings", text="new")
        bench.pod("second", container=container, volumes=volumes)
        bench.until_running("second")

        assert bench.node.file("second", "settings", "text").read_text() == "new"
        assert seen.read_text() == "old"
        bench.stamp("first", "1")
        # The node syncs by itself every 60 s at the earliest, which this test does not wait for.
        waiting.until(lambda: seen.read_text() == "new", what="the edit arrives", timeout_seconds=30)

    def test_a_container_finds_its_volumes_where_it_mounts_them_and_the_machine_does_not(
        self, bench: Bench, tmp_path: Path
    ) -> None:
        marker = tmp_path / "of-the-machine"
        marker.touch()
        bench.config_map("settings", text="from the map\n")
        secret = {"apiVersion": "v1", "kind": "Secret", "stringData": {"password": "from the secret\n"}}
        bench.api.create({**secret, "metadata": {"name": "door", "namespace": bench.namespace}})
        volumes, mounts = mounting(
            ("settings", "/etc/analysis/settings", {"configMap": {"name": "settings"}}),
            ("door", "/etc/analysis/secrets/door", {"secret": {"secretName": "door", "defaultMode": 0o440}}),
            ("tmp", "/tmp", {"emptyDir": {}}),
        )
        script = (
            f"cat /etc/analysis/settings/text /etc/analysis/secrets/door/password; ls {marker} 2>/dev/null; "
            "stat -L -c %a /etc/analysis/secrets/door/password; echo end; exec sleep 600"
        )
        bench.pod(
            "reader", container={"command": ["sh", "-c", script], "volumeMounts": mounts}, volumes=volumes
        )

        bench.until(lambda: bench.log_of("reader").endswith("end\n"), "the files are read")

        assert bench.log_of("reader").splitlines() == ["from the map", "from the secret", "440", "end"]
        assert not Path("/etc/analysis").exists()

    def test_a_mount_above_this_python_does_not_hide_it(self, bench: Bench) -> None:
        volumes, mounts = mounting(("empty", str(ROOT.parent), {"emptyDir": {}}))
        script = f"import os; print(os.listdir({str(ROOT.parent)!r}))"
        command = [sys.executable, "-c", script]
        bench.pod("deep", container={"command": command, "volumeMounts": mounts}, volumes=volumes)

        bench.until(lambda: bench.log_of("deep") != "", "it wrote something")

        assert bench.log_of("deep").splitlines()[0] == str([ROOT.name])

    def test_a_pod_waits_for_a_config_map_that_is_missing_and_starts_when_it_is_there(
        self, bench: Bench
    ) -> None:
        volumes, mounts = mounting(("settings", "/etc/analysis/settings", {"configMap": {"name": "late"}}))
        bench.pod("waiter", container={"command": WAITS, "volumeMounts": mounts}, volumes=volumes)

        def told() -> list[str]:
            events = bench.api.items(api_client.EVENTS, namespace=bench.namespace)
            return [event["message"] for event in events if event["reason"] == "FailedMount"]

        bench.until(lambda: bool(told()), "an event tells of it")
        assert told() == ['MountVolume.SetUp failed for volume "settings" : configmap "late" not found']
        assert bench.status("waiter")["state"] == {"waiting": {"reason": "ContainerCreating"}}
        bench.config_map("late", text="here")
        bench.until_running("waiter")

    def test_a_pods_service_account_token_opens_the_api(self, bench: Bench) -> None:
        place = "/var/run/secrets/kubernetes.io/serviceaccount"
        script = (
            f'curl -s --cacert {place}/ca.crt -H "Authorization: Bearer $(cat {place}/token)" '
            "https://$KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT/api/v1/namespaces; exec sleep 600"
        )
        bench.pod("caller", container={"command": ["sh", "-c", script]}, automountServiceAccountToken=True)

        bench.until(lambda: "Forbidden" in bench.log_of("caller"), "an answer")

        assert f"system:serviceaccount:{bench.namespace}:default" in bench.log_of("caller")


class TestEnd:
    def test_a_deleted_pod_may_end_in_order_before_it_is_gone(self, bench: Bench) -> None:
        bench.pod("polite", container={"command": SAYS_GOODBYE})
        bench.until(lambda: "ready" in bench.log_of("polite"), "it is ready")

        bench.delete("polite", grace_seconds=30)

        bench.until(lambda: bench.find("polite") is None, "it is gone")
        assert bench.node.log("polite").split() == ["ready", "goodbye"]

    def test_a_deleted_pod_that_does_not_end_is_killed_after_its_grace_period(self, bench: Bench) -> None:
        bench.pod("stubborn", container={"command": STAYS})
        bench.until(lambda: "ready" in bench.log_of("stubborn"), "it is ready")
        process = bench.node.processes["stubborn"]

        bench.delete("stubborn", grace_seconds=1)

        bench.until(lambda: bench.find("stubborn") is None, "it is gone")
        assert process.exit_code == 137

    def test_a_pod_that_was_deleted_by_force_ends_too(self, bench: Bench) -> None:
        bench.pod("forced", container={"command": WAITS})
        bench.until_running("forced")
        process = bench.node.processes["forced"]

        bench.delete("forced", grace_seconds=0)

        bench.until(lambda: not process.is_running(), "its process ended")

    def test_a_deleted_pod_of_a_deployment_is_replaced(self, bench: Bench) -> None:
        labels = {"app": "replaced", names.LABEL_MANAGED_BY: names.OPERATOR_NAME}
        main = {"name": "main", "image": "example/worker:1", "command": WAITS}
        pod_spec = {"terminationGracePeriodSeconds": 1, "containers": [main]}
        template = {"metadata": {"labels": labels}, "spec": pod_spec}
        metadata = {"name": "replaced", "namespace": bench.namespace}
        spec = {"selector": {"matchLabels": labels}, "template": template}
        bench.api.create({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec})
        bench.until(lambda: len(bench.node.processes) == 1, "its pod runs")
        (first,) = bench.node.processes

        bench.delete(first, grace_seconds=1)

        bench.until(lambda: bench.find(first) is None, "the first is gone")
        bench.until(lambda: len(bench.node.processes) == 1, "another runs")
        assert first not in bench.node.processes


class TestRestarts:
    def test_a_killed_process_is_started_again(self, bench: Bench) -> None:
        bench.pod("mortal", container={"command": WAITS})
        bench.until_running("mortal")

        bench.node.kill("mortal")

        bench.until_running("mortal", restarts=1)
        assert bench.status("mortal")["lastState"]["terminated"]["exitCode"] == 137

    def test_a_process_that_ends_again_and_again_is_started_ever_later(self, bench: Bench) -> None:
        bench.pod("broken", container={"command": ["sh", "-c", "exit 3"]})

        def waits() -> bool:
            return "1s" in bench.status("broken")["state"].get("waiting", {}).get("message", "")

        bench.until(waits, "the second, longer back-off")
        status = bench.status("broken")
        assert status["state"]["waiting"]["reason"] == "CrashLoopBackOff"
        assert status["lastState"]["terminated"]["exitCode"] == 3


class TestReadiness:
    def test_a_frozen_process_is_not_ready_until_it_is_thawed(self, bench: Bench) -> None:
        ports = [{"name": "http", "containerPort": PORT}]
        container = {"command": SERVES, "env": [POD_IP], "ports": ports, "readinessProbe": PROBE}
        bench.pod("server", container=container)
        bench.until_ready("server")

        bench.node.freeze("server")
        bench.until_ready("server", ready=False)
        assert "running" in bench.status("server")["state"]

        bench.node.thaw("server")
        bench.until_ready("server")


class TestOutage:
    def test_a_pods_process_outlives_an_outage_of_the_api(self, control_plane_lone: ControlPlane) -> None:
        with ProcessNode(control_plane_lone) as node:
            bench = Bench(control_plane_lone, node)
            bench.pod("steady", container={"command": WAITS})
            bench.until_running("steady")
            process = node.processes["steady"]

            control_plane_lone.restart_api_server()
            bench.pod("later", container={"command": WAITS})
            bench.until_running("later")

            assert process.is_running()
            assert node.processes["steady"] is process


class TestWorker:
    def test_a_worker_becomes_ready_takes_an_edit_and_ends_in_order(
        self, bench: Bench, kafka: KafkaEndpoint
    ) -> None:
        stream = numbered_stream.make(kafka.bootstrap_servers, "pod")
        bench.config_map("worker", **{names.ASSIGNMENT_FILE: assigned(stream.spec(), epoch=1)})
        bench.pod("worker", container=worker_container(), volumes=worker_volumes("worker"))
        bench.until_ready("worker")
        address = address_of(bench.find("worker"))
        process = bench.node.processes["worker"]
        assert applied_epoch(address) == 1

        bench.config_map("worker", **{names.ASSIGNMENT_FILE: assigned(stream.spec(), epoch=2)})
        bench.stamp("worker", "2")
        bench.until(lambda: applied_epoch(address) == 2, "the worker runs the edit")

        bench.delete("worker", grace_seconds=30)
        bench.until(lambda: bench.find("worker") is None, "the worker is gone")
        assert process.exit_code == 0


def assigned(spec: Mapping[str, Any], *, epoch: int) -> str:
    """The Assignment of the only shard of a module with this spec."""
    return assignment.for_shard(reading.read_spec(spec), 0, 1, epoch).to_json()


def address_of(pod: Mapping[str, Any] | None) -> str:
    """The address in a pod's status."""
    assert pod is not None
    return str(pod["status"]["podIP"])


def worker_container() -> dict[str, Any]:
    """A container as the operator makes it."""
    probe = {"httpGet": {"path": names.READINESS_PATH, "port": names.HTTP_PORT_NAME}, "timeoutSeconds": 2}
    return {
        "args": ["run", "--assignment", names.ASSIGNMENT_PATH],
        "ports": [{"name": names.HTTP_PORT_NAME, "containerPort": names.HTTP_PORT}],
        "readinessProbe": probe,
        "volumeMounts": [
            {"name": "assignment", "mountPath": names.ASSIGNMENT_DIRECTORY, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    }


def worker_volumes(config_map: str) -> list[dict[str, Any]]:
    """The volumes of that container."""
    return [{"name": "assignment", "configMap": {"name": config_map}}, {"name": "tmp", "emptyDir": {}}]


def applied_epoch(address: str) -> int:
    """The epoch of the Assignment that the worker at this address runs, 0 before the first."""
    with urllib.request.urlopen(
        f"http://{address}:{names.HTTP_PORT}{names.STATUS_PATH}", timeout=5
    ) as answer:
        config = json.load(answer)["config"]
    return int(config["epoch"]) if not config["lagging"] else 0
