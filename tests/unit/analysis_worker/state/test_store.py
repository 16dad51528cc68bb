"""The directory of a worker's windows: its budget, its one owner, and what is swept from it."""

from pathlib import Path

import numpy as np
import pytest

from analysis_worker.engine import segments
from analysis_worker.engine.places import HeapHome, Home, Part
from analysis_worker.state import checkpoints, segment_files, store


def a_store(directory: Path, max_bytes: int = 2**30) -> store.Store:
    made = store.Store(directory / "own", max_bytes)
    made.open()
    return made


def a_home(made: store.Store, size: int = 2_000) -> Home:
    return made.home(fields=1, size=size, capacity=size)


def fill(home: Home, count: int) -> None:
    home.place(0).grown(Part.NUMBERS, np.zeros(0), count)


def windows(made: store.Store) -> list[Path]:
    return list(made.directory.glob("*.window"))


def naming(slot: int, *files: str) -> checkpoints.Checkpoint:
    kept = [checkpoints.Window("S", 0, file, 1, [], []) for file in files]
    topic = checkpoints.Topic("", 2_000, 2_000, {}, kept)
    return checkpoints.Checkpoint(slot, "source", "boot", 0.0, {"T": topic})


def test_small_windows_stay_on_the_heap(tmp_path: Path) -> None:
    assert isinstance(a_home(a_store(tmp_path), store.LEAST_ROWS - 1), HeapHome)
    assert not isinstance(a_home(a_store(tmp_path / "other"), store.LEAST_ROWS), HeapHome)


def test_two_processes_do_not_share_a_directory(tmp_path: Path) -> None:
    first = a_store(tmp_path)
    with pytest.raises(store.InUse, match="another process"):
        a_store(tmp_path)
    first.close()
    a_store(tmp_path).close()


def test_no_more_than_the_budget_is_allocated(tmp_path: Path) -> None:
    made = a_store(tmp_path, 3 * 4096)
    homes = [a_home(made) for _ in range(5)]
    for home in homes:
        fill(home, 1)
    assert made.used <= 3 * 4096
    assert made.failures["budget"] > 0


def test_a_file_that_nothing_needs_any_more_is_swept_and_its_room_is_free(tmp_path: Path) -> None:
    made = a_store(tmp_path)
    home = a_home(made)
    fill(home, 1_000)
    made.sweep()
    assert len(windows(made)) == 1, "it is in use"
    del home
    made.sweep()
    assert (windows(made), made.used) == ([], 0)


def test_what_a_former_process_left_is_swept_and_takes_nothing_from_what_this_one_counts(
    tmp_path: Path,
) -> None:
    former = a_store(tmp_path)
    left = a_home(former)
    fill(left, 1_000)
    former.close()
    made = a_store(tmp_path)
    home = a_home(made)
    fill(home, 500)
    counted = made.used
    made.sweep()
    assert (len(windows(made)), made.used) == (1, counted)


def test_a_torn_file_takes_nothing_from_what_is_counted_when_it_is_swept(tmp_path: Path) -> None:
    made = a_store(tmp_path)
    home = a_home(made)
    fill(home, 500)
    counted = made.used
    (made.directory / "torn.window").write_bytes(b"\1" * 8_192)
    topic = naming(3, "torn.window").topics["T"]
    with pytest.raises(segment_files.Torn):
        made.segment(topic.windows[0], topic, segments.Readers(()), check=False)
    made.sweep()
    assert (len(windows(made)), made.used) == (1, counted)


def test_a_file_that_a_checkpoint_names_is_swept_only_after_the_checkpoint(tmp_path: Path) -> None:
    made = a_store(tmp_path)
    home = a_home(made)
    fill(home, 1)
    (path,) = windows(made)
    made.write(naming(3, path.name))
    del home
    made.sweep()
    assert windows(made) == [path]
    made.write(naming(3))
    made.sweep()
    assert windows(made) == []


def test_the_files_of_a_slot_that_nobody_has_asked_for_yet_stay(tmp_path: Path) -> None:
    """Slots come back in parts: those of a later part are still on the disk as they were."""
    made = a_store(tmp_path)
    home = a_home(made)
    fill(home, 1)
    (path,) = windows(made)
    made.write(naming(3, path.name))
    made.close()
    other = a_store(tmp_path)
    other.find([1, 2], "source")
    other.sweep()
    assert windows(other) == [path]
    other.forget([3])
    other.sweep()
    assert windows(other) == []


def test_a_file_stays_while_it_is_made_and_then_if_a_checkpoint_names_it(tmp_path: Path) -> None:
    made = a_store(tmp_path)
    with made.making() as new_path:
        paths = {new_path(), new_path()}
        for path in paths:
            path.write_bytes(b"")
        made.sweep()
        assert set(windows(made)) == paths
        kept = paths.pop()
        made.write(naming(3, kept.name))
    made.sweep()
    assert windows(made) == [kept]


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    made = a_store(tmp_path)
    made.write(naming(3, "a.window"))
    assert made.find([3, 4], "source").checkpoints == {3: naming(3, "a.window")}


def test_after_another_boot_a_checkpoint_is_distrusted(tmp_path: Path) -> None:
    made = a_store(tmp_path)
    made.write(naming(3))
    assert made.find([3], "source").distrusted == {3}


def test_a_store_leaves_room_on_the_disk_to_others(tmp_path: Path) -> None:
    made = a_store(tmp_path, 2**60)
    assert not made.take(2**55)
    assert made.failures == {"disk_full": 1}
