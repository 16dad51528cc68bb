"""`plan`: what applying a manifest would do, told to people and to programs."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from analysis_module import errors, slots
from analysis_operator.commands import planning
from analysis_operator.commands.cluster_view import View
from analysis_operator.commands.planning import Foreseen
from analysis_operator.decisions.manifests import Reference
from analysis_operator.decisions.observed import Callback, Key
from analysis_operator.decisions.options import Options
from tests.fakes.api import FakeApi
from tests.unit.analysis_operator import fleets
from tests.unit.analysis_operator.commands import views

DEMO = Key("default", "demo")


async def foreseen(view: View, spec: Any, key: Key = DEMO) -> Foreseen:
    return await planning.foreseen(view, views.manifest(spec, key.name), key, Options())


async def told(view: View, spec: Any, key: Key = DEMO) -> str:
    return "\n".join((await foreseen(view, spec, key)).lines())


async def test_the_same_spec_would_change_nothing() -> None:
    view = await views.view_of(views.running())
    found = await foreseen(view, views.a_spec())
    assert list(found.lines()) == ["default/demo: nothing would change"]
    assert not found.changes_something


async def test_a_hot_edit_is_told_with_its_field_and_its_configmaps() -> None:
    view = await views.view_of(views.running())
    assert await told(view, views.a_spec(padding="Linear", expireAfterSeconds=60)) == (
        "default/demo: hot, because of spec.expireAfterSeconds\n"
        "  spec.expireAfterSeconds                      hot\n"
        "  spec.padding                                 hot\n"
        "  ConfigMap demo-0 would be changed\n"
        "  ConfigMap demo-1 would be changed"
    )


async def test_a_rolling_edit_is_told_with_every_pod_that_it_would_replace() -> None:
    view = await views.view_of(views.running())
    assert await told(view, views.a_spec(observability={"logFormat": "json"})) == (
        "default/demo: rolling, because of spec.observability.logFormat\n"
        "  spec.observability.logFormat                 rolling\n"
        "  ConfigMap demo-0 would be changed\n"
        "  Deployment demo-0 would replace its pod\n"
        "  ConfigMap demo-1 would be changed\n"
        "  Deployment demo-1 would replace its pod"
    )


async def test_a_change_of_scale_is_told_with_slots_and_stations_that_would_move() -> None:
    fleet = views.running()
    view = await views.view_of(fleet)
    api: Any = view._api
    stations = [f"S{number}" for number in range(40)]
    for shard in range(2):
        held = fleet.assignment(shard)
        assert held is not None
        own = [{"station_id": each} for each in stations if slots.slot_of(each, 8) in held.slots]
        api.pages[fleet.pod(shard).name, "/status?stations=100000"] = {"stations": own}
    found = await foreseen(view, views.a_spec(3))
    assert found.moved_slots == (3, 7)
    assert set(found.moved_stations) == {each for each in stations if slots.slot_of(each, 8) in (3, 7)}
    lines = list(found.lines())
    assert lines[0] == "default/demo: none, because of spec.workers.replicas"
    assert "  Deployment demo-2 would be made" in lines
    assert lines[-2] == "  2 of 8 slots would move: 3,7"
    assert lines[-1].startswith(f"  {len(found.moved_stations)} of 40 stations would move: S")


async def test_stations_that_are_not_known_are_told_as_such() -> None:
    view = await views.view_of(views.running())
    assert (await told(view, views.a_spec(3))).endswith(
        "  which stations that are is not known: a worker could not be asked"
    )


async def test_more_stations_than_fit_are_counted() -> None:
    found = Foreseen(
        module="a/b",
        is_new=False,
        slots=8,
        moved_slots=(1,),
        stations=100,
        moved_stations=tuple(f"S{number}" for number in range(50)),
    )
    assert list(found.lines())[-1].endswith("S18, S19 and 30 more")


async def test_a_new_module_is_told_with_what_would_be_made() -> None:
    lines = (await told(await views.view_of(), views.a_spec(1))).splitlines()
    assert lines[0] == "default/demo: new"
    assert lines[1:] == [
        "  Service demo would be made",
        "  PodDisruptionBudget demo would be made",
        "  NetworkPolicy demo would be made",
        "  ConfigMap demo-0 would be made",
        "  Deployment demo-0 would be made",
    ]


async def test_objects_that_others_have_changed_would_be_mended() -> None:
    fleet = views.running()
    fleet.change(Reference("Service", "demo"), ("spec", "selector"), {"a": "b"})
    assert await told(await views.view_of(fleet), views.a_spec()) == (
        "default/demo: the spec means the same; objects would be mended\n  Service demo would be changed"
    )


async def test_what_cannot_be_changed_would_be_refused() -> None:
    view = await views.view_of(views.running())
    spec = fleets.a_spec(partitioning={"slots": 16}, workers={"replicas": 2})
    assert await told(view, spec) == (
        "default/demo: would be refused\n"
        "  spec.partitioning.slots: cannot be changed; delete the module and apply it anew"
    )


async def test_a_bad_pod_template_would_be_refused() -> None:
    found = await foreseen(await views.view_of(), fleets.with_overlay({"hostNetwork": True}))
    assert found.refused[0].startswith("spec.workers.podTemplate.spec.hostNetwork: may not be set")


async def test_a_cycle_that_the_edit_would_close_would_be_refused() -> None:
    reader = fleets.a_spec(
        module="other", dependencies=[{"module": "numbered", "topic": "MODULE-OUTPUT-NUMBERED"}]
    )
    view = await views.view_of(views.running(), modules={"other": reader})
    spec = views.a_spec(dependencies=[{"module": "other", "topic": "MODULE-OUTPUT-OTHER"}])
    assert await told(view, spec) == (
        "default/demo: would be refused\n"
        "  spec.dependencies: default/demo -> default/other -> default/demo is a cycle; remove one of them"
    )


async def test_a_new_module_that_takes_anothers_group_would_be_refused() -> None:
    view = await views.view_of(views.running())
    found = await foreseen(view, views.a_spec(), Key("default", "second"))
    assert found.refused == ("spec.kafka.groupId: default/demo uses the same; give this module another one",)


async def test_a_callback_in_a_configmap_is_known() -> None:
    fleet = fleets.Fleet(fleets.SPECS["a callback in a ConfigMap"])
    source = "def callback(station_id, module_input):\n    return 1\n"
    fleet.seen = {"callback": Callback(text=source)}
    fleet.settle()
    view = await views.view_of(fleet)
    api: Any = view._api
    api.put({"kind": "ConfigMap", "metadata": {"name": "code"}, "data": {"callback.py": source}})
    assert await told(view, fleet.module.spec) == "default/demo: nothing would change"


async def test_what_is_foreseen_is_told_to_programs_too() -> None:
    view = await views.view_of(views.running())
    document = (await foreseen(view, views.a_spec(3, padding="Linear"))).to_json()
    assert json.loads(json.dumps(document)) == document
    assert document["module"] == "default/demo"
    assert (document["new"], document["change"], document["reason"]) == (False, "hot", "spec.padding")
    assert document["fields"] == {"spec.padding": "hot", "spec.workers.replicas": "none"}
    assert document["movedSlots"] == "3,7"
    assert (document["stations"], document["movedStations"]) == (None, [])


class TestDocuments:
    def test_several_in_a_file_are_read_in_order(self, tmp_path: Path) -> None:
        path = tmp_path / "modules.yaml"
        path.write_text(
            yaml.safe_dump_all([views.manifest(fleets.SHORTEST, name) for name in "ab"]) + "---\n"
        )
        assert [each["metadata"]["name"] for each in planning.read_documents(path)] == ["a", "b"]

    def test_a_file_that_is_not_there_is_told_with_the_mend(self, tmp_path: Path) -> None:
        with pytest.raises(
            errors.InvalidSpec, match=r"nowhere.yaml: cannot be read: .*; name a file that is"
        ):
            planning.read_documents(tmp_path / "nowhere.yaml")

    @pytest.mark.parametrize("content", [b"a: [", b"\xff\xfe\x00"])
    def test_a_file_that_is_no_yaml_is_told_with_the_mend(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "module.yaml"
        path.write_bytes(content)
        with pytest.raises(errors.InvalidSpec, match="is not YAML; mend the text"):
            planning.read_documents(path)

    def test_a_manifest_with_a_problem_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "module.yaml"
        path.write_text(yaml.safe_dump({"kind": "Deployment"}))
        with pytest.raises(errors.InvalidSpec, match="kind: is"):
            planning.read_documents(path)


async def test_a_view_asks_for_nothing_but_what_is_ours() -> None:
    api = FakeApi()
    await View(api, Options()).read("default", whole=False)  # type: ignore[arg-type]
    assert api.requests == [("list", "AnalysisModule", "")]
