"""What a user does to be rid of modules and of the release, in whatever order."""

from analysis_module import names
from tests.infrastructure import api_client, helm, operator_account, release, waiting
from tests.infrastructure.release import Cluster
from tests.infrastructure.true_cluster import TrueCluster

PATIENCE_SECONDS = 120.0
CRD = f"{names.PLURAL}.{names.API_GROUP}"


def require_nothing_refused(found: release.Release) -> None:
    """Raises AssertionError if the operator asked for more than the chart grants; known of our cluster only.

    To be called before the release goes: its rights may go a moment before its pods.
    """
    if isinstance(found.cluster, TrueCluster):
        user = f"system:serviceaccount:{found.namespace}:{helm.RELEASE}"
        assert operator_account.refused_to(found.cluster.plane, user) == []


def remove_release(cluster: Cluster) -> None:
    """`helm uninstall` if there is a release, then its namespace; returns when that is gone."""
    found = release.found(cluster)
    if found is not None:
        require_nothing_refused(found)
        found.uninstall()
        remove_namespace(cluster, found.namespace)


def remove_namespace(cluster: Cluster, namespace: str) -> None:
    """`kubectl delete namespace`, until it is gone."""
    api = cluster.access.api
    api.delete(api_client.NAMESPACES, namespace)
    waiting.until(
        lambda: api.find(api_client.NAMESPACES, namespace) is None,
        what=f"the namespace {namespace} is gone",
        timeout_seconds=PATIENCE_SECONDS,
    )


def remove_crd(cluster: Cluster) -> None:
    """`kubectl delete crd`, and with it all modules, until it is gone; none is fine too."""
    api = cluster.access.api
    if api.find(api_client.CRDS, CRD) is not None:
        api.delete(api_client.CRDS, CRD)
    waiting.until(
        lambda: api.find(api_client.CRDS, CRD) is None,
        what="the CRD is gone",
        timeout_seconds=PATIENCE_SECONDS,
    )
