"""What is wrong, or may go wrong, with a cluster for one module: findings from facts. Pure.

A failure keeps the module from working now. A warning is something that can lose data, time or a rebuild of
the windows later. Each names the mend.
"""

import dataclasses
import enum
from collections.abc import Callable, Iterable, Iterator, Mapping

from analysis_module import spec, wiring
from analysis_worker.commands import spans
from analysis_worker.engine.records import TopicPartition
from analysis_worker.kafka import inspecting

WANTED_REPLICAS = 3
WANTED_IN_SYNC = 2


class Level(enum.IntEnum):
    """How bad a finding is."""

    OK = 0
    NOTE = 1
    WARNING = 2
    FAILURE = 3


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that was looked at: of what, what was found, and how to mend it."""

    level: Level
    subject: str
    found: str
    mend: str = ""


@dataclasses.dataclass(frozen=True)
class Case:
    """What is examined."""

    module_spec: spec.ModuleSpec
    wiring: wiring.Wiring
    facts: inspecting.ClusterFacts

    @property
    def own_topics(self) -> dict[str, str]:
        """The topics that the worker makes and writes itself, with what for."""
        own = {self.wiring.progress_topic: "progress", self.wiring.dead_letter_topic: "dead letters"}
        if self.wiring.keeps:
            own[self.wiring.last_topic] = "last records"
        if any(source.routing is spec.Routing.ALIGNED for source in self.wiring.inputs):
            own[self.wiring.strays_topic] = "strays"
        if self.wiring.output_topic is not None:
            own[self.wiring.output_topic] = "outputs"
        return own

    @property
    def read_topics(self) -> list[str]:
        """The topics that the module reads and does not write."""
        inputs = [source.topic for source in self.wiring.inputs]
        joined = [dependency.topic for dependency in self.wiring.dependencies]
        return list(dict.fromkeys((*inputs, *self.wiring.lookup_topics, *joined)))


def topics_of(resolved: wiring.Wiring) -> list[str]:
    """Every topic that has to be asked about."""
    inputs = [source.topic for source in resolved.inputs]
    joined = [dependency.topic for dependency in resolved.dependencies]
    own = [resolved.progress_topic, resolved.dead_letter_topic, resolved.strays_topic, resolved.last_topic]
    output = [resolved.output_topic] if resolved.output_topic else []
    return list(dict.fromkeys((*inputs, *resolved.lookup_topics, *joined, *own, *output)))


def diagnose(case: Case) -> list[Finding]:
    """Everything that was looked at, in the order of a walk from the brokers to the offsets."""
    checks: tuple[Callable[[Case], Iterable[Finding]], ...] = (
        _brokers,
        _security,
        _inputs,
        _dependencies,
        _own,
        _compaction,
        _partitions,
        _replication,
        _retention,
        _permissions,
        _transactions,
        _offsets,
    )
    return [finding for check in checks for finding in check(case)]


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _size(topic: inspecting.TopicFacts) -> str:
    return f"{_counted(topic.partitions, 'partition')}, {_counted(topic.replicas, 'replica')}"


def _brokers(case: Case) -> Iterator[Finding]:
    facts = case.facts
    answering = [server for server in facts.servers if server not in facts.silent]
    count = _counted(facts.brokers, "broker")
    yield Finding(Level.OK, "brokers", f"reached at {', '.join(answering)}; {count} in the cluster")
    for server, reason in facts.silent.items():
        wrong, _, mend = reason.removeprefix(f"{server}: ").partition("; ")
        yield Finding(Level.WARNING, server, wrong, mend)
    if facts.embedded:
        found = "the embedded broker: it keeps all in memory, makes topics by itself and tells little"
        yield Finding(Level.NOTE, "brokers", found, "use real brokers for anything that must last")
    elif len(facts.servers) == 1 < facts.brokers:
        found = "one server is named, though the cluster has more: a start fails while that one is away"
        yield Finding(Level.NOTE, "kafka.bootstrapServers", found, "name two or three of them")


def _security(case: Case) -> Iterator[Finding]:
    security = case.module_spec.kafka.security
    by = f" by {security.mechanism.value}" if security.mechanism else ""
    yield Finding(Level.OK, "security", f"{security.protocol.value}{by} is accepted")
    if security.protocol.value.endswith("SSL") and not security.check_hostname:
        found = "the broker's host name is not checked, so that any holder of a certificate passes for it"
        yield Finding(Level.WARNING, "kafka.security.checkHostname", found, "leave it out, or say true")


def _inputs(case: Case) -> Iterator[Finding]:
    for name in [*(source.topic for source in case.wiring.inputs), *case.wiring.lookup_topics]:
        topic = case.facts.topics.get(name)
        if topic is None and case.facts.embedded:
            yield Finding(Level.NOTE, name, "not there yet: this broker makes it when it is first named")
        elif topic is None:
            mend = f"create it: kafka-topics.sh --create --topic {name} --partitions N"
            yield Finding(Level.FAILURE, name, "the topic does not exist, or may not be seen", mend)
        else:
            yield Finding(Level.OK, name, _size(topic))


def _dependencies(case: Case) -> Iterator[Finding]:
    for dependency in case.wiring.dependencies:
        topic = case.facts.topics.get(dependency.topic)
        if topic is None:
            found = f"the outputs of {dependency.module} have no topic yet"
            yield Finding(Level.WARNING, dependency.topic, found, "start that module: it creates the topic")
        else:
            yield Finding(Level.OK, dependency.topic, _size(topic))


def _own(case: Case) -> Iterator[Finding]:
    may_create = case.facts.allowed is None or "CREATE" in case.facts.allowed
    for name, purpose in case.own_topics.items():
        topic = case.facts.topics.get(name)
        if topic is not None:
            found = f"{purpose}: {_size(topic)}"
            yield Finding(Level.OK, name, found)
        elif may_create:
            yield Finding(Level.OK, name, f"{purpose}: not there yet, the worker will create it")
        else:
            found = f"{purpose}: not there, and this user may not create topics"
            yield Finding(Level.FAILURE, name, found, "create it, or allow CREATE on it")


def _compaction(case: Case) -> Iterator[Finding]:
    kept = {case.wiring.progress_topic: "progress that is older than its retention is forgotten"}
    if case.wiring.keeps:
        kept[case.wiring.last_topic] = "records of slow topics are forgotten there too"
    for name, lost in kept.items():
        topic = case.facts.topics.get(name)
        if topic is None or topic.config is None:
            continue
        if "compact" not in topic.config.get("cleanup.policy", "compact"):
            mend = f"kafka-configs.sh --alter --topic {topic.name} --add-config cleanup.policy=compact"
            yield Finding(Level.FAILURE, topic.name, f"it is not compacted: {lost}", mend)


def _partitions(case: Case) -> Iterator[Finding]:
    """Aligned reads partition n for slot n: another count leaves slots without, or partitions unread."""
    slots = case.module_spec.partitioning.slots
    for source in case.wiring.inputs:
        topic = case.facts.topics.get(source.topic)
        if topic is None or source.routing is not spec.Routing.ALIGNED or topic.partitions == slots:
            continue
        found = f"routing is Aligned with {slots} slots, but the topic has {topic.partitions} partitions"
        mend = f"give it {slots} partitions, or say routing: Filtered"
        yield Finding(Level.FAILURE, source.topic, found, mend)


def _replication(case: Case) -> Iterator[Finding]:
    """Replicas and min.insync.replicas of all topics: what survives the loss of a broker."""
    if case.facts.embedded:
        return
    for name in (*case.read_topics, *case.own_topics):
        topic = case.facts.topics.get(name)
        if topic is not None:
            yield from _replicas(topic, case.facts.brokers)
            if topic.config is not None:
                yield from _in_sync(topic, int(topic.config.get("min.insync.replicas", 1)))


def _replicas(topic: inspecting.TopicFacts, brokers: int) -> Iterator[Finding]:
    wanted = min(WANTED_REPLICAS, brokers)
    if topic.replicas < wanted:
        found = (
            f"{topic.replicas} of {wanted} possible replicas: a lost broker stops it, or loses its records"
        )
        yield Finding(Level.WARNING, topic.name, found, "add replicas with kafka-reassign-partitions.sh")
    if topic.in_sync < topic.replicas:
        found = f"only {topic.in_sync} of {topic.replicas} replicas are in sync"
        yield Finding(Level.WARNING, topic.name, found, "look for a broker that is down or behind")


def _in_sync(topic: inspecting.TopicFacts, wanted: int) -> Iterator[Finding]:
    configure = f"kafka-configs.sh --alter --topic {topic.name} --add-config min.insync.replicas"
    if wanted > topic.replicas:
        found = f"min.insync.replicas is {wanted}, but there are {topic.replicas} replicas: no write is taken"
        yield Finding(Level.FAILURE, topic.name, found, f"add replicas, or {configure}={topic.replicas}")
    elif topic.in_sync < wanted:
        found = f"min.insync.replicas is {wanted}, in sync are {topic.in_sync}: no write is taken now"
        yield Finding(Level.FAILURE, topic.name, found, "bring the missing brokers back")
    elif topic.replicas >= WANTED_REPLICAS and wanted < WANTED_IN_SYNC:
        found = "min.insync.replicas is 1: a record acknowledged by one broker is lost with it"
        yield Finding(Level.WARNING, topic.name, found, f"{configure}={WANTED_IN_SYNC}")


def _retention(case: Case) -> Iterator[Finding]:
    """After a restart windows are rebuilt from the topic: it has to hold what a window spans."""
    for source in case.wiring.inputs:
        topic = case.facts.topics.get(source.topic)
        if topic is None or topic.config is None:
            continue
        configure = f"kafka-configs.sh --alter --topic {topic.name} --add-config"
        if "compact" in topic.config.get("cleanup.policy", "delete") and source.window_size > 1:
            found = f"compaction leaves one record a key, the window wants {source.window_size:,}"
            yield Finding(Level.WARNING, topic.name, found, f"{configure} cleanup.policy=delete")
        span, kept = spans.span_seconds(source), int(topic.config.get("retention.ms", -1)) / 1000
        if span is not None and 0 <= kept < span:
            found = (
                f"kept for {spans.worded(kept)}, the window spans {spans.worded(span)}: a rebuild falls short"
            )
            yield Finding(Level.WARNING, topic.name, found, f"{configure} retention.ms={int(span * 1000)}")


def _permissions(case: Case) -> Iterator[Finding]:
    needed: dict[str, set[str]] = {name: {"READ"} for name in case.read_topics}
    needed |= {name: {"WRITE"} for name in case.own_topics}
    for name in {case.wiring.progress_topic, case.wiring.last_topic} & case.own_topics.keys():
        needed[name] = {"READ", "WRITE"}
    for name, wanted in needed.items():
        topic = case.facts.topics.get(name)
        if topic is None or topic.allowed is None:
            continue
        missing = sorted(wanted - topic.allowed)
        if missing:
            mend = f"kafka-acls.sh --add --operation {missing[0].title()} --topic {name} ..."
            yield Finding(Level.FAILURE, name, f"this user may not {' and '.join(missing)}", mend)
    group = case.facts.group_allowed
    if group is not None and "READ" not in group:
        mend = f"kafka-acls.sh --add --operation Read --group {case.wiring.group_id} ..."
        yield Finding(Level.FAILURE, f"group {case.wiring.group_id}", "this user may not READ it", mend)
    if case.facts.topics and all(topic.allowed is None for topic in case.facts.topics.values()):
        yield Finding(Level.NOTE, "permissions", "the cluster does not tell them")


def _transactions(case: Case) -> Iterator[Finding]:
    if case.module_spec.delivery is spec.Delivery.EXACTLY_ONCE:
        subject = f"transactional ids {case.wiring.group_id}-*"
        found = "ExactlyOnce: each worker writes by one of them; whether this user may is not looked at"
        mend = f"kafka-acls.sh --add --operation Write --transactional-id {case.wiring.group_id}- "
        mend += "--resource-pattern-type prefixed ..., if the cluster asks for permissions"
        yield Finding(Level.NOTE, subject, found, mend)


def _offsets(case: Case) -> Iterator[Finding]:
    subject, committed = f"group {case.wiring.group_id}", case.facts.committed
    if committed is None:
        yield Finding(Level.NOTE, subject, "the cluster does not tell its offsets")
    elif not committed:
        start = case.module_spec.kafka.auto_offset_reset.value
        yield Finding(Level.OK, subject, f"no offset yet: the first start reads from the {start}")
    else:
        yield from _lags(case, subject, committed)


def _lags(case: Case, subject: str, committed: Mapping[TopicPartition, int]) -> Iterator[Finding]:
    behind = 0
    for (name, partition), offset in committed.items():
        topic = case.facts.topics.get(name)
        if topic is None or partition not in topic.bounds:
            continue
        first, end = topic.bounds[partition]
        behind += max(0, end - offset)
        if offset < first:
            found = f"partition {partition}: offsets {offset} to {first - 1} are deleted, though not yet done"
            yield Finding(Level.WARNING, name, found, "raise its retention; run enough workers to keep up")
        elif offset > end:
            found = f"partition {partition} ends at {end}, before the offset {offset}: it was made anew"
            yield Finding(
                Level.WARNING, name, found, "nothing if that was meant: the worker starts over there"
            )
    yield Finding(
        Level.OK, subject, f"offsets of {_counted(len(committed), 'partition')}, {behind:,} records behind"
    )
