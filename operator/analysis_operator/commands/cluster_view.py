"""What the commands see of a cluster, with the rights of whoever types them."""

import argparse
import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from analysis_module import errors, names
from analysis_operator.cluster import api as apis
from analysis_operator.cluster import callback_files, resources
from analysis_operator.cluster.api import Api, ApiError
from analysis_operator.cluster.store import Store
from analysis_operator.decisions.observed import Callback, Key, Module, Observed
from analysis_operator.decisions.options import Options
from analysis_operator.reconciling.neighbourhood import Neighbourhood

DEFAULT_NAMESPACE = "default"
_NEWEST = 2**62
"""A version above all that an API server gives."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How to reach the cluster, as kubectl has it."""
    parser.add_argument("-n", "--namespace", help="default: every namespace that you may read")
    parser.add_argument("--kubeconfig", metavar="FILE", help="default: KUBECONFIG, else ~/.kube/config")
    parser.add_argument("--context", help="a context of the kubeconfig")


class View:
    """Modules and what belongs to them, read once."""

    def __init__(self, api: Api, options: Options) -> None:
        self.store = Store()
        self.neighbourhood = Neighbourhood(self.store, options)
        self._api = api
        self._options = options

    async def read(self, namespace: str | None, *, whole: bool = True) -> None:
        """Read the modules, with `whole` also their objects and pods; raises ApiError."""
        for resource in resources.WATCHED if whole else (resources.MODULE,):
            async for document in self._api.list(resource, namespace, selector=resource.selector):
                self.store.put(document)
        for module in self.store.modules():
            self.neighbourhood.note(module.key)

    def imagine(self, module: Module) -> None:
        """Let a module be as it would be, so that its neighbours are those that it would have."""
        metadata = {
            "namespace": module.key.namespace,
            "name": module.key.name,
            "uid": module.uid,
            "resourceVersion": str(_NEWEST),
            "generation": module.generation,
            "creationTimestamp": module.created_at,
        }
        document = {"kind": names.KIND, "metadata": metadata, "spec": module.spec, "status": module.status}
        self.store.put(document)
        self.neighbourhood.note(module.key)

    async def callback(self, module: Module) -> Callback | None:
        """The file that a module's callback refers to; raises ApiError."""
        return await callback_files.read(self._api, module, self._options)

    def observed(self, module: Module, callback: Callback | None = None) -> Observed:
        """A module as the operator sees it, but for its workers' own word."""
        return Observed(
            module=module,
            callback=callback,
            children=self.store.children(module.key, module.uid),
            pods=self.store.pods(module.key),
            neighbours=self.neighbourhood.of(module.key),
        )

    async def stations(self, module: Module) -> list[str] | None:
        """The stations that a module's workers have, by proxy; None if a worker is not reached."""
        found: set[str] = set()
        for pod in self.store.pods(module.key):
            with contextlib.suppress(ApiError, KeyError, ValueError, TypeError):
                page = await self._api.proxied(module.key.namespace, pod.name, "/status?stations=100000")
                found |= {str(each["station_id"]) for each in page["stations"]}
                continue
            return None
        return sorted(found)


@contextlib.asynccontextmanager
async def opened(arguments: argparse.Namespace, options: Options | None = None) -> AsyncIterator[View]:
    """A view of the cluster that the arguments name; raises CannotConnect."""
    configuration = await apis.configured(arguments.kubeconfig, arguments.context)
    api = Api(configuration)
    try:
        yield View(api, options or Options())
    finally:
        await api.close()


def told(work: Callable[[], Awaitable[int]]) -> int:
    """Run a command; its exit code, or 2 for a bad document and 3 for a cluster that cannot be read."""
    try:
        return asyncio.run(_awaited(work))
    except errors.InvalidSpec as error:
        print(error, file=sys.stderr)
        return 2
    except (apis.CannotConnect, ApiError) as error:
        print(error, file=sys.stderr)
        return 3


async def _awaited(work: Callable[[], Awaitable[int]]) -> int:
    return await work()


def key_of(document: dict[str, Any], namespace: str | None) -> Key:
    """Which module a manifest is about; `namespace` is for one that does not say its own."""
    metadata = document.get("metadata") or {}
    namespace = metadata.get("namespace") or namespace or DEFAULT_NAMESPACE
    return Key(namespace, str(metadata.get("name", "")))


def as_json(document: Any) -> str:
    """A document for programs."""
    return json.dumps(document, indent=2, ensure_ascii=False)
