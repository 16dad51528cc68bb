"""The embedded broker: what our clients do with it, and that it never outlives whoever started it."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from analysis_module import spec
from analysis_worker import simulation
from analysis_worker.engine.records import TopicPartition
from analysis_worker.kafka import clients, connecting
from analysis_worker.simulation import embedded_broker
from tests.infrastructure import local_ports, waiting

COMMAND = [sys.executable, "-m", "analysis_worker.simulation.embedded_broker"]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with embedded_broker.running(["GIVEN"]) as address:
        yield address


def the_connection(address: str) -> connecting.Connection:
    return connecting.connection_of(spec.Kafka(bootstrap_servers=(address,)), "group")


async def partitions(address: str, *topics: str) -> dict[str, int]:
    source = clients.KafkaSource(the_connection(address))
    await source.start()
    try:
        return dict(await source.partitions(topics))
    finally:
        await source.close()


def analysis_worker(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "analysis_worker", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


async def test_topics_that_are_named_at_the_start_are_there(address: str) -> None:
    assert await partitions(address, "GIVEN", "OTHER") == {"GIVEN": embedded_broker.PARTITIONS}


async def test_a_worker_s_own_topics_come_into_being_though_it_cannot_create_them(address: str) -> None:
    topics = clients.KafkaTopics(the_connection(address))
    await topics.ensure("m-progress", partitions=1, config={"cleanup.policy": "compact"})
    await topics.ensure("m-progress", partitions=1, config={"cleanup.policy": "compact"})
    assert await partitions(address, "m-progress") == {"m-progress": embedded_broker.PARTITIONS}


async def test_simulate_sends_what_it_says_it_sent() -> None:
    with embedded_broker.running() as address:
        done = analysis_worker(
            "simulate", "--bootstrap-servers", address, "--duration", "2", "--stations", "3"
        )
        assert done.returncode == 0, done.stderr
        source = clients.KafkaSource(the_connection(address))
        await source.start()
        try:
            counts = await source.partitions(simulation.TOPICS)
            places = [TopicPartition(topic, n) for topic, count in counts.items() for n in range(count)]
            ends = await source.bounds(places)
        finally:
            await source.close()
    told = re.search(r"([\d,]+) records sent", done.stdout)
    assert told is not None
    assert sum(end - first for first, end in ends.values()) == int(told[1].replace(",", "")) > 0


def test_doctor_knows_the_embedded_broker(address: str, tmp_path: Path) -> None:
    manifest = tmp_path / "module.yaml"
    manifest.write_text(
        "module: m\ninputs: [{topic: GIVEN, fields: [x], windowSize: 1}]\n"
        f"kafka: {{bootstrapServers: ['{address}']}}\n"
    )
    done = analysis_worker("doctor", "-f", str(manifest))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the embedded broker" in done.stdout


def test_it_ends_in_order_on_sigterm() -> None:
    with subprocess.Popen(COMMAND, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0


def test_it_ends_with_a_parent_that_is_killed() -> None:
    parent = (
        f"import subprocess, time; subprocess.Popen({COMMAND!r}); time.sleep(60)"  # no guard of ours between
    )
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline().rpartition(":")[2])
        assert local_ports.accepts(port)
        os.kill(process.pid, signal.SIGKILL)
        waiting.until(lambda: not local_ports.accepts(port), what="the broker is gone", timeout_seconds=10)
