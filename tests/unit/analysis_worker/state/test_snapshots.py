"""Snapshots of plain files in a store in memory: what is written, what is not again, what is taken back."""

import contextlib
import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from analysis_worker.state import exporting, importing, objects, snapshots, store
from tests.unit.analysis_worker.state.kept import GROUP, SOURCE, Kept, windows_in

ROWS = snapshots.CHUNK_ROWS
ROOM = 2**40


class Clock:
    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


class Counted(objects.Stored):
    """A store in memory that counts what is written."""

    def __init__(self) -> None:
        super().__init__(MemoryStore())
        self.written: list[str] = []

    def put(self, name: str, content: bytes) -> None:
        self.written.append(name)
        super().put(name, content)

    def chunks(self) -> list[str]:
        return [each.name for each in self.list(f"{GROUP}/chunks")]


@pytest.fixture
def there() -> Counted:
    return Counted()


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    found = Kept(tmp_path / "from")
    found.add(0, "S1", 1_500)
    found.add(0, "S2", 100, topic="OTHER")
    found.write(0)
    return found


def an_exporter(there: objects.Objects, **options: object) -> exporting.Exporter:
    return exporting.Exporter(there, GROUP, **options)  # type: ignore[arg-type]


def exported(there: Counted, kept: Kept, exporter: exporting.Exporter | None = None) -> exporting.Round:
    there.written.clear()
    return (exporter or an_exporter(there)).round(sorted(kept.path.glob("*.checkpoint")))


@contextlib.contextmanager
def an_importer(there: objects.Objects, directory: Path, room: int = ROOM) -> Iterator[importing.Importer]:
    files = store.Store(directory, ROOM)
    files.open()
    yield importing.Importer(there, GROUP, files, room)
    files.close()


def taken(there: Counted, directory: Path, *, force: bool = False) -> importing.Taken:
    done = importing.Taken()
    with an_importer(there, directory) as importer:
        importer.take(importing.slots_at(there, GROUP), done, force=force)
    return done


# -- there and back -----------------------------------------------------------------------------------


def test_windows_taken_from_a_snapshot_are_as_they_were(there: Counted, kept: Kept, tmp_path: Path) -> None:
    assert exported(there, kept).slots == 1
    done = taken(there, tmp_path / "to")
    assert (done.slots, done.windows, done.wrong) == (1, 2, [])
    assert windows_in(tmp_path / "to", 0) == windows_in(kept.path, 0)
    assert set(windows_in(tmp_path / "to", 0)) == {"POWER", "OTHER"}


def test_a_window_of_several_chunks_is_as_it_was(there: Counted, tmp_path: Path) -> None:
    kept = Kept(tmp_path / "from", size=200_000)
    kept.add(0, "S1", 2 * ROWS + 5)
    kept.write(0)
    assert exported(there, kept).chunks == 2 * 3 + 1
    taken(there, tmp_path / "to")
    assert windows_in(tmp_path / "to", 0) == windows_in(kept.path, 0)


def test_a_chunks_name_is_the_sha256_of_its_bytes(there: Counted, kept: Kept) -> None:
    exported(there, kept)
    names = there.chunks()
    assert [hashlib.sha256(there.get(name)).hexdigest() for name in names] == [
        name.rpartition("/")[2] for name in names
    ]


def test_a_slot_is_named_after_its_chunks_are_there(there: Counted, kept: Kept) -> None:
    exported(there, kept)
    assert there.written[-1] == f"{GROUP}/slots/0000.json"


# -- what is not written again ------------------------------------------------------------------------


def test_a_second_export_of_unchanged_windows_writes_nothing(there: Counted, kept: Kept) -> None:
    exported(there, kept)
    assert exported(there, kept).chunks == 0
    assert there.written == []


def test_a_checkpoint_anew_of_the_same_rows_writes_no_chunk(there: Counted, kept: Kept) -> None:
    exported(there, kept)
    kept.write(0)
    done = exported(there, kept)
    assert (done.slots, done.chunks) == (1, 0)


@pytest.mark.parametrize("same", [True, False], ids=["the same exporter", "another"])
def test_after_more_rows_only_the_last_chunk_of_each_part_is_written(
    there: Counted, tmp_path: Path, same: bool
) -> None:
    kept = Kept(tmp_path / "from", size=200_000)
    kept.add(0, "S1", 2 * ROWS + 5)
    kept.write(0)
    exporter = an_exporter(there)
    exported(there, kept, exporter)
    kept.add(0, "S1", 10)
    kept.write(0)
    assert exported(there, kept, exporter if same else None).chunks == 2
    taken(there, tmp_path / "to")
    assert windows_in(tmp_path / "to", 0) == windows_in(kept.path, 0)


def test_full_chunks_are_not_read_again(there: Counted, tmp_path: Path) -> None:
    """Rows of a file that were changed behind the writer's back show whether it reads them."""
    kept = Kept(tmp_path / "from", size=200_000)
    segment = kept.add(0, "S1", ROWS + 5)
    kept.write(0)
    exporter = an_exporter(there)
    exported(there, kept, exporter)
    segment.columns[0].array[3] = -1.0  # type: ignore[union-attr]
    kept.add(0, "S1", 10)
    kept.write(0)
    done = exported(there, kept, exporter)
    assert (done.faults, done.chunks) == ([], 2)


# -- what is deleted ----------------------------------------------------------------------------------


def test_chunks_that_no_slot_names_are_deleted_after_an_hour(there: Counted, kept: Kept) -> None:
    clock = Clock()
    exporter = an_exporter(there, now=clock)
    exported(there, kept, exporter)
    before = set(there.chunks())
    kept.add(0, "S1", 10)
    kept.write(0)
    clock.ahead = 3_500.0
    assert exported(there, kept, exporter).deleted == 0
    clock.ahead = 3_700.0
    assert exported(there, kept, exporter).deleted == 2
    assert len(before - set(there.chunks())) == 2


def test_what_is_named_stays_however_old_it_is(there: Counted, kept: Kept, tmp_path: Path) -> None:
    clock = Clock()
    exported(there, kept)
    clock.ahead = 1e6
    kept.write(0)
    done = exported(there, kept, an_exporter(there, now=clock))
    assert (done.chunks, done.deleted) == (0, 0)


def test_an_old_chunk_that_nothing_names_is_written_anew_before_it_is_named(
    there: Counted, kept: Kept
) -> None:
    """Another worker may be about to delete it."""
    clock = Clock()
    exported(there, kept)
    there.delete([f"{GROUP}/slots/0000.json"])
    clock.ahead = 1_900.0
    assert exported(there, kept, an_exporter(there, now=clock)).chunks == 5, "the names are one chunk"


def test_nothing_is_deleted_while_a_slot_cannot_be_read(there: Counted, kept: Kept) -> None:
    clock = Clock()
    exported(there, kept)
    there.put(f"{GROUP}/chunks/{'0' * 64}", b"old")
    there.put(f"{GROUP}/slots/0007.json", b"{")
    clock.ahead = 1e6
    assert exported(there, kept, an_exporter(there, now=clock)).deleted == 0


def test_a_chunk_that_is_gone_is_written_again(there: Counted, kept: Kept) -> None:
    exporter = an_exporter(there)
    exported(there, kept, exporter)
    there.delete(there.chunks()[:1])
    assert exported(there, kept, exporter).chunks == 1


# -- what cannot be used ------------------------------------------------------------------------------


def test_a_file_that_is_not_what_its_checkpoint_says_is_not_in_the_snapshot(
    there: Counted, kept: Kept, tmp_path: Path
) -> None:
    kept.segments[0, "OTHER", "S2"].columns[0].array[7] = -1.0  # type: ignore[union-attr]
    done = exported(there, kept)
    assert ["OTHER" in fault.wrong for fault in done.faults] == [True]
    taken(there, tmp_path / "to")
    assert set(windows_in(tmp_path / "to", 0)) == {"POWER"}


def a_chunk_of(there: Counted, topic: str) -> str:
    slot = snapshots.decode(there.get(f"{GROUP}/slots/0000.json"))
    return f"{GROUP}/chunks/{slot.topics[topic].windows[0].columns[0].chunks[0][0]}"


def test_a_topic_with_a_broken_chunk_is_left_out(there: Counted, kept: Kept, tmp_path: Path) -> None:
    exported(there, kept)
    name = a_chunk_of(there, "OTHER")
    there.put(name, b"x" + there.get(name)[1:])
    done = taken(there, tmp_path / "to")
    assert [(each.slot, each.topic, "is broken" in each.why) for each in done.wrong] == [(0, "OTHER", True)]
    assert windows_in(tmp_path / "to", 0) == {"POWER": windows_in(kept.path, 0)["POWER"]}


def test_a_topic_with_a_missing_chunk_is_left_out_and_leaves_no_file(
    there: Counted, kept: Kept, tmp_path: Path
) -> None:
    exported(there, kept)
    there.delete([a_chunk_of(there, "OTHER")])
    done = taken(there, tmp_path / "to")
    assert [(each.slot, each.topic, "is not there" in each.why) for each in done.wrong] == [
        (0, "OTHER", True)
    ]
    assert set(windows_in(tmp_path / "to", 0)) == {"POWER"}
    assert len(list((tmp_path / "to").glob("*.window"))) == 1


@pytest.mark.parametrize("spoil", [lambda c: c[:-20], lambda c: c.replace(b"S1", b"S3"), lambda c: b""])
def test_a_torn_slot_is_left_out(there: Counted, kept: Kept, tmp_path: Path, spoil: object) -> None:
    exported(there, kept)
    name = f"{GROUP}/slots/0000.json"
    there.put(name, spoil(there.get(name)))  # type: ignore[operator]
    done = taken(there, tmp_path / "to")
    assert [(each.slot, each.topic) for each in done.wrong] == [(0, None)]
    assert list((tmp_path / "to").glob("*.window")) == []


def test_no_more_is_made_than_there_is_room_for(there: Counted, kept: Kept, tmp_path: Path) -> None:
    exported(there, kept)
    with an_importer(there, tmp_path / "to", room=10_000) as importer, pytest.raises(importing.NoRoom):
        importer.take([0], importing.Taken())
    assert set(windows_in(tmp_path / "to", 0)) == {"OTHER"}, "the smaller one"
    assert len(list((tmp_path / "to").glob("*.window"))) == 1


# -- beside files that are there ----------------------------------------------------------------------


def test_files_that_hold_more_are_left_and_replaced_by_force(
    there: Counted, kept: Kept, tmp_path: Path
) -> None:
    exported(there, kept)
    other = Kept(tmp_path / "other")
    other.add(0, "S1", 1_600)
    other.write(0)
    other.close()
    before = windows_in(other.path, 0)["POWER"]
    assert taken(there, other.path).windows == 1, "the topic that it lacked"
    assert windows_in(other.path, 0) == {"POWER": before, "OTHER": windows_in(kept.path, 0)["OTHER"]}
    taken(there, other.path, force=True)
    assert windows_in(other.path, 0) == windows_in(kept.path, 0)


def test_files_that_hold_less_are_replaced(there: Counted, kept: Kept, tmp_path: Path) -> None:
    exported(there, kept)
    other = Kept(tmp_path / "other")
    other.add(0, "S1", 1_400)
    other.write(0)
    other.close()
    taken(there, other.path)
    assert windows_in(other.path, 0) == windows_in(kept.path, 0)


def test_windows_of_another_module_are_not_taken(there: Counted, kept: Kept, tmp_path: Path) -> None:
    exported(there, kept)
    with an_importer(there, tmp_path / "to") as importer:
        for module, slots in (("another", 0), (SOURCE, 1)):
            done = importing.Taken()
            importer.take([0], done, module=module)
            assert done.slots == slots


def test_a_round_ends_between_two_chunks_when_it_is_told_to(there: Counted, kept: Kept) -> None:
    stopping = iter([False, True])
    with pytest.raises(exporting.Stopped):
        exported(there, kept, an_exporter(there, stopping=lambda: next(stopping)))
    assert len(there.written) == 1
    assert there.list(f"{GROUP}/slots") == []


def test_a_slot_that_was_given_away_meanwhile_is_not_written(there: Counted, kept: Kept) -> None:
    path = kept.path / "slot-0000.checkpoint"

    def stopping() -> bool:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        return False

    exported(there, kept, an_exporter(there, stopping=stopping))
    assert there.list(f"{GROUP}/slots") == []


def test_chunks_that_are_not_those_that_were_counted_are_not_taken(there: Counted, tmp_path: Path) -> None:
    """Whole ones, of other rows."""
    kept = Kept(tmp_path / "from", size=200_000)
    kept.add(0, "S1", 2 * ROWS)
    kept.write(0)
    exported(there, kept)
    slot = snapshots.decode(there.get(f"{GROUP}/slots/0000.json"))
    slot.topics["POWER"].windows[0].columns[0].chunks[0].reverse()
    there.put(f"{GROUP}/slots/0000.json", snapshots.encode(slot))
    (wrong,) = taken(there, tmp_path / "to").wrong
    assert str(wrong) == "slot 0, POWER: the chunks are not the rows that were counted"


def test_what_another_worker_has_written_of_a_slot_meanwhile_counts(there: Counted, kept: Kept) -> None:
    """A slot was lost and won again: its former chunks are named by nobody, and may be deleted any time."""
    clock = Clock()
    exporter = an_exporter(there, now=clock)
    exported(there, kept, exporter)
    exported(there, kept, exporter)
    there.delete([f"{GROUP}/slots/0000.json"])
    clock.ahead = 1_900.0
    kept.write(0)
    assert exported(there, kept, exporter).chunks == 5
