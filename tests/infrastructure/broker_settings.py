"""What a test broker is told: its listeners and its server.properties, as data. Starts nothing."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.infrastructure import broker_security, local_ports

PLAINTEXT = "PLAINTEXT"
CONTROLLER = "CONTROLLER"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Broker:
    """One broker: its id, files, address, and each listener's port.

    It is a controller as well, unless it is told of a `zookeeper` (host:port).
    """

    node_id: int
    directory: Path
    ports: Mapping[str, int]
    host: str = local_ports.LOOPBACK
    zookeeper: str | None = None

    @property
    def settings_file(self) -> Path:
        """Its server.properties."""
        return self.directory / "server.properties"

    @property
    def log_file(self) -> Path:
        """What it prints."""
        return self.directory / "broker.log"

    def address(self, listener: str) -> str:
        """host:port of one listener."""
        return f"{self.host}:{self.ports[listener]}"


def listeners(*, secured: bool, zookeeper: bool = False) -> tuple[str, ...]:
    """The names of the listeners of a broker."""
    controller = () if zookeeper else (CONTROLLER,)
    return (PLAINTEXT, *controller, *(broker_security.PROTOCOLS if secured else ()))


def properties(broker: Broker, brokers: Sequence[Broker]) -> dict[str, str]:
    """The settings of `broker` as one of `brokers` (Kafka documentation, "Broker Configs")."""
    return {
        **_place(broker, brokers),
        **_replication(len(brokers)),
        "auto.create.topics.enable": "false",
        "group.initial.rebalance.delay.ms": "0",
        # Records with old timestamps must not vanish under a test.
        "log.retention.ms": "-1",
        # A deleted topic gives its memory back soon; the cleaner's default would take a third of the heap.
        "log.segment.delete.delay.ms": "1000",
        "log.cleaner.dedupe.buffer.size": "8388608",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.num.partitions": "1",
    }


def render(settings: Mapping[str, str]) -> str:
    """The text of a server.properties file."""
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def _place(broker: Broker, brokers: Sequence[Broker]) -> dict[str, str]:
    protocols = {PLAINTEXT: PLAINTEXT, CONTROLLER: PLAINTEXT, **broker_security.PROTOCOLS}
    return {
        **(_beside_zookeeper(broker) if broker.zookeeper else _in_quorum(broker, brokers)),
        "listeners": ",".join(f"{name}://{broker.address(name)}" for name in broker.ports),
        "listener.security.protocol.map": ",".join(f"{name}:{protocols[name]}" for name in broker.ports),
        "inter.broker.listener.name": PLAINTEXT,
        "log.dirs": str(broker.directory / "data"),
    }


def _in_quorum(broker: Broker, brokers: Sequence[Broker]) -> dict[str, str]:
    voters = (f"{each.node_id}@{each.address(CONTROLLER)}" for each in brokers)
    return {
        "process.roles": "broker,controller",
        "node.id": str(broker.node_id),
        "controller.quorum.voters": ",".join(voters),
        "controller.listener.names": CONTROLLER,
    }


def _beside_zookeeper(broker: Broker) -> dict[str, str]:
    return {"broker.id": str(broker.node_id), "zookeeper.connect": str(broker.zookeeper)}


def _replication(count: int) -> dict[str, str]:
    replicas, in_sync = str(min(count, 3)), "2" if count >= 3 else "1"
    settings = {
        "default.replication.factor": replicas,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": replicas,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.replication.factor": replicas,
        "share.coordinator.state.topic.min.isr": in_sync,
    }
    if count > 1:
        # A killed broker is missed after 4 s instead of 9.
        settings |= {"broker.session.timeout.ms": "4000", "broker.heartbeat.interval.ms": "500"}
    return settings
