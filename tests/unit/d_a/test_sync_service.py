"""DataAnalysisService, from constructor to stop, on Kafka in memory."""

import asyncio
import concurrent.futures
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from d_a import config, errors
from tests.infrastructure import local_ports
from tests.unit.d_a import offline


@pytest.fixture(autouse=True)
def _directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATA_ANALYSIS_LOG", raising=False)


class Services:
    """Makes services and stops them at the end."""

    def __init__(self) -> None:
        self.made: list[offline.Offline] = []

    def __call__(self, module_name: str | None = "load_prediction", **options: Any) -> offline.Offline:
        options.setdefault("config", offline.SETTINGS)
        made = offline.Offline(module_name, **options)
        made.cluster = offline.cluster()
        self.made.append(made)
        return made


@pytest.fixture
def services() -> Iterator[Services]:
    made = Services()
    yield made
    for each in made.made:
        each.stop()


def outputs(service: offline.Offline, topic: str = offline.OUTPUT) -> list[Any]:
    if topic not in service.cluster.topics():
        return []
    return [record.json()["output"] for record in service.cluster.records(topic)]


def test_constructing_connects_to_nothing_and_opens_no_file(services: Services, tmp_path: Path) -> None:
    made = services()
    assert made.cluster.calls == {}
    assert list(tmp_path.iterdir()) == []


def test_a_configuration_error_comes_from_the_constructor_with_every_problem(services: Services) -> None:
    with pytest.raises(errors.ConfigurationError) as caught:
        services("load_predictoin", padding_strategy="cubic")
    assert [problem.path for problem in caught.value.problems] == ["module_name", "padding_strategy"]


def test_the_arguments_of_the_contract_are_taken_by_position() -> None:
    kafka = {"bootstrap_servers": "k:1", "group_id": "g"}
    made = offline.Offline(
        "load_prediction", [offline.TOPIC], kafka, 600, "OUT-", print, config=offline.SETTINGS
    )
    assert made.get_service_status()["result_handler_registered"] is True


def test_each_record_becomes_a_callback_and_its_result_an_output(services: Services) -> None:
    service = services()
    service.start(lambda station_id, module_input: {"sum": sum(module_input["power_window"])})
    offline.produce(service, offline.TOPIC, *({"stationId": "S1", "power": n} for n in (1, 2, 3, 4)))
    offline.until(lambda: len(outputs(service)) == 4, "all outputs are there")
    assert outputs(service) == [{"sum": 1}, {"sum": 3}, {"sum": 6}, {"sum": 9}]
    (first, *_) = service.cluster.records(offline.OUTPUT)
    assert first.key == b"S1"
    assert set(first.json()) == {"stationId", "module", "output", "timestamp"}


def test_a_result_of_none_uploads_the_input_itself(services: Services) -> None:
    service = services()
    service.start(lambda station_id, module_input: None)
    offline.produce(service, offline.TOPIC, {"stationId": "S1", "power": 7})
    offline.until(lambda: outputs(service), "the output is there")
    assert outputs(service)[0]["power_window"] == [0, 0, 7]
    assert next(iter(outputs(service)[0])) == "stationId"


def test_without_a_callback_the_input_is_uploaded(services: Services) -> None:
    service = services()
    service.start()
    offline.produce(service, offline.TOPIC, {"stationId": "S1", "power": 7})
    offline.until(lambda: outputs(service), "the output is there")
    assert outputs(service)[0]["power"] == 7


def test_without_a_prefix_nothing_is_uploaded_and_the_handler_still_hears(services: Services) -> None:
    service = services(output_topic_prefix=None)
    seen: list[Any] = []
    service.start(lambda s, i: i["power"], lambda s, i, result: seen.append((s, i["power"], result)))
    offline.produce(service, offline.TOPIC, {"stationId": "S1", "power": 7})
    offline.until(lambda: seen, "the handler was called")
    assert seen == [("S1", 7, 7)]
    assert offline.OUTPUT not in service.cluster.topics()


def test_a_handler_runs_after_the_upload_and_its_error_is_only_logged(
    services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    service = services()
    seen: list[int] = []

    def handler(station_id: str, result: Any) -> None:
        seen.append(len(outputs(service)))
        raise ValueError("not handled")

    service.start(lambda s, i: i["power"], handler)
    offline.produce(service, offline.TOPIC, *({"stationId": "S1", "power": n} for n in (1, 2)))
    offline.until(lambda: len(seen) == 2, "the handler was called twice")
    assert seen[0] >= 1
    offline.until(lambda: "ValueError: not handled [handler of S1]" in caplog.text, "the error is logged")


def test_an_async_callback_and_an_async_handler_work_too(services: Services) -> None:
    service = services()
    seen: list[Any] = []

    async def callback(station_id: str, module_input: Any) -> Any:
        await asyncio.sleep(0)
        return module_input["power"]

    async def handler(station_id: str, module_input: Any, result: Any) -> None:
        seen.append(result)

    service.start(callback, handler)
    offline.produce(service, offline.TOPIC, {"stationId": "S1", "power": 7})
    offline.until(lambda: seen, "the handler was called")
    assert (seen, outputs(service)) == ([7], [7])


def test_an_exception_costs_one_output_and_no_other(services: Services) -> None:
    service = services()
    service.start(lambda s, i: 10 // i["power"])
    offline.produce(service, offline.TOPIC, *({"stationId": "S1", "power": n} for n in (1, 0, 5)))
    offline.until(lambda: len(outputs(service)) == 2, "the other outputs are there")
    assert outputs(service) == [10, 2]


def test_more_stations_than_workers_are_all_served(services: Services) -> None:
    service = services(max_workers=2)
    service.start(lambda s, i: s)
    stations = [f"S{number}" for number in range(50)]
    offline.produce(service, offline.TOPIC, *({"stationId": s, "power": 1} for s in stations))
    offline.until(lambda: sorted(outputs(service)) == sorted(stations), "every station has its output")


def test_a_callback_that_blocks_for_one_station_holds_up_no_other(services: Services) -> None:
    service, gate = services(), threading.Event()

    def callback(station_id: str, module_input: Any) -> Any:
        if station_id == "slow":
            gate.wait(10)
        return station_id

    service.start(callback)
    records = [{"stationId": s, "power": 1} for s in ("slow", "S1", "S2")]
    offline.produce(service, offline.TOPIC, *records)
    offline.until(lambda: sorted(outputs(service)) == ["S1", "S2"], "the others have theirs")
    gate.set()
    offline.until(lambda: "slow" in outputs(service), "and at last the slow one")


def test_without_a_module_the_callback_gets_all_of_them_and_nothing_is_uploaded(services: Services) -> None:
    service = services(None)
    seen: list[Any] = []
    handled: list[Any] = []
    service.start(lambda s, i: seen.append(i) or "made", lambda s, i, result: handled.append((i, result)))  # type: ignore[func-returns-value]
    offline.produce(service, offline.TOPIC, {"stationId": "S1", "power": 7})
    offline.until(lambda: handled, "the handler was called")
    assert list(seen[0]) == list(config.MODULE_DEPENDENCIES)
    assert seen[0]["load_prediction"]["power_window"] == [0, 0, 7]
    assert handled == [(seen[0], "made")]
    assert not [topic for topic in service.cluster.topics() if topic.startswith("MODULE-OUTPUT")]


def test_options_of_1_0_reach_input_and_output(services: Services) -> None:
    service = services(names="snake", envelope="v1.0")
    service.start(lambda s, i: i["station_id"])
    offline.produce(service, offline.TOPIC, {"station_id": "S1", "power": 7})
    offline.until(lambda: outputs(service), "the output is there")
    (record,) = service.cluster.records(offline.OUTPUT)
    assert record.json()["station_id"] == record.json()["output"] == "S1"


def test_inputs_are_read_from_the_windows_by_three_names(services: Services) -> None:
    service = services()
    service.start(lambda s, i: 1)
    offline.produce(service, offline.TOPIC, {"stationId": "S1", "power": 7})
    offline.until(lambda: service.get_inputs("S1"), "the station is known")
    assert list(service.get_inputs("S1")) == ["load_prediction"]
    assert service.get_inputs("S1")["load_prediction"]["power_window"] == [0, 0, 7]
    assert service.get_outputs("S1") == service.get_all_inputs("S1") == service.get_inputs("S1")
    assert service.get_all_inputs("S9") == {}


def test_before_the_start_there_are_no_inputs_and_nothing_is_alive(services: Services) -> None:
    service = services()
    assert service.get_all_inputs("S1") == {}
    assert service.get_station_status() == {}
    assert service.get_service_status() == {
        "main_thread_alive": False,
        "consumer_alive": False,
        "producer_alive": False,
        "result_handler_registered": False,
        "station_count": 0,
        "state": "new",
    }


def running(service: offline.Offline) -> bool:
    return all(
        service.get_service_status()[k] for k in ("main_thread_alive", "consumer_alive", "producer_alive")
    )


def test_a_running_service_is_alive_in_every_part(services: Services) -> None:
    service = services()
    service.start(lambda s, i: 1, print)
    offline.until(lambda: running(service), "everything is alive")
    offline.produce(service, offline.TOPIC, {"stationId": "S1", "power": 7})
    offline.until(lambda: service.get_service_status()["station_count"] == 1, "the station is counted")
    assert service.get_service_status()["result_handler_registered"] is True
    service.stop()
    assert not any(service.get_service_status()[k] for k in ("main_thread_alive", "consumer_alive"))
    assert service.get_service_status()["state"] == "stopped"


def test_a_stations_future_is_done_when_the_service_has_stopped(services: Services) -> None:
    service = services()
    service.start(lambda s, i: 1)
    offline.produce(service, offline.TOPIC, {"stationId": "S1", "power": 7})
    offline.until(lambda: service.get_station_status(), "the station is known")
    status = service.get_station_status()["S1"]
    assert status["running"] is True
    assert isinstance(status["future"], concurrent.futures.Future)
    assert service.get_station_status()["S1"]["future"] is status["future"]
    assert not status["future"].done()
    service.stop()
    assert status["future"].done()
    assert service.get_station_status() == {}


def test_a_service_never_started_reports_the_one_that_runs_and_joins_nothing(services: Services) -> None:
    service = services()
    service.start(lambda s, i: 1)
    offline.produce(service, offline.TOPIC, {"stationId": "S1", "power": 7})
    offline.until(lambda: running(service) and service.get_station_status(), "it runs")
    snippet = services()
    assert running(snippet)
    assert snippet.get_service_status()["station_count"] == 1
    assert snippet.get_station_status()["S1"]["running"] is True
    assert snippet.cluster.calls == {}


def test_a_second_start_is_refused_and_so_is_one_after_a_stop(services: Services) -> None:
    service = services()
    service.start()
    with pytest.raises(RuntimeError, match="is started already"):
        service.start()
    service.stop()
    service.stop()
    with pytest.raises(RuntimeError, match="was stopped; make a new one"):
        service.start()


def test_stopping_before_the_start_does_nothing(services: Services) -> None:
    service = services()
    service.stop()
    service.start()
    offline.until(lambda: running(service), "it runs")


def test_what_is_not_callable_is_refused_at_the_start(services: Services) -> None:
    with pytest.raises(errors.ConfigurationError, match=r"callback: .* give a function"):
        services().start("callback")  # type: ignore[arg-type]


def test_in_the_foreground_start_returns_when_another_thread_stops_it(services: Services) -> None:
    service = services()
    starting = threading.Thread(target=lambda: service.start(lambda s, i: 1, background=False))
    starting.start()
    offline.until(lambda: running(service), "it runs")
    assert starting.is_alive()
    service.stop()
    starting.join(10)
    assert not starting.is_alive()


def test_in_the_foreground_an_unreachable_kafka_is_a_kafka_connection_error() -> None:
    port = local_ports.ReservedPort()
    kafka = {"bootstrap_servers": f"127.0.0.1:{port.number}", "group_id": "g"}
    service = offline.sync_service.DataAnalysisService(
        "load_prediction", kafka_config=kafka, config=offline.SETTINGS, connect_within_seconds=0.1
    )
    with pytest.raises(errors.KafkaConnectionError, match=f"no Kafka at 127.0.0.1:{port.number}"):
        service.start(background=False)
    assert service.get_service_status()["state"] == "failed"
    port.release()


def test_the_stop_finishes_what_was_begun_and_commits_it(services: Services) -> None:
    service, begun, gate = services(), threading.Event(), threading.Event()

    def callback(station_id: str, module_input: Any) -> Any:
        begun.set()
        gate.wait(10)
        return module_input["power"]

    service.start(callback)
    offline.produce(service, offline.TOPIC, {"stationId": "S1", "power": 7})
    begun.wait(10)
    stopping = threading.Thread(target=service.stop)
    stopping.start()
    gate.set()
    stopping.join(10)
    assert outputs(service) == [7]
    progress = service.cluster.records("group.load_prediction-progress")
    assert max(record.json()["offsets"][offline.TOPIC]["0"] for record in progress) == 1


def test_the_log_file_is_opened_by_the_start_and_closed_by_the_stop(
    services: Services, tmp_path: Path
) -> None:
    service = services()
    service.start()
    offline.until(lambda: running(service), "it runs")
    service.stop()
    assert "module load_prediction" in (tmp_path / "data_analysis.log").read_text()
    assert logging.getLogger("d_a").handlers == []


def test_a_reload_keeps_the_windows_and_takes_the_new_sizes(services: Services) -> None:
    settings = offline.settings()
    service = services(config=settings)
    service.start(lambda s, i: list(i["power_window"]))
    offline.produce(service, offline.TOPIC, *({"stationId": "S1", "power": n} for n in (1, 2, 3)))
    offline.until(lambda: len(outputs(service)) == 3, "the outputs are there")
    settings["TOPIC_DETAIL"] = {
        offline.TOPIC: {**offline.SETTINGS["TOPIC_DETAIL"][offline.TOPIC], "window_size": 4}
    }
    service.reload_config()
    assert service.get_inputs("S1")["load_prediction"]["power_window"] == [0, 1, 2, 3]
    offline.produce(service, offline.TOPIC, {"stationId": "S1", "power": 4})
    offline.until(lambda: len(outputs(service)) == 4, "the next output is there")
    assert outputs(service)[-1] == [1, 2, 3, 4]


def test_a_wrong_configuration_is_refused_with_its_path_and_the_old_one_stays(services: Services) -> None:
    settings = offline.settings()
    service = services(config=settings)
    service.start(lambda s, i: list(i["power_window"]))
    settings["TOPIC_DETAIL"] = {offline.TOPIC: {"fields": ["power"], "window_size": 0}}
    with pytest.raises(errors.ConfigurationError, match=r"TOPIC_DETAIL\.REAL-STATION-DATA\.window_size"):
        service.reload_config()
    offline.produce(service, offline.TOPIC, {"stationId": "S1", "power": 7})
    offline.until(lambda: outputs(service), "it runs on")
    assert outputs(service) == [[0, 0, 7]]


def test_another_kafka_connection_needs_a_restart_and_says_so(services: Services) -> None:
    settings = offline.settings()
    service = services(config=settings)
    service.start()
    settings["KAFKA_CONFIG"] = {**offline.KAFKA, "max_poll_records": 5}
    with pytest.raises(errors.ConfigurationError, match=r"KAFKA_CONFIG\.consumer\.max_poll_records.*restart"):
        service.reload_config()


def test_before_the_start_a_reload_takes_anything_over(services: Services) -> None:
    settings = offline.settings()
    service = services(config=settings)
    settings["KAFKA_CONFIG"] = {**offline.KAFKA, "group_id": "other"}
    service.reload_config()
    service.start()
    offline.until(
        lambda: "other.load_prediction-progress" in service.cluster.topics(), "the other group runs"
    )
