"""What is amiss with a module's Kafka, by the operator's own look and by the workers' word."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence

from analysis_module import spec, wiring
from analysis_operator.decisions.observed import KafkaView, Report


@dataclasses.dataclass(frozen=True)
class Finding:
    """Whether Kafka serves the module (None: nobody has looked yet), and what to do about it."""

    good: bool | None
    reason: str
    message: str


def examine(
    asked: spec.ModuleSpec, wired: wiring.Wiring, view: KafkaView, reports: Sequence[Report]
) -> Finding:
    """Judge a module's Kafka; of several faults the one that must be mended first."""
    connected = [report for report in reports if report.connected]
    if view.reached is False and not connected:
        servers = ", ".join(asked.kafka.bootstrap_servers)
        mend = "check spec.kafka.bootstrapServers, spec.kafka.security and the network"
        return Finding(False, "Unreachable", f"no Kafka at {servers}: {view.error}; {mend}")
    if reports and not connected and _have_run(reports):
        mend = "see the workers' log; check spec.kafka and the network"
        return Finding(False, "Unreachable", f"{len(reports)} workers have no connection to Kafka; {mend}")
    missing = _missing(wired, view, reports)
    if missing:
        return Finding(False, "TopicsMissing", _told_missing(missing, asked, wired))
    unequal = list(_unequal(asked, wired, view, reports))
    if unequal:
        slots = asked.partitioning.slots
        mend = f"give it {slots} partitions, or set routing: Filtered for it in spec.inputs"
        wrong = f"routing Aligned needs {slots} partitions, but {', '.join(unequal)}"
        return Finding(False, "PartitionCount", f"{wrong}; {mend}")
    if view.reached is None and not connected:
        return Finding(None, "NotLookedAt", "the operator has no credentials, and no worker has told yet")
    return Finding(True, "Reachable", f"all of {len(_read_topics(wired))} topics are there")


def _have_run(reports: Iterable[Report]) -> bool:
    return any(report.state in ("running", "restoring", "failed") for report in reports)


def _read_topics(wired: wiring.Wiring) -> list[str]:
    named = [source.topic for source in wired.inputs] + [each.topic for each in wired.dependencies]
    return list(dict.fromkeys([*named, *wired.lookup_topics]))


def _missing(wired: wiring.Wiring, view: KafkaView, reports: Iterable[Report]) -> list[str]:
    told = {topic for report in reports for topic in report.missing_topics}
    if view.reached:
        told = {topic for topic in _read_topics(wired) if topic not in view.partitions}
    return [topic for topic in _read_topics(wired) if topic in told]


def _told_missing(missing: Sequence[str], asked: spec.ModuleSpec, wired: wiring.Wiring) -> str:
    aligned = {source.topic for source in wired.inputs if source.routing is spec.Routing.ALIGNED}
    outputs = {each.topic: each.module for each in wired.dependencies}
    said = []
    for topic in missing:
        if topic in outputs:
            said.append(f"{topic} (the first worker of {outputs[topic]} creates it)")
        elif topic in aligned:
            said.append(f"{topic} (with {asked.partitioning.slots} partitions, for routing Aligned)")
        else:
            said.append(topic)
    return f"topics that do not exist: {', '.join(said)}; create them, they are looked for again"


def _unequal(
    asked: spec.ModuleSpec, wired: wiring.Wiring, view: KafkaView, reports: Iterable[Report]
) -> Iterator[str]:
    told: Mapping[str, None] = dict.fromkeys(t for report in reports for t in report.misaligned_topics)
    for source in wired.inputs:
        if source.routing is not spec.Routing.ALIGNED:
            continue
        count = view.partitions.get(source.topic)
        if count is not None and count != asked.partitioning.slots:
            yield f"{source.topic} has {count}"
        elif count is None and source.topic in told:
            yield f"{source.topic} has another number"
