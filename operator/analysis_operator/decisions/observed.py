"""What the operator has seen, as frozen data: the one input of every decision.

Documents are JSON objects as the API server gives them, without `metadata.managedFields`. Times are seconds
since the epoch unless a name says otherwise.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

from analysis_module.status import ModuleStatus

Document = Mapping[str, Any]


class Key(NamedTuple):
    """Which AnalysisModule: what the work queue is keyed by."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Module:
    """An AnalysisModule as it stands in the API server; `spec` and `status` are as written there."""

    key: Key
    uid: str
    generation: int
    created_at: str
    spec: Document
    status: Document = dataclasses.field(default_factory=dict)
    deleting: bool = False
    paused: bool = False

    @functools.cached_property
    def last_told(self) -> ModuleStatus:
        """The status as last written, read."""
        return ModuleStatus.from_json(self.status)


@dataclasses.dataclass(frozen=True)
class Child:
    """An object that the operator has made for a module."""

    document: Document

    @property
    def kind(self) -> str:
        """Its kind, such as ConfigMap."""
        return str(self.document["kind"])

    @property
    def name(self) -> str:
        """Its name in the module's namespace."""
        return str(self.document["metadata"]["name"])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pod:
    """A worker's pod.

    `waiting` is why a container does not run, such as ImagePullBackOff; `stamp` is the value of the config
    stamp on the pod, `rollout` what it was made for; `alive` is False once no process of it can run any more.
    """

    name: str
    uid: str
    shard: int
    ip: str | None = None
    alive: bool = True
    ready: bool = False
    terminating: bool = False
    stamp: str | None = None
    rollout: str | None = None
    waiting: str | None = None
    restarts: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """What a worker said of itself at `/status`, at `taken_at`; `lags` are records by topic and partition.

    `restored` is how much of its windows is back since its start, or since it gained slots, from 0 to 1.
    `followed` are arriving slots whose windows are up with their present owner; None where the worker, being
    of an older version, has no word for that.
    """

    pod_uid: str
    taken_at: float
    owner: str
    epoch: int
    applied_hash: str | None = None
    desired_hash: str | None = None
    refused: tuple[str, ...] = ()
    state: str = "starting"
    slots: frozenset[int] = frozenset()
    letting_go: frozenset[int] = frozenset()
    followed: frozenset[int] | None = None
    restored: float = 1.0
    stations: int = 0
    lags: Mapping[tuple[str, int], int] = dataclasses.field(default_factory=dict)
    lag_seconds: float | None = None
    position: int = 0
    rate: float | None = None
    connected: bool = False
    missing_topics: tuple[str, ...] = ()
    misaligned_topics: tuple[str, ...] = ()
    wrong_partition: int = 0
    explain: str = ""

    @property
    def lag(self) -> int | None:
        """Records that it has not read yet, None while it does not know."""
        return sum(self.lags.values()) if self.lags else None


@dataclasses.dataclass(frozen=True, kw_only=True)
class KafkaView:
    """What the operator itself saw of a module's Kafka: `partitions` is the count of each topic there is.

    `reached` is None where the operator has no credentials and must rely on the workers' word.
    """

    reached: bool | None = None
    error: str = ""
    partitions: Mapping[str, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Callback:
    """The file that `callback.configMapRef` names: its text, or why there is none."""

    text: str | None = None
    missing: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Neighbours:
    """What other resources mean for this one; every entry is `namespace/name`, or a topic where it says so.

    `missing` are pairs of a module's name and its output topic that nobody provides; `conflicts` are pairs of
    a field and a resource that uses the same and runs, or is older; `waiting` are providers that do not run.
    """

    providers: tuple[str, ...] = ()
    missing: tuple[tuple[str, str], ...] = ()
    waiting: tuple[str, ...] = ()
    leaving: tuple[str, ...] = ()
    dependants: tuple[str, ...] = ()
    cycle: tuple[str, ...] = ()
    conflicts: tuple[tuple[str, str], ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Observed:
    """All that is known about one module at one moment; `reports` are by the name of the pod."""

    module: Module
    children: tuple[Child, ...] = ()
    pods: tuple[Pod, ...] = ()
    reports: Mapping[str, Report] = dataclasses.field(default_factory=dict)
    kafka: KafkaView = dataclasses.field(default_factory=KafkaView)
    callback: Callback | None = None
    neighbours: Neighbours = dataclasses.field(default_factory=Neighbours)

    def child(self, kind: str, name: str) -> Child | None:
        """The child of this kind and name, None if there is none."""
        for child in self.children:
            if child.kind == kind and child.name == name:
                return child
        return None
