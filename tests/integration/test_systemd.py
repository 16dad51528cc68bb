"""The guides' units under a real systemd, the first process of a place apart: they run as they are written.

The units stand word for word; what is the user's is filled in: the environment file, the manifest, config.py.
"""

import contextlib
import dataclasses
import json
import os
import re
import shutil
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from analysis_module import names
from tests.infrastructure import kafka_cluster, kafka_tools, numbered_stream, opt_installation, waiting
from tests.infrastructure.systemd_machine import UNITS, USER_ID, SystemdMachine, Unit
from tests.infrastructure.worker_process import manifest
from tests.project import markdown, tree

WORKER_UNIT = "analysis-worker@load_prediction-0.service"
PROGRAM_UNIT = "data_analysis.service"
STANDALONE = markdown.Page(tree.ROOT / "docs" / "guide" / "standalone.md")
PROGRAM_FILES = (
    tree.ROOT / "examples" / "guide" / "sync_main.py",
    tree.ROOT / "examples" / "guide" / "config.py",
)
START_SECONDS = 90.0
READING = ("restoring", "running")
"""What a worker that reads its topics calls its state: windows first, then calls."""


@dataclasses.dataclass(frozen=True)
class Machine:
    """A machine with systemd, the guides' installation, and a Kafka that it reaches."""

    systemd: SystemdMachine
    kafka: kafka_cluster.KafkaCluster

    def write(self, path: str, text: str) -> None:
        file = self.systemd.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def until(self, unit: str, holds: Callable[[Unit], bool], what: str, timeout_seconds: float) -> Unit:
        """The unit once that holds; AssertionError with its log if it never does."""
        try:
            waiting.until(lambda: holds(self.systemd.unit(unit)), what=what, timeout_seconds=timeout_seconds)
        except TimeoutError as error:
            told = self.systemd.run("journalctl", "-n", "40", "--no-pager")
            raise AssertionError(f"{error}: {self.systemd.unit(unit)}\n{told}") from error
        return self.systemd.unit(unit)

    def state(self) -> str:
        """What the program on the guides' port says of itself; empty while nobody listens there."""
        with contextlib.suppress(OSError), urllib.request.urlopen(self._url, timeout=5) as answer:
            return str(json.load(answer)["worker"]["state"])
        return ""

    @property
    def _url(self) -> str:
        return f"http://{self.systemd.address}:{names.HTTP_PORT}{names.STATUS_PATH}"


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    with SystemdMachine(opt_installation.binds(), user="analysis") as systemd:
        opt_installation.lay_out(systemd.root)
        logs = systemd.root / "var/log/data_analysis"
        logs.mkdir()
        os.chown(logs, USER_ID, USER_ID)
        with kafka_cluster.KafkaCluster(host=systemd.machine_address) as kafka:
            yield Machine(systemd, kafka)


# -- the worker's unit, of docs/guide/standalone.md -----------------------------------------------------


@pytest.fixture
def stream(machine: Machine) -> Iterator[numbered_stream.NumberedStream]:
    """The guide's unit and environment file in their places, with a module of our own as the manifest."""
    machine.kafka.restore()
    made = numbered_stream.make(machine.kafka.bootstrap_servers, "systemd")
    unit, environment = STANDALONE.code("ini")
    machine.write(f"{UNITS}/analysis-worker@.service", unit)
    machine.write("/etc/data_analysis/load_prediction-0.env", environment.replace("--shards 2", "--shards 1"))
    machine.write("/etc/data_analysis/load_prediction.yaml", yaml.safe_dump(manifest(made.spec())))
    machine.systemd.systemctl("daemon-reload")
    yield made
    machine.systemd.systemctl("stop", WORKER_UNIT)


def is_active(unit: Unit) -> bool:
    return unit.active == "active"


def test_the_start_lasts_until_the_worker_reads_its_topics(
    machine: Machine, stream: numbered_stream.NumberedStream
) -> None:
    machine.kafka.kill(0)
    machine.systemd.systemctl("start", "--no-block", WORKER_UNIT)
    starting = machine.until(WORKER_UNIT, lambda unit: unit.says != "", "it says what it does", START_SECONDS)
    assert (starting.active, machine.state()) == ("activating", "starting")

    machine.kafka.restart(0)
    running = machine.until(WORKER_UNIT, is_active, "its start is over", START_SECONDS)
    assert machine.state() in READING
    assert (running.result, running.main_process) == ("success", starting.main_process)


def test_status_and_journal_tell_of_it(machine: Machine, stream: numbered_stream.NumberedStream) -> None:
    machine.systemd.systemctl("enable", "--now", WORKER_UNIT)
    module = re.escape(stream.spec()["module"])
    machine.until(WORKER_UNIT, lambda unit: "is running" in unit.says, "it says that it runs", START_SECONDS)
    told = machine.systemd.systemctl("status", WORKER_UNIT)
    assert re.search(rf'Status: "{module} is running', told), told
    assert "active (running)" in told
    assert "Started analysis-worker@" in machine.systemd.run("journalctl", "--no-pager", "-u", WORKER_UNIT)


def test_killed_it_comes_back_and_every_record_is_answered_and_a_stop_is_a_success(
    machine: Machine, stream: numbered_stream.NumberedStream
) -> None:
    machine.systemd.systemctl("start", WORKER_UNIT)
    first = machine.systemd.unit(WORKER_UNIT)
    with numbered_stream.SteadyStream(stream) as steady:
        waiting.until(lambda: stream.output_count() >= 100, what="100 outputs", timeout_seconds=START_SECONDS)
        machine.systemd.run("kill", "-KILL", str(first.main_process))
        second = machine.until(
            WORKER_UNIT,
            lambda unit: is_active(unit) and unit.restarts == first.restarts + 1,
            "systemd has started it again",
            START_SECONDS,
        )
        steady.enough()
    waiting.until(
        lambda: not numbered_stream.examine(stream.outputs(), steady.sent).lost,
        what="every record has its output",
        timeout_seconds=START_SECONDS,
    )
    machine.systemd.systemctl("stop", WORKER_UNIT)

    stopped = machine.systemd.unit(WORKER_UNIT)
    found = numbered_stream.examine(stream.outputs(), steady.sent)
    assert second.main_process != first.main_process
    assert (stopped.active, stopped.result, stopped.exit_status) == ("inactive", "success", 0)
    assert (found.lost, found.doubled_unmarked, found.wrong_windows) == ([], 0, [])


# -- the deployment guide's unit, for a program on d_a --------------------------------------------------


TOPICS = (
    "SCHEDULE-STATION-PARAM",
    "SCHEDULE-STATION-REALTIME-DATA",
    "SCHEDULE-ENVIRONMENT-CALENDAR",
    "SCHEDULE-CAR-ORDER",
    "REAL-STATION-DATA",
    "MODULE-OUTPUT-LOAD-PREDICTION",
)


@pytest.fixture
def program(machine: Machine) -> Iterator[kafka_cluster.KafkaCluster]:
    """The guide's program in /opt/data_analysis and its unit, installed as the unit's first lines say."""
    machine.kafka.restore()
    script, config = (path.read_text(encoding="utf-8") for path in PROGRAM_FILES)
    servers = machine.kafka.bootstrap_servers
    machine.write("/opt/data_analysis/sync_main.py", script)
    machine.write("/opt/data_analysis/config.py", config.replace("localhost:9092", servers))
    shutil.copy(tree.ROOT / "examples" / "migration" / PROGRAM_UNIT, machine.systemd.root / UNITS)
    kafka_tools.ensure_topics(servers, TOPICS, partitions=1)
    machine.systemd.systemctl("daemon-reload")
    machine.systemd.systemctl("enable", "--now", PROGRAM_UNIT)
    yield machine.kafka
    machine.systemd.systemctl("stop", PROGRAM_UNIT)


def answers(kafka: kafka_cluster.KafkaCluster, load: float, count: int) -> list[Any]:
    """A station's forecasts once there are so many, after a record of this load."""
    record = json.dumps({"stationId": "S1", "gunId": "G1", "historyCurveStationAvg": load}).encode()
    kafka_tools.produce_all(kafka.bootstrap_servers, TOPICS[1], [(None, record, (), None, None)])
    found = kafka_tools.wait_for_records(
        kafka.bootstrap_servers, TOPICS[-1], lambda records: len(records) >= count
    )
    return [json.loads(each.value or b"")["output"]["load_forecast"] for each in found]


def test_the_guides_program_answers_comes_back_when_killed_and_stops_with_success(
    machine: Machine, program: kafka_cluster.KafkaCluster
) -> None:
    waiting.until(lambda: machine.state() == "running", what="it runs", timeout_seconds=START_SECONDS)
    first = machine.systemd.unit(PROGRAM_UNIT)
    assert answers(program, 74.0, 1) == [[74.0, 74.0]]
    told = machine.systemd.systemctl("status", PROGRAM_UNIT)
    assert re.search(r'Status: "load_prediction is (restoring|running)', told), told

    machine.systemd.run("kill", "-KILL", str(first.main_process))
    machine.until(
        PROGRAM_UNIT,
        lambda unit: unit.restarts == first.restarts + 1 and machine.state() == "running",
        "systemd has started it again",
        START_SECONDS,
    )
    assert answers(program, 80.0, 2)[-1] == [80.0, 80.0]

    machine.systemd.systemctl("stop", PROGRAM_UNIT)
    stopped = machine.systemd.unit(PROGRAM_UNIT)
    assert (stopped.active, stopped.result, stopped.exit_status) == ("inactive", "success", 0)
    printed = (machine.systemd.root / "var/log/data_analysis/stdout.log").read_text(encoding="utf-8")
    assert printed.endswith("stopped\n")
