"""What a pod's container is started with: environment, command and mounts, taken from its manifest."""

import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.infrastructure import api_client, pod_mounts, pod_volumes, programs

ROOT = Path(__file__).parents[2]
IMAGE_ENTRYPOINT = (str(Path(sys.executable).with_name("analysis-worker")),)
"""What every image runs here: the worker of this very Python."""


def environment(api: api_client.ApiClient, pod: pod_volumes.PodFacts, api_port: int) -> dict[str, str]:
    """The container's environment, with PATH alone from ours; PodMustWait where a Secret of it is missing."""
    found = {
        "PATH": os.environ["PATH"],
        "HOME": "/tmp",
        "HOSTNAME": pod.manifest["metadata"]["name"],
        "KUBERNETES_SERVICE_HOST": "127.0.0.1",
        "KUBERNETES_SERVICE_PORT": str(api_port),
    }
    try:
        for source in pod.container.get("envFrom", []):
            found |= dict(_from_object(api, source, pod))
        for variable in pod.container.get("env", []):
            value = _value(api, variable, pod)
            if value is not None:
                found[variable["name"]] = expanded(value, found)
    except LookupError as error:
        raise pod_volumes.PodMustWait("CreateContainerConfigError", str(error.args[0])) from error
    return found


def command(pod: pod_volumes.PodFacts, variables: Mapping[str, str]) -> list[str]:
    """The manifest's command, or else the image's entrypoint told to listen at the pod's own address."""
    given = pod.container.get("command")
    arguments = pod.container.get("args", [])
    if given:
        return [expanded(each, variables) for each in (*given, *arguments)]
    ours = [expanded(each, variables) for each in arguments]
    return [*IMAGE_ENTRYPOINT, *ours, "--host", pod.address]


def in_namespace(
    pod: pod_volumes.PodFacts, volumes: pod_volumes.Volumes, scratch: Path, variables: Mapping[str, str]
) -> list[str]:
    """The command that runs the container in its own mount namespace; `scratch` is an empty directory."""
    plan = pod_mounts.Plan(
        mounts=[_mount(each, volumes) for each in pod.mounts],
        kept=sorted({sys.prefix, sys.base_prefix, str(ROOT)}),
        scratch=str(scratch),
        command=command(pod, variables),
        environment=variables,
    )
    return enter(plan)


def enter(plan: pod_mounts.Plan) -> list[str]:
    """The command that carries out a plan; `programs.Unavailable` without util-linux."""
    unshare = programs.require("unshare", package="util-linux")
    return [unshare, "--mount", sys.executable, "-I", "-S", pod_mounts.__file__, plan.to_json()]


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """The text with each $(NAME) of a known variable replaced by its value."""
    return re.sub(r"\$\((\w+)\)", lambda found: variables.get(found[1], found[0]), text)


def _mount(mount: Mapping[str, Any], volumes: pod_volumes.Volumes) -> pod_mounts.Mount:
    source = volumes.path(mount["name"])
    if "subPath" in mount:
        # A file that is mounted by itself is the one of now: it never follows an update.
        source = (source / mount["subPath"]).resolve()
    return pod_mounts.Mount(str(source), mount["mountPath"], mount.get("readOnly", False))


def _from_object(
    api: api_client.ApiClient, source: Mapping[str, Any], pod: pod_volumes.PodFacts
) -> Iterator[tuple[str, str]]:
    for kind, resource in _KINDS.items():
        reference = source.get(f"{kind}Ref")
        if reference:
            held = pod_volumes.read(api, resource, pod.namespace, reference["name"])
            for key, content in pod_volumes.chosen(held, kind, reference).items():
                yield source.get("prefix", "") + key, content.decode()


def _value(api: api_client.ApiClient, variable: Mapping[str, Any], pod: pod_volumes.PodFacts) -> str | None:
    """The value of one variable of `env`; None if it is optional and there is none."""
    source = variable.get("valueFrom")
    if source is None:
        return str(variable.get("value", ""))
    if "fieldRef" in source:
        return pod.field(source["fieldRef"]["fieldPath"])
    for kind, resource in _KINDS.items():
        reference = source.get(f"{kind}KeyRef")
        if reference:
            held = pod_volumes.read(api, resource, pod.namespace, reference["name"])
            item = {"key": reference["key"], "path": "value"}
            content = pod_volumes.chosen(held, kind, {**reference, "items": [item]})
            return content["value"].decode() if content else None
    raise LookupError(f"env {variable['name']}: this node has no values of the kind {sorted(source)}")


_KINDS = {"configMap": api_client.CONFIG_MAPS, "secret": api_client.SECRETS}
