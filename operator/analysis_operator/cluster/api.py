"""Requests to the Kubernetes API, over the official client's asyncio side; every one is counted."""

import contextlib
import json
import time
import urllib.parse
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import aiohttp
from kubernetes.aio import client as kubernetes_client
from kubernetes.aio import config as kubernetes_config
from kubernetes.aio.client.exceptions import ApiException

from analysis_module import names
from analysis_operator.cluster.resources import POD, Resource

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
_METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
TIMEOUT_SECONDS = 30.0
_PAGE = 500

Seen = Callable[[str, str, str, float], None]
"""Told of each request: its verb, the plural of its kind, the answer's code, the seconds it took.

The code is "none" without an answer, and "ending" where it is 403 for a namespace that is being deleted.
"""

WriteSeconds = Callable[[Resource], float]
"""Asked before each write to objects of a kind: how long it may take; raises if none is allowed."""


class ApiError(Exception):
    """The API server refused or did not answer: `status` is the HTTP code, 0 without an answer."""

    def __init__(self, status: int, message: str, *, retry_after: float | None = None) -> None:
        self.status = status
        self.retry_after = retry_after
        super().__init__(message)


class NamespaceEnding(ApiError):
    """The namespace is being deleted, so nothing new is made in it: there is nothing to mend."""


class CannotConnect(Exception):
    """There is no way to the API server: neither a pod's service account nor a kubeconfig; says the mend."""


async def configured(kubeconfig: str | None = None, context: str | None = None) -> Any:
    """The client's configuration: of a pod's service account where there is one, else of a kubeconfig.

    Raises CannotConnect.
    """
    configuration = kubernetes_client.Configuration()
    if kubeconfig is None and context is None:
        with contextlib.suppress(kubernetes_config.ConfigException):
            kubernetes_config.load_incluster_config(  # type: ignore[no-untyped-call]
                client_configuration=configuration
            )
            return configuration
    try:
        await kubernetes_config.load_kube_config(  # type: ignore[no-untyped-call]
            config_file=kubeconfig, context=context, client_configuration=configuration, persist_config=False
        )
    except (kubernetes_config.ConfigException, OSError) as error:
        mend = "run in a pod with a service account, set KUBECONFIG, or give --kubeconfig"
        raise CannotConnect(f"no way to a Kubernetes API: {error}; {mend}") from error
    return configuration


class Api:
    """The Kubernetes API as this operator uses it; close it when done.

    A write is given up when the time that `write_seconds` allows is over, so that a process that was frozen
    in the midst of it sends nothing late.
    """

    def __init__(
        self,
        configuration: Any,
        seen: Seen = lambda *_: None,
        write_seconds: WriteSeconds = lambda _: TIMEOUT_SECONDS,
    ) -> None:
        self._configuration = configuration
        configuration.connection_pool_maxsize = 32
        self._client = kubernetes_client.ApiClient(configuration)
        self._client.user_agent = names.OPERATOR_NAME
        self._seen = seen
        self._write_seconds = write_seconds

    async def close(self) -> None:
        """End the connections."""
        await self._client.close()  # type: ignore[no-untyped-call]

    async def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any] | None:
        """One object, None if there is none; raises ApiError."""
        try:
            return await self._request("get", resource, namespace, name)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def create(self, resource: Resource, namespace: str, document: Any) -> dict[str, Any]:
        """Create an object; raises ApiError."""
        return await self._request("create", resource, namespace, body=document)

    async def update(self, resource: Resource, document: Mapping[str, Any]) -> dict[str, Any]:
        """Replace an object if it still has the resourceVersion of `document`; raises ApiError (409: not)."""
        metadata = document["metadata"]
        return await self._request("update", resource, metadata["namespace"], metadata["name"], body=document)

    async def apply(
        self, resource: Resource, document: Mapping[str, Any], subresource: str = ""
    ) -> dict[str, Any]:
        """Server-side apply as the operator's field manager, taking over what others set; raises ApiError.

        Source: https://kubernetes.io/docs/reference/using-api/server-side-apply/
        """
        metadata = document["metadata"]
        return await self._request(
            "patch",
            resource,
            metadata["namespace"],
            metadata["name"],
            subresource,
            body=document,
            content_type=APPLY,
            query={"fieldManager": names.OPERATOR_NAME, "force": "true"},
        )

    async def merge(
        self, resource: Resource, namespace: str, name: str, change: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Merge a change into an object; raises ApiError."""
        query = {"fieldManager": names.OPERATOR_NAME}
        return await self._request(
            "patch", resource, namespace, name, body=change, content_type=MERGE, query=query
        )

    async def delete(self, resource: Resource, namespace: str, name: str) -> None:
        """Delete an object and what it owns; none is fine too. Raises ApiError."""
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        try:
            await self._request("delete", resource, namespace, name, body=options)
        except ApiError as error:
            if error.status != 404:
                raise

    async def list(
        self,
        resource: Resource,
        namespace: str | None,
        *,
        selector: str = "",
        name: str | None = None,
        metadata_only: bool = False,
    ) -> AsyncIterator[dict[str, Any]]:
        """All objects of a kind, or those of a name, page by page; raises ApiError."""
        query = {"limit": str(_PAGE)}
        if selector:
            query["labelSelector"] = selector
        if name is not None:
            query["fieldSelector"] = f"metadata.name={name}"
        while True:
            accept = _METADATA_ONLY if metadata_only else "application/json"
            page = await self._request("list", resource, namespace, query=query, accept=accept)
            for item in page.get("items") or ():
                item.setdefault("kind", resource.kind)
                item.setdefault("apiVersion", resource.api_version)
                yield item
            after = (page.get("metadata") or {}).get("continue")
            if not after:
                return
            query["continue"] = after

    async def proxied(self, namespace: str, pod: str, path: str) -> dict[str, Any]:
        """A JSON page of a pod's HTTP server, by the API server's proxy; raises ApiError, ValueError."""
        part, _, query = path.partition("?")
        return await self._request(
            "get",
            POD,
            namespace,
            f"{pod}:{names.HTTP_PORT}",
            f"proxy{part}",
            query=dict(urllib.parse.parse_qsl(query)),
        )

    async def _request(
        self,
        verb: str,
        resource: Resource,
        namespace: str | None,
        name: str | None = None,
        subresource: str = "",
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> dict[str, Any]:
        timeout = TIMEOUT_SECONDS if verb in _READS else self._write_seconds(resource)
        url = self._configuration.host + resource.path(namespace, name, subresource)
        if query:
            url += "?" + urllib.parse.urlencode(query)
        headers = {**self._client.default_headers, "Accept": accept, "Content-Type": content_type}
        started, code, refusal = time.monotonic(), "none", None
        try:
            await self._client.update_params_for_auth(headers, [], ["BearerToken"], url, verb, body)
            response = await self._client.call_api(
                _METHODS[verb], url, headers, body, _request_timeout=timeout
            )
            code = str(response.status)
            content = await response.read()  # type: ignore[no-untyped-call]
            if response.status >= 400:
                refusal = _error(verb, resource, name, response, content)
                code = "ending" if isinstance(refusal, NamespaceEnding) else code
        except (aiohttp.ClientError, TimeoutError, OSError, ApiException) as error:
            raise ApiError(0, f"the API server does not answer: {type(error).__name__}: {error}") from error
        finally:
            self._seen(verb, resource.plural, code, time.monotonic() - started)
        if refusal is not None:
            raise refusal
        found: dict[str, Any] = json.loads(content)
        return found


_METHODS = {
    "get": "GET",
    "list": "GET",
    "create": "POST",
    "update": "PUT",
    "patch": "PATCH",
    "delete": "DELETE",
}
_READS = ("get", "list")
_ENDING = "NamespaceTerminating"
"""Source: https://pkg.go.dev/k8s.io/api/core/v1#NamespaceTerminatingCause"""


def _error(verb: str, resource: Resource, name: str | None, response: Any, content: bytes) -> ApiError:
    told = _status(content)
    message = told.get("message") or content[:200].decode(errors="replace") or str(response.reason)
    causes = (told.get("details") or {}).get("causes") or ()
    after = response.headers.get("Retry-After", "")
    kind = NamespaceEnding if any(each.get("reason") == _ENDING for each in causes) else ApiError
    return kind(
        response.status,
        f"{' '.join(filter(None, (verb, resource.plural, name)))}: {message}",
        retry_after=float(after) if after.isascii() and after.isdigit() else None,
    )


def _status(content: bytes) -> dict[str, Any]:
    """The Status object that an error comes with, {} if it is something else."""
    try:
        told = json.loads(content)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
