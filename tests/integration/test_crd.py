"""A real API server takes the CRD, fills in defaults, and tells the writer of a bad manifest what to mend.

What only reading can tell the operator says in a condition; the last table holds what falls to it.
"""

import copy
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from analysis_module import errors, names, reading, schema, status
from tests.infrastructure import api_client
from tests.infrastructure import control_plane as kubernetes

EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "modules").glob("*.yaml"))
MODULES = api_client.MODULES

ENV = {"env": "SECRET"}
PRICE, STORAGE = "SCHEDULE-CAR-PRICE", "SCHEDULE-DEVICE-STORAGE"
OWN = {"topic": "T", "fields": ["a"], "windowSize": 1}
"""An input outside the catalogue."""


def manifest(name: str = "tried", **fields: Any) -> dict[str, Any]:
    """A module of the catalogue with these fields of its spec; a field given as None is left out."""
    given = {"module": "load_prediction", **fields}
    return {
        "apiVersion": names.API_GROUP_VERSION,
        "kind": names.KIND,
        "metadata": {"name": name, "namespace": "default"},
        "spec": {key: value for key, value in given.items() if value is not None},
    }


def security(**fields: Any) -> dict[str, Any]:
    return {"kafka": {"security": fields}}


def an_input(**fields: Any) -> dict[str, Any]:
    return {"inputs": [{**OWN, **fields}]}


def pod(**fields: Any) -> dict[str, Any]:
    return {"workers": {"podTemplate": {"spec": fields}}}


PRIVILEGED = [{"name": "worker", "securityContext": {"privileged": True}}]
SASL = {"protocol": "SASL_SSL", "mechanism": "PLAIN", "username": ENV, "password": ENV}

BAD: list[tuple[dict[str, Any], str, str]] = [
    # Types and what must be there.
    ({"module": None}, "spec.module", "Required value"),
    ({"module": 7}, "spec.module", "must be of type string"),
    ({"module": ""}, "spec.module", "at least 1 char"),
    ({"module": "load prediction", **an_input()}, "spec.module", "right form; give"),
    ({"module": "-x", **an_input()}, "spec.module", "right form; give"),
    ({"module": "m" * 101, **an_input()}, "spec.module", "right form; give"),
    ({"suspend": "yes"}, "spec.suspend", "must be of type boolean"),
    ({"kafka": "kafka:9092"}, "spec.kafka", "must be of type object"),
    ({"inputs": [{"fields": ["a"]}]}, "spec.inputs[0].topic", "Required value"),
    ({"inputs": {"topic": PRICE}}, "spec.inputs", "must be of type array"),
    ({"dependencies": [{"windowSize": 3}]}, "spec.dependencies[0].module", "Required value"),
    ({"callback": {"configMapRef": {"key": "a.py"}}}, "spec.callback.configMapRef.name", "Required value"),
    ({"stations": {"include": "S1"}}, "spec.stations.include", "must be of type array"),
    ({"stations": {"include": [7]}}, "spec.stations.include[0]", "must be of type string"),
    ({"stations": {"include": [""]}}, "spec.stations.include[0]", "at least 1 char"),
    ({"workers": {"replicas": 1.5}}, "spec.workers.replicas", "must be of type integer"),
    ({"expireAfterSeconds": "600"}, "spec.expireAfterSeconds", "must be of type number"),
    ({"workers": {"resources": "1 cpu"}}, "spec.workers.resources", "must be of type object"),
    ({"callback": {"parameters": [1]}}, "spec.callback.parameters", "must be of type object"),
    ({**an_input(aliases={"a": "b"})}, "spec.inputs[0].aliases.a", "must be of type array"),
    # Words.
    ({"padding": "zero"}, "spec.padding", 'supported values: "Zero", "Linear", "Forward", "Missing"'),
    ({"profile": "v2"}, "spec.profile", 'supported values: "standard", "v1.1"'),
    ({"delivery": "Once"}, "spec.delivery", "AtLeastOnce"),
    ({"trigger": {"policy": "Always"}}, "spec.trigger.policy", "EveryRecord"),
    ({"callback": {"inputFormat": "pandas"}}, "spec.callback.inputFormat", "numpy"),
    ({"output": {"topicStyle": "dots"}}, "spec.output.topicStyle", "hyphen"),
    ({"output": {"envelope": "v2"}}, "spec.output.envelope", "standard"),
    ({"kafka": {"autoOffsetReset": "newest"}}, "spec.kafka.autoOffsetReset", "earliest"),
    ({"observability": {"logLevel": "TRACE"}}, "spec.observability.logLevel", "DEBUG"),
    ({"observability": {"logFormat": "xml"}}, "spec.observability.logFormat", "json"),
    ({"partitioning": {"routing": "Some"}}, "spec.partitioning.routing", "Filtered"),
    (an_input(scope="Host"), "spec.inputs[0].scope", "Station"),
    (an_input(padding="None"), "spec.inputs[0].padding", "Forward"),
    (an_input(dtypes={"a": "int8"}), "spec.inputs[0].dtypes.a", "float64"),
    (security(protocol="TLS"), "spec.kafka.security.protocol", "SASL_SSL"),
    (security(protocol="SASL_SSL", mechanism="GSSAPI"), "spec.kafka.security.mechanism", "SCRAM-SHA-512"),
    # Bounds.
    ({"partitioning": {"slots": 0}}, "spec.partitioning.slots", "greater than or equal to 1"),
    ({"partitioning": {"slots": 4097}}, "spec.partitioning.slots", "less than or equal to 4096"),
    ({"workers": {"replicas": -1}}, "spec.workers.replicas", "greater than or equal to 0"),
    ({"workers": {"replicas": 1001}}, "spec.workers.replicas", "less than or equal to 1000"),
    ({"workers": {"autoscaling": {"targetLag": 0}}}, "spec.workers.autoscaling.targetLag", "equal to 1"),
    ({"expireAfterSeconds": 0}, "spec.expireAfterSeconds", "from 0.001 to"),
    (an_input(windowSize=0), "spec.inputs[0].windowSize", "equal to 1"),
    (an_input(windowSize=10_000_001), "spec.inputs[0].windowSize", "equal to 10000000"),
    (
        {"dependencies": [{"module": "pv_prediction", "windowSize": 10_001}]},
        "spec.dependencies[0].windowSize",
        "10000",
    ),
    ({"callback": {"concurrency": 0}}, "spec.callback.concurrency", "equal to 1"),
    ({"callback": {"timeoutSeconds": 0}}, "spec.callback.timeoutSeconds", "from 0.001 to"),
    ({"errors": {"retries": 101}}, "spec.errors.retries", "equal to 100"),
    ({"errors": {"backoffSeconds": -1}}, "spec.errors.backoffSeconds", "equal to 0"),
    ({"errors": {"breaker": {"failures": -1}}}, "spec.errors.breaker.failures", "equal to 0"),
    ({"observability": {"maxStationSeries": 100_001}}, "spec.observability.maxStationSeries", "100000"),
    ({"trigger": {"policy": "Interval", "intervalSeconds": 86_401}}, "spec.trigger.intervalSeconds", "86400"),
    # Forms.
    (an_input(topic="a topic"), "spec.inputs[0].topic", "right form; give"),
    (an_input(topic="t" * 250), "spec.inputs[0].topic", "right form; give"),
    ({"output": {"topic": "a/b"}}, "spec.output.topic", "right form; give"),
    ({"errors": {"deadLetterTopic": "a b"}}, "spec.errors.deadLetterTopic", "right form; give"),
    ({"callback": {"entrypoint": "pkg.mod"}}, "spec.callback.entrypoint", "right form; give"),
    ({"callback": {"entrypoint": "pkg:fn\n"}}, "spec.callback.entrypoint", "right form; give"),
    ({"callback": {"function": "1st"}}, "spec.callback.function", "right form; give"),
    (
        {"callback": {"configMapRef": {"name": "Upper"}}},
        "spec.callback.configMapRef.name",
        "right form; give",
    ),
    (
        {"callback": {"configMapRef": {"name": "c", "key": "../up"}}},
        "spec.callback.configMapRef.key",
        "right form; give",
    ),
    ({"kafka": {"groupId": "a group"}}, "spec.kafka.groupId", "right form; give"),
    (an_input(stationKey={"via": "a b"}), "spec.inputs[0].stationKey.via", "right form; give"),
    # Doubled entries.
    ({"stations": {"include": ["S1", "S1"]}}, "spec.stations.include[1]", "Duplicate value"),
    (an_input(fields=["a", "b", "a"]), "spec.inputs[0].fields[2]", "Duplicate value"),
    ({"inputs": [{"topic": PRICE}, {"topic": PRICE}]}, "spec.inputs[1]", PRICE),
    (
        {"dependencies": [{"module": "pv_prediction"}, {"module": "pv_prediction", "topic": "T"}]},
        "spec.dependencies[1]",
        "pv_prediction",
    ),
    # Kafka and secrets.
    (
        {"kafka": {"bootstrapServers": ["ok:1", "kafka"]}},
        "spec.kafka.bootstrapServers[1]",
        "host:port; give a host",
    ),
    (
        {"kafka": {"bootstrapServers": ["PLAINTEXT://kafka:9092"]}},
        "spec.kafka.bootstrapServers[0]",
        "host:port",
    ),
    (
        {"kafka": {"bootstrapServers": ["kafka:0"]}},
        "spec.kafka.bootstrapServers[0]",
        "give a port from 1 to 65535",
    ),
    (
        {"kafka": {"bootstrapServers": ["[::1]:65536"]}},
        "spec.kafka.bootstrapServers[0]",
        "port from 1 to 65535",
    ),
    (security(protocol="SASL_SSL"), "spec.kafka.security.mechanism", "SASL_SSL needs; name a SASL mechanism"),
    (security(**{**SASL, "password": None}), "spec.kafka.security.password", "PLAIN needs; say where"),
    (security(**{**SASL, "username": None}), "spec.kafka.security.username", "PLAIN needs; say where"),
    (
        security(protocol="SASL_SSL", mechanism="OAUTHBEARER"),
        "spec.kafka.security.token",
        "OAUTHBEARER needs; say where the token",
    ),
    (
        security(mechanism="PLAIN"),
        "spec.kafka.security.mechanism",
        "no use with protocol PLAINTEXT; say SASL_SSL",
    ),
    (security(protocol="SSL", username=ENV), "spec.kafka.security.username", "no use with protocol SSL"),
    (security(password=ENV), "spec.kafka.security.password", "no use with protocol PLAINTEXT"),
    (security(token=ENV), "spec.kafka.security.token", "no use with protocol PLAINTEXT"),
    (security(ca=ENV), "spec.kafka.security.ca", "no use with protocol PLAINTEXT; say SSL or SASL_SSL"),
    (
        security(**{**SASL, "protocol": "SASL_PLAINTEXT"}, certificate=ENV, privateKey=ENV),
        "spec.kafka.security.certificate",
        "no use with protocol SASL_PLAINTEXT",
    ),
    (security(protocol="SSL", certificate=ENV), "spec.kafka.security.privateKey", "give both or neither"),
    (security(protocol="SSL", privateKey=ENV), "spec.kafka.security.certificate", "give both or neither"),
    (security(protocol="SSL", ca={}), "spec.kafka.security.ca", "give exactly one of secretName with key"),
    (
        security(protocol="SSL", ca={"file": "/a", **ENV}),
        "spec.kafka.security.ca",
        "more than one; give exactly",
    ),
    (
        security(protocol="SSL", ca={"secretName": "s", "key": "k", "file": "/a"}),
        "spec.kafka.security.ca",
        "more than one; give exactly",
    ),
    (
        security(protocol="SSL", ca={"secretName": "s"}),
        "spec.kafka.security.ca.key",
        "name the key in the Secret",
    ),
    (security(protocol="SSL", ca={"key": "k"}), "spec.kafka.security.ca.secretName", "name the Secret"),
    (
        security(protocol="SSL", ca={"env": "a b"}),
        "spec.kafka.security.ca.env",
        "give the name of an environment",
    ),
    (
        security(protocol="SSL", ca={"secretName": "S", "key": "k"}),
        "spec.kafka.security.ca.secretName",
        "give the name of a Kubernetes object",
    ),
    # Fields of one part that contradict each other.
    (
        {"trigger": {"policy": "Interval"}},
        "spec.trigger.intervalSeconds",
        "Interval needs; give a number of seconds",
    ),
    ({"callback": {"file": "a.py", "source": "x"}}, "spec.callback", "keep one of them"),
    (
        {"callback": {"entrypoint": "a:b", "configMapRef": {"name": "c"}}},
        "spec.callback",
        "keep one of them",
    ),
    ({"errors": {"backoffSeconds": 60}}, "spec.errors.maxBackoffSeconds", "less than backoffSeconds; give"),
    (
        {"workers": {"autoscaling": {"minReplicas": 3, "maxReplicas": 2}}},
        "spec.workers.autoscaling.maxReplicas",
        "less than minReplicas; give",
    ),
    (
        an_input(stationKey={"fields": []}),
        "spec.inputs[0].stationKey.fields",
        "name a field, or leave the list out",
    ),
    (an_input(fields=[]), "spec.inputs[0].fields", "name at least one"),
    (an_input(fields=["a", "a_window"]), "spec.inputs[0].fields", "give one of them another name"),
    (an_input(fields=["_topics"]), "spec.inputs[0].fields", "give it another name"),
    (an_input(arrays=["b"]), "spec.inputs[0].arrays", "add it to fields, or remove it here"),
    (an_input(aliases={"b": ["c"]}), "spec.inputs[0].aliases", "add it to fields, or remove it here"),
    (an_input(dtypes={"b": "float32"}), "spec.inputs[0].dtypes", "add it to fields, or remove it here"),
    ({"state": {"maxBytes": 1_048_575}}, "spec.state.maxBytes", "greater than or equal to 1048576"),
    ({"state": {"maxBytes": 2**50 + 1}}, "spec.state.maxBytes", "less than or equal to"),
    ({"state": {"enabled": "no"}}, "spec.state.enabled", "must be of type boolean"),
    (
        {"state": {"snapshots": {"intervalSeconds": 0.5}}},
        "spec.state.snapshots.intervalSeconds",
        "greater than or equal to 1",
    ),
    (
        {"state": {"snapshots": {"url": "https://example.com/bucket"}}},
        "spec.state.snapshots.url",
        "right form; give file:///path, s3://bucket/prefix",
    ),
    (
        {"state": {"snapshots": {"url": "s3://key:secret@bucket/windows"}}},
        "spec.state.snapshots.url",
        "before an @; remove it, and give credentials by the worker's environment",
    ),
    # The catalogue and the whole spec.
    ({"module": "load_predictoin"}, "spec.module", "load_predictoin is not one of the catalogue"),
    ({"inputs": []}, "spec.inputs", "list at least one"),
    ({"module": "mine", "inputs": [], "dependencies": []}, "spec.inputs", "list at least one"),
    (
        an_input(fields=None),
        "spec.inputs[0].fields",
        "topic T, outside the catalogue, needs; list the fields",
    ),
    (an_input(windowSize=None), "spec.inputs[0].windowSize", "give the number of records to keep"),
    (an_input(fields=["a", "..."]), "spec.inputs[0].fields", "list the fields by name"),
    (
        {"inputs": [{"topic": PRICE, "routing": "Aligned"}]},
        "spec.inputs[0].routing",
        "concern many stations from their owners; say Filtered",
    ),
    (an_input(scope="Global", routing="Aligned"), "spec.inputs[0].routing", "say Filtered"),
    ({"dependencies": [{"module": "load_prediction"}]}, "spec.dependencies", "the module itself"),
    (
        {"dependencies": [{"module": "other"}]},
        "spec.dependencies[0].module",
        "module other is not one of the catalogue",
    ),
    (
        {"dependencies": [{"module": "pv_prediction", "topic": "T"}, {"module": "SOH_model", "topic": "T"}]},
        "spec.dependencies",
        "one topic twice; remove one",
    ),
    (
        {
            "inputs": [{**OWN, "topic": "MODULE-OUTPUT-PV-PREDICTION"}],
            "dependencies": [{"module": "pv_prediction"}],
        },
        "spec.dependencies",
        "that inputs reads too; remove one",
    ),
    (
        an_input(topic="MODULE-OUTPUT-LOAD-PREDICTION"),
        "spec.inputs",
        "reads MODULE-OUTPUT-LOAD-PREDICTION, where the module writes its outputs; remove it",
    ),
    (
        {**an_input(topic="MODULE-OUTPUT-LOAD_PREDICTION"), "profile": "v1.1"},
        "spec.inputs",
        "writes its outputs",
    ),
    ({**an_input(), "output": {"topic": "T"}}, "spec.inputs", "reads T, where the module writes its outputs"),
    (an_input(topic="load_prediction-progress"), "spec.inputs", "writes its progress"),
    ({**an_input(topic="g-strays"), "kafka": {"groupId": "g"}}, "spec.inputs", "writes its strays"),
    ({**an_input(topic="g-last"), "kafka": {"groupId": "g"}}, "spec.inputs", "writes its last records"),
    (an_input(windowSize=1001, keepLast=True), "spec.inputs[0].keepLast", "keeps at most 1,000 records"),
    (
        {"inputs": [{"topic": "SCHEDULE-DEVICE-GUN", "keepLast": True}]},
        "spec.inputs[0].keepLast",
        "make windowSize smaller",
    ),
    (
        {"dependencies": [{"module": "pv_prediction", "topic": "D"}], "errors": {"deadLetterTopic": "D"}},
        "spec.dependencies",
        "reads D, where the module writes its dead letters",
    ),
    (
        {"trigger": {"requiredTopics": [PRICE]}},
        "spec.trigger.requiredTopics",
        "name a topic of inputs or dependencies",
    ),
    (
        {**an_input(), "trigger": {"requiredTopics": ["U"]}},
        "spec.trigger.requiredTopics",
        "name a topic of inputs",
    ),
]
"""Fields of a spec, the field that the API server names, a piece of its words. Reading refuses each too."""

BAD_HERE: list[tuple[dict[str, Any], str, str]] = [
    (pod(hostNetwork=True), "spec.workers.podTemplate.spec.hostNetwork", "Pod Security restricted"),
    (pod(hostPID=True), "spec.workers.podTemplate.spec.hostPID", "Pod Security restricted"),
    (pod(hostIPC=True), "spec.workers.podTemplate.spec.hostIPC", "remove it"),
    (pod(containers=PRIVILEGED), "spec.workers.podTemplate.spec.containers", "privileged"),
    (pod(initContainers=PRIVILEGED), "spec.workers.podTemplate.spec.initContainers", "privileged"),
    ({"inputs": [{**OWN, "topic": f"T{n}"} for n in range(65)]}, "spec.inputs", "at most 64 items"),
    (an_input(fields=[f"f{n}" for n in range(201)]), "spec.inputs[0].fields", "at most 200 items"),
    ({"kafka": {"bootstrapServers": "kafka:9092"}}, "spec.kafka.bootstrapServers", "must be of type array"),
]
"""The same for what is refused in a cluster only: pods' rights, and lists longer than rules can be run on."""

BAD_BY_READING: list[tuple[dict[str, Any], str]] = [
    (an_input(aliases={"a": ["b"]}, fields=["a", "b"]), "spec.inputs[0].aliases.a[0]"),
    ({"inputs": [{"topic": PRICE, "arrays": ["nothing"]}]}, "spec.inputs[0].arrays[0]"),
    ({"inputs": [{"topic": PRICE, "dtypes": {"nothing": "float32"}}]}, "spec.inputs[0].dtypes.nothing"),
    ({"inputs": [{"topic": PRICE, "aliases": {"nothing": ["n"]}}]}, "spec.inputs[0].aliases.nothing"),
    (
        {"dependencies": [{"module": "pv_prediction", "topic": "SCHEDULE-CAR-ORDER"}]},
        "spec.dependencies[0].topic",
    ),
    ({"callback": {"source": "a\0b"}}, "spec.callback.source"),
    (an_input(aliases={"a": ["b", "c"]}, fields=["a", "c"], arrays=["a"]), "spec.inputs[0].aliases.a[1]"),
]
"""What the API server takes and reading refuses, with the field that reading names."""


def words(case: object) -> str:
    return json.dumps(case)[:70] if isinstance(case, dict) else str(case)[:40]


def without_nones(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_nones(each) for key, each in value.items() if each is not None}
    return [without_nones(each) for each in value] if isinstance(value, list) else value


def asked(fields: Mapping[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = without_nones(manifest(**fields))
    return document


@pytest.fixture(scope="module")
def api(control_plane: kubernetes.ControlPlane) -> api_client.ApiClient:
    return control_plane.api


@pytest.fixture
def stored(api: api_client.ApiClient) -> Iterator[dict[str, Any]]:
    """A module that is in the cluster."""
    created = api.create(manifest("stored", workers={"replicas": 2}))
    yield created
    api.delete(MODULES, "stored", namespace="default")


def refusal(api: api_client.ApiClient, document: Mapping[str, Any]) -> dict[str, str]:
    """Field -> what the API server says of it."""
    with pytest.raises(api_client.ApiError) as caught:
        api.create(document, dry_run=True)
    assert caught.value.code == 422
    told: dict[str, str] = {}
    for cause in caught.value.causes:
        told[cause["field"]] = f"{told.get(cause['field'], '')} {cause['message']}"
    return told


class TestBadManifests:
    @pytest.mark.parametrize(("fields", "field", "piece"), BAD + BAD_HERE, ids=words)
    def test_the_api_server_names_the_field_and_the_mend(
        self, api: api_client.ApiClient, fields: dict[str, Any], field: str, piece: str
    ) -> None:
        assert piece in refusal(api, asked(fields))[field]

    @pytest.mark.parametrize(("fields", "field", "piece"), BAD, ids=words)
    def test_reading_refuses_it_as_well(self, fields: dict[str, Any], field: str, piece: str) -> None:
        with pytest.raises(errors.InvalidSpec) as caught:
            reading.read_manifest(asked(fields))
        # A rule on a list cannot name the entry, reading does.
        paths = [problem.path for problem in caught.value.problems]
        assert any(path.startswith(field) or field.startswith(path) for path in paths)

    @pytest.mark.parametrize(("fields", "field"), BAD_BY_READING, ids=words)
    def test_what_the_api_server_cannot_tell_reading_refuses(
        self, api: api_client.ApiClient, fields: dict[str, Any], field: str
    ) -> None:
        taken = api.create(asked(fields), dry_run=True)
        with pytest.raises(errors.InvalidSpec) as caught:
            reading.read_spec(taken["spec"])
        assert [problem.path for problem in caught.value.problems] == [field]

    @pytest.mark.parametrize("name", ["a.b", "n" * 53])
    def test_a_name_that_leaves_no_room_is_refused(self, api: api_client.ApiClient, name: str) -> None:
        assert "give 1 to 52 lower-case letters" in str(refusal(api, manifest(name)))

    def test_the_longest_name_is_taken(self, api: api_client.ApiClient) -> None:
        assert api.create(manifest("n" * 52), dry_run=True)["metadata"]["name"] == "n" * 52

    def test_an_object_without_a_spec_is_refused(self, api: api_client.ApiClient) -> None:
        bare = {key: value for key, value in manifest().items() if key != "spec"}
        assert "Required value" in refusal(api, bare)["spec"]

    @pytest.mark.parametrize(
        "fields",
        [
            {"kafka": {"bootstrapServers": ["user:hunter2@kafka:9092"]}},
            security(protocol="SSL", ca={"env": "hunter2 is my password"}),
            security(protocol="SSL", ca={"secretName": "hunter2 is my password", "key": "k"}),
            security(protocol="SSL", ca={"secretName": "s", "key": "hunter2 is my password"}),
            security(protocol="SSL", ca="hunter2"),
            security(protocol="SSL", ca={"env": ["hunter2"]}),
            {"state": {"snapshots": {"url": "s3://key:hunter2@bucket"}}},
            {"state": {"snapshots": {"url": "s3://key:a/hunter2@bucket"}}},
        ],
        ids=words,
    )
    def test_what_may_be_a_secret_is_not_repeated(
        self, api: api_client.ApiClient, fields: dict[str, Any]
    ) -> None:
        assert "hunter2" not in str(refusal(api, asked(fields)))

    def test_several_faults_are_told_at_once(self, api: api_client.ApiClient) -> None:
        faults = {"errors": {"backoffSeconds": 60, "retries": 101}, **security(protocol="SASL_SSL")}
        fields = ("errors.maxBackoffSeconds", "errors.retries", "kafka.security.mechanism")
        assert {f"spec.{field}" for field in fields} <= set(refusal(api, asked(faults)))


class TestKubectl:
    def test_an_unknown_field_is_refused(self, control_plane: kubernetes.ControlPlane) -> None:
        document = yaml.safe_dump(manifest(paddding="Zero"))
        run = control_plane.kubectl("apply", "--dry-run=server", "-f", "-", stdin=document)
        assert run.returncode != 0
        assert 'unknown field "spec.paddding"' in run.stderr

    def test_a_free_object_takes_any_field(self, control_plane: kubernetes.ControlPlane) -> None:
        free = {"callback": {"parameters": {"a": {"b": [1, {"c": None}]}}}, **pod(nodeSelector={"a": "b"})}
        document = yaml.safe_dump(manifest(**free))
        run = control_plane.kubectl("apply", "--dry-run=server", "-f", "-", stdin=document)
        assert (run.returncode, run.stderr) == (0, "")

    def test_explain_tells_meaning_and_form(self, control_plane: kubernetes.ControlPlane) -> None:
        run = control_plane.kubectl("explain", "analysismodule.spec.callback.entrypoint")
        assert "package.module:function" in run.stdout

    def test_the_category_and_the_short_name_list_modules(
        self, control_plane: kubernetes.ControlPlane, stored: Mapping[str, Any]
    ) -> None:
        for word in (names.CATEGORY, names.SHORT_NAME):
            run = control_plane.kubectl("get", word, "-n", "default", "-o", "name")
            assert "analysismodule.dataanalysis.io/stored" in run.stdout

    def test_kubectl_scales_a_module(
        self, control_plane: kubernetes.ControlPlane, api: api_client.ApiClient, stored: Mapping[str, Any]
    ) -> None:
        run = control_plane.kubectl("scale", "am/stored", "-n", "default", "--replicas=3")
        assert run.returncode == 0, run.stderr
        assert api.get(MODULES, "stored", namespace="default")["spec"]["workers"]["replicas"] == 3


class TestGoodManifests:
    @pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
    def test_an_example_is_taken_and_means_the_same_with_defaults(
        self, api: api_client.ApiClient, path: Path
    ) -> None:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        document["metadata"]["namespace"] = "default"
        taken = api.create(document, dry_run=True)
        assert reading.read_spec(taken["spec"]) == reading.read_spec(document["spec"])

    def test_there_is_an_example_for_each_module(self) -> None:
        assert len(EXAMPLES) == 9

    @pytest.mark.parametrize(
        "fields",
        [
            {},
            {"kafka": {"security": {}}},
            {name: {} for name in ("kafka", "stations", "trigger", "callback", "output", "errors")},
            {name: {} for name in ("partitioning", "workers", "observability")},
            {"workers": {"autoscaling": {}}, "errors": {"breaker": {}}},
            {"workers": {"replicas": 9, "autoscaling": {"maxReplicas": 3}}},
            an_input(stationKey={}, arrays=[], aliases={"a": ["b"]}, dtypes={"a": "float32"}),
            {**an_input(), "module": "mine", "dependencies": [{"module": "pv_prediction"}]},
            {"inputs": [{"topic": PRICE, "fields": ["gridPrice", "..."]}]},
            {"inputs": [{"topic": STORAGE, "routing": "Aligned"}]},
            {
                "dependencies": [{"module": "other", "topic": "T"}],
                "trigger": {"requiredTopics": ["T", "SCHEDULE-CAR-ORDER"]},
            },
            {"module": "station_guidance", "inputs": []},
            {
                "module": "thermal_management",
                "trigger": {"requiredTopics": ["MODULE-OUTPUT-LOAD-PREDICTION"]},
            },
            {**an_input(topic="MODULE-OUTPUT-LOAD-PREDICTION"), "output": {"enabled": False}},
            security(**SASL, ca={"secretName": "s", "key": "ca.crt"}),
            security(protocol="SASL_PLAINTEXT", mechanism="OAUTHBEARER", token={"file": "/t"}),
            security(protocol="SSL", certificate={"file": "/c"}, privateKey={"file": "/k"}),
            {"kafka": {"bootstrapServers": ["a:1", "[::1]:65535", "b_c.d-e:09092"]}},
            {"kafka": {"groupId": None, "bootstrapServers": None}, "profile": None, "inputs": None},
            {"expireAfterSeconds": 0.5, "errors": {"backoffSeconds": 0, "maxBackoffSeconds": 0}},
            pod(hostNetwork=False, containers=[{"name": "worker", "securityContext": {"privileged": False}}]),
        ],
        ids=words,
    )
    def test_a_good_manifest_means_the_same_with_defaults(
        self, api: api_client.ApiClient, fields: dict[str, Any]
    ) -> None:
        # Not `asked`: a null must be as good as an absent field.
        document = {**manifest(), "spec": {"module": "load_prediction", **fields}}
        taken = api.create(document, dry_run=True)
        assert reading.read_spec(taken["spec"]) == reading.read_spec(document["spec"])
        again = api.create({**document, "spec": taken["spec"]}, dry_run=True)
        assert again["spec"] == taken["spec"]

    def test_the_server_makes_the_workers_and_no_other_part(self, api: api_client.ApiClient) -> None:
        taken = api.create(manifest(), dry_run=True)["spec"]
        assert taken["workers"] == {"replicas": 1, "resources": {}, "podTemplate": {}}
        assert not {"kafka", "callback", "errors", "partitioning"} & set(taken)


class TestEdits:
    @pytest.mark.parametrize(
        ("edit", "field", "piece"),
        [
            ({"module": "pv_prediction"}, "spec.module", "make a new AnalysisModule"),
            ({"kafka": {"groupId": "other"}}, "spec.kafka.groupId", "leave it, or make a new AnalysisModule"),
            (
                {"partitioning": {"slots": 32}},
                "spec.partitioning.slots",
                "progress is kept by slot; leave it",
            ),
            (
                {"workers": {"replicas": 5, "autoscaling": {"maxReplicas": 3}}},
                "spec.workers.replicas",
                "lower it, raise maxReplicas, or remove autoscaling",
            ),
        ],
    )
    def test_what_the_progress_hangs_on_cannot_change(
        self,
        api: api_client.ApiClient,
        stored: Mapping[str, Any],
        edit: dict[str, Any],
        field: str,
        piece: str,
    ) -> None:
        with pytest.raises(api_client.ApiError) as caught:
            api.patch(MODULES, "stored", {"spec": edit}, namespace="default")
        told = {cause["field"]: cause["message"] for cause in caught.value.causes}
        assert piece in told[field]

    @pytest.mark.parametrize(
        "edit",
        [
            {"kafka": {"groupId": "load_prediction"}},
            {"partitioning": {"slots": 64}},
            {"partitioning": {"routing": "Aligned"}},
            {"padding": "Linear", "workers": {"replicas": 5}},
            {"workers": {"autoscaling": {"maxReplicas": 1}}},
        ],
        ids=words,
    )
    def test_the_default_may_be_written_out_and_the_rest_may_change(
        self, api: api_client.ApiClient, stored: Mapping[str, Any], edit: dict[str, Any]
    ) -> None:
        patched = api.patch(MODULES, "stored", {"spec": edit}, namespace="default")
        assert patched["metadata"]["generation"] == 2

    @pytest.mark.parametrize(
        ("given", "edit"),
        [
            ({"kafka": {"groupId": "g"}}, {"kafka": {"groupId": None}}),
            ({"kafka": {"groupId": "g"}}, {"kafka": None}),
            ({"partitioning": {"slots": 32}}, {"partitioning": None}),
        ],
        ids=words,
    )
    def test_what_the_progress_hangs_on_cannot_be_removed(
        self, api: api_client.ApiClient, given: dict[str, Any], edit: dict[str, Any]
    ) -> None:
        api.create(manifest("fixed", **given))
        try:
            with pytest.raises(api_client.ApiError, match="make a new AnalysisModule"):
                api.patch(MODULES, "fixed", {"spec": edit}, namespace="default")
        finally:
            api.delete(MODULES, "fixed", namespace="default")


STATUS = status.ModuleStatus(
    phase=names.Phase.RUNNING,
    observed_generation=1,
    output_topic="MODULE-OUTPUT-LOAD-PREDICTION",
    replicas=2,
    ready_replicas=2,
    ready="2/2",
    selector="app.kubernetes.io/instance=stored",
    stations=500,
    lag=12,
    lag_seconds=0.5,
    rate=1000.0,
    config=status.ConfigCounts(desired="abc", applied=2, summary="2/2"),
    shards=(status.ShardStatus(shard=0, slots="0-31"), status.ShardStatus(shard=1, slots="32-63")),
    conditions=(
        status.Condition(
            type=names.ConditionType.READY,
            status=status.Truth.TRUE,
            reason="WorkersReady",
            last_transition_time="2025-11-07T08:00:00Z",
        ),
    ),
)


class TestStatus:
    @pytest.fixture
    def answered(self, api: api_client.ApiClient, stored: Mapping[str, Any]) -> dict[str, Any]:
        """The module with a status, applied as the operator applies it."""
        document = copy.deepcopy({key: stored[key] for key in ("apiVersion", "kind")})
        document |= {"metadata": {"name": "stored", "namespace": "default"}, "status": STATUS.to_json()}
        return api.apply(document, manager="operator", subresource="status", force=True)

    def test_a_status_comes_back_whole(self, answered: Mapping[str, Any]) -> None:
        assert status.ModuleStatus.from_json(answered["status"]) == STATUS

    def test_an_empty_status_is_taken(self, api: api_client.ApiClient, stored: Mapping[str, Any]) -> None:
        body = {"status": status.ModuleStatus().to_json()}
        patched = api.patch(MODULES, "stored", body, namespace="default", subresource="status")
        assert status.ModuleStatus.from_json(patched["status"]) == status.ModuleStatus()

    def test_a_status_in_a_manifest_is_not_taken(self, api: api_client.ApiClient) -> None:
        taken = api.create({**manifest(), "status": STATUS.to_json()}, dry_run=True)
        assert "status" not in taken

    def test_a_status_does_not_change_the_generation(self, answered: Mapping[str, Any]) -> None:
        assert answered["metadata"]["generation"] == 1

    def test_scale_tells_wanted_and_present_workers_and_their_selector(
        self, api: api_client.ApiClient, answered: Mapping[str, Any]
    ) -> None:
        scale = api.request("GET", f"{MODULES.path(namespace='default', name='stored')}/scale")
        assert scale["spec"] == {"replicas": 2}
        assert scale["status"] == {"replicas": 2, "selector": STATUS.selector}

    def test_the_table_shows_what_an_operator_looks_for(
        self, api: api_client.ApiClient, answered: Mapping[str, Any]
    ) -> None:
        row = next(row for row in api.table(MODULES, namespace="default") if row["Name"] == "stored")
        assert row.pop("Age") is not None
        assert row == {
            "Name": "stored",
            "Phase": "Running",
            "Ready": "2/2",
            "Stations": 500,
            "Lag": 12,
            "Config": "2/2",
            "Module": "load_prediction",
            "Output": "MODULE-OUTPUT-LOAD-PREDICTION",
            "Rate": 1000.0,
            "Reason": "WorkersReady",
        }

    def test_plain_kubectl_get_shows_six_columns(
        self, control_plane: kubernetes.ControlPlane, answered: Mapping[str, Any]
    ) -> None:
        run = control_plane.kubectl("get", "am", "stored", "-n", "default")
        head = run.stdout.splitlines()[0].split()
        assert head == ["NAME", "PHASE", "READY", "STATIONS", "LAG", "CONFIG", "AGE"]


class TestDefinition:
    def test_the_api_server_serves_what_the_types_say(self, api: api_client.ApiClient) -> None:
        served = api.get(api_client.CRDS, schema.CRD_NAME)
        (version,) = served["spec"]["versions"]
        (wanted,) = schema.crd()["spec"]["versions"]
        assert version["schema"] == json.loads(json.dumps(wanted["schema"]))

    def test_the_api_server_has_nothing_against_the_schema(self, api: api_client.ApiClient) -> None:
        served = api.get(api_client.CRDS, schema.CRD_NAME)
        conditions = {each["type"]: each["status"] for each in served["status"]["conditions"]}
        assert conditions.get("NonStructuralSchema", "False") == "False"
        assert conditions["NamesAccepted"] == "True"
