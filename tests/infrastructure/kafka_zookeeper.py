"""The ZooKeeper that brokers before Kafka 3.3 need, out of the same jars as they."""

import re
from pathlib import Path

from tests.infrastructure import guarded_process, kafka_distribution, kafka_starting, local_ports

KRAFT_SINCE = (3, 3)
"""The first Kafka whose documentation calls KRaft fit for production."""


def is_needed(version: str) -> bool:
    """Whether brokers of a Kafka version, such as "2.8.2", get one here."""
    return tuple(map(int, re.findall(r"\d+", version)[:2])) < KRAFT_SINCE


class ZooKeeper:
    """One server on a port that the kernel chose, from `start` to `stop`; its files are in `directory`."""

    def __init__(self, jars: Path, directory: Path, host: str = local_ports.LOOPBACK) -> None:
        self._jars = jars
        self._directory = directory
        self._host = host
        self._port: local_ports.ReservedPort | None = None
        self._process: guarded_process.GuardedProcess | None = None

    @property
    def address(self) -> str:
        """host:port; raises AssertionError before `start`."""
        assert self._port is not None
        return f"{self._host}:{self._port.number}"

    def start(self) -> None:
        """Starts it and returns when it listens; raises KafkaDidNotStart."""
        self._directory.mkdir()
        self._port = local_ports.ReservedPort(self._host)
        settings = {
            "dataDir": self._directory / "data",
            "clientPortAddress": self._host,
            "clientPort": self._port.number,
            "admin.enableServer": "false",  # it would want port 8080
        }
        file = self._directory / "zookeeper.properties"
        file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        java = kafka_distribution.command(self._jars, "-Xmx128m", "-XX:TieredStopAtLevel=1")
        self._process = guarded_process.GuardedProcess(
            [*java, "org.apache.zookeeper.server.quorum.QuorumPeerMain", str(file)],
            log_file=self._directory / "zookeeper.log",
            scratch=self._directory,
        )
        kafka_starting.until_listening(self._process, "ZooKeeper", [self._port.number], self._host)

    def stop(self) -> None:
        """Kills it and gives its port back. May be called twice."""
        if self._process is not None:
            self._process.kill()
        if self._port is not None:
            self._port.release()
