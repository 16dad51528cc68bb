"""A release on a real control plane: installed, upgraded, at work with no other rights, and uninstalled."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from analysis_module import names
from tests.infrastructure import api_client, helm, operator_account, waiting
from tests.infrastructure.control_plane import ControlPlane
from tests.infrastructure.module_driver import ModuleDriver
from tests.infrastructure.operator_process import OperatorProcess

PATIENCE_SECONDS = 60.0
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
CRD = f"{names.PLURAL}.{names.API_GROUP}"
CLUSTER_ROLES = api_client.Resource("rbac.authorization.k8s.io/v1", "clusterroles")
ROLES = api_client.Resource("rbac.authorization.k8s.io/v1", "roles")
SPEC = {"module": "load_prediction", "kafka": {"bootstrapServers": ["127.0.0.1:1"]}}
"""A module whose Kafka nobody serves: the operator does all but talk to it."""


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """A control plane that has not heard of AnalysisModules."""
    with ControlPlane() as started:
        yield started


class Release:
    """A release of the chart in a namespace of its own, which enforces Pod Security `restricted`."""

    def __init__(self, plane: ControlPlane, **values: Any) -> None:
        self.plane = plane
        self.values = values
        self.namespace = plane.namespace("release", RESTRICTED)

    def install(self, chart: Path = helm.CHART) -> None:
        """`helm install`."""
        self._helm("install", helm.RELEASE, str(chart), values=self.values)

    def upgrade(self, chart: Path = helm.CHART, **values: Any) -> None:
        """`helm upgrade`, with these values in the place of some."""
        self.values = {**self.values, **values}
        self._helm("upgrade", helm.RELEASE, str(chart), values=self.values)

    def uninstall(self) -> None:
        """`helm uninstall`."""
        self._helm("uninstall", helm.RELEASE)

    def _helm(self, *arguments: str, values: helm.Values | None = None) -> None:
        where = ["--namespace", self.namespace]
        helm.run(*arguments, *where, values=values, kubeconfig=self.plane.kubeconfig)

    @property
    def account(self) -> str:
        """The operator's user name."""
        return f"system:serviceaccount:{self.namespace}:{helm.RELEASE}"

    def operator(self, directory: Path) -> OperatorProcess:
        """The operator with the release's settings and rights, as its pod would be, but on this machine."""
        kept = self.plane.api.get(api_client.CONFIG_MAPS, helm.RELEASE, namespace=self.namespace)
        return OperatorProcess(
            directory,
            self.plane.kubeconfig_of_service_account(self.namespace, helm.RELEASE),
            lease_namespace=self.namespace,
            settings={
                **yaml.safe_load(kept["data"]["settings.yaml"]),
                "statusSeconds": 1,
                "resyncSeconds": 5,
            },
        )

    def requests(self, since: int) -> list[dict[str, Any]]:
        """What the operator has asked the API server for."""
        return [
            event
            for event in self.plane.audit_events(since=since)
            if event["user"]["username"] == self.account
        ]


@pytest.fixture
def released(plane: ControlPlane) -> Iterator[Callable[..., Release]]:
    """Makes releases and installs them; at the end they and the CRD go."""
    made: list[Release] = []

    def install(**values: Any) -> Release:
        release = Release(plane, **values)
        release.install()
        made.append(release)
        return release

    yield install
    for release in made:
        if plane.api.items(api_client.SECRETS, namespace=release.namespace, labels="owner=helm"):
            release.uninstall()
        plane.api.delete(api_client.NAMESPACES, release.namespace)
    if plane.api.find(api_client.CRDS, CRD) is not None:
        plane.api.delete(api_client.CRDS, CRD)
        until(lambda: plane.api.find(api_client.CRDS, CRD) is None, "the CRD is gone")


def until(condition: Callable[[], bool], what: str) -> None:
    waiting.until(condition, what=what, timeout_seconds=PATIENCE_SECONDS)


def is_served(plane: ControlPlane) -> bool:
    """Whether modules can be listed."""
    try:
        plane.api.items(api_client.MODULES)
    except api_client.ApiError as error:
        if error.code in {404, 503}:
            return False
        raise
    return True


def columns(plane: ControlPlane) -> list[str]:
    """What `kubectl get analysismodules` would show."""
    path = api_client.MODULES.path()
    table = plane.api.request("GET", path, accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    return [column["name"] for column in table["columnDefinitions"]]


class TestCrd:
    def test_installing_serves_modules(self, plane: ControlPlane, released: Callable[..., Release]) -> None:
        assert not is_served(plane)
        released(crds={"install": True})
        until(lambda: is_served(plane), "modules are served")

    def test_without_it_nothing_is_served(
        self, plane: ControlPlane, released: Callable[..., Release]
    ) -> None:
        released(crds={"install": False})
        assert plane.api.find(api_client.CRDS, CRD) is None

    def test_an_upgrade_of_the_release_upgrades_it(
        self, plane: ControlPlane, released: Callable[..., Release], tmp_path: Path
    ) -> None:
        release = released()
        until(lambda: is_served(plane), "modules are served")
        assert "Newer" not in columns(plane)

        newer = Path(shutil.copytree(helm.CHART, tmp_path / "newer"))
        file = newer / "files" / "analysismodule.yaml"
        crd = yaml.safe_load(file.read_text(encoding="utf-8"))
        column = {"name": "Newer", "type": "string", "jsonPath": ".spec.module"}
        crd["spec"]["versions"][0]["additionalPrinterColumns"].append(column)
        file.write_text(yaml.safe_dump(crd, sort_keys=False), encoding="utf-8")
        release.upgrade(newer)

        until(lambda: "Newer" in columns(plane), "the new column is shown")

    def test_uninstalling_first_leaves_modules_that_can_be_deleted_with_their_namespace(
        self, plane: ControlPlane, released: Callable[..., Release], tmp_path: Path
    ) -> None:
        release = released()
        until(lambda: is_served(plane), "modules are served")
        module = ModuleDriver(plane, plane.namespace("left"), "left")
        since = plane.audit_position()
        with release.operator(tmp_path) as operator:
            operator.wait_until_leading()
            module.apply(SPEC)
            module.until_condition("Accepted", "True")
        assert operator_account.refused_to(plane, release.account, since=since) == []
        release.uninstall()

        assert plane.api.find(api_client.DEPLOYMENTS, helm.RELEASE, namespace=release.namespace) is None
        assert module.get()["metadata"].get("finalizers") is None
        module.delete()
        assert plane.api.find(api_client.MODULES, "left", namespace=module.namespace) is None
        plane.api.delete(api_client.NAMESPACES, module.namespace)
        until(
            lambda: plane.api.find(api_client.NAMESPACES, module.namespace) is None,
            "the module's namespace is gone",
        )


class TestPods:
    def test_both_pods_are_admitted_to_a_restricted_namespace(
        self, plane: ControlPlane, released: Callable[..., Release]
    ) -> None:
        namespace = released().namespace
        assert _tried(plane, namespace, pods=2) == []

    def test_so_are_those_that_mount_secrets(
        self, plane: ControlPlane, released: Callable[..., Release]
    ) -> None:
        key = {"secretName": "kafka", "key": "ca.crt"}
        namespace = released(replicas=1, kafka={"security": {"protocol": "SSL", "ca": key}}).namespace
        assert _tried(plane, namespace, pods=1) == []

    def test_a_restricted_namespace_refuses_what_is_less(self, plane: ControlPlane) -> None:
        namespace = plane.namespace("release", RESTRICTED)
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "loose", "namespace": namespace},
            "spec": {"containers": [{"name": "main", "image": "example/none:1"}]},
        }
        with pytest.raises(api_client.ApiError, match="violates PodSecurity"):
            plane.api.create(pod)

    def test_changed_settings_replace_the_pods_template(
        self, plane: ControlPlane, released: Callable[..., Release]
    ) -> None:
        release = released()

        def generation() -> int:
            found = plane.api.get(api_client.DEPLOYMENTS, helm.RELEASE, namespace=release.namespace)
            return int(found["metadata"]["generation"])

        before = generation()
        release.upgrade()
        assert generation() == before
        release.upgrade(concurrency=17)
        assert generation() == before + 1


def _tried(plane: ControlPlane, namespace: str, *, pods: int) -> list[str]:
    """What was said against the operator's pods until there are so many, or any was refused."""

    def refused() -> list[str]:
        found = plane.api.items(api_client.EVENTS, namespace=namespace, fields="reason=FailedCreate")
        return [each["message"] for each in found]

    def tried() -> bool:
        return len(plane.api.items(api_client.PODS, namespace=namespace)) == pods or bool(refused())

    until(tried, f"the operator has {pods} pods")
    return refused()


def _live(module: ModuleDriver, operator: OperatorProcess) -> None:
    """A module is applied, grows, is spoilt by others, is suspended and goes."""
    operator.wait_until_leading()
    module.apply(SPEC, workers={"replicas": 1})
    module.until(lambda: len(module.children()) == 5, "it has all its objects")
    module.apply(workers={"replicas": 2})
    module.until(lambda: len(module.children()) == 7, "it has two shards")
    module.api.delete(api_client.SERVICES, module.name, namespace=module.namespace)
    module.until(lambda: len(module.children()) == 7, "the Service is there again")
    module.apply(suspend=True)
    module.until_phase("Suspended")
    module.delete()
    until(lambda: module.children() == {}, "everything of it is gone")


class TestRights:
    def test_in_its_namespaces_nothing_is_forbidden_and_no_other_is_touched(
        self, plane: ControlPlane, released: Callable[..., Release], tmp_path: Path
    ) -> None:
        served, other = plane.namespace("served"), plane.namespace("other")
        release = released(namespaces=[served])
        until(lambda: is_served(plane), "modules are served")
        since = plane.audit_position()
        module = ModuleDriver(plane, served, "served")
        ModuleDriver(plane, other, "alone").apply(SPEC)
        with release.operator(tmp_path) as operator:
            _live(module, operator)
            operator.stop()
        assert operator_account.refused_to(plane, release.account, since=since) == []
        places = {event.get("objectRef", {}).get("namespace") for event in release.requests(since)}
        assert places - {None} == {served, release.namespace}
        assert "status" not in plane.api.get(api_client.MODULES, "alone", namespace=other)

    def test_in_namespaces_the_release_has_roles_only(
        self, plane: ControlPlane, released: Callable[..., Release]
    ) -> None:
        served = plane.namespace("served")
        before = {each["metadata"]["name"] for each in plane.api.items(CLUSTER_ROLES)}
        released(namespaces=[served])
        assert {each["metadata"]["name"] for each in plane.api.items(CLUSTER_ROLES)} == before
        assert [each["metadata"]["name"] for each in plane.api.items(ROLES, namespace=served)] == [
            helm.RELEASE
        ]

    def test_who_may_edit_a_namespace_may_edit_its_modules_and_who_may_view_may_not(
        self, plane: ControlPlane, released: Callable[..., Release]
    ) -> None:
        released()
        until(lambda: is_served(plane), "modules are served")
        namespace = plane.namespace("team")
        _bind(plane, namespace, "edith", "edit")
        _bind(plane, namespace, "vivian", "view")
        until(lambda: _may(plane, "edith", "create", namespace), "the rights are aggregated")
        assert _may(plane, "edith", "get", namespace)
        assert _may(plane, "edith", "patch", namespace, "scale")
        assert _may(plane, "vivian", "list", namespace)
        assert not _may(plane, "vivian", "create", namespace)
        assert not _may(plane, "vivian", "patch", namespace, "scale")


def _bind(plane: ControlPlane, namespace: str, user: str, role: str) -> None:
    group = "rbac.authorization.k8s.io"
    plane.api.create(
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": user, "namespace": namespace},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
        }
    )


def _may(plane: ControlPlane, user: str, verb: str, namespace: str, subresource: str = "") -> bool:
    modules = {"group": names.API_GROUP, "resource": names.PLURAL, "subresource": subresource}
    return operator_account.may(plane, user, {**modules, "verb": verb, "namespace": namespace})
