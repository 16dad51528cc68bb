"""The comparison with the API server: what the watches missed is found, what is on its way is no miss."""

from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from analysis_operator.cluster import resources
from analysis_operator.cluster.api import ApiError
from analysis_operator.cluster.store import Store
from analysis_operator.decisions.observed import Key
from analysis_operator.metrics import OperatorMetrics
from analysis_operator.reconciling.resync import Resync
from analysis_worker.virtual_time import VirtualLoop
from tests.fakes.api import FakeApi
from tests.unit.analysis_operator import documents

DEMO = Key("default", "demo")


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    made = VirtualLoop()
    yield made
    made.shut()


class Site:
    """A resync, its API server and its store, on a loop whose time is moved by hand."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        self.api, self.store = FakeApi(), Store()
        self.metrics = OperatorMetrics(CollectorRegistry())
        self.resync = self.of(None)

    def of(self, namespaces: list[str] | None) -> Resync:
        """A resync of these namespaces."""
        return Resync(self.api, self.store, namespaces, self.metrics)  # type: ignore[arg-type]

    def compare(self) -> int:
        """One comparison; what the watches had missed."""
        task = self.loop.create_task(self.resync.compare())
        self.loop.advance(10)
        return task.result()

    def missed(self, plural: str) -> float:
        """The metric of it."""
        found = self.metrics.registry.get_sample_value(
            "analysis_operator_watch_missed_total", {"resource": plural}
        )
        return found or 0.0


@pytest.fixture
def site(loop: VirtualLoop) -> Site:
    made = Site(loop)
    made.api.put(documents.a_module())
    made.api.put(documents.a_child("ConfigMap", "demo-0", shard=0))
    made.api.put(documents.a_pod())
    loop.finish(made.resync.fill())
    return made


def test_everything_that_is_ours_is_read_at_first(site: Site) -> None:
    assert site.store.module(DEMO) is not None
    assert [child.name for child in site.store.children(DEMO, "uid-1")] == ["demo-0"]
    assert [pod.name for pod in site.store.pods(DEMO)] == ["demo-0-a"]


def test_only_the_given_namespaces_are_read(site: Site, loop: VirtualLoop) -> None:
    site.store = Store()
    loop.finish(site.of(["other"]).fill())
    assert site.store.all_keys() == []
    loop.finish(site.of(["other", "default"]).fill())
    assert site.store.all_keys() == [DEMO]


def test_what_is_not_labelled_as_ours_is_not_read(site: Site, loop: VirtualLoop) -> None:
    foreign = documents.a_child("ConfigMap", "foreign")
    foreign["metadata"]["labels"]["app.kubernetes.io/managed-by"] = "helm"
    site.api.put(foreign)
    loop.finish(site.resync.fill())
    assert len(site.store.children(DEMO, "uid-1")) == 1


def test_nothing_missed_is_found_without_a_pause(site: Site, loop: VirtualLoop) -> None:
    assert loop.finish(site.resync.compare()) == 0


def test_a_change_that_the_watch_did_not_bring_is_fetched(site: Site) -> None:
    site.api.put(documents.a_module(spec={"module": "changed"}))
    assert site.compare() == 1
    module = site.store.module(DEMO)
    assert module is not None
    assert module.spec == {"module": "changed"}
    assert site.missed("analysismodules") == 1


def test_an_object_that_the_watch_did_not_bring_is_fetched(site: Site) -> None:
    site.api.put(documents.a_child("Service", "demo"))
    assert site.compare() == 1
    assert len(site.store.children(DEMO, "uid-1")) == 2


def test_an_end_that_the_watch_did_not_bring_is_noticed(site: Site) -> None:
    del site.api.objects["Pod", "default", "demo-0-a"]
    assert site.compare() == 1
    assert site.store.pods(DEMO) == ()


def test_another_incarnation_is_noticed(site: Site) -> None:
    del site.api.objects["AnalysisModule", "default", "demo"]
    site.api.put(documents.a_module(uid="uid-2"))
    assert site.compare() == 1
    module = site.store.module(DEMO)
    assert module is not None
    assert module.uid == "uid-2"


def test_what_the_watch_brings_within_seconds_is_no_miss(site: Site, loop: VirtualLoop) -> None:
    changed = site.api.put(documents.a_module(spec={"module": "changed"}))
    task = loop.create_task(site.resync.compare())
    loop.advance(3)
    site.store.put(changed)
    loop.advance(5)
    assert task.result() == 0
    assert site.resync.silent == ()


def test_what_has_changed_again_when_the_watch_brings_it_is_no_miss(site: Site, loop: VirtualLoop) -> None:
    changed = site.api.put(documents.a_module(spec={"module": "changed"}))
    task = loop.create_task(site.resync.compare())
    loop.advance(3)
    site.api.put(documents.a_module(spec={"module": "changed again"}))
    site.store.put(changed)
    loop.advance(5)
    assert task.result() == 0


def test_a_watch_is_silent_after_two_comparisons_with_misses_until_it_brings_something(site: Site) -> None:
    for number in range(2):
        assert site.resync.silent == ()
        site.api.put(documents.a_module(spec={"module": f"changed-{number}"}))
        site.compare()
        site.compare()
    assert site.resync.silent == ("analysismodules",)
    site.resync.heard(resources.MODULE)
    assert site.resync.silent == ()


def test_a_refresh_fetches_at_once_and_accuses_nobody(site: Site, loop: VirtualLoop) -> None:
    site.api.put(documents.a_module(spec={"module": "changed"}))
    loop.finish(site.resync.refresh())
    module = site.store.module(DEMO)
    assert module is not None
    assert module.spec == {"module": "changed"}
    assert site.missed("analysismodules") == 0


def test_it_compares_at_its_pace_and_sooner_after_a_failure(loop: VirtualLoop) -> None:
    at: list[float] = []

    class Noting(Resync):
        async def compare(self) -> int:
            at.append(loop.now)
            if len(at) == 2:
                raise ApiError(500, "etcd is away")
            return 0

    site = Site(loop)
    everything: Any = (site.api, site.store, None, site.metrics)
    resync = Noting(*everything, clock=loop.time)
    task = loop.create_task(resync.run(60))
    loop.advance(200)
    assert at == [60, 120, 125, 185]
    assert not task.done()


def test_only_metadata_are_listed(site: Site, loop: VirtualLoop) -> None:
    asked: list[bool] = []
    plain = site.api.list

    def listing(*arguments: Any, metadata_only: bool = False, **others: Any) -> Any:
        asked.append(metadata_only)
        return plain(*arguments, metadata_only=metadata_only, **others)

    site.api.list = listing  # type: ignore[method-assign]
    loop.finish(site.resync.compare())
    assert asked == [True] * len(resources.WATCHED)


def test_a_failure_is_the_callers(site: Site, loop: VirtualLoop) -> None:
    site.api.fail_next(1, "list")
    with pytest.raises(ApiError):
        loop.finish(site.resync.compare())
