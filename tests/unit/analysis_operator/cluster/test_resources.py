"""Kinds and their paths in the API."""

import pytest

from analysis_operator.cluster import resources
from analysis_operator.cluster.resources import Resource
from tests.unit.analysis_operator import fleets


@pytest.mark.parametrize(
    ("resource", "arguments", "path"),
    [
        (resources.POD, (), "/api/v1/pods"),
        (resources.POD, ("ns",), "/api/v1/namespaces/ns/pods"),
        (resources.POD, ("ns", "p"), "/api/v1/namespaces/ns/pods/p"),
        (resources.DEPLOYMENT, ("ns", "d"), "/apis/apps/v1/namespaces/ns/deployments/d"),
        (
            resources.MODULE,
            ("ns", "m", "status"),
            "/apis/dataanalysis.io/v1alpha1/namespaces/ns/analysismodules/m/status",
        ),
        (resources.LEASE, (None,), "/apis/coordination.k8s.io/v1/leases"),
    ],
)
def test_a_path_names_group_version_namespace_object_and_part(
    resource: Resource, arguments: tuple[str, ...], path: str
) -> None:
    assert resource.path(*arguments) == path


def test_group_and_version_are_told_apart() -> None:
    assert (resources.POD.group, resources.POD.version) == ("", "v1")
    assert (resources.NETWORK_POLICY.group, resources.NETWORK_POLICY.version) == ("networking.k8s.io", "v1")


def test_every_kind_that_is_made_is_watched() -> None:
    made = {each.manifest["kind"] for each in fleets.Fleet().plan().apply}
    assert made | {"AnalysisModule", "Pod"} == {resource.kind for resource in resources.WATCHED}


def test_all_that_is_watched_bears_our_label_but_the_modules() -> None:
    unlabelled = [resource for resource in resources.WATCHED if resource.selector != resources.OWN_SELECTOR]
    assert unlabelled == [resources.MODULE]
    assert resources.MODULE.selector == ""


def test_no_kind_is_a_secret() -> None:
    assert "secrets" not in {each.plural for each in resources.BY_KIND.values()}
