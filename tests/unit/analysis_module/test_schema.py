"""The CRD says what the types say: fields, bounds, defaults; and every rule has words that help."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from analysis_module import (
    cel,
    names,
    reading,
    rules,
    schema,
    schema_rules,
    schema_wiring_rules,
    shape,
    spec,
    status,
)

CRD = schema.crd()
(VERSION,) = CRD["spec"]["versions"]
ROOT = VERSION["schema"]["openAPIV3Schema"]
SPEC, STATUS = ROOT["properties"]["spec"], ROOT["properties"]["status"]


def places(node: Mapping[str, Any], path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every place of a schema with its path: `[]` for items of a list, `{}` for values of a mapping."""
    yield path, node
    if "x-kubernetes-preserve-unknown-fields" in node:
        return
    for name, inner in node.get("properties", {}).items():
        yield from places(inner, f"{path}.{name}")
    if "items" in node:
        yield from places(node["items"], f"{path}[]")
    if "additionalProperties" in node:
        yield from places(node["additionalProperties"], f"{path}{{}}")


def members(part: type, path: str) -> Iterator[tuple[str, shape.Member]]:
    """Every field of the types with its path."""
    for member in shape.members(part):
        here = f"{path}.{member.name}"
        yield here, member
        item = shape.item_of(member.hint)
        if shape.is_part(item):
            yield from members(item, f"{here}[]")
        elif shape.is_part(member.hint):
            yield from members(member.hint, here)


BY_PATH = dict(places(SPEC, "spec"))
FIELDS = dict(members(spec.ModuleSpec, "spec"))
LEAVES = {path: member for path, member in FIELDS.items() if not shape.is_part(member.hint)}
ENTRIES = [
    (path, entry) for path, node in places(ROOT, "") for entry in node.get("x-kubernetes-validations", ())
]
RULES = [
    rule
    for found in (schema_rules.PARTS, schema_rules.PLACES, schema_wiring_rules.PARTS)
    for rules_of_one in found.values()
    for rule in rules_of_one
]


def filled(node: Mapping[str, Any], value: Any) -> Any:
    """A value with the defaults of its schema, as the API server fills them."""
    if isinstance(value, dict):
        inner = node.get("properties", {})
        defaults = {name: each["default"] for name, each in inner.items() if "default" in each}
        return {name: filled(inner.get(name, {}), each) for name, each in {**defaults, **value}.items()}
    if isinstance(value, list):
        return [filled(node.get("items", {}), each) for each in value]
    return value


class TestFields:
    def test_the_schema_has_the_fields_of_the_types_and_no_others(self) -> None:
        named = {path for path in BY_PATH if not path.endswith(("[]", "{}"))} - {"spec"}
        assert named == set(shape.field_changes())

    @pytest.mark.parametrize(("path", "member"), FIELDS.items(), ids=FIELDS)
    def test_a_field_is_described(self, path: str, member: shape.Member) -> None:
        assert len(BY_PATH[path]["description"]) > 8
        assert "seed system" not in BY_PATH[path]["description"]

    @pytest.mark.parametrize(("path", "member"), FIELDS.items(), ids=FIELDS)
    def test_a_field_is_required_if_its_type_says_so(self, path: str, member: shape.Member) -> None:
        parent, _, name = path.rpartition(".")
        assert (name in BY_PATH[parent].get("required", ())) is member.required

    def test_enums_are_those_of_the_types(self) -> None:
        assert BY_PATH["spec.padding"]["enum"] == ["Zero", "Linear", "Forward", "Missing"]
        assert BY_PATH["spec.inputs[].dtypes{}"]["enum"] == ["float64", "float32"]

    @pytest.mark.parametrize(
        ("path", "member"),
        [(path, member) for path, member in LEAVES.items() if member.hint in (int, float)],
    )
    def test_a_number_has_the_bounds_of_its_type(self, path: str, member: shape.Member) -> None:
        metadata = member.field.metadata
        bounds = (BY_PATH[path]["minimum"], BY_PATH[path]["maximum"])
        assert bounds == (metadata["minimum"], metadata["maximum"])

    def test_every_text_is_bounded(self) -> None:
        texts = {path: node for path, node in BY_PATH.items() if node["type"] == "string"}
        loose = [path for path, node in texts.items() if "enum" not in node and "maxLength" not in node]
        assert loose == []
        assert BY_PATH["spec.callback.source"]["maxLength"] == 1_000_000

    def test_a_form_holds_for_the_whole_text(self) -> None:
        patterns = {path: node["pattern"] for path, node in BY_PATH.items() if "pattern" in node}
        assert len(patterns) > 10
        assert [path for path, each in patterns.items() if not re.fullmatch(r"\^\(\?:.*\)\$", each)] == []

    def test_a_form_is_told_in_words(self) -> None:
        assert "package.module:function" in BY_PATH["spec.callback.entrypoint"]["description"]

    def test_a_secret_has_no_pattern_because_the_api_server_would_show_its_value(self) -> None:
        secrets = {path: node for path, node in BY_PATH.items() if ".security.password" in path}
        assert len(secrets) == 5
        assert [path for path, node in secrets.items() if "pattern" in node] == []
        assert "pattern" not in BY_PATH["spec.state.snapshots.url"]

    def test_every_list_and_every_object_of_the_users_own_is_bounded(self) -> None:
        lists = {path for path, node in BY_PATH.items() if node["type"] == "array"}
        objects = {
            path for path, node in BY_PATH.items() if node["type"] == "object" and "properties" not in node
        }
        free = {path for path, node in BY_PATH.items() if "x-kubernetes-preserve-unknown-fields" in node}
        assert all(BY_PATH[path]["maxItems"] > 0 for path in lists)
        assert all(BY_PATH[path]["maxProperties"] > 0 for path in objects | free)
        assert lists | objects | free == set(schema.MOST)

    def test_a_list_of_texts_is_a_set_and_a_list_of_parts_has_a_key(self) -> None:
        lists = {path: node for path, node in BY_PATH.items() if node["type"] == "array"}
        parts = {path for path, node in lists.items() if node["items"]["type"] == "object"}
        assert {path: lists[path]["x-kubernetes-list-map-keys"] for path in parts} == {
            "spec.inputs": ["topic"],
            "spec.dependencies": ["module"],
        }
        assert {lists[path]["x-kubernetes-list-type"] for path in set(lists) - parts} == {"set"}

    def test_every_call_gives_an_object_of_its_own(self) -> None:
        first = schema.crd()
        first["spec"]["versions"].clear()
        assert schema.crd() == CRD


class TestDefaults:
    @pytest.mark.parametrize(("path", "member"), LEAVES.items(), ids=LEAVES)
    def test_a_leaf_has_its_default_unless_absence_means_something(
        self, path: str, member: shape.Member
    ) -> None:
        absent = member.required or member.nullable or path in schema.OPERATORS_OWN
        assert ("default" in BY_PATH[path]) is not absent
        if not absent:
            read = BY_PATH[path]["default"]
            wanted = member.default()
            assert (tuple(read) if isinstance(wanted, tuple) else read) == wanted

    def test_no_part_is_made_when_it_is_absent_but_the_workers(self) -> None:
        made = {path for path, member in FIELDS.items() if shape.is_part(member.hint)}
        assert {path for path in made if "default" in BY_PATH[path]} == {"spec.workers"}

    def test_the_operators_kafka_settings_may_stand_in_for_what_is_left_out(self) -> None:
        document = {"module": "load_prediction", "kafka": {"groupId": "g"}}
        assert not {"bootstrapServers", "security", "consumer", "producer"} & set(
            filled(SPEC, document)["kafka"]
        )

    @pytest.mark.parametrize(
        "document",
        [
            {"module": "load_prediction"},
            {"module": "load_prediction", **{name: {} for name in ("kafka", "stations", "trigger")}},
            {"module": "load_prediction", **{name: {} for name in ("callback", "output", "errors")}},
            {"module": "load_prediction", "errors": {"breaker": {}}, "observability": {}, "partitioning": {}},
            {"module": "load_prediction", "kafka": {"security": {}}, "workers": {"autoscaling": {}}},
            {"module": "load_prediction", "state": {}},
            {"module": "load_prediction", "state": {"snapshots": {"url": "s3://bucket"}}},
            {
                "module": "any",
                "inputs": [{"topic": "T", "fields": ["a"], "windowSize": 1, "stationKey": {}}],
                "dependencies": [{"module": "pv_prediction"}],
                "callback": {"configMapRef": {"name": "c"}},
            },
        ],
    )
    def test_defaults_written_out_mean_the_same(self, document: dict[str, Any]) -> None:
        assert reading.read_spec(filled(SPEC, document)) == reading.read_spec(document)

    def test_replicas_are_there_in_the_shortest_resource(self) -> None:
        assert filled(SPEC, {"module": "load_prediction"})["workers"]["replicas"] == 1


class TestRules:
    def test_there_are_many(self) -> None:
        assert len(RULES) > 50

    def test_all_of_them_are_in_the_schema(self) -> None:
        written = [entry["rule"] for _, entry in ENTRIES]
        assert {rule.rule for rule in RULES} <= set(written)

    @pytest.mark.parametrize("message", dict.fromkeys(entry["message"] for _, entry in ENTRIES))
    def test_a_message_begins_with_the_field_and_ends_with_the_mend(self, message: str) -> None:
        wrong, _, mend = message.partition("; ")
        field = wrong.split()[0].rstrip(",:")
        known = {path.rpartition(".")[2] for path in FIELDS} | {"metadata.name"}
        assert field in known
        assert re.match(r"(give|say|list|name|remove|lower|leave|make|keep|add)\b", mend)

    @pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.message[:50])
    def test_a_message_with_values_says_the_same(self, rule: cel.Rule) -> None:
        if rule.shown:
            assert rule.message.split()[0] in rule.shown
            assert rule.message.rpartition("; ")[2].split(",")[0] in rule.shown

    @pytest.mark.parametrize(("path", "entry"), ENTRIES, ids=lambda value: str(value)[:60])
    def test_a_rule_points_at_a_field_that_exists(self, path: str, entry: Mapping[str, str]) -> None:
        if "fieldPath" in entry and "podTemplate" not in path:
            assert f"{path}{entry['fieldPath']}".removeprefix(".") in BY_PATH

    @pytest.mark.parametrize("part", dict.fromkeys(rule.part for rule in rules.ALL))
    def test_every_part_with_a_rule_of_reading_has_one_here(self, part: type) -> None:
        known = {*schema_rules.PARTS, *schema_wiring_rules.PARTS}
        servers = "spec.kafka.bootstrapServers[]" in schema_rules.PLACES
        assert part in known or (part is spec.Kafka and servers)

    def test_every_place_with_rules_exists(self) -> None:
        assert set(schema_rules.PLACES) - {""} <= set(BY_PATH)
        assert set(schema_rules.KNOWN_INSIDE) <= set(BY_PATH)

    @pytest.mark.parametrize("path", ["spec.module", "spec.kafka.groupId", "spec.partitioning.slots"])
    def test_what_names_the_progress_cannot_change(self, path: str) -> None:
        fixed = [
            f"{place}{entry.get('fieldPath', '')}".removeprefix(".")
            for place, entry in ENTRIES
            if "oldSelf" in entry["rule"]
        ]
        assert path in fixed

    def test_a_text_in_cel_keeps_its_quotes_and_backslashes(self) -> None:
        assert cel.text('a"\\.b') == '"a\\"\\\\.b"'


class TestStatus:
    def test_the_schema_has_the_fields_of_the_types_and_no_others(self) -> None:
        named = {path for path, _ in places(STATUS, "status") if not path.endswith("[]")} - {"status"}
        assert named == {path for path, _ in members(status.ModuleStatus, "status")}

    def test_every_field_is_described(self) -> None:
        silent = [path for path, node in places(STATUS, "status") if not node.get("description")]
        assert [path for path in silent if not path.endswith("[]")] == []

    def test_conditions_are_told_apart_by_type(self) -> None:
        conditions = STATUS["properties"]["conditions"]
        assert conditions["x-kubernetes-list-map-keys"] == ["type"]
        assert conditions["items"]["properties"]["status"]["enum"] == ["True", "False", "Unknown"]

    def test_a_condition_of_a_later_operator_is_not_refused(self) -> None:
        assert "enum" not in STATUS["properties"]["conditions"]["items"]["properties"]["type"]
        assert "enum" not in STATUS["properties"]["phase"]


class TestVersion:
    def test_names_are_those_that_all_programs_use(self) -> None:
        assert CRD["metadata"]["name"] == f"{names.PLURAL}.{names.API_GROUP}"
        assert (VERSION["name"], VERSION["served"], VERSION["storage"]) == (names.API_VERSION, True, True)

    def test_every_path_of_a_subresource_or_column_leads_to_a_field(self) -> None:
        paths = [column["jsonPath"] for column in VERSION["additionalPrinterColumns"]]
        paths += VERSION["subresources"]["scale"].values()
        known = {f".{path}" for path, _ in places(SPEC, "spec")}
        known |= {f".{path}" for path, _ in places(STATUS, "status")}
        plain = {re.sub(r"\[\?.*\]", "[]", path) for path in paths}
        assert plain - known == {".metadata.creationTimestamp"}
