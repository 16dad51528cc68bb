"""From a spec to what runs it: an intake per topic, each with what it is to the module."""

from typing import Any

from analysis_module import catalogue, reading
from analysis_worker import assembling
from analysis_worker.engine import intake
from tests import builders

DEPENDENCIES = [{"module": "a", "topic": "A"}, {"module": "b", "topic": "B"}]
POWER = {"topic": "POWER", "fields": ["stationId", "power"], "windowSize": 3}


def assembled(**spec: Any) -> assembling.Assembly:
    return assembling.assemble(reading.read_spec({"module": "module", "inputs": [POWER], **spec}))


def test_every_module_of_the_catalogue_is_assembled_with_an_intake_for_each_topic_it_reads() -> None:
    for module in catalogue.MODULES:
        made = assembling.assemble(reading.read_spec({"module": module}))
        read = {source.topic for source in made.wiring.inputs}
        read |= {dependency.topic for dependency in made.wiring.dependencies}
        assert set(made.topics) == read | set(made.wiring.lookup_topics)
        assert all(made.topics[topic].topic == topic for topic in made.topics)


def test_inputs_are_indexed_in_the_order_of_the_wiring_and_dependencies_apart() -> None:
    price = {"topic": "PRICE", "fields": ["stationId", "price"], "windowSize": 1}
    made = assembled(inputs=[POWER, price], dependencies=DEPENDENCIES)
    assert [(t.kind, t.index) for t in made.topics.values()] == [
        (intake.Kind.INPUT, 0),
        (intake.Kind.INPUT, 1),
        (intake.Kind.DEPENDENCY, 0),
        (intake.Kind.DEPENDENCY, 1),
    ]


def test_a_global_topic_is_shared_and_does_not_trigger() -> None:
    made = assembled(inputs=[POWER, {**POWER, "topic": "DAYS", "scope": "Global"}])
    assert (made.topics["DAYS"].shared, made.topics["DAYS"].trigger) == (True, False)
    assert (made.topics["POWER"].shared, made.topics["POWER"].trigger) == (False, True)


def test_a_topic_that_leads_to_stations_is_read_for_its_devices_though_it_is_no_input() -> None:
    metered = {**POWER, "stationKey": {"via": builders.PARAM}}
    made = assembled(inputs=[metered])
    assert made.topics["POWER"].via == builders.PARAM
    assert made.topics[builders.PARAM].kind is intake.Kind.DEVICES
    assert made.topics[builders.PARAM].teaches


def test_an_input_that_leads_other_inputs_to_stations_teaches_as_well() -> None:
    named = {"topic": builders.PARAM, "fields": ["stationId", "hostId"], "windowSize": 1}
    made = assembled(inputs=[{**POWER, "stationKey": {"via": builders.PARAM}}, named])
    assert made.topics[builders.PARAM].kind is intake.Kind.INPUT
    assert made.topics[builders.PARAM].teaches
    assert not made.topics["POWER"].teaches


def test_only_a_module_with_aligned_inputs_reads_its_strays_each_as_from_its_origin() -> None:
    assert "module-strays" not in assembled().topics
    made = assembled(partitioning={"routing": "Aligned"})
    strays = made.topics["module-strays"]
    assert made.topics["POWER"].aligned
    assert strays.kind is intake.Kind.STRAYS
    assert [(name, source.aligned) for name, source in strays.strayed.items()] == [("POWER", False)]


def test_the_engines_settings_are_the_specs() -> None:
    made = assembled(
        expireAfterSeconds=1.5,
        partitioning={"slots": 8},
        stations={"exclude": ["X*"]},
        trigger={"requiredTopics": ["POWER"]},
    )
    settings = made.engine_settings
    assert (settings.expire_after_ms, settings.slots) == (1_500, 8)
    assert (settings.stations.exclude, settings.required_topics) == (("X*",), ("POWER",))
    assert len(settings.readers) == len(made.wiring.inputs) == 1
