"""What the watches have brought: modules, their objects and pods, kept small enough for thousands.

Documents are kept as compressed JSON without `managedFields`; of a pod only what decisions need. An object is
replaced only by a newer one: answers to our own writes arrive here too, before or after their watch event.
"""

import dataclasses
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from analysis_module import names
from analysis_operator.cluster import resources
from analysis_operator.decisions import fleet, pods
from analysis_operator.decisions.observed import Child, Document, Key, Module, Pod

ANNOTATION_PAUSED = f"{names.API_GROUP}/paused"
"""On a module: `true` makes the operator leave it alone, workers and all."""

_ORDINARY_WAITS = ("ContainerCreating", "PodInitializing")


@dataclasses.dataclass(frozen=True, slots=True)
class _Kept:
    """One object: which version of which incarnation, and its content."""

    uid: str
    version: int
    content: bytes | Pod


Place = tuple[str, str]
"""Kind and name, inside the namespace of a module."""


class Store:
    """The newest known state of everything that is watched; `changed` is told whose state is another."""

    def __init__(self, changed: Callable[[Key], None] = lambda _: None) -> None:
        self._changed = changed
        self._modules: dict[Key, _Kept] = {}
        self._objects: dict[Key, dict[Place, _Kept]] = {}

    # -- filling ------------------------------------------------------------------------------------

    def put(self, document: Document) -> bool:
        """Take an object over if it is newer than what is known; whether it was."""
        owner = owner_of(document)
        if owner is None:
            return False
        metadata = document["metadata"]
        uid, version = str(metadata.get("uid", "")), _version(document)
        known = self._find(owner, document)
        if known is not None and known.version >= version:
            return False
        kept = _Kept(uid, version, _content(document))
        if document["kind"] == names.KIND:
            self._modules[owner] = kept
        else:
            self._objects.setdefault(owner, {})[_place(document)] = kept
        self._changed(owner)
        return True

    def drop(self, document: Document) -> bool:
        """Forget an object that is gone, unless another one bears its name by now; whether it was known."""
        owner = owner_of(document)
        known = self._find(owner, document) if owner is not None else None
        if owner is None or known is None or known.uid != str(document["metadata"].get("uid", "")):
            return False
        if document["kind"] == names.KIND:
            del self._modules[owner]
        else:
            self._remove(owner, _place(document))
        self._changed(owner)
        return True

    def drop_child(self, owner: Key, kind: str, name: str) -> None:
        """Forget a child that we have deleted ourselves."""
        self._remove(owner, (kind, name))

    def _remove(self, owner: Key, place: Place) -> None:
        objects = self._objects.get(owner, {})
        objects.pop(place, None)
        if not objects:
            self._objects.pop(owner, None)

    def _find(self, owner: Key, document: Document) -> _Kept | None:
        if document["kind"] == names.KIND:
            return self._modules.get(owner)
        return self._objects.get(owner, {}).get(_place(document))

    # -- reading ------------------------------------------------------------------------------------

    def all_keys(self) -> list[Key]:
        """Every module there is, and every one that has left objects behind."""
        return sorted({*self._modules, *self._objects})

    def modules(self) -> Iterator[Module]:
        """Every module."""
        for key in list(self._modules):
            module = self.module(key)
            if module is not None:
                yield module

    def module(self, key: Key) -> Module | None:
        """One module, None if there is none."""
        kept = self._modules.get(key)
        return None if kept is None else _module(key, _document(kept))

    def children(self, key: Key, uid: str) -> tuple[Child, ...]:
        """What was made for the module of this uid; a namesake's leftovers are not it."""
        kept = self._objects.get(key, {}).values()
        documents = (_document(each) for each in kept if not isinstance(each.content, Pod))
        return tuple(Child(document) for document in documents if _owner_uid(document) in (uid, None))

    def pods(self, key: Key) -> tuple[Pod, ...]:
        """The module's pods, by name."""
        kept = (each.content for each in self._objects.get(key, {}).values())
        return tuple(sorted((each for each in kept if isinstance(each, Pod)), key=lambda pod: pod.name))

    def known(self, kind: str) -> dict[tuple[Key, str], tuple[str, int]]:
        """Of a kind: uid and version of each object by its owner and name, for the resync."""
        if kind == names.KIND:
            return {(key, key.name): (kept.uid, kept.version) for key, kept in self._modules.items()}
        return {
            (key, name): (kept.uid, kept.version)
            for key, objects in self._objects.items()
            for (each, name), kept in objects.items()
            if each == kind
        }


def owner_of(document: Document) -> Key | None:
    """The module that an object is or belongs to by its label, None if to none."""
    metadata = document["metadata"]
    if document["kind"] == names.KIND:
        return Key(metadata["namespace"], metadata["name"])
    owner = (metadata.get("labels") or {}).get(names.LABEL_MODULE)
    return Key(metadata["namespace"], owner) if owner else None


def _place(document: Document) -> Place:
    return str(document["kind"]), str(document["metadata"]["name"])


def _version(document: Document) -> int:
    """The resourceVersion as a number: of one object the larger is the newer.

    Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions
    """
    text = str(document["metadata"].get("resourceVersion", ""))
    return int(text) if text.isascii() and text.isdigit() else 0


def _owner_uid(document: Document) -> str | None:
    references: Iterable[Mapping[str, Any]] = document["metadata"].get("ownerReferences") or ()
    return next((str(each["uid"]) for each in references if each.get("kind") == names.KIND), None)


def _content(document: Document) -> bytes | Pod:
    if document["kind"] == resources.POD.kind:
        return _pod(document)
    metadata = {name: part for name, part in document["metadata"].items() if name != "managedFields"}
    text = json.dumps({**document, "metadata": metadata}, separators=(",", ":"))
    return zlib.compress(text.encode(), level=1)


def _document(kept: _Kept) -> Document:
    assert isinstance(kept.content, bytes)
    document: Document = json.loads(zlib.decompress(kept.content))
    return document


def _module(key: Key, document: Document) -> Module:
    metadata = document["metadata"]
    spec, status = document.get("spec"), document.get("status")
    return Module(
        key=key,
        uid=str(metadata.get("uid", "")),
        generation=int(metadata.get("generation", 0)),
        created_at=str(metadata.get("creationTimestamp", "")),
        spec=spec if isinstance(spec, dict) else {},
        status=status if isinstance(status, dict) else {},
        deleting="deletionTimestamp" in metadata,
        paused=(metadata.get("annotations") or {}).get(ANNOTATION_PAUSED) == "true",
    )


def _pod(document: Document) -> Pod:
    metadata, status = document["metadata"], document.get("status") or {}
    conditions = {each["type"]: each["status"] for each in status.get("conditions") or ()}
    containers = status.get("containerStatuses") or ()
    waits = [(each.get("state") or {}).get("waiting", {}).get("reason") for each in containers]
    annotations = metadata.get("annotations") or {}
    shard = fleet.shard_number(document)
    return Pod(
        name=str(metadata["name"]),
        uid=str(metadata.get("uid", "")),
        shard=-1 if shard is None else shard,
        ip=status.get("podIP") or None,
        alive=status.get("phase") not in ("Succeeded", "Failed"),
        ready=conditions.get("Ready") == "True",
        terminating="deletionTimestamp" in metadata,
        stamp=annotations.get(names.ANNOTATION_CONFIG_STAMP),
        rollout=annotations.get(pods.ANNOTATION_ROLLOUT),
        waiting=next((wait for wait in waits if wait and wait not in _ORDINARY_WAITS), None),
        restarts=sum(int(each.get("restartCount", 0)) for each in containers),
    )
