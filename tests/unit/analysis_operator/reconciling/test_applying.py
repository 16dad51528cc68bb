"""A plan is carried out in its order, what is answered is known at once, others' objects are left alone."""

import dataclasses

import pytest

from analysis_module import names
from analysis_operator.cluster.api import ApiError
from analysis_operator.cluster.store import Store
from analysis_operator.decisions.manifests import Reference
from analysis_operator.decisions.planning import Plan, Stamp
from analysis_operator.reconciling.applying import Applier, NameTaken
from tests.fakes.api import FakeApi
from tests.unit.analysis_operator import documents, fleets

MODULE = fleets.a_module()


class Site:
    """An applier, its API server and its store."""

    def __init__(self) -> None:
        self.api, self.store = FakeApi(), Store()
        self.applier = Applier(self.api, self.store)  # type: ignore[arg-type]

    async def carry_out(self, plan: Plan) -> None:
        """Carry a plan out."""
        await self.applier.carry_out(MODULE, plan)


@pytest.fixture
def site() -> Site:
    return Site()


def fresh() -> Plan:
    return fleets.Fleet().plan()


def stamping(*pods: str) -> Plan:
    stamps = tuple(Stamp(pod, "h-1.5") for pod in pods)
    return Plan(stamp=stamps, status=fresh().status, look_again_seconds=1)


async def test_objects_are_applied_in_order_and_known_at_once(site: Site) -> None:
    await site.carry_out(fresh())
    applied = [f"{kind} {name}" for verb, kind, name in site.api.requests if verb == "patch"]
    assert applied == fleets.applied(fresh())
    known = {f"{child.kind} {child.name}" for child in site.store.children(MODULE.key, MODULE.uid)}
    assert known == set(applied)


async def test_pods_are_stamped_after_their_configmaps(site: Site) -> None:
    site.api.put(documents.a_pod())
    plan = fresh()
    await site.carry_out(dataclasses.replace(plan, stamp=stamping("demo-0-a").stamp))
    assert site.api.requests[-1] == ("patch", "Pod", "demo-0-a")
    (pod,) = site.store.pods(MODULE.key)
    assert pod.stamp == "h-1.5"


async def test_a_pod_that_is_gone_is_no_failure(site: Site) -> None:
    site.api.put(documents.a_pod("demo-1-b"))
    await site.carry_out(stamping("gone", "demo-1-b"))
    assert [pod.name for pod in site.store.pods(MODULE.key)] == ["demo-1-b"]


async def test_what_is_deleted_is_forgotten_at_once(site: Site) -> None:
    await site.carry_out(fresh())
    reference = Reference("Service", "demo")
    await site.carry_out(Plan(delete=(reference,), status=fresh().status, look_again_seconds=1))
    assert ("Service", "default", "demo") not in site.api.objects
    assert "Service" not in {child.kind for child in site.store.children(MODULE.key, MODULE.uid)}


@pytest.mark.parametrize("owner", [None, "uid-0"])
async def test_an_object_of_somebody_elses_is_left_alone_with_the_mend(site: Site, owner: str | None) -> None:
    site.api.put(documents.a_child("Service", "demo", owner=owner, spec={"theirs": True}))
    with pytest.raises(NameTaken, match="Service demo exists and is not this module's; delete it, or name"):
        await site.carry_out(fresh())
    assert site.api.objects["Service", "default", "demo"]["spec"] == {"theirs": True}
    assert site.api.count("patch") == 0


async def test_an_own_object_that_the_store_had_not_heard_of_is_applied(site: Site) -> None:
    site.api.put(documents.a_child("Service", "demo"))
    await site.carry_out(fresh())
    assert names.LABEL_MODULE in site.api.objects["Service", "default", "demo"]["metadata"]["labels"]


async def test_an_object_that_is_known_costs_one_request(site: Site) -> None:
    fleet = fleets.settled()
    fleet.edit(fleets.a_spec(padding="Linear"))
    await site.carry_out(dataclasses.replace(fleet.plan(), stamp=()))
    assert site.api.requests == [("patch", "ConfigMap", "demo-0")]


async def test_the_first_step_that_fails_ends_it(site: Site) -> None:
    site.api.fail_next(1, "patch", ApiError(403, "forbidden"))
    with pytest.raises(ApiError, match="forbidden"):
        await site.carry_out(fresh())
    assert site.api.objects == {}
