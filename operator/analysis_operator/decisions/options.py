"""What the operator's owner decides for all modules: the chart's values, as frozen data."""

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Settings of the operator that decisions depend on.

    `kafka` stands in for each key of a module's `spec.kafka` that the module leaves out or empty.
    `roll_on_upgrade` lets a new default image or default resources replace running workers at once, instead
    of with the next edit that replaces them anyway. `status_seconds` is the pause between two looks at a
    worker that is as it should be; `rollout` the number of shards that a rolling edit may replace at a time.
    """

    worker_image: str = "analysis-worker:0.1.0"
    image_pull_policy: str = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()
    kafka: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    allow_inline_source: bool = True
    network_policy: bool = True
    resources: Mapping[str, Any] = dataclasses.field(
        default_factory=lambda: {
            "requests": {"cpu": "100m", "memory": "256Mi"},
            "limits": {"memory": "1Gi"},
        }
    )
    roll_on_upgrade: bool = False
    status_seconds: float = 15.0
    rollout: int = 1
