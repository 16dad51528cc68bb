"""What decoding tests share: a decoder of four fields, and what comes of a document."""

import json
from typing import Any

import pytest

from analysis_worker.engine.records import Refusal
from analysis_worker.kafka import decoding
from tests import builders

a_field, an_input = builders.a_field, builders.an_input
FIELDS = [a_field("stationId"), a_field("power", "kw", "p"), a_field("soc"), a_field("modules", array=True)]
SCALARS: list[Any] = [0, -1, 1.5, True, False, "text", "", None, 2**60, 10**30, "2025-11-07 08:00:00"]


def decoder(**changes: Any) -> decoding.InputDecoder:
    return decoding.InputDecoder(an_input(fields=changes.pop("fields", FIELDS), **changes))


def told(made: decoding.InputDecoder, arrivals: Any) -> list[tuple[Any, ...]]:
    """Station, samples, and whether they replace the window."""
    return [
        (
            arrival.station_id,
            [{reader.name: reader.value(row) for reader in made.readers} for row in arrival.rows],
            arrival.replace,
        )
        for arrival in arrivals
    ]


def read(document: Any, **changes: Any) -> list[tuple[Any, ...]]:
    made = decoder(**changes)
    value = document if isinstance(document, bytes) else json.dumps(document).encode()
    return told(made, made.arrivals(value))


def sample(**values: Any) -> dict[str, Any]:
    return {"stationId": None, "power": None, "soc": None, "modules": None, **values}


def refusal_of(document: Any, **changes: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        read(document, **changes)
    return caught.value
