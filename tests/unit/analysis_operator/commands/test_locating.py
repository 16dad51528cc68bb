"""`where`: which worker has a station, module by module."""

import dataclasses

from analysis_module import slots
from analysis_operator.commands import locating
from tests.unit.analysis_operator import fleets
from tests.unit.analysis_operator.commands import views

STATION = next(f"S{number}" for number in range(100) if slots.slot_of(f"S{number}", 8) == 5)


async def where(fleet: fleets.Fleet, station: str = STATION, module: str | None = None) -> str:
    view = await views.view_of(fleet, modules={"idle": fleets.a_spec(module="idle")})
    return "\n".join(locating.table(locating.located(view, station, module)))


async def test_a_station_is_where_its_slot_is() -> None:
    fleet = views.running()
    pod = fleet.pod(1).name
    assert await where(fleet) == (
        "MODULE         SLOT   SHARD   POD        STATE   EPOCH\n"
        f"default/demo   5      1       {pod:<8}   ready   1"
    )


async def test_a_worker_that_is_not_ready_is_told_as_such() -> None:
    fleet = views.running()
    document = await views.view_of(fleet)
    pod = document.store.pods(fleet.module.key)[1]
    assert pod.ready
    fleet.pods[fleet.pod(1).name] = dataclasses.replace(fleet.pod(1), rollout="another")
    assert "not ready" in await where(fleet)


async def test_a_slot_on_its_way_is_still_with_who_lets_go_of_it() -> None:
    fleet = views.running(1)
    fleet.edit(views.a_spec(2))
    fleet.step()
    fleet.run_pods()
    fleet.step()
    assert "letting go" in await where(fleet)


async def test_a_slot_is_with_its_owner_while_another_follows_it() -> None:
    fleet = views.running(1)
    fleet.older = False
    fleet.edit(views.a_spec(2))
    fleet.step()
    fleet.run_pods()
    fleet.step()
    assert fleet.arriving() == {1: "4-7"}
    assert (await where(fleet)).splitlines()[1].split()[2:5] == ["0", fleet.pod(0).name, "ready"]


async def test_a_shard_without_a_pod_is_told_without_one() -> None:
    fleet = views.running()
    fleet.end_pod(fleet.pod(1).name)
    assert (await where(fleet)).splitlines()[1].split() == [
        "default/demo",
        "5",
        "1",
        "-",
        "not",
        "ready",
        "1",
    ]


async def test_only_the_named_module_is_asked() -> None:
    view = await views.view_of(views.running())
    assert locating.located(view, STATION, "another") == []
    assert len(locating.located(view, STATION, "demo")) == 1
