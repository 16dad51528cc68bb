"""A module in a cluster in memory: plans are carried out, pods and workers follow what they made."""

import copy
import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from analysis_module import assignment as assignments
from analysis_module import names
from analysis_module.assignment import Assignment
from analysis_operator.decisions import manifests, planning, pods
from analysis_operator.decisions.manifests import Manifest, Reference
from analysis_operator.decisions.observed import Child, Key, Module, Observed, Pod
from analysis_operator.decisions.options import Options
from analysis_operator.decisions.planning import Apply, Plan
from tests.unit.analysis_operator import api_server
from tests.unit.analysis_operator.fleet_workers import Worker

NOW = 1_762_480_000.0
"""Seconds since the epoch: when things happen in tests that do not care."""
KAFKA = {"bootstrapServers": ["kafka:9092"]}
INPUTS = [{"topic": "POWER", "fields": ["stationId", "power"], "windowSize": 3}]
SHORTEST: Mapping[str, Any] = {"module": "numbered", "kafka": KAFKA, "inputs": INPUTS}
_SECRET = {"secretName": "kafka.credentials", "key": "password"}
SECURITY = {
    "protocol": "SASL_SSL",
    "mechanism": "SCRAM-SHA-512",
    "username": _SECRET,
    "password": _SECRET,
    "ca": {"secretName": "kafka-ca", "key": "ca.crt"},
}


def a_spec(**changes: Any) -> dict[str, Any]:
    """The spec of a module of one input; a change replaces a whole part, None removes it."""
    return {name: part for name, part in {**SHORTEST, **changes}.items() if part is not None}


def with_workers(**workers: Any) -> dict[str, Any]:
    """A spec whose workers are said."""
    return a_spec(workers=workers)


def with_overlay(pod: Mapping[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    """A spec with two workers and a pod template."""
    return with_workers(replicas=2, podTemplate={"metadata": metadata, "spec": dict(pod or {})})


SPECS: Mapping[str, Mapping[str, Any]] = {
    "the shortest": SHORTEST,
    "five workers": with_workers(replicas=5),
    "no workers": with_workers(replicas=0),
    "suspended": a_spec(workers={"replicas": 2}, suspend=True),
    "secrets": a_spec(kafka={**KAFKA, "security": SECURITY}),
    "an image": with_workers(image="registry.example/analysis-worker@sha256:" + "0" * 64),
    "resources as texts": with_workers(
        resources={
            "requests": {"cpu": "1000m", "memory": "1024Mi"},
            "limits": {"cpu": "0.5", "memory": "1e9"},
        }
    ),
    "resources as numbers": with_workers(
        resources={"requests": {"cpu": 0.25, "memory": 268435456}, "limits": {"cpu": 2}}
    ),
    "a pod template": with_overlay(
        {
            "nodeSelector": {"disk": "fast"},
            "tolerations": [{"key": "streaming", "operator": "Exists", "effect": "NoSchedule"}],
            "terminationGracePeriodSeconds": 60,
            "priorityClassName": "",
            "imagePullSecrets": [{"name": "registry"}],
        },
        labels={"team": "grid"},
        annotations={"example.com/note": "kept"},
    ),
    "a container's additions": with_overlay(
        {
            "containers": [
                {
                    "name": "worker",
                    "env": [
                        {"name": "EMPTY", "value": ""},
                        {"name": "HOME", "value": "/home"},
                        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                    ],
                    "resources": {"requests": {"cpu": 1}, "limits": {"memory": 2e9, "cpu": "1500m"}},
                    "volumeMounts": [{"name": "models", "mountPath": "/models", "readOnly": False}],
                }
            ],
            "volumes": [{"name": "models", "emptyDir": {"sizeLimit": 1048576}}],
        }
    ),
    "no files": a_spec(state={"enabled": False}),
    "a claim for its files": with_overlay(
        {"volumes": [{"name": "state", "persistentVolumeClaim": {"claimName": "windows"}}]}
    ),
    "aligned": a_spec(partitioning={"slots": 8, "routing": "Aligned"}, workers={"replicas": 3}),
    "inline source": a_spec(callback={"source": "def callback(station_id, module_input):\n    return 1\n"}),
    "many slots": a_spec(partitioning={"slots": 4096}, workers={"replicas": 7}),
    "of the catalogue": {"module": "load_prediction", "kafka": KAFKA, "workers": {"replicas": 2}},
    "a callback in a ConfigMap": a_spec(callback={"configMapRef": {"name": "code"}}),
}
"""Specs as people write them, each for what is special about it."""


def a_module(document: Mapping[str, Any] = SHORTEST, **changes: Any) -> Module:
    """A module as the API server holds it."""
    given: dict[str, Any] = {
        "key": Key("default", "demo"),
        "uid": "uid-1",
        "generation": 1,
        "created_at": "2026-01-01T00:00:00Z",
        "spec": document,
        **changes,
    }
    return Module(**given)


class Fleet:
    """A module, what was made for it, its pods and workers; `now` is its clock, seconds since the epoch."""

    def __init__(self, document: Mapping[str, Any] = SHORTEST, options: Options | None = None) -> None:
        self.module = a_module(document)
        self.options = options or Options()
        self.now = NOW
        self.objects: dict[Reference, dict[str, Any]] = {}
        self.pods: dict[str, Pod] = {}
        self.workers: dict[str, Worker] = {}
        self.silent: set[str] = set()
        """Pods whose worker does not answer."""
        self.older = True
        """Whether the workers of new pods are of a version that does not follow slots."""
        self.said: dict[str, Any] = {}
        """What every worker says otherwise than one that is well."""
        self.seen: dict[str, Any] = {}
        """Further fields of what is observed, such as neighbours."""
        self._templates: dict[str, str] = {}
        self._foreign: dict[Reference, list[tuple[tuple[str, ...], Any]]] = {}
        self._numbers = itertools.count(1)

    # -- the operator's part ------------------------------------------------------------------------

    def observed(self) -> Observed:
        """The fleet as the operator sees it now."""
        reports = {
            name: self.workers[name].report(pod.uid, self.now, **self.said)
            for name, pod in self.pods.items()
            if name in self.workers and name not in self.silent
        }
        return Observed(
            module=self.module,
            children=tuple(Child(copy.deepcopy(each)) for each in self.objects.values()),
            pods=tuple(self.pods[name] for name in sorted(self.pods)),
            reports=reports,
            **self.seen,
        )

    def plan(self) -> Plan:
        """What the operator would do now."""
        return planning.plan(self.observed(), self.options, self.now)

    def step(self) -> Plan:
        """Let the operator make one pass."""
        made = self.plan()
        self.carry_out(made)
        return made

    def carry_out(self, plan: Plan) -> None:
        """Do what a plan says, as the API server does; the status too."""
        for each in plan.apply:
            self._store(each)
        for stamp in plan.stamp:
            self.pods[stamp.pod] = dataclasses.replace(self.pods[stamp.pod], stamp=stamp.value)
        for reference in plan.delete:
            del self.objects[reference]
        self.module = dataclasses.replace(self.module, status=plan.status.to_json())

    def settle(self, most: int = 60) -> list[Plan]:
        """Let everybody work until nobody has anything to do; the operator's plans."""
        plans = []
        for _ in range(most):
            plans.append(self.step())
            before = (dict(self.pods), copy.deepcopy(self.workers))
            self.run_pods()
            self.run_workers()
            if is_idle(plans[-1]) and before == (self.pods, self.workers):
                return plans
        raise AssertionError(f"after {most} passes there is still something to do: {plans[-1]}")

    # -- people's part ------------------------------------------------------------------------------

    def edit(self, document: Mapping[str, Any]) -> None:
        """Apply another spec."""
        self.module = dataclasses.replace(self.module, spec=document, generation=self.module.generation + 1)

    def change(self, reference: Reference, path: Sequence[str], value: Any) -> None:
        """Change a field of an object by hand; None removes it."""
        if value is not None:
            self._foreign.setdefault(reference, []).append((tuple(path), value))
        place(self.objects[reference], path, value)

    def forget_status(self) -> None:
        """Lose the status."""
        self.module = dataclasses.replace(self.module, status={})

    # -- the cluster's part -------------------------------------------------------------------------

    def _store(self, applied: Apply) -> None:
        reference, manifest = applied.reference, applied.manifest
        assert manifest["metadata"]["namespace"] == self.module.key.namespace
        uid = self.objects.get(reference, {}).get("metadata", {}).get("uid", f"uid-{reference}")
        kept = api_server.stored(manifest, uid, next(self._numbers))
        for path, value in self._foreign.get(reference, ()):
            if at(manifest, path) is None:  # else we have taken it over
                place(kept, path, value)
        self.objects[reference] = kept

    def run_pods(self, *, ready: bool = True) -> None:
        """Let pods follow the Deployments, as Recreate does: the old one goes, then the new one comes."""
        wanted = {}
        for reference, document in self.objects.items():
            if reference.kind == "Deployment" and document["spec"]["replicas"]:
                wanted[reference.name] = document["spec"]["template"]
        for name in list(self.pods):
            deployment = name.rpartition("-")[0]
            template = wanted.get(deployment)
            if template is not None and self._templates[name] == manifests.digest(template):
                del wanted[deployment]
            else:
                self.end_pod(name)
        for deployment, template in wanted.items():
            self._start_pod(deployment, template, ready=ready)

    def _start_pod(self, deployment: str, template: Manifest, *, ready: bool) -> None:
        number = next(self._numbers)
        name = f"{deployment}-{number}"
        self._templates[name] = manifests.digest(template)
        self.pods[name] = Pod(
            name=name,
            uid=f"pod-{number}",
            shard=int(template["metadata"]["labels"][names.LABEL_SHARD]),
            ip="10.0.0.1",
            ready=ready,
            rollout=template["metadata"]["annotations"][pods.ANNOTATION_ROLLOUT],
        )
        told = self.assignment(self.pods[name].shard)
        if told is not None:
            followed = None if self.older else frozenset[int]()
            self.workers[name] = Worker(told, told.config_hash, followed=followed)

    def end_pod(self, name: str) -> None:
        """Let a pod and its worker be gone."""
        del self.pods[name]
        self.workers.pop(name, None)

    def change_pod(self, shard: int, /, **changes: Any) -> None:
        """Let the pod of a shard be another."""
        pod = self.pod(shard)
        self.pods[pod.name] = dataclasses.replace(pod, **changes)

    def run_workers(self, *, drain: bool = True, refusal: str | None = None, follow: bool = True) -> None:
        """Let workers take their ConfigMaps over; by default they drain and follow all at once."""
        for name, worker in self.workers.items():
            told = self.assignment(self.pods[name].shard)
            if told is not None and told != worker.assignment:
                worker.take_over(told, refusal=refusal)
            if drain:
                worker.draining = frozenset()
            if follow and worker.followed is not None:
                worker.followed = worker.assignment.arriving

    # -- what one sees of it ------------------------------------------------------------------------

    def pod(self, shard: int) -> Pod:
        """The one pod of a shard."""
        (pod,) = (each for each in self.pods.values() if each.shard == shard)
        return pod

    def worker(self, shard: int) -> Worker:
        """The worker of a shard."""
        return self.workers[self.pod(shard).name]

    def object(self, kind: str, name: str) -> dict[str, Any]:
        """One object as the API server holds it."""
        return self.objects[Reference(kind, name)]

    def assignment(self, shard: int) -> Assignment | None:
        """What the ConfigMap of a shard says, None if there is none."""
        found = self.objects.get(Reference("ConfigMap", f"demo-{shard}"))
        return None if found is None else Assignment.from_json(found["data"][names.ASSIGNMENT_FILE])

    def told(self) -> dict[int, Assignment]:
        """The Assignment in each shard's ConfigMap."""
        numbers = sorted(pod_shard(each) for each in self.objects if each.kind == "ConfigMap")
        told = {number: self.assignment(number) for number in numbers}
        return {number: each for number, each in told.items() if each}

    def slots(self) -> dict[int, str]:
        """The slots in each shard's ConfigMap."""
        return {number: assignments.format_slots(each.slots) for number, each in self.told().items()}

    def arriving(self) -> dict[int, str]:
        """The arriving slots in each shard's ConfigMap that names some."""
        found = {number: assignments.format_slots(each.arriving) for number, each in self.told().items()}
        return {number: slots for number, slots in found.items() if slots}

    def owned_twice(self) -> set[int]:
        """Slots that more than one worker owns or drains."""
        seen: set[int] = set()
        doubled: set[int] = set()
        for worker in self.workers.values():
            own = worker.assignment.slots | worker.draining
            doubled |= own & seen
            seen |= own
        return doubled


def settled(
    document: Mapping[str, Any] = SHORTEST, options: Options | None = None, *, older: bool = True
) -> Fleet:
    """A fleet that runs, with nothing left to do."""
    fleet = Fleet(document, options)
    fleet.older = older
    fleet.settle()
    return fleet


def is_idle(plan: Plan) -> bool:
    """Whether a plan changes no object."""
    return not (plan.apply or plan.stamp or plan.delete)


def applied(plan: Plan) -> list[str]:
    """The objects that a plan applies, as `Kind name`."""
    return [str(each.reference) for each in plan.apply]


def reasons(plan: Plan) -> list[str]:
    """The reasons of a plan's events."""
    return [event.reason for event in plan.events]


def messages(plan: Plan, reason: str) -> list[str]:
    """The messages of a plan's events of one reason."""
    return [event.message for event in plan.events if event.reason == reason]


def condition(plan: Plan, kind: str) -> tuple[str, str, str]:
    """Status, reason and message of one condition in a plan's status."""
    (found,) = (each for each in plan.status.conditions if each.type == kind)
    return found.status.value, found.reason, found.message


def pod_shard(reference: Reference) -> int:
    """The number in the name of a shard's object."""
    return int(reference.name.rpartition("-")[2])


def place(document: dict[str, Any], path: Sequence[str], value: Any) -> None:
    """Set a field deep in a document, by keys and, for lists, indexes; None removes it."""
    *way, last = path
    inner: Any = document
    for step in way:
        inner = inner[int(step)] if isinstance(inner, list) else inner.setdefault(step, {})
    if value is None:
        del inner[last]
    else:
        inner[int(last) if isinstance(inner, list) else last] = value


def at(document: Any, path: Iterable[str]) -> Any:
    """The value of a field deep in a document, None if it is not there."""
    for step in path:
        if isinstance(document, list):
            document = document[int(step)] if int(step) < len(document) else None
        else:
            document = document.get(step) if isinstance(document, Mapping) else None
    return document
