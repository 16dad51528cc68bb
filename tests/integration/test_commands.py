"""`doctor` and `replay` against real Kafka, as a user runs them."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.infrastructure import kafka_cluster, kafka_tools, worker_process


def analysis_worker(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "analysis_worker", *arguments]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120, check=False
    )


def a_manifest(directory: Path, servers: str, topic: str, kafka: Mapping[str, Any] | None = None) -> Path:
    spec = {
        "module": kafka_tools.unique_name("doctor"),
        "inputs": [{"topic": topic, "fields": ["currentPower"], "windowSize": 12}],
        "kafka": {"bootstrapServers": servers.split(","), **(kafka or {})},
    }
    path = directory / "module.yaml"
    path.write_text(yaml.safe_dump(worker_process.manifest(spec)), encoding="utf-8")
    return path


class TestDoctor:
    def test_a_module_that_can_run_gets_0(
        self, kafka: kafka_cluster.KafkaEndpoint, topic_factory: kafka_tools.TopicFactory, tmp_path: Path
    ) -> None:
        topic = topic_factory("doctor", partitions=3)
        done = analysis_worker("doctor", "-f", str(a_manifest(tmp_path, kafka.bootstrap_servers, topic)))
        assert done.returncode == 0, done.stdout + done.stderr
        assert "3 partitions, 1 replica" in done.stdout

    def test_a_topic_that_is_not_there_gives_1_and_how_to_create_it(
        self, kafka: kafka_cluster.KafkaEndpoint, tmp_path: Path
    ) -> None:
        topic = kafka_tools.unique_name("nowhere")
        done = analysis_worker("doctor", "-f", str(a_manifest(tmp_path, kafka.bootstrap_servers, topic)))
        assert done.returncode == 1
        assert "kafka-topics.sh --create" in done.stdout

    def test_an_input_that_is_compacted_is_a_warning_and_1_under_strict(
        self, kafka: kafka_cluster.KafkaEndpoint, topic_factory: kafka_tools.TopicFactory, tmp_path: Path
    ) -> None:
        topic = topic_factory("compacted", config={"cleanup.policy": "compact"})
        manifest = str(a_manifest(tmp_path, kafka.bootstrap_servers, topic))
        done = analysis_worker("doctor", "-f", manifest)
        assert (done.returncode, "compaction leaves one record a key" in done.stdout) == (0, True)
        assert analysis_worker("doctor", "--strict", "-f", manifest).returncode == 1

    def test_what_the_worker_made_is_in_order_afterwards(
        self, kafka: kafka_cluster.KafkaEndpoint, topic_factory: kafka_tools.TopicFactory, tmp_path: Path
    ) -> None:
        topic = topic_factory("doctor")
        manifest = a_manifest(tmp_path, kafka.bootstrap_servers, topic)
        spec = yaml.safe_load(manifest.read_text())["spec"]
        with worker_process.WorkerProcess(tmp_path).with_spec(spec).start() as worker:
            worker.wait_until_running()
            worker.stop()
        done = analysis_worker("doctor", "-f", str(manifest))
        assert done.returncode == 0, done.stdout + done.stderr
        assert "progress: 1 partition" in done.stdout
        assert "0 records behind" in done.stdout

    def test_no_broker_gives_3_and_names_the_server(self, tmp_path: Path) -> None:
        done = analysis_worker("doctor", "-f", str(a_manifest(tmp_path, "127.0.0.1:1", "T")))
        assert done.returncode == 3
        assert "127.0.0.1:1: nothing listens there" in done.stderr

    def test_a_wrong_password_gives_3_and_a_right_one_is_accepted(
        self, kafka_secured: kafka_cluster.KafkaCluster, tmp_path: Path
    ) -> None:
        security = {"protocol": "SASL_SSL", "mechanism": "SCRAM-SHA-512", "checkHostname": False}
        secrets = {"username": {"env": "LOGIN"}, "password": {"env": "WORD"}}
        ca = {"ca": {"file": str(kafka_secured.security.ca_file)}}
        manifest = a_manifest(
            tmp_path,
            kafka_secured.sasl_ssl_bootstrap_servers,
            kafka_tools.unique_name("nowhere"),
            {"security": {**security, **secrets, **ca}},
        )
        user, password = kafka_secured.security.user, kafka_secured.security.password
        wrong = analysis_worker("doctor", "-f", str(manifest), LOGIN=user, WORD="wrong")
        right = analysis_worker("doctor", "-f", str(manifest), LOGIN=user, WORD=password)
        assert (wrong.returncode, "no login by SCRAM-SHA-512 succeeded" in wrong.stderr) == (3, True)
        assert (right.returncode, "SASL_SSL by SCRAM-SHA-512 is accepted" in right.stdout) == (1, True)

    def test_a_plain_connection_to_a_tls_port_hints_at_tls(
        self, kafka_secured: kafka_cluster.KafkaCluster, tmp_path: Path
    ) -> None:
        done = analysis_worker(
            "doctor", "-f", str(a_manifest(tmp_path, kafka_secured.ssl_bootstrap_servers, "T"))
        )
        assert done.returncode == 3
        assert "it may speak TLS there" in done.stderr


class TestReplay:
    def test_the_records_of_a_file_arrive_as_they_are_in_their_order(
        self, kafka: kafka_cluster.KafkaEndpoint, tmp_path: Path
    ) -> None:
        topic = kafka_tools.unique_name("replayed")
        values = [{"stationId": "站", "n": number} for number in range(500)]
        path = tmp_path / "records.jsonl"
        with path.open("w", encoding="utf-8") as lines:
            for value in values:
                lines.write(json.dumps({"topic": topic, "key": "站", "value": value, "timestamp": 1}) + "\n")
        done = analysis_worker(
            *("replay", "--file", str(path), "--speedup", "0", "--keep-timestamps"),
            *("--bootstrap-servers", kafka.bootstrap_servers, "--partitions", "3"),
        )
        assert done.returncode == 0, done.stderr
        read = kafka_tools.wait_for_records(kafka.bootstrap_servers, topic, 500)
        assert [json.loads(record.value or b"") for record in read] == values
        assert {record.key for record in read} == {"站".encode()}
        assert {record.timestamp_ms for record in read} == {1}
        assert len(kafka_tools.end_offsets(kafka.bootstrap_servers, topic)) == 3
