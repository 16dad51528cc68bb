"""The documented API on a real broker: the guide's scripts as processes, services in a chain, the clients."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import d_a
from d_a import AsyncDataAnalysisService, DataAnalysisService, kafka_client
from tests.infrastructure import kafka_cluster, kafka_tools, waiting

GUIDE = Path(__file__).parents[2] / "examples" / "guide"
OUTPUT = "MODULE-OUTPUT-LOAD-PREDICTION"
TOPICS = (
    "SCHEDULE-STATION-PARAM",
    "SCHEDULE-STATION-REALTIME-DATA",
    "SCHEDULE-ENVIRONMENT-CALENDAR",
    "SCHEDULE-CAR-ORDER",
    "REAL-STATION-DATA",
)


def produce(bootstrap: str, topic: str, *records: Mapping[str, Any]) -> None:
    """Write records without a key, as JSON."""
    kafka_tools.produce_all(
        bootstrap, topic, [(None, json.dumps(r).encode(), (), None, None) for r in records]
    )


def outputs(bootstrap: str, topic: str, station: str, count: int) -> list[Any]:
    """A station's first outputs, in order, read by kafka-python; its key must be the station."""
    found = kafka_tools.wait_for_records(
        bootstrap, topic, lambda records: sum(r.key == station.encode() for r in records) >= count
    )
    values = [json.loads(record.value or b"") for record in found if record.key == station.encode()]
    assert {value["stationId"] for value in values} == {station}
    return [value["output"] for value in values]


# -- the guide's scripts --------------------------------------------------------------------------------


class Program:
    """One of the guide's scripts in a directory of its own, with only the broker and the group replaced."""

    def __init__(self, directory: Path, script: str, bootstrap: str) -> None:
        self.directory = directory
        self.script = script
        self.log = directory / "data_analysis.log"
        config = (GUIDE / "config.py").read_text(encoding="utf-8")
        assert "localhost:9092" in config
        config = config.replace("localhost:9092", bootstrap)
        self.config = config.replace("data_analysis_prod", kafka_tools.unique_name("guide"))
        shutil.copy(GUIDE / script, directory)

    def config_beside_the_script(self) -> None:
        """As the guide's systemd unit has it: everything in the working directory."""
        (self.directory / "config.py").write_text(self.config, encoding="utf-8")

    def config_in_the_package(self) -> None:
        """As the guide's ConfigMap has it: mounted over d_a/config.py, with the package beside the script."""
        package = self.directory / "d_a"
        shutil.copytree(Path(d_a.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
        (package / "config.py").write_text(self.config, encoding="utf-8")

    @contextlib.contextmanager
    def running(self) -> Iterator["subprocess.Popen[str]"]:
        """The script as a process that has taken its position in the topics."""
        self.log.unlink(missing_ok=True)
        environment = {key: value for key, value in os.environ.items() if not key.startswith("DATA_ANALYSIS")}
        environment |= {"PYTHONPATH": str(self.directory), "PYTHONWARNINGS": "ignore"}
        process = subprocess.Popen(
            [sys.executable, self.script],
            cwd=self.directory,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=_hear_ctrl_c,
        )
        try:
            waiting.until(
                lambda: process.poll() is not None or self._is_ready(),
                what=f"{self.script} reads its topics",
                timeout_seconds=60,
            )
            yield process
        finally:
            process.kill()
            process.communicate()

    def _is_ready(self) -> bool:
        return self.log.exists() and "windows of 64 slots are restored" in self.log.read_text(
            encoding="utf-8"
        )

    @staticmethod
    def told(process: "subprocess.Popen[str]", number: signal.Signals) -> str:
        """What it printed, once it has ended within ten seconds of the signal."""
        process.send_signal(number)
        printed, _ = process.communicate(timeout=10)
        return printed


def _hear_ctrl_c() -> None:
    """A run in the background of a shell ignores SIGINT, and its children would inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture(scope="module")
def bootstrap(kafka: kafka_cluster.KafkaEndpoint) -> str:
    """The broker, with the topics that the guide names."""
    servers = kafka.bootstrap_servers
    for topic in {*TOPICS, OUTPUT} - kafka_tools.topics(servers):
        kafka_tools.create_topic(servers, topic)
    return servers


def sample(station: str, load: float) -> dict[str, Any]:
    return {"stationId": station, "gunId": "G1", "historyCurveStationAvg": load}


@pytest.mark.parametrize("script", ["sync_main.py", "async_main.py"])
@pytest.mark.parametrize("place", ["config_beside_the_script", "config_in_the_package"])
def test_the_guides_script_turns_records_into_outputs_and_ends_on_sigterm(
    script: str, place: str, bootstrap: str, tmp_path: Path
) -> None:
    program, station = Program(tmp_path, script, bootstrap), kafka_tools.unique_name("S")
    getattr(program, place)()
    with program.running() as process:
        produce(bootstrap, "SCHEDULE-STATION-REALTIME-DATA", sample(station, 74.0), sample(station, 80.0))
        found = outputs(bootstrap, OUTPUT, station, 2)
        printed = program.told(process, signal.SIGTERM)
    assert [output["load_forecast"] for output in found] == [[74.0, 74.0], [80.0, 80.0]]
    assert found[0]["samples"] == 5
    assert process.returncode == 0
    assert f"{station}: {{'load_forecast': [80.0, 80.0], 'samples': 5}}" in printed
    assert printed.endswith("stopped\n")


@pytest.mark.parametrize("script", ["sync_main.py", "async_main.py"])
def test_a_second_run_of_the_guides_script_carries_on_where_the_first_stopped(
    script: str, bootstrap: str, tmp_path: Path
) -> None:
    program, station = Program(tmp_path, script, bootstrap), kafka_tools.unique_name("S")
    program.config_beside_the_script()
    for load in (1.0, 2.0):
        with program.running() as process:
            produce(bootstrap, "SCHEDULE-STATION-REALTIME-DATA", sample(station, load))
            outputs(bootstrap, OUTPUT, station, int(load))
            program.told(process, signal.SIGTERM)
        produce(bootstrap, "REAL-STATION-DATA", {"stationId": f"{station}-while-away", "power": load})
    with program.running() as process:
        outputs(bootstrap, OUTPUT, f"{station}-while-away", 2)
        program.told(process, signal.SIGTERM)
    keys = [record.key for record in kafka_tools.read_all(bootstrap, OUTPUT)]
    assert keys.count(station.encode()) == 2


@pytest.mark.parametrize(("script", "code"), [("sync_main.py", 0), ("async_main.py", -signal.SIGINT)])
def test_ctrl_c_stops_the_guides_script_in_order(
    script: str, code: int, bootstrap: str, tmp_path: Path
) -> None:
    program = Program(tmp_path, script, bootstrap)
    program.config_beside_the_script()
    with program.running() as process:
        printed = program.told(process, signal.SIGINT)
    assert "stopped" in printed.splitlines()
    assert process.returncode == code


BACKGROUND = """
import time
from d_a import DataAnalysisService

service = DataAnalysisService(module_name="load_prediction")
service.start(callback=lambda station_id, module_input: {"power": module_input["power"]})
while True:
    time.sleep(1)
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, -signal.SIGINT)])
def test_a_script_that_only_waits_beside_the_service_is_stopped_in_order_too(
    number: signal.Signals, code: int, bootstrap: str, tmp_path: Path
) -> None:
    program, station = Program(tmp_path, "sync_main.py", bootstrap), kafka_tools.unique_name("S")
    program.config_beside_the_script()
    (tmp_path / "sync_main.py").write_text(BACKGROUND, encoding="utf-8")
    with program.running() as process:
        produce(bootstrap, "REAL-STATION-DATA", {"stationId": station, "power": 5})
        assert outputs(bootstrap, OUTPUT, station, 1) == [{"power": 5}]
        program.told(process, number)
    assert process.returncode == code
    with program.running() as process:  # what was done is not done again
        produce(bootstrap, "REAL-STATION-DATA", {"stationId": station, "power": 6})
        assert outputs(bootstrap, OUTPUT, station, 2) == [{"power": 5}, {"power": 6}]
        program.told(process, number)


# -- services in this process ---------------------------------------------------------------------------


class Chain:
    """The configuration of a module and of one that depends on it, on topics of their own."""

    def __init__(self, topics: kafka_tools.TopicFactory) -> None:
        self.bootstrap = topics.bootstrap
        self.power, self.price = topics("power"), topics("price")
        self.prefix = f"{kafka_tools.unique_name('out')}-"
        self.config = {
            "kafka": {
                "bootstrap_servers": topics.bootstrap,
                "consumer": {"group_id": kafka_tools.unique_name("chain"), "auto_offset_reset": "earliest"},
            },
            "topic_detail": {
                self.power: {"fields": ["power"], "modules": ["load"], "window_size": 3},
                self.price: {"fields": ["price"], "modules": ["plan"], "window_size": 1},
            },
            "module_dependencies": {"plan": ["load"]},
            "module_output": {"topic_prefix": self.prefix},
        }

    def produce(self, *powers: float) -> None:
        produce(self.bootstrap, self.power, *({"stationId": "S1", "power": power} for power in powers))

    def outputs(self, module: str, count: int) -> list[Any]:
        topic = f"{self.prefix}{module.upper()}"
        waiting.until(lambda: topic in kafka_tools.topics(self.bootstrap), what=topic, timeout_seconds=30)
        return outputs(self.bootstrap, topic, "S1", count)


@pytest.fixture
def chain(topic_factory: kafka_tools.TopicFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Chain:
    monkeypatch.chdir(tmp_path)
    return Chain(topic_factory)


@contextlib.contextmanager
def started(service: DataAnalysisService, callback: Any, **options: Any) -> Iterator[DataAnalysisService]:
    service.start(callback, **options)
    try:
        yield service
    finally:
        service.stop()


def test_a_modules_output_reaches_the_module_that_depends_on_it(chain: Chain) -> None:
    load = DataAnalysisService("load", config=chain.config)
    plan = DataAnalysisService("plan", config=chain.config)
    with (
        started(load, lambda s, i: {"load_forecast": [float(sum(i["power_window"]))]}),
        started(plan, lambda s, i: {"seen": i["load_forecast"], "all": i["load_output_window"]}),
    ):
        chain.produce(1, 2, 3, 4)
        assert chain.outputs("load", 4)[-1] == {"load_forecast": [9.0]}
        assert chain.outputs("plan", 4)[-1]["seen"] == [9.0]
        assert [each["load_forecast"] for each in chain.outputs("plan", 4)[-1]["all"]] == [
            [1.0],
            [3.0],
            [6.0],
            [9.0],
        ]


def test_a_handler_hears_of_each_output_and_the_status_tells_of_the_station(chain: Chain) -> None:
    seen: list[Any] = []
    service = DataAnalysisService(
        "load", config=chain.config, result_handler=lambda s, result: seen.append(result)
    )
    with started(service, lambda s, i: i["power"]):
        chain.produce(5, 6)
        waiting.until(lambda: seen == [5, 6], what="the handler heard of both", timeout_seconds=30)
        status = service.get_service_status()
        assert status["consumer_alive"]
        assert status["producer_alive"]
        assert status["station_count"] == 1
        assert service.get_station_status()["S1"]["running"]
        assert service.get_inputs("S1")["load"]["power_window"] == [0, 5, 6]
    assert not service.get_service_status()["main_thread_alive"]


async def test_an_async_service_uploads_batches_its_results_and_stops(chain: Chain) -> None:
    batches: list[Mapping[str, Any]] = []

    async def callback(station_id: str, module_input: Mapping[str, Any]) -> Any:
        await asyncio.sleep(0)
        return module_input["power"]

    service = AsyncDataAnalysisService("load", config=chain.config)
    await service.start(callback, batch_upload_handler=lambda batch_id, results: batches.append(results))
    await asyncio.to_thread(chain.produce, 7, 8)
    assert await asyncio.to_thread(chain.outputs, "load", 2) == [7, 8]
    await service.stop()
    assert [dict(batch) for batch in batches] == [{"S1": 7}, {"S1": 8}]


def test_without_a_module_one_consumer_serves_all_and_writes_no_output(chain: Chain) -> None:
    seen: list[Any] = []

    def callback(station_id: str, inputs: Any) -> None:
        if station_id == "S1":  # the catalogue's topics may hold stations of other tests
            seen.append(inputs)

    with started(DataAnalysisService(config=chain.config), callback):
        chain.produce(5)
        waiting.until(lambda: seen, what="the callback was called", timeout_seconds=30)
    assert seen[0]["load"]["power_window"] == [0, 0, 5]
    assert seen[0]["plan"]["load_output_window"] == []
    assert "load_prediction" in seen[0]
    assert not [topic for topic in kafka_tools.topics(chain.bootstrap) if topic.startswith(chain.prefix)]


# -- clients --------------------------------------------------------------------------------------------


def client_config(bootstrap: str) -> dict[str, Any]:
    return {
        "bootstrap_servers": bootstrap,
        "consumer": {"group_id": kafka_tools.unique_name("client"), "auto_offset_reset": "earliest"},
        "producer": {"acks": "all", "compression_type": "gzip"},
    }


def flattened(polled: Mapping[Any, Sequence[Any]]) -> list[Any]:
    return [message.value for messages in polled.values() for message in messages]


def test_the_synchronous_clients_write_and_read_json(topic_factory: kafka_tools.TopicFactory) -> None:
    topic, config = topic_factory("client"), client_config(topic_factory.bootstrap)
    producer = kafka_client.KafkaProducerClient(config)
    producer.send(topic, {"站": 1}, key="S1")
    producer.send(topic, b"no json")
    producer.close()
    consumer = kafka_client.KafkaConsumerClient([topic], config)
    values: list[Any] = []

    def both() -> bool:
        values.extend(flattened(consumer.poll(timeout_ms=500)))
        return len(values) == 2

    waiting.until(both, what="both messages are read", timeout_seconds=30)
    consumer.close()
    consumer.close()
    assert values == [{"站": 1}, b"no json"]
    with pytest.raises(RuntimeError, match="closed"):
        consumer.poll()
    with pytest.raises(RuntimeError, match="closed"):
        producer.send(topic, {})


async def test_the_asynchronous_clients_write_and_read_json(topic_factory: kafka_tools.TopicFactory) -> None:
    topic, config = topic_factory("client"), client_config(topic_factory.bootstrap)
    producer = kafka_client.AsyncKafkaProducerClient(config)
    await producer.start()
    for number in range(3):
        await producer.send(topic, {"number": number})
    await producer.stop()
    consumer = kafka_client.AsyncKafkaConsumerClient([topic], config)
    await consumer.start()
    values = [(await consumer.getone()).value]
    async with asyncio.timeout(30):
        while len(values) < 3:
            values += flattened(await consumer.getmany(timeout_ms=500))
    await consumer.stop()
    assert values == [{"number": 0}, {"number": 1}, {"number": 2}]
