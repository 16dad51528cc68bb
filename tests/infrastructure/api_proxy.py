"""A proxy before the API server that does what networks and overloaded servers do: cuts, silence, refusals.

One program under test gets its kubeconfig and speaks plain HTTP to it; the proxy speaks TLS to the API
server, as one service account. It reads requests, so that a fault can be aimed at watches, at a kind, at a
verb.
"""

import asyncio
import collections
import contextlib
import dataclasses
import json
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import aiohttp
import yaml
from aiohttp import web

from tests.infrastructure import local_ports

START_TIMEOUT_SECONDS = 10.0
_TURNS_TO_CLOSE = 10
"""A transport that is aborted closes its socket some turns of the loop later."""
_HOP_BY_HOP = {"connection", "content-length", "host", "keep-alive", "transfer-encoding"}
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a request is about: a verb as RBAC names them, the plural of the kind."""

    verb: str
    plural: str


Matches = Callable[[Asked], bool]


def everything(_: Asked) -> bool:
    """Every request."""
    return True


def watches(asked: Asked) -> bool:
    """Requests for watches."""
    return asked.verb == "watch"


def reads(asked: Asked) -> bool:
    """Requests that change nothing."""
    return asked.verb in ("get", "list", "watch")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Refusal:
    """An answer in the API server's stead; 410 to a watch comes as the first event of its stream."""

    status: int
    reason: str
    retry_after: int | None = None


GONE = Refusal(status=410, reason="Expired")
BUSY = Refusal(status=429, reason="TooManyRequests", retry_after=1)
BROKEN = Refusal(status=500, reason="InternalError")


class ApiProxy:
    """A way to a control plane, inside a `with`; `kubeconfig` leads there.

    `behind` is the kubeconfig of the service account, with a token, that the proxy is to the API server.
    """

    def __init__(self, behind: Path, directory: Path, *, name: str = "proxied") -> None:
        self.kubeconfig = directory / f"{name}-kubeconfig"
        self.answered: collections.Counter[Asked] = collections.Counter()
        """Requests that the API server answered."""
        self.refused: collections.Counter[Asked] = collections.Counter()
        """Requests that were answered by a Refusal."""
        document = yaml.safe_load(behind.read_text(encoding="utf-8"))
        cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
        self._url = str(cluster["server"])
        self._tls = ssl.create_default_context(cafile=cluster["certificate-authority"])
        self._headers = {"Authorization": f"Bearer {user['token']}"}
        self._silent: Matches = lambda _: False
        self._refusals: list[tuple[Matches, Refusal, int]] = []
        self._open: dict[asyncio.Event, Asked] = {}
        self._transports: set[asyncio.BaseTransport] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="api-proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # -- faults -------------------------------------------------------------------------------------

    def cut(self) -> None:
        """Break every connection that is open, watches too; new ones are served."""
        self._do(self._cut())

    def silence(self, which: Matches = everything) -> None:
        """Deliver nothing more to open requests of that sort nor to new ones: accepted, never answered."""
        self._do(self._silence(which))

    def speak(self) -> None:
        """Serve new requests again; those that were silenced stay as dead as they are."""
        self._do(self._silence(lambda _: False))

    def refuse(self, which: Matches, refusal: Refusal, times: int) -> None:
        """Answer the next so many requests of that sort in the API server's stead."""
        self._refusals.append((which, refusal, times))

    @property
    def refusals_left(self) -> int:
        """How many refusals have not been given yet."""
        return sum(times for *_, times in self._refusals)

    # -- inside the loop ----------------------------------------------------------------------------

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(START_TIMEOUT_SECONDS)

    async def _listen(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._tls, limit=0),
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
        )
        server = web.Server(self._serve, handler_cancellation=True, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await self._runner.setup()
        reserved = local_ports.ReservedPort()
        site = web.TCPSite(self._runner, "127.0.0.1", reserved.number, reuse_address=True)
        await site.start()
        reserved.release()
        cluster = {"server": f"http://127.0.0.1:{reserved.number}"}
        self.kubeconfig.write_text(yaml.safe_dump(_kubeconfig(cluster)), encoding="utf-8")

    async def _close(self) -> None:
        await self._cut()
        await self._runner.cleanup()
        assert self._session.connector is not None
        await self._session.connector.close(abort_ssl=True)  # TLS's farewell would outlast the loop
        await self._session.close()
        for _ in range(_TURNS_TO_CLOSE):
            await asyncio.sleep(0)

    async def _cut(self) -> None:
        for transport in list(self._transports):
            assert isinstance(transport, asyncio.Transport)
            transport.abort()

    async def _silence(self, which: Matches) -> None:
        self._silent = which
        for silenced, asked in self._open.items():
            if which(asked):
                silenced.set()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        transport, asked = request.transport, _asked(request)
        if transport is None:
            raise ConnectionResetError("the client has gone")
        self._transports.add(transport)
        silenced = asyncio.Event()
        self._open[silenced] = asked
        try:
            if self._silent(asked):
                await _for_ever()
            refusal = self._refusal_of(asked)
            if refusal is not None:
                self.refused[asked] += 1
                return _answer(asked, refusal)
            return await self._forward(request, asked, silenced)
        finally:
            del self._open[silenced]
            if transport.is_closing():
                self._transports.discard(transport)

    def _refusal_of(self, asked: Asked) -> Refusal | None:
        for index, (which, refusal, times) in enumerate(self._refusals):
            if times and which(asked):
                self._refusals[index] = (which, refusal, times - 1)
                return refusal
        return None

    async def _forward(
        self, request: web.BaseRequest, asked: Asked, silenced: asyncio.Event
    ) -> web.StreamResponse:
        sent = self._session.request(
            request.method,
            self._url + request.raw_path,
            headers=dict(_passed_on(request.headers)),
            data=await request.read() or None,
        )
        try:
            async with sent as answer:
                self.answered[asked] += 1
                with _aborted_if_broken_off(answer):
                    return await _passed_back(request, answer, silenced)
        except aiohttp.ClientError:
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError("the API server has gone") from None


def _passed_on(headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    return ((name, value) for name, value in headers.items() if name.lower() not in _HOP_BY_HOP)


async def _passed_back(
    request: web.BaseRequest, answer: aiohttp.ClientResponse, silenced: asyncio.Event
) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status)
    response.headers.update(_passed_on(answer.headers))
    if silenced.is_set():
        await _for_ever()
    await response.prepare(request)
    async for part in answer.content.iter_any():
        if silenced.is_set():
            await _for_ever()
        await response.write(part)
    return response


@contextlib.contextmanager
def _aborted_if_broken_off(answer: aiohttp.ClientResponse) -> Iterator[None]:
    """An end in the midst of an answer does not wait for the API server's part of TLS's farewell."""
    transport = answer.connection.transport if answer.connection is not None else None
    try:
        yield
    except BaseException:
        if transport is not None:
            transport.abort()
        raise


async def _for_ever() -> None:
    await asyncio.Event().wait()


def _answer(asked: Asked, refusal: Refusal) -> web.Response:
    status = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "a fault on purpose",
        "reason": refusal.reason,
        "code": refusal.status,
    }
    if watches(asked) and refusal is GONE:
        event = json.dumps({"type": "ERROR", "object": status}) + "\n"
        return web.Response(text=event, content_type="application/json")
    headers = {} if refusal.retry_after is None else {"Retry-After": str(refusal.retry_after)}
    return web.json_response(status, status=refusal.status, headers=headers)


def _asked(request: web.BaseRequest) -> Asked:
    parts = request.path.strip("/").split("/")
    parts = parts[2:] if parts[0] == "api" else parts[3:]
    if len(parts) > 2 and parts[0] == "namespaces":
        parts = parts[2:]
    plural = parts[0] if parts else ""
    if request.method != "GET":
        return Asked(_VERBS.get(request.method, request.method), plural)
    if request.query.get("watch") in ("true", "1"):
        return Asked("watch", plural)
    return Asked("get" if len(parts) > 1 else "list", plural)


def _kubeconfig(cluster: dict[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "here", "cluster": cluster}],
        "users": [{"name": "me", "user": {}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        "current-context": "here",
    }
