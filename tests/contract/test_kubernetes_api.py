"""What the operator relies on of the Kubernetes API, on the fake and on a real API server."""

import dataclasses
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

from analysis_operator.cluster import api as apis
from analysis_operator.cluster import resources
from analysis_operator.cluster.api import Api, ApiError, NamespaceEnding
from tests.fakes.api import FakeApi
from tests.infrastructure import api_client
from tests.infrastructure.control_plane import ControlPlane
from tests.unit.analysis_operator import fleets


@dataclasses.dataclass(frozen=True)
class Place:
    """An API and a namespace of a test's own in it."""

    api: Api
    namespace: str

    def config_map(
        self, data: dict[str, str] | None = None, name: str = "a", **labels: str
    ) -> dict[str, Any]:
        """A ConfigMap as one applies it."""
        metadata = {"namespace": self.namespace, "name": name, "labels": labels}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data or {}}

    async def apply(self, document: dict[str, Any]) -> dict[str, Any]:
        """Apply a ConfigMap."""
        return await self.api.apply(resources.CONFIG_MAP, document)

    async def get(self, name: str = "a") -> dict[str, Any] | None:
        """A ConfigMap, None if there is none."""
        return await self.api.get(resources.CONFIG_MAP, self.namespace, name)

    async def listed(self, **how: Any) -> list[dict[str, Any]]:
        """All ConfigMaps but those that Kubernetes itself makes in each namespace."""
        found = [each async for each in self.api.list(resources.CONFIG_MAP, self.namespace, **how)]
        return [each for each in found if each["metadata"]["name"] != "kube-root-ca.crt"]


@pytest.fixture(params=["fake", "real"])
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    if request.param == "fake":
        yield Place(FakeApi(), f"api-{uuid.uuid4().hex[:8]}")  # type: ignore[arg-type]
        return
    plane: ControlPlane = request.getfixturevalue("control_plane")
    api = Api(await apis.configured(str(plane.kubeconfig)))
    yield Place(api, plane.namespace("api"))
    await api.close()


def version(document: dict[str, Any]) -> int:
    return int(document["metadata"]["resourceVersion"])


async def test_what_is_not_there_is_none_and_its_deletion_no_failure(place: Place) -> None:
    assert await place.get() is None
    await place.api.delete(resources.CONFIG_MAP, place.namespace, "a")


async def test_what_is_deleted_is_gone(place: Place) -> None:
    await place.apply(place.config_map())
    await place.api.delete(resources.CONFIG_MAP, place.namespace, "a")
    assert await place.get() is None


async def test_an_object_made_anew_has_another_uid_and_a_higher_version(place: Place) -> None:
    first = await place.apply(place.config_map())
    await place.api.delete(resources.CONFIG_MAP, place.namespace, "a")
    second = await place.apply(place.config_map())
    assert first["metadata"]["uid"] != second["metadata"]["uid"]
    assert version(second) > version(first)


async def test_created_twice_is_a_conflict(place: Place) -> None:
    await place.api.create(resources.CONFIG_MAP, place.namespace, place.config_map())
    with pytest.raises(ApiError) as raised:
        await place.api.create(resources.CONFIG_MAP, place.namespace, place.config_map())
    assert raised.value.status == 409


async def test_an_update_of_an_old_version_is_a_conflict_and_changes_nothing(place: Place) -> None:
    old = await place.apply(place.config_map({"k": "1"}))
    new = await place.api.update(resources.CONFIG_MAP, {**old, "data": {"k": "2"}})
    assert version(new) > version(old)
    with pytest.raises(ApiError) as raised:
        await place.api.update(resources.CONFIG_MAP, {**old, "data": {"k": "3"}})
    assert raised.value.status == 409
    found = await place.get()
    assert found is not None
    assert found["data"] == {"k": "2"}


async def test_an_update_of_what_is_not_there_is_404(place: Place) -> None:
    with pytest.raises(ApiError) as raised:
        await place.api.update(resources.CONFIG_MAP, place.config_map())
    assert raised.value.status == 404


class TestApply:
    async def test_makes_and_changes_and_takes_back_what_it_does_not_name_any_more(
        self, place: Place
    ) -> None:
        await place.apply(place.config_map({"a": "1", "b": "2"}))
        answer = await place.apply(place.config_map({"a": "3"}))
        assert answer["data"] == {"a": "3"}

    async def test_of_the_same_changes_no_version(self, place: Place) -> None:
        first = await place.apply(place.config_map({"a": "1"}, team="grid"))
        again = await place.apply(place.config_map({"a": "1"}, team="grid"))
        assert version(first) == version(again)

    async def test_leaves_what_others_have_added(self, place: Place) -> None:
        await place.apply(place.config_map({"a": "1"}))
        found = await place.get()
        assert found is not None
        await place.api.update(resources.CONFIG_MAP, {**found, "data": {**found["data"], "theirs": "x"}})
        answer = await place.apply(place.config_map({"a": "2"}))
        assert answer["data"] == {"a": "2", "theirs": "x"}

    async def test_takes_over_what_others_have_changed(self, place: Place) -> None:
        await place.apply(place.config_map({"a": "1"}))
        found = await place.get()
        assert found is not None
        await place.api.update(resources.CONFIG_MAP, {**found, "data": {"a": "theirs"}})
        answer = await place.apply(place.config_map({"a": "1"}))
        assert answer["data"] == {"a": "1"}


class TestMerge:
    async def test_adds_and_removes_single_fields(self, place: Place) -> None:
        await place.apply(place.config_map({"a": "1", "b": "2"}))
        change = {"data": {"a": None, "c": "3"}}
        answer = await place.api.merge(resources.CONFIG_MAP, place.namespace, "a", change)
        assert answer["data"] == {"b": "2", "c": "3"}

    async def test_of_what_is_not_there_is_404(self, place: Place) -> None:
        with pytest.raises(ApiError) as raised:
            await place.api.merge(resources.CONFIG_MAP, place.namespace, "a", {"data": {}})
        assert raised.value.status == 404


class TestList:
    async def test_is_of_those_that_bear_the_labels(self, place: Place) -> None:
        await place.apply(place.config_map(name="a", team="grid", kind="x"))
        await place.apply(place.config_map(name="b", team="grid"))
        await place.apply(place.config_map(name="c"))
        names = [each["metadata"]["name"] for each in await place.listed(selector="team=grid")]
        assert sorted(names) == ["a", "b"]
        assert len(await place.listed(selector="team=grid,kind=x")) == 1
        assert len(await place.listed()) == 3

    async def test_is_of_one_name_if_one_is_given(self, place: Place) -> None:
        await place.apply(place.config_map(name="a"))
        await place.apply(place.config_map(name="b"))
        assert [each["metadata"]["name"] for each in await place.listed(name="b")] == ["b"]
        assert await place.listed(name="c") == []

    async def test_says_the_kind_of_each(self, place: Place) -> None:
        await place.apply(place.config_map({"a": "1"}))
        (found,) = await place.listed()
        assert (found["kind"], found["apiVersion"], found["data"]) == ("ConfigMap", "v1", {"a": "1"})

    async def test_of_metadata_has_versions_and_no_content(self, place: Place) -> None:
        applied = await place.apply(place.config_map({"a": "1"}))
        (found,) = await place.listed(metadata_only=True)
        assert version(found) == version(applied)
        assert found["metadata"]["uid"] == applied["metadata"]["uid"]
        assert "data" not in found


class TestAModulesStatus:
    def module(self, place: Place, **parts: Any) -> dict[str, Any]:
        metadata = {"namespace": place.namespace, "name": "demo"}
        return {
            "apiVersion": resources.MODULE.api_version,
            "kind": resources.MODULE.kind,
            "metadata": metadata,
            **parts,
        }

    async def test_is_applied_by_itself_and_is_no_new_generation(self, place: Place) -> None:
        await place.api.create(
            resources.MODULE, place.namespace, self.module(place, spec=dict(fleets.SHORTEST))
        )
        status = {"phase": "Running", "epoch": 3}
        answer = await place.api.apply(resources.MODULE, self.module(place, status=status), "status")
        assert status.items() <= answer["status"].items()
        assert answer["spec"]["module"] == "numbered"
        assert answer["metadata"]["generation"] == 1

    async def test_takes_back_what_it_does_not_say_any_more(self, place: Place) -> None:
        await place.api.create(
            resources.MODULE, place.namespace, self.module(place, spec=dict(fleets.SHORTEST))
        )
        await place.api.apply(resources.MODULE, self.module(place, status={"epoch": 3, "lag": 5}), "status")
        answer = await place.api.apply(resources.MODULE, self.module(place, status={"epoch": 4}), "status")
        assert answer["status"].get("epoch") == 4
        assert "lag" not in answer["status"]

    async def test_of_a_module_that_is_gone_is_404(self, place: Place) -> None:
        with pytest.raises(ApiError) as raised:
            await place.api.apply(resources.MODULE, self.module(place, status={"epoch": 1}), "status")
        assert raised.value.status == 404

    async def test_an_edit_of_the_spec_is_a_new_generation(self, place: Place) -> None:
        spec = dict(fleets.SHORTEST)
        made = await place.api.create(resources.MODULE, place.namespace, self.module(place, spec=spec))
        change = {"spec": {"padding": "Linear"}}
        changed = await place.api.merge(resources.MODULE, place.namespace, "demo", change)
        assert (made["metadata"]["generation"], changed["metadata"]["generation"]) == (1, 2)


async def test_a_write_to_a_namespace_that_is_being_deleted_is_told_from_a_missing_right(
    control_plane: ControlPlane,
) -> None:
    codes: list[str] = []
    api = Api(await apis.configured(str(control_plane.kubeconfig)), lambda *seen: codes.append(seen[2]))
    place = Place(api, control_plane.namespace("ending"))
    held = place.config_map(name="held")
    held["metadata"]["finalizers"] = ["example.com/held"]
    await place.apply(held)
    control_plane.api.delete(api_client.NAMESPACES, place.namespace)
    codes.clear()
    with pytest.raises(NamespaceEnding, match="because it is being terminated"):
        await place.apply(place.config_map(name="new"))
    assert codes == ["ending"]
    await place.api.merge(resources.CONFIG_MAP, place.namespace, "held", {"metadata": {"finalizers": None}})
    await api.close()
