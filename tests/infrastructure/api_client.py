"""A thin client of the Kubernetes API for tests: plain dicts in, plain dicts out, each error told in full.

It stands on the official Python client's connection alone, so that what goes over the wire is what a test
says: one request for one call, nothing retried.
"""

import dataclasses
import enum
import json
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import kubernetes.client
import kubernetes.config
import urllib3.exceptions

TIMEOUT_SECONDS = 30.0
Manifest = Mapping[str, Any]
"""A Kubernetes object as JSON has it."""


@dataclasses.dataclass(frozen=True)
class Resource:
    """A kind of object in the API: "v1" and "pods", or "apps/v1" and "deployments"."""

    api_version: str
    plural: str

    def path(self, *, namespace: str | None = None, name: str | None = None) -> str:
        """Where its objects are: all of them, those of one namespace, or one."""
        parts = ["apis" if "/" in self.api_version else "api", self.api_version]
        parts += ["namespaces", namespace] if namespace else []
        parts += [self.plural, *([urllib.parse.quote(name, safe=":")] if name else [])]
        return "/" + "/".join(parts)


CONFIG_MAPS = Resource("v1", "configmaps")
EVENTS = Resource("v1", "events")
NAMESPACES = Resource("v1", "namespaces")
NODES = Resource("v1", "nodes")
PODS = Resource("v1", "pods")
SECRETS = Resource("v1", "secrets")
SERVICES = Resource("v1", "services")
SERVICE_ACCOUNTS = Resource("v1", "serviceaccounts")
DEPLOYMENTS = Resource("apps/v1", "deployments")
LEASES = Resource("coordination.k8s.io/v1", "leases")
CRDS = Resource("apiextensions.k8s.io/v1", "customresourcedefinitions")
MODULES = Resource("dataanalysis.io/v1alpha1", "analysismodules")


class ApiError(RuntimeError):
    """The API refused: `code` and `reason` as HTTP and Kubernetes name them, `causes` by field."""

    def __init__(self, request: str, code: int, status: Mapping[str, Any]) -> None:
        self.code = code
        self.reason = str(status.get("reason", ""))
        self.message = str(status.get("message", ""))
        self.causes: list[dict[str, str]] = (status.get("details") or {}).get("causes", [])
        super().__init__(f"{request}: {code} {self.reason}: {self.message}")


class ApiUnreachable(RuntimeError):
    """Nobody answered at the API's address, or the connection broke."""


class PatchType(enum.StrEnum):
    """How the body of a patch is read."""

    MERGE = "application/merge-patch+json"
    STRATEGIC = "application/strategic-merge-patch+json"
    JSON = "application/json-patch+json"
    APPLY = "application/apply-patch+yaml"


class ApiClient:
    """The API as the user of one kubeconfig sees it. Threads may share it.

    Every method raises ApiError when the API refuses and ApiUnreachable when it does not answer.
    """

    def __init__(self, kubeconfig: Path) -> None:
        settings = type.__call__(kubernetes.client.Configuration)  # not the process-wide default of it
        kubernetes.config.load_kube_config(  # type: ignore[no-untyped-call]
            str(kubeconfig), client_configuration=settings, persist_config=False
        )
        settings.retries = False
        settings.connection_pool_maxsize = 64
        settings.proxy = None
        self._client = kubernetes.client.ApiClient(settings)
        self._resources: dict[tuple[str, str], str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes its connections."""
        self._client.close()  # type: ignore[no-untyped-call]

    def get(self, resource: Resource, name: str, *, namespace: str | None = None) -> dict[str, Any]:
        """One object; ApiError with code 404 if there is none."""
        found: dict[str, Any] = self.request("GET", resource.path(namespace=namespace, name=name))
        return found

    def find(self, resource: Resource, name: str, *, namespace: str | None = None) -> dict[str, Any] | None:
        """One object, None if there is none."""
        try:
            return self.get(resource, name, namespace=namespace)
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    def items(
        self, resource: Resource, *, namespace: str | None = None, labels: str = "", fields: str = ""
    ) -> list[dict[str, Any]]:
        """All objects, or those of a namespace; `labels` and `fields` are selectors such as "a=b,c!=d"."""
        query = {"labelSelector": labels, "fieldSelector": fields}
        answer = self.request("GET", resource.path(namespace=namespace), query=query)
        found: list[dict[str, Any]] = answer["items"]
        return found

    def table(self, resource: Resource, *, namespace: str | None = None) -> list[dict[str, Any]]:
        """The rows that `kubectl get` would show, each a mapping of column name to cell."""
        accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
        answer = self.request("GET", resource.path(namespace=namespace), accept=accept)
        columns = [column["name"] for column in answer["columnDefinitions"]]
        return [dict(zip(columns, row["cells"], strict=True)) for row in answer["rows"]]

    def create(self, manifest: Manifest, *, dry_run: bool = False) -> dict[str, Any]:
        """Creates the object; it is returned as stored (or, in a dry run, as it would be)."""
        resource, namespace, _ = self._place(manifest)
        path = resource.path(namespace=namespace)
        created: dict[str, Any] = self.request("POST", path, body=manifest, query=_dry(dry_run))
        return created

    def replace(self, manifest: Manifest, *, subresource: str = "") -> dict[str, Any]:
        """Puts the object in the place of the stored one (or only its `subresource`, such as "status")."""
        resource, namespace, name = self._place(manifest)
        path = resource.path(namespace=namespace, name=name) + _under(subresource)
        replaced: dict[str, Any] = self.request("PUT", path, body=manifest)
        return replaced

    def apply(
        self,
        manifest: Manifest,
        *,
        manager: str,
        force: bool = False,
        subresource: str = "",
        dry_run: bool = False,
    ) -> dict[str, Any]:
        """Server-side apply as the field manager `manager`; a conflict is ApiError with code 409."""
        resource, namespace, name = self._place(manifest)
        query = {"fieldManager": manager, "force": str(force).lower(), **_dry(dry_run)}
        path = resource.path(namespace=namespace, name=name) + _under(subresource)
        applied: dict[str, Any] = self.request(
            "PATCH", path, body=manifest, query=query, content_type=PatchType.APPLY
        )
        return applied

    def patch(
        self,
        resource: Resource,
        name: str,
        body: Manifest | Sequence[Manifest],
        *,
        namespace: str | None = None,
        subresource: str = "",
        kind: PatchType = PatchType.MERGE,
    ) -> dict[str, Any]:
        """Patches the object, by a merge patch unless `kind` says another."""
        path = resource.path(namespace=namespace, name=name) + _under(subresource)
        patched: dict[str, Any] = self.request("PATCH", path, body=body, content_type=kind)
        return patched

    def delete(
        self,
        resource: Resource,
        name: str,
        *,
        namespace: str | None = None,
        propagation: str | None = None,
        grace_seconds: int | None = None,
    ) -> None:
        """Deletes the object; `propagation` is Background, Foreground or Orphan."""
        options = {"propagationPolicy": propagation, "gracePeriodSeconds": grace_seconds}
        body = {key: value for key, value in options.items() if value is not None}
        self.request("DELETE", resource.path(namespace=namespace, name=name), body=body)

    def watch(
        self, resource: Resource, *, since: str, seconds: int, labels: str = ""
    ) -> Iterator[dict[str, Any]]:
        """What happens to objects of all namespaces for so many seconds, from the resourceVersion `since` on.

        Each event has "type" (ADDED, MODIFIED, DELETED, ERROR) and "object".
        """
        query = {"watch": "true", "resourceVersion": since, "labelSelector": labels}
        path = f"{resource.path()}?{urllib.parse.urlencode({**query, 'timeoutSeconds': str(seconds)})}"
        response = self._send("GET", path, None, {"Accept": "application/json"})
        try:
            if response.status >= 400:
                raise ApiError(f"GET {path}", response.status, _status(response.read()))
            for line in response.response:
                yield json.loads(line)
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:  # ValueError: half a line
            raise ApiUnreachable(f"GET {path}: {error}") from error
        finally:
            response.response.close()

    def resource_of(self, manifest: Manifest) -> Resource:
        """The resource that a manifest's apiVersion and kind stand for; ValueError if the API has none."""
        wanted = manifest["apiVersion"], manifest["kind"]
        if wanted not in self._resources:
            prefix = "/apis/" if "/" in wanted[0] else "/api/"
            for each in self.request("GET", prefix + wanted[0])["resources"]:
                if "/" not in each["name"]:
                    self._resources[wanted[0], each["kind"]] = each["name"]
        if wanted not in self._resources:
            raise ValueError(f"kind: the API has no {wanted[1]} in {wanted[0]}; see `kubectl api-resources`")
        return Resource(wanted[0], self._resources[wanted])

    def request(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> Any:
        """Any request: the JSON answered, or its text if not JSON. Empty ones of `query` are dropped."""
        asked = urllib.parse.urlencode({key: value for key, value in (query or {}).items() if value})
        headers = {"Accept": accept, "Content-Type": content_type}
        response = self._send(method, path + ("?" + asked if asked else ""), body, headers)
        try:
            data = response.read()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ApiUnreachable(f"{method} {path}: {error}") from error
        if response.status >= 400:
            raise ApiError(f"{method} {path}", response.status, _status(data))
        return _parsed(data)

    def _send(self, method: str, path: str, body: object, headers: Mapping[str, str]) -> Any:
        url = self._client.configuration.host + path
        try:
            return self._client.rest_client.request(  # type: ignore[no-untyped-call]
                method,
                url,
                headers={**headers, **self._authorization()},
                body=body,
                _request_timeout=TIMEOUT_SECONDS,
            )
        except (urllib3.exceptions.HTTPError, OSError, kubernetes.client.ApiException) as error:
            # The official client tells a failed TLS handshake as an answer with status 0.
            raise ApiUnreachable(f"{method} {path}: {error}") from error

    def _authorization(self) -> dict[str, str]:
        token = self._client.configuration.get_api_key_with_prefix("BearerToken")
        return {"Authorization": token} if token else {}

    def _place(self, manifest: Manifest) -> tuple[Resource, str | None, str]:
        metadata = manifest["metadata"]
        return self.resource_of(manifest), metadata.get("namespace"), metadata.get("name", "")


def _under(subresource: str) -> str:
    return f"/{subresource}" if subresource else ""


def _dry(dry_run: bool) -> dict[str, str]:
    return {"dryRun": "All"} if dry_run else {}


def _status(data: bytes) -> Mapping[str, Any]:
    """The Status object of an error; some are plain text."""
    document = _parsed(data)
    return document if isinstance(document, dict) else {"message": str(document)}


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return data.decode(errors="replace")
