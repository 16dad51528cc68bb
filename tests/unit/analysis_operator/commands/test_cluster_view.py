"""What the commands see: modules, their objects and neighbours, and the stations of their workers."""

import argparse
from typing import Any

import pytest

from analysis_module import errors
from analysis_operator.cluster.api import ApiError, CannotConnect
from analysis_operator.commands import cluster_view
from analysis_operator.decisions.observed import Key, Module
from tests.unit.analysis_operator.commands import views

DEMO = Key("default", "demo")
PAGE = "/status?stations=100000"


async def a_view(*pages: Any) -> tuple[cluster_view.View, Module]:
    """A view of two workers that answer with these pages."""
    fleet = views.running()
    view = await views.view_of(fleet)
    api: Any = view._api
    for shard, page in enumerate(pages):
        api.pages[fleet.pod(shard).name, PAGE] = page
    module = view.store.module(DEMO)
    assert module is not None
    return view, module


async def test_a_module_is_seen_with_its_objects_and_pods() -> None:
    view, module = await a_view()
    seen = view.observed(module)
    assert (len(seen.children), len(seen.pods), seen.reports) == (7, 2, {})


async def test_stations_are_those_of_all_workers_in_order() -> None:
    view, module = await a_view(
        {"stations": [{"station_id": "B"}]}, {"stations": [{"station_id": "A"}, {"station_id": "B"}]}
    )
    assert await view.stations(module) == ["A", "B"]


@pytest.mark.parametrize("page", [ApiError(503, "no endpoints"), {}, {"stations": [{}]}, {"stations": None}])
async def test_stations_are_not_known_if_one_worker_is_not_reached(page: Any) -> None:
    view, module = await a_view({"stations": []}, page)
    assert await view.stations(module) is None


@pytest.mark.parametrize(
    ("metadata", "namespace", "key"),
    [
        ({"name": "a"}, None, Key("default", "a")),
        ({"name": "a"}, "typed", Key("typed", "a")),
        ({"name": "a", "namespace": "own"}, "typed", Key("own", "a")),
    ],
)
def test_a_manifests_own_namespace_wins(metadata: Any, namespace: str | None, key: Key) -> None:
    assert cluster_view.key_of({"metadata": metadata}, namespace) == key


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InvalidSpec([errors.Problem("spec.module", "is missing", "give a name")]), 2),
        (CannotConnect("no way to a Kubernetes API; set KUBECONFIG"), 3),
        (ApiError(403, "list analysismodules: forbidden"), 3),
    ],
)
def test_an_error_is_told_and_gives_its_exit_code(
    error: Exception, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    async def work() -> int:
        raise error

    assert cluster_view.told(work) == code
    assert str(error) in capsys.readouterr().err


def test_a_cluster_is_named_as_kubectl_has_it() -> None:
    parser = argparse.ArgumentParser()
    cluster_view.add_arguments(parser)
    found = parser.parse_args(["-n", "x", "--kubeconfig", "f", "--context", "c"])
    assert (found.namespace, found.kubeconfig, found.context) == ("x", "f", "c")
