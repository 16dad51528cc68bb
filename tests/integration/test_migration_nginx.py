"""examples/migration/nginx.conf in a real Nginx, before three real workers of one module."""

import collections
import contextlib
import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.infrastructure import (
    guarded_process,
    kafka_tools,
    local_ports,
    numbered_stream,
    operated_namespace,
    programs,
    waiting,
)
from tests.infrastructure.kafka_cluster import KafkaEndpoint
from tests.infrastructure.worker_process import WorkerProcess

FILE = Path(__file__).parents[2] / "examples" / "migration" / "nginx.conf"
SHARDS = 3
STATIONS = 12
RECORDS = 200
PATIENCE_SECONDS = 120.0
AROUND = """
daemon off;
# One process, of which nothing is left when it is killed.
master_process off;
pid {place}/nginx.pid;
error_log stderr;
events {{}}
http {{
    log_format asked "$uri $status $upstream_addr";
    access_log {place}/asked.log asked;
    client_body_temp_path {place}/body;
    proxy_temp_path {place}/proxy;
    fastcgi_temp_path {place}/fastcgi;
    uwsgi_temp_path {place}/uwsgi;
    scgi_temp_path {place}/scgi;
    include {file};
}}
"""
"""What a distribution has around the file, with everything in a directory of ours."""


class Instance(WorkerProcess):
    """A worker of which Nginx is told."""

    @property
    def address(self) -> str:
        """Where its pages are."""
        return f"{local_ports.LOOPBACK}:{self._port}"

    def health(self) -> int | None:
        """What `/health` says, None while nothing answers."""
        try:
            return self.page("/health")[0]
        except OSError:
            return None


class Nginx:
    """Nginx on a copy of the file in which nothing but addresses and port are others."""

    def __init__(self, place: Path, instances: list[Instance]) -> None:
        self._place = place
        reserved = local_ports.ReservedPort()
        self._port = reserved.number
        reserved.release()
        text = re.sub(r"listen \d+;", f"listen {local_ports.LOOPBACK}:{self._port};", FILE.read_text())
        for number, each in enumerate(instances):
            text = text.replace(f"analysis-{number}.example.com:8001", each.address)
        assert "example.com" not in text
        (place / "data_analysis.conf").write_text(text)
        (place / "nginx.conf").write_text(AROUND.format(place=place, file=place / "data_analysis.conf"))
        self._program = programs.require("nginx", package="nginx")

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """It serves while the context is open."""
        command = [self._program, "-p", str(self._place), "-c", str(self._place / "nginx.conf")]
        process = guarded_process.GuardedProcess(
            command, log_file=self._place / "nginx.log", scratch=self._place / "scratch"
        )
        try:
            waiting.until(
                lambda: local_ports.accepts(self._port) or not process.is_running(),
                what="Nginx listens",
                timeout_seconds=60,
            )
            assert process.is_running(), process.log_tail()
            yield
        finally:
            process.kill()

    def page(self, path: str) -> tuple[int, str]:
        """Status code and text of a page, as it comes through."""
        try:
            url = f"http://{local_ports.LOOPBACK}:{self._port}{path}"
            with urllib.request.urlopen(url, timeout=90) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def asked(self, path: str) -> list[list[str]]:
        """Which instances were asked for each answer to `path`, in order."""
        lines = [line.split(" ", 2) for line in (self._place / "asked.log").read_text().splitlines()]
        return [upstreams.split(", ") for uri, _, upstreams in lines if uri == path]


@pytest.fixture
def stream(kafka: KafkaEndpoint) -> numbered_stream.NumberedStream:
    return numbered_stream.make(kafka.bootstrap_servers, "nginx")


@pytest.fixture
def instances(stream: numbered_stream.NumberedStream, tmp_path: Path) -> Iterator[list[Instance]]:
    """Three workers, each with its stations, all of which have had records."""
    with contextlib.ExitStack() as opened:
        workers = [opened.enter_context(Instance(tmp_path, f"worker-{n}")) for n in range(SHARDS)]
        for number, each in enumerate(workers):
            each.with_spec(stream.spec(), shard=number, shards=SHARDS).start()
        records = list(numbered_stream.records(RECORDS, STATIONS))
        kafka_tools.produce_all(stream.bootstrap, stream.topic, records)
        for each in workers:
            each.wait_until_running()
            until_health_is(200, each)
        waiting.until(
            lambda: stream.output_count() >= RECORDS, what="all outputs", timeout_seconds=PATIENCE_SECONDS
        )
        yield workers


def until_health_is(code: int, worker: Instance) -> None:
    waiting.until(
        lambda: worker.health() == code,
        what=f"the health of {worker.name} is {code}",
        timeout_seconds=PATIENCE_SECONDS,
    )


@contextlib.contextmanager
def before(instances: list[Instance], place: Path) -> Iterator[Nginx]:
    """Nginx before these, while the context is open."""
    server = Nginx(place, instances)
    with server.running():
        yield server


def test_health_comes_through_from_each_of_the_three_in_turn(
    instances: list[Instance], tmp_path: Path
) -> None:
    with before(instances, tmp_path) as nginx:
        answers = [nginx.page("/health") for _ in range(9)]

    assert [code for code, _ in answers] == [200] * 9
    assert {json.loads(text)["status"] for _, text in answers} == {"healthy"}
    asked = collections.Counter(address for (address,) in nginx.asked("/health"))
    assert asked == {each.address: 3 for each in instances}


def test_a_dead_instance_is_passed_by(instances: list[Instance], tmp_path: Path) -> None:
    with before(instances, tmp_path) as nginx:
        instances[1].kill()
        codes = [nginx.page("/health")[0] for _ in range(9)]

    assert codes == [200] * 9
    asked = nginx.asked("/health")
    assert [instances[1].address] in [addresses[:-1] for addresses in asked]
    assert {addresses[-1] for addresses in asked} == {instances[0].address, instances[2].address}


def test_an_unhealthy_instance_is_passed_by_as_long_as_there_is_a_healthy_one(
    instances: list[Instance], stream: numbered_stream.NumberedStream, tmp_path: Path
) -> None:
    nowhere = {**stream.spec()["kafka"], "bootstrapServers": [operated_namespace.NOWHERE]}
    sick = instances[0]
    sick.kill()
    sick.with_spec(stream.spec(kafka=nowhere), shards=SHARDS).start()
    until_health_is(503, sick)

    with before(instances, tmp_path) as nginx:
        codes = [nginx.page("/health")[0] for _ in range(9)]
        for each in instances[1:]:
            each.kill()
        afterwards = {nginx.page("/health")[0] for _ in range(9)}

    assert codes == [200] * 9
    assert [sick.address] in [addresses[:-1] for addresses in nginx.asked("/health")]
    assert afterwards <= {502, 503}


def test_a_station_is_found_at_its_owner_whoever_is_asked_first(
    instances: list[Instance], tmp_path: Path
) -> None:
    stations = [f"S{number}" for number in range(STATIONS)]
    with before(instances, tmp_path) as nginx:
        answers = {station: nginx.page(f"/status/stations/{station}") for station in stations}
        of_nobody = nginx.page("/status/stations/nobody")[0]

    owners = {
        station: [each.address for each in instances if each.get(f"/status/stations/{station}")[0] == 200]
        for station in stations
    }
    assert {code for code, _ in answers.values()} == {200}
    asked = {station: nginx.asked(f"/status/stations/{station}")[0] for station in stations}
    assert {station: addresses[-1:] for station, addresses in asked.items()} == owners
    assert {len(addresses) for addresses in asked.values()} > {1}
    assert {address for (address,) in owners.values()} == {each.address for each in instances}
    assert of_nobody == 404


def test_pages_that_tell_of_one_instance_do_not_come_through(
    instances: list[Instance], tmp_path: Path
) -> None:
    with before(instances, tmp_path) as nginx:
        paths = ("/metrics", "/livez", "/readyz", "/status", "/")
        assert [nginx.page(path)[0] for path in paths] == [404] * 5
    assert [nginx.asked(path) for path in paths] == [[["-"]]] * 5
