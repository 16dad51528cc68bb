"""The processes of a pod on this machine: on our true node, or on one that kind runs in a container."""

import contextlib
import os
import signal
from collections.abc import Iterable
from pathlib import Path

from tests.infrastructure import api_client, programs


def send(api: api_client.ApiClient, namespace: str, pod: str, number: signal.Signals) -> None:
    """Sends a signal to every process of a pod's containers, as the kernel and administrators may.

    Raises as `of_pod`.
    """
    signal_all(of_pod(api, namespace, pod), number)


def of_pod(api: api_client.ApiClient, namespace: str, pod: str) -> list[int]:
    """The ids, on this machine, of the processes of a pod's containers.

    Raises ApiError where there is no such pod, and `programs.Unavailable` where its processes are not on
    this machine.
    """
    found = api.get(api_client.PODS, pod, namespace=namespace)
    processes: list[int] = []
    for container in found["status"]["containerStatuses"]:
        there = of_container(container["containerID"].rpartition("/")[2])
        if not there:
            raise programs.Unavailable(
                f"{namespace}/{pod}: the processes of its container {container['name']} are not on this "
                "machine; run the tests where the node is, or without KUBECONFIG"
            )
        processes += there
    return processes


def signal_all(processes: Iterable[int], number: signal.Signals) -> None:
    """Sends a signal to each that has not ended."""
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)


def of_container(container: str) -> list[int]:
    """The ids, on this machine, of a container's processes: those whose control group bears the id of it."""
    return sorted(
        int(each.name)
        for each in Path("/proc").iterdir()
        if each.name.isdecimal() and container in _control_groups(each)
    )


def _control_groups(process: Path) -> str:
    try:
        return (process / "cgroup").read_text()
    except OSError:  # it has ended
        return ""
