"""A real Kafka cluster on this machine: brokers, of an old version beside ZooKeeper, started and ended here.

From a shell: `python -m tests.infrastructure.kafka_cluster --brokers 1` prints the addresses and runs until
Ctrl-C or SIGTERM.
"""

import argparse
import contextlib
import dataclasses
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import kafka

from tests.infrastructure import (
    broker_security,
    broker_settings,
    guarded_process,
    kafka_connections,
    kafka_distribution,
    kafka_starting,
    kafka_storage,
    kafka_zookeeper,
    local_ports,
    waiting,
)

STOP_TIMEOUT_SECONDS = 30.0
ROOM_BYTES = 4 * 2**30
"""Free space that the memory file system must have to take the brokers' data."""


@dataclasses.dataclass(frozen=True)
class KafkaEndpoint:
    """Where a cluster is that a test uses but does not own: host:port, with commas between several."""

    bootstrap_servers: str


class KafkaCluster:
    """Brokers with the ids 0 .. brokers-1, each a broker and a controller, on ports that the kernel chose.

    `version` is another Kafka than that of pom.xml; before 3.3 a ZooKeeper stands beside the brokers.
    `secured` adds listeners with SASL and TLS beside the plain one; `overrides` are broker settings laid over
    ours; `data_root` is where the data go (default: memory if it has room, else the temporary directory);
    `host` is the address of this machine that they listen at and by which clients know them.
    Data live from `start` to `stop`. Topics are never created by themselves. The brokers end with the process
    that started them, whatever ends it.
    """

    def __init__(
        self,
        brokers: int = 1,
        *,
        version: str | None = None,
        secured: bool = False,
        overrides: Mapping[str, str] | None = None,
        data_root: Path | None = None,
        host: str = local_ports.LOOPBACK,
    ) -> None:
        if brokers < 1:
            raise ValueError(f"brokers: {brokers} is too few; ask for 1 or 3")
        self._count = brokers
        self._version = version or kafka_distribution.version()
        self._secured = secured
        self._overrides = dict(overrides or {})
        self._data_root = data_root
        self._host = host
        self._directory: Path | None = None
        self._security: broker_security.Security | None = None
        self._zookeeper: kafka_zookeeper.ZooKeeper | None = None
        self._ports: list[local_ports.ReservedPort] = []
        self._brokers: list[broker_settings.Broker] = []
        self._processes: dict[int, guarded_process.GuardedProcess] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Starts all brokers and returns when each of them serves.

        Raises KafkaDidNotStart with the end of the log, `programs.Unavailable` without Java or Maven.
        """
        if self._directory is not None:
            raise RuntimeError("the cluster was started before; call stop() first")
        jars = self._jars
        try:
            self._lay_out()
            if self._zookeeper is None:
                kafka_storage.format_all(jars, self._brokers, self._security)
            for broker in self._brokers:
                self._launch(broker)
            self._wait_until_serving(self._brokers)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Kills the brokers, forgets their data, gives the ports back. May be called twice."""
        for process in self._processes.values():
            process.kill()
        self._processes.clear()
        if self._zookeeper is not None:
            self._zookeeper.stop()
            self._zookeeper = None
        for port in self._ports:
            port.release()
        self._ports.clear()
        self._brokers.clear()
        if self._directory is not None:
            shutil.rmtree(self._directory)
            self._directory = None

    def kill(self, broker: int) -> None:
        """Kills one broker (SIGKILL), as a lost machine would; its data stay for `restart`."""
        self._processes[broker].kill()

    def restart(self, broker: int) -> None:
        """Starts one broker again on its data and ports, ending it in order first if it runs.

        Returns when it serves again; raises KafkaDidNotStart.
        """
        self._processes[broker].terminate(timeout_seconds=STOP_TIMEOUT_SECONDS)
        self._launch(self._brokers[broker])
        self._wait_until_serving([self._brokers[broker]])

    def restore(self) -> None:
        """Restarts each broker that does not run."""
        for broker, process in self._processes.items():
            if not process.is_running():
                self.restart(broker)

    @property
    def running(self) -> frozenset[int]:
        """The ids of the brokers whose processes run."""
        return frozenset(each for each, process in self._processes.items() if process.is_running())

    @property
    def directory(self) -> Path:
        """Where data, settings and logs are; gone after `stop`. Raises RuntimeError before `start`."""
        if self._directory is None:
            raise RuntimeError("the cluster is not started; call start() first")
        return self._directory

    @property
    def bootstrap_servers(self) -> str:
        """The plain listeners of all brokers, host:port with commas between; raises as `directory`."""
        return self._addresses(broker_settings.PLAINTEXT)

    @property
    def sasl_bootstrap_servers(self) -> str:
        """SASL_PLAINTEXT with PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512; raises RuntimeError unless secured."""
        return self._addresses(broker_security.SASL)

    @property
    def sasl_ssl_bootstrap_servers(self) -> str:
        """SASL_SSL with the same mechanisms; raises RuntimeError unless secured."""
        return self._addresses(broker_security.SASL_TLS)

    @property
    def ssl_bootstrap_servers(self) -> str:
        """SSL, asking the client for no certificate; raises RuntimeError unless secured."""
        return self._addresses(broker_security.TLS)

    @property
    def mutual_tls_bootstrap_servers(self) -> str:
        """SSL, demanding a certificate of the client; raises RuntimeError unless secured."""
        return self._addresses(broker_security.MUTUAL_TLS)

    @property
    def security(self) -> broker_security.Security:
        """User, password, CA file and client certificate; raises RuntimeError unless secured and started."""
        if self._security is None:
            raise RuntimeError("no secured listeners here; make it KafkaCluster(secured=True) and start it")
        return self._security

    def log_tail(self, broker: int, lines: int = 40) -> str:
        """The last lines that one broker printed."""
        return self._processes[broker].log_tail(lines)

    def _addresses(self, listener: str) -> str:
        if listener in broker_security.PROTOCOLS:
            assert self.security
        assert self.directory
        return ",".join(broker.address(listener) for broker in self._brokers)

    @property
    def _jars(self) -> Path:
        return kafka_distribution.jars(self._version)

    def _lay_out(self) -> None:
        root = self._data_root or _roomy_root()
        self._directory = Path(tempfile.mkdtemp(prefix="station-analysis-kafka-", dir=root))
        self._security = broker_security.make(self._directory) if self._secured else None
        if kafka_zookeeper.is_needed(self._version):
            self._zookeeper = kafka_zookeeper.ZooKeeper(self._jars, self._directory / "zookeeper", self._host)
            self._zookeeper.start()
        for node_id in range(self._count):
            self._brokers.append(self._broker(node_id, self._directory / f"broker-{node_id}"))
        for broker in self._brokers:
            settings = broker_settings.properties(broker, self._brokers)
            if self._security is not None:
                settings |= broker_security.properties(self._security)
            broker.settings_file.write_text(broker_settings.render(settings | self._overrides))

    def _broker(self, node_id: int, directory: Path) -> broker_settings.Broker:
        zookeeper = self._zookeeper.address if self._zookeeper else None
        names = broker_settings.listeners(secured=self._secured, zookeeper=zookeeper is not None)
        ports = {name: local_ports.ReservedPort(self._host) for name in names}
        self._ports += ports.values()
        directory.mkdir()
        return broker_settings.Broker(
            node_id=node_id,
            directory=directory,
            ports={name: port.number for name, port in ports.items()},
            host=self._host,
            zookeeper=zookeeper,
        )

    def _launch(self, broker: broker_settings.Broker) -> None:
        heap = "-Xmx512m" if self._count == 1 else "-Xmx384m"
        self._processes[broker.node_id] = guarded_process.GuardedProcess(
            [*kafka_distribution.command(self._jars, heap), "kafka.Kafka", str(broker.settings_file)],
            log_file=broker.log_file,
            scratch=self.directory,
        )

    def _wait_until_serving(self, brokers: Sequence[broker_settings.Broker]) -> None:
        """Returns when `brokers` listen and the cluster counts every running broker as in service."""
        for broker in brokers:
            process, ports = self._processes[broker.node_id], broker.ports.values()
            kafka_starting.until_listening(process, f"broker {broker.node_id}", ports, broker.host)
        addresses = ",".join(self._brokers[each].address(broker_settings.PLAINTEXT) for each in self.running)
        try:
            # kafka-python 3.0 cannot read what Kafka before 3.7 answers to the newest way of asking.
            asked_as = {"api_version": (2, 7)} if self._zookeeper else {}
            settings = kafka_connections.settings(addresses, **asked_as)
            with contextlib.closing(kafka.KafkaAdminClient(**settings)) as admin:
                waiting.until(
                    lambda: self.running <= kafka_starting.in_service(admin),
                    what=f"the brokers {sorted(self.running)} are in service",
                    timeout_seconds=kafka_starting.TIMEOUT_SECONDS,
                )
        except (TimeoutError, kafka.errors.KafkaError) as error:
            log = self.log_tail(brokers[0].node_id)
            raise kafka_starting.KafkaDidNotStart(
                f"{error}; the log of broker {brokers[0].node_id}:\n{log}"
            ) from error


def _roomy_root() -> Path:
    memory = Path("/dev/shm")
    if memory.is_dir() and shutil.disk_usage(memory).free >= ROOM_BYTES:
        return memory
    return Path(tempfile.gettempdir())


def main() -> None:
    """Runs a cluster until Ctrl-C or SIGTERM; its addresses go to stdout, one `name=value` a line."""
    parser = argparse.ArgumentParser(description="Run a Kafka cluster until Ctrl-C or SIGTERM.")
    parser.add_argument("--brokers", type=int, default=1, help="1 (default) or 3")
    parser.add_argument("--secured", action="store_true", help="add SASL and TLS listeners")
    arguments = parser.parse_args()
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: ended.set())
    with (
        contextlib.suppress(KeyboardInterrupt),
        KafkaCluster(arguments.brokers, secured=arguments.secured) as cluster,
    ):
        print(f"bootstrap_servers={cluster.bootstrap_servers}")
        print(f"directory={cluster.directory}")
        if arguments.secured:
            print(f"sasl_bootstrap_servers={cluster.sasl_bootstrap_servers}")
            print(f"sasl_ssl_bootstrap_servers={cluster.sasl_ssl_bootstrap_servers}")
            print(f"ssl_bootstrap_servers={cluster.ssl_bootstrap_servers}")
            print(f"mutual_tls_bootstrap_servers={cluster.mutual_tls_bootstrap_servers}")
            print(f"user={cluster.security.user}\npassword={cluster.security.password}")
        sys.stdout.flush()
        ended.wait()


if __name__ == "__main__":
    main()
