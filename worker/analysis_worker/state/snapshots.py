"""What a snapshot says of a slot: its checkpoint, with the names of chunks in the place of files. No I/O.

A chunk is up to 65,536 rows of one part of a column, as they are in the file, or the values that a column's
codes stand for, as JSON. Its name is its SHA-256: what is there is not written again, and what is read is
known to be what was written.
"""

import hashlib
import zlib
from collections.abc import Mapping
from typing import Final

import msgspec

from analysis_worker.state import checkpoints, describing

FORMAT: Final = 1
CHUNK_ROWS: Final = 65_536


class NotASnapshot(ValueError):
    """What a snapshot says of a slot, or a chunk, cannot be used: says why."""


class Column(checkpoints.Column, frozen=True):
    """A column: of each part the chunks' names, and the one of the values that codes stand for."""

    chunks: list[list[str]] = msgspec.field(default_factory=list)
    values: str | None = None


class Window(msgspec.Struct, frozen=True):
    """A window, as `checkpoints.Window`."""

    station: str
    seen: int
    count: int
    floors: list[tuple[str, int, int]]
    columns: list[Column]


class Topic(msgspec.Struct, frozen=True):
    """All of a topic's windows in the slot, as `checkpoints.Topic`."""

    meaning: str
    size: int
    capacity: int
    positions: dict[int, int]
    windows: list[Window]


class Slot(msgspec.Struct, frozen=True):
    """One slot; `written_at` is its checkpoint's, in seconds since the epoch."""

    slot: int
    source: str
    written_at: float
    topics: dict[str, Topic]

    @property
    def chunks(self) -> frozenset[str]:
        """The names of all chunks that it needs."""
        columns = [
            column for topic in self.topics.values() for window in topic.windows for column in window.columns
        ]
        names = {name for column in columns for part in column.chunks for name in part}
        return frozenset(names | {column.values for column in columns if column.values is not None})


class _Document(msgspec.Struct, frozen=True):
    format: int
    checksum: str
    slot: msgspec.Raw


def name_of(chunk: bytes) -> str:
    """A chunk's name."""
    return hashlib.sha256(chunk).hexdigest()


def encode(slot: Slot) -> bytes:
    """As JSON with its format and CRC-32."""
    body = msgspec.json.encode(slot)
    return msgspec.json.encode(_Document(FORMAT, f"{zlib.crc32(body):08x}", msgspec.Raw(body)))


def decode(content: bytes) -> Slot:
    """The reverse; raises NotASnapshot."""
    try:
        document = msgspec.json.decode(content, type=_Document)
        if document.format != FORMAT:
            raise NotASnapshot(f"it is of format {document.format}, not {FORMAT}")
        if f"{zlib.crc32(document.slot):08x}" != document.checksum:
            raise NotASnapshot("its checksum is wrong: it was changed")
        return msgspec.json.decode(document.slot, type=Slot)
    except msgspec.DecodeError as error:
        raise NotASnapshot(f"it is torn or none at all: {error}") from error


def column_of(column: checkpoints.Column, chunks: list[list[str]], values: str | None) -> Column:
    """A checkpoint's column with its chunks."""
    return Column(**msgspec.structs.asdict(column), chunks=chunks, values=values)


def plain(column: Column) -> checkpoints.Column:
    """The reverse: what a checkpoint says of it."""
    fields = checkpoints.Column.__struct_fields__
    return checkpoints.Column(**{name: getattr(column, name) for name in fields})


def check(topic: Topic) -> None:
    """Raises NotASnapshot if the windows do not have the chunks that they need."""
    for window in topic.windows:
        wanted = -(-window.count // CHUNK_ROWS)
        for column in window.columns:
            whole = all(len(part) == wanted for part in column.chunks)
            parts = len(describing.parts_of(column))
            if not (0 < window.count <= topic.capacity and whole and len(column.chunks) == parts):
                raise NotASnapshot(
                    f"station {window.station}: {window.count:,} rows and their chunks do not fit"
                )
            if bool(column.distinct) != (column.values is not None):
                raise NotASnapshot(f"station {window.station}: the values of its codes are not named")


def is_behind(kept: checkpoints.Topic | None, other: Topic) -> bool:
    """Whether windows of a topic that are kept hold less than others do."""
    if kept is None or kept.meaning != other.meaning:
        return True
    return any(kept.positions.get(number, -1) < offset for number, offset in other.positions.items())


def ahead(kept: Mapping[str, checkpoints.Topic], other: Slot) -> dict[str, Topic]:
    """The topics of which a snapshot holds more than what is kept."""
    return {name: topic for name, topic in other.topics.items() if is_behind(kept.get(name), topic)}
