"""The kinds of Kubernetes objects that the operator touches, and their paths in the API."""

import dataclasses

from analysis_module import names

OWN_SELECTOR = f"{names.LABEL_MANAGED_BY}={names.OPERATOR_NAME}"
"""The label selector of what the operator makes."""


@dataclasses.dataclass(frozen=True)
class Resource:
    """One kind: where it is in the API, and the label selector of those that concern the operator."""

    kind: str
    api_version: str
    plural: str
    selector: str = OWN_SELECTOR

    @property
    def group(self) -> str:
        """The API group, "" for the core one."""
        return self.api_version.rpartition("/")[0]

    @property
    def version(self) -> str:
        """The version without the group."""
        return self.api_version.rpartition("/")[2]

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str = "") -> str:
        """The path of the collection, of one object, or of a part of it; None: of all namespaces."""
        path = f"/{'apis' if self.group else 'api'}/{self.api_version}"
        if namespace is not None:
            path += f"/namespaces/{namespace}"
        path += f"/{self.plural}"
        if name is not None:
            path += f"/{name}"
        return f"{path}/{subresource}" if subresource else path


MODULE = Resource(names.KIND, names.API_GROUP_VERSION, names.PLURAL, selector="")
CONFIG_MAP = Resource("ConfigMap", "v1", "configmaps")
DEPLOYMENT = Resource("Deployment", "apps/v1", "deployments")
SERVICE = Resource("Service", "v1", "services")
DISRUPTION_BUDGET = Resource("PodDisruptionBudget", "policy/v1", "poddisruptionbudgets")
NETWORK_POLICY = Resource("NetworkPolicy", "networking.k8s.io/v1", "networkpolicies")
POD = Resource("Pod", "v1", "pods")
EVENT = Resource("Event", "v1", "events")
LEASE = Resource("Lease", "coordination.k8s.io/v1", "leases")

WATCHED = (MODULE, CONFIG_MAP, DEPLOYMENT, SERVICE, DISRUPTION_BUDGET, NETWORK_POLICY, POD)
"""What the operator keeps track of; of all but the first only what bears its label."""
BY_KIND = {resource.kind: resource for resource in (*WATCHED, EVENT, LEASE)}
