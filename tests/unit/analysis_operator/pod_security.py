"""Pod Security `restricted`, checked from the table of the standard.

Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/, Baseline and Restricted.
"""

from collections.abc import Iterator, Mapping
from typing import Any

_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"


def violations(template: Mapping[str, Any]) -> list[str]:
    """Every control that a pod template does not meet."""
    pod = template["spec"]
    found = [*_of_pod(pod), *_of_annotations(template["metadata"].get("annotations") or {})]
    for kind in ("containers", "initContainers", "ephemeralContainers"):
        for container in pod.get(kind, ()):
            found += _of_container(container, pod.get("securityContext") or {})
    return found


def _of_pod(pod: Mapping[str, Any]) -> Iterator[str]:
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(name):
            yield f"host namespaces: {name}"
    for volume in pod.get("volumes", ()):
        kinds = volume.keys() - {"name"}
        if not kinds <= _VOLUMES:
            yield f"volume types: {sorted(kinds - _VOLUMES)}"
    if (pod.get("securityContext") or {}).get("sysctls"):
        yield "sysctls"
    if (pod.get("securityContext") or {}).get("runAsUser") == 0:
        yield "running as non-root user: pod"
    if pod.get("hostUsers") is not None:
        yield "host users"


def _of_annotations(annotations: Mapping[str, str]) -> Iterator[str]:
    for name, value in annotations.items():
        if name.startswith(_APPARMOR) and not value.startswith(("runtime/default", "localhost/")):
            yield f"AppArmor: {name}"


def _of_container(container: Mapping[str, Any], of_pod: Mapping[str, Any]) -> Iterator[str]:
    own = container.get("securityContext") or {}
    if own.get("privileged"):
        yield "privileged containers"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "privilege escalation"
    if own.get("runAsNonRoot", of_pod.get("runAsNonRoot")) is not True:
        yield "running as non-root"
    if own.get("runAsUser", of_pod.get("runAsUser")) == 0:
        yield "running as non-root user"
    profile = (own.get("seccompProfile") or of_pod.get("seccompProfile") or {}).get("type")
    if profile not in ("RuntimeDefault", "Localhost"):
        yield "seccomp"
    capabilities = own.get("capabilities") or {}
    if "ALL" not in capabilities.get("drop", ()):
        yield "capabilities: drop"
    if set(capabilities.get("add", ())) - {"NET_BIND_SERVICE"}:
        yield "capabilities: add"
    if own.get("procMount", "Default") != "Default":
        yield "proc mount type"
    if any(port.get("hostPort") for port in container.get("ports", ())):
        yield "host ports"
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if (container.get(probe) or {}).get("httpGet", {}).get("host"):
            yield f"host probes: {probe}"
