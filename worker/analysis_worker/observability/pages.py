"""The pages of a worker's HTTP server: probes, health, status and metrics. It knows no socket."""

import asyncio
import json
import logging
import time
from collections.abc import Callable
from typing import Any

import prometheus_client
from aiohttp import typedefs, web
from prometheus_client import exposition

from analysis_module import names
from analysis_worker.observability import status as statuses

DEFAULT_STATIONS = 100
MOST_STATIONS = 10_000
"""Stations on one page, at most."""
HEALTH_STATIONS = 1_000
"""Stations in the health JSON, at most; `station_count` counts all."""

_STATION_PATH = f"{names.STATUS_PATH}/stations"
_INDEX = {
    names.METRICS_PATH: "metrics, as Prometheus text or OpenMetrics by the Accept header",
    names.LIVENESS_PATH: "200 while the main loop advances, else 503 with the reasons",
    names.READINESS_PATH: "200 once assigned, restored and connected, else 503 with the reasons",
    names.HEALTH_PATH: "health of service and stations, 503 when unhealthy",
    names.STATUS_PATH: "worker, configuration, topics, partitions; ?stations=100&prefix=... adds stations",
    f"{_STATION_PATH}/{{id}}": "one station",
}

_log = logging.getLogger(__name__)


class StatusPages:
    """Answers requests from a status source and a metrics registry."""

    def __init__(
        self,
        source: statuses.StatusSource,
        registry: prometheus_client.CollectorRegistry,
        version: str,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._source = source
        self._registry = registry
        self._version = version
        self._clock = clock

    def application(self) -> web.Application:
        """The aiohttp application with every page; HEAD is answered wherever GET is."""
        application = web.Application(middlewares=[_errors_as_json])
        application.router.add_get("/", self._index)
        application.router.add_get(names.METRICS_PATH, self._metrics)
        application.router.add_get(names.LIVENESS_PATH, self._live)
        application.router.add_get(names.READINESS_PATH, self._ready)
        application.router.add_get(names.HEALTH_PATH, self._health)
        application.router.add_get(names.STATUS_PATH, self._status)
        application.router.add_get(f"{_STATION_PATH}/{{id:.+}}", self._station)
        return application

    async def _index(self, request: web.Request) -> web.Response:
        return _page({"version": self._version, "pages": _INDEX})

    async def _metrics(self, request: web.Request) -> web.Response:
        encode, content_type = _encoder(request.headers.get("Accept", ""))
        # In a thread of its own: a large page must not hold up a probe.
        text = await asyncio.to_thread(encode, self._registry)
        response = web.Response(body=text, headers={"Content-Type": content_type})
        response.enable_compression()
        return response

    async def _live(self, request: web.Request) -> web.Response:
        return _verdict(statuses.liveness(self._source.status(), self._clock()))

    async def _ready(self, request: web.Request) -> web.Response:
        return _verdict(statuses.readiness(self._source.status()))

    async def _health(self, request: web.Request) -> web.Response:
        stations = await asyncio.to_thread(self._source.stations, HEALTH_STATIONS)
        status, now = self._source.status(), self._clock()
        document = statuses.health_document(status, now, self._version, stations)
        return _page(document, status=200 if document["status"] == "healthy" else 503)

    async def _status(self, request: web.Request) -> web.Response:
        stations = None
        if "stations" in request.query or "prefix" in request.query:
            limit = _limit(request.query.get("stations", str(DEFAULT_STATIONS)))
            prefix = request.query.get("prefix", "")
            stations = await asyncio.to_thread(self._source.stations, limit, prefix)
        document = statuses.status_document(self._source.status(), stations)
        return _page({"version": self._version, **document})

    async def _station(self, request: web.Request) -> web.Response:
        station_id = request.match_info["id"]
        station = self._source.station(station_id)
        if station is None:
            wrong = f"no station {station_id!r} is held by this worker"
            return _error(
                404, f"{wrong}; {names.STATUS_PATH}?stations={DEFAULT_STATIONS} lists those that are"
            )
        return _page(statuses.station_json(self._source.status(), station))


def _encoder(accept: str) -> tuple[Callable[[Any], bytes], str]:
    """The exposition format that an Accept header asks for; plain text if the header cannot be read."""
    try:
        return exposition.choose_encoder(accept)
    except (TypeError, ValueError):  # a version that is no number
        return exposition.choose_encoder("")


def _limit(text: str) -> int:
    try:
        limit = int(text)
    except ValueError:
        limit = -1
    if not 0 <= limit <= MOST_STATIONS:
        wrong = f"stations={text[:40]} is not a number of stations"
        raise web.HTTPBadRequest(text=f"{wrong}; give 0 to {MOST_STATIONS}")
    return limit


def _page(document: dict[str, Any], status: int = 200) -> web.Response:
    # A lone surrogate in an id becomes \udXXX, which is how JSON writes it.
    body = json.dumps(document, ensure_ascii=False).encode("utf-8", "backslashreplace")
    headers = {"Cache-Control": "no-store"}
    return web.Response(
        body=body, status=status, headers=headers, content_type="application/json", charset="utf-8"
    )


def _verdict(verdict: statuses.Verdict) -> web.Response:
    return _page(verdict.to_json(), status=200 if verdict.ok else 503)


def _error(status: int, message: str) -> web.Response:
    return _page({"error": message}, status=status)


@web.middleware
async def _errors_as_json(request: web.Request, handler: typedefs.Handler) -> web.StreamResponse:
    """Errors as JSON; the wall behind which a faulty status source stays."""
    try:
        return await handler(request)
    except web.HTTPNotFound:
        return _error(404, f"there is no page {request.path}; / lists those that are")
    except web.HTTPMethodNotAllowed as error:
        response = _error(405, f"{request.path} does not take {request.method}; use GET")
        response.headers["Allow"] = error.headers["Allow"]
        return response
    except web.HTTPException as error:
        return _error(error.status, error.text or error.reason)
    except Exception as error:
        _log.exception("the page %s cannot be made", request.path, extra={"error_type": type(error).__name__})
        return _error(500, f"the page cannot be made: {type(error).__name__}; the log says more")
