"""A node whose pods are real processes: it plays the scheduler and the kubelet of a `ControlPlane`.

Played as the kubelet does it: binding, volumes and their slow sync, environment, readiness by HTTP, status,
restarts with back-off, the end in grace. Every image is this Python's analysis-worker.
Not played: several containers in a pod, init containers, restart policies but Always, liveness and startup
probes, resources, securityContext (a process is root and its files are writable), logs and exec through the
API, pulling of images.
"""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.infrastructure import (
    api_client,
    control_plane,
    guarded_process,
    pod_command,
    pod_life,
    pod_mounts,
    programs,
    startable,
)

SERVED = "app.kubernetes.io/managed-by=analysis-operator"
"""The label of the pods that the node takes."""
WATCH_SECONDS = 1
"""How long one watch lasts, hence how long a stop may wait."""


class ProcessNode(startable.Startable):
    """One node, there from `start` to `stop`. It takes each pod that has the label `SERVED` and no node.

    Volumes of a running pod are synced at once when the pod's object changes, else every `sync_seconds`.
    """

    def __init__(self, plane: control_plane.ControlPlane, *, sync_seconds: float = 60.0) -> None:
        self.name = f"process-node-{uuid.uuid4().hex[:8]}"
        self._plane = plane
        self._sync_seconds = sync_seconds
        self._place: pod_life.Place | None = None
        self._stopped = threading.Event()
        self._watching = threading.Thread(target=self._watch, name=self.name, daemon=True)
        self._lives: dict[str, pod_life.PodLife] = {}
        self._ending: set[str] = set()
        self.namespaces: set[str] = set()
        """Every namespace that it ever had a pod of."""

    def start(self) -> None:
        """Registers the node and begins to take pods; `programs.Unavailable` unless root on Linux."""
        _check_this_machine()
        # Its rights are wider than a kubelet's; the name is what the audit log shows.
        kubeconfig = self._plane.kubeconfig_of(f"system:node:{self.name}", groups=("system:masters",))
        self._place = pod_life.Place(
            node=self.name,
            api=api_client.ApiClient(kubeconfig),
            directory=Path(tempfile.mkdtemp(prefix="station-analysis-process-node-")),
            sync_seconds=self._sync_seconds,
            api_port=self._plane.layout.api_port,
        )
        self._register()
        self._watching.start()

    def stop(self) -> None:
        """Kills its processes, deletes its pods and its node from the API. May be called twice."""
        if self._place is None:
            return
        self._stopped.set()
        self._watching.join()
        for life in self._lives.values():
            life.drop()
        for life in self._lives.values():
            life.join()
        with contextlib.suppress(api_client.ApiUnreachable):
            self._unregister()
        self._place.api.close()
        shutil.rmtree(self._place.directory)
        self._place = None

    @property
    def pods(self) -> Mapping[str, str]:
        """The names of the pods on the node, and the address of each."""
        lives = list(self._lives.values())
        return {each.manifest["metadata"]["name"]: each.address for each in lives if each.is_alive()}

    @property
    def processes(self) -> Mapping[str, guarded_process.GuardedProcess]:
        """The processes that run, by the names of their pods."""
        return {
            each.manifest["metadata"]["name"]: each.container.process
            for each in list(self._lives.values())
            if each.container.process is not None and each.container.is_running()
        }

    def kill(self, pod: str) -> None:
        """Kills the process of a pod (SIGKILL), as the kernel does when memory is short; it is restarted."""
        self._life(pod).container.kill()

    def freeze(self, pod: str) -> None:
        """Stops the process of a pod in its tracks (SIGSTOP)."""
        self._life(pod).container.send_signal(signal.SIGSTOP)

    def thaw(self, pod: str) -> None:
        """Lets the process of a pod go on (SIGCONT)."""
        self._life(pod).container.send_signal(signal.SIGCONT)

    def log(self, pod: str) -> str:
        """All that a pod's processes wrote, restarts included; also after the pod's end."""
        return self._life(pod).container.log()

    def file(self, pod: str, volume: str, path: str) -> Path:
        """A file of a pod's volume, as it is on this machine."""
        return self._life(pod).volumes.path(volume) / path

    def _life(self, pod: str) -> pod_life.PodLife:
        """The newest pod of this name; KeyError if there was none."""
        found = [each for each in list(self._lives.values()) if each.manifest["metadata"]["name"] == pod]
        if not found:
            raise KeyError(f"no pod {pod!r} was ever on {self.name}; there are {sorted(self.pods)}")
        return found[-1]

    @property
    def _api(self) -> api_client.ApiClient:
        assert self._place is not None
        return self._place.api

    def _register(self) -> None:
        metadata = {"name": self.name, "labels": {"kubernetes.io/hostname": self.name}}
        self._api.create({"apiVersion": "v1", "kind": "Node", "metadata": metadata})
        room = {"cpu": "64", "memory": "256Gi", "pods": "500"}
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady"}
        status = {
            "conditions": [ready],
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "capacity": room,
            "allocatable": room,
        }
        self._api.patch(api_client.NODES, self.name, {"status": status}, subresource="status")

    def _unregister(self) -> None:
        self._api.delete(api_client.NODES, self.name)
        for pod in self._api.items(api_client.PODS, fields=f"spec.nodeName={self.name}"):
            metadata = pod["metadata"]
            with contextlib.suppress(api_client.ApiError):  # gone by itself
                self._api.delete(
                    api_client.PODS, metadata["name"], namespace=metadata["namespace"], grace_seconds=0
                )

    def _watch(self) -> None:
        """The thread that hears of pods: lists them, then follows every change; begins anew when cut off."""
        since = ""
        while not self._stopped.is_set():
            try:
                since = since or self._list()
                for event in self._api.watch(
                    api_client.PODS, labels=SERVED, since=since, seconds=WATCH_SECONDS
                ):
                    since = self._take(event["type"], event["object"])
            except (api_client.ApiUnreachable, api_client.ApiError):
                since = ""
                self._stopped.wait(0.1)

    def _list(self) -> str:
        """Takes all pods as they are; returns the resourceVersion of that."""
        answer = self._api.request("GET", api_client.PODS.path(), query={"labelSelector": SERVED})
        there = {pod["metadata"]["uid"] for pod in answer["items"]}
        for uid, life in self._lives.items():
            if uid not in there:
                life.remove()
        for pod in answer["items"]:
            self._take("MODIFIED", {"apiVersion": "v1", "kind": "Pod", **pod})
        return str(answer["metadata"]["resourceVersion"])

    def _take(self, kind: str, pod: Mapping[str, Any]) -> str:
        """Deals with one change; returns from where to watch on, "" if the watch told of an error."""
        if kind == "ERROR":
            return ""
        metadata = pod["metadata"]
        life = self._lives.get(metadata["uid"])
        if kind == "DELETED":
            if life is not None:
                life.remove()
        elif "nodeName" not in pod["spec"]:
            self._bind(metadata)
        elif life is not None:
            life.take(pod)
        elif pod["spec"]["nodeName"] == self.name:
            self._admit(pod)
        return str(metadata["resourceVersion"])

    def _bind(self, metadata: Mapping[str, Any]) -> None:
        """Makes the node the pod's, unless another one was faster or its namespace is on its way out."""
        namespace = self._api.find(api_client.NAMESPACES, metadata["namespace"])
        if namespace is None or "deletionTimestamp" in namespace["metadata"]:
            return
        path = api_client.PODS.path(namespace=metadata["namespace"], name=metadata["name"])
        target = {"apiVersion": "v1", "kind": "Node", "name": self.name}
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": metadata["name"]}}
        try:
            self._api.request("POST", f"{path}/binding", body={**binding, "target": target})
        except api_client.ApiError as error:
            if error.code not in {404, 409}:
                raise

    def _admit(self, pod: Mapping[str, Any]) -> None:
        assert self._place is not None
        life = pod_life.PodLife(pod, _some_address(), self._place)
        self._lives[pod["metadata"]["uid"]] = life
        self.namespaces.add(pod["metadata"]["namespace"])
        life.start()


def _some_address() -> str:
    """A loopback address out of 16 million: two runs at once do not share one."""
    return f"127.{random.randint(1, 254)}.{random.randint(0, 254)}.{random.randint(1, 254)}"


def _check_this_machine() -> None:
    """Raises `programs.Unavailable` where a process cannot have mounts of its own."""
    if sys.platform != "linux" or os.geteuid() != 0:
        raise programs.Unavailable("its pods have mounts of their own: run the tests as root on Linux")
    with tempfile.TemporaryDirectory(prefix="station-analysis-process-node-") as directory:
        (Path(directory) / "layers").mkdir()
        plan = pod_mounts.Plan(
            mounts=[pod_mounts.Mount(directory, "/etc/station-analysis-trial/mount")],
            kept=[],
            scratch=str(Path(directory) / "layers"),
            command=["true"],
            environment={"PATH": os.environ["PATH"]},
        )
        tried = subprocess.run(pod_command.enter(plan), capture_output=True, text=True)
    if tried.returncode != 0:
        raise programs.Unavailable(
            "its pods have mounts of their own, which this machine refuses; run the tests where root may "
            f"mount tmpfs and overlay (in a container: --privileged):\n{tried.stderr[-500:]}"
        )
