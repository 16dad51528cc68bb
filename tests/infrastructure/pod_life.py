"""The life of one pod on our node, a thread of its own: volumes, process, readiness, status, end."""

import dataclasses
import json
import signal
import threading
import time
from pathlib import Path
from typing import Any

from tests.infrastructure import api_client, pod_command, pod_container, pod_volumes

TICK_SECONDS = 0.05
RETRY_SECONDS = 0.5
"""How soon a volume that could not be made is tried again."""
SHORTEST_GRACE_SECONDS = 1.0
"""What even a pod that was deleted by force has from SIGTERM to SIGKILL, as under a kubelet."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
    """Where a pod lives: its node's name, client, directory and period of syncs, and the API's port."""

    node: str
    api: api_client.ApiClient
    directory: Path
    sync_seconds: float
    api_port: int


class PodLife(threading.Thread):
    """Runs a pod from arrival to end; `take` tells it of changes, `remove` that its object is gone."""

    def __init__(self, manifest: api_client.Manifest, address: str, place: Place) -> None:
        metadata = manifest["metadata"]
        super().__init__(name=f"pod {metadata['namespace']}/{metadata['name']}", daemon=True)
        self.address = address
        self._place = place
        self._manifest = manifest
        self._directory = place.directory / metadata["uid"]
        self._directory.mkdir()
        self._volumes = pod_volumes.Volumes(place.api, self._directory / "volumes")
        self.container = pod_container.Container(self._directory, metadata["uid"])
        self._readiness = pod_container.Readiness()
        self._changed = threading.Event()
        self._removed = threading.Event()
        self._dropped = threading.Event()
        self._synced_as = ""
        self._sync_seconds = 0.0
        self._kill_seconds: float | None = None
        self._arrived_at = pod_container.timestamp()
        self._reported: dict[str, Any] = {}
        self._transitions: dict[str, tuple[str, str]] = {}
        self._told: set[str] = set()

    @property
    def manifest(self) -> api_client.Manifest:
        """The pod as the API last showed it."""
        return self._manifest

    @property
    def volumes(self) -> pod_volumes.Volumes:
        """Its volumes."""
        return self._volumes

    def take(self, manifest: api_client.Manifest) -> None:
        """The pod's object changed."""
        self._manifest = manifest
        self._changed.set()

    def remove(self) -> None:
        """The pod's object is gone: its process ends."""
        self._removed.set()
        self._changed.set()

    def drop(self) -> None:
        """The node stops: the process is killed at once and nothing more is reported."""
        self._dropped.set()
        self._changed.set()

    def run(self) -> None:
        """The thread's work."""
        while not self._dropped.is_set():
            try:
                if self._step():
                    break
            except api_client.ApiUnreachable:
                pass  # what runs goes on running; all else is tried again
            except api_client.ApiError as error:
                # The object changed or went, which the watch will tell, or the server is not itself yet.
                if error.code in {400, 422}:
                    raise
            self._changed.wait(TICK_SECONDS)
            self._changed.clear()
        self.container.kill()

    def _step(self) -> bool:
        """Does what is due now; whether the pod's life is over."""
        pod = pod_volumes.PodFacts(self._manifest, self.address, self._place.node)
        self.container.notice_end()
        if self._removed.is_set() or "deletionTimestamp" in pod.manifest["metadata"]:
            return self._end(pod)
        try:
            self._sync(pod)
            if self.container.may_start():
                self._start(pod)
        except pod_volumes.PodMustWait as wait:
            self._hold(wait, pod)
        self._readiness.ask(pod, self.container)
        self._report(pod)
        return False

    def _sync(self, pod: pod_volumes.PodFacts) -> None:
        """Syncs the volumes if the pod (not only its status) changed, or it is time to, or a start is due."""
        metadata = pod.manifest["metadata"]
        seen = json.dumps([pod.manifest["spec"], metadata.get("labels"), metadata.get("annotations")])
        now = time.monotonic()
        if seen == self._synced_as and now < self._sync_seconds and not self.container.may_start():
            return
        self._synced_as = seen
        self._sync_seconds = now + RETRY_SECONDS
        self._volumes.sync(pod)
        self._sync_seconds = now + self._place.sync_seconds

    def _start(self, pod: pod_volumes.PodFacts) -> None:
        spec = pod.manifest["spec"]
        if len(spec["containers"]) > 1 or "initContainers" in spec:
            text = "spec.containers: this node runs one container in a pod, and no initContainers"
            raise pod_volumes.PodMustWait("CreateContainerError", text)
        variables = pod_command.environment(self._place.api, pod, self._place.api_port)
        scratch = self._directory / "layers"
        scratch.mkdir(exist_ok=True)
        command = pod_command.in_namespace(pod, self._volumes, scratch, variables)
        self.container.start(command, self._place.directory)

    def _hold(self, wait: pod_volumes.PodMustWait, pod: pod_volumes.PodFacts) -> None:
        """Says why a container is not started (in its state, and once in an event) and tries again soon."""
        if not self.container.is_running():
            self.container.hold(wait.reason, RETRY_SECONDS)
        if str(wait) not in self._told:
            self._told.add(str(wait))
            metadata = pod.manifest["metadata"]
            involved = {"kind": "Pod", "apiVersion": "v1", "uid": metadata["uid"]}
            where = {"name": metadata["name"], "namespace": metadata["namespace"]}
            event = {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"generateName": f"{metadata['name']}.", "namespace": metadata["namespace"]},
                "involvedObject": {**involved, **where},
                "reason": "FailedMount" if wait.reason == "ContainerCreating" else "Failed",
                "message": str(wait),
                "type": "Warning",
                "source": {"component": "kubelet", "host": self._place.node},
                "firstTimestamp": pod_container.timestamp(),
                "lastTimestamp": pod_container.timestamp(),
                "count": 1,
            }
            self._place.api.create(event)

    def _end(self, pod: pod_volumes.PodFacts) -> bool:
        """SIGTERM, after the grace period SIGKILL, then the object goes; whether it is all over."""
        asked = 0.0 if self._removed.is_set() else pod.manifest["metadata"]["deletionGracePeriodSeconds"]
        latest = time.monotonic() + max(SHORTEST_GRACE_SECONDS, asked)
        if self._kill_seconds is None:
            self.container.send_signal(signal.SIGTERM)
        self._kill_seconds = min(latest, self._kill_seconds or latest)
        if self.container.is_running() and time.monotonic() < self._kill_seconds:
            self._readiness.ask(pod, self.container)
            if not self._removed.is_set():
                self._report(pod)
            return False
        self.container.kill()
        self.container.notice_end()
        self._readiness.ask(pod, self.container)
        if not self._removed.is_set():
            self._report(pod, for_good=True)
            self._forget(pod)
        return True

    def _forget(self, pod: pod_volumes.PodFacts) -> None:
        metadata = pod.manifest["metadata"]
        path = api_client.PODS.path(namespace=metadata["namespace"], name=metadata["name"])
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": metadata["uid"]}}
        self._place.api.request("DELETE", path, body=options)

    def _report(self, pod: pod_volumes.PodFacts, *, for_good: bool = False) -> None:
        """Writes the pod's status if it is another than the one written last."""
        ready = self._readiness.ready
        started = self.container.was_started
        status = {
            "phase": "Running" if started else "Pending",
            "hostIP": "127.0.0.1",
            "podIP": self.address,
            "podIPs": [{"ip": self.address}],
            "startTime": self._arrived_at,
            "conditions": [
                self._condition("Initialized", True),
                self._condition("ContainersReady", ready),
                self._condition("Ready", ready),
            ],
            "containerStatuses": [self.container.status(pod.container, ready=ready, for_good=for_good)],
        }
        if status != self._reported:
            metadata = pod.manifest["metadata"]
            self._place.api.patch(
                api_client.PODS,
                metadata["name"],
                # With its uid, so that the status of one pod is never given to another of its name.
                {"metadata": {"uid": metadata["uid"]}, "status": status},
                namespace=metadata["namespace"],
                subresource="status",
                kind=api_client.PatchType.STRATEGIC,
            )
            self._reported = status

    def _condition(self, kind: str, holds: bool) -> dict[str, str]:
        status = str(holds)
        since = self._transitions.get(kind)
        if since is None or since[0] != status:
            since = self._transitions[kind] = (status, pod_container.timestamp())
        return {"type": kind, "status": status, "lastTransitionTime": since[1]}
