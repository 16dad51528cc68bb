"""On each Python of this machine that the project is for it installs, and a worker does its work.

Which they are is found out; the one that runs the tests is among them, so there is always a case.
"""

from pathlib import Path

import pytest
import yaml

from tests.infrastructure import (
    foreign_pythons,
    guarded_process,
    kafka_cluster,
    kafka_tools,
    local_ports,
    numbered_stream,
    waiting,
)
from tests.infrastructure.worker_process import manifest

STATIONS, RECORDS = 10, 300
PATIENCE_SECONDS = 60.0
WHERE = "import analysis_worker, analysis_operator, sys; print(sys.version_info[1], analysis_worker.__file__)"


@pytest.mark.parametrize("version", foreign_pythons.found())
def test_it_installs_and_a_worker_answers_every_record_and_stops_in_order(
    version: str, kafka: kafka_cluster.KafkaEndpoint, tmp_path: Path
) -> None:
    environment = foreign_pythons.Environment(foreign_pythons.found()[version], tmp_path / "environment")
    environment.install("worker", "operator")
    minor, place = environment.said("python", "-c", WHERE).split()
    assert f"3.{minor}" == version
    assert Path(place).is_relative_to(tmp_path / "environment")
    assert "load_prediction" in environment.said(
        "analysis-worker", "validate", "-f", "examples/modules/load_prediction.yaml"
    )
    assert "usage" in environment.said("analysis-operator", "--help")

    stream = numbered_stream.make(kafka.bootstrap_servers, "python")
    sent = list(numbered_stream.records(RECORDS, STATIONS))
    kafka_tools.produce_all(stream.bootstrap, stream.topic, sent)
    worker = start_worker(environment, stream, tmp_path)
    try:
        waiting.until(
            lambda: not worker.is_running() or stream.output_count() >= RECORDS,
            what=f"{RECORDS} outputs",
            timeout_seconds=PATIENCE_SECONDS,
        )
        worker.terminate(timeout_seconds=PATIENCE_SECONDS)
    finally:
        worker.kill()

    found = numbered_stream.examine(stream.outputs(), sent)
    assert (found.lost, found.doubled, found.wrong_windows, found.out_of_order) == ([], 0, [], [])
    assert worker.exit_code == 0, worker.log_tail()


def start_worker(
    environment: foreign_pythons.Environment, stream: numbered_stream.NumberedStream, directory: Path
) -> guarded_process.GuardedProcess:
    file = directory / "module.yaml"
    file.write_text(yaml.safe_dump(manifest(stream.spec())), encoding="utf-8")
    reserved = local_ports.ReservedPort()
    reserved.release()
    command = [environment.program("analysis-worker"), "run", "--file", str(file), "--host", "127.0.0.1"]
    return guarded_process.GuardedProcess(
        [*command, "--port", str(reserved.number)],
        log_file=directory / "worker.log",
        scratch=directory / "scratch",
    )
