"""What is gathered of one module, and who is woken when Kafka is seen otherwise."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from analysis_module import spec
from analysis_operator.cluster.api import ApiError
from analysis_operator.cluster.store import Store
from analysis_operator.decisions.observed import Callback, KafkaView, Key, Module, Observed, Pod, Report
from analysis_operator.decisions.options import Options
from analysis_operator.reconciling.neighbourhood import Neighbourhood
from analysis_operator.reconciling.observing import Observer
from tests.fakes.api import FakeApi
from tests.unit.analysis_operator import documents, fleets

DEMO = Key("default", "demo")
REACHED = KafkaView(reached=True, partitions={"POWER": 1})


class Asked:
    """Stands in for workers and Kafka: remembers what it was asked, answers what it is told to."""

    def __init__(self) -> None:
        self.last: list[Mapping[str, Report]] = []
        self.fresh_seconds: list[float] = []
        self.view = REACHED
        self.look: asyncio.Task[KafkaView] | None = None

    async def reports(self, pods: Iterable[Pod], last: Mapping[str, Report]) -> dict[str, Report]:
        self.last.append(last)
        return {pod.name: Report(pod_uid=pod.uid, taken_at=0, owner="demo-0", epoch=1) for pod in pods}

    def known(
        self, _: spec.Kafka, *, fresh_seconds: float
    ) -> tuple[KafkaView, asyncio.Task[KafkaView] | None]:
        self.fresh_seconds.append(fresh_seconds)
        return self.view, self.look


class Site:
    """An observer and all that it looks at."""

    def __init__(self) -> None:
        self.api, self.store, self.asked = FakeApi(), Store(), Asked()
        self.woken: list[Key] = []
        self.neighbourhood = Neighbourhood(self.store, Options())
        everything: Any = (self.api, self.store, self.asked, self.asked, self.neighbourhood)
        self.observer = Observer(*everything, Options(), self.woken.append)

    def put(self, document: Mapping[str, Any]) -> None:
        """Let an object be known."""
        self.store.put(document)
        self.neighbourhood.note(DEMO)

    async def observe(self) -> Observed:
        """Observe the module."""
        module = self.store.module(DEMO)
        assert isinstance(module, Module)
        return await self.observer.observe(module)


@pytest.fixture
def site() -> Site:
    made = Site()
    made.put(documents.a_module())
    return made


async def test_children_pods_reports_and_kafka_are_gathered(site: Site) -> None:
    site.put(documents.a_child("ConfigMap", "demo-0", shard=0))
    site.put(documents.a_pod())
    seen = await site.observe()
    assert [child.name for child in seen.children] == ["demo-0"]
    assert [pod.name for pod in seen.pods] == list(seen.reports) == ["demo-0-a"]
    assert (seen.kafka, seen.callback) == (REACHED, None)


async def test_workers_are_asked_with_what_they_said_last(site: Site) -> None:
    site.put(documents.a_pod())
    first = await site.observe()
    await site.observe()
    assert site.asked.last == [{}, first.reports]


async def test_what_was_said_is_forgotten_with_the_pods_or_the_module(site: Site) -> None:
    site.put(documents.a_pod())
    await site.observe()
    site.observer.forget(DEMO)
    await site.observe()
    site.store.drop(documents.a_pod())
    await site.observe()
    await site.observe()
    assert [bool(each) for each in site.asked.last] == [False, False, True, False]


async def test_the_callbacks_configmap_is_read(site: Site) -> None:
    site.put(documents.a_module(version=2, generation=2, spec=fleets.SPECS["a callback in a ConfigMap"]))
    site.api.put({"kind": "ConfigMap", "metadata": {"name": "code"}, "data": {"callback.py": "text"}})
    assert (await site.observe()).callback == Callback(text="text")


async def test_an_api_server_that_fails_fails_the_look(site: Site) -> None:
    site.put(documents.a_module(version=2, generation=2, spec=fleets.SPECS["a callback in a ConfigMap"]))
    site.api.fail_next(1, "get")
    with pytest.raises(ApiError):
        await site.observe()


async def test_kafka_of_a_spec_that_cannot_be_read_is_not_looked_at(site: Site) -> None:
    site.put(documents.a_module(version=2, generation=2, spec={"module": "?"}))
    assert (await site.observe()).kafka == KafkaView()
    assert site.asked.fresh_seconds == []


async def test_kafka_is_looked_at_more_often_while_it_is_not_well(site: Site) -> None:
    await site.observe()
    reachable = {"type": "KafkaReachable", "status": "True", "reason": "Reachable"}
    site.put(documents.a_module(version=2, status={"conditions": [reachable]}))
    await site.observe()
    unwell, well = site.asked.fresh_seconds
    assert unwell < well


async def looked(view: KafkaView) -> KafkaView:
    return view


async def test_a_look_at_kafka_that_shows_something_else_wakes_the_module(site: Site) -> None:
    site.asked.look = asyncio.create_task(looked(KafkaView(reached=False)))
    assert (await site.observe()).kafka == REACHED
    await asyncio.wait([site.asked.look])
    assert site.woken == [DEMO]


async def test_one_that_shows_the_same_or_fails_wakes_nobody(site: Site) -> None:
    async def failing() -> KafkaView:
        raise RuntimeError("thread pool is shut down")

    for look in (asyncio.create_task(looked(REACHED)), asyncio.create_task(failing())):
        site.asked.look = look
        await site.observe()
        await asyncio.wait([look])
        look.exception()
    assert site.woken == []
