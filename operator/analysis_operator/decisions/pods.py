"""The pod template of one shard: Pod Security `restricted`, secrets as files, the Assignment as a mount.

Sources: https://kubernetes.io/docs/concepts/security/pod-security-standards/ (restricted); for the mounts
https://kubernetes.io/docs/concepts/configuration/configmap/ (no subPath: it would never be updated); for the
group of a volume's files https://kubernetes.io/docs/tasks/configure-pod-container/security-context/.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from analysis_module import names, reading, shape, spec
from analysis_operator.decisions import overlays
from analysis_operator.decisions.options import Options

ANNOTATION_ROLLOUT = f"{names.API_GROUP}/rollout"
"""On the pod template: a name of all that a worker cannot take over while it runs."""

_USER = 1000
_STOP_SECONDS = 30
_TMP = "/tmp"
_MIB = 2**20


def rolling_document(asked: spec.ModuleSpec) -> list[Any]:
    """All of a spec that workers must be replaced for, as JSON: the fields of class rolling and above.

    An input's own routing counts where it is Aligned.
    """
    aligned = sorted(i.topic for i in asked.inputs or () if i.routing is spec.Routing.ALIGNED)
    return [reading.write_spec(_rolling_part(asked)), aligned]


def rollout_of(rolling: list[Any], defaults: Mapping[str, Any]) -> str:
    """Twelve hex digits that name what workers must be replaced for: of the spec, and of `defaults`."""
    text = json.dumps([rolling, defaults], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def defaults_of(asked: spec.ModuleSpec, options: Options) -> dict[str, Any]:
    """The operator's options that a module's pods are made with, as JSON: where it does not say itself."""
    given: dict[str, Any] = {
        "allow_inline_source": options.allow_inline_source,
        "image_pull_policy": options.image_pull_policy,
        "image_pull_secrets": list(options.image_pull_secrets),
    }
    if asked.workers.image is None:
        given["worker_image"] = options.worker_image
    if not asked.workers.resources:
        given["resources"] = dict(options.resources)
    return given


def _rolling_part(part: Any) -> Any:
    """A copy with every field that can be taken over hot back at its default."""
    changed: dict[str, Any] = {}
    for member in shape.members(part.__class__):
        value = getattr(part, member.attribute)
        rolling = member.change >= spec.Change.ROLLING
        if shape.is_part(member.hint) and value is not None and (rolling or not member.nullable):
            changed[member.attribute] = _rolling_part(value)
        elif not rolling and not member.required:
            changed[member.attribute] = member.default()
    return dataclasses.replace(part, **changed)


def labels(module: str, shard: int | None = None) -> dict[str, str]:
    """The labels of a module's objects; with a shard, those of that shard."""
    given = {
        names.LABEL_NAME: names.WORKER_NAME,
        names.LABEL_INSTANCE: module,
        names.LABEL_COMPONENT: "worker",
        names.LABEL_MANAGED_BY: names.OPERATOR_NAME,
        names.LABEL_MODULE: module,
    }
    return given if shard is None else {**given, names.LABEL_SHARD: str(shard)}


def selector(module: str) -> dict[str, str]:
    """The labels that select the pods of a module, and no others in its namespace."""
    return {names.LABEL_MODULE: module, names.LABEL_COMPONENT: "worker"}


def selector_text(module: str) -> str:
    """The same as `kubectl get pods --selector` takes it."""
    return ",".join(f"{name}={value}" for name, value in selector(module).items())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shape:
    """What a pod template is made from: the module's name, its spec, its shard, its rollout."""

    module: str
    asked: spec.ModuleSpec
    shard: int
    config_map: str
    rollout: str


def template(pod: Shape, options: Options) -> dict[str, Any]:
    """The pod template of one shard, with the module's overlay on it."""
    workers = pod.asked.workers
    plain: dict[str, Any] = {
        "metadata": {
            "labels": labels(pod.module, pod.shard),
            "annotations": {ANNOTATION_ROLLOUT: pod.rollout},
        },
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": _STOP_SECONDS,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": _USER,
                "runAsGroup": _USER,
                "fsGroup": _USER,
                # By default the kubelet gives each file of a claim the group anew, at every start.
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "topologySpreadConstraints": [
                {
                    "maxSkew": 1,
                    "topologyKey": "kubernetes.io/hostname",
                    "whenUnsatisfiable": "ScheduleAnyway",
                    "labelSelector": {"matchLabels": selector(pod.module)},
                }
            ],
            "containers": [_container(pod, options)],
            "volumes": list(_volumes(pod)),
        },
    }
    if options.image_pull_secrets:
        plain["spec"]["imagePullSecrets"] = [{"name": name} for name in options.image_pull_secrets]
    return overlays.laid_over(plain, workers.pod_template)


def _container(pod: Shape, options: Options) -> dict[str, Any]:
    mounts = [
        {"name": "assignment", "mountPath": names.ASSIGNMENT_DIRECTORY, "readOnly": True},
        {"name": "tmp", "mountPath": _TMP},
    ]
    arguments = ["run", "--assignment", names.ASSIGNMENT_PATH]
    if pod.asked.state.enabled:
        mounts.append({"name": names.STATE_VOLUME, "mountPath": names.STATE_DIRECTORY})
        arguments += ["--state-directory", names.STATE_DIRECTORY]
    for secret in secrets(pod.asked):
        path = f"{names.SECRETS_DIRECTORY}/{secret}"
        mounts.append({"name": _secret_volume(secret), "mountPath": path, "readOnly": True})
    return {
        "name": overlays.CONTAINER,
        "image": pod.asked.workers.image or options.worker_image,
        "imagePullPolicy": options.image_pull_policy,
        "args": arguments,
        "env": _environment(options),
        "ports": [{"name": names.HTTP_PORT_NAME, "containerPort": names.HTTP_PORT, "protocol": "TCP"}],
        "resources": _texts(pod.asked.workers.resources or options.resources),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "startupProbe": _probe(names.LIVENESS_PATH, period=1, failures=120),
        "livenessProbe": _probe(names.LIVENESS_PATH, period=10, failures=3),
        "readinessProbe": _probe(names.READINESS_PATH, period=2, failures=3),
        "volumeMounts": mounts,
    }


def _environment(options: Options) -> list[dict[str, str]]:
    given = [{"name": "HOME", "value": _TMP}]
    if not options.allow_inline_source:
        given.append({"name": names.ENV_INLINE_SOURCE, "value": "off"})
    return given


def _texts(resources: Mapping[str, Any]) -> dict[str, Any]:
    """Quantities as texts, as the API server keeps them."""
    return {
        name: {key: str(value) for key, value in part.items()} if isinstance(part, Mapping) else part
        for name, part in resources.items()
    }


def _probe(path: str, *, period: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": names.HTTP_PORT_NAME},
        "periodSeconds": period,
        "timeoutSeconds": 2,
        "failureThreshold": failures,
    }


def _volumes(pod: Shape) -> Iterator[dict[str, Any]]:
    yield {"name": "assignment", "configMap": {"name": pod.config_map}}
    yield {"name": "tmp", "emptyDir": {"sizeLimit": "256Mi"}}
    if pod.asked.state.enabled:
        limit = _state_limit(pod.asked.state.max_bytes)
        yield {"name": names.STATE_VOLUME, "emptyDir": {"sizeLimit": limit}}
    for secret in secrets(pod.asked):
        yield {"name": _secret_volume(secret), "secret": {"secretName": secret, "defaultMode": 0o440}}


def _state_limit(most_bytes: int) -> str:
    """A quantity above what a worker's files may take: the kubelet evicts a pod that goes beyond it."""
    return f"{-(-most_bytes * 11 // (10 * _MIB))}Mi"


def _secret_volume(secret: str) -> str:
    """A volume's name, which is a DNS label, for a Secret's, which may be longer and hold dots."""
    return f"secret-{hashlib.sha256(secret.encode()).hexdigest()[:10]}"


def secrets(asked: spec.ModuleSpec) -> list[str]:
    """Names of the Secrets that a module's Kafka settings refer to, each once, in order."""
    security = asked.kafka.security
    sources = (getattr(security, member.attribute) for member in shape.members(spec.Security))
    named = (source.secret_name for source in sources if isinstance(source, spec.SecretSource))
    return sorted({name for name in named if name is not None})
