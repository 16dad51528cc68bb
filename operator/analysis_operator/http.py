"""The operator's HTTP server: /livez, /readyz, /metrics. It runs on the main loop, whose block fails it."""

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from analysis_module import names

Reasons = Callable[[], tuple[str, ...]]
"""Gives every reason against being alive, or ready; none is well."""


class CannotListen(Exception):
    """The server's address cannot be had: names it and the mend."""


class HttpServer:
    """Serves until stopped; `port` 0 lets the kernel choose, `bound_port` tells."""

    def __init__(
        self, registry: CollectorRegistry, *, alive: Reasons, ready: Reasons, host: str, port: int
    ) -> None:
        self._registry = registry
        self._alive = alive
        self._ready = ready
        self._host = host
        self._port = port
        self._runner: web.AppRunner | None = None
        self.bound_port = port

    async def start(self) -> None:
        """Listen; raises CannotListen."""
        application = web.Application()
        application.router.add_get(names.LIVENESS_PATH, self._livez)
        application.router.add_get(names.READINESS_PATH, self._readyz)
        application.router.add_get(names.METRICS_PATH, self._metrics)
        self._runner = web.AppRunner(application, access_log=None, handle_signals=False)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        try:
            await site.start()
        except OSError as error:
            place = f"{self._host}:{self._port}"
            raise CannotListen(f"cannot listen at {place}: {error.strerror}; give another --port") from error
        self.bound_port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Listen no more."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _livez(self, _: web.Request) -> web.Response:
        return _answer(self._alive())

    async def _readyz(self, _: web.Request) -> web.Response:
        return _answer(self._ready())

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )


def _answer(reasons: tuple[str, ...]) -> web.Response:
    document = {"ok": not reasons, "reasons": list(reasons)}
    return web.json_response(document, status=503 if reasons else 200)
