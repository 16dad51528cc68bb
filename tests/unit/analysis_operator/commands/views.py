"""Views for the commands: of modules that run in memory."""

from collections.abc import Mapping
from typing import Any

from analysis_operator.commands.cluster_view import View
from analysis_operator.decisions.options import Options
from tests.fakes.api import FakeApi
from tests.unit.analysis_operator import documents, fleets
from tests.unit.analysis_operator.fleets import Fleet


async def view_of(*found: Fleet, modules: Mapping[str, Mapping[str, Any]] | None = None) -> View:
    """A view of these fleets, and of further modules that do not run, by name."""
    api = FakeApi()
    for fleet in found:
        module = fleet.module
        metadata = {"generation": module.generation, "uid": module.uid}
        api.put(documents.a_module(spec=module.spec, status=module.status, **metadata))
        for document in fleet.objects.values():
            api.put(document)
        for pod in fleet.pods.values():
            annotations = {"dataanalysis.io/rollout": pod.rollout}
            api.put(documents.a_pod(pod.name, shard=pod.shard, annotations=annotations))
    for name, spec in (modules or {}).items():
        api.put(documents.a_module(name, spec=spec))
    view = View(api, Options())  # type: ignore[arg-type]
    await view.read(None)
    return view


def running(replicas: int = 2, **spec: Any) -> Fleet:
    """A fleet that runs, with as many slots as are easy to count."""
    return fleets.settled(a_spec(replicas, **spec))


def a_spec(replicas: int = 2, **spec: Any) -> dict[str, Any]:
    """The spec of such a fleet."""
    return fleets.a_spec(partitioning={"slots": 8}, workers={"replicas": replicas}, **spec)


def manifest(spec: Mapping[str, Any], name: str = "demo") -> dict[str, Any]:
    """What a user would apply."""
    return {
        "apiVersion": "dataanalysis.io/v1alpha1",
        "kind": "AnalysisModule",
        "metadata": {"name": name},
        "spec": dict(spec),
    }
