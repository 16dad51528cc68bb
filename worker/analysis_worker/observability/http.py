"""The worker's HTTP server: its own thread and event loop, so that no busy main loop delays a probe."""

import asyncio
import concurrent.futures
import errno
import logging
import socket
import threading

import prometheus_client
from aiohttp import web

from analysis_module import names
from analysis_worker.observability import pages, status

_START_SECONDS = 10.0
_LINGER_SECONDS = 1.0

_log = logging.getLogger(__name__)

_MENDS = {
    errno.EADDRINUSE: "something else listens there; stop it or give another port (0 takes any free one)",
    errno.EACCES: "this user may not; give a port of 1024 or above",
    errno.EADDRNOTAVAIL: "this machine has no such address; give one of its own, or 0.0.0.0 for all",
}


class CannotListen(RuntimeError):
    """The host and port cannot be listened on; the message names both and the mend."""


class StatusServer:
    """Serves the pages from `start` to `stop`; `port` 0 takes any free one.

    `source` is called from this server's threads, never from the main loop's.
    """

    def __init__(
        self,
        source: status.StatusSource,
        registry: prometheus_client.CollectorRegistry,
        *,
        host: str = "0.0.0.0",
        port: int = names.HTTP_PORT,
        version: str,
    ) -> None:
        self._pages = pages.StatusPages(source, registry, version)
        self._host = host
        self._port = port
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = asyncio.Event()

    @property
    def port(self) -> int:
        """The port that is listened on; before `start` the one asked for."""
        return self._port

    def start(self) -> None:
        """Listen, and return once requests are answered.

        Raises CannotListen, and RuntimeError if it was started before.
        """
        if self._thread is not None:
            raise RuntimeError("this status server was started before; make a new one")
        listener = _listener(self._host, self._port)
        self._port = listener.getsockname()[1]
        started: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._thread = threading.Thread(
            target=self._run, args=(listener, started), name="status-http", daemon=True
        )
        self._thread.start()
        started.result(_START_SECONDS)
        _log.info("status, health and metrics on http://%s:%d/", self._host, self._port)

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """Answer what is under way, then close; returns after `timeout_seconds` at the latest. Idempotent."""
        thread, loop = self._thread, self._loop
        if thread is None or loop is None or not thread.is_alive():
            return
        try:
            loop.call_soon_threadsafe(self._stopping.set)
        except RuntimeError:  # the loop closed meanwhile
            return
        thread.join(timeout_seconds)

    def _run(self, listener: socket.socket, started: concurrent.futures.Future[None]) -> None:
        try:
            asyncio.run(self._serve(listener, started))
        except Exception as error:
            if started.done():
                _log.exception("the status server ended")
            else:
                started.set_exception(error)
        finally:
            listener.close()

    async def _serve(self, listener: socket.socket, started: concurrent.futures.Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        runner = web.AppRunner(
            self._pages.application(), access_log=None, logger=_log, shutdown_timeout=_LINGER_SECONDS
        )
        await runner.setup()
        try:
            await web.SockSite(runner, listener).start()
            started.set_result(None)
            await self._stopping.wait()
        finally:
            await runner.cleanup()


def _listener(host: str, port: int) -> socket.socket:
    """A listening socket; `::` takes IPv4 too. Raises CannotListen."""
    if not 0 <= port <= 65_535:
        raise CannotListen(f"cannot listen on {host}, port {port}: give a port of 0 to 65535")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    both = host == "::" and socket.has_dualstack_ipv6()
    try:
        address = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)[0][4]
    except socket.gaierror as error:
        mend = (
            f"the name has no address ({error.strerror}); give one of this machine's own, or 0.0.0.0 for all"
        )
        raise CannotListen(f"cannot listen on {host}, port {port}: {mend}") from error
    try:
        return socket.create_server(address, family=family, dualstack_ipv6=both)
    except OSError as error:
        mend = _MENDS.get(error.errno or 0, f"{error.strerror}; give another host or port")
        raise CannotListen(f"cannot listen on {host}, port {port}: {mend}") from error
