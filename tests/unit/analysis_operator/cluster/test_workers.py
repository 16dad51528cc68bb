"""What workers say of themselves: real status pages, garbage, pages in pieces, pods that do not answer."""

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from analysis_operator.cluster import workers
from analysis_operator.cluster.workers import Workers
from analysis_operator.decisions.observed import Pod, Report
from analysis_worker.observability import status as statuses
from tests.unit.analysis_worker.observability import facts


def page(**changes: Any) -> dict[str, Any]:
    """A worker's status page, as JSON carries it."""
    document: dict[str, Any] = json.loads(json.dumps(statuses.status_document(facts.a_worker(**changes))))
    return document


def report(**changes: Any) -> Report:
    return workers.report_of(page(**changes), "pod-1")


class TestARealPage:
    def test_is_read_whole(self) -> None:
        assert report() == Report(
            pod_uid="pod-1",
            taken_at=facts.NOW,
            owner="load-prediction-0",
            epoch=7,
            applied_hash="abc",
            desired_hash="abc",
            state="running",
            slots=frozenset({0, 1, 2}),
            followed=frozenset(),
            stations=2,
            lags={("T", 0): 5},
            lag_seconds=2.5,
            position=13,
            connected=True,
            wrong_partition=4,
        )

    def test_tells_what_is_let_go_of_missing_misaligned_and_refused(self) -> None:
        told = report(
            releasing_slots=(4, 5),
            missing_topics=("A",),
            misaligned_topics=("B",),
            config=statuses.ConfigStatus(desired_hash="new", epoch=3, refused=("spec.x: is wrong; mend it",)),
            explain="waits for A",
        )
        assert told.letting_go == {4, 5}
        assert (told.missing_topics, told.misaligned_topics) == (("A",), ("B",))
        assert (told.applied_hash, told.desired_hash, told.epoch) == (None, "new", 3)
        assert told.refused == ("spec.x: is wrong; mend it",)
        assert told.explain == "waits for A"

    def test_tells_what_it_has_followed_or_has_no_word_for_that(self) -> None:
        assert report(followed_slots=(7, 8)).followed == {7, 8}
        document = page()
        del document["worker"]["followed_slots"]
        assert workers.report_of(document, "pod-1").followed is None

    @pytest.mark.parametrize(("said", "restored"), [(0.25, 0.25), (7, 1.0), (-1, 0.0)])
    def test_tells_how_much_is_restored(self, said: float, restored: float) -> None:
        assert report(restore_progress=said).restored == restored

    @pytest.mark.parametrize("state", statuses.STATES)
    def test_is_read_in_every_state(self, state: statuses.State) -> None:
        assert report(state=state).state == state

    def test_without_partitions_tells_of_no_lag(self) -> None:
        told = report(partitions=())
        assert (told.lag, told.lag_seconds, told.position) == (None, None, 0)

    def test_is_cut_where_it_says_too_much(self) -> None:
        refused = tuple("x" * 1000 for _ in range(50))
        told = report(
            config=statuses.ConfigStatus(refused=refused), missing_topics=("t",) * 500, explain="y" * 1000
        )
        assert (len(told.refused), {len(each) for each in told.refused}) == (10, {300})
        assert (len(told.missing_topics), len(told.explain)) == (100, 300)


class TestRates:
    def later(self, seconds: float, position: int, last: Report | None) -> float | None:
        part = statuses.PartitionStatus(topic="T", partition=0, position=position)
        document = page(taken_at=facts.NOW + seconds, partitions=(part,))
        return workers.report_of(document, "pod-1", last).rate

    def test_are_records_by_seconds(self) -> None:
        assert self.later(10, 513, report()) == 50.0

    def test_are_not_known_at_first(self) -> None:
        assert self.later(10, 513, None) is None

    def test_stay_where_there_is_too_little_time_or_a_step_back(self) -> None:
        last = dataclasses.replace(report(), rate=7.0)
        assert self.later(0.1, 513, last) == 7.0
        assert self.later(10, 5, last) == 7.0


GARBAGE: dict[str, str] = {
    "nothing": "",
    "no JSON": "<html>",
    "a list": "[]",
    "a number": "5",
    "null": "null",
    "an empty object": "{}",
    "a worker of text": '{"worker": "x", "config": {}}',
    "a config of text": json.dumps({**page(), "config": "x"}),
    "no epoch": json.dumps({**page(), "config": {}}),
    "an endless epoch": json.dumps(page()).replace('"epoch": 7', '"epoch": Infinity'),
    "slots of text": json.dumps({**page(), "worker": {**page()["worker"], "slots": ["a"]}}),
    "slots of none": json.dumps({**page(), "worker": {**page()["worker"], "slots": None}}),
    "followed slots of text": json.dumps({**page(), "worker": {**page()["worker"], "followed_slots": ["a"]}}),
    "a followed slot": json.dumps({**page(), "worker": {**page()["worker"], "followed_slots": 5}}),
    "partitions of numbers": json.dumps({**page(), "partitions": [1, 2]}),
    "partitions of text": json.dumps({**page(), "partitions": "ab"}),
    "a lag of text": json.dumps({**page(), "partitions": [{"lag_records": "much"}]}),
    "too deep": "[" * 100_000,
    "a number of absurd length": "1" * 10_000,
    "half a page": json.dumps(page())[:-20],
}


class Pods:
    """An HTTP server that plays a pod's."""

    def __init__(self) -> None:
        self.answer: Any = None
        self.asked: list[str] = []
        self.port = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        found: web.StreamResponse = await self.answer(request)
        return found

    def text(self, text: str, status: int = 200) -> None:
        """Answer so from now on."""

        async def answer(_: web.Request) -> web.Response:
            return web.Response(text=text, status=status)

        self.answer = answer

    def pieces(self, *pieces: bytes) -> None:
        """Answer in pieces from now on, with a pause after each."""

        async def answer(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            for piece in pieces:
                await response.write(piece)
                await asyncio.sleep(0.01)
            return response

        self.answer = answer


@pytest.fixture
async def pods() -> AsyncIterator[Pods]:
    made = Pods()
    application = web.Application()
    application.router.add_get("/{path:.*}", made.handle)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.port = runner.addresses[0][1]
    yield made
    await runner.cleanup()


@pytest.fixture
async def asking(pods: Pods) -> AsyncIterator[Workers]:
    made = Workers(pods.port)
    yield made
    await made.close()


POD = Pod(name="demo-0-a", uid="pod-1", shard=0, ip="127.0.0.1")


class TestAsking:
    async def test_a_pod_answers_at_its_status_page(self, pods: Pods, asking: Workers) -> None:
        pods.text(json.dumps(page()))
        assert await asking.reports([POD], {}) == {"demo-0-a": report()}
        assert pods.asked == ["/status"]

    async def test_a_page_is_read_to_its_end_in_however_many_pieces_it_comes(
        self, pods: Pods, asking: Workers
    ) -> None:
        many = tuple(
            statuses.PartitionStatus(topic="T", partition=number, position=1) for number in range(5000)
        )
        content = json.dumps(page(partitions=many)).encode()
        pods.pieces(*(content[start : start + 100_000] for start in range(0, len(content), 100_000)))
        found = await asking.reports([POD], {})
        assert found["demo-0-a"].position == 5000

    @pytest.mark.parametrize("name", GARBAGE)
    async def test_garbage_is_no_report_and_no_failure(self, pods: Pods, asking: Workers, name: str) -> None:
        pods.text(GARBAGE[name])
        assert await asking.reports([POD], {}) == {}

    async def test_a_page_of_absurd_size_is_not_read_to_its_end(self, pods: Pods, asking: Workers) -> None:
        pods.pieces(*[b" " * 2**20] * 6)
        assert await asking.reports([POD], {}) == {}

    async def test_an_error_of_the_pod_is_no_report(self, pods: Pods, asking: Workers) -> None:
        pods.text("starting", status=503)
        assert await asking.reports([POD], {}) == {}

    async def test_a_redirect_is_not_followed(self, pods: Pods, asking: Workers) -> None:
        async def answer(_: web.Request) -> web.Response:
            raise web.HTTPFound("/elsewhere")

        pods.answer = answer
        assert await asking.reports([POD], {}) == {}
        assert pods.asked == ["/status"]

    async def test_a_pod_that_is_not_there_is_no_report_and_delays_nobody(
        self, pods: Pods, asking: Workers
    ) -> None:
        pods.text(json.dumps(page()))
        gone = dataclasses.replace(POD, name="gone", ip="127.0.0.2")
        async with asyncio.timeout(5):
            assert set(await asking.reports([gone, POD], {})) == {"demo-0-a"}

    async def test_a_pod_that_hangs_is_given_up_after_two_seconds(self, pods: Pods, asking: Workers) -> None:
        released = asyncio.Event()

        async def answer(_: web.Request) -> web.Response:
            with contextlib.suppress(asyncio.CancelledError):
                await released.wait()
            return web.Response()

        pods.answer = answer
        began = asyncio.get_running_loop().time()
        assert await asking.reports([POD], {}) == {}
        assert 1.5 < asyncio.get_running_loop().time() - began < 10
        released.set()

    async def test_pods_without_address_or_life_are_not_asked(self, pods: Pods, asking: Workers) -> None:
        pods.text(json.dumps(page()))
        dead = [dataclasses.replace(POD, ip=None), dataclasses.replace(POD, alive=False)]
        assert await asking.reports(dead, {}) == {}
        assert pods.asked == []

    async def test_rates_are_told_by_the_report_before(self, pods: Pods, asking: Workers) -> None:
        pods.text(json.dumps(page()))
        before = dataclasses.replace(report(), taken_at=facts.NOW - 1, position=3)
        found = await asking.reports([POD], {"demo-0-a": before})
        assert found["demo-0-a"].rate == 10.0

    async def test_who_asked_nobody_has_nothing_to_close(self) -> None:
        await Workers().close()
