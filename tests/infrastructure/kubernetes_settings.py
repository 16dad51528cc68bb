"""How the programs of a control plane are told to run: command lines, audit policy, kubeconfigs."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.infrastructure import certificates, kubernetes_distribution, local_ports

PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kubectl")
"""What is compiled before a control plane starts."""
SCHEDULER = "kube-scheduler"
"""What is compiled too if the control plane is to have true nodes."""
SERVICE_ADDRESSES = "10.96.0.0/24"
API_SERVICE = "10.96.0.1"
"""Where pods find the API: the first of the addresses of services."""
NOBODY = "192.0.2.1"
"""An address for documentation (RFC 5737): kube-apiserver must advertise one, and loopback is refused."""
LEFT_OUT = (
    *("node-lifecycle-controller", "taint-eviction-controller", "node-ipam-controller"),
    *("endpoints-controller", "endpointslice-controller", "endpointslice-mirroring-controller"),
)
"""Controllers that would judge our node by heartbeats, which a busy machine may miss, and those that
complain of pods whose addresses are loopback."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
    """Where one control plane has its files, ports and certificates."""

    directory: Path
    etcd_port: int
    etcd_peer_port: int
    api_port: int
    authority: certificates.Certificate
    server: certificates.Certificate
    token_key: certificates.Certificate
    kubelet_client: certificates.Certificate
    address: str = local_ports.LOOPBACK

    @property
    def has_true_nodes(self) -> bool:
        """Whether pods reach the API: its address is not loopback, which is every pod's own."""
        return self.address != local_ports.LOOPBACK

    @property
    def url(self) -> str:
        """Where the API is."""
        return f"https://{self.address}:{self.api_port}"

    @property
    def etcd_url(self) -> str:
        """Where kube-apiserver keeps its data."""
        return f"http://127.0.0.1:{self.etcd_port}"

    @property
    def audit_log(self) -> Path:
        """One JSON object a line for each request that was answered."""
        return self.directory / "audit.log"

    @property
    def audit_policy(self) -> Path:
        """What the audit log holds."""
        return self.directory / "audit-policy.yaml"


def audit_policy() -> dict[str, Any]:
    """Metadata (who, verb, object, answer) of every request but probes and the server's talk to itself."""
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            {"level": "None", "nonResourceURLs": ["/healthz*", "/livez*", "/readyz*"]},
            {"level": "None", "users": ["system:apiserver"]},
            {"level": "Metadata"},
        ],
    }


def kubeconfig(layout: Layout, user: dict[str, str], *, namespace: str = "default") -> str:
    """The text of a kubeconfig for this cluster; `user` is how it proves who it is."""
    cluster = {"server": layout.url, "certificate-authority": str(layout.authority.certificate_file)}
    context = {"cluster": "here", "user": "me", "namespace": namespace}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "here", "cluster": cluster}],
        "users": [{"name": "me", "user": user}],
        "contexts": [{"name": "here", "context": context}],
        "current-context": "here",
    }
    return yaml.safe_dump(document)


def etcd(layout: Layout) -> list[str]:
    """The command that runs etcd, which needs not survive this machine and so does not wait for its disk."""
    peer = f"http://127.0.0.1:{layout.etcd_peer_port}"
    return [
        kubernetes_distribution.etcd(),
        "--name=here",
        f"--data-dir={layout.directory / 'etcd'}",
        f"--listen-client-urls={layout.etcd_url}",
        f"--advertise-client-urls={layout.etcd_url}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=here={peer}",
        "--unsafe-no-fsync",
    ]


def api_server(layout: Layout) -> list[str]:
    """The command that runs kube-apiserver."""
    return [
        str(kubernetes_distribution.directory_with(*PROGRAMS) / "kube-apiserver"),
        f"--etcd-servers={layout.etcd_url}",
        f"--bind-address={layout.address}",
        f"--secure-port={layout.api_port}",
        *_reach(layout),
        f"--tls-cert-file={layout.server.certificate_file}",
        f"--tls-private-key-file={layout.server.key_file}",
        f"--client-ca-file={layout.authority.certificate_file}",
        f"--service-account-issuer={layout.url}",
        f"--service-account-signing-key-file={layout.token_key.key_file}",
        f"--service-account-key-file={layout.token_key.certificate_file}",
        f"--service-cluster-ip-range={SERVICE_ADDRESSES}",
        "--authorization-mode=Node,RBAC",
        f"--audit-policy-file={layout.audit_policy}",
        f"--audit-log-path={layout.audit_log}",
        "--audit-log-maxsize=100000",  # MB: a test reads the whole of it
    ]


def _reach(layout: Layout) -> list[str]:
    """How pods get to kube-apiserver, and it to kubelets; nodes are known by address, there is no DNS."""
    if not layout.has_true_nodes:
        # There is no address that pods could reach.
        return [f"--advertise-address={NOBODY}", "--endpoint-reconciler-type=none"]
    return [
        f"--advertise-address={layout.address}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--kubelet-client-certificate={layout.kubelet_client.certificate_file}",
        f"--kubelet-client-key={layout.kubelet_client.key_file}",
    ]


def controller_manager(layout: Layout, own_kubeconfig: Path) -> list[str]:
    """The command that runs kube-controller-manager; each controller acts as a service account of its own."""
    return [
        str(kubernetes_distribution.directory_with(*PROGRAMS) / "kube-controller-manager"),
        f"--kubeconfig={own_kubeconfig}",
        "--secure-port=0",
        "--leader-elect=false",
        "--use-service-account-credentials",
        f"--service-account-private-key-file={layout.token_key.key_file}",
        f"--root-ca-file={layout.authority.certificate_file}",
        "--controllers=" + ",".join(["*", *(f"-{each}" for each in _left_out(layout))]),
        "--node-monitor-grace-period=2m",  # a busy machine may miss heartbeats
    ]


def _left_out(layout: Layout) -> Sequence[str]:
    return () if layout.has_true_nodes else LEFT_OUT


def scheduler(own_kubeconfig: Path) -> list[str]:
    """The command that runs kube-scheduler."""
    return [
        str(kubernetes_distribution.directory_with(SCHEDULER) / SCHEDULER),
        f"--kubeconfig={own_kubeconfig}",
        "--secure-port=0",
        "--leader-elect=false",
    ]
