"""Rolling edits: which shards are replaced now, and which wait for their turn."""

import dataclasses
from collections.abc import Mapping

from analysis_module import spec
from analysis_operator.decisions import pods
from analysis_operator.decisions.fleet import Shard
from analysis_operator.decisions.handover import Holding
from analysis_operator.decisions.options import Options


@dataclasses.dataclass(frozen=True)
class Intent:
    """What one shard shall be: what it holds, and whether it waits for its turn in a rolling edit."""

    holding: Holding
    waits: bool


def intended(
    asked: spec.ModuleSpec,
    shards: Mapping[int, Shard],
    holdings: Mapping[int, Holding],
    options: Options,
) -> dict[int, Intent]:
    """Lay a rolling edit over the shards: at most `options.rollout` are being replaced at a time.

    A shard that is not ready anyway is replaced at once: waiting would only keep it down for longer.
    """
    rollout = pods.rollout_of(asked)
    stale = [n for n in holdings if n in shards and shards[n].rollout not in (None, rollout)]
    stale = [number for number in stale if shards[number].assignment is not None]
    busy = sum(1 for n in holdings if n in shards and shards[n].rollout == rollout and not shards[n].ready)
    free = max(0, options.rollout - busy)
    ready = [number for number in sorted(stale) if shards[number].ready]
    waiting = set() if asked.suspend else set(ready[free:])
    return {number: Intent(holding, number in waiting) for number, holding in holdings.items()}
