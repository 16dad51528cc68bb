"""The real Kubernetes that the tests stand on keeps its word: it serves, controls, guards and writes down."""

import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.infrastructure import api_client, waiting
from tests.infrastructure.control_plane import ControlPlane

PATIENCE_SECONDS = 30.0


def config_map(name: str, namespace: str, **data: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def deployment(name: str, namespace: str, *, replicas: int) -> dict[str, Any]:
    labels = {"app": name}
    containers = [{"name": "main", "image": "example/none:1"}]
    template = {"metadata": {"labels": labels}, "spec": {"containers": containers}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
    }


def crd(group: str) -> dict[str, Any]:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"things.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": "things", "singular": "thing", "kind": "Thing"},
            "versions": [version],
        },
    }


def reference_to(owner: Mapping[str, Any]) -> dict[str, Any]:
    identity = {key: owner["metadata"][key] for key in ("name", "uid")}
    return {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "blockOwnerDeletion": True, **identity}


def answers(api: api_client.ApiClient) -> bool:
    try:
        return bool(api.items(api_client.NAMESPACES))
    except api_client.ApiUnreachable:
        return False


def written_by(plane: ControlPlane, name: str, *, since: int) -> list[tuple[str, str, int]]:
    """Verb, user and answer of every write that named the object."""
    return [
        (event["verb"], event["user"]["username"], event["responseStatus"]["code"])
        for event in plane.audit_events(since=since)
        if event.get("objectRef", {}).get("name") == name and event["verb"] not in {"get", "list", "watch"}
    ]


def allow(plane: ControlPlane, namespace: str, subject: Mapping[str, str]) -> None:
    """Lets the subject read the ConfigMaps of the namespace."""
    group = "rbac.authorization.k8s.io"
    metadata = {"name": "reading", "namespace": namespace}
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch"]}]
    plane.api.create({"apiVersion": f"{group}/v1", "kind": "Role", "metadata": metadata, "rules": rules})
    plane.api.create(
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "subjects": [{"apiGroup": group, **subject}],
            "roleRef": {"apiGroup": group, "kind": "Role", "name": "reading"},
        }
    )


@pytest.fixture
def namespace(control_plane: ControlPlane) -> str:
    return control_plane.namespace("infrastructure")


@pytest.fixture
def other_client(control_plane: ControlPlane) -> Iterator[api_client.ApiClient]:
    with api_client.ApiClient(control_plane.kubeconfig_of("carol", groups=("watchers",))) as client:
        yield client


@pytest.fixture(scope="module")
def plane_with_things(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    file = tmp_path_factory.mktemp("crd") / "things.yaml"
    file.write_text(yaml.safe_dump(crd("things.example")))
    with ControlPlane([file]) as plane:
        yield plane


class TestObjects:
    def test_what_was_created_is_found_and_what_was_deleted_is_not(
        self, control_plane: ControlPlane, namespace: str
    ) -> None:
        api = control_plane.api
        api.create(config_map("a", namespace, key="1"))

        assert api.get(api_client.CONFIG_MAPS, "a", namespace=namespace)["data"] == {"key": "1"}
        api.delete(api_client.CONFIG_MAPS, "a", namespace=namespace)
        assert api.find(api_client.CONFIG_MAPS, "a", namespace=namespace) is None

    def test_a_dry_run_stores_nothing(self, control_plane: ControlPlane, namespace: str) -> None:
        control_plane.api.create(config_map("dry", namespace), dry_run=True)

        assert control_plane.api.find(api_client.CONFIG_MAPS, "dry", namespace=namespace) is None

    def test_two_managers_who_apply_one_field_conflict(
        self, control_plane: ControlPlane, namespace: str
    ) -> None:
        control_plane.api.apply(config_map("shared", namespace, key="1"), manager="first")

        with pytest.raises(api_client.ApiError) as refused:
            control_plane.api.apply(config_map("shared", namespace, key="2"), manager="second")

        assert (refused.value.code, refused.value.reason) == (409, "Conflict")
        assert [cause["field"] for cause in refused.value.causes] == [".data.key"]

    def test_an_invalid_object_is_refused_by_field(self, control_plane: ControlPlane, namespace: str) -> None:
        wrong = deployment("wrong", namespace, replicas=-1)

        with pytest.raises(api_client.ApiError, match=r"422 Invalid: .*spec\.replicas"):
            control_plane.api.create(wrong)

    def test_a_table_has_the_columns_that_kubectl_shows(
        self, control_plane: ControlPlane, namespace: str
    ) -> None:
        control_plane.api.create(config_map("counted", namespace, one="1", two="2"))

        rows = control_plane.api.table(api_client.CONFIG_MAPS, namespace=namespace)

        assert {row["Name"]: row["Data"] for row in rows}["counted"] == 2
        typed = control_plane.kubectl("get", "configmap", "counted", "-n", namespace)
        assert typed.stdout.split()[:3] == ["NAME", "DATA", "AGE"]


class TestControllers:
    def test_a_deployment_makes_its_pods(self, control_plane: ControlPlane, namespace: str) -> None:
        control_plane.api.create(deployment("web", namespace, replicas=3))

        waiting.until(
            lambda: len(control_plane.api.items(api_client.PODS, namespace=namespace, labels="app=web")) == 3,
            what="three pods",
            timeout_seconds=PATIENCE_SECONDS,
        )

    def test_what_an_object_owns_goes_with_it(self, control_plane: ControlPlane, namespace: str) -> None:
        api = control_plane.api
        owned = config_map("owned", namespace)
        owned["metadata"]["ownerReferences"] = [reference_to(api.create(config_map("owner", namespace)))]
        api.create(owned)

        api.delete(api_client.CONFIG_MAPS, "owner", namespace=namespace)

        waiting.until(
            lambda: api.find(api_client.CONFIG_MAPS, "owned", namespace=namespace) is None,
            what="the owned object is gone",
            timeout_seconds=PATIENCE_SECONDS,
        )


class TestAccess:
    def test_the_audit_log_names_who_wrote(
        self, control_plane: ControlPlane, namespace: str, other_client: api_client.ApiClient
    ) -> None:
        name = f"written-{uuid.uuid4().hex[:8]}"
        before = control_plane.audit_position()
        control_plane.api.create(config_map(name, namespace))
        with pytest.raises(api_client.ApiError, match="403 Forbidden"):
            other_client.delete(api_client.CONFIG_MAPS, name, namespace=namespace)

        def seen() -> bool:
            return len(written_by(control_plane, name, since=before)) == 2

        waiting.until(seen, what="two lines", timeout_seconds=PATIENCE_SECONDS)
        assert written_by(control_plane, name, since=before) == [
            ("create", "admin", 201),
            ("delete", "carol", 403),
        ]

    def test_events_since_the_middle_of_one_begin_with_the_next(
        self, control_plane: ControlPlane, namespace: str
    ) -> None:
        """The position was taken while a line was being written."""
        before = control_plane.audit_position()
        control_plane.api.create(config_map("late", namespace, key="1"))
        waiting.until(
            lambda: len(control_plane.audit_events(since=before)) >= 2,
            what="two events",
            timeout_seconds=PATIENCE_SECONDS,
        )
        first, second = control_plane.audit_events(since=before)[:2]
        assert control_plane.audit_events(since=before + 5)[0] == second != first

    def test_a_group_may_what_its_role_allows_and_no_more(
        self, control_plane: ControlPlane, namespace: str, other_client: api_client.ApiClient
    ) -> None:
        allow(control_plane, namespace, {"kind": "Group", "name": "watchers"})

        assert other_client.items(api_client.CONFIG_MAPS, namespace=namespace)
        with pytest.raises(api_client.ApiError, match="403 Forbidden"):
            other_client.items(api_client.SECRETS, namespace=namespace)

    def test_a_service_account_acts_under_its_own_name(
        self, control_plane: ControlPlane, namespace: str
    ) -> None:
        shown = control_plane.kubectl(
            "auth",
            "whoami",
            "-o",
            "jsonpath={.status.userInfo.username}",
            kubeconfig=control_plane.kubeconfig_of_service_account(namespace, "default"),
        )

        assert shown.stdout == f"system:serviceaccount:{namespace}:default"


class TestTwoAtOnce:
    def test_two_control_planes_know_nothing_of_each_other(
        self, control_plane: ControlPlane, plane_with_things: ControlPlane
    ) -> None:
        name = plane_with_things.namespace("other")

        assert control_plane.api.find(api_client.NAMESPACES, name) is None

    def test_the_collector_knows_kinds_that_were_installed_at_the_start(
        self, plane_with_things: ControlPlane
    ) -> None:
        namespace = plane_with_things.namespace("things")
        metadata = {"name": "one", "namespace": namespace}
        thing = {"apiVersion": "things.example/v1", "kind": "Thing", "metadata": metadata}
        owned = config_map("owned", namespace)
        owned["metadata"]["ownerReferences"] = [reference_to(plane_with_things.api.create(thing))]
        plane_with_things.api.create(owned)
        resource = api_client.Resource("things.example/v1", "things")

        plane_with_things.api.delete(resource, "one", namespace=namespace, propagation="Foreground")

        waiting.until(
            lambda: plane_with_things.api.find(resource, "one", namespace=namespace) is None,
            what="first the owned object is gone, then its owner",
            timeout_seconds=PATIENCE_SECONDS,
        )
        assert plane_with_things.api.find(api_client.CONFIG_MAPS, "owned", namespace=namespace) is None


class TestFailures:
    def test_a_killed_api_server_does_not_answer_and_comes_back_with_its_data(
        self, control_plane_lone: ControlPlane
    ) -> None:
        namespace = control_plane_lone.namespace("kept")
        control_plane_lone.api.create(config_map("kept", namespace, key="1"))

        control_plane_lone.stop_api_server()
        with pytest.raises(api_client.ApiUnreachable):
            control_plane_lone.api.items(api_client.CONFIG_MAPS)
        control_plane_lone.start_api_server()

        kept = control_plane_lone.api.get(api_client.CONFIG_MAPS, "kept", namespace=namespace)
        assert kept["data"] == {"key": "1"}

    def test_what_was_started_ends_with_the_process_that_started_it(self) -> None:
        command = [sys.executable, "-m", "tests.infrastructure.control_plane"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
            assert owner.stdout is not None
            kubeconfig = Path(owner.stdout.readline().removeprefix("export KUBECONFIG=").strip())
            with api_client.ApiClient(kubeconfig) as api:
                assert api.items(api_client.NAMESPACES)
                owner.kill()

                waiting.until(
                    lambda: not answers(api), what="nobody answers", timeout_seconds=PATIENCE_SECONDS
                )
        scratch = kubeconfig.parents[2]
        waiting.until(
            lambda: not scratch.exists(), what="its data are gone", timeout_seconds=PATIENCE_SECONDS
        )
