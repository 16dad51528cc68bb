"""A true node of a `ControlPlane`: containerd, kubelet and kube-proxy, whose pods are containers of images.

It lives in a place of its own (`node_namespaces`), which `ControlPlane` and Kafka serve at its
`machine_address`. There is no cluster DNS, and network policies have no effect; all else is Kubernetes' own.
"""

import subprocess
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.infrastructure import (
    api_client,
    control_plane,
    guarded_process,
    image_builds,
    kubernetes_distribution,
    node_namespaces,
    node_settings,
    programs,
    startable,
    waiting,
)

KUBELET, KUBE_PROXY = "kubelet", "kube-proxy"
START_TIMEOUT_SECONDS = 120.0
DEBIAN_PACKAGES = {
    "containerd": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "conntrack": "conntrack",
}
"""Program -> the Debian package that brings it."""


class NodeDidNotStart(RuntimeError):
    """One of its programs ended, or the node was not ready in time; the text holds the end of its log."""


def prepare() -> None:
    """Brings everything that a node needs onto this machine; raises `programs.Unavailable`."""
    for program, package in DEBIAN_PACKAGES.items():
        programs.require(program, package=package)
    if not Path(node_settings.CNI_PLUGINS, "bridge").exists():
        programs.install("containernetworking-plugins")
    kubernetes_distribution.directory_with(KUBELET, KUBE_PROXY)


class TrueNode(startable.Startable):
    """One node, ready from `start` to `stop`, with these images; the first of them is the pause image."""

    def __init__(
        self,
        plane: control_plane.ControlPlane,
        place: node_namespaces.NodeNamespaces,
        images: Sequence[image_builds.Image],
    ) -> None:
        self.name = f"true-node-{uuid.uuid4().hex[:8]}"
        self._plane = plane
        self._place = place
        self._images = images
        self._processes: dict[str, guarded_process.GuardedProcess] = {}

    def start(self) -> None:
        """Starts its programs and returns when the node is Ready; raises NodeDidNotStart."""
        prepare()
        try:
            self._start_containerd()
            for image in self._images:
                self._ctr("images", "import", str(image.archive))
            self._start_kubelet()
            self._start_kube_proxy()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Kills its programs; pods go with the place. May be called twice."""
        for process in reversed(self._processes.values()):
            process.kill()
        self._processes.clear()

    def tag_image(self, image: str, another: str) -> None:
        """Gives an image of the node a second name; raises NodeDidNotStart."""
        self._ctr("images", "tag", image, another)

    def log_tail(self, program: str, lines: int = 40) -> str:
        """The last lines that containerd, kubelet or kube-proxy printed."""
        return self._processes[program].log_tail(lines)

    def _start_containerd(self) -> None:
        directory = self._place.directory
        (directory / "cni").mkdir()
        (directory / "cni" / "pods.conflist").write_text(node_settings.network(self._place.pods))
        settings = directory / "containerd.toml"
        settings.write_text(node_settings.containerd(directory, pause_image=self._images[0].name))
        self._launch(
            "containerd", [programs.require("containerd", package="containerd"), f"--config={settings}"]
        )
        self._wait("containerd", lambda: self._tried_ctr("version").returncode == 0)

    def _start_kubelet(self) -> None:
        layout = self._plane.layout
        settings = self._write(
            "kubelet.yaml",
            node_settings.kubelet(
                self._place.directory,
                cgroup=self._place.cgroup,
                authority=layout.authority.certificate_file,
            ),
        )
        own = self._plane.kubeconfig_of(f"system:node:{self.name}", groups=("system:nodes",))
        command = [
            str(kubernetes_distribution.directory_with(KUBELET) / KUBELET),
            f"--config={settings}",
            f"--kubeconfig={own}",
            f"--hostname-override={self.name}",
            f"--node-ip={self._place.node_address}",
        ]
        self._launch(KUBELET, command)
        self._wait(KUBELET, self._is_ready)

    def _start_kube_proxy(self) -> None:
        own = self._plane.kubeconfig_of("system:kube-proxy")
        settings = self._write(
            "kube-proxy.yaml", node_settings.kube_proxy(own, node=self.name, pods=self._place.pods)
        )
        program = kubernetes_distribution.directory_with(KUBE_PROXY) / KUBE_PROXY
        self._launch(KUBE_PROXY, [str(program), f"--config={settings}"])
        self._wait(KUBE_PROXY, self._has_service_rules)

    def _write(self, name: str, document: dict[str, Any]) -> Path:
        file = self._place.directory / name
        file.write_text(yaml.safe_dump(document))
        return file

    def _launch(self, program: str, command: Sequence[str]) -> None:
        self._processes[program] = guarded_process.GuardedProcess(
            self._place.inside(*command),
            log_file=self._place.directory / f"{program}.log",
            scratch=self._place.directory,
        )

    def _is_ready(self) -> bool:
        node = self._plane.api.find(api_client.NODES, self.name)
        conditions = (node or {}).get("status", {}).get("conditions", [])
        ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
        return ready and not (node or {})["spec"].get("taints")

    def _has_service_rules(self) -> bool:
        listed = subprocess.run(
            self._place.inside("iptables-save", "-t", "nat"), capture_output=True, text=True
        )
        return "default/kubernetes:https" in listed.stdout

    def _ctr(self, *arguments: str) -> str:
        done = self._tried_ctr(*arguments)
        if done.returncode != 0:
            raise NodeDidNotStart(f"ctr {' '.join(arguments)}: {done.stderr}\n{self.log_tail('containerd')}")
        return done.stdout

    def _tried_ctr(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        socket = self._place.directory / node_settings.SOCKET
        command = ["ctr", f"--address={socket}", "--namespace=k8s.io", *arguments]
        return subprocess.run(self._place.inside(*command), capture_output=True, text=True)

    def _wait(self, program: str, condition: Callable[[], bool]) -> None:
        process = self._processes[program]

        def done() -> bool:
            if not process.is_running():
                raise NodeDidNotStart(f"{program} ended; its log:\n{process.log_tail()}")
            return condition()

        try:
            waiting.until(done, what=f"{program} serves", timeout_seconds=START_TIMEOUT_SECONDS)
        except TimeoutError as error:
            raise NodeDidNotStart(f"{error}; the log of {program}:\n{process.log_tail()}") from error
