"""How the programs of a true node are told to run: containerd, its network plugins, kubelet, kube-proxy."""

import json
from pathlib import Path
from typing import Any

CNI_PLUGINS = "/usr/lib/cni"
"""Where the Debian package containernetworking-plugins puts them."""
SOCKET = "containerd.sock"


def containerd(directory: Path, *, pause_image: str) -> str:
    """containerd's config.toml; its data are at the usual places, which a node has for itself."""
    return f"""version = 2
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
  address = "{directory / SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause_image}"
  # Without CAP_SYS_RESOURCE, as in many virtual machines, no sandbox could lower its score.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{CNI_PLUGINS}"
    conf_dir = "{directory / "cni"}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
"""


def network(pods: str) -> str:
    """The list of network plugins: a bridge whose pods have addresses of `pods`, and ports of the node."""
    bridge = {
        "type": "bridge",
        "bridge": "pods",
        "isGateway": True,
        "hairpinMode": True,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": pods}]], "routes": [{"dst": "0.0.0.0/0"}]},
    }
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return json.dumps({"cniVersion": "1.0.0", "name": "pods", "plugins": [bridge, ports]})


def kubelet(directory: Path, *, cgroup: str, authority: Path) -> dict[str, Any]:
    """The kubelet's configuration (KubeletConfiguration, kubelet.config.k8s.io/v1beta1)."""
    little = {"memory.available": "100Mi"}
    little |= dict.fromkeys(("nodefs.available", "nodefs.inodesFree", "imagefs.available"), "1%")
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(authority)},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroup}",
        "containerRuntimeEndpoint": f"unix://{directory / SOCKET}",
        "enforceNodeAllocatable": [],
        "evictionHard": little,  # a disk of developers is full by the usual measure
        "failCgroupV1": False,
        "failSwapOn": False,
        "imageGCHighThresholdPercent": 100,  # images come from archives and could not be pulled again
        "resolvConf": "",
    }


def kube_proxy(kubeconfig: Path, *, node: str, pods: str) -> dict[str, Any]:
    """kube-proxy's configuration; the limits of connections are this machine's and stay as they are."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        "clusterCIDR": pods,
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpCloseWaitTimeout": "0s",
            "tcpEstablishedTimeout": "0s",
        },
        "hostnameOverride": node,
        "mode": "iptables",
    }
