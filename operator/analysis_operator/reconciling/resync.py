"""The slow comparison with the API server: finds what a watch has not brought, and watches that are silent.

A watch may die without a word, and one that starts anew says nothing of what was deleted meanwhile. So every
minute the metadata of all objects are listed; whatever the store still does not know some seconds later was
missed by its watch, and is fetched. Misses in two comparisons with no event between mean a silent watch.
"""

import asyncio
import dataclasses
import logging
import time
from collections.abc import Callable, Sequence
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

Place = tuple[Key, str]
"""The module that an object belongs to, and its name."""


@dataclasses.dataclass(frozen=True)
class _Suspect:
    """An object as a list showed it; `version` None: it was not there."""

    uid: str
    version: int | None = None

    def is_unknown_to(self, known: tuple[str, int] | None) -> bool:
        """Whether who knows that uid and version has not heard of it."""
        if self.version is None:
            return known is not None and known[0] == self.uid
        return known is None or known[1] < self.version


class Resync:
    """Compares the store with the API server; `silent` names the resources whose watch brings nothing."""

    def __init__(
        self,
        api: Api,
        store: Store,
        namespaces: Namespaces,
        metrics: OperatorMetrics,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._api = api
        self._store = store
        self._namespaces = namespaces
        self._metrics = metrics
        self._misses: dict[str, int] = {}
        self.compared_at = self._clock()

    @property
    def silent(self) -> tuple[str, ...]:
        """Plurals of the resources whose watch seems dead."""
        return tuple(plural for plural, misses in self._misses.items() if misses >= _SILENT_AFTER)

    def heard(self, resource: Resource) -> None:
        """A watch has brought something."""
        self._misses.pop(resource.plural, None)

    async def fill(self) -> None:
        """List everything, content and all: before this nothing may be decided. Raises ApiError."""
        for resource in resources.WATCHED:
            for namespace in self._each_namespace():
                async for document in self._api.list(resource, namespace, selector=resource.selector):
                    self._store.put(document)
        self.compared_at = self._clock()

    async def refresh(self) -> None:
        """Fetch what the store does not know yet, be it missed or only on its way. Raises ApiError."""
        for resource in resources.WATCHED:
            for place in await self._suspects(resource):
                await self._mend(resource, place)
        self.compared_at = self._clock()

    async def run(self, every_seconds: float) -> None:
        """Compare again and again until cancelled, sooner after one that failed."""
        due = self._clock() + every_seconds
        while True:
            await asyncio.sleep(max(0.0, due - self._clock()))
            due = self._clock() + every_seconds
            try:
                await self.compare()
            except ApiError as error:
                due = self._clock() + min(_RETRY_SECONDS, every_seconds)
                log.warning("no comparison with the API server: %s", error)

    async def compare(self) -> int:
        """One comparison; how many changes the watches had missed. Raises ApiError."""
        suspects = {resource: await self._suspects(resource) for resource in resources.WATCHED}
        if any(suspects.values()):
            await asyncio.sleep(_GRACE_SECONDS)
        missed = 0
        for resource, listed in suspects.items():
            known = self._store.known(resource.kind)
            still = [place for place, suspect in listed.items() if suspect.is_unknown_to(known.get(place))]
            found = sum([await self._mend(resource, place) for place in still])
            missed += found
            if found:
                self._misses[resource.plural] = self._misses.get(resource.plural, 0) + 1
                self._metrics.watch_missed.labels(resource.plural).inc(found)
                log.warning("the watch of %s had missed %s changes", resource.plural, found)
        self._metrics.resyncs.inc()
        self.compared_at = self._clock()
        return missed

    async def _suspects(self, resource: Resource) -> dict[Place, _Suspect]:
        """Each object that the store knows otherwise than the API server does."""
        before = self._store.known(resource.kind)
        there: dict[Place, _Suspect] = {}
        for namespace in self._each_namespace():
            listed = self._api.list(resource, namespace, selector=resource.selector, metadata_only=True)
            async for item in listed:
                owner = owner_of({**item, "kind": resource.kind})
                if owner is not None:
                    metadata: dict[str, Any] = item["metadata"]
                    suspect = _Suspect(metadata["uid"], int(metadata["resourceVersion"]))
                    there[owner, metadata["name"]] = suspect
        after = self._store.known(resource.kind)
        newer = {place: each for place, each in there.items() if each.is_unknown_to(after.get(place))}
        gone = {place: _Suspect(after[place][0]) for place in before.keys() & after.keys() - there.keys()}
        return {**newer, **gone}

    async def _mend(self, resource: Resource, place: Place) -> bool:
        """Make the store know one object as it is now; whether it did not."""
        owner, name = place
        # By a list: the right to list is needed anyway, that to get is not.
        found = self._api.list(resource, owner.namespace, selector=resource.selector, name=name)
        document = next(iter([each async for each in found]), None)
        changed = document is not None and self._store.put({**document, "kind": resource.kind})
        known = self._store.known(resource.kind).get(place)
        if known is not None and (document is None or document["metadata"]["uid"] != known[0]):
            gone = {"namespace": owner.namespace, "name": name, "uid": known[0]}
            labels = {"labels": {names.LABEL_MODULE: owner.name}}
            changed |= self._store.drop({"kind": resource.kind, "metadata": {**gone, **labels}})
        return changed

    def _each_namespace(self) -> Sequence[str | None]:
        return [None] if self._namespaces is None else self._namespaces
