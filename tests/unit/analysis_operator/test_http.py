"""The operator's HTTP server: verdicts with every reason, and metrics."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter

from analysis_operator.http import CannotListen, HttpServer


class Site:
    """A server, and what it finds against being alive and ready."""

    def __init__(self) -> None:
        self.dead: tuple[str, ...] = ()
        self.unready: tuple[str, ...] = ()
        self.registry = CollectorRegistry()
        self.server = HttpServer(
            self.registry, alive=lambda: self.dead, ready=lambda: self.unready, host="127.0.0.1", port=0
        )

    async def get(self, path: str) -> tuple[int, str, str]:
        """Status, type and text of a page."""
        url = f"http://127.0.0.1:{self.server.bound_port}{path}"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return answer.status, answer.content_type, await answer.text()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    made = Site()
    await made.server.start()
    yield made
    await made.server.stop()


async def test_well_is_200(site: Site) -> None:
    for path in ("/livez", "/readyz"):
        assert await site.get(path) == (200, "application/json", '{"ok": true, "reasons": []}')


async def test_unwell_is_503_with_every_reason(site: Site) -> None:
    site.dead = ("the watch of pods is silent", "a module has waited for 301 s")
    status, _, text = await site.get("/livez")
    assert status == 503
    assert all(reason in text for reason in site.dead)
    assert (await site.get("/readyz"))[0] == 200


async def test_ready_and_alive_are_two_things(site: Site) -> None:
    site.unready = ("the API server has not been read yet",)
    assert (await site.get("/livez"))[0] == 200
    assert (await site.get("/readyz"))[0] == 503


async def test_metrics_are_served_as_prometheus_reads_them(site: Site) -> None:
    Counter("a", "A counter.", registry=site.registry).inc()
    status, kind, text = await site.get("/metrics")
    assert (status, kind) == (200, "text/plain")
    assert "a_total 1.0" in text


async def test_there_is_nothing_else(site: Site) -> None:
    assert (await site.get("/"))[0] == 404


async def test_a_port_that_is_taken_is_told_with_the_mend(site: Site) -> None:
    second = HttpServer(
        CollectorRegistry(), alive=tuple, ready=tuple, host="127.0.0.1", port=site.server.bound_port
    )
    with pytest.raises(CannotListen, match=r"cannot listen at 127.0.0.1:\d+: .*; give another --port"):
        await second.start()
    await second.stop()
