"""Every hot field is taken over by a running worker; everything else is refused, and what runs stays."""

import logging
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from analysis_module import names, shape, spec
from analysis_worker import service
from analysis_worker.callbacks import loading
from analysis_worker.changing import ChangeRefused
from analysis_worker.kafka import partitioning
from analysis_worker.observability import logs
from analysis_worker.settings import Settings
from tests.unit.analysis_worker import hot_calls, hot_inputs
from tests.unit.analysis_worker.hot import CASES, SOURCE, Hot
from tests.unit.analysis_worker.in_memory import SPEC, until
from tests.unit.analysis_worker.serving import Serving

SETTINGS = Settings(commit_interval_seconds=0.02, stop_within_seconds=1.0, expiry_interval_seconds=0.02)


@pytest.fixture(autouse=True)
def _levels_as_before() -> Iterator[None]:
    yield
    logs.release()


@pytest.fixture(autouse=True)
def _mounted(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "CALLBACK_DIRECTORY", str(tmp_path))


def leaves() -> set[str]:
    hot = {path for path, change in shape.field_changes().items() if change is spec.Change.HOT}
    return {path for path in hot if not any(other.startswith((f"{path}.", f"{path}[]")) for other in hot)}


def test_every_hot_field_has_a_case() -> None:
    """In `hot_inputs` or `hot_calls`."""
    assert {change.__module__ for _, change in CASES.values()} == {hot_inputs.__name__, hot_calls.__name__}
    assert leaves() - set(CASES) == set()
    assert set(CASES) - leaves() == set()


@pytest.mark.parametrize("path", CASES)
async def test_a_hot_field_is_taken_over_while_running(path: str, tmp_path: pathlib.Path) -> None:
    base, change = CASES[path]
    it = Hot(tmp_path)
    it.base(**base)
    async with it.serving.running(settings=SETTINGS) as it.worker:
        await change(it)
        assert it.worker.failure is None
        assert it.worker.refused == ()
        config = it.worker.report.status().config
        assert config.applied_hash == config.desired_hash == it.serving.told().config_hash


async def test_no_record_is_lost_and_no_window_shortened_by_changes_in_mid_stream() -> None:
    serving = Serving(partitions=2)
    editions: list[dict[str, Any]] = [
        {"padding": "Missing"},
        {"errors": {"retries": 2}},
        {"callback": {"source": SOURCE, "concurrency": 2}},
        {"inputs": [{**SPEC["inputs"][0], "fields": ["stationId", "power", "extra"]}]},
        {"inputs": [{**SPEC["inputs"][0], "windowSize": 4}]},
        {"padding": "Zero", "expireAfterSeconds": 900},
    ]
    stations = [f"S{number}" for number in range(10)]
    serving.spec["callback"] = {"source": SOURCE}
    async with serving.running() as worker:
        serving.send(stations, 5)
        for epoch, edition in enumerate(editions, start=1):
            serving.spec.update(edition)
            serving.send(stations, 5)
            await worker.apply(serving.told(epoch=epoch))
            serving.send(stations, 5)
        await serving.all_out()
    for station in stations:
        results = [result for name, result in serving.outputs if name == station]
        assert [result["power"] for result in results] == list(range(1, 66))
        for result in results[5:]:
            window = [power for power in result["window"] if power]
            assert window == list(range(result["power"] - len(window) + 1, result["power"] + 1))
            assert len(window) >= 3


async def test_a_change_while_windows_are_restored_holds_for_what_is_held_as_well() -> None:
    serving = Serving(partitions=2)
    quick, slow = (keyed_to(partition) for partition in (0, 1))
    serving.send([quick], 10)
    serving.send([slow], 2_000)
    async with serving.running():
        await serving.all_out()
    serving.send([quick])
    worker = serving.worker(settings=Settings(commit_interval_seconds=0.02, most_per_poll=100))
    await worker.start()
    await until(lambda: any(part.held for part in worker.feed.parts.values()), "a live record is held")
    assert worker.feed.restoring
    fields = ["first", "stationId", "power", "last"]
    serving.spec["inputs"] = [{**SPEC["inputs"][0], "fields": fields, "windowSize": 4}]
    await worker.apply(serving.told(epoch=1))
    await serving.all_out()
    await worker.stop()
    windows = [window for name, window in serving.outputs if name == quick]
    assert [window[-1] for window in windows] == list(range(1, 12))
    assert windows[-1] == [8, 9, 10, 11]


def keyed_to(partition: int) -> str:
    """A station whose key leads to this partition of two."""
    stations = (f"S{number}" for number in range(100))
    return next(name for name in stations if partitioning.partition_of(name.encode(), 2) == partition)


# -- what is refused --------------------------------------------------------------------------------


def what_runs(worker: service.Worker) -> tuple[Any, ...]:
    """All of the configuration; slots and their epoch are another matter."""
    return worker.assignment.module_spec, worker.flow.callback, worker.assembly


async def refused(serving: Serving, change: dict[str, Any], error: type[Exception], match: str) -> None:
    """A change is refused with this reason, and the worker goes on as before; a good one clears that."""
    async with serving.running() as worker:
        serving.send(["S1"])
        await serving.all_out()
        before = what_runs(worker)
        with pytest.raises(error, match=match):
            await worker.apply(serving.told(epoch=1, **change))
        assert what_runs(worker) == before
        config = worker.report.status().config
        assert len(config.refused) == 1
        assert config.applied_hash == serving.told().config_hash
        assert config.desired_hash == serving.told(**change).config_hash
        serving.send(["S1"])
        await serving.all_out()
        await worker.apply(serving.told(epoch=2))
        assert worker.report.status().config.refused == ()
    serving.assert_exact()


async def test_a_rolling_field_is_refused_by_its_name() -> None:
    change = {"kafka": {**SPEC["kafka"], "autoOffsetReset": "latest"}}
    await refused(Serving(), change, ChangeRefused, r"spec\.kafka\.autoOffsetReset: .* rolling")


async def test_a_field_that_needs_everything_anew_is_refused_by_its_name() -> None:
    change = {"partitioning": {"slots": 16}}
    await refused(Serving(), change, ChangeRefused, r"spec\.partitioning\.slots: .* recreate")


async def test_a_routing_inside_an_input_is_refused_by_its_name() -> None:
    change = {"inputs": [{**SPEC["inputs"][0], "routing": "Aligned"}]}
    await refused(Serving(), change, ChangeRefused, r"spec\.inputs\[0\]\.routing: .* rolling")


@pytest.mark.parametrize(
    ("source", "match"),
    [
        ("def callback(:", "line 1"),
        ("1 / 0", "ZeroDivisionError"),
        ("x = 1", "defines no function callback"),
        ("def set_up():\n    1 / 0\ndef callback(s, m):\n    return 1\n", "set_up raised ZeroDivisionError"),
    ],
)
async def test_a_bad_callback_is_refused_and_the_old_one_goes_on(source: str, match: str) -> None:
    await refused(Serving(), {"callback": {"source": source}}, loading.CallbackError, match)


async def test_source_text_is_refused_where_the_environment_switches_it_off(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    monkeypatch.setenv(names.ENV_INLINE_SOURCE, "off")
    path = tmp_path / "callback.py"
    path.write_text("def callback(s, module_input):\n    return list(module_input['power_window'])\n")
    change = {"callback": {"source": SOURCE}}
    await refused(Serving(callback={"file": str(path)}), change, loading.CallbackError, "switched off")


async def test_a_guarantee_is_refused_as_any_rolling_field() -> None:
    await refused(Serving(), {"delivery": "ExactlyOnce"}, ChangeRefused, r"spec\.delivery: .* rolling")


async def test_an_older_epoch_and_another_workers_assignment_are_refused() -> None:
    serving = Serving()
    async with serving.running(serving.told(epoch=5)) as worker:
        with pytest.raises(ChangeRefused, match="epoch: 4 is older than 5"):
            await worker.apply(serving.told(epoch=4))
        with pytest.raises(ChangeRefused, match="owner: b is not this worker, a"):
            await worker.apply(serving.told("b", epoch=6))
        assert worker.assignment.epoch == 5


async def test_a_former_callback_is_torn_down_once_and_only_after_its_last_call() -> None:
    source = """
import threading
entered, free, notes = threading.Event(), threading.Event(), []
def set_up():
    notes.append("set_up")
def callback(station_id, module_input):
    entered.set()
    free.wait(5)
    notes.append("called")
    return "old"
def tear_down():
    notes.append("tear_down")
"""
    serving = Serving(callback={"source": source})
    async with serving.running() as worker:
        old = worker.flow.callback.function.__globals__
        serving.send(["S1"])
        await until(old["entered"].is_set, "the old one is under way")
        await worker.apply(
            serving.told(epoch=1, callback={"source": "def callback(s, m):\n    return 'new'\n"})
        )
        serving.send(["S2"])
        await serving.some_out(1)
        assert old["notes"] == ["set_up"]
        old["free"].set()
        await until(lambda: old["notes"] == ["set_up", "called", "tear_down"], "the old one is torn down")
        await serving.all_out()
    assert sorted(serving.outputs) == [("S1", "old"), ("S2", "new")]
    assert old["notes"].count("tear_down") == 1


async def test_other_callback_settings_do_not_load_the_callback_anew() -> None:
    source = "calls = []\ndef callback(s, m):\n    calls.append(s)\n    return len(calls)\n"
    serving = Serving(callback={"source": source})
    async with serving.running() as worker:
        serving.send(["S1"], 2)
        await serving.all_out()
        for epoch, settings in enumerate(({"concurrency": 3}, {"timeoutSeconds": 9}), start=1):
            await worker.apply(serving.told(epoch=epoch, callback={"source": source, **settings}))
            serving.send(["S1"])
            await serving.all_out()
    assert [result for _, result in serving.outputs] == [1, 2, 3, 4]


async def test_a_change_while_kafka_is_away_is_applied_at_once_and_its_topics_follow() -> None:
    serving = Serving()
    serving.cluster.create_topic("OTHER")
    other = {**SPEC["inputs"][0], "topic": "OTHER"}
    async with serving.running() as worker:
        serving.cluster.disconnect()
        serving.spec.update(inputs=[*SPEC["inputs"], other], output={"topic": "ELSEWHERE"})
        await worker.apply(serving.told(epoch=1))
        assert worker.report.status().config.applied_hash == serving.told().config_hash
        serving.cluster.produce("OTHER", {"stationId": "S1", "power": 7})
        serving.cluster.reconnect()
        await until(lambda: serving.cluster.records("ELSEWHERE"), "an output in the new topic")


async def test_an_unrelated_change_leaves_a_level_from_the_environment_alone() -> None:
    serving = Serving()
    async with serving.running() as worker:
        logging.getLogger("analysis_worker").setLevel(logging.DEBUG)
        await worker.apply(serving.told(epoch=1, padding="Missing"))
        assert logging.getLogger("analysis_worker").level == logging.DEBUG
