"""The slow comparison with the API server: finds what a watch has not brought, and watches that are silent.

A watch may die without a word, and one that starts anew says nothing of what was deleted meanwhile. So every
minute the metadata of all objects are listed; whatever the store still does not know some seconds later was
missed by its watch, and is fetched. Misses in two comparisons in a row mean that the watch is silent.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any

from analysis_module import names
from analysis_operator.cluster import resources
from analysis_operator.cluster.api import Api, ApiError
from analysis_operator.cluster.resources import Resource
from analysis_operator.cluster.store import Store, owner_of
from analysis_operator.decisions.observed import Key
from analysis_operator.metrics import OperatorMetrics

log = logging.getLogger(__name__)

_GRACE_SECONDS = 5.0
"""How long a watch may take to bring what a list has shown already."""
_RETRY_SECONDS = 5.0
_SILENT_AFTER = 2

Namespaces = Sequence[str] | None
"""The namespaces that are watched; None: all of them."""


class Resync:
    """Compares the store with the API server; `silent` names the resources whose watch brings nothing."""

    def __init__(self, api: Api, store: Store, namespaces: Namespaces, metrics: OperatorMetrics) -> None:
        self._api = api
        self._store = store
        self._namespaces = namespaces
        self._metrics = metrics
        self._misses: dict[str, int] = {}
        self.compared_at = time.monotonic()

    @property
    def silent(self) -> tuple[str, ...]:
        """Plurals of the resources whose watch seems dead."""
        return tuple(plural for plural, misses in self._misses.items() if misses >= _SILENT_AFTER)

    async def fill(self) -> None:
        """List everything, content and all: before this nothing may be decided. Raises ApiError."""
        for resource in resources.WATCHED:
            for namespace in self._each_namespace():
                async for document in self._api.list(resource, namespace, selector=_selector(resource)):
                    self._store.put(document)
        self.compared_at = time.monotonic()

    async def refresh(self) -> None:
        """Fetch what the store does not know yet, be it missed or only on its way. Raises ApiError."""
        for resource in resources.WATCHED:
            for owner, name in await self._differences(resource):
                await self._mend(resource, owner, name)
        self.compared_at = time.monotonic()

    async def run(self, every_seconds: float) -> None:
        """Compare again and again until cancelled, sooner after one that failed."""
        due = time.monotonic() + every_seconds
        while True:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            due = time.monotonic() + every_seconds
            try:
                await self.compare()
            except ApiError as error:
                due = time.monotonic() + min(_RETRY_SECONDS, every_seconds)
                log.warning("no comparison with the API server: %s", error)

    async def compare(self) -> int:
        """One comparison; how many changes the watches had missed. Raises ApiError."""
        suspects = {resource: await self._differences(resource) for resource in resources.WATCHED}
        if any(suspects.values()):
            await asyncio.sleep(_GRACE_SECONDS)
        missed = 0
        for resource, before in suspects.items():
            found = (await self._differences(resource)) & before if before else set()
            for owner, name in found:
                await self._mend(resource, owner, name)
            missed += len(found)
            self._misses[resource.plural] = self._misses.get(resource.plural, 0) + 1 if found else 0
            if found:
                self._metrics.watch_missed.labels(resource.plural).inc(len(found))
                log.warning("the watch of %s had missed %s changes", resource.plural, len(found))
        self._metrics.resyncs.inc()
        self.compared_at = time.monotonic()
        return missed

    async def _differences(self, resource: Resource) -> set[tuple[Key, str]]:
        """Owner and name of each object that the store knows otherwise than the API server does."""
        before = self._store.known(resource.kind)
        there: dict[tuple[Key, str], tuple[str, int]] = {}
        for namespace in self._each_namespace():
            listed = self._api.list(resource, namespace, selector=_selector(resource), metadata_only=True)
            async for item in listed:
                document = {**item, "kind": resource.kind}
                owner = owner_of(document)
                if owner is not None:
                    metadata: dict[str, Any] = item["metadata"]
                    version = metadata["uid"], int(metadata["resourceVersion"])
                    there[owner, metadata["name"]] = version
        after = self._store.known(resource.kind)
        newer = {
            place
            for place, (uid, version) in there.items()
            if place not in after or after[place][0] != uid or after[place][1] < version
        }
        gone = {place for place in before.keys() & after.keys() if place not in there}
        return newer | gone

    async def _mend(self, resource: Resource, owner: Key, name: str) -> None:
        # By a list: the right to it is needed anyway.
        found = self._api.list(resource, owner.namespace, selector=_selector(resource), name=name)
        document = next(iter([each async for each in found]), None)
        if document is not None:
            self._store.put({**document, "kind": resource.kind})
        known = self._store.known(resource.kind).get((owner, name))
        if known is not None and (document is None or document["metadata"]["uid"] != known[0]):
            gone = {"namespace": owner.namespace, "name": name, "uid": known[0]}
            labels = {"labels": {names.LABEL_MODULE: owner.name}}
            self._store.drop({"kind": resource.kind, "metadata": {**gone, **labels}})

    def _each_namespace(self) -> Sequence[str | None]:
        return [None] if self._namespaces is None else self._namespaces


def _selector(resource: Resource) -> str:
    return "" if resource is resources.MODULE else resources.OWN_SELECTOR
