"""Rolling edits: what each shard's pod is made for, which are replaced now, which wait for their turn."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from analysis_module import spec
from analysis_operator.decisions import pods
from analysis_operator.decisions.fleet import Shard
from analysis_operator.decisions.handover import Holding
from analysis_operator.decisions.options import Options


@dataclasses.dataclass(frozen=True)
class Intent:
    """What one shard shall be: what it holds, and whether it waits for its turn in a rolling edit.

    `defaults` are the operator's in its pod, `rollout` names them and the rest that pods are replaced for.
    """

    holding: Holding
    waits: bool
    defaults: Mapping[str, Any]
    rollout: str


def intended(
    asked: spec.ModuleSpec,
    shards: Mapping[int, Shard],
    holdings: Mapping[int, Holding],
    options: Options,
) -> dict[int, Intent]:
    """Lay a rolling edit over the shards: at most `options.rollout` are being replaced at a time.

    A shard that is not ready anyway is replaced at once: waiting would only keep it down for longer. Without
    `options.roll_on_upgrade` a shard keeps the operator's defaults that it has until an edit replaces it.
    """
    rolling = pods.rolling_document(asked)
    known = {number: shards.get(number, Shard(shard=number)) for number in holdings}
    defaults = {number: _defaults(asked, rolling, shard, options) for number, shard in known.items()}
    rollouts = {number: pods.rollout_of(rolling, each) for number, each in defaults.items()}
    stale = [
        number
        for number, shard in sorted(known.items())
        if shard.assignment is not None and shard.rollout not in (None, rollouts[number])
    ]
    busy = sum(1 for shard in known.values() if shard.rollout is not None and not shard.ready)
    ready = [number for number in stale if known[number].ready]
    waiting = set() if asked.suspend else set(ready[max(0, options.rollout - busy) :])
    return {
        number: Intent(holding, number in waiting, defaults[number], rollouts[number])
        for number, holding in holdings.items()
    }


def _defaults(
    asked: spec.ModuleSpec, rolling: list[Any], shard: Shard, options: Options
) -> Mapping[str, Any]:
    """The defaults that a shard has if nothing else replaces it, else the present ones."""
    kept = shard.defaults
    if kept and not options.roll_on_upgrade and shard.rollout == pods.rollout_of(rolling, kept):
        return kept
    return pods.defaults_of(asked, options)
