"""AsyncDataAnalysisService, from constructor to stop, on Kafka in memory."""

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from d_a import errors
from tests.infrastructure import local_ports
from tests.unit.d_a import offline


@pytest.fixture(autouse=True)
def _directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATA_ANALYSIS_LOG", raising=False)


class Services:
    def __init__(self) -> None:
        self.made: list[offline.AsyncOffline] = []

    def __call__(self, module_name: str | None = "load_prediction", **options: Any) -> offline.AsyncOffline:
        options.setdefault("config", offline.SETTINGS)
        made = offline.AsyncOffline(module_name, **options)
        made.cluster = offline.cluster()
        self.made.append(made)
        return made


@pytest.fixture
async def services() -> AsyncIterator[Services]:
    made = Services()
    yield made
    for each in made.made:
        await each.stop()


async def until(condition: Callable[[], Any], what: str) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def produce(service: offline.AsyncOffline, *records: dict[str, Any]) -> None:
    await asyncio.to_thread(offline.produce, service, offline.TOPIC, *records)


def outputs(service: offline.AsyncOffline) -> list[Any]:
    if offline.OUTPUT not in service.cluster.topics():
        return []
    return [record.json()["output"] for record in service.cluster.records(offline.OUTPUT)]


async def power(station_id: str, module_input: Any) -> Any:
    await asyncio.sleep(0)
    return module_input["power"]


# -- callbacks and results ----------------------------------------------------------------------------


async def test_start_returns_once_it_runs_and_callbacks_are_on_the_callers_loop(services: Services) -> None:
    service, loops = services(), []

    async def callback(station_id: str, module_input: Any) -> Any:
        loops.append(asyncio.get_running_loop())
        return module_input["power"]

    await service.start(callback)
    assert service.get_service_status()["main_thread_alive"] is True
    await produce(service, {"stationId": "S1", "power": 7})
    await until(lambda: outputs(service) == [7], "the output is there")
    assert loops == [asyncio.get_running_loop()]


async def test_a_plain_callback_runs_in_a_thread_and_may_block(services: Services) -> None:
    service, gate = services(), threading.Event()

    def callback(station_id: str, module_input: Any) -> Any:
        gate.wait(10)
        return threading.current_thread() is not threading.main_thread()

    await service.start(callback)
    await produce(service, {"stationId": "S1", "power": 7})
    gate.set()
    await until(lambda: outputs(service) == [True], "the output is there")


async def test_a_handler_of_either_kind_hears_of_each_upload(services: Services) -> None:
    service, seen = services(), []

    async def handler(station_id: str, result: Any) -> None:
        seen.append((station_id, result, asyncio.get_running_loop()))

    await service.start(power, handler)
    await produce(service, {"stationId": "S1", "power": 7})
    await until(lambda: seen, "the handler was called")
    assert seen == [("S1", 7, asyncio.get_running_loop())]


async def test_results_of_all_stations_come_as_a_batch_without_those_of_none(services: Services) -> None:
    service, batches = services(), []

    async def callback(station_id: str, module_input: Any) -> Any:
        return module_input["power"] or None

    await service.start(callback, batch_upload_handler=lambda batch_id, results: batches.append(results))
    await produce(service, *({"stationId": f"S{n}", "power": n} for n in range(4)))
    gathered: dict[str, Any] = {}
    await until(lambda: sum(map(len, batches)) == 3, "all results came in batches")
    for batch in batches:
        gathered |= batch
    assert gathered == {"S1": 1, "S2": 2, "S3": 3}


# -- stations by hand ---------------------------------------------------------------------------------


async def test_a_station_added_by_hand_is_known_before_its_first_record(services: Services) -> None:
    service = services()
    await service.start(power)
    await service.add_station("S5")
    assert service.get_service_status()["station_count"] == 1
    assert list(service.get_all_inputs("S5")) == ["load_prediction"]
    await service.add_station("S5")
    assert service.get_service_status()["station_count"] == 1


async def test_a_station_may_bring_a_callback_and_a_handler_of_its_own(services: Services) -> None:
    service, seen = services(), []
    await service.start(power)
    await service.add_station("S5", lambda s, i: "own", lambda s, result: seen.append((s, result)))
    await produce(service, {"stationId": "S5", "power": 7}, {"stationId": "S6", "power": 8})
    await until(lambda: len(outputs(service)) == 2 and seen, "both outputs are there")
    assert sorted(map(str, outputs(service))) == ["8", "own"]
    assert seen == [("S5", "own")]


async def test_adding_a_known_station_changes_nothing_and_says_so(
    services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    service = services()
    await service.start(power)
    await service.add_station("S5")
    await service.add_station("S5", lambda s, i: "own")
    await produce(service, {"stationId": "S5", "power": 7})
    await until(lambda: outputs(service) == [7], "the service's callback made the output")
    assert "station S5 is known: remove it first" in caplog.text


async def test_a_station_that_is_not_this_services_is_refused(services: Services) -> None:
    service = services(stations={"exclude": ["S5"]})
    await service.start(power)
    with pytest.raises(errors.DataAnalysisError, match="S5 is excluded by `stations`"):
        await service.add_station("S5")


async def test_a_removed_station_is_gone_and_its_task_ended_until_a_record_brings_it_back(
    services: Services,
) -> None:
    service = services()
    await service.start(power)
    await produce(service, {"stationId": "S1", "power": 7})
    await until(lambda: outputs(service) == [7], "the output is there")
    task = service.get_station_status()["S1"]["task"]
    assert isinstance(task, asyncio.Task)
    await service.remove_station("S1")
    await asyncio.wait([task], timeout=5)
    assert task.done()
    assert service.get_station_status() == {}
    assert service.get_all_inputs("S1") == {}
    await produce(service, {"stationId": "S1", "power": 8})
    await until(lambda: outputs(service) == [7, 8], "it is back")
    assert service.get_inputs("S1")["load_prediction"]["power_window"] == [0, 0, 8]


async def test_stations_are_changed_only_while_the_service_runs(services: Services) -> None:
    with pytest.raises(RuntimeError, match="await start"):
        await services().add_station("S1")
    with pytest.raises(RuntimeError, match="await start"):
        await services().remove_station("S1")


# -- inputs, status, configuration --------------------------------------------------------------------


async def test_inputs_may_be_awaited_and_need_not_be(services: Services) -> None:
    service = services()
    await service.start(power)
    await service.add_station("S1")
    assert await service.get_all_inputs("S1") == service.get_all_inputs("S1") == service.get_inputs("S1")
    assert await service.get_all_inputs("S9") == {}


async def test_a_stations_status_has_a_task_that_lasts_as_long_as_the_station(services: Services) -> None:
    service = services()
    await service.start(power)
    await service.add_station("S1")
    await until(lambda: service.get_station_status()["S1"]["running"], "windows are restored")
    status = service.get_station_status()["S1"]
    assert not status["task"].done()
    assert service.get_station_status()["S1"]["task"] is status["task"]
    await service.stop()
    await asyncio.wait([status["task"]], timeout=5)
    assert status["task"].done()


async def test_the_status_may_be_asked_for_from_any_thread(services: Services) -> None:
    service = services()
    await service.start(power)
    await service.add_station("S1")
    tasks: list[Any] = []

    def ask() -> bool:
        tasks.append(service.get_station_status()["S1"]["task"])
        return tasks[-1] is not None

    async with asyncio.timeout(10):
        while not await asyncio.to_thread(ask):
            await asyncio.sleep(0)
    assert isinstance(tasks[-1], asyncio.Task)


async def test_a_reload_may_be_awaited_and_is_in_force_then(services: Services) -> None:
    settings = offline.settings()
    service = services(config=settings)
    await service.start(power)
    await service.add_station("S1")
    settings["TOPIC_DETAIL"] = {
        offline.TOPIC: {"fields": ["power"], "modules": ["load_prediction"], "window_size": 2}
    }
    reloaded = service.reload_config()
    assert reloaded is not None
    await reloaded
    assert service.get_inputs("S1")["load_prediction"]["power_window"] == [0, 0]


async def test_a_wrong_configuration_is_refused_at_once(services: Services) -> None:
    settings = offline.settings()
    service = services(config=settings)
    await service.start(power)
    settings["envelope"] = "v9"
    with pytest.raises(errors.ConfigurationError, match="envelope"):
        service.reload_config()


async def test_a_change_that_needs_a_restart_is_refused_and_the_old_one_stays(services: Services) -> None:
    settings = offline.settings()
    service = services(config=settings)
    await service.start(power)
    await service.add_station("S1")
    settings["profile"] = "v1.1"
    reloaded = service.reload_config()
    assert reloaded is not None
    with pytest.raises(errors.ConfigurationError, match=r"spec\.profile"):
        await reloaded
    assert service.get_inputs("S1")["load_prediction"]["power_window"] == [0, 0, 0]


# -- start and stop -----------------------------------------------------------------------------------


async def test_an_unreachable_kafka_is_an_error_and_the_start_may_be_tried_again() -> None:
    port = local_ports.ReservedPort()
    kafka = {"bootstrap_servers": f"127.0.0.1:{port.number}", "group_id": "g"}
    service = offline.async_service.AsyncDataAnalysisService(
        "load_prediction", kafka_config=kafka, config=offline.SETTINGS, connect_within_seconds=0.1
    )
    for _ in range(2):
        with pytest.raises(errors.KafkaConnectionError, match=r"check kafka\.bootstrapServers"):
            await service.start(power)
    assert service.get_service_status()["state"] == "failed"
    port.release()


async def test_a_second_start_is_refused_and_so_is_one_after_a_stop(services: Services) -> None:
    service = services()
    await service.start(power)
    with pytest.raises(RuntimeError, match="is started already"):
        await service.start(power)
    await service.stop()
    await service.stop()
    with pytest.raises(RuntimeError, match="was stopped"):
        await service.start(power)


async def test_the_signal_handler_is_there_only_while_the_service_runs(services: Services) -> None:
    held = signal.getsignal(signal.SIGTERM)
    service = services()
    await service.start(power)
    assert signal.getsignal(signal.SIGTERM) is not held
    await service.stop()
    assert signal.getsignal(signal.SIGTERM) is held


def test_a_loop_that_ends_without_a_stop_stops_the_service_first(tmp_path: Path) -> None:
    service = offline.AsyncOffline("load_prediction", config=offline.SETTINGS)
    service.cluster = offline.cluster()

    async def forgetful() -> None:
        await service.start(power)
        await service.add_station("S1")
        await produce(service, {"stationId": "S1", "power": 7})
        await until(lambda: outputs(service) == [7], "the output is there")

    asyncio.run(forgetful())
    assert service.get_service_status()["state"] == "stopped"
    progress = service.cluster.records("group.load_prediction-progress")
    assert max(record.json()["offsets"][offline.TOPIC]["0"] for record in progress) == 1


async def test_a_start_that_is_cancelled_leaves_nothing_behind(services: Services) -> None:
    service = services()
    service.cluster.delay("sink.start", 60.0)
    starting = asyncio.create_task(service.start(power))
    await until(lambda: service.cluster.calls["sink.start"], "it is connecting")
    starting.cancel()
    await asyncio.wait([starting], timeout=10)
    assert starting.cancelled()
    assert service.get_service_status()["state"] == "stopped"


async def test_if_the_worker_cannot_go_on_the_task_that_started_it_is_cancelled_with_the_reason(
    services: Services,
) -> None:
    service = services()

    async def main() -> None:
        await service.start(power)
        await asyncio.Event().wait()

    running = asyncio.create_task(main())
    await until(lambda: service.get_service_status()["state"] == "running", "it runs")
    service.cluster.fail_next(1, "source.poll", ZeroDivisionError("a defect"))
    await asyncio.wait([running], timeout=10)
    with pytest.raises(asyncio.CancelledError, match="ZeroDivisionError: a defect"):
        running.result()
    assert service.get_service_status()["state"] == "failed"
