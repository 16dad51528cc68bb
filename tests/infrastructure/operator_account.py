"""The account that an operator under test runs with: the rights that the chart grants it, and no others.

The API server's audit log says which of them it used and what was forbidden to it.
"""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from analysis_module import names
from tests.infrastructure import api_client, helm, waiting
from tests.infrastructure.control_plane import ControlPlane

Right = tuple[str, str]
"""Resource (with its subresource) and verb."""

GRANTS = ("ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")
DISCOVERY = {("", "get")}
PATIENCE_SECONDS = 30.0


class OperatorAccount:
    """A service account with the rights of a release whose Lease is in `namespace`.

    The release serves the namespaces of `serves`, or all of them: then it has a ClusterRole, and no other
    release on the control plane may have its name. All releases in a namespace share one Lease.
    """

    def __init__(
        self,
        plane: ControlPlane,
        namespace: str,
        *,
        serves: Sequence[str] | None,
        name: str = helm.RELEASE,
    ) -> None:
        self.namespace = namespace
        self.scope: dict[str, Any] = {} if serves is None else {"namespaces": list(serves)}
        """What the operator's settings say of the namespaces that it serves."""
        self.user = f"system:serviceaccount:{namespace}:{name}"
        """Who it is in the audit log."""
        self._plane = plane
        self._since = plane.audit_position()
        values = {**self.scope, "fullnameOverride": name, "rbac": {"aggregate": False}}
        rendered = helm.template(values, namespace=namespace)
        self.documents = [each for each in rendered if each["kind"] in GRANTS]
        for document in self.documents:
            plane.api.apply(document, manager="helm")
        self._wait_until_granted()
        self.kubeconfig = plane.kubeconfig_of_service_account(namespace, name)
        """Leads to the API as this account, for an hour."""

    def granted(self) -> set[Right]:
        """What the rules say."""
        rules = [rule for each in self.documents for rule in each.get("rules") or ()]
        return {
            (resource, verb) for rule in rules for resource in rule["resources"] for verb in rule["verbs"]
        }

    def used(self) -> set[Right]:
        """What the audit log says, refusals included.

        To create by server-side apply is logged as a patch with code 201, and needs the right to create.
        """
        return {right for event in self._events() for right in _rights(event)} - DISCOVERY

    def refused(self) -> list[str]:
        """What was refused to it until now, as `refused_to` tells it.

        While its namespaces live: the end of one ends the rights in it.
        """
        return refused_to(self._plane, self.user, since=self._since)

    def require_nothing_refused(self) -> None:
        """Raises AssertionError with what was forbidden, if anything was; when as `refused`."""
        refused = self.refused()
        if refused:
            raise AssertionError(f"the chart does not grant {self.user} what it asked for: {refused}")

    def restart_api_server(self) -> None:
        """Restart the control plane's; what was asked until it is ready is forgotten.

        It listens before it has read all Roles, and for that moment forbids what they grant. Raises as
        `require_nothing_refused`, for the time before.
        """
        self.require_nothing_refused()
        self._plane.restart_api_server()
        self._since = self._plane.audit_position()

    def _events(self) -> list[dict[str, Any]]:
        events = self._plane.audit_events(since=self._since)
        return [each for each in events if each["user"]["username"] == self.user]

    def _wait_until_granted(self) -> None:
        """The API server goes by new Roles and bindings a moment after it has stored them."""
        lease = {"group": "coordination.k8s.io", "resource": "leases", "verb": "create"}
        modules = {"group": names.API_GROUP, "resource": names.PLURAL, "verb": "list"}
        asked = [{**modules, "namespace": each} for each in self.scope.get("namespaces", [""])]
        asked.append({**lease, "namespace": self.namespace})
        waiting.until(
            lambda: all(may(self._plane, self.user, each) for each in asked),
            what=f"{self.user} has its rights",
            timeout_seconds=PATIENCE_SECONDS,
        )


def may(plane: ControlPlane, user: str, what: Mapping[str, str]) -> bool:
    """Whether a user may do what the resourceAttributes of a SubjectAccessReview are: `what`."""
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "metadata": {},
        "spec": {"user": user, "resourceAttributes": dict(what)},
    }
    return bool(plane.api.create(review)["status"]["allowed"])


def refused_to(plane: ControlPlane, user: str, *, since: int = 0) -> list[str]:
    """What a user had no right to since a position of the audit log, each once: "list /api/v1/secrets".

    By the API server's decision on rights, not by code 403: that is also the answer to who makes something in
    a namespace that is being deleted.
    """
    until_audited(plane)
    decisions = (
        (event, event.get("annotations", {}).get("authorization.k8s.io/decision"))
        for event in plane.audit_events(since=since)
        if event["user"]["username"] == user
    )
    refused = (event for event, decision in decisions if decision == "forbid")
    return list(dict.fromkeys(f"{event['verb']} {event['requestURI']}" for event in refused))


def until_audited(plane: ControlPlane) -> None:
    """Wait until the audit log holds a request that is made now, hence all before it."""
    since, mark = plane.audit_position(), uuid.uuid4().hex
    plane.api.find(api_client.NAMESPACES, mark)
    waiting.until(
        lambda: any(mark in event["requestURI"] for event in plane.audit_events(since=since)),
        what="the audit log is written",
        timeout_seconds=PATIENCE_SECONDS,
    )


def _rights(event: Mapping[str, Any]) -> Iterator[Right]:
    reference = event.get("objectRef") or {}
    resource = reference.get("resource", "")
    if reference.get("subresource"):
        resource += f"/{reference['subresource']}"
    yield resource, event["verb"]
    if event["verb"] == "patch" and _code(event) == 201:
        yield resource, "create"


def _code(event: Mapping[str, Any]) -> int:
    return int((event.get("responseStatus") or {}).get("code", 0))
