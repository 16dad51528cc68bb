"""The Kubernetes API in memory, as `analysis_operator.cluster.api.Api` speaks to it, with faults on command.

Played: versions, uids, generations, create, update with its conflict, server-side apply of one manager over
what others set, merge patches, the status subresource, deletion, lists by label. Not played: schemas,
defaults, owners' garbage collection, watches.
"""

import asyncio
import collections
import copy
from collections.abc import AsyncIterator, Mapping
from typing import Any

from analysis_operator.cluster.api import ApiError
from analysis_operator.cluster.resources import Resource

Place = tuple[str, str, str]
"""Kind, namespace and name of an object."""
_OWN = ("uid", "resourceVersion", "generation", "creationTimestamp")
"""What the API server alone says of an object."""


class FakeApi:
    """A cluster's objects; `requests` are the verb, kind and name of each request that was made."""

    def __init__(self) -> None:
        self.objects: dict[Place, dict[str, Any]] = {}
        self.requests: list[tuple[str, str, str]] = []
        self.pages: dict[tuple[str, str], Any] = {}
        """What pods answer to `proxied`, by pod and path; an ApiError is raised."""
        self._applied: dict[Place, dict[str, Any]] = {}
        self._faults: dict[str, collections.deque[ApiError]] = collections.defaultdict(collections.deque)
        self._hangs: set[str] = set()
        self._version = 100

    # -- commands of a test -------------------------------------------------------------------------

    def fail_next(self, n: int, verb: str, error: ApiError | None = None) -> None:
        """The next `n` requests of a verb fail: without an answer, if not said otherwise."""
        self._faults[verb].extend([error or ApiError(0, f"{verb} fails on command")] * n)

    def hang(self, *verbs: str) -> None:
        """Requests of these verbs, and of no others, are never answered from now on."""
        self._hangs = set(verbs)

    def put(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Let somebody else create an object, of the uid that it says if any, or write it as it is given."""
        metadata = document["metadata"]
        place = document["kind"], metadata.get("namespace", "default"), metadata["name"]
        written = self._written(place, copy.deepcopy(dict(document)), uid=metadata.get("uid"))
        return copy.deepcopy(written)

    def count(self, verb: str) -> int:
        """How many requests of a verb were made."""
        return sum(1 for each in self.requests if each[0] == verb)

    # -- the API ------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Nothing is open."""

    async def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any] | None:
        """One object, None if there is none."""
        await self._reached("get", resource, name)
        return copy.deepcopy(self.objects.get((resource.kind, namespace, name)))

    async def create(self, resource: Resource, namespace: str, document: Any) -> dict[str, Any]:
        """Create an object; 409 if there is one."""
        place = resource.kind, namespace, document["metadata"]["name"]
        await self._reached("create", resource, place[2])
        if place in self.objects:
            raise ApiError(409, f'create {resource.plural}: {resource.plural} "{place[2]}" already exists')
        return copy.deepcopy(self._written(place, copy.deepcopy(dict(document))))

    async def update(self, resource: Resource, document: Mapping[str, Any]) -> dict[str, Any]:
        """Replace an object of this resourceVersion; 409 if it has another, 404 if there is none."""
        metadata = document["metadata"]
        place = resource.kind, metadata["namespace"], metadata["name"]
        await self._reached("update", resource, place[2])
        present = self._present("update", resource, place)
        asked = metadata.get("resourceVersion")
        if asked is not None and asked != present["metadata"]["resourceVersion"]:
            raise ApiError(409, f"update {resource.plural} {place[2]}: the object has been modified")
        return copy.deepcopy(self._written(place, copy.deepcopy(dict(document))))

    async def apply(
        self, resource: Resource, document: Mapping[str, Any], subresource: str = ""
    ) -> dict[str, Any]:
        """Apply as one manager: fields that it applied before and does not name any more go."""
        metadata = document["metadata"]
        place = resource.kind, metadata["namespace"], metadata["name"]
        await self._reached("patch", resource, place[2])
        wanted = copy.deepcopy(dict(document))
        if subresource:
            present = copy.deepcopy(self._present("patch", resource, place))
            return copy.deepcopy(self._written(place, {**present, subresource: wanted[subresource]}))
        present = copy.deepcopy(self.objects.get(place, {}))
        _remove(present, self._applied.get(place, {}), wanted)
        self._applied[place] = wanted
        return copy.deepcopy(self._written(place, _merged(present, wanted)))

    async def merge(
        self, resource: Resource, namespace: str, name: str, change: Mapping[str, Any]
    ) -> dict[str, Any]:
        """A merge patch (RFC 7386); 404 if there is no such object."""
        await self._reached("patch", resource, name)
        place = resource.kind, namespace, name
        present = copy.deepcopy(self._present("patch", resource, place))
        return copy.deepcopy(self._written(place, _merged(present, change)))

    async def delete(self, resource: Resource, namespace: str, name: str) -> None:
        """Delete an object; none is fine too."""
        await self._reached("delete", resource, name)
        self.objects.pop((resource.kind, namespace, name), None)
        self._applied.pop((resource.kind, namespace, name), None)

    async def list(
        self,
        resource: Resource,
        namespace: str | None,
        *,
        selector: str = "",
        name: str | None = None,
        metadata_only: bool = False,
    ) -> AsyncIterator[dict[str, Any]]:
        """All objects of a kind that bear the labels of the selector, of this name if one is given."""
        await self._reached("list", resource, "")
        wanted = dict(each.split("=") for each in selector.split(",") if each)
        for (kind, there, called), document in sorted(self.objects.items()):
            labels = document["metadata"].get("labels") or {}
            fits = wanted.items() <= labels.items() and name in (None, called)
            if kind == resource.kind and namespace in (None, there) and fits:
                found = {"metadata": document["metadata"]} if metadata_only else document
                yield {"kind": kind, "apiVersion": resource.api_version, **copy.deepcopy(found)}

    async def proxied(self, namespace: str, pod: str, path: str) -> dict[str, Any]:
        """What a pod answers."""
        self.requests.append(("get", "Pod", pod))
        answer = self.pages.get((pod, path), ApiError(503, "no endpoints"))
        if isinstance(answer, Exception):
            raise answer
        found: dict[str, Any] = answer
        return found

    # -- inside -------------------------------------------------------------------------------------

    async def _reached(self, verb: str, resource: Resource, name: str) -> None:
        self.requests.append((verb, resource.kind, name))
        if verb in self._hangs:
            await asyncio.Event().wait()
        if self._faults[verb]:
            raise self._faults[verb].popleft()

    def _present(self, verb: str, resource: Resource, place: Place) -> dict[str, Any]:
        if place not in self.objects:
            raise ApiError(
                404, f'{verb} {resource.plural} {place[2]}: {resource.plural} "{place[2]}" not found'
            )
        return self.objects[place]

    def _written(self, place: Place, document: dict[str, Any], *, uid: str | None = None) -> dict[str, Any]:
        """Keep an object; one that is as it was keeps its version."""
        present = self.objects.get(place)
        said = {name: value for name, value in document["metadata"].items() if name not in _OWN}
        document["metadata"] = {**said, "namespace": place[1]}
        if present is not None and _bare(present) == _bare(document):
            return present
        self._version += 1
        own = present["metadata"] if present is not None else {}
        same_spec = present is not None and present.get("spec") == document.get("spec")
        document["metadata"] |= {
            "uid": own.get("uid", uid or f"uid-{self._version}"),
            "creationTimestamp": own.get("creationTimestamp", "2026-01-01T00:00:00Z"),
            "generation": own.get("generation", 0) + (not same_spec),
            "resourceVersion": str(self._version),
        }
        self.objects[place] = document
        return document


def _bare(document: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {name: value for name, value in document["metadata"].items() if name not in _OWN}
    return {**document, "metadata": metadata}


def _merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """RFC 7386: objects merge, null removes, everything else is replaced."""
    merged = dict(base)
    for name, value in change.items():
        present = merged.get(name)
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, Mapping):
            merged[name] = _merged(present if isinstance(present, Mapping) else {}, value)
        else:
            merged[name] = copy.deepcopy(value)
    return merged


def _remove(present: dict[str, Any], before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Remove what was applied before and is not any more."""
    for name, value in before.items():
        if name not in now:
            present.pop(name, None)
        elif isinstance(value, Mapping) and isinstance(present.get(name), dict):
            _remove(present[name], value, now[name] if isinstance(now[name], Mapping) else {})
