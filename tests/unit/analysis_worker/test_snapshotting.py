"""Whole workers on Kafka in memory that write snapshots, and take their windows from them."""

import contextlib
import dataclasses
import logging
import re
import threading
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from analysis_module import spec
from analysis_worker import service, snapshotting
from analysis_worker.engine.records import TopicPartition
from analysis_worker.kafka import progress_log
from analysis_worker.observability.metrics import WorkerMetrics
from analysis_worker.state import exporting, objects, store
from tests.unit.analysis_worker.in_memory import INPUT, until
from tests.unit.analysis_worker.serving import QUICK, SLOTS, Serving, stations_of
from tests.unit.analysis_worker.state.kept import GROUP, SOURCE, TOPIC, Kept

WINDOW = 1_100
TAKEN = "windows of {} slots are taken from the snapshot"


class Snapshotted(Serving):
    """A module whose workers write snapshots into `directory`/snapshots, files of their own beside it."""

    def __init__(self, directory: Path, **snapshots: Any) -> None:
        url = (directory / "snapshots").as_uri()
        super().__init__(
            inputs=[{"topic": INPUT, "fields": ["stationId", "power"], "windowSize": WINDOW}],
            state={"snapshots": {"url": url, "intervalSeconds": 1, **snapshots}},
            callback={
                "source": "def callback(station, given):\n    w = list(given['power_window'])\n"
                "    return [sum(w), w[0], w[-1]]\n"
            },
            kafka={"bootstrapServers": ["in-memory:1"], "autoOffsetReset": "earliest"},
        )
        self.directory = directory

    @contextlib.asynccontextmanager
    async def on(
        self, node: str, owner: str = "a", slots: Iterable[int] = range(SLOTS)
    ) -> AsyncIterator[service.Worker]:
        settings = dataclasses.replace(
            QUICK, state_directory=self.directory / node, checkpoint_interval_seconds=0.05
        )
        async with self.running(self.told(owner, slots), settings=settings) as worker:
            yield worker

    async def written(self, worker: service.Worker) -> None:
        """Wait for a snapshot of everything that was sent."""
        await self.all_out()
        await until(lambda: self._reached(worker), "the checkpoints hold all")
        now = time.time()  # a round that began before may lack what came last
        await until(lambda: (worker.checkpoints.snapshotted_at or 0.0) > now, "a snapshot is written")

    def _reached(self, worker: service.Worker) -> bool:
        kept: Any = worker.checkpoints
        ends = [positions for positions in kept._positions.values() if positions]
        return bool(ends) and all(max(each.values()) >= sum(self.sent.values()) - 1 for each in ends)

    def assert_whole(self) -> None:
        """Each output is of the window that a worker that never ended would have seen."""
        for station in self.sent:
            found = [result for name, result in self.outputs if name == station]
            expected = []
            for n in range(1, self.sent[station] + 1):
                window = range(max(1, n - WINDOW + 1), n + 1)
                expected.append([sum(window), window[0] if n >= WINDOW else 0, n])
            assert found == expected


async def snapshotted(tmp_path: Path) -> tuple[Snapshotted, list[str]]:
    """A module of which a worker has written a snapshot, and its stations."""
    module, stations = Snapshotted(tmp_path), stations_of(range(SLOTS), 1)
    async with module.on("first") as worker:
        module.send(stations, 30)
        await module.written(worker)
    return module, stations


async def test_a_worker_without_files_takes_its_windows_from_the_snapshot_and_they_are_as_they_were(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    module, stations = await snapshotted(tmp_path)
    module.cluster.trim(INPUT, 0, before=sum(module.sent.values()))
    caplog.clear()
    async with module.on("second"):
        module.send(stations, 5)
        await module.all_out()
        for where in ("the snapshot", "files"):
            parts = re.findall(rf"(\d+) windows of \d+ slots are taken from {where}", caplog.text)
            assert sum(map(int, parts)) == SLOTS
    module.assert_whole()


@pytest.mark.parametrize("trimmed", [True, False])
async def test_gained_slots_take_their_windows_from_the_snapshot(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, trimmed: bool
) -> None:
    caplog.set_level(logging.INFO)
    module, stations = await snapshotted(tmp_path)
    if trimmed:
        module.cluster.trim(INPUT, 0, before=sum(module.sent.values()))
    async with module.on("second", "b", range(3)) as worker:
        caplog.clear()
        await worker.apply(module.told("b", range(SLOTS), epoch=1))
        assert f"{SLOTS - 3} {TAKEN.format(SLOTS - 3)}" in caplog.text
        module.send(stations, 5)
        await module.all_out()
    module.assert_whole()


async def test_a_store_that_is_not_reached_holds_no_start_up_and_is_counted(tmp_path: Path) -> None:
    module = Snapshotted(tmp_path)
    stations = stations_of(range(SLOTS), 1)
    async with module.on("first"):
        module.send(stations, 5)
        await module.all_out()
    (tmp_path / "snapshots").write_text("no directory")
    async with module.on("second") as worker:
        module.send(stations, 5)
        await module.all_out()
        assert failures(worker) == 1
        await until(lambda: failures(worker) > 1, "a round fails as well")
        assert worker.failure is None
    module.assert_whole()


async def test_files_younger_than_a_snapshot_could_be_are_taken_without_asking_the_store(
    tmp_path: Path,
) -> None:
    module = Snapshotted(tmp_path, intervalSeconds=900)
    stations = stations_of(range(SLOTS), 1)
    async with module.on("first"):
        module.send(stations, 5)
        await module.all_out()
    (tmp_path / "snapshots").write_text("no directory")
    async with module.on("first") as worker:
        assert failures(worker) == 0


@pytest.mark.parametrize(("url", "told"), [({}, [1.0]), ({"url": None}, [])])
async def test_the_interval_is_told_where_snapshots_are_asked_for(
    tmp_path: Path, url: dict[str, None], told: list[float]
) -> None:
    async with Snapshotted(tmp_path, **url).on("first") as worker:
        samples = [each for family in worker.metrics.collect() for each in family.samples]
        found = [each.value for each in samples if each.name == "data_analysis_snapshot_interval_seconds"]
        assert found == told


async def test_without_an_address_nothing_is_copied(tmp_path: Path) -> None:
    module = Snapshotted(tmp_path, url=None)
    async with module.on("first") as worker:
        module.send(stations_of(range(SLOTS), 1), 5)
        await module.all_out()
        assert worker.checkpoints.snapshotted_at is None


def failures(worker: service.Worker) -> float:
    """How many failures of snapshots the worker has counted."""
    samples = worker.metrics._state_failures.family().samples
    return next(sample.value for sample in samples if sample.labels == {"reason": "snapshot"})


# -- plain files --------------------------------------------------------------------------------------


def a_snapshotting(tmp_path: Path, files: store.Store) -> snapshotting.Snapshotting:
    asked = spec.Snapshots(url=(tmp_path / "snapshots").as_uri(), interval_seconds=1.0)
    metrics = WorkerMetrics(CollectorRegistry(), module="module", owner="owner")
    return snapshotting.Snapshotting(asked, GROUP, files, source=SOURCE, max_bytes=2**34, metrics=metrics)


@pytest.mark.parametrize(("done", "taken"), [(1_499, False), (1_500, True)])
async def test_a_snapshot_ahead_of_the_progress_is_not_taken(tmp_path: Path, done: int, taken: bool) -> None:
    kept = Kept(tmp_path)
    kept.add(0, "S1", 1_500)
    path = kept.write(0)
    url = (tmp_path / "snapshots").as_uri()
    exporting.Exporter(objects.at(url, make=True), GROUP).round([path])
    fresh = store.Store(tmp_path / "fresh", 2**34)
    fresh.open()
    held = {0: progress_log.SlotProgress(0, "owner", 0, {TopicPartition(TOPIC, 0): done}, {})}
    await a_snapshotting(tmp_path, fresh).fetch({TOPIC: "meaning"}, held)
    assert (fresh.slots() == {0}) is taken
    fresh.close()


async def test_slots_come_back_from_a_snapshot_part_by_part_and_the_busiest_flow_before_the_last_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving = Snapshotted(tmp_path)
    (busiest, *_), rest = stations_of([5], each=1), stations_of(set(range(SLOTS)) - {5}, each=1)
    async with serving.on("one") as worker:
        serving.send([busiest], 1_200)
        serving.send(rest, 900)
        await serving.written(worker)
    gate, fetched = threading.Event(), []
    fetch = snapshotting.Snapshotting._fetch

    def slowly(self: snapshotting.Snapshotting, meanings: Any, held: Any) -> None:
        fetched.append(set(held))
        assert len(fetched) == 1 or gate.wait(10)
        fetch(self, meanings, held)

    monkeypatch.setattr(snapshotting.Snapshotting, "_fetch", slowly)
    async with serving.on("two") as worker:
        serving.send([*rest, busiest])
        await serving.some_out(sum(serving.sent.values()) - len(rest))
        assert dict(serving.outputs)[busiest][-1] == 1_201
        status = worker.report.status()
        assert (status.state, set(status.restoring_slots)) == ("running", set(range(SLOTS)) - {5})
        assert 0.0 < status.restore_progress < 1.0
        gate.set()
        await serving.all_out()
        await until(lambda: worker.report.status().restore_progress == 1.0, "all are restored")
    assert fetched[0] == {5}
    assert sorted(slot for part in fetched for slot in part) == list(range(SLOTS))
    assert [len(part) for part in fetched] == [1, 1, 6]
    newest = dict(serving.outputs)
    assert newest[busiest] == [sum(range(102, 1_202)), 102, 1_201]
    assert all(newest[station] == [sum(range(1, 902)), 0, 901] for station in rest)


async def test_files_of_slots_whose_part_is_still_to_come_are_there_when_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker was down for longer than snapshots are apart: the store may have more, and has not."""
    module, stations = await snapshotted(tmp_path)
    module.cluster.trim(INPUT, 0, before=sum(module.sent.values()))
    gate, swept = threading.Event(), []
    fetch, sweep = snapshotting.Snapshotting._fetch, store.Store.sweep

    def slowly(self: snapshotting.Snapshotting, meanings: Any, held: Any) -> None:
        assert len(held) == 1 or gate.wait(10)
        fetch(self, meanings, held)

    def counted(self: store.Store) -> None:
        sweep(self)
        swept.append(self)

    monkeypatch.setattr(snapshotting.Snapshotting, "_has", lambda *_: False)
    monkeypatch.setattr(snapshotting.Snapshotting, "_fetch", slowly)
    monkeypatch.setattr(store.Store, "sweep", counted)
    async with module.on("first"):
        await until(lambda: len(swept) > 1, "what nobody needs is swept")
        gate.set()
        module.send(stations, 5)
        await module.all_out()
    module.assert_whole()
