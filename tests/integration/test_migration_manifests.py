"""examples/migration/kubernetes.yaml on a real API server, and the guide's backup of modules and its restore.

The namespace enforces Pod Security `restricted` and warns of it, as a careful cluster's `production` does.
"""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from analysis_module import names
from tests.infrastructure import api_client
from tests.infrastructure.control_plane import ControlPlane

MANIFESTS = Path(__file__).parents[2] / "examples" / "migration" / "kubernetes.yaml"
EXAMPLES = Path(__file__).parents[2] / "examples" / "kubernetes"
POD_SECURITY = "pod-security.kubernetes.io"
MODULES = api_client.Resource(names.API_GROUP_VERSION, names.PLURAL)


@pytest.fixture(scope="module")
def plane(control_plane: ControlPlane) -> Iterator[ControlPlane]:
    """The control plane, with the namespace of the guide."""
    labels = {f"{POD_SECURITY}/enforce": "restricted", f"{POD_SECURITY}/warn": "restricted"}
    metadata = {"name": "production", "labels": labels}
    control_plane.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    yield control_plane
    control_plane.api.delete(api_client.NAMESPACES, "production")


def objects() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(MANIFESTS.read_text(encoding="utf-8")))


def applied(plane: ControlPlane, *documents: dict[str, Any]) -> tuple[int, str]:
    """Exit code and standard error, where warnings stand, of a `kubectl apply` that stores nothing."""
    text = yaml.safe_dump_all(documents)
    done = plane.kubectl("apply", "--dry-run=server", "-f", "-", stdin=text)
    return done.returncode, done.stderr


def the_pod() -> dict[str, Any]:
    """One pod as the StatefulSet's controller makes it."""
    (workload,) = [each for each in objects() if each["kind"] == "StatefulSet"]
    template = copy.deepcopy(workload["spec"]["template"])
    metadata = {**template["metadata"], "name": "data-analysis-0", "namespace": "production"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


def test_the_file_is_accepted_as_it_stands_without_a_warning(plane: ControlPlane) -> None:
    done = plane.kubectl("apply", "--dry-run=server", "-f", str(MANIFESTS))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("(server dry run)") == len(objects())


def test_its_pods_are_admitted_where_restricted_is_enforced(plane: ControlPlane) -> None:
    assert applied(plane, the_pod()) == (0, "")


def test_with_less_the_workload_brings_a_warning_and_its_pod_is_refused(plane: ControlPlane) -> None:
    pod = the_pod()
    del pod["spec"]["containers"][0]["securityContext"]
    code, told = applied(plane, pod)
    assert code == 1
    assert "violates PodSecurity" in told
    workload = next(each for each in objects() if each["kind"] == "StatefulSet")
    workload["spec"]["template"]["spec"] = pod["spec"]
    code, told = applied(plane, workload)
    assert code == 0
    assert "would violate PodSecurity" in told


def test_modules_that_were_backed_up_come_back_as_they_were(control_plane: ControlPlane) -> None:
    namespace = control_plane.namespace("backup")
    for file in ("chain.yaml", "inline-callback.yaml"):
        done = control_plane.kubectl("apply", "-n", namespace, "-f", str(EXAMPLES / file))
        assert done.returncode == 0, done.stderr
    before = specs(control_plane, namespace)
    backup = control_plane.kubectl("get", "am", "-n", namespace, "-o", "yaml").stdout
    control_plane.kubectl("delete", "am", "--all", "-n", namespace)
    assert specs(control_plane, namespace) == {}
    restored = control_plane.kubectl("apply", "-f", "-", stdin=backup)
    assert restored.returncode == 0, restored.stderr
    assert specs(control_plane, namespace) == before
    assert len(before) == 3
    control_plane.api.delete(api_client.NAMESPACES, namespace)


def test_a_backup_does_not_undo_what_was_edited_after_it(control_plane: ControlPlane) -> None:
    namespace = control_plane.namespace("backup")
    control_plane.kubectl("apply", "-n", namespace, "-f", str(EXAMPLES / "inline-callback.yaml"))
    backup = control_plane.kubectl("get", "am", "-n", namespace, "-o", "yaml").stdout
    edit = '{"spec": {"expireAfterSeconds": 1200}}'
    control_plane.kubectl("patch", "am", "charging-power", "-n", namespace, "--type=merge", "-p", edit)
    restored = control_plane.kubectl("apply", "-f", "-", stdin=backup)
    assert restored.returncode == 1
    assert "the object has been modified" in restored.stderr
    assert specs(control_plane, namespace)["charging-power"]["expireAfterSeconds"] == 1200
    control_plane.api.delete(api_client.NAMESPACES, namespace)


def specs(plane: ControlPlane, namespace: str) -> dict[str, Any]:
    """Name -> spec of the modules of a namespace."""
    found = plane.api.items(MODULES, namespace=namespace)
    return {each["metadata"]["name"]: each["spec"] for each in found}
