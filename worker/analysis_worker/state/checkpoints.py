"""What is said of a slot's windows in files: a checkpoint, one small file for each slot. No I/O.

A checkpoint says which records are in the windows (all before an offset per partition), and of each window's
file how many rows count. Rows beyond that are of records that a restart reads again. Values of columns are
written in place as they come, so a checkpoint is small whatever the windows hold.
"""

import zlib
from collections.abc import Mapping
from typing import Literal

import msgspec

from analysis_module import wiring
from analysis_worker.engine.records import TopicPartition

FORMAT = 1


class NotACheckpoint(ValueError):
    """A checkpoint's file cannot be read: torn, of another format, or not one at all."""


class Column(msgspec.Struct, frozen=True):
    """One column: `checksums` are CRC-32 of its parts, `distinct` how many values its codes stand for.

    `ints` is whether all its numbers came as ints, or "flags" if some did; `first_null` is -1 if none is.
    """

    kind: Literal["numbers", "codes"]
    dtype: str
    checksums: list[int]
    ints: bool | Literal["flags"] | None = None
    first_null: int = -1
    distinct: int = 0


class Window(msgspec.Struct, frozen=True):
    """One station's window: the first `count` rows of a file.

    `floors` is for each partition where a rebuild from Kafka would begin; `seen` is when a record last came
    for the station, in ms since the epoch.
    """

    station: str
    seen: int
    file: str
    count: int
    floors: list[tuple[str, int, int]]
    columns: list[Column]


class Topic(msgspec.Struct, frozen=True):
    """All of a topic's windows in the slot: they hold every record before `positions`, and none after.

    `meaning` tells what the records were read as; under another one the windows must be read anew.
    """

    meaning: str
    size: int
    capacity: int
    positions: dict[int, int]
    windows: list[Window]


class Checkpoint(msgspec.Struct, frozen=True):
    """One slot. `source` tells which module's records, of which cluster; `boot` which run of the machine."""

    slot: int
    source: str
    boot: str
    written_at: float
    topics: dict[str, Topic]


_DECODER = msgspec.json.Decoder(Checkpoint)


def encode(checkpoint: Checkpoint) -> bytes:
    """As a line with format and CRC-32, and a line of JSON."""
    body = msgspec.json.encode(checkpoint)
    return f"analysis-worker state {FORMAT} {zlib.crc32(body):08x}\n".encode() + body + b"\n"


def decode(content: bytes) -> Checkpoint:
    """The reverse; raises NotACheckpoint."""
    head, _, rest = content.partition(b"\n")
    words = head.decode(errors="replace").split()
    if len(words) != 4 or words[:2] != ["analysis-worker", "state"]:
        raise NotACheckpoint("it does not begin like one")
    if words[2] != str(FORMAT):
        raise NotACheckpoint(f"it is of format {words[2]}, not {FORMAT}")
    body = rest.removesuffix(b"\n")
    if f"{zlib.crc32(body):08x}" != words[3]:
        raise NotACheckpoint("its checksum is wrong: it was torn or changed")
    try:
        return _DECODER.decode(body)
    except msgspec.ValidationError as error:
        raise NotACheckpoint(str(error)) from error


def meaning(source: wiring.InputWiring) -> str:
    """What a topic's records are read as: fields with other names and widths, window size, station key."""
    fields = [[field.name, field.aliases, field.array, field.dtype] for field in source.fields]
    key = [source.station_key.fields, source.station_key.via]
    return msgspec.json.encode([fields, source.window_size, key]).decode()


def covered(checkpoint: Checkpoint, offsets: Mapping[TopicPartition, int]) -> dict[str, Topic]:
    """The topics whose every record in the windows is done by a slot's progress.

    What is ahead of the progress cannot be taken back, so those windows must be read anew.
    """
    return {
        name: topic for name, topic in checkpoint.topics.items() if is_covered(name, topic.positions, offsets)
    }


def is_covered(topic: str, positions: Mapping[int, int], offsets: Mapping[TopicPartition, int]) -> bool:
    """Whether every record before the positions in a topic's partitions is done."""
    return all(
        offsets.get(TopicPartition(topic, number), -1) >= offset for number, offset in positions.items()
    )
