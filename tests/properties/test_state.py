"""Windows in files against the plain model of `test_windows`: while they are written, and read back.

The same random streams go into columns that lie in files. What a callback sees must be the model's; and what
a checkpoint says of a window, read back by another process's eyes, must be the window as it was at the cut,
whatever came after it.
"""

import copy
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings

from analysis_module.spec import Padding
from analysis_worker.engine import cuts, views
from analysis_worker.state import checkpoints, describing, store
from tests import builders
from tests.properties import test_windows
from tests.properties.test_windows import STATIONS, TOPICS, Append, Change, Look, Model, Replace

Step = Append | Replace | Change | Look


def described(driven: builders.HandDriven) -> dict[tuple[str, str], tuple[cuts.WindowCut, Any]]:
    """Of each window that is in a file wholly, the cut and what a checkpoint says of it."""
    found = {}
    for index, topic in enumerate(TOPICS):
        for cut in cuts.of_input(driven.engine.stations.values(), index):
            told = describing.described(cut)
            if told is not None:
                found[cut.station, topic] = (cut, told)
    return found


def assert_as_it_was(
    files: store.Store, cut: cuts.WindowCut, told: checkpoints.Window, model: Model, topic: str
) -> None:
    size = model.sizes[topic]
    shape = checkpoints.Topic("", size, cut.segment.capacity, {}, [told])
    segment = files.segment(told, shape, cut.segment.fields, check=True)
    samples = list(model.window(cut.station, topic))
    for position, name in enumerate(model.fields[topic]):
        values = [sample[name] for sample in samples]
        for padding in Padding:
            window = views.Window((segment, told.count), position, size, padding)
            latest = views.latest((segment, told.count), position, size, padding)
            wanted = test_windows.padded(values, size, padding)
            test_windows.check(window, latest, wanted, linear=padding is Padding.LINEAR)


def run(steps: Sequence[Step], directory: Path) -> None:
    files = store.Store(directory / "files", 2**30, least_rows=1)
    files.open()
    model, driven = test_windows.begin(files)
    noted: list[tuple[Any, Model]] = []
    for step in steps:
        if not isinstance(step, Look):
            test_windows.go(step, model, driven)
        elif step.read:
            test_windows.compare(driven.module_input(step.station), model, step.station)
        else:
            noted.append((described(driven), copy.deepcopy(model)))
    for station in STATIONS:
        test_windows.compare(driven.module_input(station), model, station)
    for number, (found, past) in enumerate(noted):
        for (_, topic), (cut, told) in found.items():
            other = directory / f"{number}-{topic}-{cut.station}"
            shutil.copytree(files.directory, other)
            assert_as_it_was(store.Store(other, 2**30, least_rows=1), cut, told, past, topic)
    files.close()


@given(test_windows.streams)
@settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_windows_in_files_are_the_models_and_are_read_back_as_they_were(steps: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        run(steps, Path(scratch))
