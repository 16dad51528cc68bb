"""One pass: observe, plan, apply, report; what ends it, and what it says of itself."""

import asyncio
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from analysis_operator.cluster.api import ApiError
from analysis_operator.cluster.recorder import Recorder
from analysis_operator.cluster.store import ANNOTATION_PAUSED, Store
from analysis_operator.decisions.observed import KafkaView, Key
from analysis_operator.decisions.options import Options
from analysis_operator.metrics import OperatorMetrics
from analysis_operator.reconciling.applying import Applier, NameTaken
from analysis_operator.reconciling.neighbourhood import Neighbourhood
from analysis_operator.reconciling.observing import Observer
from analysis_operator.reconciling.reconciler import NotLeading, Reconciler
from analysis_operator.reconciling.reporting import Reporter
from tests.fakes.api import FakeApi
from tests.unit.analysis_operator import documents, fleets

DEMO = Key("default", "demo")


class Nobody:
    """Stands in for workers that do not answer and a Kafka that is not looked at."""

    async def reports(self, *_: Any) -> dict[str, Any]:
        return {}

    def known(self, *_: Any, **__: Any) -> tuple[KafkaView, asyncio.Task[KafkaView] | None]:
        return KafkaView(), None


class Site:
    """A reconciler of one module over an API server in memory."""

    def __init__(self) -> None:
        self.api: Any = FakeApi()
        self.store = Store(lambda key: self.neighbourhood.note(key))
        self.neighbourhood = Neighbourhood(self.store, Options())
        self.metrics = OperatorMetrics(CollectorRegistry())
        self.leads = True
        nobody: Any = Nobody()
        everything: Any = (self.api, self.store, nobody, nobody, self.neighbourhood)
        self.reconciler = Reconciler(
            self.store,
            Observer(*everything, Options(), lambda _: None),
            Applier(self.api, self.store),
            Reporter(self.api, self.store),
            Recorder(self.api, "operator-1"),
            self.neighbourhood,
            Options(),
            self.metrics,
            lambda: self.leads,
        )

    def apply(self, name: str = "demo", **changes: Any) -> None:
        """Let a module be there and known."""
        self.store.put(self.api.put(documents.a_module(name, **changes)))

    async def run(self, name: str = "demo") -> float | None:
        """One pass."""
        return await self.reconciler.reconcile(Key("default", name))

    def events(self) -> list[str]:
        """Reasons of the events so far."""
        return [document["reason"] for (kind, *_), document in self.api.objects.items() if kind == "Event"]

    def status(self) -> dict[str, Any]:
        """The module's status."""
        found: dict[str, Any] = self.api.objects["AnalysisModule", "default", "demo"].get("status", {})
        return found


@pytest.fixture
def site() -> Site:
    made = Site()
    made.apply()
    return made


async def test_a_pass_makes_objects_events_and_a_status_and_asks_for_another_soon(site: Site) -> None:
    again = await site.run()
    assert again is not None
    assert 0.0 < again < 1.0
    assert {kind for kind, *_ in site.api.objects} == {
        "AnalysisModule",
        "ConfigMap",
        "Deployment",
        "Event",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "Service",
    }
    assert site.status()["phase"] == "Pending"
    assert site.events() == ["Pending"]


async def test_a_second_pass_writes_nothing_and_gives_the_usual_pace(site: Site) -> None:
    await site.run()
    before = len(site.api.requests)
    assert await site.run() == Options().status_seconds
    assert site.api.requests[before:] == []


async def test_a_module_that_is_gone_is_forgotten(site: Site) -> None:
    await site.run()
    site.store.drop(site.api.objects["AnalysisModule", "default", "demo"])
    assert await site.run() is None
    phases = site.metrics.registry.get_sample_value("analysis_operator_modules", {"phase": "Pending"})
    assert phases == 0


async def test_a_paused_module_is_left_alone(site: Site) -> None:
    site.apply(annotations={ANNOTATION_PAUSED: "true"})
    assert await site.run() is None
    assert site.api.requests == []


async def test_a_module_that_is_being_deleted_is_left_to_the_garbage_collector(site: Site) -> None:
    site.apply(deletionTimestamp="now")
    assert await site.run() is None
    assert site.api.requests == []


async def test_its_dependants_are_warned_of_once(site: Site) -> None:
    spec = {"dependencies": [{"module": "numbered", "topic": "MODULE-OUTPUT-NUMBERED"}]}
    site.apply("reader", spec=fleets.a_spec(module="reader", **spec), uid="uid-2")
    site.apply(deletionTimestamp="now")
    await site.run()
    await site.run()
    assert site.events() == ["DependantsLeft"]


class TestAFailure:
    async def test_ends_the_pass_before_the_status_and_is_told_once(self, site: Site) -> None:
        for _ in range(2):
            site.api.fail_next(1, "patch", ApiError(403, "deployments is forbidden"))
            with pytest.raises(ApiError, match="forbidden"):
                await site.run()
        assert site.status() == {}
        assert site.events() == ["Failed"]

    async def test_of_the_server_itself_is_no_event(self, site: Site) -> None:
        for status in (0, 500, 503):
            site.api.fail_next(1, "patch", ApiError(status, "etcd is away"))
            with pytest.raises(ApiError):
                await site.run()
        assert site.events() == []

    async def test_for_a_name_that_is_taken_is_told_with_the_mend(self, site: Site) -> None:
        site.api.put(documents.a_child("Service", "demo", owner="uid-0"))
        with pytest.raises(NameTaken):
            await site.run()
        assert site.events() == ["Failed"]

    async def test_is_made_good_by_the_next_pass(self, site: Site) -> None:
        site.api.fail_next(1, "patch")
        with pytest.raises(ApiError):
            await site.run()
        await site.run()
        assert await site.run() == Options().status_seconds


class TestNotLeading:
    async def test_nothing_is_written(self, site: Site) -> None:
        site.leads = False
        with pytest.raises(NotLeading):
            await site.run()
        assert site.api.requests == []

    async def test_a_lead_lost_in_the_midst_ends_the_pass_before_the_status(self, site: Site) -> None:
        plain = site.api.create

        async def last(*arguments: Any) -> Any:
            site.leads = False
            return await plain(*arguments)

        site.api.create = last
        with pytest.raises(NotLeading):
            await site.run()
        assert site.status() == {}


async def test_a_refused_spec_is_told_and_changes_no_object(site: Site) -> None:
    site.apply(version=9, spec={"module": "?"})
    assert await site.run() == Options().status_seconds
    assert site.status()["phase"] == "Rejected"
    assert {kind for kind, *_ in site.api.objects} == {"AnalysisModule", "Event"}
