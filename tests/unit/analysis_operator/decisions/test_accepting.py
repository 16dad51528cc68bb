"""What is accepted and what is not, and how the operator's Kafka settings fill what is left out."""

from typing import Any

import pytest

from analysis_module import errors, reading, spec
from analysis_operator.decisions import accepting
from analysis_operator.decisions.accepting import Accepted, Refused
from analysis_operator.decisions.observed import Callback, Neighbours, Observed
from analysis_operator.decisions.options import Options
from tests.unit.analysis_operator import fleets

DEFAULTS = {
    "bootstrapServers": ["default:9092"],
    "security": {"protocol": "SSL"},
    "consumer": {"fetch_max_bytes": 1},
    "producer": {"linger_ms": 2},
}


def kafka(own: Any, defaults: Any = DEFAULTS) -> spec.Kafka:
    document = {"module": "numbered", "inputs": fleets.INPUTS, "kafka": own}
    return accepting.read(document, Options(kafka=defaults)).kafka


def accept(
    document: Any = fleets.SHORTEST, options: Options | None = None, **seen: Any
) -> Accepted | Refused:
    return accepting.accept(Observed(module=fleets.a_module(document), **seen), options or Options())


def refused(*arguments: Any, **seen: Any) -> Refused:
    outcome = accept(*arguments, **seen)
    assert isinstance(outcome, Refused)
    return outcome


class TestKafkaDefaults:
    @pytest.mark.parametrize(
        "own", [None, {}, {"bootstrapServers": None}, {"bootstrapServers": []}, {"bootstrapServers": ""}]
    )
    def test_fill_what_is_absent_or_empty(self, own: Any) -> None:
        assert kafka(own).bootstrap_servers == ("default:9092",)

    def test_fill_key_by_key(self) -> None:
        own = kafka({"bootstrapServers": ["own:9092"], "groupId": "g"})
        assert own.bootstrap_servers == ("own:9092",)
        assert own.group_id == "g"
        assert own.security.protocol == "SSL"
        assert (own.consumer, own.producer) == ({"fetch_max_bytes": 1}, {"linger_ms": 2})

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("bootstrapServers", ["own:1"]),
            ("security", {"protocol": "PLAINTEXT"}),
            ("consumer", {"fetch_max_bytes": 9}),
            ("producer", {"acks": "all"}),
        ],
    )
    def test_never_override_nor_mix_into_what_the_module_says(self, name: str, value: Any) -> None:
        assert kafka({name: value}, DEFAULTS) == kafka({**DEFAULTS, name: value}, {})

    def test_fill_a_spec_without_kafka_at_all(self) -> None:
        document = {"module": "numbered", "inputs": fleets.INPUTS}
        read = accepting.read(document, Options(kafka=DEFAULTS))
        assert read.kafka.bootstrap_servers == ("default:9092",)

    def test_leave_the_document_itself_as_it_was(self) -> None:
        document = {"module": "numbered", "kafka": {}}
        accepting.filled(document, Options(kafka=DEFAULTS))
        assert document == {"module": "numbered", "kafka": {}}

    @pytest.mark.parametrize("document", [None, [], "x", {"kafka": "x"}, {"kafka": ["x"]}])
    def test_do_not_hide_what_is_wrong(self, document: Any) -> None:
        assert accepting.filled(document, Options(kafka=DEFAULTS)) == document
        with pytest.raises(errors.InvalidSpec):
            accepting.read(document, Options(kafka=DEFAULTS))

    def test_absent_a_module_without_servers_is_refused_with_the_mend(self) -> None:
        outcome = refused(fleets.a_spec(kafka=None))
        assert outcome.reason == "InvalidSpec"
        assert outcome.problems == (
            "spec.kafka.bootstrapServers: is missing; give host:port, or set kafka.bootstrapServers in the "
            "operator's values",
        )


class TestAccepted:
    def test_the_workers_are_told_nothing_that_means_nothing_to_them(self) -> None:
        outcome = accept(fleets.SPECS["a pod template"])
        assert isinstance(outcome, Accepted)
        assert outcome.asked.workers.pod_template != {}
        assert outcome.assigned.workers == spec.Workers()
        assert outcome.assigned.suspend is False

    def test_the_text_of_a_callbacks_configmap_goes_to_the_workers(self) -> None:
        document = fleets.a_spec(callback={"configMapRef": {"name": "code"}, "function": "run"})
        outcome = accept(document, callback=Callback(text="def run(s, m): pass"))
        assert isinstance(outcome, Accepted)
        assert outcome.assigned.callback == spec.Callback(source="def run(s, m): pass", function="run")

    def test_the_wiring_is_resolved(self) -> None:
        outcome = accept()
        assert isinstance(outcome, Accepted)
        assert outcome.wiring.output_topic == "MODULE-OUTPUT-NUMBERED"


class TestRefused:
    def test_every_problem_of_spec_pod_template_and_resources_is_told(self) -> None:
        outcome = refused(
            fleets.a_spec(
                workers={
                    "podTemplate": {"spec": {"hostPID": True}},
                    "resources": {"limits": {"cpu": "lots"}},
                },
                kafka=None,
            )
        )
        assert [problem.split(":")[0] for problem in outcome.problems] == [
            "spec.kafka.bootstrapServers",
            "spec.workers.podTemplate.spec.hostPID",
            "spec.workers.resources.limits.cpu",
        ]

    @pytest.mark.parametrize("resources", [{"requests": "lots"}, {"limits": 5}, {"cpu": 1}, {"claims": {}}])
    def test_malformed_resources_are_refused_and_not_tripped_over(self, resources: Any) -> None:
        outcome = refused(fleets.with_workers(resources=resources))
        assert outcome.problems[0].startswith("spec.workers.resources.")

    def test_a_bad_spec_is_told_before_anything_about_neighbours(self) -> None:
        neighbours = Neighbours(cycle=("a/a",), conflicts=(("spec.output.topic", "b/b"),))
        assert refused(fleets.a_spec(module="?"), neighbours=neighbours).reason == "InvalidSpec"
        assert refused(neighbours=neighbours).reason == "DependencyCycle"

    def test_every_conflict_is_told(self) -> None:
        conflicts = (("spec.kafka.groupId", "a/a"), ("spec.output.topic", "b/b"))
        assert len(refused(neighbours=Neighbours(conflicts=conflicts)).problems) == 2

    @pytest.mark.parametrize(
        "document",
        [
            fleets.a_spec(callback={"source": "#" * 999_999}),
            fleets.a_spec(callback={"source": "阿" * 200_000}),
            fleets.a_spec(callback={"parameters": {"table": "x" * 999_999}}),
        ],
        ids=["long", "Chinese", "parameters"],
    )
    def test_what_no_configmap_holds_is_refused_by_the_size_of_its_json(self, document: Any) -> None:
        outcome = refused(document)
        assert outcome.reason == "TooLarge"
        assert "bytes as JSON, more than a ConfigMap can carry" in outcome.problems[0]

    def test_a_callback_that_a_configmap_holds_is_measured_too(self) -> None:
        document = fleets.SPECS["a callback in a ConfigMap"]
        assert refused(document, callback=Callback(text="#" * 1_000_000)).reason == "TooLarge"


@pytest.mark.parametrize(
    ("document", "slots"),
    [
        ({}, 64),
        ({"partitioning": {"slots": 8}}, 8),
        ({"partitioning": {"slots": "8"}}, 64),
        ({"partitioning": {"slots": -1}}, 64),
        ({"partitioning": []}, 64),
    ],
)
def test_the_slots_of_any_document_are_known(document: Any, slots: int) -> None:
    assert accepting.slots_of(document) == slots


@pytest.mark.parametrize(
    ("document", "name"),
    [
        ({}, None),
        ({"callback": {"configMapRef": {"name": "code"}}}, "code"),
        ({"callback": {"configMapRef": {"name": 5}}}, None),
        ({"callback": {"configMapRef": "code"}}, None),
        ({"callback": "code"}, None),
    ],
)
def test_the_configmap_that_any_document_refers_to_is_known(document: Any, name: str | None) -> None:
    assert accepting.configured(document, Options()) == name
    assert accepting.configured(document, Options(allow_inline_source=False)) is None


def test_the_operators_reading_is_the_resources_own_but_for_the_defaults() -> None:
    for document in fleets.SPECS.values():
        assert accepting.read(document, Options()) == reading.read_spec(document)
