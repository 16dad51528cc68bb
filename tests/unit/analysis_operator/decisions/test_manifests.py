"""The objects as they are applied: names, owners, and names of what was planned."""

import json
from typing import Any

import pytest

from analysis_module import names
from analysis_operator.decisions import manifests
from tests.unit.analysis_operator import fleets

MODULE = fleets.a_module()


def made() -> dict[str, Any]:
    plan = fleets.Fleet(fleets.with_workers(replicas=1)).plan()
    return {each.reference.kind: each.manifest for each in plan.apply}


@pytest.mark.parametrize(
    "kind", ["Service", "PodDisruptionBudget", "NetworkPolicy", "ConfigMap", "Deployment"]
)
def test_every_object_is_labelled_as_the_operators_and_the_modules(kind: str) -> None:
    labels = made()[kind]["metadata"]["labels"]
    assert labels[names.LABEL_MANAGED_BY] == names.OPERATOR_NAME
    assert labels[names.LABEL_MODULE] == "demo"
    assert labels.get(names.LABEL_SHARD) == ("0" if kind in ("ConfigMap", "Deployment") else None)


def test_a_deployment_selects_its_own_shard_and_never_runs_two_pods() -> None:
    spec = made()["Deployment"]["spec"]
    assert spec["strategy"] == {"type": "Recreate"}
    assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()
    assert spec["selector"]["matchLabels"][names.LABEL_SHARD] == "0"


def test_service_budget_and_policy_are_of_the_pods_of_all_shards() -> None:
    labels = made()["Deployment"]["spec"]["template"]["metadata"]["labels"].items()
    for selector in (
        made()["Service"]["spec"]["selector"],
        made()["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        made()["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
    ):
        assert selector.items() <= labels
        assert names.LABEL_SHARD not in selector


def test_a_policy_lets_in_what_comes_to_the_http_port_and_nothing_else() -> None:
    spec = made()["NetworkPolicy"]["spec"]
    assert spec["policyTypes"] == ["Ingress"]
    assert spec["ingress"] == [{"ports": [{"port": names.HTTP_PORT, "protocol": "TCP"}]}]


def test_an_owner_does_not_block_its_own_deletion() -> None:
    assert manifests.owner_reference(MODULE) == {
        "apiVersion": "dataanalysis.io/v1alpha1",
        "kind": "AnalysisModule",
        "name": "demo",
        "uid": "uid-1",
        "controller": True,
        "blockOwnerDeletion": False,
    }


def test_a_sealed_manifest_bears_a_name_that_changes_with_everything_in_it() -> None:
    plain = manifests.service(MODULE)
    changed = {**plain, "spec": {**plain["spec"], "ports": []}}
    sealed = [manifests.sealed(each) for each in (plain, changed)]
    seals = [each["metadata"]["annotations"][manifests.ANNOTATION_PLANNED] for each in sealed]
    assert seals[0] != seals[1]
    assert manifests.ANNOTATION_PLANNED not in plain["metadata"]["annotations"]


def test_a_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert manifests.digest({"a": 1, "b": [2]}) == manifests.digest({"b": [2], "a": 1})
    assert len(manifests.digest({})) == 12


@pytest.mark.parametrize(
    "kind", ["Service", "PodDisruptionBudget", "NetworkPolicy", "ConfigMap", "Deployment"]
)
def test_every_object_is_json(kind: str) -> None:
    assert json.loads(json.dumps(made()[kind])) == made()[kind]


def test_names_leave_room_for_the_pods_own() -> None:
    longest = "a" * 52
    assert manifests.shard_name(longest, 999) == f"{longest}-999"
    assert len(f"{longest}-999") <= 63
