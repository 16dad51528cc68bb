"""What enters the engine: Kafka records, the rows decoded from them, and refusals."""

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple, Protocol


class _Absent:
    """The type of ABSENT."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()
"""Value of a row's attribute whose key the record does not have (null is None)."""

Row = Any
"""One decoded sample: an object with an attribute for each JSON key that the topic's decoder knows."""


class TopicPartition(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int


class Record(Protocol):
    """What the engine reads of a consumed Kafka record; `timestamp` is in ms since the epoch."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


@dataclasses.dataclass(frozen=True, slots=True)
class Arrival:
    """The samples that one record brings to one station.

    `replace` says that they are a whole window, which replaces the one before (seed system 2.1); `device`
    that the id is a host's or meter's, which may belong to a station. A Global record has station id None.
    """

    station_id: str | None
    rows: tuple[Row, ...]
    replace: bool = False
    device: bool = False

    @property
    def ident(self) -> "Ident":
        """The id, and whether it is a device's."""
        return self.station_id, self.device


Ident = tuple[str | None, bool]
"""An id as a record names it, and whether it is a device's."""


class Refusal(ValueError):
    """A record that cannot be used: it goes to the dead-letter topic and the partition goes on.

    `error_type` is the value of the `error_type` label of `data_analysis_errors_total`. `usable` is what a
    record of many stations brings to those whose part of it is sound.
    """

    def __init__(self, error_type: str, message: str, usable: Sequence[Arrival] = ()) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.usable = tuple(usable)


class Decoder(Protocol):
    """Turns a topic's records into rows; what the engine knows of JSON is this.

    `row` is the quick way for an object of scalars: it raises ValueError for anything else, and the row's
    attribute `key0` is the record's first station key field, which names a device if `by_device` says so.
    `arrivals` takes every shape of seed system 2.1 and raises Refusal. `devices` are the device ids that a
    row of a `via` topic names. `cut` gives of a record that has arrivals the parts of some of them.
    """

    @property
    def by_device(self) -> bool:
        """Whether the first station key field is a device's id."""

    def row(self, value: bytes, /) -> Row:
        """One sample."""

    def arrivals(self, value: bytes, /) -> Sequence[Arrival]:
        """What the record brings, per station."""

    def cut(self, value: bytes, wanted: Sequence[Collection[Ident]], /) -> Sequence[bytes]:
        """The record once for each of these sets of ids, with nothing of others in it."""

    def devices(self, row: Row, /) -> Sequence[str]:
        """Host and meter ids that the row names as its station's."""
