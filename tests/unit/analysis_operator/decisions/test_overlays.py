"""What a module may add to its pods, what it may not, and how that is laid over the operator's template."""

from typing import Any

import pytest

from analysis_operator.decisions import overlays

PATH = "spec.workers.podTemplate"


def problems(overlay: dict[str, Any]) -> list[str]:
    return [str(each) for each in overlays.problems(overlay, PATH)]


def in_pod(**pod: Any) -> dict[str, Any]:
    return {"spec": pod}


def in_container(**container: Any) -> dict[str, Any]:
    return in_pod(containers=[{"name": "worker", **container}])


def with_volume(**volume: Any) -> dict[str, Any]:
    return in_pod(volumes=[{"name": "mine", **volume}])


TOKEN = {"sources": [{"serviceAccountToken": {"path": "token"}}]}
LIFTING: dict[str, tuple[dict[str, Any], str]] = {
    "host network": (in_pod(hostNetwork=True), "spec.hostNetwork"),
    "host PIDs": (in_pod(hostPID=True), "spec.hostPID"),
    "host IPC": (in_pod(hostIPC=True), "spec.hostIPC"),
    "host users": (in_pod(hostUsers=True), "spec.hostUsers"),
    "host aliases as a port": (in_container(ports=[{"hostPort": 80}]), "spec.containers[0].ports"),
    "a node": (in_pod(nodeName="control-plane"), "spec.nodeName"),
    "a service account": (in_pod(serviceAccountName="admin"), "spec.serviceAccountName"),
    "the old name of it": (in_pod(serviceAccount="admin"), "spec.serviceAccount"),
    "its token": (in_pod(automountServiceAccountToken=True), "spec.automountServiceAccountToken"),
    "a security context": (in_pod(securityContext={}), "spec.securityContext"),
    "a process namespace": (in_pod(shareProcessNamespace=True), "spec.shareProcessNamespace"),
    "init containers": (in_pod(initContainers=[{"name": "x"}]), "spec.initContainers"),
    "debug containers": (in_pod(ephemeralContainers=[{"name": "x"}]), "spec.ephemeralContainers"),
    "a restart policy": (in_pod(restartPolicy="Never"), "spec.restartPolicy"),
    "another container": (in_pod(containers=[{"name": "sidecar"}]), "spec.containers[0].name"),
    "a nameless container": (in_pod(containers=[{"image": "x"}]), "spec.containers[0].name"),
    "no container at all": (in_pod(containers=["worker"]), "spec.containers[0].name"),
    "containers as an object": (in_pod(containers={"name": "x"}), "spec.containers"),
    "privilege": (
        in_container(securityContext={"privileged": True}),
        "spec.containers[0].securityContext",
    ),
    "an image": (in_container(image="evil:1"), "spec.containers[0].image"),
    "a command": (in_container(command=["sh"]), "spec.containers[0].command"),
    "arguments": (in_container(args=["sh"]), "spec.containers[0].args"),
    "hooks": (in_container(lifecycle={}), "spec.containers[0].lifecycle"),
    "probes": (in_container(livenessProbe={}), "spec.containers[0].livenessProbe"),
    "devices": (in_container(volumeDevices=[]), "spec.containers[0].volumeDevices"),
    "the host's files": (with_volume(hostPath={"path": "/"}), "spec.volumes[0].hostPath"),
    "a projected token": (with_volume(projected=TOKEN), "spec.volumes[0].projected"),
    "a network disk": (with_volume(nfs={"server": "s", "path": "/"}), "spec.volumes[0].nfs"),
    "a driver's own volume": (with_volume(flexVolume={"driver": "x"}), "spec.volumes[0].flexVolume"),
    "no AppArmor": (
        {
            "metadata": {
                "annotations": {"container.apparmor.security.beta.kubernetes.io/worker": "unconfined"}
            }
        },
        "metadata.annotations.container.apparmor.security.beta.kubernetes.io/worker",
    ),
    "no seccomp": (
        {"metadata": {"annotations": {"seccomp.security.alpha.kubernetes.io/pod": "unconfined"}}},
        "metadata.annotations.seccomp.security.alpha.kubernetes.io/pod",
    ),
    "an owner": ({"metadata": {"ownerReferences": []}}, "metadata.ownerReferences"),
    "finalizers": ({"metadata": {"finalizers": ["x/y"]}}, "metadata.finalizers"),
    "a name": ({"metadata": {"name": "x"}}, "metadata.name"),
    "a kind": ({"kind": "Pod"}, "kind"),
}

OPERATORS_OWN: dict[str, tuple[dict[str, Any], str]] = {
    "a label": (
        {"metadata": {"labels": {"dataanalysis.io/shard": "1"}}},
        "metadata.labels.dataanalysis.io/shard",
    ),
    "a standard label": (
        {"metadata": {"labels": {"app.kubernetes.io/managed-by": "me"}}},
        "metadata.labels.app.kubernetes.io/managed-by",
    ),
    "an annotation": (
        {"metadata": {"annotations": {"dataanalysis.io/rollout": "x"}}},
        "metadata.annotations.dataanalysis.io/rollout",
    ),
    "a volume": (in_pod(volumes=[{"name": "assignment", "emptyDir": {}}]), "spec.volumes[0].name"),
    "a secret's volume": (
        in_pod(volumes=[{"name": "secret-0123456789", "emptyDir": {}}]),
        "spec.volumes[0].name",
    ),
    "the Assignment's place": (
        in_container(volumeMounts=[{"name": "mine", "mountPath": "/etc/analysis/assignment"}]),
        "spec.containers[0].volumeMounts[0].mountPath",
    ),
    "a place inside of it, written otherwise": (
        in_container(volumeMounts=[{"name": "mine", "mountPath": "//etc/x/../analysis/assignment/..data/"}]),
        "spec.containers[0].volumeMounts[0].mountPath",
    ),
    "a secret's place": (
        in_container(volumeMounts=[{"name": "mine", "mountPath": "/etc/analysis/secrets/kafka"}]),
        "spec.containers[0].volumeMounts[0].mountPath",
    ),
    "the switch of inline code": (
        in_container(env=[{"name": "DATA_ANALYSIS_INLINE_SOURCE", "value": "on"}]),
        "spec.containers[0].env[0].name",
    ),
}

MALFORMED: dict[str, tuple[dict[str, Any], str]] = {
    "a spec": ({"spec": []}, "spec: is an empty list, not an object; give an object"),
    "metadata": ({"metadata": "x"}, "metadata: is text, not an object; give an object"),
    "labels": ({"metadata": {"labels": ["x"]}}, "metadata.labels: is a list of 1 items, not an object"),
    "a label": ({"metadata": {"labels": {"a": 1}}}, "metadata.labels.a: is 1, not text; quote it"),
    "a null label": ({"metadata": {"labels": {"a": None}}}, "metadata.labels.a: is null, not text; quote it"),
    "tolerations": (in_pod(tolerations={}), "spec.tolerations: is an empty object, not a list"),
    "a grace period": (
        in_pod(terminationGracePeriodSeconds="60"),
        "spec.terminationGracePeriodSeconds: is text",
    ),
    "a grace period of true": (
        in_pod(terminationGracePeriodSeconds=True),
        "is true or false, not a whole number",
    ),
    "a pull secret": (in_pod(imagePullSecrets=["registry"]), "spec.imagePullSecrets[0].name: is missing"),
    "a variable": (
        in_container(env=["A=1"]),
        "spec.containers[0].env[0].name: is missing; give an object with name",
    ),
    "a variable's value": (
        in_container(env=[{"name": "A", "value": 1}]),
        "spec.containers[0].env[0].value: is 1, not text; quote it",
    ),
    "variables": (
        in_container(env={"A": "1"}),
        "spec.containers[0].env: is an object of 1 fields, not a list",
    ),
    "a mount": (
        in_container(volumeMounts=[{"name": "x"}]),
        "spec.containers[0].volumeMounts[0].mountPath: is missing",
    ),
    "a volume": (in_pod(volumes=[{"emptyDir": {}}]), "spec.volumes[0].name: is missing; name the volume"),
    "a text for a volume": (in_pod(volumes=["x"]), "spec.volumes[0].name: is missing"),
    "resources": (in_container(resources="lots"), "spec.containers[0].resources: is text, not an object"),
    "a request": (
        in_container(resources={"requests": "lots"}),
        "spec.containers[0].resources.requests: is text, not an object",
    ),
    "a quantity": (
        in_container(resources={"limits": {"memory": "1 GB"}}),
        'spec.containers[0].resources.limits.memory: "1 GB" is not a quantity; write it as 500m, 2 or 1Gi',
    ),
    "a kind of resources": (
        in_container(resources={"limit": {}}),
        "spec.containers[0].resources.limit: may not",
    ),
}


@pytest.mark.parametrize("name", LIFTING)
def test_what_lifts_restrictions_or_lends_an_identity_is_refused_with_its_place_and_a_mend(name: str) -> None:
    overlay, where = LIFTING[name]
    (problem,) = problems(overlay)
    assert problem.startswith(f"{PATH}.{where}: ")
    assert any(mend in problem for mend in ("; remove it", "; give ", "; use one of "))


@pytest.mark.parametrize("name", OPERATORS_OWN)
def test_what_is_the_operators_own_is_refused(name: str) -> None:
    overlay, where = OPERATORS_OWN[name]
    (problem,) = problems(overlay)
    assert problem.startswith(f"{PATH}.{where}: is the operator's own; ")


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_malformed_is_refused_here_and_not_by_a_crash(name: str) -> None:
    overlay, said = MALFORMED[name]
    (problem,) = problems(overlay)
    assert said in problem


def test_every_problem_is_told() -> None:
    assert len(problems(in_pod(hostNetwork=True, hostPID=True, serviceAccountName="x"))) == 3


ALLOWED: dict[str, dict[str, Any]] = {
    "nothing": {},
    "nulls": {"metadata": None, "spec": None},
    "nulls inside": {"metadata": {"labels": None}, "spec": {"containers": None, "volumes": None}},
    "labels": {"metadata": {"labels": {"team": "grid"}, "annotations": {"example.com/a": "b"}}},
    "a foreign domain that ends alike": {"metadata": {"labels": {"kubernetes.io/security": "x"}}},
    "scheduling": in_pod(
        nodeSelector={"disk": "fast"},
        tolerations=[{"operator": "Exists"}],
        affinity={"nodeAffinity": {}},
        topologySpreadConstraints=[],
        priorityClassName="high",
        runtimeClassName="gvisor",
        schedulerName="mine",
        terminationGracePeriodSeconds=60,
    ),
    "names": in_pod(dnsConfig={"options": []}, hostAliases=[{"ip": "10.0.0.1", "hostnames": ["kafka"]}]),
    "pull secrets": in_pod(imagePullSecrets=[{"name": "registry"}]),
    "variables": in_container(
        env=[
            {"name": "A", "value": "1"},
            {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        ],
        envFrom=[{"configMapRef": {"name": "c"}}],
    ),
    "resources": in_container(
        resources={"requests": {"cpu": 1, "memory": "1.5Gi"}, "limits": {"cpu": "500m"}}
    ),
    "volumes": in_pod(
        volumes=[
            {"name": "a", "emptyDir": {}},
            {"name": "b", "secret": {"secretName": "s"}},
            {"name": "c", "configMap": {"name": "c"}},
            {"name": "d", "persistentVolumeClaim": {"claimName": "d"}},
            {"name": "e", "csi": {"driver": "x"}},
            {"name": "f", "ephemeral": {"volumeClaimTemplate": {}}},
            {"name": "g", "downwardAPI": {"items": []}},
        ],
        containers=[{"name": "worker", "volumeMounts": [{"name": "a", "mountPath": "/etc/analysis/models"}]}],
    ),
}


@pytest.mark.parametrize("name", ALLOWED)
def test_what_leaves_a_pod_restricted_is_allowed(name: str) -> None:
    assert problems(ALLOWED[name]) == []


BASE: dict[str, Any] = {
    "metadata": {"labels": {"a": "1"}},
    "spec": {
        "terminationGracePeriodSeconds": 30,
        "topologySpreadConstraints": [{"topologyKey": "host"}],
        "containers": [
            {
                "name": "worker",
                "image": "worker:1",
                "env": [{"name": "HOME", "value": "/tmp"}],
                "resources": {"requests": {"cpu": "1"}},
                "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
            }
        ],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    },
}


def laid(overlay: dict[str, Any]) -> Any:
    return overlays.laid_over(BASE, overlay)


def laid_in_container(**container: Any) -> Any:
    return laid(in_container(**container))["spec"]["containers"][0]


class TestLaidOver:
    def test_nothing_changes_nothing(self) -> None:
        assert laid({}) == laid({"metadata": None, "spec": {"containers": None, "tolerations": None}}) == BASE

    def test_labels_are_added(self) -> None:
        assert laid({"metadata": {"labels": {"b": "2"}}})["metadata"]["labels"] == {"a": "1", "b": "2"}

    def test_variables_are_added_and_replaced_by_name(self) -> None:
        env = [{"name": "HOME", "value": "/home"}, {"name": "A", "value": "1"}]
        assert laid_in_container(env=env)["env"] == env

    def test_a_variable_from_elsewhere_replaces_the_value(self) -> None:
        variable = {"name": "HOME", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}
        assert laid_in_container(env=[variable])["env"] == [variable]

    def test_resources_are_merged_one_by_one(self) -> None:
        resources = {"requests": {"memory": "1Gi"}, "limits": {"cpu": "2"}}
        assert laid_in_container(resources=resources)["resources"] == {
            "requests": {"cpu": "1", "memory": "1Gi"},
            "limits": {"cpu": "2"},
        }

    def test_volumes_and_their_mounts_are_added(self) -> None:
        volume, mount = {"name": "m", "emptyDir": {}}, {"name": "m", "mountPath": "/m"}
        made = laid(in_pod(volumes=[volume], containers=[{"name": "worker", "volumeMounts": [mount]}]))
        assert made["spec"]["volumes"] == [{"name": "tmp", "emptyDir": {}}, volume]
        assert made["spec"]["containers"][0]["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}, mount]

    def test_other_fields_of_the_container_stay(self) -> None:
        assert laid_in_container(env=[])["image"] == "worker:1"

    def test_other_lists_and_scalars_are_replaced(self) -> None:
        made = laid(in_pod(topologySpreadConstraints=[], terminationGracePeriodSeconds=5))["spec"]
        assert (made["topologySpreadConstraints"], made["terminationGracePeriodSeconds"]) == ([], 5)

    def test_the_template_itself_is_not_touched(self) -> None:
        before = repr(BASE)
        made = laid(in_container(env=[{"name": "A", "value": "1"}]))
        made["spec"]["volumes"].append("x")
        assert repr(BASE) == before


@pytest.mark.parametrize(
    "quantity", ["1", "500m", "1.5Gi", ".5", "1e3", "1E3", "+2k", 1, 0.5, 2e9, "100Ki", "5E"]
)
def test_a_quantity_may_be_written_in_many_ways(quantity: object) -> None:
    assert list(overlays.resource_problems({"limits": {"cpu": quantity}}, "r")) == []


@pytest.mark.parametrize("quantity", ["", "1 Gi", "1GB", "one", "1.2.3", True, None, [], {}, "0x10", "1ki"])
def test_what_is_no_quantity_is_refused(quantity: object) -> None:
    (problem,) = overlays.resource_problems({"limits": {"cpu": quantity}}, "r")
    assert problem.path == "r.limits.cpu"
    assert problem.mend == "write it as 500m, 2 or 1Gi"
