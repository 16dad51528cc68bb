"""A real Kafka cluster on this machine: brokers in KRaft mode, started, killed and ended here.

From a shell: `python -m tests.infrastructure.kafka_cluster --brokers 1` prints the addresses and runs until
Ctrl-C or SIGTERM.
"""

import argparse
import contextlib
import dataclasses
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import uuid
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
    local_ports,
    waiting,
)

START_TIMEOUT_SECONDS = 90.0
STOP_TIMEOUT_SECONDS = 30.0
ROOM_BYTES = 4 * 2**30
"""Free space that the memory file system must have to take the brokers' data."""


class KafkaDidNotStart(RuntimeError):
    """A broker ended or did not serve in time; the text holds the end of its log."""


@dataclasses.dataclass(frozen=True)
class KafkaEndpoint:
    """Where a cluster is that a test uses but does not own: host:port, with commas between several."""

    bootstrap_servers: str


class KafkaCluster:
    """Brokers with the ids 0 .. brokers-1, each a broker and a controller, on ports that the kernel chose.

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
        secured: bool = False,
        overrides: Mapping[str, str] | None = None,
        data_root: Path | None = None,
        host: str = local_ports.LOOPBACK,
    ) -> None:
        if brokers < 1:
            raise ValueError(f"brokers: {brokers} is too few; ask for 1 or 3")
        self._count = brokers
        self._secured = secured
        self._overrides = dict(overrides or {})
        self._data_root = data_root
        self._host = host
        self._directory: Path | None = None
        self._security: broker_security.Security | None = None
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
        kafka_distribution.jars()
        try:
            self._lay_out()
            self._format()
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

    def _lay_out(self) -> None:
        root = self._data_root or _roomy_root()
        self._directory = Path(tempfile.mkdtemp(prefix="station-analysis-kafka-", dir=root))
        self._security = broker_security.make(self._directory) if self._secured else None
        names = broker_settings.listeners(secured=self._secured)
        for node_id in range(self._count):
            ports = {name: local_ports.ReservedPort(self._host) for name in names}
            self._ports += ports.values()
            broker = broker_settings.Broker(
                node_id=node_id,
                directory=self._directory / f"broker-{node_id}",
                ports={name: port.number for name, port in ports.items()},
                host=self._host,
            )
            broker.directory.mkdir()
            self._brokers.append(broker)
        for broker in self._brokers:
            settings = broker_settings.properties(broker, self._brokers)
            if self._security is not None:
                settings |= broker_security.properties(self._security)
            broker.settings_file.write_text(broker_settings.render(settings | self._overrides))

    def _format(self) -> None:
        cluster_id = uuid.uuid4().hex[:22]  # Kafka wants 16 bytes as base64: 22 such characters
        options = broker_security.format_options(self._security) if self._security else []
        java = _java("-XX:TieredStopAtLevel=1")
        tool = [*java, "kafka.tools.StorageTool", "format", "--cluster-id", cluster_id, *options]
        running = [
            subprocess.Popen(
                [*tool, "--config", str(broker.settings_file)],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for broker in self._brokers
        ]
        printed = [process.communicate()[0] for process in running]
        for process, text in zip(running, printed, strict=True):
            if process.returncode != 0:
                raise KafkaDidNotStart(f"formatting the storage failed:\n{text[-3000:]}")

    def _launch(self, broker: broker_settings.Broker) -> None:
        heap = "-Xmx512m" if self._count == 1 else "-Xmx384m"
        self._processes[broker.node_id] = guarded_process.GuardedProcess(
            [*_java(heap), "kafka.Kafka", str(broker.settings_file)],
            log_file=broker.log_file,
            scratch=self.directory,
        )

    def _wait_until_serving(self, brokers: Sequence[broker_settings.Broker]) -> None:
        """Returns when `brokers` listen and the cluster counts every running broker as in service."""
        for broker in brokers:
            self._wait_until_listening(broker)
        addresses = ",".join(self._brokers[each].address(broker_settings.PLAINTEXT) for each in self.running)
        try:
            with contextlib.closing(kafka.KafkaAdminClient(**kafka_connections.settings(addresses))) as admin:
                waiting.until(
                    lambda: self.running <= _in_service(admin),
                    what=f"the brokers {sorted(self.running)} are in service",
                    timeout_seconds=START_TIMEOUT_SECONDS,
                )
        except (TimeoutError, kafka.errors.KafkaError) as error:
            log = self.log_tail(brokers[0].node_id)
            raise KafkaDidNotStart(f"{error}; the log of broker {brokers[0].node_id}:\n{log}") from error

    def _wait_until_listening(self, broker: broker_settings.Broker) -> None:
        process = self._processes[broker.node_id]

        def listens() -> bool:
            if not process.is_running():
                raise KafkaDidNotStart(f"broker {broker.node_id} ended; its log:\n{process.log_tail()}")
            return all(local_ports.accepts(port, broker.host) for port in broker.ports.values())

        try:
            waiting.until(listens, what="its ports are open", timeout_seconds=START_TIMEOUT_SECONDS)
        except TimeoutError as error:
            raise KafkaDidNotStart(f"broker {broker.node_id}: {error}; log:\n{process.log_tail()}") from error


def _in_service(admin: kafka.KafkaAdminClient) -> frozenset[int]:
    """The brokers that take requests, as any of them says; none if the one that was asked does not answer."""
    try:
        described = admin.describe_cluster()["brokers"]
    except kafka.errors.KafkaError:
        return frozenset()
    return frozenset(each["broker_id"] for each in described if not each.get("is_fenced"))


def _java(*options: str) -> list[str]:
    log_levels = {
        "showDateTime": "true",
        "dateTimeFormat": "HH:mm:ss.SSS",
        "log.org.apache.kafka.common.config": "warn",  # else every start prints all 300 settings
    }
    return [
        kafka_distribution.java(),
        *options,
        *(f"-Dorg.slf4j.simpleLogger.{name}={value}" for name, value in log_levels.items()),
        "-cp",
        f"{kafka_distribution.jars()}/*",
    ]


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
