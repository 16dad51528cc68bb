"""What a cluster says of itself and of a module's topics: asked by kafka-python, kept as frozen facts.

Nothing is changed. What a cluster does not tell, because it is too old or this user may not ask, is None.
"""

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from analysis_worker.engine.records import TopicPartition
from analysis_worker.kafka import connecting, probing, synchronous
from analysis_worker.kafka.synchronous import errors, kafka_admin, structs

Answer = TypeVar("Answer")

_COORDINATOR_SECONDS = 5.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class TopicFacts:
    """A topic that exists: `replicas` and `in_sync` are the lowest over its partitions.

    `bounds` gives the first offset and the end per partition; `allowed` what this user may do there.
    """

    name: str
    partitions: int
    replicas: int
    in_sync: int
    config: Mapping[str, str] | None = None
    bounds: Mapping[int, tuple[int, int]] = dataclasses.field(default_factory=dict)
    allowed: frozenset[str] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClusterFacts:
    """A cluster that answered; `silent` says of each named server that did not why.

    `topics` holds those asked about that exist, `committed` the group's next offsets.
    """

    servers: tuple[str, ...]
    silent: Mapping[str, str]
    embedded: bool
    brokers: int
    topics: Mapping[str, TopicFacts]
    committed: Mapping[TopicPartition, int] | None = None
    allowed: frozenset[str] | None = None
    group_allowed: frozenset[str] | None = None


def inspect(connection: connecting.Connection, topics: Iterable[str]) -> ClusterFacts:
    """Ask the cluster; raises Unreachable."""
    silent, known = _probed(connection)
    client = synchronous.admin(connection)
    try:
        described = client.describe_cluster()
        return ClusterFacts(
            servers=connection.bootstrap_servers,
            silent=silent,
            embedded=probing.CREATE_TOPICS not in known,
            brokers=len(described["brokers"]),
            topics={facts.name: facts for facts in _topics(client, list(topics))},
            committed=_told(lambda: _committed(client, connection.group_id)),
            allowed=_operations(described),
            group_allowed=_told(lambda: _group_operations(client, connection.group_id)),
        )
    except (errors.KafkaError, OSError) as error:
        raise synchronous.Unreachable(f"the cluster ceased to answer: {error}; look at its log") from error
    finally:
        client.close()


def _probed(connection: connecting.Connection) -> tuple[dict[str, str], frozenset[int]]:
    """Which servers are silent and why, and the requests that the others know."""
    silent: dict[str, str] = {}
    known: frozenset[int] = frozenset()
    for server in connection.bootstrap_servers:
        try:
            known |= probing.requests_known(server, connection.security.get("ssl_context"))
        except probing.NoAnswer as error:
            silent[server] = str(error)
    return silent, known


def _told(ask: Callable[[], Answer]) -> Answer | None:
    """An answer, or None where the cluster does not give it."""
    try:
        return ask()
    except (errors.KafkaError, OSError, KeyError, TypeError):  # it stumbles over the embedded broker's nulls
        return None


def _operations(described: Mapping[str, Any]) -> frozenset[str] | None:
    allowed = described.get("authorized_operations")
    return None if allowed is None else frozenset(allowed)


def _topics(client: Any, names: list[str]) -> Iterable[TopicFacts]:
    described = [topic for topic in client.describe_topics(names) if not topic["error_code"]]
    configs = _told(lambda: _configs(client, [topic["name"] for topic in described])) or {}
    for topic in described:
        name, partitions = topic["name"], topic["partitions"]
        yield TopicFacts(
            name=name,
            partitions=len(partitions),
            replicas=min(len(part["replica_nodes"]) for part in partitions),
            in_sync=min(len(part["isr_nodes"]) for part in partitions),
            config=configs.get(name),
            bounds=_told(functools.partial(_bounds, client, name, partitions)) or {},
            allowed=_operations(topic),
        )


def _configs(client: Any, names: list[str]) -> dict[str, dict[str, str]]:
    topic_type = kafka_admin.ConfigResourceType.TOPIC
    resources = [kafka_admin.ConfigResource(topic_type, name) for name in names]
    answered = client.describe_configs(resources, config_filter="all")["topic"]
    return {
        name: {key: entry["value"] for key, entry in entries.items() if entry["value"] is not None}
        for name, entries in answered.items()
    }


def _bounds(client: Any, name: str, partitions: Iterable[Any]) -> dict[int, tuple[int, int]]:
    places = [structs.TopicPartition(name, part["partition_index"]) for part in partitions]
    first = client.list_partition_offsets(dict.fromkeys(places, kafka_admin.OffsetSpec.EARLIEST))
    end = client.list_partition_offsets(dict.fromkeys(places, kafka_admin.OffsetSpec.LATEST))
    return {place.partition: (first[place].offset, end[place].offset) for place in places}


def _committed(client: Any, group: str) -> dict[TopicPartition, int]:
    offsets = _with_coordinator(lambda: client.list_group_offsets(group))[group]
    return {
        TopicPartition(place.topic, place.partition): committed.offset
        for place, committed in offsets.items()
        if committed.offset >= 0
    }


def _group_operations(client: Any, group: str) -> frozenset[str] | None:
    return _operations(_with_coordinator(lambda: client.describe_groups([group]))[group])


def _with_coordinator(ask: Callable[[], Answer]) -> Answer:
    """Ask again while the cluster makes its first group coordinator."""
    deadline = time.monotonic() + _COORDINATOR_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(errors.CoordinatorNotAvailableError, errors.NotCoordinatorError):
            return ask()
        time.sleep(0.2)
    return ask()
