"""What helm makes of the chart: objects as promised, settings that the operator takes, refusals that help."""

import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from analysis_module import names, reading, shape
from analysis_operator import settings
from analysis_operator.cluster import resources
from tests.infrastructure import api_client, helm, programs
from tests.infrastructure import control_plane as kubernetes

SECURITY: dict[str, Any] = {
    "protocol": "SASL_SSL",
    "mechanism": "SCRAM-SHA-512",
    "username": {"secretName": "kafka-user", "key": "username"},
    "password": {"secretName": "kafka-user", "key": "password"},
    "ca": {"secretName": "kafka.ca", "key": "ca.crt"},
}
DIGEST = f"sha256:{'0a' * 32}"
EVERYTHING: dict[str, Any] = {
    "replicas": 3,
    "image": {"repository": "example/operator", "digest": DIGEST, "pullPolicy": "Always"},
    "imagePullSecrets": [{"name": "pull"}],
    "resources": {"requests": {"cpu": 1, "memory": "1Gi"}, "limits": {"memory": "2Gi"}},
    "port": 9000,
    "priorityClassName": "system-cluster-critical",
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "only", "operator": "Exists", "effect": "NoSchedule"}],
    "affinity": {"nodeAffinity": {}},
    "topologySpread": {"topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"},
    "podLabels": {"team": "grid", "app.kubernetes.io/name": "another"},
    "podAnnotations": {"note": "1"},
    "serviceAccount": {"annotations": {"role": "reader"}},
    "kafka": {
        "bootstrapServers": ["kafka:9093"],
        "security": SECURITY,
        "consumer": {"max_partition_fetch_bytes": 10485760},
        "producer": {"compression_type": "lz4"},
    },
    "workers": {
        "image": {"repository": "example/worker", "tag": "7", "pullPolicy": "Never"},
        "imagePullSecrets": [{"name": "pull"}],
        "resources": {"limits": {"memory": "3Gi"}},
        "networkPolicy": False,
        "rollOnUpgrade": True,
        "rollout": 4,
    },
    "allowInlineSource": False,
    "concurrency": 32,
    "statusSeconds": 7.5,
    "resyncSeconds": 90,
    "leaseName": "another-lease",
    "logLevel": "DEBUG",
    "serviceMonitor": {"enabled": True, "interval": "15s", "labels": {"release": "prometheus"}},
    "podMonitor": {"enabled": True, "interval": "20s", "labels": {"release": "prometheus"}},
    "prometheusRule": {
        "enabled": True,
        "labels": {"release": "prometheus"},
        "alertLabels": {"team": "grid"},
        "runbook": "https://host/runbook",
        "disabled": ["AnalysisWorkerWrongPartition"],
    },
    "dashboards": {"enabled": True, "folder": "Stations"},
}
NAMESPACED: dict[str, Any] = {"namespaces": ["north", "south"], "podMonitor": {"enabled": True}}
BARE: dict[str, Any] = {
    "replicas": 1,
    "crds": {"install": False},
    "rbac": {"create": False},
    "serviceAccount": {"create": False},
    "podDisruptionBudget": {"enabled": False},
    "networkPolicy": {"enabled": False},
    "fullnameOverride": "operator",
}
SETS = {"default": {}, "everything": EVERYTHING, "namespaced": NAMESPACED, "bare": BARE}
OF_PROMETHEUS = {"ServiceMonitor", "PodMonitor", "PrometheusRule"}


# -- what is rendered --------------------------------------------------------------------------------


def found(kind: str, values: Mapping[str, Any], name: str | None = None) -> list[dict[str, Any]]:
    """The rendered documents of a kind."""
    return [
        document
        for document in helm.template(values)
        if document["kind"] == kind and name in (None, document["metadata"]["name"])
    ]


def at(document: Any, path: str) -> Any:
    """The value at a path such as `spec.ports.0.name`, None if there is none."""
    for name in path.split("."):
        try:
            document = document[int(name)] if isinstance(document, list) else document[name]
        except (KeyError, IndexError):
            return None
    return document


POD = "spec.template.spec"
MAIN = f"{POD}.containers.0"
PODS_NAMESPACE = {"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}
HTTP_LIVE, HTTP_READY = {"path": "/livez", "port": "http"}, {"path": "/readyz", "port": "http"}
OWN_PODS = {
    "app.kubernetes.io/name": "analysis-operator",
    "app.kubernetes.io/instance": "analysis-operator",
    "app.kubernetes.io/component": "operator",
}

DEPLOYMENT: list[tuple[str, Mapping[str, Any], str, Any]] = [
    ("two pods", {}, "spec.replicas", 2),
    ("as many pods as asked", EVERYTHING, "spec.replicas", 3),
    ("a rolling update", {}, "spec.strategy.type", "RollingUpdate"),
    ("three old ReplicaSets", {}, "spec.revisionHistoryLimit", 3),
    ("15 s to stop", {}, f"{POD}.terminationGracePeriodSeconds", 15),
    ("the version's image", {}, f"{MAIN}.image", "analysis-operator:0.1.0"),
    ("a digest before a tag", EVERYTHING, f"{MAIN}.image", f"example/operator@{DIGEST}"),
    ("a tag", {"image": {"tag": "7"}}, f"{MAIN}.image", "analysis-operator:7"),
    ("a pull policy", EVERYTHING, f"{MAIN}.imagePullPolicy", "Always"),
    ("pull secrets", EVERYTHING, f"{POD}.imagePullSecrets", [{"name": "pull"}]),
    ("no pull secrets unless asked", {}, f"{POD}.imagePullSecrets", None),
    ("requests", {}, f"{MAIN}.resources.requests", {"cpu": "50m", "memory": "96Mi"}),
    ("limits", {}, f"{MAIN}.resources.limits", {"memory": "512Mi"}),
    ("uid 1000", {}, f"{POD}.securityContext.runAsUser", 1000),
    ("no root", {}, f"{POD}.securityContext.runAsNonRoot", True),
    ("seccomp", {}, f"{POD}.securityContext.seccompProfile.type", "RuntimeDefault"),
    ("a read-only root", {}, f"{MAIN}.securityContext.readOnlyRootFilesystem", True),
    ("no capability", {}, f"{MAIN}.securityContext.capabilities.drop", ["ALL"]),
    ("no escalation", {}, f"{MAIN}.securityContext.allowPrivilegeEscalation", False),
    ("liveness at /livez", {}, f"{MAIN}.livenessProbe.httpGet", HTTP_LIVE),
    ("readiness at /readyz", {}, f"{MAIN}.readinessProbe.httpGet", HTTP_READY),
    ("a port named http", {}, f"{MAIN}.ports.0.name", "http"),
    ("port 8080", {}, f"{MAIN}.ports.0.containerPort", 8080),
    ("another port", EVERYTHING, f"{MAIN}.ports.0.containerPort", 9000),
    ("that port in its arguments", EVERYTHING, f"{MAIN}.args.4", "9000"),
    ("its namespace by the downward API", {}, f"{MAIN}.env.0", PODS_NAMESPACE),
    ("a temporary directory", {}, f"{POD}.volumes.1.emptyDir.sizeLimit", "64Mi"),
    ("a spread over nodes", {}, f"{POD}.topologySpreadConstraints.0.topologyKey", "kubernetes.io/hostname"),
    ("another spread", EVERYTHING, f"{POD}.topologySpreadConstraints.0.topologyKey", "zone"),
    ("no priority class unless asked", {}, f"{POD}.priorityClassName", None),
    ("a priority class", EVERYTHING, f"{POD}.priorityClassName", "system-cluster-critical"),
    ("a node selector", EVERYTHING, f"{POD}.nodeSelector", {"disk": "ssd"}),
    ("tolerations", EVERYTHING, f"{POD}.tolerations", EVERYTHING["tolerations"]),
    ("affinity", EVERYTHING, f"{POD}.affinity", {"nodeAffinity": {}}),
    ("a service account", {}, f"{POD}.serviceAccountName", "analysis-operator"),
    ("another service account", BARE, f"{POD}.serviceAccountName", "default"),
    ("labels of one's own", EVERYTHING, "spec.template.metadata.labels.team", "grid"),
    ("annotations of one's own", EVERYTHING, "spec.template.metadata.annotations.note", "1"),
    ("a name of one's own", BARE, "metadata.name", "operator"),
    ("pods that it selects", EVERYTHING, "spec.selector.matchLabels", OWN_PODS),
]
OTHERS: list[tuple[str, Mapping[str, Any], str, str, Any]] = [
    ("the budget takes one pod at a time", {}, "PodDisruptionBudget", "spec.maxUnavailable", 1),
    ("the budget is of the operator", {}, "PodDisruptionBudget", "spec.selector.matchLabels", OWN_PODS),
    (
        "only http comes in",
        {},
        "NetworkPolicy",
        "spec.ingress.0.ports",
        [{"port": "http", "protocol": "TCP"}],
    ),
    ("what goes out is open", {}, "NetworkPolicy", "spec.policyTypes", ["Ingress"]),
    ("the Service has the port", EVERYTHING, "Service", "spec.ports.0.port", 9000),
    ("the Service is of the operator", {}, "Service", "spec.selector", OWN_PODS),
    ("the account mounts no token by itself", {}, "ServiceAccount", "automountServiceAccountToken", False),
    ("the account is annotated", EVERYTHING, "ServiceAccount", "metadata.annotations", {"role": "reader"}),
    ("the test asks once", {}, "Pod", "spec.restartPolicy", "Never"),
    ("the test has no token", {}, "Pod", "spec.automountServiceAccountToken", False),
    (
        "the test is the operator's image",
        EVERYTHING,
        "Pod",
        "spec.containers.0.image",
        f"example/operator@{DIGEST}",
    ),
    ("the test asks for the version", {}, "Pod", "spec.containers.1.args", ["--version"]),
    (
        "the monitor keeps a module's namespace",
        EVERYTHING,
        "ServiceMonitor",
        "spec.endpoints.0.honorLabels",
        True,
    ),
    ("the monitor scrapes as told", EVERYTHING, "ServiceMonitor", "spec.endpoints.0.interval", "15s"),
    ("the monitor is found", EVERYTHING, "ServiceMonitor", "metadata.labels.release", "prometheus"),
    ("workers are scraped as told", EVERYTHING, "PodMonitor", "spec.podMetricsEndpoints.0.interval", "20s"),
    (
        "workers are scraped by name",
        EVERYTHING,
        "PodMonitor",
        "spec.podMetricsEndpoints.0.port",
        names.HTTP_PORT_NAME,
    ),
    ("workers of all namespaces", EVERYTHING, "PodMonitor", "spec.namespaceSelector", {"any": True}),
    (
        "workers of some",
        NAMESPACED,
        "PodMonitor",
        "spec.namespaceSelector",
        {"matchNames": ["north", "south"]},
    ),
    ("the rules are found", EVERYTHING, "PrometheusRule", "metadata.labels.release", "prometheus"),
]


class TestObjects:
    @pytest.mark.parametrize(
        ("fact", "values", "path", "expected"), DEPLOYMENT, ids=[f[0] for f in DEPLOYMENT]
    )
    def test_the_deployment_has(self, fact: str, values: Mapping[str, Any], path: str, expected: Any) -> None:
        (deployment,) = found("Deployment", values)
        assert at(deployment, path) == expected

    @pytest.mark.parametrize(
        ("fact", "values", "kind", "path", "expected"), OTHERS, ids=[f[0] for f in OTHERS]
    )
    def test_it_holds_that(
        self, fact: str, values: Mapping[str, Any], kind: str, path: str, expected: Any
    ) -> None:
        (document,) = found(kind, values)
        assert at(document, path) == expected

    @pytest.mark.parametrize("values", SETS.values(), ids=SETS)
    def test_a_strict_lint_finds_nothing(self, values: Mapping[str, Any]) -> None:
        assert "0 chart(s) failed" in helm.lint(values)

    @pytest.mark.parametrize(
        "kind", ["ServiceAccount", "PodDisruptionBudget", "NetworkPolicy", "CustomResourceDefinition", "Role"]
    )
    def test_what_can_be_switched_off_is_not_there_then(self, kind: str) -> None:
        assert found(kind, {}) != []
        assert found(kind, BARE) == []

    def test_nothing_that_needs_prometheus_operator_is_there_unless_asked(self) -> None:
        assert {document["kind"] for document in helm.template({})} & OF_PROMETHEUS == set()
        assert {document["kind"] for document in helm.template(EVERYTHING)} >= OF_PROMETHEUS

    @pytest.mark.parametrize("values", SETS.values(), ids=SETS)
    def test_no_object_is_taken_for_one_that_the_operator_makes(self, values: Mapping[str, Any]) -> None:
        key, value = resources.OWN_SELECTOR.split("=")
        labels = [document["metadata"].get("labels", {}) for document in helm.template(values)]
        assert [each for each in labels if each.get(key) == value] == []

    def test_the_crd_is_the_trees_and_stays_when_the_release_goes(self) -> None:
        (crd,) = found("CustomResourceDefinition", {})
        file = Path(__file__).parents[2] / "crds" / "analysismodule.yaml"
        plain = yaml.safe_load(file.read_text(encoding="utf-8"))
        assert crd["metadata"].get("annotations") == {"helm.sh/resource-policy": "keep"}
        assert {**crd, "metadata": plain["metadata"]} == plain
        assert crd["metadata"]["name"] == plain["metadata"]["name"]

    def test_the_test_pod_is_a_hook_and_asks_the_service(self) -> None:
        (pod,) = found("Pod", EVERYTHING)
        assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
        script = pod["spec"]["containers"][0]["command"][2]
        assert 'get("ANALYSIS_OPERATOR_SERVICE_HOST", "analysis-operator")' in script
        assert ":9000/readyz" in script
        compile(script, "test pod", "exec")

    def test_a_change_of_the_settings_replaces_the_pods_and_another_does_not(self) -> None:
        def checksum(values: Mapping[str, Any]) -> str:
            (deployment,) = found("Deployment", values)
            return str(deployment["spec"]["template"]["metadata"]["annotations"]["checksum/settings"])

        assert checksum({}) != checksum({"concurrency": 17})
        assert checksum({}) == checksum({"replicas": 3})


# -- settings ----------------------------------------------------------------------------------------


def settings_of(values: Mapping[str, Any], directory: Path) -> settings.Settings:
    """What the operator reads from the rendered file; raises InvalidSpec."""
    (config_map,) = found("ConfigMap", values, "operator" if values is BARE else helm.RELEASE)
    file = directory / "settings.yaml"
    file.write_text(config_map["data"]["settings.yaml"], encoding="utf-8")
    return settings.load(file)


class TestSettings:
    @pytest.mark.parametrize("values", SETS.values(), ids=SETS)
    def test_the_operator_reads_them_without_a_problem(
        self, values: Mapping[str, Any], tmp_path: Path
    ) -> None:
        assert settings_of(values, tmp_path).concurrency in (16, 32)

    def test_by_default_they_are_the_operators_own_defaults(self, tmp_path: Path) -> None:
        assert settings_of({}, tmp_path).options == settings.Settings().options

    def test_every_key_that_the_operator_knows_is_written(self) -> None:
        (config_map,) = found("ConfigMap", EVERYTHING, helm.RELEASE)
        written = yaml.safe_load(config_map["data"]["settings.yaml"])
        for part, there in (
            (settings.Settings, written),
            (settings.KafkaDefaults, written["kafka"]),
            (settings.WorkerDefaults, written["workers"]),
        ):
            assert set(there) == {member.name for member in shape.members(part)}

    def test_every_value_arrives(self, tmp_path: Path) -> None:
        read = settings_of(EVERYTHING, tmp_path)
        assert read.workers == settings.WorkerDefaults(
            image="example/worker:7",
            image_pull_policy="Never",
            image_pull_secrets=("pull",),
            resources={"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "3Gi"}},
            network_policy=False,
            roll_on_upgrade=True,
            rollout=4,
        )
        assert read.kafka.bootstrap_servers == ("kafka:9093",)
        assert read.kafka.consumer == {"max_partition_fetch_bytes": 10485760}
        assert read.kafka.producer == {"compression_type": "lz4"}
        assert (read.allow_inline_source, read.concurrency, read.log_level.value) == (False, 32, "DEBUG")
        assert (read.status_seconds, read.resync_seconds, read.lease_name) == (7.5, 90.0, "another-lease")

    def test_the_namespaces_arrive(self, tmp_path: Path) -> None:
        assert settings_of(NAMESPACED, tmp_path).namespaces == ("north", "south")

    def test_the_file_is_where_the_argument_says(self) -> None:
        (deployment,) = found("Deployment", {})
        main = at(deployment, MAIN)
        (mount,) = [each for each in main["volumeMounts"] if each["name"] == "settings"]
        assert main["args"][:3] == ["run", "--settings", f"{mount['mountPath']}/settings.yaml"]

    def test_kafkas_secrets_are_mounted_where_the_operator_looks_for_them(self) -> None:
        (deployment,) = found("Deployment", EVERYTHING)
        volumes = {each["name"]: each for each in at(deployment, f"{POD}.volumes")}
        mounted = {
            f"{mount['mountPath']}/{item['path']}": volumes[mount["name"]]["secret"]["optional"]
            for mount in at(deployment, f"{MAIN}.volumeMounts")
            for item in volumes[mount["name"]].get("secret", {}).get("items", ())
        }
        sources = [SECURITY[name] for name in ("username", "password", "ca")]
        assert mounted == {names.secret_path(each["secretName"], each["key"]): True for each in sources}

    def test_a_token_which_the_operator_cannot_use_is_not_mounted(self) -> None:
        token = {"secretName": "token", "key": "t"}
        security = {"protocol": "SASL_SSL", "mechanism": "OAUTHBEARER", "token": token}
        (deployment,) = found("Deployment", {"kafka": {"security": security}})
        assert [each for each in at(deployment, f"{POD}.volumes") if "secret" in each] == []


# -- rights ------------------------------------------------------------------------------------------


def granted(role: Mapping[str, Any]) -> dict[str, set[str]]:
    """Verbs by group and resource, as `apps/deployments`."""
    verbs: dict[str, set[str]] = {}
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                verbs.setdefault(f"{group}/{resource}", set()).update(rule["verbs"])
    return verbs


def needed() -> dict[str, set[str]]:
    """What the operator's code does; test_operator_rights.py holds that against what it is seen to do."""
    verbs = {each: {"list", "watch"} for each in resources.WATCHED}
    for each in set(resources.WATCHED) - {resources.MODULE, resources.POD}:
        verbs[each] |= {"get", "create", "patch"}
    for each in (resources.CONFIG_MAP, resources.DEPLOYMENT, resources.NETWORK_POLICY):
        verbs[each].add("delete")
    verbs[resources.POD].add("patch")
    verbs[resources.EVENT] = {"create"}
    status = f"{resources.MODULE.group}/{resources.MODULE.plural}/status"
    return {f"{each.group}/{each.plural}": verbs[each] for each in verbs} | {status: {"patch"}}


class TestRights:
    def test_cluster_wide_they_are_what_the_operator_does_and_no_more(self) -> None:
        (role,) = found("ClusterRole", {}, "analysis-operator")
        assert granted(role) == needed()

    def test_in_namespaces_they_are_the_same_in_each(self) -> None:
        roles = found("Role", NAMESPACED, "analysis-operator")
        assert [role["metadata"]["namespace"] for role in roles] == ["north", "south"]
        assert [granted(role) for role in roles] == [needed(), needed()]

    def test_in_namespaces_there_is_nothing_for_the_cluster(self) -> None:
        kinds = {document["kind"] for document in helm.template(NAMESPACED)}
        assert kinds & {"ClusterRole", "ClusterRoleBinding"} == set()

    @pytest.mark.parametrize("values", [EVERYTHING, NAMESPACED], ids=["everywhere", "namespaces"])
    def test_in_its_own_namespace_it_has_its_lease_and_nothing_else(self, values: Mapping[str, Any]) -> None:
        roles = [role for role in found("Role", values) if role["metadata"]["namespace"] == helm.NAMESPACE]
        lease = values.get("leaseName", "analysis-operator")
        leases = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"]}
        assert [role["rules"] for role in roles] == [
            [
                {**leases, "verbs": ["get", "update"], "resourceNames": [lease]},
                {**leases, "verbs": ["create"]},
            ]
        ]

    @pytest.mark.parametrize("values", [{}, NAMESPACED], ids=["everywhere", "namespaces"])
    def test_every_binding_is_of_a_role_that_is_there_and_the_operators_account(
        self, values: Mapping[str, Any]
    ) -> None:
        roles = {
            (document["kind"], document["metadata"].get("namespace"), document["metadata"]["name"])
            for document in helm.template(values)
        }
        bindings = found("RoleBinding", values) + found("ClusterRoleBinding", values)
        account = {"kind": "ServiceAccount", "name": "analysis-operator", "namespace": helm.NAMESPACE}
        assert len(bindings) >= 2
        for each in bindings:
            reference = each["roleRef"]
            assert (reference["kind"], each["metadata"].get("namespace"), reference["name"]) in roles
            assert each["subjects"] == [account]

    @pytest.mark.parametrize("values", SETS.values(), ids=SETS)
    def test_no_role_reads_secrets_or_holds_a_wildcard(self, values: Mapping[str, Any]) -> None:
        for role in found("Role", values) + found("ClusterRole", values):
            rights = granted(role)
            assert "/secrets" not in rights
            assert "*" not in "".join(rights) + "".join(verb for verbs in rights.values() for verb in verbs)

    def test_who_may_edit_may_edit_and_scale_modules(self) -> None:
        (role,) = found("ClusterRole", {}, "analysis-operator-edit")
        assert granted(role) == {
            f"{names.API_GROUP}/{names.PLURAL}": {"create", "update", "patch", "delete", "deletecollection"},
            f"{names.API_GROUP}/{names.PLURAL}/scale": {"update", "patch"},
        }
        assert _aggregated_to(role) == {"edit", "admin"}

    def test_who_may_view_may_view_modules(self) -> None:
        (role,) = found("ClusterRole", {}, "analysis-operator-view")
        assert {verb for verbs in granted(role).values() for verb in verbs} == {"get", "list", "watch"}
        assert _aggregated_to(role) == {"view", "edit", "admin"}

    def test_what_everybody_may_can_be_left_as_it_is(self) -> None:
        kept = found("ClusterRole", {"rbac": {"aggregate": False}})
        assert [role["metadata"]["name"] for role in kept] == ["analysis-operator"]


def _aggregated_to(role: Mapping[str, Any]) -> set[str]:
    prefix = "rbac.authorization.k8s.io/aggregate-to-"
    return {key.removeprefix(prefix) for key in role["metadata"]["labels"] if key.startswith(prefix)}


# -- Prometheus and Grafana ----------------------------------------------------------------------------


class TestObserving:
    def test_workers_are_selected_by_the_labels_that_the_operator_gives_them(self) -> None:
        (monitor,) = found("PodMonitor", EVERYTHING)
        assert monitor["spec"]["selector"]["matchLabels"] == {
            names.LABEL_MANAGED_BY: names.OPERATOR_NAME,
            names.LABEL_COMPONENT: "worker",
        }

    def test_series_of_workers_tell_namespace_pod_module_and_shard(self) -> None:
        (monitor,) = found("PodMonitor", EVERYTHING)
        assert _relabelled(monitor["spec"]["podMetricsEndpoints"][0]) == {
            "job": "analysis-worker",
            "namespace": "__meta_kubernetes_namespace",
            "pod": "__meta_kubernetes_pod_name",
            "module": _meta_label(names.LABEL_MODULE),
            "shard": _meta_label(names.LABEL_SHARD),
        }

    def test_series_of_the_operator_tell_namespace_and_pod(self) -> None:
        (monitor,) = found("ServiceMonitor", EVERYTHING)
        assert _relabelled(monitor["spec"]["endpoints"][0]) == {
            "job": "analysis-operator",
            "namespace": "__meta_kubernetes_namespace",
            "pod": "__meta_kubernetes_pod_name",
        }

    def test_the_monitor_selects_the_operators_service_alone(self) -> None:
        (monitor,) = found("ServiceMonitor", EVERYTHING)
        (service,) = found("Service", EVERYTHING)
        wanted = monitor["spec"]["selector"]["matchLabels"]
        assert wanted.items() <= service["metadata"]["labels"].items()
        assert monitor["spec"]["namespaceSelector"] == {"matchNames": [helm.NAMESPACE]}

    def test_every_alert_leads_to_its_entry_in_the_runbook(self) -> None:
        for rule in _rules(EVERYTHING):
            address = f"https://host/runbook#{rule['alert'].lower()}"
            assert rule["annotations"]["runbook_url"] == address
            assert rule["labels"]["team"] == "grid"

    def test_alerts_are_left_out_by_name(self) -> None:
        enabled = {"prometheusRule": {"enabled": True}}
        left_out = {rule["alert"] for rule in _rules(enabled)} - {
            rule["alert"] for rule in _rules(EVERYTHING)
        }
        assert left_out == {"AnalysisWorkerWrongPartition"}

    def test_prometheus_takes_the_rendered_rules(self, tmp_path: Path) -> None:
        (rules,) = found("PrometheusRule", EVERYTHING)
        (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules["spec"]), encoding="utf-8")
        assert f"{len(_rules(EVERYTHING))} rules found" in _promtool(
            "check", "rules", str(tmp_path / "rules.yaml")
        )

    def test_each_alert_fires_in_its_case_and_none_when_all_is_well(self) -> None:
        assert "SUCCESS" in _promtool("test", "rules", str(helm.CHART.parent / "alerts_test.yaml"))

    def test_the_dashboards_are_there_as_they_are_in_the_tree(self) -> None:
        rendered = {
            key: text
            for document in found("ConfigMap", EVERYTHING)
            if document["metadata"]["labels"].get("grafana_dashboard") == "1"
            and document["metadata"]["annotations"] == {"grafana_folder": "Stations"}
            for key, text in document["data"].items()
        }
        assert rendered == {
            path.name: path.read_text(encoding="utf-8") for path in helm.CHART.glob("dashboards/*.json")
        }

    def test_the_sidecars_label_and_annotation_can_be_others(self) -> None:
        given = {"enabled": True, "label": "board", "labelValue": "yes", "folderAnnotation": "place"}
        (document,) = found("ConfigMap", {"dashboards": given}, "analysis-operator-fleet")
        assert document["metadata"]["labels"]["board"] == "yes"
        assert document["metadata"]["annotations"] == {"place": "Analysis"}


def _relabelled(endpoint: Mapping[str, Any]) -> dict[str, str]:
    """Target label -> the label it is copied from, or its fixed value."""
    return {
        each["targetLabel"]: each.get("sourceLabels", [each.get("replacement")])[0]
        for each in endpoint["relabelings"]
    }


def _meta_label(label: str) -> str:
    """The name under which Prometheus knows a pod's label."""
    return "__meta_kubernetes_pod_label_" + re.sub(r"\W", "_", label)


def _rules(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    (document,) = found("PrometheusRule", values)
    return [rule for group in document["spec"]["groups"] for rule in group["rules"]]


def _promtool(*arguments: str) -> str:
    promtool = programs.require("promtool", package="prometheus")
    done = subprocess.run([promtool, *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


# -- values that are refused ---------------------------------------------------------------------------

SASL = {"protocol": "SASL_SSL", "mechanism": "PLAIN"}
KEY = {"secretName": "s", "key": "k"}
REFUSED: list[tuple[str, Mapping[str, Any], str]] = [
    ("a number as text", {"replicas": "two"}, "/replicas"),
    ("too many pods", {"replicas": 11}, "/replicas"),
    ("an unknown value", {"replica": 2}, "'replica'"),
    ("an unknown value further in", {"image": {"repo": "x"}}, "'repo'"),
    ("a pull policy that is none", {"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy"),
    ("a digest that is none", {"image": {"digest": "sha256:12"}}, "/image/digest"),
    ("a tag in the repository's place", {"image": {"repository": ""}}, "/image/repository"),
    ("a quantity that is none", {"resources": {"limits": {"memory": "much"}}}, "/resources/limits/memory"),
    ("a port below 1024", {"port": 80}, "/port"),
    ("a pull secret by its bare name", {"imagePullSecrets": ["pull"]}, "/imagePullSecrets/0"),
    ("a namespace that cannot be one", {"namespaces": ["North"]}, "/namespaces/0"),
    ("a namespace twice", {"namespaces": ["a", "a"]}, "/namespaces"),
    ("a broker without a port", {"kafka": {"bootstrapServers": ["kafka"]}}, "/kafka/bootstrapServers/0"),
    ("one broker as text", {"kafka": {"bootstrapServers": "kafka:9092"}}, "/kafka/bootstrapServers"),
    ("a password itself", {"kafka": {"security": {"password": "secret"}}}, "/kafka/security/password"),
    ("SASL without a user", {"kafka": {"security": SASL}}, "'username'"),
    ("a user without SASL", {"kafka": {"security": {"username": KEY}}}, "/kafka/security/username"),
    ("a CA without TLS", {"kafka": {"security": {"ca": KEY}}}, "/kafka/security/ca"),
    (
        "a certificate without a key",
        {"kafka": {"security": {"protocol": "SSL", "certificate": KEY}}},
        "'privateKey'",
    ),
    ("a file in a secret's place", {"kafka": {"security": {"ca": {"file": "/ca"}}}}, "/kafka/security/ca"),
    ("nested client settings", {"kafka": {"consumer": {"a": {"b": 1}}}}, "/kafka/consumer/a"),
    ("an image as text", {"workers": {"image": "worker:1"}}, "/workers/image"),
    ("no shard at a time", {"workers": {"rollout": 0}}, "/workers/rollout"),
    ("no work at a time", {"concurrency": 0}, "/concurrency"),
    ("looks without a pause", {"statusSeconds": 0}, "/statusSeconds"),
    ("a resync all the time", {"resyncSeconds": 1}, "/resyncSeconds"),
    ("a level that is none", {"logLevel": "LOUD"}, "/logLevel"),
    ("a Lease that cannot be one", {"leaseName": "My Lease"}, "/leaseName"),
    ("an interval without a unit", {"podMonitor": {"interval": "30"}}, "/podMonitor/interval"),
    ("a label that is no text", {"podLabels": {"a": 1}}, "/podLabels/a"),
    ("an alert that is none", {"prometheusRule": {"disabled": ["Everything"]}}, "/prometheusRule/disabled/0"),
]


class TestRefusals:
    @pytest.mark.parametrize(("what", "values", "named"), REFUSED, ids=[each[0] for each in REFUSED])
    def test_a_wrong_value_is_refused_by_name(self, what: str, values: Mapping[str, Any], named: str) -> None:
        with pytest.raises(helm.HelmRefused, match=re.escape(named)):
            helm.template(values)

    def test_an_older_kubernetes_is_refused(self) -> None:
        with pytest.raises(helm.HelmRefused, match="requires kubeVersion"):
            helm.run("template", "r", str(helm.CHART), "--kube-version", "1.26.0")


# -- the API server ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def namespaces(control_plane: kubernetes.ControlPlane) -> Iterator[list[str]]:
    """Two namespaces; the first enforces Pod Security `restricted`."""
    restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
    made = [control_plane.namespace("chart", restricted), control_plane.namespace("chart")]
    yield made
    for name in made:
        control_plane.api.delete(api_client.NAMESPACES, name)


class TestApiServer:
    @pytest.mark.parametrize("values", SETS.values(), ids=SETS)
    def test_every_document_is_taken_in_a_restricted_namespace(
        self, control_plane: kubernetes.ControlPlane, namespaces: list[str], values: Mapping[str, Any]
    ) -> None:
        given = {**values, "namespaces": namespaces} if "namespaces" in values else values
        documents = helm.template(given, namespace=namespaces[0])
        ours = [document for document in documents if document["kind"] not in OF_PROMETHEUS]
        assert len(ours) >= 4
        for document in ours:
            control_plane.api.apply(document, manager="helm", force=True, dry_run=True)

    def test_the_notes_name_a_manifest_that_is_valid(self, control_plane: kubernetes.ControlPlane) -> None:
        manifest = re.search(r"<<EOF\n(.*?)EOF", _notes(control_plane, {}), re.DOTALL)
        assert manifest is not None
        name, _, module = reading.read_manifest(yaml.safe_load(manifest[1]))
        assert (name, module.module) == ("load-prediction", "load_prediction")

    def test_the_notes_leave_out_the_brokers_that_the_values_name(
        self, control_plane: kubernetes.ControlPlane
    ) -> None:
        known = {"kafka": {"bootstrapServers": ["kafka:9092"]}}
        assert "bootstrapServers" in _notes(control_plane, {})
        assert "bootstrapServers" not in _notes(control_plane, known)

    def test_the_notes_tell_where_modules_are_served(self, control_plane: kubernetes.ControlPlane) -> None:
        assert "serves AnalysisModules in every namespace" in _notes(control_plane, {})
        some = {"namespaces": ["north", "south"]}
        assert "in the namespaces north, south" in _notes(control_plane, some)


def _notes(plane: kubernetes.ControlPlane, values: Mapping[str, Any]) -> str:
    """The notes for a release that is not made."""
    arguments = ["install", "noted", str(helm.CHART), "--dry-run=client", "--set", "crds.install=false"]
    return helm.run(*arguments, values=values, kubeconfig=plane.kubeconfig).partition("NOTES:")[2]
