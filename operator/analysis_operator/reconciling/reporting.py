"""Report: writes a module's status, and only when it says something new."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from analysis_module import names
from analysis_module.status import ModuleStatus
from analysis_operator.cluster import resources
from analysis_operator.cluster.api import Api
from analysis_operator.cluster.store import Store
from analysis_operator.decisions.observed import Key, Module

FIGURES_SECONDS = 30.0
"""Figures that change all the time are written at most so often, unless something else is to be said."""

_FIGURES = ("stations", "lag", "lagSeconds", "rate")
_SHARD_FIGURES = ("stations", "lag")


class Reporter:
    """Writes statuses by server-side apply; `clock` gives seconds that only grow."""

    def __init__(self, api: Api, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._api = api
        self._store = store
        self._written_at: dict[Key, float] = {}

    async def report(self, module: Module, told: ModuleStatus) -> bool:
        """Write the status if it is due; whether it was. Raises ApiError."""
        document = told.to_json()
        if document == module.status or not self._is_due(module, document):
            return False
        answer = await self._api.apply(
            resources.MODULE,
            {
                "apiVersion": names.API_GROUP_VERSION,
                "kind": names.KIND,
                "metadata": {"namespace": module.key.namespace, "name": module.key.name},
                "status": document,
            },
            "status",
        )
        self._written_at[module.key] = self._clock()
        self._store.put(answer)
        return True

    def forget(self, key: Key) -> None:
        """Drop what is remembered of a module that is gone."""
        self._written_at.pop(key, None)

    def _is_due(self, module: Module, document: Mapping[str, Any]) -> bool:
        if _without_figures(document) != _without_figures(module.status):
            return True
        written_at = self._written_at.get(module.key)
        return written_at is None or self._clock() - written_at >= FIGURES_SECONDS


def _without_figures(document: Mapping[str, Any]) -> dict[str, Any]:
    shards = [
        {name: value for name, value in shard.items() if name not in _SHARD_FIGURES}
        for shard in document.get("shards") or ()
    ]
    kept = {name: value for name, value in document.items() if name not in _FIGURES}
    return {**kept, "shards": shards}
