"""The pod template: restricted, with secrets as files; and what it takes to replace a pod."""

import dataclasses
from typing import Any

import pytest

from analysis_module import names, reading, shape, spec
from analysis_operator.decisions import pods
from analysis_operator.decisions.options import Options
from tests.unit.analysis_operator import fleets, pod_security
from tests.unit.analysis_operator.fleets import SPECS

SECURED = {"image_pull_secrets": ("registry",), "allow_inline_source": False}


def template(name: str = "the shortest", **options: Any) -> dict[str, Any]:
    pod = pods.Shape(
        module="demo", asked=reading.read_spec(SPECS[name]), shard=0, config_map="demo-0", rollout="r"
    )
    return pods.template(pod, Options(**options))


def container(name: str = "the shortest", **options: Any) -> dict[str, Any]:
    (only,) = template(name, **options)["spec"]["containers"]
    return dict(only)


class TestTheTemplate:
    @pytest.mark.parametrize("name", SPECS)
    def test_is_restricted(self, name: str) -> None:
        assert pod_security.violations(template(name, **SECURED)) == []

    @pytest.mark.parametrize("name", SPECS)
    def test_lends_no_identity(self, name: str) -> None:
        pod = template(name)["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert "serviceAccountName" not in pod

    @pytest.mark.parametrize("name", SPECS)
    def test_has_a_root_that_is_read_only_and_mounts_only_what_it_has(self, name: str) -> None:
        made = template(name)["spec"]
        (only,) = made["containers"]
        assert only["securityContext"]["readOnlyRootFilesystem"] is True
        assert {mount["name"] for mount in only["volumeMounts"]} == {
            volume["name"] for volume in made["volumes"]
        }

    def test_mounts_the_assignment_whole_so_that_it_is_updated(self) -> None:
        (mount,) = (each for each in container()["volumeMounts"] if each["name"] == "assignment")
        assert mount == {"name": "assignment", "mountPath": names.ASSIGNMENT_DIRECTORY, "readOnly": True}
        assert {"name": "assignment", "configMap": {"name": "demo-0"}} in template()["spec"]["volumes"]

    def test_mounts_every_secret_once_where_the_worker_looks_for_it(self) -> None:
        made = template("secrets")["spec"]
        volumes = {each["secret"]["secretName"]: each["name"] for each in made["volumes"] if "secret" in each}
        mounts = {each["name"]: each["mountPath"] for each in made["containers"][0]["volumeMounts"]}
        assert {secret: f"{mounts[name]}/key" for secret, name in volumes.items()} == {
            secret: names.secret_path(secret, "key") for secret in ("kafka-ca", "kafka.credentials")
        }

    def test_names_a_secrets_volume_by_a_dns_label_however_long_the_secrets_name(self) -> None:
        secret = "a." * 120 + "b"
        security = {"protocol": "SSL", "ca": {"secretName": secret, "key": "k"}}
        asked = reading.read_spec(fleets.a_spec(kafka={**fleets.KAFKA, "security": security}))
        shape_ = pods.Shape(module="demo", asked=asked, shard=0, config_map="demo-0", rollout="r")
        (name,) = (
            each["name"] for each in pods.template(shape_, Options())["spec"]["volumes"] if "secret" in each
        )
        assert len(name) <= 63
        assert "." not in name

    def test_tells_a_worker_where_inline_code_is_switched_off(self) -> None:
        off = {"name": names.ENV_INLINE_SOURCE, "value": "off"}
        assert off in container(allow_inline_source=False)["env"]
        assert names.ENV_INLINE_SOURCE not in str(container())

    def test_takes_image_and_resources_of_the_module_before_the_operators(self) -> None:
        assert container("an image")["image"] == SPECS["an image"]["workers"]["image"]
        assert container(worker_image="worker:9")["image"] == "worker:9"
        assert container()["resources"] == Options().resources

    def test_writes_quantities_as_texts(self) -> None:
        assert container("resources as numbers")["resources"] == {
            "requests": {"cpu": "0.25", "memory": "268435456"},
            "limits": {"cpu": "2"},
        }

    def test_pulls_with_the_operators_secrets_and_the_modules(self) -> None:
        pulled = template("a pod template", image_pull_secrets=("ours",))["spec"]["imagePullSecrets"]
        assert pulled == [{"name": "ours"}, {"name": "registry"}]

    def test_is_spread_over_nodes_and_selected_by_its_own_labels(self) -> None:
        made = template()
        (rule,) = made["spec"]["topologySpreadConstraints"]
        assert rule["labelSelector"]["matchLabels"].items() <= made["metadata"]["labels"].items()

    def test_asks_the_workers_own_probes(self) -> None:
        asked = {
            probe: container()[f"{probe}Probe"]["httpGet"]["path"]
            for probe in ("startup", "liveness", "readiness")
        }
        assert asked == {"startup": "/livez", "liveness": "/livez", "readiness": "/readyz"}

    def test_bears_the_name_of_its_rollout(self) -> None:
        assert template()["metadata"]["annotations"] == {pods.ANNOTATION_ROLLOUT: "r"}


STATE = {"name": names.STATE_VOLUME, "mountPath": names.STATE_DIRECTORY}


def state_volumes(asked: Any) -> list[Any]:
    """The volumes for the windows' files in the template of a spec."""
    pod = pods.Shape(module="demo", asked=reading.read_spec(asked), shard=0, config_map="demo-0", rollout="r")
    volumes = pods.template(pod, Options())["spec"]["volumes"]
    return [each for each in volumes if each["name"] == names.STATE_VOLUME]


class TestTheStateDirectory:
    def test_is_mounted_to_be_written_and_told_to_the_worker(self) -> None:
        assert STATE in container()["volumeMounts"]
        assert container()["args"] == [
            *("run", "--assignment", names.ASSIGNMENT_PATH),
            *("--state-directory", names.STATE_DIRECTORY),
        ]

    def test_belongs_to_the_workers_group(self) -> None:
        context = template()["spec"]["securityContext"]
        assert context["fsGroup"] == context["runAsGroup"] == 1000

    @pytest.mark.parametrize("name", SPECS)
    def test_is_given_to_the_group_file_by_file_only_where_its_root_is_anothers(self, name: str) -> None:
        assert template(name)["spec"]["securityContext"]["fsGroupChangePolicy"] == "OnRootMismatch"

    @pytest.mark.parametrize(
        ("most_bytes", "limit"),
        [(None, "11264Mi"), (2**20, "2Mi"), (10 * 2**20, "11Mi"), (10 * 2**20 + 1, "12Mi")],
    )
    def test_may_grow_a_tenth_beyond_its_files_rounded_up_to_mebibytes(
        self, most_bytes: int | None, limit: str
    ) -> None:
        volumes = state_volumes(fleets.a_spec(state={"maxBytes": most_bytes}))
        assert volumes == [{"name": "state", "emptyDir": {"sizeLimit": limit}}]

    def test_is_not_there_where_windows_are_kept_in_no_files(self) -> None:
        assert state_volumes(SPECS["no files"]) == []
        assert STATE not in container("no files")["volumeMounts"]
        assert container("no files")["args"] == ["run", "--assignment", names.ASSIGNMENT_PATH]

    def test_is_on_the_volume_of_that_name_in_the_modules_pod_template(self) -> None:
        claim = {"name": "state", "persistentVolumeClaim": {"claimName": "windows"}}
        assert state_volumes(SPECS["a claim for its files"]) == [claim]
        assert STATE in container("a claim for its files")["volumeMounts"]


def test_the_checker_itself_finds_a_fault_in_each_control() -> None:
    faults: list[tuple[tuple[str, ...], Any]] = [
        (("spec", "hostNetwork"), True),
        (("spec", "volumes", "0", "hostPath"), {}),
        (("spec", "securityContext", "runAsNonRoot"), False),
        (("spec", "securityContext", "seccompProfile"), {}),
        (("spec", "containers", "0", "securityContext", "allowPrivilegeEscalation"), True),
        (("spec", "containers", "0", "securityContext", "capabilities"), {}),
        (("spec", "containers", "0", "securityContext", "privileged"), True),
        (("spec", "containers", "0", "securityContext", "runAsUser"), 0),
        (("metadata", "annotations", "container.apparmor.security.beta.kubernetes.io/worker"), "unconfined"),
    ]
    for path, value in faults:
        made = template()
        fleets.place(made, path, value)
        assert len(pod_security.violations(made)) == 1, path


# -- rollouts ----------------------------------------------------------------------------------------


def rollout(module_spec: spec.ModuleSpec) -> str:
    return pods.rollout_of(pods.rolling_document(module_spec), {})


FULL = reading.read_spec(
    {
        "module": "numbered",
        "kafka": {"bootstrapServers": ["kafka:9092"], "security": fleets.SECURITY},
        "inputs": [{"topic": "POWER", "fields": ["power"], "windowSize": 3, "stationKey": {}}],
        "dependencies": [{"module": "load_prediction"}],
        "callback": {"configMapRef": {"name": "code"}},
        "workers": {"autoscaling": {}},
    }
)


def other(member: shape.Member, value: Any) -> Any:
    """Another value of a field, of its type; what it means does not matter here."""
    hint = member.hint
    if shape.item_of(hint) is not None:
        return ("other",)
    if shape.value_of(hint) is not None:
        return {"other": "1"}
    if hint is bool:
        return not value
    if hint in (int, float):
        return (value or 0) + 1
    if hint is str:
        return f"{value}x"
    return next(choice for choice in hint if choice is not value)


def edited(part: Any, path: list[str]) -> Any:
    """A part with one leaf changed."""
    name, *rest = path
    listed = name.endswith("[]")
    (member,) = (each for each in shape.members(part.__class__) if each.name == name.removesuffix("[]"))
    value = getattr(part, member.attribute)
    if not rest:
        return dataclasses.replace(part, **{member.attribute: other(member, value)})
    inner = edited((value[0] if listed else value) or member.hint(), rest)
    return dataclasses.replace(part, **{member.attribute: (inner,) if listed else inner})


def leaves() -> list[tuple[str, spec.Change]]:
    known = shape.field_changes()
    return [
        (path, change)
        for path, change in known.items()
        if not any(each.startswith((f"{path}.", f"{path}[].")) for each in known)
        and path != "spec.inputs[].routing"  # told apart below: it counts where it is Aligned
    ]


def test_the_walk_reaches_every_leaf_of_the_resource() -> None:
    assert len(leaves()) > 70


@pytest.mark.parametrize(("path", "change"), leaves(), ids=[path for path, _ in leaves()])
def test_a_rollout_changes_with_a_field_of_class_rolling_or_above_and_with_no_other(
    path: str, change: spec.Change
) -> None:
    changed = edited(FULL, path.split(".")[1:])
    assert changed != FULL
    assert (rollout(changed) != rollout(FULL)) == (change >= spec.Change.ROLLING)


def routed(routing: spec.Routing | None) -> str:
    return rollout(dataclasses.replace(FULL, inputs=(spec.Input(topic="POWER", routing=routing),)))


def test_an_inputs_own_routing_counts_where_it_is_aligned() -> None:
    assert routed(spec.Routing.ALIGNED) != routed(None)
    assert routed(spec.Routing.FILTERED) == routed(None)


def test_the_operators_defaults_count_where_the_module_does_not_say() -> None:
    def of(name: str, **options: Any) -> str:
        asked = reading.read_spec(SPECS[name])
        return pods.rollout_of(pods.rolling_document(asked), pods.defaults_of(asked, Options(**options)))

    assert of("the shortest") != of("the shortest", worker_image="worker:9")
    assert of("an image") == of("an image", worker_image="worker:9")
    assert of("the shortest") != of("the shortest", resources={})
    assert of("resources as texts") == of("resources as texts", resources={})


def test_the_selector_and_its_text_say_the_same() -> None:
    assert pods.selector_text("demo") == "dataanalysis.io/module=demo,app.kubernetes.io/component=worker"
    assert pods.selector("demo").items() <= pods.labels("demo", 3).items()
    assert pods.labels("demo", 3)[names.LABEL_SHARD] == "3"
    assert names.LABEL_SHARD not in pods.labels("demo")
