"""A real Kubernetes control plane on this machine: etcd, kube-apiserver, kube-controller-manager.

No node: `process_node` plays one and the scheduler too, or `true_node` brings a true one, for which a
scheduler starts here. From a shell:
`python -m tests.infrastructure.control_plane` prints the kubeconfig's path and runs until Ctrl-C or SIGTERM.
"""

import argparse
import contextlib
import hashlib
import json
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.infrastructure import (
    api_client,
    certificates,
    cluster_access,
    guarded_process,
    kubernetes_distribution,
    kubernetes_settings,
    local_ports,
    startable,
    waiting,
)

START_TIMEOUT_SECONDS = 90.0


class ControlPlaneDidNotStart(RuntimeError):
    """One of its programs ended or did not serve in time; the text holds the end of its log."""


class ControlPlane(cluster_access.ClusterAccess, startable.Startable):
    """A cluster's brain with RBAC and an audit log, on ports of 127.0.0.1 that the kernel chose.

    The objects in `manifests` (files of YAML, such as a CRD's) are there before the controllers start, which
    then know them from the first moment: the garbage collector learns of a later CRD within 30 s only. All
    data live from `start` to `stop`, and all programs end with the process that started them.
    `address` is one of this machine; with another than loopback, which the pods of a true node reach, there
    are a scheduler, all controllers, and the API as a service of the cluster.
    """

    def __init__(self, manifests: Sequence[Path] = (), *, address: str = local_ports.LOOPBACK) -> None:
        super().__init__()
        self._manifests = manifests
        self._address = address
        self._directory: Path | None = None
        self._layout: kubernetes_settings.Layout | None = None
        self._ports: list[local_ports.ReservedPort] = []
        self._processes: dict[str, guarded_process.GuardedProcess] = {}

    def start(self) -> None:
        """Starts everything and returns when the API serves and a namespace gets its service account.

        Raises ControlPlaneDidNotStart with the end of a log, `programs.Unavailable` without Go or etcd.
        """
        if self._directory is not None:
            raise RuntimeError("the control plane was started before; call stop() first")
        kubernetes_distribution.etcd()
        kubernetes_distribution.directory_with(*kubernetes_settings.PROGRAMS)
        try:
            self._lay_out()
            self._launch("etcd")
            self.start_api_server()
            for file in self._manifests:
                self.install(file)
            self.start_controllers()
            if self.layout.has_true_nodes:
                self._launch(kubernetes_settings.SCHEDULER)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Kills its programs, forgets their data, gives the ports back. May be called twice."""
        self.close()
        for process in reversed(self._processes.values()):
            process.kill()
        self._processes.clear()
        for port in self._ports:
            port.release()
        self._ports.clear()
        if self._directory is not None:
            shutil.rmtree(self._directory)
            self._directory = self._layout = None

    @property
    def layout(self) -> kubernetes_settings.Layout:
        """Its directory, ports and certificates; raises RuntimeError unless started."""
        if self._layout is None:
            raise RuntimeError("the control plane is not started; call start() first")
        return self._layout

    @property
    def url(self) -> str:
        """Where the API is: https://host:port; raises as `layout`."""
        return self.layout.url

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig: user "admin" of the group system:masters; raises as `layout`."""
        return self.kubeconfig_of("admin", groups=("system:masters",))

    def kubeconfig_of(self, user: str, groups: Sequence[str] = ()) -> Path:
        """The kubeconfig of a user of these groups, who is known by a client certificate."""
        file = self.layout.directory / "users" / _file_name(user, *groups) / "kubeconfig"
        if not file.exists():
            file.parent.mkdir(parents=True)
            issued = certificates.issue(self.layout.authority, file.parent, user, groups=groups)
            shown = {
                "client-certificate": str(issued.certificate_file),
                "client-key": str(issued.key_file),
            }
            file.write_text(kubernetes_settings.kubeconfig(self.layout, shown))
        return file

    def kubeconfig_of_service_account(self, namespace: str, name: str) -> Path:
        """The kubeconfig of an existing service account, with a token of an hour.

        Raises api_client.ApiError with code 404 if there is no such account.
        """
        place = api_client.SERVICE_ACCOUNTS.path(namespace=namespace, name=name)
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        token = self.api.request("POST", f"{place}/token", body=request)["status"]["token"]
        file = self.layout.directory / "users" / _file_name(namespace, name) / "kubeconfig"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(kubernetes_settings.kubeconfig(self.layout, {"token": token}, namespace=namespace))
        return file

    def install(self, file: Path) -> None:
        """Creates the objects of a file of YAML; returns when the API serves the kinds that it defines."""
        for manifest in yaml.safe_load_all(file.read_text(encoding="utf-8")):
            self.api.create(manifest)
            if manifest["kind"] == "CustomResourceDefinition":
                self._wait_until_served(manifest)

    def stop_api_server(self) -> None:
        """Kills kube-apiserver (SIGKILL), as a lost machine would; the data stay in etcd."""
        self._processes["kube-apiserver"].kill()

    def start_api_server(self) -> None:
        """Starts kube-apiserver on the same port and data; returns when it is ready."""
        self._launch("kube-apiserver")
        self._wait(self._is_ready, of="kube-apiserver")

    def restart_api_server(self) -> None:
        """Kills kube-apiserver and starts it again."""
        self.stop_api_server()
        self.start_api_server()

    def stop_controllers(self) -> None:
        """Kills kube-controller-manager (SIGKILL)."""
        self._processes["kube-controller-manager"].kill()

    def start_controllers(self) -> None:
        """Starts kube-controller-manager; returns when it gave the default namespace its service account."""
        self._launch("kube-controller-manager")
        self._wait_for_service_account("default")

    def audit_position(self) -> int:
        """Where the audit log ends now, for `audit_events`."""
        return self.layout.audit_log.stat().st_size

    def audit_events(self, *, since: int = 0) -> list[dict[str, Any]]:
        """What kube-apiserver answered since that position, oldest first, as audit.k8s.io/v1 Events.

        Of use: "verb", "user"."username", "objectRef" (resource, namespace, name, subresource),
        "responseStatus"."code", "requestURI", "stage" (a watch has ResponseStarted first). An event may
        come a moment after the answer that it tells of: wait for it with `waiting.until`.
        """
        with self.layout.audit_log.open("rb") as log:
            log.seek(max(0, since - 1))
            lines = log.read().split(b"\n")
        # No line is written at once: the first may have begun before that position, the last is under way.
        return [json.loads(line) for line in lines[1 if since else 0 : -1]]

    def log_tail(self, program: str, lines: int = 40) -> str:
        """The last lines that etcd, kube-apiserver or kube-controller-manager printed."""
        return self._processes[program].log_tail(lines)

    def _lay_out(self) -> None:
        directory = self._directory = Path(tempfile.mkdtemp(prefix="station-analysis-kubernetes-"))
        hosts = (local_ports.LOOPBACK, local_ports.LOOPBACK, self._address)
        self._ports = [local_ports.ReservedPort(host) for host in hosts]
        etcd_port, etcd_peer_port, api_port = (port.number for port in self._ports)
        authority = certificates.make_authority(directory, "kubernetes-ca")
        self._layout = kubernetes_settings.Layout(
            directory=directory,
            etcd_port=etcd_port,
            etcd_peer_port=etcd_peer_port,
            api_port=api_port,
            authority=authority,
            server=certificates.issue(
                authority,
                directory,
                "kube-apiserver",
                hosts=[f"IP:{self._address}", f"IP:{kubernetes_settings.API_SERVICE}"],
            ),
            token_key=certificates.issue(authority, directory, "service-accounts"),
            kubelet_client=certificates.issue(
                authority, directory, "kubelet-client", groups=["system:masters"]
            ),
            address=self._address,
        )
        self._layout.audit_policy.write_text(yaml.safe_dump(kubernetes_settings.audit_policy()))

    def _launch(self, program: str) -> None:
        self._processes[program] = guarded_process.GuardedProcess(
            self._command(program),
            log_file=self.layout.directory / f"{program}.log",
            scratch=self.layout.directory,
        )

    def _command(self, program: str) -> list[str]:
        match program:
            case "etcd":
                return kubernetes_settings.etcd(self.layout)
            case "kube-apiserver":
                return kubernetes_settings.api_server(self.layout)
            case kubernetes_settings.SCHEDULER:
                return kubernetes_settings.scheduler(self.kubeconfig_of("system:kube-scheduler"))
            case _:
                # Its controllers' service accounts are made by itself, for which it needs a master's rights.
                own = self.kubeconfig_of("system:kube-controller-manager", groups=("system:masters",))
                return kubernetes_settings.controller_manager(self.layout, own)

    def _is_ready(self) -> bool:
        try:
            return bool(self.api.request("GET", "/readyz") == "ok")
        except (api_client.ApiUnreachable, api_client.ApiError):
            return False

    def _wait_for_service_account(self, namespace: str) -> None:
        self._wait(lambda: self._has_service_account(namespace), of="kube-controller-manager")

    def _wait_until_served(self, crd: Mapping[str, Any]) -> None:
        spec = crd["spec"]
        versions = [f"{spec['group']}/{each['name']}" for each in spec["versions"] if each["served"]]

        def served() -> bool:
            try:
                for version in versions:
                    self.api.items(api_client.Resource(version, spec["names"]["plural"]))
            except api_client.ApiError as error:
                if error.code in {404, 503}:
                    return False
                raise
            return True

        self._wait(served, of="kube-apiserver")

    def _wait(self, condition: Callable[[], bool], *, of: str) -> None:
        """Waits for what the program `of` shall do; ControlPlaneDidNotStart if it ended or takes too long."""
        process = self._processes[of]

        def done() -> bool:
            if not process.is_running():
                raise ControlPlaneDidNotStart(f"{of} ended; its log:\n{process.log_tail()}")
            return condition()

        try:
            waiting.until(done, what=f"{of} serves", timeout_seconds=START_TIMEOUT_SECONDS)
        except TimeoutError as error:
            raise ControlPlaneDidNotStart(f"{error}; the log of {of}:\n{process.log_tail()}") from error


def _file_name(*parts: str) -> str:
    """A short name of a file that tells these texts from all others."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def main() -> None:
    """Runs a control plane until Ctrl-C or SIGTERM; `export KUBECONFIG=...` goes to stdout."""
    parser = argparse.ArgumentParser(description="Run a Kubernetes control plane until Ctrl-C or SIGTERM.")
    parser.add_argument("manifests", nargs="*", type=Path, help="YAML to create first, such as a CRD")
    arguments = parser.parse_args()
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: ended.set())
    with contextlib.suppress(KeyboardInterrupt), ControlPlane(arguments.manifests) as plane:
        print(f"export KUBECONFIG={plane.kubeconfig}")
        sys.stdout.flush()
        ended.wait()


if __name__ == "__main__":
    main()
