"""From a module's spec to what runs it: wiring, decoders, engine settings, topic intakes; no I/O."""

import dataclasses

from analysis_module import catalogue, spec, wiring
from analysis_worker.engine import intake
from analysis_worker.engine.engine import EngineSettings
from analysis_worker.kafka import decoding


@dataclasses.dataclass(frozen=True)
class Assembly:
    """One module, ready to run: `topics` has an intake for every topic that is read."""

    module_spec: spec.ModuleSpec
    wiring: wiring.Wiring
    engine_settings: EngineSettings
    topics: dict[str, intake.TopicIntake]


def assemble(module_spec: spec.ModuleSpec) -> Assembly:
    """Everything a spec asks for; raises InvalidSpec with all problems."""
    resolved = catalogue.resolve(module_spec)
    taught = {source.station_key.via for source in resolved.inputs if source.station_key.via}
    decoders = [decoding.InputDecoder(source) for source in resolved.inputs]
    topics: dict[str, intake.TopicIntake] = {}
    for index, (source, decoder) in enumerate(zip(resolved.inputs, decoders, strict=True)):
        topics[source.topic] = intake.TopicIntake(
            topic=source.topic,
            kind=intake.Kind.INPUT,
            decoder=decoder,
            index=index,
            trigger=source.trigger,
            shared=source.scope is spec.Scope.GLOBAL,
            via=source.station_key.via,
            teaches=source.topic in taught,
            aligned=source.routing is spec.Routing.ALIGNED,
            keep=source.window_size if source.keep_last else 0,
        )
    for index, dependency in enumerate(resolved.dependencies):
        topics[dependency.topic] = intake.TopicIntake(
            topic=dependency.topic,
            kind=intake.Kind.DEPENDENCY,
            decoder=decoding.OutputDecoder(),
            index=index,
            trigger=dependency.trigger,
        )
    for topic in resolved.lookup_topics:
        topics[topic] = _devices_intake(topic, keep=int(topic in resolved.kept_lookups))
    aligned = {topic: source for topic, source in topics.items() if source.aligned}
    if aligned:
        topics[resolved.strays_topic] = _strays_intake(resolved.strays_topic, aligned)
    settings = EngineSettings(
        wiring=resolved,
        readers=tuple(decoder.readers for decoder in decoders),
        slots=module_spec.partitioning.slots,
        expire_after_ms=int(module_spec.expire_after_seconds * 1000),
        required_topics=module_spec.trigger.required_topics,
        stations=module_spec.stations,
    )
    return Assembly(module_spec, resolved, settings, topics)


def _devices_intake(topic: str, *, keep: int) -> intake.TopicIntake:
    """A `via` topic that is no input: read for the device ids that it names."""
    source = wiring.InputWiring(
        topic=topic,
        fields=(wiring.FieldWiring("hostId", array=True), wiring.FieldWiring("meterId", array=True)),
        window_size=1,
        station_key=spec.StationKey(fields=("stationId", "station_id")),
    )
    return intake.TopicIntake(
        topic=topic,
        kind=intake.Kind.DEVICES,
        decoder=decoding.InputDecoder(source),
        trigger=False,
        teaches=True,
        keep=keep,
    )


def _strays_intake(topic: str, aligned: dict[str, intake.TopicIntake]) -> intake.TopicIntake:
    """The module's own topic of strays, read by every shard, each record as if it came from its origin."""
    return intake.TopicIntake(
        topic=topic,
        kind=intake.Kind.STRAYS,
        decoder=decoding.OutputDecoder(),
        strayed={name: dataclasses.replace(source, aligned=False) for name, source in aligned.items()},
    )
