"""Each alert on windows in files fires by its real fault: budget, volume and store that fail the worker."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.infrastructure import kafka_tools, numbered_stream, waiting, watched_scenes
from tests.infrastructure.kafka_cluster import KafkaEndpoint
from tests.infrastructure.watched import Watched
from tests.infrastructure.watched_scenes import PER_SECOND, Scene, Scenes

WINDOW = 1_100
"""Large enough for files."""
STATIONS = 200
"""Whose windows take more than the least budget."""
LEAST_BUDGET = 2**20
PATIENCE_SECONDS = 60.0


@pytest.fixture(scope="module")
def prometheus() -> Iterator[Watched]:
    with Watched() as prometheus:
        yield prometheus


@pytest.fixture
def scenes(prometheus: Watched, tmp_path: Path) -> Iterator[Scenes]:
    """The scenes of one test."""
    with watched_scenes.Scenes(prometheus, tmp_path) as scenes:
        yield scenes


def until_known(prometheus: Watched, scene: Scene, age: str) -> None:
    """Wait until Prometheus knows how old the checkpoints, or the snapshot, of its worker are."""
    series = f'data_analysis_{age}_age_seconds{{pod="{scene.pod}"}}'
    waiting.until(
        lambda: prometheus.value(series) is not None,
        what=f"there is a {age}",
        timeout_seconds=PATIENCE_SECONDS,
    )


@contextlib.contextmanager
def gone(directory: Path) -> Iterator[None]:
    """While it lasts a file stands in the place of a directory, in which nothing can be written then."""
    elsewhere = directory.with_name(f"{directory.name}-elsewhere")
    directory.rename(elsewhere)
    directory.write_text("no directory")
    yield
    directory.unlink()
    elsewhere.rename(directory)


def test_windows_beyond_the_budget_are_told_until_the_worker_has_a_larger_one(
    prometheus: Watched, kafka: KafkaEndpoint, scenes: Scenes, tmp_path: Path
) -> None:
    kept = {"files": tmp_path / "state", "window": WINDOW}
    scene = scenes("budget", kafka.bootstrap_servers, **kept, state={"maxBytes": LEAST_BUDGET})
    prometheus.until_quiet("AnalysisWorkerWindowsNotKept")

    records = numbered_stream.records(10 * STATIONS, STATIONS)
    kafka_tools.produce_all(scene.stream.bootstrap, scene.stream.topic, records)

    scene.until_firing("AnalysisWorkerWindowsNotKept", pod=scene.pod, reason="budget")
    scene.until_outputs(10 * STATIONS)
    scene.worker.stop()
    scene.edit(window=WINDOW, state={"maxBytes": 100 * LEAST_BUDGET})
    scene.start()
    prometheus.until_quiet("AnalysisWorkerWindowsNotKept")


def test_a_volume_that_is_gone_is_told_by_its_failures_and_by_checkpoints_that_get_old_until_it_is_back(
    prometheus: Watched, kafka: KafkaEndpoint, scenes: Scenes, tmp_path: Path
) -> None:
    alerts = ("AnalysisWorkerWindowsNotKept", "AnalysisWorkerCheckpointsOld")
    volume = tmp_path / "state"
    scene = scenes("volume", kafka.bootstrap_servers, files=volume, window=WINDOW)
    with scene.steadily():
        scene.until_outputs(PER_SECOND)
        until_known(prometheus, scene, "checkpoint")
        prometheus.until_quiet(*alerts)

        with gone(volume):
            scene.until_firing("AnalysisWorkerWindowsNotKept", pod=scene.pod, reason="disk_error")
            scene.until_firing("AnalysisWorkerCheckpointsOld", pod=scene.pod)
        prometheus.until_quiet(*alerts)


def test_a_store_of_snapshots_that_takes_none_is_told_by_its_failures_and_then_by_their_age(
    prometheus: Watched, kafka: KafkaEndpoint, scenes: Scenes, tmp_path: Path
) -> None:
    alerts = ("AnalysisWorkerSnapshotsFailing", "AnalysisWorkerSnapshotsOld")
    store = tmp_path / "snapshots"
    kept = {"files": tmp_path / "state", "window": WINDOW}
    snapshots = {"url": store.as_uri(), "intervalSeconds": 1}
    scene = scenes("store", kafka.bootstrap_servers, **kept, state={"snapshots": snapshots})
    with scene.steadily():
        scene.until_outputs(PER_SECOND)
        until_known(prometheus, scene, "snapshot")
        prometheus.until_quiet(*alerts)

        with gone(store):
            scene.until_firing("AnalysisWorkerSnapshotsFailing", pod=scene.pod)
            scene.until_firing("AnalysisWorkerSnapshotsOld", pod=scene.pod)
            assert prometheus.firing("AnalysisWorkerWindowsNotKept", pod=scene.pod) == []
        prometheus.until_quiet(*alerts)
