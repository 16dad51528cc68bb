"""Apply: does what a plan says, in its order; what the API server answers goes to the store at once."""

from typing import Any

from analysis_module import names
from analysis_operator.cluster import resources
from analysis_operator.cluster.api import Api, ApiError
from analysis_operator.cluster.store import Store
from analysis_operator.decisions.observed import Module
from analysis_operator.decisions.planning import Apply, Plan


class NameTaken(Exception):
    """An object of the name that a module needs is somebody else's: names it and the mend."""


class Applier:
    """Writes to the API server."""

    def __init__(self, api: Api, store: Store) -> None:
        self._api = api
        self._store = store

    async def carry_out(self, module: Module, plan: Plan) -> None:
        """Apply, stamp, delete; raises ApiError or NameTaken at the first step that fails."""
        for each in plan.apply:
            await self._apply(module, each)
        for stamp in plan.stamp:
            annotation = {names.ANNOTATION_CONFIG_STAMP: stamp.value}
            change = {"metadata": {"annotations": annotation}}
            try:
                pod = await self._api.merge(resources.POD, module.key.namespace, stamp.pod, change)
            except ApiError as error:
                if error.status != 404:  # else it is gone already
                    raise
                continue
            self._store.put(pod)
        for reference in plan.delete:
            resource = resources.BY_KIND[reference.kind]
            await self._api.delete(resource, module.key.namespace, reference.name)
            self._store.drop_child(module.key, reference.kind, reference.name)

    async def _apply(self, module: Module, wanted: Apply) -> None:
        resource = resources.BY_KIND[wanted.reference.kind]
        if wanted.new:
            there = await self._api.get(resource, module.key.namespace, wanted.reference.name)
            if there is not None and not _is_of(there, module):
                wrong = f"{wanted.reference} exists and is not this module's"
                raise NameTaken(f"{wrong}; delete it, or name the module otherwise")
        self._store.put(await self._api.apply(resource, wanted.manifest))


def _is_of(document: dict[str, Any], module: Module) -> bool:
    references = document["metadata"].get("ownerReferences") or ()
    return any(each.get("uid") == module.uid for each in references)
