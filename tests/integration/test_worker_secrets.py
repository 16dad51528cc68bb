"""Secrets rotated under a worker on secured brokers: taken over in mid-stream, a wrong one refused."""

import contextlib
import secrets
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.infrastructure import (
    broker_security,
    certificates,
    kafka_cluster,
    kafka_tools,
    numbered_stream,
    waiting,
)
from tests.infrastructure.kafka_cluster import KafkaCluster
from tests.infrastructure.mounted_secret import MountedSecret
from tests.infrastructure.worker_process import WorkerProcess

SECONDS = 30.0
PASSWORD = "kafka.security.password"


class Rotated:
    """A worker under a steady stream whose secrets change."""

    def __init__(
        self,
        directory: Path,
        cluster: KafkaCluster,
        servers: str,
        security: Mapping[str, Any],
        **changes: Any,
    ) -> None:
        self.stream = numbered_stream.make(cluster.bootstrap_servers, "rotated")
        spec = self.stream.spec(**changes)
        spec["kafka"] |= {"bootstrapServers": servers.split(","), "security": dict(security)}
        self.steady = numbered_stream.SteadyStream(self.stream)
        self.worker = WorkerProcess(directory).with_spec(spec)
        self._cluster = cluster

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """With both going on; at the end every record has one output, of the right window, in order."""
        with self.worker, self.steady:
            self.worker.start().wait_until_running()
            self.goes_on()
            yield
            self.steady.enough()
            self.all_out()
            self.worker.stop()
        found = numbered_stream.examine(self.stream.outputs(), self.steady.sent)
        assert found == numbered_stream.Findings([], 0, 0, [], [])

    @property
    def credentials_at(self) -> float:
        """When the worker last took secrets over."""
        return float(self.worker.status()["credentials_at"])

    @property
    def refused(self) -> str:
        """Why the worker does not use those in the files."""
        return " ".join(self.worker.status()["credentials_refused"])

    def goes_on(self, outputs: int = 200) -> None:
        """Wait for so many more outputs."""
        wanted = self.stream.output_count() + outputs
        waiting.until(
            lambda: self.stream.output_count() >= wanted, what="outputs go on", timeout_seconds=SECONDS
        )

    def all_out(self) -> None:
        """Wait until there are as many outputs as records."""
        waiting.until(
            lambda: self.stream.output_count() >= len(self.steady.sent),
            what=f"all {len(self.steady.sent)} outputs are there",
            timeout_seconds=SECONDS,
        )

    def is_refused(self, setting: str) -> None:
        """Wait until the worker says that it does not use what is there now; all goes on meanwhile."""
        waiting.until(lambda: setting in self.refused, what="it is refused", timeout_seconds=SECONDS)
        self.goes_on()

    def is_taken(self, before: float) -> None:
        """Wait until the worker has taken secrets over after that time; all goes on meanwhile."""
        waiting.until(lambda: self.credentials_at > before, what="it is taken over", timeout_seconds=SECONDS)
        assert self.refused == ""
        self.goes_on()

    def outlives_all_connections(self) -> None:
        """Restart the brokers, so that every connection is made anew, and write more."""
        self.steady.enough()
        self.all_out()
        self._cluster.restart(0)
        self.steady.write(400)
        self.all_out()

    def assert_unsaid(self, texts: Iterable[str]) -> None:
        """The worker shows none of these: not in its log, its status, its metrics."""
        pages = [str(self.worker.get(path)) for path in ("/status?stations=100", "/metrics", "/health")]
        shown = "\n".join([self.worker.log(), *pages])
        assert "credentials_at" in shown
        assert [text for text in texts if text in shown] == []


# -- a password -------------------------------------------------------------------------------------


@pytest.mark.parametrize("delivery", ["AtLeastOnce", "ExactlyOnce"])
def test_a_password_rotated_in_mid_stream_is_taken_over_and_a_wrong_one_changes_nothing(
    kafka_secured: KafkaCluster, tmp_path: Path, delivery: str
) -> None:
    user = kafka_tools.unique_name("rotating")
    old, wrong, new = (secrets.token_urlsafe(12) for _ in range(3))
    kafka_tools.set_password(kafka_secured.bootstrap_servers, user, old)
    secret = MountedSecret(tmp_path / "secret", user=user, password=old)
    security = {
        "protocol": "SASL_PLAINTEXT",
        "mechanism": "SCRAM-SHA-512",
        "username": secret.source("user"),
        "password": secret.source("password"),
    }
    made = Rotated(tmp_path, kafka_secured, kafka_secured.sasl_bootstrap_servers, security, delivery=delivery)
    with made.running():
        started = made.credentials_at
        secret.change(password=wrong)
        made.is_refused(PASSWORD)
        assert made.credentials_at == started
        kafka_tools.set_password(kafka_secured.bootstrap_servers, user, new)
        secret.change(password=new)
        made.is_taken(started)
        made.outlives_all_connections()
        made.assert_unsaid([old, wrong, new])


def test_a_password_that_the_brokers_change_first_is_taken_over_when_its_file_follows(
    kafka_secured: KafkaCluster, tmp_path: Path
) -> None:
    """Between the two the brokers lose all their connections, and take the old password no more."""
    user = kafka_tools.unique_name("rotating")
    old, new = (secrets.token_urlsafe(12) for _ in range(2))
    kafka_tools.set_password(kafka_secured.bootstrap_servers, user, old)
    secret = MountedSecret(tmp_path / "secret", user=user, password=old)
    security = {
        "protocol": "SASL_SSL",
        "mechanism": "SCRAM-SHA-512",
        "username": secret.source("user"),
        "password": secret.source("password"),
        "ca": {"file": str(kafka_secured.security.ca_file)},
    }
    made = Rotated(tmp_path, kafka_secured, kafka_secured.sasl_ssl_bootstrap_servers, security)
    with made.running():
        started = made.credentials_at
        made.steady.enough()
        made.all_out()
        kafka_tools.set_password(kafka_secured.bootstrap_servers, user, new)
        kafka_secured.restart(0)
        made.steady.write(200)
        secret.change(password=new)
        waiting.until(
            lambda: made.credentials_at > started, what="it is taken over", timeout_seconds=2 * SECONDS
        )
        made.all_out()
        made.assert_unsaid([old, new])


# -- a certificate ----------------------------------------------------------------------------------


@pytest.fixture
def authorities(tmp_path: Path) -> list[certificates.Certificate]:
    """Those who may vouch for clients, before a rotation and after it, and one whom no broker knows."""
    return [certificates.make_authority(tmp_path, name) for name in ("former", "latter", "foreign")]


def trust(file: Path, *authorities: certificates.Certificate) -> None:
    """What the broker trusts in its clients' certificates once it is started again."""
    file.write_text("".join(each.certificate_file.read_text() for each in authorities))


@pytest.fixture
def mutual(
    authorities: list[certificates.Certificate], tmp_path: Path
) -> Iterator[tuple[KafkaCluster, Path]]:
    """A broker that demands clients' certificates of the first two, and the file that says so."""
    trusted = tmp_path / "trusted.pem"
    trust(trusted, *authorities[:2])
    listener = f"listener.name.{broker_security.MUTUAL_TLS.lower()}"
    overrides = {
        f"{listener}.ssl.truststore.location": str(trusted),
        f"{listener}.ssl.truststore.type": "PEM",
    }
    with kafka_cluster.KafkaCluster(secured=True, overrides=overrides) as cluster:
        yield cluster, trusted


def test_a_client_certificate_rotated_in_mid_stream_is_taken_over_and_a_wrong_one_changes_nothing(
    mutual: tuple[KafkaCluster, Path], authorities: list[certificates.Certificate], tmp_path: Path
) -> None:
    cluster, trusted = mutual
    former, latter, foreign = (
        certificates.issue(each, tmp_path, f"of-{number}") for number, each in enumerate(authorities)
    )
    secret = MountedSecret(
        tmp_path / "secret",
        certificate=former.certificate_file.read_text(),
        key=former.key_file.read_text(),
        ca=cluster.security.ca_file.read_text(),
    )
    security = {
        "protocol": "SSL",
        "certificate": secret.source("certificate"),
        "privateKey": secret.source("key"),
        "ca": secret.source("ca"),
    }
    made = Rotated(tmp_path, cluster, cluster.mutual_tls_bootstrap_servers, security)
    with made.running():
        started = made.credentials_at
        secret.change(certificate=latter.certificate_file.read_text())  # and the key of the former one
        made.is_refused("kafka.security.certificate: ")
        secret.change(certificate=foreign.certificate_file.read_text(), key=foreign.key_file.read_text())
        made.is_refused("kafka.security.certificate, kafka.security.privateKey: connect")
        assert made.credentials_at == started
        secret.change(certificate=latter.certificate_file.read_text(), key=latter.key_file.read_text())
        made.is_taken(started)
        trust(trusted, authorities[1])
        made.outlives_all_connections()
        made.assert_unsaid(line for each in (former, latter, foreign) for line in _key_lines(each))


def _key_lines(certificate: certificates.Certificate) -> list[str]:
    return [line for line in certificate.key_file.read_text().splitlines() if not line.startswith("-----")]
